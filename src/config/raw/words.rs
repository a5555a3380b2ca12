//! Settings that are one of a few words.

use serde::{Deserialize, Serialize};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The protocol of a listener and its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL.
    Postgresql,
}

/// When a server connection goes back to its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolMode {
    /// After each transaction.
    Transaction,
    /// When the client disconnects.
    Session,
}

/// How clients prove who they are; names as PgBouncer's `auth_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum AuthMethod {
    /// SCRAM-SHA-256, inside TLS also with channel binding.
    #[serde(rename = "scram-sha-256")]
    Scram,
    /// The password in the clear, inside TLS only.
    #[serde(rename = "password")]
    Password,
    /// MD5 challenge.
    #[serde(rename = "md5")]
    Md5,
    /// A client certificate.
    #[serde(rename = "cert")]
    Cert,
    /// Nothing; loopback listeners only.
    #[serde(rename = "trust")]
    Trust,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCert {
    /// None is asked for.
    Off,
    /// Verified if shown.
    Optional,
    /// Needed.
    Required,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Plaintext only.
    Disable,
    /// TLS if offered, unverified.
    Prefer,
    /// TLS; verified only if a CA file is given.
    Require,
    /// TLS, chain verified.
    VerifyCa,
    /// TLS, chain and host name verified.
    VerifyFull,
}
