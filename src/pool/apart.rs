//! Connections beside the pool: of its user, database and target, but lent to nobody and outside
//! its limits. For what Sluice itself keeps open, one for each database at most.

use std::sync::Arc;
use std::time::Duration;

use super::lending::Pool;
use super::open::{OpenError, Opened, Opening};
use super::server::{ChoreError, run, within};
use crate::protocol::{Back, Chore, Engine};

impl<E: Engine> Pool<E> {
    /// Opens a connection that is the caller's alone. Cancel-safe: dropped, it is closed.
    ///
    /// # Errors
    /// If it cannot be opened in time.
    pub fn open_apart(self: &Arc<Self>) -> Opening<'static, E> {
        let pool = Arc::clone(self);
        Box::pin(async move {
            let opener = pool.target.opener();
            let limit = opener.time_limit();
            let login = pool.login();
            let opening = tokio::time::timeout(limit, opener.open(&pool.key, &login));
            opening.await.map_err(|_| OpenError::TimedOut(limit))?
        })
    }

    /// Changes when connections opened before are out of date.
    pub fn epoch(&self) -> u64 {
        self.target.epoch()
    }
}

impl<E: Engine> Opened<E> {
    /// Runs one chore to its end, within `limit`. Not cancel-safe: a connection whose chore was dropped half-way
    /// must be closed.
    pub async fn run(&mut self, chore: Chore<'_>, limit: Duration) -> Result<(), ChoreError> {
        let work = run::<E>(&mut self.stream, &mut self.back, &mut self.carry, chore);
        within(limit, work).await
    }

    /// Takes leave of the server.
    pub fn leave(mut self) {
        let mut words = Vec::new();
        self.back.farewell(&mut words);
        self.stream.leave(&words);
    }
}
