//! When a server connection goes back to its pool.

use std::fmt;

/// Named as in PgBouncer's `pool_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum PoolMode {
    /// After each transaction, unless the session is pinned.
    #[default]
    Transaction,
    /// When the client disconnects.
    Session,
}

impl PoolMode {
    /// The name used in configuration, logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for PoolMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
