//! What configuration decides about sockets and TLS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Address and port to bind; ignored if a socket of this listener's name is passed in by
    /// systemd (`FileDescriptorName=`).
    pub address: SocketAddr,
    /// Length of the kernel's queue of connections not yet accepted.
    pub backlog: u32,
    /// Clients speak first, as in PostgreSQL's protocol: then one is taken up when it has sent something, or a second
    /// after it has connected.
    pub client_first: bool,
    /// Keepalive of client connections.
    pub keepalive: Keepalive,
}

/// TCP keepalive, and how long sent bytes may stay unacknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Idle time before the first probe; zero switches keepalive off.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Probes without answer before the connection is dead.
    pub count: u32,
    /// `TCP_USER_TIMEOUT`; zero leaves the system's.
    pub user_timeout: Duration,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsOptions {
    /// Certificate chain, PEM.
    pub cert_file: PathBuf,
    /// Private key, PEM.
    pub key_file: PathBuf,
    /// Authorities that client certificates are verified against, PEM.
    pub client_ca_file: Option<PathBuf>,
    /// Whether clients must show a certificate.
    pub client_cert: ClientCert,
    /// Lowest version spoken.
    pub min_version: TlsVersion,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCert {
    /// None is asked for.
    Off,
    /// Verified if shown.
    Optional,
    /// Needed.
    Required,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// TLS towards servers; modes as libpq's `sslmode`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTlsOptions {
    /// How much is asked for and verified.
    pub mode: TlsMode,
    /// Authorities, PEM, any number in one file as in Amazon's RDS bundle. Without it, the
    /// system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and key, where the server wants one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Name to verify and to send by SNI instead of the target's host.
    pub server_name: Option<Arc<str>>,
    /// Lowest version spoken.
    pub min_version: TlsVersion,
}

/// libpq's `sslmode`, less `allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Plaintext only.
    Disable,
    /// TLS if offered, unverified.
    Prefer,
    /// TLS; as in libpq, unverified unless a file of authorities is given, else as `verify-ca`.
    Require,
    /// TLS, chain verified.
    VerifyCa,
    /// TLS, chain and host name verified.
    VerifyFull,
}

/// Reaching a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialOptions {
    /// Host name or address, resolved anew at every dial.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// Name and port that IAM tokens for it are signed for, where it is reached by others.
    pub iam_endpoint: Option<(Arc<str>, u16)>,
    /// For resolving, connecting, TLS and login together.
    pub connect_timeout: Duration,
    /// Keepalive of server connections.
    pub keepalive: Keepalive,
    /// TLS.
    pub tls: ClientTlsOptions,
    /// Without TLS, the server may be asked for a public key to seal passwords with, where the
    /// protocol has that.
    pub ask_public_key: bool,
}

impl DialOptions {
    /// Name and port that IAM tokens for the server are signed for.
    pub fn signed_for(&self) -> (&str, u16) {
        match &self.iam_endpoint {
            Some((host, port)) => (host, *port),
            None => (&self.host, self.port),
        }
    }
}
