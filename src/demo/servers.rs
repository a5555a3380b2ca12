//! The throwaway servers behind Sluice.

use super::error::DemoError;
use super::mysql;
use super::mysql_pair::Pair;
use super::postgres::Postgres;
use super::proxy::POOL_SIZE;
use super::replica::Replica;

/// PostgreSQL, and MySQL and MariaDB where they are installed; each with a replica.
pub struct Servers {
    /// Always there.
    pub postgres: Postgres,
    /// Its replica, once it has been copied.
    pub replica: Option<Replica>,
    /// Of those whose programs were found.
    pub mysql: Vec<Pair>,
}

impl Servers {
    /// An error if one has ended.
    pub fn alive(&mut self) -> Result<(), DemoError> {
        self.postgres.alive()?;
        if let Some(replica) = &mut self.replica {
            replica.alive()?;
        }
        self.mysql.iter_mut().try_for_each(Pair::alive)
    }

    /// Clients of the load beside those of PostgreSQL.
    pub fn more_clients(&self) -> u32 {
        self.pairs() * mysql::CLIENTS
    }

    /// Server connections that all clients share at most, of all pools on primaries and replicas. In MySQL a connection
    /// that is in a schema cannot serve clients without one: it closes while its successor opens.
    pub fn pools(&self) -> u32 {
        2 * POOL_SIZE + self.pairs() * 2 * (POOL_SIZE + 1)
    }

    fn pairs(&self) -> u32 {
        u32::try_from(self.mysql.len()).unwrap_or(u32::MAX)
    }
}
