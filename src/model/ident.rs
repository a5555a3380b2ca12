//! Identifiers that travel between layers.

use std::fmt;
use std::sync::Arc;

/// Numbers a client session within this process; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// `host:port` of a database server, as configured.
pub type TargetName = Arc<str>;

/// What must be equal before two sessions may share a server connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// Name of the target group.
    pub group: Arc<str>,
    /// Address of the server.
    pub target: TargetName,
    /// Name that the server knows the user by.
    pub user: Arc<str>,
    /// Name that the server knows the database by; empty where connections move between
    /// databases.
    pub database: Arc<str>,
    /// What else was agreed on at login; known to the engine alone.
    pub variant: u32,
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.user, self.target, self.database)
    }
}
