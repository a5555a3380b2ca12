//! Pools of server connections, on deadpool's managed pools under our own policy.
//!
//! Decides which session gets which connection, when one is opened and when it is closed. Does
//! not know what flows through them, nor which target a session should use. One pool for each
//! user, database and target; one ledger ([`quota`]) for all pools of a target. Two target groups
//! with the same server are two targets, each with its own share of the server.
//!
//! # Why logins never run inside a borrower
//! deadpool would dial inside the borrower's future: a client that leaves would kill the login,
//! and the borrower could not take a connection that comes free meanwhile. So the ledger grants
//! slots, logins run in tasks of their own (`opening`), and what they bring is handed to the
//! line of waiters like any connection given back (`lending`). deadpool keeps the idle ones.

use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use foldhash::HashMap;
use tokio::time::Instant;

use crate::model::{PoolKey, TargetName};
use crate::protocol::Engine;

mod apart;
mod asking;
mod borrowed;
mod dialer;
mod entropy;
mod greeting;
mod lending;
mod line;
mod lines;
mod manager;
pub mod metrics;
pub mod open;
mod opening;
pub mod options;
pub mod quota;
mod server;
mod slot;
mod snapshot;
mod stores;
mod target;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod trial;
mod upkeep;
mod visit;

pub use borrowed::Borrowed;
pub use dialer::{Dialer, ReachError};
pub use lending::{Pool, Turn};
pub use metrics::{CloseReason, PoolMetrics};
pub use open::{BorrowError, Open, OpenError, Opened, Opening, ServerLogin};
pub use options::{PoolOptions, TargetOptions};
pub use server::{ChoreError, ServerConn};
pub use snapshot::{PoolSnapshot, TargetSnapshot};
pub use visit::Visit;

use metrics::Source;
use quota::PoolId;
use target::Target;
use tasks::Tasks;

/// All pools of one engine. Clones are the same pools.
pub struct Pools<E: Engine> {
    shared: Arc<Shared<E>>,
}

impl<E: Engine> Clone for Pools<E> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// Group and target.
type TargetKey = (Arc<str>, TargetName);

struct Shared<E: Engine> {
    targets: Mutex<HashMap<TargetKey, Arc<Target<E>>>>,
    pools: Mutex<HashMap<PoolKey, Arc<Pool<E>>>>,
    next_id: AtomicU64,
    metrics: Arc<PoolMetrics>,
    tasks: Arc<Tasks>,
    reactors: usize,
}

impl<E: Engine> Drop for Shared<E> {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// A pool was asked for on a target that has not been configured.
#[derive(Clone, Debug, thiserror::Error)]
#[error("target {target} of group {group} is not configured")]
pub struct UnknownTarget {
    /// The target group.
    pub group: Arc<str>,
    /// The target.
    pub target: TargetName,
}

impl<E: Engine> Pools<E> {
    /// Pools without targets, for the tasks of one thread, or of one runtime with several. To be
    /// called inside the runtime that upkeep will run on.
    pub fn new(metrics: Arc<PoolMetrics>) -> Self {
        Self::on_reactors(metrics, 1)
    }

    /// The same for tasks on so many runtimes, each with a thread and a
    /// [reactor](crate::net::reactor) of its own.
    pub fn on_reactors(metrics: Arc<PoolMetrics>, reactors: usize) -> Self {
        let shared = Arc::new(Shared {
            targets: Mutex::default(),
            pools: Mutex::default(),
            next_id: AtomicU64::new(1),
            metrics: Arc::clone(&metrics),
            tasks: Arc::new(Tasks::new()),
            reactors,
        });
        let source: Weak<Shared<E>> = Arc::downgrade(&shared);
        metrics.attach(source);
        let upkeep = upkeep::run(Arc::downgrade(&shared));
        shared.tasks.spawn_idle(upkeep);
        Self { shared }
    }

    /// Adds a target, or changes its options and how its connections are opened from now on.
    /// Connections that exist stay; see [`Pools::retire`].
    pub fn set_target(
        &self,
        group: &Arc<str>,
        name: &TargetName,
        options: TargetOptions,
        opener: Arc<dyn Open<E>>,
    ) {
        let mut targets = lock(&self.shared.targets);
        let key = (Arc::clone(group), Arc::clone(name));
        if let Some(target) = targets.get(&key).cloned() {
            drop(targets);
            target.configure(options, opener);
            return;
        }
        let tasks = Arc::clone(&self.shared.tasks);
        let (group, name) = key.clone();
        let target = Target::new(group, name, options, opener, tasks);
        targets.insert(key, Arc::new(target));
    }

    /// The pool of this key, made if there is none. A newer login and newer options replace
    /// those it had.
    pub fn pool(
        &self,
        key: &PoolKey,
        login: ServerLogin,
        options: PoolOptions,
    ) -> Result<Arc<Pool<E>>, UnknownTarget> {
        let mut pools = lock(&self.shared.pools);
        if let Some(pool) = pools.get(key).cloned() {
            drop(pools);
            pool.configure(login, options);
            return Ok(pool);
        }
        let pool = self.make(key, login, options)?;
        pools.insert(key.clone(), Arc::clone(&pool));
        Ok(pool)
    }

    /// The pool of this key as it is, for a trial; made with this login and these options if there
    /// is none.
    ///
    /// # Errors
    /// If the target is not configured.
    pub fn pool_for_trial(
        &self,
        key: &PoolKey,
        login: ServerLogin,
        options: PoolOptions,
    ) -> Result<Arc<Pool<E>>, UnknownTarget> {
        match lock(&self.shared.pools).entry(key.clone()) {
            Entry::Occupied(known) => Ok(Arc::clone(known.get())),
            Entry::Vacant(place) => {
                let pool = self.make(key, login, options)?;
                Ok(Arc::clone(place.insert(pool)))
            }
        }
    }

