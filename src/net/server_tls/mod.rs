//! TLS towards clients: our certificate, theirs, and resumption.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::Ticketer;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};

use crate::net::cert_facts;
use crate::net::certs::{read_authorities, read_certs, read_key};
use crate::net::options::{ClientCert, ServerTlsOptions};
use crate::net::tls::{TlsSetupError, provider, versions};

/// Sessions kept for TLS 1.2 clients that resume by session id rather than by ticket.
const CACHED_SESSIONS: usize = 256;
/// Tickets sent after a TLS 1.3 handshake. One: database clients open one connection at a time.
const TICKETS: usize = 1;

/// Everything needed for handshakes with clients.
#[derive(Debug)]
pub struct ServerTls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) end_point: Option<Bytes>,
    pub(super) fingerprint: Option<[u8; 32]>,
    expires_at: Option<SystemTime>,
}

impl ServerTls {
    /// Reads the files and builds the settings. `alpn` lists the protocols a client may name by
    /// ALPN, best first; clients that name none are served too.
    ///
    /// Ticket keys are new each time, so sessions of the old settings, whose client certificates
    /// were verified against the old authorities, are not resumed under the new ones.
    ///
    /// # Errors
    /// If a file is missing or damaged, or key and certificate do not fit. Reads files: blocks.
    pub fn load(options: &ServerTlsOptions, alpn: &[&[u8]]) -> Result<Self, TlsSetupError> {
        let ServerTlsOptions {
            cert_file,
            key_file,
            client_ca_file: _,
            client_cert: _,
            min_version,
        } = options;
        let chain = read_certs(cert_file)?;
        let key = read_key(key_file)?;
        let end_point = chain.first().and_then(|leaf| cert_facts::end_point(leaf));
        let fingerprint = chain.first().and_then(|leaf| cert_facts::fingerprint(leaf));
        let expires_at = chain.first().and_then(|leaf| cert_facts::expires_at(leaf));

        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(*min_version))?;
        let builder = match client_verifier(options)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder
                .with_single_cert(chain, key)
                .map_err(|source| TlsSetupError::BadIdentity {
                    path: cert_file.clone(),
                    source,
                })?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.ticketer = Ticketer::new()?;
        config.send_tls13_tickets = TICKETS;
        config.session_storage = ServerSessionMemoryCache::new(CACHED_SESSIONS);
        Ok(Self {
            config: Arc::new(config),
            end_point,
            fingerprint,
            expires_at,
        })
    }

    /// When our certificate ceases to be valid.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }
}

fn client_verifier(
    options: &ServerTlsOptions,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsSetupError> {
    if options.client_cert == ClientCert::Off {
        return Ok(None);
    }
    let Some(ca_file) = &options.client_ca_file else {
        return Err(TlsSetupError::NoClientAuthorities);
    };
    let (roots, _) = read_authorities(ca_file)?;
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    if options.client_cert == ClientCert::Optional {
        builder = builder.allow_unauthenticated();
    }
    Ok(Some(builder.build()?))
}

#[cfg(test)]
mod tests;
