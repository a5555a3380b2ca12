//! The configuration file as it is written. Unknown keys are errors.
//!
//! Each key says its default, its range, what it does, and whether a reload (SIGHUP) applies it
//! (dynamic) or only a restart. `config/reference.toml` shows them all.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::inline::Inline;
use super::raw_aws::{Aws, Secret, ServerAuthMethod};
use super::raw_tokens::{IamKey, IamPolicy, IamVerification, JwtIssuer, Tokens};
use super::units::{Fraction, Percent, Size, Time};

pub use super::raw_choices::{
    AuthMethod, ClientCert, Discovery, Engine, LogFormat, PinFilter, PoolMode, ReadConsistency,
    TargetRole, TargetRoleHint, TlsMode, TlsVersion, WithoutReplica,
};

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
    /// AWS.
    #[serde(default)]
    pub aws: Aws,
    /// Secrets that bring the users they name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret: Vec<Secret>,
    /// Tokens of clients.
    #[serde(default)]
    pub tokens: Tokens,
    /// Access keys that tokens of clients may be signed with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub iam_key: Vec<IamKey>,
    /// What the bearers of those keys may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub iam_policy: Vec<IamPolicy>,
    /// Who issues JSON Web Tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jwt_issuer: Vec<JwtIssuer>,
}

/// `[general]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct General {
    /// Threads that serve clients. 0 to 1024, default 0: one for each core, or just one where there
    /// are no more than two. Restart.
    pub worker_threads: usize,
    /// Most clients over all listeners. Default 10000; 0: no limit. Dynamic.
    pub max_client_conn: usize,
    /// Most clients from one address. Default 0: no limit. Dynamic.
    pub max_client_conn_per_address: usize,
    /// Where `/metrics`, `/livez`, `/readyz` and `/status` are served. Default: nowhere. Restart.
    pub admin_address: Option<SocketAddr>,
    /// Whether `/pause`, `/resume` and `/switchover` are obeyed there, from whoever reaches the address.
    /// Default false. Restart.
    pub admin_commands: bool,
    /// `tracing` filter; the environment variable RUST_LOG overrides it. Default "info". Dynamic.
    pub log_level: String,
    /// "text" or "json". Default "text". Restart.
    pub log_format: LogFormat,
    /// A log line for each client that connects and disconnects. Default true. Dynamic.
    pub log_connections: bool,
    /// After SIGTERM, how long transactions may take to end. Default "30s". Dynamic.
    pub shutdown_timeout: Time,
    /// Users in the format of PgBouncer's `auth_file`. Default: none. Dynamic.
    pub userlist_file: Option<PathBuf>,
    /// The availability zone that this process runs in: replicas in it are preferred. Default: not
    /// known. Dynamic.
    pub zone: Option<String>,
}

impl Default for General {
    fn default() -> Self {
        Self {
            worker_threads: 0,
            max_client_conn: 10_000,
            max_client_conn_per_address: 0,
            admin_address: None,
            admin_commands: false,
            log_level: "info".into(),
            log_format: LogFormat::Text,
            log_connections: true,
            shutdown_timeout: Time::secs(30),
            userlist_file: None,
            zone: None,
        }
    }
}

