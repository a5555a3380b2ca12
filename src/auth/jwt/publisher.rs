//! Fetches an issuer's keys and keeps them (OpenID Connect Discovery 1.0, section 4; RFC 7517).
//!
//! A token that names an unknown key has them fetched anew, since issuers rotate; that and failures
//! are limited in rate, so that tokens with invented keys are no way to make Sluice call others.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::keys::{KeySet, KeySetError};
use crate::auth::options::{IssuerOptions, KeySource};
use crate::net::options::{ClientTlsOptions, TlsMode, TlsVersion};
use crate::net::{ClientTls, TlsSetupError};

/// Keeps the keys of one issuer.
#[derive(Debug)]
pub struct Publisher {
    options: Arc<IssuerOptions>,
    keys: ArcSwap<KeySet>,
    /// `None`: the keys were given.
    source: Option<Source>,
}

#[derive(Debug)]
struct Source {
    client: Client,
    /// `None`: to be found by discovery.
    url: Option<String>,
    refresh: Duration,
    /// Held while they are being fetched: all that want them share one request.
    fetched: Mutex<Fetched>,
}

#[derive(Debug, Default)]
struct Fetched {
    tried: Option<Instant>,
    succeeded: Option<Instant>,
}

/// Why keys cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// The URL is none, or would send the request over a network in the clear.
    #[error("{0:?} is no URL of https, nor of http on this machine")]
    Url(String),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The request failed.
    #[error("{}", chain(.0))]
    Http(#[from] reqwest::Error),
    /// The answer is too long.
    #[error("the answer is longer than 256 KB")]
    TooLong,
    /// The discovery document is not that of the issuer.
    #[error("the discovery document is none, or that of another issuer")]
    Discovery,
    /// The answer holds no keys.
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

/// An error with what caused it; the outermost alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Publisher {
    /// For the keys of this issuer; fetches nothing yet. Reads files: blocks.
    ///
    /// # Errors
    /// If the certificates that it names cannot be read.
    pub fn new(options: Arc<IssuerOptions>) -> Result<Self, PublisherError> {
        let (keys, source) = match &options.keys {
            KeySource::Given(keys) => (Arc::clone(keys), None),
            KeySource::Published {
                url,
                ca_file,
                refresh,
            } => {
                let tls = ClientTlsOptions {
                    mode: TlsMode::VerifyFull,
                    ca_file: ca_file.clone(),
                    identity: None,
                    server_name: None,
                    min_version: TlsVersion::V1_2,
                };
                let source = Source {
                    client: client(&tls)?,
                    url: url.clone(),
                    refresh: *refresh,
                    fetched: Mutex::default(),
                };
                (Arc::default(), Some(source))
            }
        };
        Ok(Self {
            options,
            keys: ArcSwap::new(keys),
            source,
        })
    }

    /// The issuer.
    pub fn options(&self) -> &Arc<IssuerOptions> {
        &self.options
    }

    /// Its keys as they are known.
    pub fn keys(&self) -> Arc<KeySet> {
        self.keys.load_full()
    }

    /// Fetches the keys if they are too old; if `unknown`, because a token names one that is not
    /// among them, also if they are younger. True if the keys may have changed, or another has
    /// fetched them meanwhile. Cancel-safe.
    pub async fn refresh(&self, unknown: bool) -> bool {
        let Some(source) = &self.source else {
            return false;
        };
        let asked = Instant::now();
        let mut fetched = source.fetched.lock().await;
        if fetched.succeeded.is_some_and(|then| then >= asked) {
            return true;
        }
        let age = |then: Option<Instant>| then.map(|then| asked.saturating_duration_since(then));
        let fresh = age(fetched.succeeded).is_some_and(|age| age < source.refresh);
        let tried_just_now = age(fetched.tried).is_some_and(|age| age < LEAST_PAUSE);
        if (fresh && !unknown) || tried_just_now {
            return false;
        }
        fetched.tried = Some(asked);
        match source.fetch(&self.options.issuer).await {
            Ok(keys) => {
                tracing::info!(issuer = %self.options.name, ?keys, "keys fetched");
                self.keys.store(Arc::new(keys));
                fetched.succeeded = Some(Instant::now());
                true
            }
            Err(error) => {
                tracing::warn!(issuer = %self.options.name, %error, "keys could not be fetched");
                // What has been withdrawn must end at some time, even if nobody can be asked.
                if age(fetched.succeeded).is_none_or(|age| age > LONGEST_USE) {
                    self.keys.store(Arc::default());
                }
                false
            }
        }
    }

    /// True if keys have been given or fetched.
    pub fn has_keys(&self) -> bool {
        !self.keys.load().is_empty()
    }
}

impl Source {
    async fn fetch(&self, issuer: &str) -> Result<KeySet, PublisherError> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => {
                let place = format!("{}{DISCOVERY}", issuer.trim_end_matches('/'));
                let document = self.get(&place).await?;
                let document: Discovery =
                    serde_json::from_slice(&document).map_err(|_| PublisherError::Discovery)?;
                if document.issuer != issuer {
                    return Err(PublisherError::Discovery);
                }
                document.jwks_uri
            }
        };
        Ok(KeySet::parse(&self.get(&url).await?)?)
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, PublisherError> {
        let url = checked(url)?;
        let mut response = self.client.get(url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(PublisherError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// A URL that can be trusted to lead where it says.
///
/// # Errors
/// If it is none.
pub fn checked(url: &str) -> Result<Url, PublisherError> {
    let refused = || PublisherError::Url(url.to_owned());
    let parsed = Url::parse(url).map_err(|_| refused())?;
    let host = parsed.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    let address: Option<std::net::IpAddr> = address.ok();
    let is_loopback = host == "localhost" || address.is_some_and(|ip| ip.is_loopback());
    match parsed.scheme() {
        "https" => Ok(parsed),
        "http" if is_loopback => Ok(parsed),
        _ => Err(refused()),
    }
}

fn client(tls: &ClientTlsOptions) -> Result<Client, PublisherError> {
    let builder = Client::builder()
        .timeout(PATIENCE)
        .redirect(redirect::Policy::none());
    let builder = match ClientTls::load(tls, &[])? {
        Some(tls) => builder.tls_backend_preconfigured(tls.settings()),
        None => builder,
    };
    Ok(builder.build()?)
}

/// Where the discovery document is, behind the issuer (OpenID Connect Discovery 1.0, section 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// For one request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts to fetch keys.
const LEAST_PAUSE: Duration = Duration::from_secs(10);
/// How long keys are used at most where none can be fetched.
const LONGEST_USE: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST_ANSWER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::checked;

    #[test]
    fn keys_are_fetched_safely_or_not_at_all() {
        for (url, right) in [
            ("https://issuer.example.com/keys", true),
            ("http://127.0.0.1:8080/keys", true),
            ("http://[::1]:8080/keys", true),
            ("http://localhost/keys", true),
            ("http://issuer.example.com/keys", false),
            ("http://localhost.example.com/keys", false),
            ("http://127.0.0.1.example.com/keys", false),
            ("http://user@example.com#@localhost/", false),
            ("file:///etc/passwd", false),
            ("keys", false),
        ] {
            assert_eq!(checked(url).is_ok(), right, "{url}");
        }
    }
}
