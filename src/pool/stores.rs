//! The idle connections of one pool, by the reactor that their sockets are registered with.
//!
//! A thread lends what lies in its own store first, so that a server's answer wakes the task that
//! waits for it on the same thread. Only where that store is empty it takes from another's; the
//! connection then moves to it for good.

use tokio::time::Instant;

use super::manager::{Loan, Store};
use super::server::ServerConn;
use crate::net::reactor;
use crate::protocol::Engine;

/// One store for each reactor; their capacity is the pool's, each: what bounds it is the ledger.
pub(super) struct Stores<E: Engine> {
    each: Box<[Store<E>]>,
}

impl<E: Engine> Stores<E> {
    /// Empty stores for `size` connections, lent ones included, on `reactors` threads, at least one.
    pub(super) fn new(size: u32, round_robin: bool, reactors: usize) -> Self {
        let each = (0..reactors.max(1)).map(|_| Store::new(size, round_robin));
        Self {
            each: each.collect(),
        }
    }

    /// The store of this connection's reactor.
    #[expect(
        clippy::indexing_slicing,
        reason = "there is at least one, and the place is less"
    )]
    pub(super) fn of(&self, conn: &ServerConn<E>) -> &Store<E> {
        &self.each[reactor::place(conn.terms.reactor, self.each.len())]
    }

    /// True if the connection is lent by the store it belongs into.
    pub(super) fn own(&self, loan: &Loan<E>) -> bool {
        self.of(loan).owns(loan)
    }

    /// The connection whose turn it is, examined or fresh, of this thread's store if there is one;
    /// the verdict is in its terms.
    pub(super) fn take(&self) -> Option<Loan<E>> {
        let here = reactor::place(reactor::here(), self.each.len());
        let (before, from_here) = self.each.split_at(here);
        let stores = from_here.iter().chain(before);
        let mut held = stores.filter(|store| store.holds_any());
        held.find_map(Store::take)
    }

    /// Puts a connection back into the store that has lent it; if that is a former one, it ends with it.
    pub(super) fn lay(&self, loan: Loan<E>) {
        let lender = self.each.iter().find(|store| store.owns(&loan));
        if let Some(lender) = lender {
            lender.lay(loan);
        }
    }

    /// False if there is nothing to be taken. Costs no lock.
    pub(super) fn holds_any(&self) -> bool {
        self.each.iter().any(Store::holds_any)
    }

    /// How many lie idle.
    pub(super) fn idle(&self) -> u32 {
        self.each.iter().map(Store::idle).sum()
    }

    /// Removes the idle connections that `keep` does not want, of each store oldest first. `keep`
    /// must not wait: a store is locked. The removed are returned, to be closed outside the lock.
    pub(super) fn retain(
        &self,
        mut keep: impl FnMut(&ServerConn<E>) -> bool,
    ) -> Vec<Box<ServerConn<E>>> {
        let mut removed = Vec::new();
        for store in &self.each {
            removed.append(&mut store.retain(&mut keep));
        }
        removed
    }

    /// Removes the connection that has been idle for longest.
    pub(super) fn remove_oldest(&self) -> Option<Box<ServerConn<E>>> {
        let mut oldest: Option<Instant> = None;
        self.retain(|conn| {
            let since = conn.terms.idle_since;
            oldest = Some(oldest.map_or(since, |oldest| oldest.min(since)));
            true
        });
        let oldest = oldest?;
        let mut removed = false;
        let mut found = self.retain(|conn| {
            let goes = !removed && conn.terms.idle_since <= oldest;
            removed |= goes;
            !goes
        });
        found.pop()
    }
}