/// `[[listener]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Name for logs, metrics and systemd's `FileDescriptorName=`. Required, unique. Restart.
    pub name: String,
    /// "postgresql". Default "postgresql". Restart.
    #[serde(default = "postgresql")]
    pub engine: Engine,
    /// Address and port. Required. Restart.
    pub address: SocketAddr,
    /// The group that serves databases without an entry, or whose entry names none. Default: the
    /// only group; may be left out if each `[[database]]` names one. Dynamic.
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
    /// "off", "optional" or "required"; the last two need `tls_client_ca_file`. Default "off".
    /// Dynamic.
    #[serde(default = "off")]
    pub tls_client_cert: ClientCert,
    /// "1.2" or "1.3". Default "1.2". Dynamic.
    #[serde(default = "tls_1_2")]
    pub tls_min_version: TlsVersion,
    /// PostgreSQL: "scram-sha-256" (default), "password", "md5", "cert" or "trust". MySQL:
    /// "caching_sha2_password", "mysql_native_password", "client_ed25519" (default: of these three
    /// the client's choice), "sha256_password", "password", "cert" or "trust". "password" and
    /// "sha256_password" need TLS, and `require_tls` but on loopback; "cert" needs
    /// `tls_client_cert`; "trust" is for loopback only. Both: "iam" and "jwt", which need TLS.
    /// Dynamic.
    pub auth_method: Option<AuthMethod>,
    /// Who judges IAM tokens: "delegate", the database, or "signature", Sluice with the keys of
    /// `[[iam_key]]`. Default "delegate". Dynamic, for new clients.
    #[serde(default = "delegate")]
    pub iam_verification: IamVerification,
    /// The region that IAM tokens are signed for. Default: the one in the target's host name, if
    /// that is an endpoint of RDS. Dynamic, for new clients.
    pub iam_region: Option<String>,
    /// `host:port` of the endpoints that IAM tokens may be signed for. Default []: those of the
    /// targets. Dynamic, for new clients.
    #[serde(default)]
    pub iam_hosts: Vec<String>,
    /// What policies call the database: `db-…`, `cluster-…` or `prx-…`. Default: "prx-" and the
    /// listener's name. Dynamic, for new clients.
    pub iam_resource_id: Option<String>,
    /// Names of the `[[jwt_issuer]]`s whose tokens are taken. Default []: all. Dynamic, for new
    /// clients.
    #[serde(default)]
    pub jwt_issuers: Vec<String>,
    /// MySQL: clients without TLS may ask for an RSA key, made at start, to seal their password
    /// with, as MySQL's servers let them. Default false. Dynamic.
    #[serde(default)]
    pub public_key_retrieval: bool,
    /// "transaction" or "session". Default: the target group's. Dynamic.
    pub pool_mode: Option<PoolMode>,
    /// Where statements go: "read_write", all to the primary; "read_only", all to a replica;
    /// "split", what only reads to a replica and the rest to the primary. Default "read_write".
    /// Dynamic, for new clients.
    #[serde(default = "read_write")]
    pub target_role: TargetRole,
    /// What clients whose reads go to replicas may rely on: "eventual", a replica may lag by as much as
    /// its group allows; "session", a session reads its own writes and never goes back in time; "strong", it
    /// reads everybody's. Default "session". Dynamic, for new clients.
    #[serde(default = "session")]
    pub read_consistency: ReadConsistency,
    /// How long a read waits for a replica to come far enough for that, before it goes to the primary. Default
    /// "50ms". Dynamic, for new clients.
    #[serde(default = "fifty_millis")]
    pub replica_wait_timeout: Time,
    /// Most clients of this listener. Default 0: no limit of its own. Dynamic.
    #[serde(default)]
    pub max_client_conn: usize,
    /// A client without transaction that is silent for longer is disconnected. Default "30m", as
    /// RDS Proxy; "0s": never. Dynamic, for new clients.
    #[serde(default = "half_an_hour")]
    pub idle_client_timeout: Time,
    /// From accept to the end of the login. Above "0s", default "60s". Dynamic.
    #[serde(default = "a_minute")]
    pub client_login_timeout: Time,
    /// A client silent for longer inside a transaction is disconnected. Default "0s": never.
    /// Dynamic, for new clients.
    #[serde(default = "never")]
    pub idle_transaction_timeout: Time,
    /// A request that takes longer is cancelled and its client disconnected. Default "0s": never.
    /// Dynamic, for new clients.
    #[serde(default = "never")]
    pub query_timeout: Time,
    /// Startup options that clients may set; "*": any. Default ["*"]. Dynamic, for new clients.
    #[serde(default = "any_option")]
    pub allow_startup_options: Vec<String>,
    /// Startup options that are silently left out. Default []. Dynamic, for new clients.
    #[serde(default)]
    pub ignore_startup_options: Vec<String>,
    /// Prepared statements that one client may hold. At least 1, default 10000. Dynamic, for
    /// new clients.
    #[serde(default = "ten_thousand")]
    pub max_prepared_statements_per_client: usize,
    /// Connections that wait to be accepted. At least 1, default 1024. Restart.
    #[serde(default = "backlog")]
    pub backlog: u32,
    /// Silence before the first TCP keepalive probe. Default "60s"; "0s": no keepalive. Restart.
    #[serde(default = "a_minute")]
    pub tcp_keepalive_idle: Time,
    /// Time between probes. At least "1s", default "15s". Restart.
    #[serde(default = "fifteen_seconds")]
    pub tcp_keepalive_interval: Time,
    /// Probes without answer before the connection is dead. 1 to 127, default 4. Restart.
    #[serde(default = "four")]
    pub tcp_keepalive_count: u32,
    /// How long sent bytes may stay unacknowledged. Default "0s": the system's. Restart.
    #[serde(default = "never")]
    pub tcp_user_timeout: Time,
}

