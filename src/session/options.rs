//! What configuration decides about client sessions.

use std::sync::Arc;
use std::time::Duration;

use crate::model::Consistency;
use crate::protocol::FrontSettings;

/// What sessions whose reads go to replicas may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitOptions {
    /// How far behind a read may be.
    pub consistency: Consistency,
    /// How long a read waits for a replica to come far enough, before it goes to the primary.
    pub wait: Duration,
}

/// Limits and policy of one client session.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// From accept to the end of the login.
    pub login_timeout: Duration,
    /// A client without transaction that sends nothing for this long is disconnected; zero: never.
    pub idle_client_timeout: Duration,
    /// A client inside a transaction that sends nothing for this long is disconnected; zero: never.
    pub idle_transaction_timeout: Duration,
    /// A request that takes longer is cancelled and its client disconnected; zero: never.
    pub query_timeout: Duration,
    /// After a client is lost in the middle of a request, how long its cancelled request may take
    /// to end before the server connection is closed.
    pub cancel_wait_timeout: Duration,
    /// Of sessions whose reads go to replicas.
    pub split: SplitOptions,
    /// Policy of the engine's side.
    pub front: Arc<FrontSettings>,
    /// One log line per client connect and close.
    pub log_connections: bool,
}
