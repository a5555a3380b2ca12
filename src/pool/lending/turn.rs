//! Borrowing: at once if a connection lies idle, otherwise in turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::idle::bring_here;
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
        Box::pin(self.borrow_since(Instant::now())).await
    }

    /// Borrows a connection that lies idle and needs no check, if nobody waits.
    pub fn borrow_at_once(self: &Arc<Self>) -> Option<Borrowed<E>> {
        if self.line.anyone() {
            return None;
        }
        let borrowed = Borrowed::new(self.take_idle()?, Arc::clone(self));
        if borrowed.idle_for() > self.options.load().check_delay {
            borrowed.put_back();
            return None;
        }
        self.tally.meters.borrows.inc();
        Some(borrowed)
    }

    /// As [`Pool::borrow`], for one who has waited since `start` already.
    pub async fn borrow_since(
        self: &Arc<Self>,
        start: Instant,
    ) -> Result<Borrowed<E>, BorrowError> {
        self.tally.meters.borrows.inc();
        if !self.line.anyone()
            && let Some(loan) = self.take_idle()
        {
            let borrowed = Borrowed::new(loan, Arc::clone(self));
            if borrowed.idle_for() <= self.bounds().check_delay {
                return Ok(borrowed);
            }
            return Box::pin(self.borrow_checked(borrowed, start)).await;
        }
        self.borrow_in_turn(start).await
    }

    /// Asks a connection that was idle for long for a sign of life, and takes the next if it
    /// gives none.
    async fn borrow_checked(
        self: &Arc<Self>,
        borrowed: Borrowed<E>,
        start: Instant,
    ) -> Result<Borrowed<E>, BorrowError> {
        let bounds = self.bounds();
        let mut next = Some(borrowed);
        while let Some(borrowed) = next {
            if let Some(alive) = self.checked(borrowed, bounds).await {
                return Ok(alive);
            }
            let idle = if !self.line.anyone() {
                self.take_idle()
            } else {
                None
            };
            next = idle.map(|loan| Borrowed::new(loan, Arc::clone(self)));
        }
        self.borrow_in_turn(start).await
    }

    async fn checked(&self, mut borrowed: Borrowed<E>, bounds: Bounds) -> Option<Borrowed<E>> {
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

    async fn borrow_in_turn(self: &Arc<Self>, start: Instant) -> Result<Borrowed<E>, BorrowError> {
        let bounds = self.bounds();
        let result = self.wait_in_turn(&bounds, start).await;
        let meters = &self.tally.meters;
        match &result {
            Ok(_) | Err(BorrowError::Timeout(_)) => {
                meters.latency.observe(start.elapsed().as_secs_f64());
            }
            Err(_) => {}
        }
        match &result {
            Err(BorrowError::Timeout(_)) => meters.timeouts.inc(),
            Err(BorrowError::Overloaded) => meters.shed.inc(),
            _ => {}
        }
        result
    }

    /// As small as can be (what is rare is boxed): each of thousands that wait has one, and it is copied once.
    async fn wait_in_turn(
        self: &Arc<Self>,
        bounds: &Bounds,
        start: Instant,
    ) -> Result<Borrowed<E>, BorrowError> {
        let limit = bounds.timeout;
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        if limit.is_zero() && self.line.anyone() {
            return Err(BorrowError::Timeout(limit));
        }
        let pass_on = |handed| self.pass_on(handed);
        let patience = Patience::of(start, limit);
        // Dropped behind the ticket, whether served, cancelled or too late.
        let _leave = Leave(self);
        let mut ticket = self
            .line
            .join(bounds.waiting, start, patience.by_upkeep(), &pass_on)
            .ok_or(BorrowError::Overloaded)?;
        loop {
            self.serve_line();
            // Whoever notes a failure fails the line afterwards: it is seen here or told there.
            if let Some(error) = self.refusal() {
                return Err(error);
            }
            self.ask();
            let handed = match patience {
                Patience::Exact(deadline) => {
                    Box::pin(tokio::time::timeout_at(deadline, ticket.served()))
                        .await
                        .map_err(|_| BorrowError::Timeout(bounds.timeout))?
                }
                Patience::Coarse(_) | Patience::Endless => {
                    std::future::poll_fn(|cx| ticket.poll_served(cx)).await
                }
            };
            match handed.ok_or(BorrowError::Closed)? {
                Handed::Failed(error) => return Err(error),
                Handed::Conn(loan) => {
                    let borrowed = Borrowed::new(bring_here(loan), Arc::clone(self));
                    if borrowed.idle_for() <= bounds.check_delay {
                        return Ok(borrowed);
                    }
                    if let Some(alive) = Box::pin(self.checked(borrowed, *bounds)).await {
                        return Ok(alive);
                    }
                    ticket = self.line.rejoin(start, patience.by_upkeep(), &pass_on);
                }
            }
        }
    }

    /// Tells those who have waited for long enough. Once a second is enough for whoever waits for longer
    /// than [`EXACT`], and spares each wait a timer of its own.
    pub(in crate::pool) fn tell_overdue(&self, now: Instant) {
        let limit = self.options().borrow_timeout;
        self.line
            .overdue(now, || Handed::Failed(BorrowError::Timeout(limit)));
    }

    fn bounds(&self) -> Bounds {
        let options = self.options.load();
        Bounds {
            timeout: options.borrow_timeout,
            waiting: usize::try_from(options.max_waiting).unwrap_or(usize::MAX),
            check_delay: options.check_delay,
            check_timeout: options.reset_timeout,
        }
    }

    /// Why waiting would be in vain.
    fn refusal(&self) -> Option<BorrowError> {
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

    /// Asks for new connections if the line is longer than the logins under way.
    pub(super) fn ask(&self) {
        let held = self.tally.held();
        if held.slots < self.options.load().size {
            self.target.ask(self);
        }
    }

    fn pass_on(self: &Arc<Self>, handed: Handed<E>) {
        if let Handed::Conn(loan) = handed {
            self.put(loan, Instant::now());
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

/// The options that bound one wait, as they were when it began. Copied, for a shared count of those who hold
/// them would pass between the cores with every wait.
#[derive(Clone, Copy)]
struct Bounds {
    timeout: Duration,
    /// Waiters at most; 0: any number.
    waiting: usize,
    check_delay: Duration,
    check_timeout: Duration,
}

/// How long a waiter waits, and who ends it.
#[derive(Clone, Copy)]
enum Patience {
    /// It has a timer.
    Exact(Instant),
    /// The next upkeep after this.
    Coarse(Instant),
    Endless,
}

impl Patience {
    fn of(start: Instant, limit: Duration) -> Self {
        match start.checked_add(limit) {
            Some(until) if limit < EXACT => Self::Exact(until),
            Some(until) => Self::Coarse(until),
            None => Self::Endless,
        }
    }

    const fn by_upkeep(self) -> Option<Instant> {
        match self {
            Self::Coarse(until) => Some(until),
            Self::Exact(_) | Self::Endless => None,
        }
    }
}

/// Borrow timeouts below this are kept to the millisecond; others may last a second longer.
const EXACT: Duration = Duration::from_secs(20);

/// Tells the ledger that a waiter has left, where that may matter to other pools.
struct Leave<'a, E: Engine>(&'a Pool<E>);

impl<E: Engine> Drop for Leave<'_, E> {
    fn drop(&mut self) {
        if self.0.target.is_short() {
            self.0.target.ask(self.0);
        }
    }
}
