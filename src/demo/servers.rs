//! The throwaway servers behind Sluice.

use super::error::DemoError;
use super::mysql::{self, MySql};
use super::postgres::Postgres;
use super::proxy::POOL_SIZE;
use super::replica::Replica;

/// PostgreSQL, and MySQL or MariaDB where one is installed.
pub struct Servers {
    /// Always there.
    pub postgres: Postgres,
    /// Its replica, once it has been copied.
    pub replica: Option<Replica>,
    /// Only where its programs were found.
    pub mysql: Option<MySql>,
}

impl Servers {
    /// An error if one has ended.
    pub fn alive(&mut self) -> Result<(), DemoError> {
        self.postgres.alive()?;
        if let Some(replica) = &mut self.replica {
            replica.alive()?;
        }
        self.mysql.as_mut().map_or(Ok(()), MySql::alive)
    }

    /// Clients of the load beside those of PostgreSQL.
    pub fn more_clients(&self) -> u32 {
        self.mysql.as_ref().map_or(0, |_| mysql::CLIENTS)
    }

    /// Server connections that all clients share at most, of all pools. In MySQL a connection that
    /// is in a schema cannot serve clients without one: it closes while its successor opens.
    pub fn pools(&self) -> u32 {
        let mysql = self.mysql.as_ref().map_or(0, |_| POOL_SIZE + 1);
        POOL_SIZE + mysql
    }
}
