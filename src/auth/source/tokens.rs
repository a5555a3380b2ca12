//! Sluice's own IAM tokens: made when a login needs one, and shown again for ten minutes.
//!
//! RDS takes 200 new tokens in a second, and any number of logins with those that it has seen
//! (AWS documentation, "IAM database authentication"), so a token is used again while it has five
//! of its fifteen minutes left. Many logins that find none make one together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use moka::Expiry;
use moka::future::Cache;

use super::meter::{SourceMeter, SourceMetrics};
use super::{Ask, Asked, CredentialSource, Offer, SourceError};
use crate::auth::iam::{Presign, region_of};
use crate::model::{Credential, Secret};

/// What tokens are signed with.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// Names the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: Secret,
    /// What goes with it, if it is a temporary one.
    pub session_token: Option<Secret>,
    /// When it ends, and with it what it has signed.
    pub expires: Option<SystemTime>,
}

/// Where keys come from.
pub trait SigningKeys: std::fmt::Debug + Send + Sync {
    /// The key of this moment. Cancel-safe.
    fn key(&self) -> Asked<'_, SigningKey>;

    /// The region to sign for, where nothing else says one. Cancel-safe.
    fn region(&self) -> Asked<'_, Arc<str>>;
}

/// Tokens for any server and user.
#[derive(Debug)]
pub struct TokenSource {
    keys: Arc<dyn SigningKeys>,
    region: Option<Arc<str>>,
    tokens: Cache<For, Token>,
    made: AtomicU64,
    metrics: Arc<SourceMetrics>,
    meters: Mutex<HashMap<Endpoint, Arc<SourceMeter>>>,
}

/// Host and port.
type Endpoint = (Box<str>, u16);

/// Host, port and user.
type For = (Box<str>, u16, Arc<str>);

#[derive(Clone, Debug)]
struct Token {
    offer: Offer,
    made: Instant,
    use_for: Duration,
}

impl TokenSource {
    /// Tokens signed with these keys, for `region` or that of the server's name.
    pub fn new(
        keys: Arc<dyn SigningKeys>,
        region: Option<Arc<str>>,
        metrics: Arc<SourceMetrics>,
    ) -> Self {
        Self {
            keys,
            region,
            tokens: Cache::builder()
                .max_capacity(MOST)
                .expire_after(UseFor)
                .build(),
            made: AtomicU64::new(0),
            metrics,
            meters: Mutex::default(),
        }
    }

    async fn token(&self, ask: Ask<'_>) -> Result<Option<Offer>, SourceError> {
        let (host, port) = ask.endpoint;
        let of = (Box::from(host), port, Arc::clone(ask.user));
        let meter = self.meter(host, port);
        if let Some(refused) = ask.refused.last() {
            meter.refused();
            tracing::warn!(server = %meter.name(), user = %ask.user, "server refused an IAM token");
            match self.tokens.get(&of).await {
                // Another would be refused as well, and RDS counts them.
                Some(known)
                    if known.offer.version == refused.version && known.made.elapsed() < YOUNG =>
                {
                    return Ok(None);
                }
                Some(known) if known.offer.version == refused.version => {
                    self.tokens.invalidate(&of).await;
                }
                _ => {}
            }
            if ask.refused.len() > 1 {
                return Ok(None);
            }
        }
        let made = self
            .tokens
            .try_get_with(of, self.make(host, port, ask.user, &meter))
            .await;
        made.map(|token| Some(token.offer))
            .map_err(|error| (*error).clone())
    }

    async fn make(
        &self,
        host: &str,
        port: u16,
        user: &str,
        meter: &SourceMeter,
    ) -> Result<Token, SourceError> {
        let result = self.sign(host, port, user).await;
        match &result {
            Ok(_) => meter.refreshed(),
            Err(error) => meter.failed(error),
        }
        result
    }

    async fn sign(&self, host: &str, port: u16, user: &str) -> Result<Token, SourceError> {
        let region = match (&self.region, region_of(host)) {
            (Some(region), _) => Arc::clone(region),
            (None, Some(region)) => region.into(),
            (None, None) => self.keys.region().await?,
        };
        let key = self.keys.key().await?;
        let now = SystemTime::now();
        let (token, issued) = sign(&key, (host, port), &region, user, now)?;
        let left = key
            .expires
            .map(|end| end.duration_since(issued).unwrap_or_default());
        let good_for = left.map_or(TOKEN_LIFE, |left| left.min(TOKEN_LIFE));
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        Ok(Token {
            offer: Offer {
                user: None,
                credential: Credential::Password(token),
                version: number.to_string().into(),
                verified_only: true,
            },
            made: Instant::now(),
            use_for: good_for.saturating_sub(TOKEN_LIFE - REUSE),
        })
    }

    fn meter(&self, host: &str, port: u16) -> Arc<SourceMeter> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let meter = meters.entry((host.into(), port));
        let new = || self.metrics.meter("iam", &format!("{host}:{port}"));
        Arc::clone(meter.or_insert_with(new))
    }
}

