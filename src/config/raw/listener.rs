//! `[[listener]]`: where clients connect.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::defaults;
use super::words::{AuthMethod, ClientCert, Engine, PoolMode, TlsVersion};
use crate::config::units::Time;

/// `[[listener]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Name for logs, metrics and systemd's `FileDescriptorName=`. Required, unique.
    pub name: String,
    /// "postgresql". Default "postgresql". Restart.
    #[serde(default = "defaults::postgresql")]
    pub engine: Engine,
    /// Address and port. Required. Restart.
    pub address: SocketAddr,
    /// The group that serves databases without an entry, or whose entry names none. Default: the
    /// only group. May be left out if each `[[database]]` names one. Dynamic.
    pub target_group: Option<String>,
    /// Refuse clients without TLS (RDS Proxy's RequireTLS). Default false. Dynamic.
    #[serde(default)]
    pub require_tls: bool,
    /// Certificate chain, PEM. Default: no TLS. Dynamic, the content too.
    pub tls_cert_file: Option<PathBuf>,
    /// Private key, PEM. With `tls_cert_file` only. Dynamic, the content too.
    pub tls_key_file: Option<PathBuf>,
    /// Authorities of client certificates, PEM. Default: none. Dynamic, the content too.
    pub tls_client_ca_file: Option<PathBuf>,
    /// Whether clients show a certificate: "off", "optional" or "required"; the last two need
    /// `tls_client_ca_file`. Default "off". Dynamic.
    #[serde(default = "defaults::off")]
    pub tls_client_cert: ClientCert,
    /// "1.2" or "1.3". Default "1.2". Dynamic.
    #[serde(default = "defaults::tls_1_2")]
    pub tls_min_version: TlsVersion,
    /// "scram-sha-256", "password", "md5", "cert" or "trust". Default "scram-sha-256". "password"
    /// needs TLS, and `require_tls` but on loopback; "cert" needs `tls_client_cert`; "trust" is for
    /// loopback only. Dynamic.
    #[serde(default = "defaults::scram")]
    pub auth_method: AuthMethod,
    /// "transaction" or "session". Default: the target group's. Dynamic.
    pub pool_mode: Option<PoolMode>,
    /// Most clients of this listener. Default 0: no limit of its own. Dynamic.
    #[serde(default)]
    pub max_client_conn: usize,
    /// A client without transaction that is silent for longer is disconnected. Default "30m", as
    /// RDS Proxy; "0s": never. Dynamic, for new clients.
    #[serde(default = "defaults::half_an_hour")]
    pub idle_client_timeout: Time,
    /// From accept to the end of the login. More than "0s", default "60s". Dynamic.
    #[serde(default = "defaults::a_minute")]
    pub client_login_timeout: Time,
    /// A client silent for longer inside a transaction is disconnected. Default "0s": never.
    /// Dynamic, for new clients.
    #[serde(default = "defaults::never")]
    pub idle_transaction_timeout: Time,
    /// A request that takes longer is cancelled and its client disconnected. Default "0s": never.
    /// Dynamic, for new clients.
    #[serde(default = "defaults::never")]
    pub query_timeout: Time,
    /// Startup options that clients may set; "*": any. Default ["*"]. Dynamic, for new clients.
    #[serde(default = "defaults::any_option")]
    pub allow_startup_options: Vec<String>,
    /// Startup options that are silently left out. Default []. Dynamic, for new clients.
    #[serde(default)]
    pub ignore_startup_options: Vec<String>,
    /// Prepared statements that one client may hold. At least 1, default 10000. Dynamic, for new
    /// clients.
    #[serde(default = "defaults::ten_thousand")]
    pub max_prepared_statements_per_client: usize,
    /// Connections that wait to be accepted. At least 1, default 1024. Restart.
    #[serde(default = "defaults::backlog")]
    pub backlog: u32,
    /// Silence before the first TCP keepalive probe, in whole seconds. Default "60s"; "0s": no
    /// keepalive. Restart.
    #[serde(default = "defaults::a_minute")]
    pub tcp_keepalive_idle: Time,
    /// Time between probes, in whole seconds. At least "1s", default "15s". Restart.
    #[serde(default = "defaults::fifteen_seconds")]
    pub tcp_keepalive_interval: Time,
    /// Probes without answer before the connection is dead. 1 to 127, default 4. Restart.
    #[serde(default = "defaults::four")]
    pub tcp_keepalive_count: u32,
    /// How long sent bytes may stay unacknowledged. Default "0s": the system's. Restart.
    #[serde(default = "defaults::never")]
    pub tcp_user_timeout: Time,
}

impl Listener {
    /// True for addresses that only this machine reaches.
    pub fn is_loopback(&self) -> bool {
        match self.address.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback(),
        }
    }
}
