//! Connections that nobody has: taken in, handed to those who wait, stored, closed.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use tokio::time::Instant;

use super::{Handed, Pool};
use crate::net::reactor;
use crate::pool::manager::Loan;
use crate::pool::metrics::CloseReason;
use crate::pool::server::ServerConn;
use crate::protocol::Engine;

impl<E: Engine> Pool<E> {
    /// The idle connection whose turn it is and that is fit to be lent; unfit ones are closed on
    /// the way.
    pub(super) fn take_idle(&self) -> Option<Loan<E>> {
        self.take_fit().map(bring_here)
    }

    /// The same, wherever it is.
    fn take_fit(&self) -> Option<Loan<E>> {
        let stores = self.stores.load();
        loop {
            let loan = stores.take()?;
            match loan.terms.verdict {
                Ok(()) => return Some(loan),
                Err(reason) => close(loan, reason),
            }
        }
    }

    /// Takes back, `now`, a connection that is idle and clean: for the line, another pool, or the store.
    pub(in crate::pool) fn put(self: &Arc<Self>, mut loan: Loan<E>, now: Instant) {
        loan.terms.idle_since = now;
        loan.terms.idle_for = Duration::ZERO;
        self.touch(now);
        if let Err(reason) = self.welcome(&mut loan, now) {
            return close(loan, reason);
        }
        self.put_as_it_is(loan);
    }

    /// The same without a look at it.
    pub(in crate::pool) fn put_as_it_is(self: &Arc<Self>, loan: Loan<E>) {
        if self.stores.load().own(&loan) {
            self.place(loan);
        } else {
            // Its store is a former one, or it has come to another reactor.
            self.admit(Loan::take(loan));
        }
    }

    fn welcome(&self, conn: &mut ServerConn<E>, now: Instant) -> Result<(), CloseReason> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(CloseReason::Shutdown);
        }
        conn.examine(now)?;
        if self.tally.held().slots > self.options.load().size || self.target.is_over() {
            return Err(CloseReason::Shrunk);
        }
        let makes_room = self.trials.any_queued() && self.is_full();
        if makes_room || self.target.gives_up(self.id, || self.line.anyone()) {
            return Err(CloseReason::GivenUp);
        }
        Ok(())
    }

    /// Takes a connection into the store, or to whoever waits.
    pub(in crate::pool) fn admit(self: &Arc<Self>, conn: Box<ServerConn<E>>) {
        let stores = self.stores.load_full();
        let store = stores.of(&conn);
        store.leave(conn);
        // Idle ones lie before it: they are lifted off and put back.
        let mut lifted = Vec::new();
        while !store.inbox_is_empty() {
            let Some(loan) = store.take() else {
                if store.has_room() {
                    // Another thread has its hand in the store at this moment, and waits for nothing.
                    std::thread::yield_now();
                } else if let Some(mut conn) = store.reject() {
                    conn.slot.close_as(CloseReason::Shrunk);
                }
                continue;
            };
            match loan.terms.verdict {
                Ok(()) => lifted.push(loan),
                Err(reason) => close(loan, reason),
            }
        }
        for loan in store.as_they_lay(lifted) {
            self.place(loan);
        }
    }

    /// `loan` is one of the store that it belongs into.
    fn place(&self, loan: Loan<E>) {
        let handed = if self.line.anyone() {
            self.hand(loan)
        } else {
            Err(Handed::Conn(loan))
        };
        if let Err(rejected) = handed {
            self.lay(rejected);
            if self.line.anyone() {
                self.serve_line();
            }
        }
    }

    /// Back into the store.
    fn lay(&self, rejected: Handed<E>) {
        if let Handed::Conn(loan) = rejected {
            self.stores.load().lay(loan);
        }
        fence(Ordering::SeqCst);
    }

    /// Hands idle connections to the line, while there are both.
    ///
    /// Whoever joins the line calls this afterwards, and so does whoever has filled the store
    /// and sees a waiter: one of them sees the other.
    pub(super) fn serve_line(&self) {
        fence(Ordering::SeqCst);
        while self.stores.load().holds_any() && !self.line.is_empty() {
            let Some(loan) = self.take_fit() else {
                return;
            };
            if let Err(rejected) = self.hand(loan) {
                self.lay(rejected);
            }
        }
    }

    fn hand(&self, loan: Loan<E>) -> Result<(), Handed<E>> {
        let terms = &loan.terms;
        self.line
            .hand(terms.reactor, terms.idle_since, Handed::Conn(loan))
    }

    /// Closes the oldest idle connection, for another pool's sake.
    pub(in crate::pool) fn evict(&self) {
        if let Some(mut conn) = self.stores.load().remove_oldest() {
            conn.slot.close_as(CloseReason::GivenUp);
        }
    }

    /// Closes idle connections that no longer may be lent.
    pub(in crate::pool) fn sweep(&self, now: Instant) {
        let closed = self.closed.load(Ordering::SeqCst);
        let keep = |conn: &ServerConn<E>| !closed && conn.outdated(now).is_ok();
        for mut conn in self.stores.load().retain(keep) {
            let reason = conn.outdated(now).err().unwrap_or(CloseReason::Shutdown);
            conn.slot.close_as(reason);
        }
    }

    /// Removes idle connections that `keep` does not want, oldest first, and closes them.
    pub(in crate::pool) fn reap(
        &self,
        reason: CloseReason,
        keep: impl FnMut(&ServerConn<E>) -> bool,
    ) {
        for mut conn in self.stores.load().retain(keep) {
            conn.slot.close_as(reason);
        }
    }
}

/// Moves a connection that has been taken to the reactor of this thread, if it is elsewhere. It is
/// given back to the store of its new reactor ([`Stores::own`](crate::pool::stores::Stores::own)).
pub(super) fn bring_here<E: Engine>(mut loan: Loan<E>) -> Loan<E> {
    let here = reactor::here();
    if loan.terms.reactor != here {
        // Where it cannot be moved it works as it is, only dearer.
        let _ = loan.stream.move_here();
        loan.terms.reactor = here;
    }
    loan
}

/// Closes a connection that was lent or idle.
pub(in crate::pool) fn close<E: Engine>(loan: Loan<E>, reason: CloseReason) {
    let mut conn = Loan::take(loan);
    conn.slot.close_as(reason);
}
