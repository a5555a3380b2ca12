//! What operators see of a pool.

use crate::model::PoolKey;

/// Counts of one pool at one moment. Taken without stopping anybody: the counts may disagree by
/// what happened between reading one and the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSnapshot {
    /// Which pool.
    pub key: PoolKey,
    /// Most connections it may have.
    pub size: u32,
    /// Open connections.
    pub open: u32,
    /// Of these, free to be borrowed.
    pub idle: u32,
    /// Of these, with clients or being reset.
    pub borrowed: u32,
    /// Logins under way.
    pub opening: u32,
    /// Clients that wait for a connection.
    pub waiting: u32,
    /// Requests for a connection so far.
    pub borrows: u64,
    /// Of these, not served in time.
    pub timeouts: u64,
    /// Of these, refused at once because too many waited.
    pub shed: u64,
    /// Logins that succeeded.
    pub logins_ok: u64,
    /// Logins that failed.
    pub logins_failed: u64,
}
