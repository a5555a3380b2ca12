//! `[[target_group]]`: servers and their pools.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::defaults;
use super::words::{Engine, PoolMode, TlsMode, TlsVersion};
use crate::config::units::{Percent, Size, Time};

/// `[[target_group]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TargetGroup {
    /// Name. Required, unique.
    pub name: String,
    /// "postgresql". Default "postgresql". Restart.
    #[serde(default = "defaults::postgresql")]
    pub engine: Engine,
    /// The servers. One, the primary.
    pub target: Vec<Target>,
    /// Share of the server's own connection limit, less those it reserves. 1 to 100, default 100.
    /// Dynamic.
    #[serde(default = "defaults::all")]
    pub max_connections_percent: Percent<1>,
    /// Share that may stay open unused for five minutes. 0 to `max_connections_percent`, default
    /// half of it. Dynamic.
    pub max_idle_connections_percent: Option<Percent<0>>,
    /// Longest wait for a server connection. Default "120s", as RDS Proxy; "0s" fails at once.
    /// Dynamic.
    #[serde(default = "defaults::two_minutes")]
    pub connection_borrow_timeout: Time,
    /// Clients that may wait in one pool. Default 0: no limit. Dynamic.
    #[serde(default)]
    pub max_waiting_clients: u32,
    /// SQL run once on each new server connection. Default: none. Dynamic, for new connections.
    pub init_query: Option<String>,
    /// "transaction" or "session". Default "transaction". Dynamic, for new clients.
    #[serde(default = "defaults::transaction")]
    pub pool_mode: PoolMode,
    /// Server connections for each user and database. At least 1, default 20. Dynamic.
    #[serde(default = "defaults::twenty")]
    pub default_pool_size: u32,
    /// Connections kept open while a pool is in use. 0 to `default_pool_size`, default 0. Dynamic.
    #[serde(default)]
    pub min_pool_size: u32,
    /// Server connections of one database. Default 0: no limit. Dynamic.
    #[serde(default)]
    pub max_db_connections: u32,
    /// Server connections of one user. Default 0: no limit. Dynamic.
    #[serde(default)]
    pub max_user_connections: u32,
    /// Age at which a connection is replaced. Default "1h"; "0s": never. Dynamic, for new
    /// connections.
    #[serde(default = "defaults::an_hour")]
    pub server_lifetime: Time,
    /// Up to this much, but no more than `server_lifetime`, is taken off at random, so that
    /// connections do not all end together. Default "5m". Dynamic, for new connections.
    #[serde(default = "defaults::five_minutes")]
    pub server_lifetime_jitter: Time,
    /// A connection unused for longer is closed. Default "10m"; "0s": never. Dynamic.
    #[serde(default = "defaults::ten_minutes")]
    pub server_idle_timeout: Time,
    /// A connection unused for longer is checked before it is lent. Default "30s"; "0s": always.
    /// Dynamic.
    #[serde(default = "defaults::half_a_minute")]
    pub server_check_delay: Time,
    /// For resolving, connecting, TLS and login together. More than "0s", default "15s". Dynamic.
    #[serde(default = "defaults::fifteen_seconds")]
    pub server_connect_timeout: Time,
    /// After a failed login, those who wait are refused for this long. Default "1s". Dynamic.
    #[serde(default = "defaults::a_second")]
    pub server_login_retry: Time,
    /// Logins under way at once. At least 1, default 8. Dynamic.
    #[serde(default = "defaults::eight")]
    pub server_login_concurrency: u32,
    /// Longest wait for a rollback or reset before the connection is closed. More than "0s",
    /// default "5s". Dynamic.
    #[serde(default = "defaults::five_seconds")]
    pub server_reset_timeout: Time,
    /// How long the cancelled request of a lost client may take to end. Default "10s". Dynamic.
    #[serde(default = "defaults::ten_seconds")]
    pub cancel_wait_timeout: Time,
    /// Prepared statements on one server connection. At least 1, default 200. Dynamic.
    #[serde(default = "defaults::two_hundred")]
    pub max_prepared_statements: usize,
    /// Largest statement that can be kept and prepared on another connection; a larger one pins.
    /// "1KB" to "1MB", default "1MB". Dynamic, for new clients.
    #[serde(default = "defaults::a_megabyte")]
    pub max_statement_size: Size,
    /// "disable", "prefer", "require", "verify-ca" or "verify-full". Default "prefer". Dynamic.
    #[serde(default = "defaults::prefer")]
    pub server_tls_mode: TlsMode,
    /// Authorities, PEM, such as Amazon's RDS bundle. Default: the system's. Dynamic.
    pub server_tls_ca_file: Option<PathBuf>,
    /// Our own certificate for the server, PEM. Default: none. Dynamic.
    pub server_tls_cert_file: Option<PathBuf>,
    /// Its key, PEM. Dynamic.
    pub server_tls_key_file: Option<PathBuf>,
    /// Name to verify instead of the target's host. Default: the host. Dynamic.
    pub server_tls_server_name: Option<String>,
    /// "1.2" or "1.3". Default "1.2". Dynamic.
    #[serde(default = "defaults::tls_1_2")]
    pub server_tls_min_version: TlsVersion,
    /// Query that yields the name and password hash of user `$1`, for users that are not configured.
    /// Default: none. Dynamic.
    pub auth_query: Option<String>,
    /// User that runs it: a `[[user]]` or one of the userlist, with a password that is in the clear.
    /// Needed by `auth_query`. Dynamic.
    pub auth_user: Option<String>,
    /// Database it runs in. Default: the one the client asked for. Dynamic.
    pub auth_database: Option<String>,
    /// Silence before the first TCP keepalive probe, in whole seconds. Default "60s"; "0s": no
    /// keepalive. Dynamic.
    #[serde(default = "defaults::a_minute")]
    pub tcp_keepalive_idle: Time,
    /// Time between probes, in whole seconds. At least "1s", default "15s". Dynamic.
    #[serde(default = "defaults::fifteen_seconds")]
    pub tcp_keepalive_interval: Time,
    /// Probes without answer before the connection is dead. 1 to 127, default 4. Dynamic.
    #[serde(default = "defaults::four")]
    pub tcp_keepalive_count: u32,
    /// How long sent bytes may stay unacknowledged. Default "0s": the system's. Dynamic.
    #[serde(default = "defaults::never")]
    pub tcp_user_timeout: Time,
}

/// `[[target_group.target]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `host:port`; the port may be left out. Required. Dynamic.
    pub address: String,
}
