//! A borrowed connection, and the ways back: given back, cleaned up, or closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lending::{Pool, close};
use super::manager::Loan;
use super::metrics::CloseReason;
use super::server::{ChoreError, ServerConn};
use crate::model::TxStatus;
use crate::protocol::{Back, Chore, Engine};

/// A server connection in one session's hands. Dropping it closes the connection: only
/// [`Borrowed::give_back`] and [`Borrowed::clean_up`] let others have it.
pub struct Borrowed<E: Engine> {
    /// Present until the connection is on its way back.
    loan: Option<Loan<E>>,
    pool: Arc<Pool<E>>,
}

impl<E: Engine> Borrowed<E> {
    pub(super) fn new(loan: Loan<E>, pool: Arc<Pool<E>>) -> Self {
        Self {
            loan: Some(loan),
            pool,
        }
    }

    /// The connection.
    pub fn conn(&mut self) -> &mut ServerConn<E> {
        #[expect(
            clippy::expect_used,
            reason = "taken only by methods that consume self, and by drop"
        )]
        let loan = self.loan.as_mut().expect("present until consumed");
        loan
    }

    /// The pool that it comes from.
    pub fn pool(&self) -> &Arc<Pool<E>> {
        &self.pool
    }

    /// Gives the connection back at a point where nothing is owed and no transaction is open;
    /// otherwise it is closed. State that a session has left is reset first, in a task of its
    /// own; until that is done the connection counts as borrowed.
    pub fn give_back(self) {
        self.give_back_at(Instant::now());
    }

    /// The same for who has just read the clock.
    pub fn give_back_at(mut self, now: Instant) {
        let conn = self.conn();
        let progress = conn.back.progress();
        if progress.closing {
            return self.close(CloseReason::ServerClosed);
        }
        if !progress.is_idle() || !conn.carry.is_empty() {
            return self.close(CloseReason::Unclean);
        }
        if conn.back.is_dirty() {
            return self.restore();
        }
        self.put(now);
    }

    /// Gives the connection back for a client that has vanished: what can be undone is undone,
    /// in a task of its own, and the connection is closed where that fails. Requests that the
    /// server has not answered to the end cannot be undone.
    pub fn clean_up(mut self) {
        let conn = self.conn();
        let progress = conn.back.progress();
        if progress.closing {
            return self.close(CloseReason::ServerClosed);
        }
        if !progress.settled {
            return self.close(CloseReason::Unclean);
        }
        if progress.tx == TxStatus::Idle {
            return self.give_back();
        }
        self.restore();
    }

    /// Closes the connection.
    pub fn close(mut self, reason: CloseReason) {
        if let Some(loan) = self.loan.take() {
            close(loan, reason);
        }
    }

    /// How long it had been idle when it was taken from the store; zero if somebody gave it back
    /// for this one.
    pub(super) fn idle_for(&self) -> Duration {
        let loan = self.loan.as_ref();
        loan.map_or(Duration::ZERO, |loan| loan.terms.idle_for)
    }

    /// Puts it back as it came, unused.
    pub(super) fn put_back(mut self) {
        if let Some(loan) = self.loan.take() {
            self.pool.put_as_it_is(loan);
        }
    }

    fn put(mut self, now: Instant) {
        if let Some(loan) = self.loan.take() {
            self.pool.put(loan, now);
        }
    }

    /// Undoes transaction and state, then gives back.
    fn restore(mut self) {
        let pool = Arc::clone(&self.pool);
        let options = pool.options();
        let limit = options.reset_timeout;
        let tasks = Arc::clone(&pool.target.tasks);
        tasks.spawn(async move {
            let work = restore(self.conn(), limit, options.init_query.as_deref());
            match tokio::time::timeout(limit, work).await {
                Ok(Ok(())) => self.put(Instant::now()),
                Ok(Err(error)) => {
                    tracing::warn!(pool = %pool.key, %error, "server connection could not be reset");
                    self.close(CloseReason::ResetFailed);
                }
                Err(_) => {
                    tracing::warn!(pool = %pool.key, ?limit, "reset took too long");
                    self.close(CloseReason::ResetFailed);
                }
            }
        });
    }
}

/// Not cancel-safe: the connection is to be closed if this is dropped half-way.
async fn restore<E: Engine>(
    conn: &mut ServerConn<E>,
    limit: Duration,
    init_query: Option<&str>,
) -> Result<(), ChoreError> {
    if conn.back.progress().tx != TxStatus::Idle {
        conn.run(Chore::Rollback, limit).await?;
    }
    if conn.back.is_dirty() {
        conn.run(Chore::Reset, limit).await?;
        // The reset has undone this too.
        if let Some(sql) = init_query {
            conn.run(Chore::Init(sql), limit).await?;
        }
    }
    if conn.back.progress().is_idle() && !conn.back.is_dirty() && conn.carry.is_empty() {
        return Ok(());
    }
    Err(ChoreError::Unclean)
}

impl<E: Engine> Drop for Borrowed<E> {
    fn drop(&mut self) {
        if let Some(loan) = self.loan.take() {
            close(loan, CloseReason::Dropped);
        }
    }
}
