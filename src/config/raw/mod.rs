//! The configuration file as it is written. Unknown keys are errors.
//!
//! Each key says its default, its range, what it does, and whether a reload (SIGHUP) applies it
//! (dynamic) or only a restart. `config/reference.toml` shows them all.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::units::Time;

mod defaults;
mod group;
mod inline;
mod listener;
mod words;

pub use group::{Target, TargetGroup};
pub use inline::Inline;
pub use listener::Listener;
pub use words::{AuthMethod, ClientCert, Engine, LogFormat, PoolMode, TlsMode, TlsVersion};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What concerns the process.
    #[serde(default)]
    pub general: General,
    /// Where clients connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listener: Vec<Listener>,
    /// Servers and their pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_group: Vec<TargetGroup>,
    /// Databases with settings of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub database: Vec<Database>,
    /// Users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user: Vec<User>,
}

/// `[general]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct General {
    /// Threads that serve clients. 1 to 1024; default 0: one for each core. Restart.
    pub worker_threads: usize,
    /// Most clients over all listeners. Default 10000; 0: no limit. Dynamic.
    pub max_client_conn: usize,
    /// Most clients from one address. Default 0: no limit. Dynamic.
    pub max_client_conn_per_address: usize,
    /// Where `/metrics`, `/livez`, `/readyz` and `/status` are served. Default: nowhere. Restart.
    pub admin_address: Option<SocketAddr>,
    /// `tracing` filter; the environment variable RUST_LOG overrides it. Default "info". Dynamic.
    pub log_level: String,
    /// "text" or "json". Default "text". Restart.
    pub log_format: LogFormat,
    /// A log line for each client that connects and disconnects. Default true. Dynamic.
    pub log_connections: bool,
    /// After SIGTERM, how long transactions may take to end; "0s": no time. Default "30s". Dynamic.
    pub shutdown_timeout: Time,
    /// Users in the format of PgBouncer's `auth_file`. Default: none. Dynamic.
    pub userlist_file: Option<PathBuf>,
}

impl Default for General {
    fn default() -> Self {
        Self {
            worker_threads: 0,
            max_client_conn: 10_000,
            max_client_conn_per_address: 0,
            admin_address: None,
            log_level: "info".into(),
            log_format: LogFormat::Text,
            log_connections: true,
            shutdown_timeout: Time::secs(30),
            userlist_file: None,
        }
    }
}

/// `[[database]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The name clients use; "*": any other. Required, unique. If any database is listed, others
    /// are refused; without any, every name is passed on. Dynamic, as all keys here, for new
    /// clients.
    pub name: String,
    /// The group that serves it. Default: the listener's.
    pub target_group: Option<String>,
    /// The name on the server; not for "*". Default: the same.
    pub server_database: Option<String>,
    /// "transaction" or "session". Default: the listener's or target group's.
    pub pool_mode: Option<PoolMode>,
    /// Server connections for each user. At least 1. Default: the group's `default_pool_size`.
    pub pool_size: Option<u32>,
    /// Connections kept open while a pool is in use. 0 to the pool's size. Default: the group's.
    pub min_pool_size: Option<u32>,
    /// Most clients of this database. Default 0: no limit.
    #[serde(default)]
    pub max_client_conn: usize,
}

/// `[[user]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name clients use. Required, unique. Dynamic, as all keys here, for new clients.
    pub name: String,
    /// Password, `SCRAM-SHA-256$…` verifier or `md5…`. At most one of this and the next two; without
    /// any, what the userlist has for this name, if anything.
    pub password: Option<Inline>,
    /// File that holds it; one line break at its end does not count.
    pub password_file: Option<PathBuf>,
    /// Environment variable that holds it.
    pub password_env: Option<String>,
    /// As the listener's key of this name. "trust" only if all listeners are on loopback. Default:
    /// the listener's.
    pub auth_method: Option<AuthMethod>,
    /// Common names of certificates that may log in as this user. Default: the user's name.
    #[serde(default)]
    pub certificate_names: Vec<String>,
    /// The name on the server. Default: the same.
    pub server_user: Option<String>,
    /// Password on the server, in the clear. At most one of this and the next two. Default: the
    /// password above if it is in the clear, else what the client proved (pass-through).
    pub server_password: Option<Inline>,
    /// File that holds it.
    pub server_password_file: Option<PathBuf>,
    /// Environment variable that holds it.
    pub server_password_env: Option<String>,
    /// "transaction" or "session". Default: the database's, listener's or target group's.
    pub pool_mode: Option<PoolMode>,
    /// Server connections for each database. At least 1. Default: the database's or target group's.
    pub pool_size: Option<u32>,
    /// Most clients of this user. Default 0: no limit.
    #[serde(default)]
    pub max_client_conn: usize,
}
