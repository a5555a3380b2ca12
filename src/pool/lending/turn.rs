//! One borrower's wait: for its turn in the line, or for a sign of life of a connection that lay idle for long.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::borrow::Bounds;
use super::idle::bring_here;
use super::{Handed, Pool};
use crate::pool::borrowed::Borrowed;
use crate::pool::lines::Place;
use crate::pool::manager::Loan;
use crate::pool::open::BorrowError;
use crate::protocol::Engine;

/// A borrower that wants a connection, to be polled until it has one or is told why not. Whoever drops it gives up
/// its turn; a connection handed to it meanwhile goes to the next.
///
/// Written out and not an `async fn`: each of thousands that wait has one, none of it is in the processor's caches
/// when its turn comes, and the compiler's state machine was several times as large.
pub struct Turn<E: Engine> {
    /// `None` when it is over.
    pool: Option<Arc<Pool<E>>>,
    start: Instant,
    place: Option<Place<Handed<E>>>,
    /// It has asked for a place in the line.
    in_line: bool,
    /// Of one that may not wait for longer than [`EXACT`].
    timer: Option<Pin<Box<Sleep>>>,
    check: Option<Check<E>>,
}

/// Ends with a connection that is alive, if there is one.
type Check<E> = Pin<Box<dyn Future<Output = Option<Borrowed<E>>> + Send>>;

impl<E: Engine> Turn<E> {
    pub(super) const fn new(pool: Arc<Pool<E>>, start: Instant) -> Self {
        Self {
            pool: Some(pool),
            start,
            place: None,
            in_line: false,
            timer: None,
            check: None,
        }
    }