/// `[[target_group]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TargetGroup {
    /// Name. Required, unique. Dynamic.
    pub name: String,
    /// "postgresql". Default "postgresql". Restart.
    #[serde(default = "postgresql")]
    pub engine: Engine,
    /// The servers: a primary and any number of replicas. At least one. Dynamic.
    pub target: Vec<Target>,
    /// Where the members of the group come from: "static", each target is one; "dns", each address
    /// that a target's name stands for is one; "aurora" or "multi_az_cluster", a server says, with
    /// the targets to begin with; "rds", Amazon RDS says, and `target` may be []. Default "static".
    /// Dynamic.
    #[serde(default = "static_")]
    pub discovery: Discovery,
    /// With "rds": identifier of the DB cluster, or of the DB instance that has read replicas.
    /// Default: none. Dynamic.
    pub rds_identifier: Option<String>,
    /// Between two looks at that source, more often while the group has no primary. From "100ms",
    /// default "5s". Dynamic.
    #[serde(default = "five_seconds")]
    pub discovery_interval: Time,
    /// Where servers are really reached, by the `host:port` that discovery names: for tunnels and
    /// tests. Default {}: there. Dynamic.
    #[serde(default)]
    pub discovery_addresses: BTreeMap<String, String>,
    /// User that looks at the servers: a `[[user]]` or one of the userlist, with a password in the
    /// clear. Without one, servers are only tried for whether they take connections, and where
    /// there are several each needs its `role`. Default: none. Dynamic.
    pub monitor_user: Option<String>,
    /// Database that it logs in to. Default: "postgres" before PostgreSQL, none before MySQL.
    /// Dynamic.
    pub monitor_database: Option<String>,
    /// Between two looks at a server. From "10ms", default "1s". Dynamic.
    #[serde(default = "a_second")]
    pub health_check_interval: Time,
    /// The same while the group has no primary. From "10ms", default "100ms". Dynamic.
    #[serde(default = "a_tenth")]
    pub failover_check_interval: Time,
    /// Longest that one look may take. Above "0s", default "2s". Dynamic.
    #[serde(default = "two_seconds")]
    pub health_check_timeout: Time,
    /// Looks that must fail in a row before a server is unavailable. At least 1, default 2. Dynamic.
    #[serde(default = "two")]
    pub health_check_failures: u32,
    /// Looks that must succeed in a row before it is available again. At least 1, default 2.
    /// Dynamic.
    #[serde(default = "two")]
    pub health_check_successes: u32,
    /// Lag beyond which a replica is not used until it has caught up. Default "5s". Dynamic.
    #[serde(default = "five_seconds")]
    pub max_replica_lag: Time,
    /// The same for replicas in another region. Default "30s". Dynamic.
    #[serde(default = "half_a_minute")]
    pub max_replica_lag_other_region: Time,
    /// Between two readings of what each database says of its functions and views, where reads go to
    /// replicas. Above "0s", default "1m". Dynamic, for databases that nobody is logged in to.
    #[serde(default = "a_minute")]
    pub catalogue_refresh_interval: Time,
    /// What read-only sessions do while no replica is well: "wait", as long as for a connection, as
    /// RDS Proxy; or "primary", use that. Default "wait". Dynamic, for new clients.
    #[serde(default = "wait")]
    pub reads_without_replica: WithoutReplica,
    /// Server connections for each user and database on each replica. At least 1. Default: as
    /// `default_pool_size` and what overrides it. Dynamic.
    pub replica_pool_size: Option<u32>,
    /// Share of the server's own connection limit, less those it reserves. 1 to 100, default 100.
    /// Dynamic.
    #[serde(default = "all")]
    pub max_connections_percent: Percent<1>,
    /// Share that may stay open unused for five minutes. 0 to `max_connections_percent`, default
    /// half of it. Dynamic.
    pub max_idle_connections_percent: Option<Percent<0>>,
    /// Longest wait for a server connection. "0s" to "300s" in RDS Proxy, any here; default
    /// "120s"; "0s" fails at once. Dynamic.
    #[serde(default = "two_minutes")]
    pub connection_borrow_timeout: Time,
    /// Clients that may wait in one pool. Default 0: no limit. Dynamic.
    #[serde(default)]
    pub max_waiting_clients: u32,
    /// SQL run once on each new server connection. Default: none. Dynamic, for new connections.
    pub init_query: Option<String>,
    /// "transaction" or "session". Default "transaction". Dynamic, for new clients.
    #[serde(default = "transaction")]
    pub pool_mode: PoolMode,
    /// Reasons that do not pin (RDS Proxy's SessionPinningFilters): what a client leaves behind for
    /// one of them is lost at the end of its transaction. Default []. Dynamic, for new clients.
    #[serde(default)]
    pub session_pinning_filters: Vec<PinFilter>,
    /// Clients that listen for notifications share one connection for each database, and are not
    /// pinned for it. Default true. Dynamic, for new clients.
    #[serde(default = "yes")]
    pub shared_listen: bool,
    /// After what share of the requests that may run code of users the session's state is compared
    /// with the server's. 0.0 to 1.0, default 0.001. Dynamic, for new clients.
    #[serde(default = "a_thousandth")]
    pub verify_session_state: Fraction,
    /// Server connections for each user and database. At least 1, default 20. Dynamic.
    #[serde(default = "twenty")]
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
    #[serde(default = "an_hour")]
    pub server_lifetime: Time,
    /// Up to this much, but no more than `server_lifetime`, is taken off at random, so that
    /// connections do not all end together. Default "5m". Dynamic, for new connections.
    #[serde(default = "five_minutes")]
    pub server_lifetime_jitter: Time,
    /// Lend the connection that has been idle longest, so that all share the load, rather than the
    /// newest, so that few have it and the others can close. Default false. Dynamic.
    #[serde(default)]
    pub server_round_robin: bool,
    /// A connection unused for longer is closed. Default "10m"; "0s": never. Dynamic.
    #[serde(default = "ten_minutes")]
    pub server_idle_timeout: Time,
    /// A connection unused for longer is checked before it is lent. Default "30s"; "0s": always.
    /// Dynamic.
    #[serde(default = "half_a_minute")]
    pub server_check_delay: Time,
    /// For resolving, connecting, TLS and login together. Above "0s", default "15s". Dynamic.
    #[serde(default = "fifteen_seconds")]
    pub server_connect_timeout: Time,
    /// After a failed login, those who wait are refused for this long; one that breaks off, or is refused by a server that
    /// comes up or goes down, is tried again for a second first. Default "1s". Dynamic.
    #[serde(default = "a_second")]
    pub server_login_retry: Time,
    /// Logins under way at once. At least 1, default 8. Dynamic.
    #[serde(default = "eight")]
    pub server_login_concurrency: u32,
    /// Longest wait for a rollback or reset before the connection is closed. Above "0s", default
    /// "5s". Dynamic.
    #[serde(default = "five_seconds")]
    pub server_reset_timeout: Time,
    /// How long the cancelled request of a lost client may take to end. Default "10s". Dynamic.
    #[serde(default = "ten_seconds")]
    pub cancel_wait_timeout: Time,
    /// Prepared statements on one server connection. At least 1, default 200. Dynamic.
    #[serde(default = "two_hundred")]
    pub max_prepared_statements: usize,
    /// Largest statement that can be kept and prepared on another connection; a larger one pins.
    /// "1KB" to "1MB", default "1MB". Dynamic, for new clients.
    #[serde(default = "a_megabyte")]
    pub max_statement_size: Size,
    /// How Sluice proves to the servers who it is: "password", the one that is stored for a user or
    /// what the client has proven, or "iam", tokens of its own for every user that has no password
    /// or secret for the server (RDS Proxy's end-to-end IAM), which need `server_tls_mode` =
    /// "verify-full". Default "password". Dynamic, for new connections.
    #[serde(default = "password")]
    pub server_auth_method: ServerAuthMethod,
    /// Region that its tokens are signed for. Default: the one in the server's name, if that is an
    /// endpoint of RDS, else that of `[aws]`. Dynamic, for new connections.
    pub server_iam_region: Option<String>,
    /// "disable", "prefer", "require", "verify-ca" or "verify-full". Default "prefer". Dynamic.
    #[serde(default = "prefer")]
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
    #[serde(default = "tls_1_2")]
    pub server_tls_min_version: TlsVersion,
    /// MySQL without TLS: ask the server for its RSA key, to seal passwords with, as
    /// `get-server-public-key` of MySQL's clients does. Somebody on the way could put in a key of
    /// his own and read them. Default false. Dynamic, for new connections.
    #[serde(default)]
    pub server_public_key_retrieval: bool,
    /// Query that yields the name and password hash of user `$1`, for users that are not configured.
    /// Needs `auth_user`. Default: none. Dynamic.
    pub auth_query: Option<String>,
    /// User that runs it: a `[[user]]` or one of the userlist, with a password in the clear.
    /// Default: none. Dynamic.
    pub auth_user: Option<String>,
    /// Database it runs in. Default: the one the client asked for. Dynamic.
    pub auth_database: Option<String>,
    /// Silence before the first TCP keepalive probe. Default "60s"; "0s": no keepalive.
    /// Dynamic, for new connections.
    #[serde(default = "a_minute")]
    pub tcp_keepalive_idle: Time,
    /// Time between probes. At least "1s", default "15s". Dynamic, for new connections.
    #[serde(default = "fifteen_seconds")]
    pub tcp_keepalive_interval: Time,
    /// Probes without answer before the connection is dead. 1 to 127, default 4.
    /// Dynamic, for new connections.
    #[serde(default = "four")]
    pub tcp_keepalive_count: u32,
    /// How long sent bytes may stay unacknowledged. Default "0s": the system's.
    /// Dynamic, for new connections.
    #[serde(default = "never")]
    pub tcp_user_timeout: Time,
}

