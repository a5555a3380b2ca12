//! A configuration that has been checked: each component's options, and which belong together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::UserStore;
use crate::auth::iam::KeyRing;
use crate::auth::options::{
    AuthQuery, BringerOptions, IssuerOptions, ListenerTokenOptions, ServerAuth, TokenOptions,
};
use crate::aws::options::AwsOptions;
use crate::model::{AuthMethod, EngineFamily, PinPolicy, Pins, PoolMode, TargetName, TargetRole};
use crate::net::options::{DialOptions, ListenOptions, ServerTlsOptions};
use crate::pool::options::{PoolOptions, TargetOptions};
use crate::session::options::SplitOptions;
use crate::telemetry::options::LogOptions;
use crate::topology::options::TopologyOptions;

/// Everything that the daemon is built from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The process.
    pub general: GeneralPlan,
    /// Listeners; at least one.
    pub listeners: Vec<ListenerPlan>,
    /// Target groups; at least one.
    pub groups: Vec<GroupPlan>,
    /// Databases; empty: every name is passed on.
    pub databases: Vec<DatabasePlan>,
    /// Users, from this file and the userlist.
    pub users: UserStore,
    /// AWS.
    pub aws: AwsPlan,
    /// Tokens of clients, and what they are verified with.
    pub tokens: TokenPlan,
    /// What works but should not stay so; for the log.
    pub warnings: Vec<String>,
}

/// AWS, and the secrets that bring users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsPlan {
    /// How it is reached.
    pub options: AwsOptions,
    /// Secrets, each of which brings the user that it names.
    pub bringers: Vec<BringerOptions>,
}

/// Tokens of clients, and what they are verified with.
#[derive(Clone, Debug)]
pub struct TokenPlan {
    /// Clocks, caches and limits.
    pub options: TokenOptions,
    /// Keys that IAM tokens may be signed with.
    pub keys: KeyRing,
    /// Who issues JSON Web Tokens.
    pub issuers: Vec<Arc<IssuerOptions>>,
}

/// The process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneralPlan {
    /// Threads that serve clients; at least one.
    pub worker_threads: usize,
    /// Most clients; 0: no limit.
    pub max_client_conn: usize,
    /// Most clients from one address; 0: no limit.
    pub max_client_conn_per_address: usize,
    /// Address of the operators' HTTP endpoint.
    pub admin_address: Option<SocketAddr>,
    /// Orders are obeyed there.
    pub admin_commands: bool,
    /// Logs.
    pub log: LogOptions,
    /// A log line for each client that connects and disconnects.
    pub log_connections: bool,
    /// How long a drain may take.
    pub shutdown_timeout: Duration,
}

/// A listener.
#[derive(Clone, Debug)]
pub struct ListenerPlan {
    /// Its name.
    pub name: Arc<str>,
    /// What is spoken.
    pub engine: EngineFamily,
    /// The socket.
    pub listen: ListenOptions,
    /// The group of databases without an entry of their own.
    pub group: Option<Arc<str>>,
    /// TLS, if there is a certificate.
    pub tls: Option<ServerTlsOptions>,
    /// Refuse clients without TLS.
    pub require_tls: bool,
    /// How clients prove who they are; `None`: as is usual with what is spoken.
    pub auth_method: Option<AuthMethod>,
    /// Clients without TLS may seal their passwords with a key of ours.
    pub public_key_retrieval: bool,
    /// Which tokens are taken.
    pub tokens: ListenerTokenOptions,
    /// Pool mode, where it differs from the group's.
    pub pool_mode: Option<PoolMode>,
    /// Which servers statements go to.
    pub target_role: TargetRole,
    /// Of clients whose reads go to replicas.
    pub split: SplitOptions,
    /// Most clients; 0: no limit.
    pub max_client_conn: usize,
    /// Limits of each client.
    pub limits: ClientLimits,
}

/// Limits of each client of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// See `client_login_timeout`.
    pub login_timeout: Duration,
    /// See `idle_client_timeout`.
    pub idle_client_timeout: Duration,
    /// See `idle_transaction_timeout`.
    pub idle_transaction_timeout: Duration,
    /// See `query_timeout`.
    pub query_timeout: Duration,
    /// Startup options allowed; `None`: any.
    pub allow_options: Option<Arc<[String]>>,
    /// Startup options left out.
    pub ignore_options: Arc<[String]>,
    /// Prepared statements held.
    pub max_statements: usize,
}

/// A target group.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    /// Its name.
    pub name: Arc<str>,
    /// What is spoken.
    pub engine: EngineFamily,
    /// How its servers are reached, each by its own name and address.
    pub dial: DialOptions,
    /// Where servers are really reached, by their names.
    pub addresses: BTreeMap<TargetName, (Arc<str>, u16)>,
    /// The servers, and how they are watched.
    pub topology: TopologyOptions,
    /// Limits over the pools of one server.
    pub limits: TargetOptions,
    /// Its pools.
    pub pool: PoolOptions,
    /// Size of pools on replicas, where it differs.
    pub replica_pool_size: Option<u32>,
    /// Between two readings of what a database says of its functions and views.
    pub catalogue_refresh: Duration,
    /// Reads of read-only sessions go to the primary where no replica is well.
    pub reads_fall_back: bool,
    /// When a server connection goes back.
    pub pool_mode: PoolMode,
    /// What pins.
    pub pins: PinPolicy,
    /// How long the cancelled request of a lost client may take to end.
    pub cancel_wait_timeout: Duration,
    /// Prepared statements on one server connection.
    pub max_server_statements: usize,
    /// Largest statement kept, in bytes.
    pub max_statement_bytes: usize,
    /// How Sluice logs in, where a user says nothing else.
    pub server_auth: ServerAuth,
    /// Region that its own tokens are signed for; `None`: as the server's name says.
    pub iam_region: Option<Arc<str>>,
    /// Where users come from besides the configuration.
    pub auth_query: Option<AuthQuery>,
}

/// A database with settings of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabasePlan {
    /// The name clients use; `*`: any other.
    pub name: Arc<str>,
    /// Its group; `None`: the listener's.
    pub group: Option<Arc<str>>,
    /// The name on the server; `None`: the same.
    pub server_database: Option<Arc<str>>,
    /// Pool mode, where it differs.
    pub pool_mode: Option<PoolMode>,
    /// Reasons that do not pin, where they differ.
    pub filtered_pins: Option<Pins>,
    /// Pool size, where it differs.
    pub pool_size: Option<u32>,
    /// Connections kept open, where it differs.
    pub min_pool_size: Option<u32>,
    /// Most clients; 0: no limit.
    pub max_client_conn: usize,
}