    /// Ready with the connection, or with the reason why there is none; asked again after that, it says that the
    /// pool is closed.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Borrowed<E>, BorrowError>> {
        loop {
            let step = if self.check.is_some() {
                ready!(self.poll_check(cx))
            } else if self.place.is_some() {
                ready!(self.poll_place(cx))
            } else {
                self.begin()
            };
            match step {
                Ok(None) => {}
                Ok(Some(borrowed)) => return Poll::Ready(Ok(borrowed)),
                Err(error) => {
                    self.fail(&error);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    fn begin(&mut self) -> Step<E> {
        let pool = self.pool.as_ref().ok_or(BorrowError::Closed)?;
        pool.tally.meters.borrows.inc();
        match pool.take_if_nobody_waits() {
            Some(borrowed) if borrowed.idle_for() <= pool.bounds().check_delay => {
                self.pool = None;
                Ok(Some(borrowed))
            }
            Some(borrowed) => {
                self.check = Some(Box::pin(alive(Arc::clone(pool), borrowed)));
                Ok(None)
            }
            None => self.join(),
        }
    }

    /// Takes a place: at the end of the line, or at its front for one who was served badly.
    fn join(&mut self) -> Step<E> {
        let again = std::mem::replace(&mut self.in_line, true);
        let pool = self.pool.as_ref().ok_or(BorrowError::Closed)?;
        let Bounds {
            size,
            timeout,
            waiting,
            ..
        } = pool.bounds();
        let patience = Patience::of(self.start, timeout);
        let (since, until) = (self.start, patience.by_upkeep());
        let place = if again {
            pool.line.rejoin(since, until)
        } else {
            if let Some(error) = pool.refusal() {
                return Err(error);
            }
            if timeout.is_zero() && pool.line.anyone() {
                return Err(BorrowError::Timeout(timeout));
            }
            let joined = pool.line.join(waiting, since, until);
            joined.ok_or(BorrowError::Overloaded)?
        };
        self.place = Some(place);
        pool.serve_line();
        // Whoever notes a failure fails the line afterwards: it is seen here or told there.
        if let Some(error) = pool.refusal() {
            return Err(error);
        }
        pool.ask(size);
        self.timer = match patience {
            Patience::Exact(deadline) => Some(Box::pin(sleep_until(deadline))),
            Patience::Coarse(_) | Patience::Endless => None,
        };
        Ok(None)
    }

    fn poll_place(&mut self, cx: &mut Context<'_>) -> Poll<Step<E>> {
        let Some(place) = &mut self.place else {
            return Poll::Ready(Ok(None));
        };
        let Poll::Ready(handed) = place.poll(cx) else {
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
                let pool = self.pool.as_ref().ok_or(BorrowError::Closed)?;
                return Poll::Ready(Err(BorrowError::Timeout(pool.bounds().timeout)));
            }
            return Poll::Pending;
        };
        self.place = None;
        Poll::Ready(match handed {
            Some(Handed::Conn(loan)) => self.served(loan),
            Some(Handed::Failed(error)) => Err(error),
            None => Err(BorrowError::Closed),
        })
    }

    fn served(&mut self, loan: Loan<E>) -> Step<E> {
        let loan = bring_here(loan);
        let pool = self.pool.take().ok_or(BorrowError::Closed)?;
        let idle = loan.terms.idle_for;
        if idle.is_zero() || idle <= pool.bounds().check_delay {
            leave(&pool, None);
            // Handed over when it became idle, if it was not before: saves a reading of the clock.
            self.observe(&pool, loan.terms.idle_since);
            return Ok(Some(Borrowed::new(loan, pool)));
        }
        let borrowed = Borrowed::new(loan, Arc::clone(&pool));
        self.check = Some(Box::pin(alive(Arc::clone(&pool), borrowed)));
        self.pool = Some(pool);
        Ok(None)
    }

    fn poll_check(&mut self, cx: &mut Context<'_>) -> Poll<Step<E>> {
        let Some(check) = &mut self.check else {
            return Poll::Ready(Ok(None));
        };
        let alive = ready!(check.as_mut().poll(cx));
        self.check = None;
        Poll::Ready(match alive {
            None => self.join(),
            Some(borrowed) => {
                if let Some(pool) = self.pool.take()
                    && self.in_line
                {
                    leave(&pool, None);
                    self.observe(&pool, Instant::now());
                }
                Ok(Some(borrowed))
            }
        })
    }

    /// It ends without a connection.
    fn fail(&mut self, error: &BorrowError) {
        let Some(pool) = self.pool.take() else { return };
        leave(&pool, self.place.take());
        match error {
            BorrowError::Timeout(_) => {
                self.observe(&pool, Instant::now());
                pool.tally.meters.timeouts.inc();
            }
            BorrowError::Overloaded => pool.tally.meters.shed.inc(),
            _ => {}
        }
    }

    fn observe(&self, pool: &Pool<E>, now: Instant) {
        let waited = now.saturating_duration_since(self.start);
        pool.tally.meters.latency.observe(waited.as_secs_f64());
    }
}

impl<E: Engine> Drop for Turn<E> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take()
            && self.in_line
        {
            leave(&pool, self.place.take());
        }
    }
}

/// A connection if there is one now; `Ok(None)`: go on.
type Step<E> = Result<Option<Borrowed<E>>, BorrowError>;

/// Leaves the line, served or not, and tells the ledger, where that may matter to other pools.
fn leave<E: Engine>(pool: &Arc<Pool<E>>, place: Option<Place<Handed<E>>>) {
    let handed = place.and_then(|place| pool.line.leave(place));
    if let Some(Handed::Conn(loan)) = handed {
        pool.put(loan, Instant::now());
    }
    if pool.target.is_short() {
        pool.target.ask(pool);
    }
}

/// The connection, if it gives a sign of life, or the next that does, as long as nobody waits. Not cancel-safe:
/// dropped, it closes the connection.
async fn alive<E: Engine>(pool: Arc<Pool<E>>, borrowed: Borrowed<E>) -> Option<Borrowed<E>> {
    let bounds = pool.bounds();
    let mut next = Some(borrowed);
    while let Some(borrowed) = next {
        if let Some(alive) = pool.checked(borrowed, bounds).await {
            return Some(alive);
        }
        next = pool.take_if_nobody_waits();
    }
    None
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