/// `[[target_group.target]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `host:port`; the port may be left out. Required. Dynamic.
    pub address: String,
    /// "primary", "replica", or "auto": what the server says of itself, which needs `monitor_user`;
    /// without one, a single server is the primary. Default "auto". Dynamic.
    #[serde(default = "auto")]
    pub role: TargetRoleHint,
    /// `host:port` of the database's own endpoint, for which IAM tokens are signed, where `address`
    /// is another way to it. Default: `address`. Dynamic.
    pub iam_endpoint: Option<String>,
    /// Its availability zone: see `general.zone`. Default: not known. Dynamic.
    pub zone: Option<String>,
    /// It is in another region than the primary. Default false. Dynamic.
    #[serde(default)]
    pub other_region: bool,
}

/// `[[database]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The name clients use; "*": any other. Required, unique. If any database is listed, others
    /// are refused. Dynamic.
    pub name: String,
    /// Default: the listener's. Dynamic.
    pub target_group: Option<String>,
    /// The name on the server. Default: the same. Dynamic.
    pub server_database: Option<String>,
    /// Default: the listener's or target group's. Dynamic.
    pub pool_mode: Option<PoolMode>,
    /// Default: the target group's. Dynamic, for new clients.
    pub session_pinning_filters: Option<Vec<PinFilter>>,
    /// At least 1. Default: the target group's `default_pool_size`. Dynamic.
    pub pool_size: Option<u32>,
    /// Default: the target group's. Dynamic.
    pub min_pool_size: Option<u32>,
    /// Most clients of this database. Default 0: no limit. Dynamic.
    #[serde(default)]
    pub max_client_conn: usize,
}

