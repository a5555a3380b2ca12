//! What a finished TLS handshake tells the layers above it.

use std::sync::Arc;

use bytes::Bytes;

/// Facts about a TLS session that authentication needs.
#[derive(Clone, Debug, Default)]
pub struct TlsFacts {
    /// Common name of the verified client certificate (server role only).
    pub peer_common_name: Option<Arc<str>>,
    /// `tls-server-end-point` channel binding data (RFC 5929 section 4.1): the hash of the
    /// server's certificate, ours in server role, the peer's in client role. Absent where the
    /// certificate's signature algorithm defines no hash.
    pub end_point: Option<Bytes>,
    /// SHA-256 of our own certificate (server role only).
    pub fingerprint: Option<[u8; 32]>,
}
