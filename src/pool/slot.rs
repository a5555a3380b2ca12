//! A slot of the target's quota, and the counts of one pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use super::metrics::{CloseReason, PoolMeters};
use super::quota::{Held, PoolId, Stage};
use super::target::Target;
use crate::model::PoolKey;
use crate::protocol::Engine;

/// Counts of one pool, readable without lock.
pub(super) struct Tally {
    key: PoolKey,
    slots: AtomicU32,
    opening: AtomicU32,
    /// What Prometheus is told.
    pub(super) meters: PoolMeters,
}

impl Tally {
    pub(super) fn new(key: PoolKey, meters: PoolMeters) -> Self {
        Self {
            key,
            slots: AtomicU32::new(0),
            opening: AtomicU32::new(0),
            meters,
        }
    }

    /// Connections and logins under way.
    pub(super) fn held(&self) -> Held {
        // In this order a login that ends in between makes `opening` too small, not `live`.
        let slots = self.slots.load(Ordering::SeqCst);
        let opening = self.opening.load(Ordering::SeqCst);
        Held { slots, opening }
    }
}

/// The right to one server connection. Dropping it gives the right back to the ledger, and
/// tells the log and the metrics of the connection's end, if there was one.
pub(super) struct Slot<E: Engine> {
    target: Arc<Target<E>>,
    pool: PoolId,
    tally: Arc<Tally>,
    /// Since the login was complete.
    life: Option<Life>,
}

struct Life {
    pid: u32,
    since: Instant,
    end: CloseReason,
}

impl<E: Engine> Slot<E> {
    /// Wraps a slot that the ledger has granted.
    pub(super) fn granted(target: Arc<Target<E>>, pool: PoolId, tally: Arc<Tally>) -> Self {
        tally.slots.fetch_add(1, Ordering::SeqCst);
        tally.opening.fetch_add(1, Ordering::SeqCst);
        Self {
            target,
            pool,
            tally,
            life: None,
        }
    }

    /// The login is complete; `pid` is the server's number for the connection.
    pub(super) fn opened(&mut self, pid: u32) {
        let life = Life {
            pid,
            since: Instant::now(),
            end: CloseReason::Dropped,
        };
        if self.life.replace(life).is_some() {
            return;
        }
        self.tally.opening.fetch_sub(1, Ordering::SeqCst);
        self.target.opened(self.pool);
        self.tally.meters.succeeded.inc();
        tracing::info!(pool = %self.tally.key, pid, "server connection opened");
    }

    /// Says why the connection is about to be dropped.
    pub(super) fn close_as(&mut self, reason: CloseReason) {
        if let Some(life) = &mut self.life {
            life.end = reason;
        }
    }

    pub(super) fn target(&self) -> &Arc<Target<E>> {
        &self.target
    }
}

impl<E: Engine> Drop for Slot<E> {
    fn drop(&mut self) {
        let stage = match &self.life {
            Some(life) => {
                self.tally.meters.closed(life.end);
                tracing::info!(
                    pool = %self.tally.key,
                    pid = life.pid,
                    reason = life.end.as_str(),
                    age_seconds = life.since.elapsed().as_secs(),
                    "server connection closed"
                );
                Stage::Open
            }
            None => {
                self.tally.opening.fetch_sub(1, Ordering::SeqCst);
                Stage::Opening
            }
        };
        self.tally.slots.fetch_sub(1, Ordering::SeqCst);
        self.target.release(self.pool, stage);
    }
}