    /// Drops the pool of this key, if it has no connections and nobody else holds it: whoever
    /// invents users leaves nothing behind.
    pub fn discard(&self, pool: Arc<Pool<E>>) {
        let mut pools = lock(&self.shared.pools);
        // The map's, and ours.
        if Arc::strong_count(&pool) <= 2 && pool.target.remove(pool.id) {
            pools.remove(&pool.key);
            self.forget_metrics(&pools, &pool.key);
        }
        drop(pools);
    }

    fn make(
        &self,
        key: &PoolKey,
        login: ServerLogin,
        options: PoolOptions,
    ) -> Result<Arc<Pool<E>>, UnknownTarget> {
        let target = lock(&self.shared.targets)
            .get(&(Arc::clone(&key.group), Arc::clone(&key.target)))
            .cloned()
            .ok_or_else(|| UnknownTarget {
                group: Arc::clone(&key.group),
                target: Arc::clone(&key.target),
            })?;
        let id = PoolId(self.shared.next_id.fetch_add(1, Ordering::Relaxed));
        let meters = self.shared.metrics.meters(key);
        let reactors = self.shared.reactors;
        let pool = Pool::new(id, key.clone(), target, login, options, meters, reactors);
        if self.shared.tasks.is_stopped() {
            pool.close();
        }
        Ok(pool)
    }

    /// As [`Pools::retire`], and sessions that keep a connection find it [`ServerConn::is_expelled`]
    /// when they next use it: for a server that is not any more what they took it for.
    pub fn expel(&self, group: &Arc<str>, name: &TargetName) {
        let key = (Arc::clone(group), Arc::clone(name));
        let target = lock(&self.shared.targets).get(&key).cloned();
        if let Some(target) = target {
            target.expel();
        }
    }

    /// Counts of every pool, for operators.
    pub fn snapshot(&self) -> Vec<PoolSnapshot> {
        self.shared.pools()
    }

    /// Counts of every target, for operators.
    pub fn target_snapshot(&self) -> Vec<TargetSnapshot> {
        self.shared.targets()
    }

    /// Ends every connection to a target that exists now: idle ones at once, borrowed ones when
    /// they are given back, those being opened when they are open. For changed credentials, TLS
    /// or addresses.
    pub fn retire(&self, group: &Arc<str>, name: &TargetName) {
        let key = (Arc::clone(group), Arc::clone(name));
        let target = lock(&self.shared.targets).get(&key).cloned();
        if let Some(target) = target {
            target.retire();
        }
    }

    /// Ends all lending: waiters and new borrowers are refused, idle connections closed, and
    /// borrowed ones when they are given back. Waits for these, for at most `limit`; returns how
    /// many are left. Cancel-safe.
    pub async fn close(&self, limit: Duration) -> u32 {
        self.shared.tasks.stop();
        for pool in self.all() {
            pool.close();
        }
        let deadline = Instant::now() + limit;
        // A task that is not done by then is cut off with the runtime.
        let _ = tokio::time::timeout_at(deadline, self.shared.tasks.finished()).await;
        loop {
            let left: u32 = self.all().iter().map(|pool| pool.held().slots).sum();
            if left == 0 || Instant::now() >= deadline {
                return left;
            }
            tokio::time::sleep(CLOSE_POLL).await;
        }
    }

    fn all(&self) -> Vec<Arc<Pool<E>>> {
        lock(&self.shared.pools).values().cloned().collect()
    }

    fn targets(&self) -> Vec<Arc<Target<E>>> {
        lock(&self.shared.targets).values().cloned().collect()
    }

    /// Drops pools that have no connections and that nobody has held or used for a while.
    fn forget_unused(&self, now: Instant) {
        let mut pools = lock(&self.shared.pools);
        let mut gone = Vec::new();
        pools.retain(|_, pool| {
            let unused = now.saturating_duration_since(pool.last_used()) >= FORGET_AFTER;
            let forget = unused && Arc::strong_count(pool) == 1 && pool.target.remove(pool.id);
            if forget {
                gone.push(Arc::clone(pool));
            }
            !forget
        });
        for pool in &gone {
            self.forget_metrics(&pools, &pool.key);
        }
        drop(pools);
        // Dropped outside the lock.
        drop(gone);
    }
}

impl<E: Engine> Pools<E> {
    /// Forgets the metrics of a pool that is gone, unless another is counted under the same labels.
    fn forget_metrics(&self, pools: &HashMap<PoolKey, Arc<Pool<E>>>, gone: &PoolKey) {
        let shown = |key: &PoolKey| PoolKey {
            variant: 0,
            ..key.clone()
        };
        if !pools.keys().any(|key| shown(key) == shown(gone)) {
            self.shared.metrics.forget(gone);
        }
    }
}

impl<E: Engine> Shared<E> {
    fn pools(&self) -> Vec<PoolSnapshot> {
        let pools: Vec<_> = lock(&self.pools).values().cloned().collect();
        pools.iter().map(|pool| pool.snapshot()).collect()
    }

    fn targets(&self) -> Vec<TargetSnapshot> {
        let targets: Vec<_> = lock(&self.targets).values().cloned().collect();
        targets.iter().map(|target| target.snapshot()).collect()
    }
}

impl<E: Engine> Source for Shared<E> {
    fn pools(&self) -> Vec<PoolSnapshot> {
        self.pools()
    }

    fn targets(&self) -> Vec<TargetSnapshot> {
        self.targets()
    }
}

/// Locks, whatever became of the thread that held the lock: no invariant spans a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pool that nobody has used for this long, and that has no connections, is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// How often a shutdown looks whether the last connection has been given back.
const CLOSE_POLL: Duration = Duration::from_millis(20);
