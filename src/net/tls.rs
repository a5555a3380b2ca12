//! What both roles of TLS share: the crypto provider, the versions, and the errors.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::server::VerifierBuilderError;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, PeerIncompatible, SupportedProtocolVersion,
};

use crate::net::options::TlsVersion;

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The peer closed or reset the connection during the handshake.
    #[error("the peer closed the connection during the TLS handshake")]
    Closed,
    /// What the peer sent is not TLS.
    #[error("the peer does not speak TLS: {0}")]
    NotTls(Error),
    /// The peer's certificate is not accepted.
    #[error("the peer's certificate is not accepted: {0}")]
    Certificate(CertificateError),
    /// The peer showed no certificate, and must.
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// The peer ended the handshake; it may dislike our certificate, or want one.
    #[error("the peer refused the TLS handshake: {0:?}")]
    Refused(AlertDescription),
    /// No version, cipher suite or the like in common.
    #[error("no common ground with the peer: {0:?}")]
    Incompatible(PeerIncompatible),
    /// The client names by ALPN only protocols that are not ours.
    #[error("the client speaks another protocol (ALPN)")]
    AlpnMismatch,
    /// The client began with TLS but named no protocol by ALPN.
    #[error("direct TLS needs ALPN")]
    AlpnMissing,
    /// The peer broke the TLS protocol, or another failure inside TLS.
    #[error("TLS failed: {0}")]
    Protocol(Error),
    /// The socket failed.
    #[error("the socket failed during the TLS handshake: {0}")]
    Io(io::Error),
    /// The stream is inside TLS already, or an earlier handshake failed.
    #[error("the stream cannot begin TLS")]
    NotPlain,
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let kind = error.kind();
        match error.downcast::<Error>() {
            Ok(error) => error.into(),
            Err(_)
                if matches!(
                    kind,
                    UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe
                ) =>
            {
                Self::Closed
            }
            Err(error) => Self::Io(error),
        }
    }
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidCertificate(reason) => Self::Certificate(reason),
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::AlertReceived(alert) => Self::Refused(alert),
            Error::PeerIncompatible(reason) => Self::Incompatible(reason),
            Error::NoApplicationProtocol => Self::AlpnMismatch,
            Error::InvalidMessage(_) => Self::NotTls(error),
            other => Self::Protocol(other),
        }
    }
}

/// Why TLS settings could not be built from files.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no certificate.
    #[error("{path} holds no certificate in PEM", path = .0.display())]
    NoCertificate(PathBuf),
    /// A file holds no private key that can be read.
    #[error("{path} holds no unencrypted private key in PEM", path = .0.display())]
    NoKey(PathBuf),
    /// A certificate authority in a file cannot be used.
    #[error("{path}: unusable certificate authority: {source}", path = path.display())]
    BadAuthority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Error,
    },
    /// Certificate and key do not fit each other, or are of an unknown kind.
    #[error("{path}: unusable certificate or key: {source}", path = path.display())]
    BadIdentity {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        source: Error,
    },
    /// Client certificates are to be verified, but against nothing.
    #[error("client certificates are asked for, but no file of authorities is given")]
    NoClientAuthorities,
    /// The verifier of client certificates cannot be built.
    #[error("client certificates cannot be verified: {0}")]
    ClientVerifier(#[from] VerifierBuilderError),
    /// The system has no usable certificate authorities.
    #[error("the system has no certificate authorities (install ca-certificates or name a file)")]
    NoSystemAuthorities,
    /// The name is neither a host name nor an address.
    #[error("{0:?} is neither a host name nor an address")]
    BadName(String),
    /// The TLS library refuses its settings.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] Error),
}

/// AWS-LC, with the post-quantum key exchange that rustls prefers by default.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

/// The versions from `min` on.
pub(super) fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    const FROM_1_2: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    const FROM_1_3: &[&SupportedProtocolVersion] = &[&TLS13];
    match min {
        TlsVersion::V1_2 => FROM_1_2,
        TlsVersion::V1_3 => FROM_1_3,
    }
}
