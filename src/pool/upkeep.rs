//! What pools need once a second: waiters told that they have waited for long enough, connections kept
//! ready, old and superfluous ones closed, pools that nobody uses forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::lending::Pool;
use super::metrics::CloseReason;
use super::slot::Slot;
use super::target::Target;
use super::{Pools, Shared};
use crate::protocol::Engine;

/// Runs until the pools are gone.
pub(super) async fn run<E: Engine>(shared: Weak<Shared<E>>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        Pools { shared }.upkeep(Instant::now());
    }
}

impl<E: Engine> Pools<E> {
    /// One round.
    pub(super) fn upkeep(&self, now: Instant) {
        for target in self.targets() {
            for pool in target.pools() {
                // This list, the pools' own, and whoever has business with the pool.
                let in_use = Arc::strong_count(&pool) > 2;
                pool.tell_overdue(now);
                pool.sweep(now);
                pool.retire_idle(now, in_use);
                if in_use {
                    pool.prewarm();
                }
            }
            shrink(&target);
            thin_out(&target, now);
        }
        self.forget_unused(now);
    }
}

impl<E: Engine> Pool<E> {
    /// Closes what has been idle for too long, down to the minimum while the pool is in use.
    fn retire_idle(&self, now: Instant, in_use: bool) {
        let options = self.options();
        if options.idle_timeout.is_zero() {
            return;
        }
        let keep = if in_use { options.min_size } else { 0 };
        let mut spare = self.held().live().saturating_sub(keep);
        self.reap(CloseReason::Idle, |conn| {
            let superfluous = spare > 0 && conn.idle_for(now) >= options.idle_timeout;
            if superfluous {
                spare -= 1;
            }
            !superfluous
        });
    }

    /// Opens connections up to the minimum, as far as nobody needs the slots more.
    fn prewarm(self: &Arc<Self>) {
        let min_size = self.options().min_size;
        while !self.is_closed() && self.held().slots < min_size && self.target.spare(self.id) {
            let tally = Arc::clone(&self.tally);
            let slot = Slot::granted(Arc::clone(&self.target), self.id, tally);
            Arc::clone(self).open(slot);
        }
    }
}

/// Closes idle connections while there are more than the target allows; borrowed ones are closed
/// when they come back.
fn shrink<E: Engine>(target: &Target<E>) {
    let mut excess = target.excess();
    for pool in target.pools() {
        if excess == 0 {
            return;
        }
        pool.reap(CloseReason::Shrunk, |_| {
            let goes = excess > 0;
            excess -= u32::from(goes);
            !goes
        });
    }
}

/// Holds a target's idle connections under their share, longest idle first, whatever pool they
/// are of; pools in use keep their minimum.
fn thin_out<E: Engine>(target: &Target<E>, now: Instant) {
    let Some(allowed) = target.allowed_idle() else {
        return;
    };
    let pools = target.pools();
    let mut by_age: BTreeMap<Duration, u32> = BTreeMap::new();
    let mut total: u32 = 0;
    for pool in &pools {
        pool.reap(CloseReason::Idle, |conn| {
            let idle = conn.idle_for(now);
            if idle >= COUNTS_AS_IDLE {
                *by_age.entry(idle).or_insert(0) += 1;
                total += 1;
            }
            true
        });
    }
    let mut excess = total.saturating_sub(allowed);
    if excess == 0 {
        return;
    }
    // The age of the youngest that has to go.
    let mut reached = 0;
    let limit = by_age.iter().rev().find_map(|(age, count)| {
        reached += count;
        (reached >= excess).then_some(*age)
    });
    let limit = limit.unwrap_or(COUNTS_AS_IDLE);
    for pool in &pools {
        let mut spare = pool.held().live().saturating_sub(pool.options().min_size);
        pool.reap(CloseReason::Idle, |conn| {
            let goes = excess > 0 && spare > 0 && conn.idle_for(now) >= limit;
            if goes {
                excess -= 1;
                spare -= 1;
            }
            !goes
        });
    }
}

const TICK: Duration = Duration::from_secs(1);
/// RDS Proxy's `MaxIdleConnectionsPercent` looks at connections unused for five minutes; those
/// that only rest between two transactions are not idle.
const COUNTS_AS_IDLE: Duration = Duration::from_secs(300);
