//! What operators see of pools and targets.

use std::sync::Arc;

use crate::model::{PoolKey, TargetName};

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

/// What all pools of a target share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSnapshot {
    /// The target group.
    pub group: Arc<str>,
    /// The target.
    pub target: TargetName,
    /// Most connections that all its pools may have; `None`: no limit is known.
    pub allowed: Option<u32>,
    /// Connections they have, logins included.
    pub used: u32,
    /// Why it cannot be reached, while that was found out just now.
    pub failure: Option<String>,
}
