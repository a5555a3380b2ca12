//! What keys of the configuration file choose among; see [`super::raw`].

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
    /// MySQL and MariaDB.
    Mysql,
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

/// Where a client's statements go; names as RDS Proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetRole {
    /// To the primary.
    ReadWrite,
    /// To a replica.
    ReadOnly,
    /// Reads to a replica, the rest to the primary.
    Split,
}

/// What the configuration says of a server's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetRoleHint {
    /// Nothing: the server is asked.
    Auto,
    /// It is the primary.
    Primary,
    /// It is a replica.
    Replica,
}

/// What clients whose reads go to replicas may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadConsistency {
    /// Nothing but the limit of lag.
    Eventual,
    /// Their own writes.
    Session,
    /// Everybody's writes.
    Strong,
}

/// What read-only sessions do while no replica is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WithoutReplica {
    /// They wait.
    Wait,
    /// They use the primary.
    Primary,
}

/// How clients prove who they are; names as PgBouncer's `auth_type` and MySQL's plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum AuthMethod {
    /// SCRAM-SHA-256, inside TLS also with channel binding.
    #[serde(rename = "scram-sha-256")]
    Scram,
    /// The password in the clear, inside TLS only.
    #[serde(rename = "password", alias = "mysql_clear_password")]
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
    /// MySQL's SHA-256 challenge, inside TLS also the password.
    #[serde(rename = "caching_sha2_password")]
    CachingSha2,
    /// MySQL's SHA-1 challenge.
    #[serde(rename = "mysql_native_password")]
    Native,
    /// MySQL's plugin that sends the password, inside TLS only.
    #[serde(rename = "sha256_password")]
    Sha256,
    /// MariaDB's signature.
    #[serde(rename = "client_ed25519")]
    Ed25519,
    /// An IAM database token, inside TLS only.
    #[serde(rename = "iam")]
    Iam,
    /// A JSON Web Token, inside TLS only.
    #[serde(rename = "jwt")]
    Jwt,
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

/// Reasons to pin that can be filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PinFilter {
    /// Settings that cannot be followed. RDS Proxy's word for it is taken too.
    #[serde(alias = "EXCLUDE_VARIABLE_SETS")]
    Setting,
    /// Roles that cannot be followed.
    Role,
    /// Temporary objects.
    TempObject,
    /// Cursors that outlive their transaction.
    HeldCursor,
    /// Notifications listened to.
    Listen,
    /// Advisory locks of the session.
    AdvisoryLock,
    /// Libraries loaded.
    Load,
    /// Statements prepared by SQL.
    SqlPrepare,
    /// Values of sequences.
    Sequence,
    /// The seed of random numbers.
    RandomSeed,
    /// Connections to elsewhere.
    ExternalConnection,
    /// Code that may do anything.
    CodeBlock,
    /// Statements that could not be classified.
    Unclassified,
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

/// Where the members of a target group come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Discovery {
    /// The file.
    Static,
    /// The addresses of the names in the file.
    Dns,
    /// Aurora's status of replicas.
    Aurora,
    /// The topology of an RDS Multi-AZ DB cluster.
    MultiAzCluster,
    /// The RDS API.
    Rds,
}
