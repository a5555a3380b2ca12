//! The throwaway servers behind Sluice.

use super::error::DemoError;
use super::mysql::{self, MySql};
use super::postgres::Postgres;
use super::proxy::POOL_SIZE;

/// PostgreSQL, and MySQL or MariaDB where one is installed.
pub struct Servers {
    /// Always there.
    pub postgres: Postgres,
    /// Only where its programs were found.
    pub mysql: Option<MySql>,
}

impl Servers {
    /// An error if one has ended.
    pub fn alive(&mut self) -> Result<(), DemoError> {
        self.postgres.alive()?;
        self.mysql.as_mut().map_or(Ok(()), MySql::alive)
    }

    /// Clients of the load beside those of PostgreSQL.
    pub fn more_clients(&self) -> u32 {
        self.mysql.as_ref().map_or(0, |_| mysql::CLIENTS)
    }

    /// Server connections that all clients share, of all pools.
    pub fn pools(&self) -> u32 {
        POOL_SIZE * (1 + u32::from(self.mysql.is_some()))
    }
}