/// `[[user]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name clients use. Required, unique. Dynamic.
    pub name: String,
    /// Password, `SCRAM-SHA-256$…` verifier or `md5…` of PostgreSQL, or what MySQL and MariaDB keep:
    /// `*…`, `$A$005$…` or `$5$…`, also in hexadecimal as `0x…`, `P0:…`, or `ed25519:` and the key. At most one of this and the next two; without
    /// any, what the userlist has for this name, if anything. Dynamic.
    pub password: Option<Inline>,
    /// File that holds it; one line break at its end does not count. Dynamic.
    pub password_file: Option<PathBuf>,
    /// Environment variable that holds it. Dynamic.
    pub password_env: Option<String>,
    /// ARN or name of a secret in AWS Secrets Manager with `username` and `password`, in place of
    /// the three above: clients prove that they know this password, and Sluice logs in to the
    /// server with both. Default: none. Dynamic, the content too.
    pub secret_arn: Option<String>,
    /// As the listener's; refused if any listener must not use it, and without effect on listeners
    /// of another `engine`. Default: the listener's. Dynamic.
    pub auth_method: Option<AuthMethod>,
    /// As the listener's. Default: the listener's. Dynamic, for new clients.
    pub iam_verification: Option<IamVerification>,
    /// Common names of certificates that may log in as this user. Default: the user's name.
    /// Dynamic.
    #[serde(default)]
    pub certificate_names: Vec<String>,
    /// The name on the server. Default: the same. Dynamic.
    pub server_user: Option<String>,
    /// Password on the server. Default: the one above, or what the client proved (pass-through).
    /// Dynamic.
    pub server_password: Option<Inline>,
    /// File that holds it. Dynamic.
    pub server_password_file: Option<PathBuf>,
    /// Environment variable that holds it. Dynamic.
    pub server_password_env: Option<String>,
    /// ARN or name of a secret in AWS Secrets Manager with the name and password on the server, in
    /// place of the three above and of `server_user`. Default: none. Dynamic, the content too.
    pub server_secret_arn: Option<String>,
    /// As the target group's. Default: "password" if there is a password or secret for the server,
    /// else the target group's. Dynamic, for new connections.
    pub server_auth_method: Option<ServerAuthMethod>,
    /// Default: the database's, listener's or target group's. Dynamic.
    pub pool_mode: Option<PoolMode>,
    /// Default: the database's or target group's. Dynamic, for new clients.
    pub session_pinning_filters: Option<Vec<PinFilter>>,
    /// Default: the listener's. Dynamic, for new clients.
    pub target_role: Option<TargetRole>,
    /// At least 1. Default: the database's or target group's. Dynamic.
    pub pool_size: Option<u32>,
    /// Most clients of this user. Default 0: no limit. Dynamic.
    #[serde(default)]
    pub max_client_conn: usize,
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

