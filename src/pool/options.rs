//! What configuration decides about pools of server connections.

use std::sync::Arc;
use std::time::Duration;

/// Limits over all pools of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetOptions {
    /// Share of the server's own connection limit, less those it reserves, that all pools
    /// together may use; 1 to 100.
    pub max_connections_percent: u8,
    /// Share of the same limit that may stay open without being borrowed; 0 to
    /// `max_connections_percent`.
    pub max_idle_connections_percent: u8,
    /// Cap on server connections of one database; 0: none.
    pub max_db_connections: u32,
    /// Cap on server connections of one user; 0: none.
    pub max_user_connections: u32,
    /// Logins to the server under way at once.
    pub login_concurrency: u32,
    /// After a failed login or dial, waiters fail at once with its error for this long.
    pub login_retry: Duration,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Most server connections of this pool.
    pub size: u32,
    /// Connections kept open while the pool is in use.
    pub min_size: u32,
    /// Longest wait for a connection; zero fails at once where none is free.
    pub borrow_timeout: Duration,
    /// Clients that may wait at once; one more is refused at once (load shedding). 0: no limit.
    pub max_waiting: u32,
    /// Age at which a connection is replaced; zero: never.
    pub lifetime: Duration,
    /// Up to this much is taken off each connection's lifetime at random, so that they do not
    /// all end together.
    pub lifetime_jitter: Duration,
    /// The connection that has been idle longest is lent, not the newest.
    pub round_robin: bool,
    /// Unused for this long, a connection is closed; zero: never.
    pub idle_timeout: Duration,
    /// Unused for longer than this, a connection is asked for a sign of life before it is lent;
    /// zero: always asked.
    pub check_delay: Duration,
    /// SQL run once on each new connection.
    pub init_query: Option<Arc<str>>,
    /// Longest wait for a rollback or reset before the connection is closed instead.
    pub reset_timeout: Duration,
}
