//! What one look at a server has shown.

use std::sync::Arc;
use std::time::Duration;

use super::{Position, Role};

/// What a server says of itself. What it does not say, or was not asked, is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Whether it takes writes.
    pub role: Option<Role>,
    /// Raised by each promotion in the history that it follows, where the engine counts them.
    pub timeline: Option<u64>,
    /// How far it has come.
    pub position: Option<Position>,
    /// The same as a count that only grows, comparable between servers of one history.
    pub progress: Option<u64>,
    /// How far a replica says it is behind.
    pub lag: Option<Duration>,
    /// Whether a replica receives what its source writes.
    pub streaming: Option<bool>,
    /// It is set up to follow another server.
    pub follows: bool,
    /// Its storage is another server's, so that it follows without being set up to.
    pub shares_storage: bool,
    /// The connections that it takes.
    pub capacity: Option<u32>,
    /// What names the history that it belongs to; equal for all servers of a group.
    pub lineage: Option<Arc<str>>,
}

/// Why a look has shown nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookFailure {
    /// The server cannot be reached.
    Unreachable,
    /// It was reached, but did not answer as it should.
    Unusable,
    /// It refuses the login.
    Refused,
}