/// A token for `user` at `endpoint`, good for 15 minutes from the second that `now` is in, and that
/// second.
///
/// # Errors
/// If the name or the key cannot be signed.
pub fn sign(
    key: &SigningKey,
    (host, port): (&str, u16),
    region: &str,
    user: &str,
    now: SystemTime,
) -> Result<(Secret, SystemTime), SourceError> {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let issued = UNIX_EPOCH + Duration::from_secs(seconds);
    let bracketed;
    let host = if host.contains(':') && !host.starts_with('[') {
        bracketed = format!("[{host}]");
        &bracketed
    } else {
        host
    };
    let presign = Presign {
        host,
        port,
        user,
        region,
        access_key_id: &key.access_key_id,
        secret_access_key: &key.secret_access_key,
        session_token: key.session_token.as_ref(),
        issued,
        life: TOKEN_LIFE,
    };
    let token = presign.token().map_err(SourceError::new)?;
    Ok((token, issued))
}

impl CredentialSource for TokenSource {
    fn offer<'a>(&'a self, ask: Ask<'a>) -> Asked<'a, Option<Offer>> {
        Box::pin(self.token(ask))
    }

    fn accepted(&self, _: &Offer) {}
}

struct UseFor;

impl Expiry<For, Token> for UseFor {
    fn expire_after_create(&self, _: &For, token: &Token, _: Instant) -> Option<Duration> {
        Some(token.use_for)
    }
}

/// No longer one is taken (AWS documentation, "IAM database authentication").
pub const TOKEN_LIFE: Duration = Duration::from_secs(900);
/// How long a token is used again.
const REUSE: Duration = Duration::from_secs(600);
/// A token that is refused at this age is not too old.
const YOUNG: Duration = Duration::from_secs(60);
/// Tokens kept; more users at once have theirs made more often.
const MOST: u64 = 10_000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, SystemTime};

    use super::{SigningKey, SigningKeys, TokenSource};
    use crate::auth::source::{Ask, Asked, CredentialSource, Offer, SourceError, SourceMetrics};
    use crate::model::{Credential, Secret};

    #[derive(Debug, Default)]
    struct Keys {
        asked: AtomicU32,
        good_for: Option<Duration>,
    }

    impl SigningKeys for Keys {
        fn key(&self) -> Asked<'_, SigningKey> {
            Box::pin(async {
                self.asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok(SigningKey {
                    access_key_id: "AKIDEXAMPLE".into(),
                    secret_access_key: Secret::new("key"),
                    session_token: Some(Secret::new("x".repeat(1200))),
                    expires: self.good_for.map(|time| SystemTime::now() + time),
                })
            })
        }

        fn region(&self) -> Asked<'_, Arc<str>> {
            Box::pin(async { Err(SourceError::new("no region is known")) })
        }
    }

    const HOST: &str = "db.abc.eu-central-1.rds.amazonaws.com";

    fn source(keys: Keys) -> (Arc<Keys>, Arc<TokenSource>) {
        let keys = Arc::new(keys);
        let metrics = SourceMetrics::register(&prometheus::Registry::new()).unwrap();
        let source = TokenSource::new(Arc::clone(&keys) as Arc<dyn SigningKeys>, None, metrics);
        (keys, Arc::new(source))
    }

    async fn offer(
        source: &TokenSource,
        (host, user): (&str, &str),
        refused: &[Offer],
    ) -> Result<Option<Offer>, SourceError> {
        let user = user.into();
        let ask = Ask {
            endpoint: (host, 5432),
            user: &user,
            only: None,
            refused,
        };
        source.offer(ask).await
    }

    fn text(offer: &Offer) -> String {
        let Credential::Password(token) = &offer.credential else {
            panic!();
        };
        String::from_utf8(token.expose().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn one_token_serves_all_logins_of_a_user_on_a_server() {
        let (keys, source) = source(Keys::default());
        let logins: Vec<_> = (0..50)
            .map(|_| {
                let source = Arc::clone(&source);
                tokio::spawn(async move { offer(&source, (HOST, "app"), &[]).await })
            })
            .collect();
        let mut tokens = Vec::new();
        for login in logins {
            tokens.push(text(&login.await.unwrap().unwrap().unwrap()));
        }
        tokens.dedup();
        assert_eq!(tokens.len(), 1);
        assert_eq!(keys.asked.load(Ordering::SeqCst), 1);
        assert!(tokens[0].starts_with(&format!("{HOST}:5432/?Action=connect&DBUser=app&")));
        assert!(tokens[0].contains("%2Feu-central-1%2Frds-db%2Faws4_request"));
        assert!(tokens[0].len() > 1200);
        let other = offer(&source, (HOST, "o' +ther"), &[])
            .await
            .unwrap()
            .unwrap();
        assert!(
            text(&other).contains("&DBUser=o%27%20%2Bther&"),
            "{}",
            text(&other)
        );
    }

    #[tokio::test]
    async fn a_young_token_that_is_refused_is_not_followed_by_another() {
        let (keys, source) = source(Keys::default());
        let token = offer(&source, (HOST, "app"), &[]).await.unwrap().unwrap();
        assert!(token.verified_only);
        assert!(
            offer(&source, (HOST, "app"), &[token])
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(keys.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_key_that_ends_soon_signs_for_one_login_at_a_time() {
        let (keys, source) = source(Keys {
            good_for: Some(Duration::from_secs(200)),
            ..Keys::default()
        });
        offer(&source, (HOST, "app"), &[]).await.unwrap().unwrap();
        offer(&source, (HOST, "app"), &[]).await.unwrap().unwrap();
        assert_eq!(keys.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn without_a_region_there_is_no_token() {
        let (_, source) = source(Keys::default());
        let error = offer(&source, ("10.0.0.1", "app"), &[]).await.unwrap_err();
        assert_eq!(error.to_string(), "no region is known");
    }
}
