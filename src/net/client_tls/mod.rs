//! TLS towards servers: what is verified in each of libpq's modes, and our own certificate.
//!
//! Modes follow the PostgreSQL documentation, "SSL Certificate Verification in Different Modes".

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{
    Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::net::cert_facts;
use crate::net::certs::{read_authorities, read_certs, read_key, system_authorities};
use crate::net::options::{ClientTlsOptions, TlsMode};
use crate::net::tls::{TlsSetupError, provider, versions};

/// Servers whose sessions are kept for resumption.
const CACHED_SERVERS: usize = 64;

/// Everything needed for handshakes with servers. Keep it: it remembers sessions across dials.
#[derive(Debug)]
pub struct ClientTls {
    pub(super) config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl ClientTls {
    /// Reads the files and builds the settings; `None` in mode `disable`. `alpn` lists the
    /// protocols named to the server.
    ///
    /// # Errors
    /// If a file is missing or damaged, or key and certificate do not fit. Reads files: blocks.
    pub fn load(options: &ClientTlsOptions, alpn: &[&[u8]]) -> Result<Option<Self>, TlsSetupError> {
        let ClientTlsOptions {
            mode,
            ca_file: _,
            identity,
            server_name,
            min_version,
        } = options;
        if *mode == TlsMode::Disable {
            return Ok(None);
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(*min_version))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::new(options)?));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((cert_file, key_file)) => builder
                .with_client_auth_cert(read_certs(cert_file)?, read_key(key_file)?)
                .map_err(|source| TlsSetupError::BadIdentity {
                    path: cert_file.clone(),
                    source,
                })?,
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.resumption = Resumption::in_memory_sessions(CACHED_SERVERS);
        let name = server_name.as_deref().map(parse_name).transpose()?;
        Ok(Some(Self {
            config: Arc::new(config),
            name,
        }))
    }

    /// The settings, for a client of another protocol.
    pub fn settings(&self) -> ClientConfig {
        ClientConfig::clone(&self.config)
    }

    /// The name to verify and to send when dialling `host`: the configured one, else `host`,
    /// which may be an IP address.
    ///
    /// # Errors
    /// If `host` is neither a host name nor an address.
    pub fn name_for(&self, host: &str) -> Result<ServerName<'static>, TlsSetupError> {
        match &self.name {
            Some(name) => Ok(name.clone()),
            None => parse_name(host),
        }
    }
}

fn parse_name(text: &str) -> Result<ServerName<'static>, TlsSetupError> {
    ServerName::try_from(text.to_owned()).map_err(|_| TlsSetupError::BadName(text.to_owned()))
}

/// Verifies as much of a server's certificate as the mode asks for.
#[derive(Debug)]
struct Verifier {
    /// `None`: any certificate will do.
    trust: Option<Trust>,
    /// Whether the certificate must be for the name dialled.
    checks_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Trust {
    roots: RootCertStore,
    /// The certificates of an explicit file, byte for byte. A server that shows one of them is
    /// trusted although it is its own authority: `openssl req -x509`, which PostgreSQL's
    /// documentation recommends, makes such certificates, and webpki refuses an authority as a
    /// server.
    listed: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(options: &ClientTlsOptions) -> Result<Self, TlsSetupError> {
        let trust = match (options.mode, &options.ca_file) {
            (TlsMode::Disable | TlsMode::Prefer, _) | (TlsMode::Require, None) => None,
            // As libpq: with a root file, `require` means `verify-ca`.
            (TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull, Some(path)) => {
                let (roots, listed) = read_authorities(path)?;
                Some(Trust { roots, listed })
            }
            (TlsMode::VerifyCa | TlsMode::VerifyFull, None) => Some(Trust {
                roots: system_authorities()?,
                listed: Vec::new(),
            }),
        };
        Ok(Self {
            trust,
            checks_name: options.mode == TlsMode::VerifyFull,
            algorithms: provider().signature_verification_algorithms,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trust) = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let cert = ParsedCertificate::try_from(end_entity)?;
        let listed = trust.listed.iter().any(|known| known == end_entity);
        if !listed || !cert_facts::is_valid_at(end_entity, now.as_secs()) {
            verify_server_cert_signed_by_trust_anchor(
                &cert,
                &trust.roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if self.checks_name {
            verify_server_name(&cert, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verdict = verify_tls13_signature(message, cert, signature, &self.algorithms);
        if self.trust.is_some() || verdict.is_ok() {
            return verdict;
        }
        // webpki reads X.509 version 3 only, but `openssl x509 -req` long made version 1. Where
        // the certificate need not be verified, its key must still sign the handshake, for
        // channel binding relies on that.
        let Some(key) = cert_facts::public_key(cert) else {
            return verdict;
        };
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
