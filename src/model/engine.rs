//! The database families that Sluice speaks.

use std::fmt;

/// The wire protocol of a listener and its targets. RDS Proxy calls this `EngineFamily`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineFamily {
    /// PostgreSQL frontend/backend protocol 3.x.
    Postgres,
    /// MySQL client/server protocol, of MySQL and MariaDB.
    Mysql,
}

impl EngineFamily {
    /// The name used in configuration, logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Mysql => "mysql",
        }
    }
}

impl fmt::Display for EngineFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
