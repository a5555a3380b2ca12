//! Borrowing: at once if a connection lies idle, otherwise in turn ([`Turn`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::turn::Turn;
use super::{Handed, Pool};
use crate::net::reactor;
use crate::pool::borrowed::Borrowed;
use crate::pool::metrics::CloseReason;
use crate::pool::open::BorrowError;
use crate::pool::target::holding;
use crate::protocol::{Chore, Engine};

impl<E: Engine> Pool<E> {
    /// Borrows a connection: idle, in the state after login, and alive as far as can be told.
    /// Waits in turn for at most the borrow timeout. Cancel-safe: a borrower that leaves gives
    /// up its turn, and a connection handed to it meanwhile goes to the next.
    pub async fn borrow(self: &Arc<Self>) -> Result<Borrowed<E>, BorrowError> {
        if let Some(borrowed) = self.borrow_at_once() {
            return Ok(borrowed);
        }
        let mut turn = self.line_up(Instant::now());
        std::future::poll_fn(|cx| turn.poll(cx)).await
    }

    /// Borrows a connection that lies idle and needs no check, if nobody waits.
    pub fn borrow_at_once(self: &Arc<Self>) -> Option<Borrowed<E>> {
        let borrowed = self.take_if_nobody_waits()?;
        if borrowed.idle_for() > self.options.load().check_delay {
            borrowed.put_back();
            return None;
        }
        self.tally.meters.borrows.inc();
        Some(borrowed)
    }

    /// As [`Pool::borrow`], for one who has waited since `start` already. Nothing happens before it is polled.
    pub fn line_up(self: &Arc<Self>, start: Instant) -> Turn<E> {
        Turn::new(Arc::clone(self), start)
    }

    /// What lies idle, checked or not, if nobody waits.
    pub(super) fn take_if_nobody_waits(self: &Arc<Self>) -> Option<Borrowed<E>> {
        if self.line.anyone() {
            return None;
        }
        let loan = self.take_idle()?;
        Some(Borrowed::new(loan, Arc::clone(self)))
    }

    /// Asks a connection that was idle for long for a sign of life; `None`, and it is closed, if it gives none.
    pub(super) async fn checked(
        &self,
        mut borrowed: Borrowed<E>,
        bounds: Bounds,
    ) -> Option<Borrowed<E>> {
        if borrowed.idle_for() <= bounds.check_delay {
            return Some(borrowed);
        }
        let limit = bounds.check_timeout;
        match borrowed.conn().run(Chore::Ping, limit).await {
            Ok(()) => Some(borrowed),
            Err(error) => {
                tracing::debug!(pool = %self.key, %error, "idle connection gave no sign of life");
                borrowed.close(CloseReason::PingFailed);
                None
            }
        }
    }

    /// Tells those who have waited for long enough. Once a second is enough for whoever waits for long (see [`Turn`]),
    /// and spares each wait a timer of its own.
    pub(in crate::pool) fn tell_overdue(&self, now: Instant) {
        let limit = self.options().borrow_timeout;
        self.line
            .overdue(now, || Handed::Failed(BorrowError::Timeout(limit)));
    }

    pub(super) fn bounds(&self) -> Bounds {
        let options = self.options.load();
        Bounds {
            size: options.size,
            timeout: options.borrow_timeout,
            waiting: usize::try_from(options.max_waiting).unwrap_or(usize::MAX),
            check_delay: options.check_delay,
            check_timeout: options.reset_timeout,
        }
    }

    /// Why waiting would be in vain.
    pub(super) fn refusal(&self) -> Option<BorrowError> {
        if self.closed.load(Ordering::SeqCst) {
            return Some(BorrowError::Closed);
        }
        if self.tally.held().slots > 0 {
            return None;
        }
        let now = Instant::now();
        let error = holding(&self.failure, now).or_else(|| self.target.failure(now));
        error.map(BorrowError::Unavailable)
    }

    /// Asks for new connections if the line is longer than the logins under way. `size` is the pool's.
    pub(super) fn ask(&self, size: u32) {
        if self.tally.held().slots < size {
            self.target.ask(self);
        }
    }

    /// Tells all waiters that it is no use.
    pub(in crate::pool) fn fail_line(&self, error: &BorrowError) {
        let (here, now) = (reactor::here(), Instant::now());
        while self.line.anyone() {
            let failed = Handed::Failed(error.clone());
            if self.line.hand(here, now, failed).is_err() {
                break;
            }
        }
        self.target.ask(self);
    }
}

/// The options that bound a wait, as they are at this moment. Copied, for a shared count of those who hold
/// them would pass between the cores with every wait.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) size: u32,
    pub(super) timeout: Duration,
    /// Waiters at most; 0: any number.
    pub(super) waiting: usize,
    pub(super) check_delay: Duration,
    check_timeout: Duration,
}