macro_rules! defaults {
    ($($name:ident: $kind:ty = $value:expr;)*) => {
        $(const fn $name() -> $kind { $value })*
    };
}

defaults! {
    postgresql: Engine = Engine::Postgresql;
    off: ClientCert = ClientCert::Off;
    delegate: IamVerification = IamVerification::Delegate;
    tls_1_2: TlsVersion = TlsVersion::V1_2;
    prefer: TlsMode = TlsMode::Prefer;
    password: ServerAuthMethod = ServerAuthMethod::Password;
    transaction: PoolMode = PoolMode::Transaction;
    read_write: TargetRole = TargetRole::ReadWrite;
    session: ReadConsistency = ReadConsistency::Session;
    fifty_millis: Time = Time(Duration::from_millis(50));
    static_: Discovery = Discovery::Static;
    auto: TargetRoleHint = TargetRoleHint::Auto;
    wait: WithoutReplica = WithoutReplica::Wait;
    all: Percent<1> = Percent(100);
    never: Time = Time::secs(0);
    a_tenth: Time = Time(Duration::from_millis(100));
    a_second: Time = Time::secs(1);
    two_seconds: Time = Time::secs(2);
    five_seconds: Time = Time::secs(5);
    ten_seconds: Time = Time::secs(10);
    fifteen_seconds: Time = Time::secs(15);
    half_a_minute: Time = Time::secs(30);
    a_minute: Time = Time::secs(60);
    two_minutes: Time = Time::secs(120);
    five_minutes: Time = Time::secs(300);
    ten_minutes: Time = Time::secs(600);
    half_an_hour: Time = Time::secs(1800);
    an_hour: Time = Time::secs(3600);
    two: u32 = 2;
    four: u32 = 4;
    eight: u32 = 8;
    twenty: u32 = 20;
    two_hundred: usize = 200;
    backlog: u32 = 1024;
    ten_thousand: usize = 10_000;
    a_megabyte: Size = Size(1 << 20);
    yes: bool = true;
    a_thousandth: Fraction = Fraction(0.001);
}

fn any_option() -> Vec<String> {
    vec!["*".into()]
}
