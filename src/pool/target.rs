//! One target: its ledger, who opens its connections, and the pools that share it.
//!
//! Carries out what the ledger decides. All occasions for a move (a waiter, a closed connection,
//! the end of a login, time) end in [`Target::pump`].

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::HashMap;
use tokio::time::Instant;

use super::lending::Pool;
use super::lock;
use super::open::{BorrowError, Open, OpenError};
use super::options::TargetOptions;
use super::quota::{Capacity, Idle, Ledger, Limits, Move, PoolId, Stage, Terms};
use super::slot::Slot;
use super::snapshot::TargetSnapshot;
use super::tasks::Tasks;
use crate::model::TargetName;
use crate::protocol::Engine;

/// A failure that waiters without any connection are told until its time is over.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) until: Instant,
    pub(super) error: Arc<OpenError>,
}

/// One target of one group.
pub struct Target<E: Engine> {
    group: Arc<str>,
    pub(super) name: TargetName,
    options: ArcSwap<TargetOptions>,
    opener: Mutex<Arc<dyn Open<E>>>,
    ledger: Mutex<Ledger>,
    /// Pools in the ledger's queue, readable without lock.
    queued: AtomicUsize,
    /// More connections exist than are allowed, readable without lock.
    over: AtomicBool,
    pools: Mutex<HashMap<PoolId, Weak<Pool<E>>>>,
    /// Calls of `pump` that the running one has not looked at.
    pumps: AtomicUsize,
    /// When the next pump is due, if one is.
    due: Mutex<Option<Instant>>,
    failure: Mutex<Option<Failure>>,
    /// Raised by each retirement; connections of earlier epochs are closed.
    epoch: AtomicU64,
    /// Connections of earlier epochs are closed even where a session keeps them.
    expelled: AtomicU64,
    /// When the server may be asked for its capacity again.
    learn_after: Mutex<Option<Instant>>,
    last_warning: Mutex<Option<Instant>>,
    pub(super) tasks: Arc<Tasks>,
}

impl<E: Engine> Target<E> {
    pub(super) fn new(
        group: Arc<str>,
        name: TargetName,
        options: TargetOptions,
        opener: Arc<dyn Open<E>>,
        tasks: Arc<Tasks>,
    ) -> Self {
        Self {
            group,
            name,
            ledger: Mutex::new(Ledger::new(limits(&options))),
            options: ArcSwap::from_pointee(options),
            opener: Mutex::new(opener),
            queued: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            pools: Mutex::default(),
            pumps: AtomicUsize::new(0),
            due: Mutex::new(None),
            failure: Mutex::new(None),
            epoch: AtomicU64::new(0),
            expelled: AtomicU64::new(0),
            learn_after: Mutex::new(None),
            last_warning: Mutex::new(None),
            tasks,
        }
    }

    /// Takes new options. Connections beyond new limits stay until they are given back.
    pub(super) fn configure(self: &Arc<Self>, options: TargetOptions, opener: Arc<dyn Open<E>>) {
        self.with_ledger(|ledger| ledger.set_limits(limits(&options)));
        self.options.store(Arc::new(options));
        *lock(&self.opener) = opener;
        self.pump();
    }

    pub(super) fn options(&self) -> Arc<TargetOptions> {
        self.options.load_full()
    }

    pub(super) fn opener(&self) -> Arc<dyn Open<E>> {
        Arc::clone(&lock(&self.opener))
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The epoch before which nobody may keep a connection.
    pub(super) fn expelled(&self) -> u64 {
        self.expelled.load(Ordering::Relaxed)
    }

    /// As [`Target::retire`], and sessions that keep connections are to lose them.
    pub(super) fn expel(self: &Arc<Self>) {
        self.retire();
        self.expelled.store(self.epoch(), Ordering::Relaxed);
    }

    /// Makes every connection of today unwelcome, and what failed yesterday forgotten.
    pub(super) fn retire(self: &Arc<Self>) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.succeeded();
        *lock(&self.learn_after) = None;
        for pool in self.pools() {
            pool.lift_failure();
            pool.sweep(Instant::now());
        }
        self.pump();
    }

    /// Opens an account for a pool, or changes its terms.
    pub(super) fn set_terms(self: &Arc<Self>, id: PoolId, terms: Terms) {
        self.with_ledger(|ledger| ledger.set_terms(id, terms, now()));
        self.pump();
    }

    pub(super) fn add(&self, id: PoolId, pool: Weak<Pool<E>>) {
        lock(&self.pools).insert(id, pool);
    }

    /// Closes a pool's account, unless it still holds slots.
    pub(super) fn remove(&self, id: PoolId) -> bool {
        let removed = self.with_ledger(|ledger| ledger.remove(id));
        if removed {
            lock(&self.pools).remove(&id);
        }
        removed
    }

    pub(super) fn pools(&self) -> Vec<Arc<Pool<E>>> {
        let pools = lock(&self.pools);
        pools.values().filter_map(Weak::upgrade).collect()
    }

    /// Counts of this moment.
    pub(super) fn snapshot(&self) -> TargetSnapshot {
        let ledger = lock(&self.ledger);
        let (allowed, used) = (ledger.allowed(), ledger.total());
        drop(ledger);
        TargetSnapshot {
            group: Arc::clone(&self.group),
            target: Arc::clone(&self.name),
            allowed,
            used,
            failure: self.failure(Instant::now()).map(|error| error.to_string()),
        }
    }

    /// Most connections that all pools together may keep idle; `None`: no limit is known.
    pub(super) fn allowed_idle(&self) -> Option<u32> {
        let Capacity::Known(n) = lock(&self.ledger).capacity() else {
            return None;
        };
        let percent = self.options().max_idle_connections_percent;
        u32::try_from(u64::from(n) * u64::from(percent) / 100).ok()
    }

    /// True if pools want connections that the ledger has not granted.
    pub(super) fn is_short(&self) -> bool {
        self.queued.load(Ordering::SeqCst) > 0
    }

    /// True if more connections exist than are allowed, because less is allowed than before.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// How many connections must go.
    pub(super) fn excess(&self) -> u32 {
        lock(&self.ledger).excess()
    }

    /// Tells the ledger how many wait in a pool.
    pub(super) fn ask(self: &Arc<Self>, pool: &Pool<E>) {
        // Counted under the lock: an older count may not overwrite a newer one.
        let entered = self.with_ledger(|ledger| {
            let waiting = count(pool.waiting());
            ledger.set_waiting(pool.id, waiting, now())
        });
        if entered {
            self.pump();
        }
    }

    /// Takes a slot for a pool that nobody waits for, if nobody else wants it.
    pub(super) fn spare(&self, id: PoolId) -> bool {
        self.with_ledger(|ledger| ledger.spare(id, now()))
    }

    /// Whether a connection just given back should be closed for another pool's sake.
    pub(super) fn gives_up(&self, id: PoolId, has_waiters: impl FnOnce() -> bool) -> bool {
        self.is_short() && lock(&self.ledger).gives_up(id, has_waiters(), now())
    }

    /// A login is complete.
    pub(super) fn opened(self: &Arc<Self>, id: PoolId) {
        self.with_ledger(|ledger| ledger.opened(id, now()));
        if self.is_short() {
            self.pump();
        }
    }

    /// A slot is free again.
    pub(super) fn release(self: &Arc<Self>, id: PoolId, stage: Stage) {
        let pool = self.pool(id);
        self.with_ledger(|ledger| {
            let waiting = pool.as_ref().map_or(0, |pool| pool.waiting());
            ledger.release(id, stage, count(waiting), now());
        });
        if self.is_short() {
            self.pump();
        }
    }

    /// A login worked: the target is well.
    pub(super) fn succeeded(&self) {
        if lock(&self.failure).take().is_some() {
            self.with_ledger(|ledger| ledger.hold(None));
        }
    }

    /// No login anywhere for a while, and those without connections are told why.
    pub(super) fn failed(&self, error: Arc<OpenError>) {
        let until = Instant::now() + self.options().login_retry;
        *lock(&self.failure) = Some(Failure { until, error });
        self.with_ledger(|ledger| ledger.hold(Some(until.into_std())));
    }

    /// Tells those who wait for connections to the target, and have no hope of any, that it is no
    /// use.
    pub(super) fn fail_pools(&self, error: &BorrowError) {
        for pool in self.pools() {
            pool.fail_if_hopeless(error);
            pool.trials.fail(error);
        }
    }

    /// The failure that holds at `now`.
    pub(super) fn failure(&self, now: Instant) -> Option<Arc<OpenError>> {
        holding(&self.failure, now)
    }

    /// No login of one pool until then.
    pub(super) fn pause(&self, id: PoolId, until: Option<Instant>) {
        let until = until.map(Instant::into_std);
        self.with_ledger(|ledger| ledger.pause(id, until));
    }

    /// The server has no connection left: closes an idle one of another pool, if there is any.
    pub(super) fn make_room(&self, id: PoolId) {
        let (idle, pools) = self.idle();
        let donor = lock(&self.ledger).make_room(id, &idle);
        let donor = pools.into_iter().find(|pool| Some(pool.id) == donor);
        if let Some(donor) = donor {
            donor.evict();
        }
    }

    /// True once in a while: the caller is to ask the server for its capacity.
    pub(super) fn should_learn(&self) -> bool {
        let now = Instant::now();
        let mut after = lock(&self.learn_after);
        let due = after.is_none_or(|t| t <= now);
        if due {
            *after = Some(now + LEARN_EVERY);
        }
        due
    }

    /// What the server said of its capacity; `None` if it could not be asked.
    pub(super) fn learned(self: &Arc<Self>, capacity: Option<u32>) {
        self.with_ledger(|ledger| match (capacity, ledger.capacity()) {
            (Some(n), _) => ledger.learned(Capacity::Known(n)),
            (None, Capacity::Unknown) => ledger.learned(Capacity::Unbounded),
            (None, _) => {}
        });
        self.pump();
    }

    /// True at most once a second, so that a broken target does not fill the log.
    pub(super) fn may_warn(&self) -> bool {
        let now = Instant::now();
        let mut last = lock(&self.last_warning);
        let may = last.is_none_or(|t| now.saturating_duration_since(t) >= WARN_EVERY);
        if may {
            *last = Some(now);
        }
        may
    }

    /// Lets the ledger make its moves. Calls from within a move are looked at by the outer call.
    pub(super) fn pump(self: &Arc<Self>) {
        if self.pumps.fetch_add(1, Ordering::SeqCst) > 0 {
            return;
        }
        loop {
            let seen = self.pumps.load(Ordering::SeqCst);
            self.make_moves();
            let done = self
                .pumps
                .compare_exchange(seen, 0, Ordering::SeqCst, Ordering::SeqCst);
            if done.is_ok() {
                return;
            }
        }
    }

    fn make_moves(self: &Arc<Self>) {
        // Each move grants or frees a slot; the bound only stops what a bug might repeat.
        for _ in 0..MOST_MOVES {
            if !self.is_short() || self.tasks.is_dead() {
                return;
            }
            let mut pools = Vec::new();
            let mut next = self.with_ledger(|ledger| ledger.next(now(), &[]));
            if matches!(next, Move::Rest(_)) {
                let idle;
                (idle, pools) = self.idle();
                next = self.with_ledger(|ledger| ledger.next(now(), &idle));
            }
            match next {
                Move::Open(id) => match self.pool(id) {
                    Some(pool) => {
                        let slot = Slot::granted(Arc::clone(self), id, Arc::clone(&pool.tally));
                        pool.open(slot);
                    }
                    None => self.release(id, Stage::Opening),
                },
                Move::Evict(id) => {
                    if let Some(pool) = pools.iter().find(|pool| pool.id == id) {
                        pool.evict();
                    }
                }
                Move::Rest(until) => {
                    if let Some(until) = until {
                        self.pump_at(Instant::from_std(until));
                    }
                    return;
                }
            }
        }
    }

    /// Has `pump` called at `when`, unless it is due earlier.
    fn pump_at(self: &Arc<Self>, when: Instant) {
        let mut due = lock(&self.due);
        if due.is_some_and(|t| t <= when) {
            return;
        }
        *due = Some(when);
        drop(due);
        let target = Arc::downgrade(self);
        self.tasks.spawn_idle(async move {
            tokio::time::sleep_until(when).await;
            let Some(target) = target.upgrade() else {
                return;
            };
            let mut due = lock(&target.due);
            if *due == Some(when) {
                *due = None;
            }
            drop(due);
            target.pump();
        });
    }

    /// Idle connections by pool, and the pools, which must not be dropped under a lock.
    fn idle(&self) -> (Vec<Idle>, Vec<Arc<Pool<E>>>) {
        let pools = self.pools();
        let idle = pools.iter().filter_map(|pool| pool.idle_view()).collect();
        (idle, pools)
    }

    fn pool(&self, id: PoolId) -> Option<Arc<Pool<E>>> {
        lock(&self.pools).get(&id).and_then(Weak::upgrade)
    }

    fn with_ledger<R>(&self, act: impl FnOnce(&mut Ledger) -> R) -> R {
        let mut ledger = lock(&self.ledger);
        let result = act(&mut ledger);
        self.queued.store(ledger.queued(), Ordering::SeqCst);
        self.over.store(ledger.excess() > 0, Ordering::Relaxed);
        result
    }
}

/// The error of a failure, while its time lasts.
pub(super) fn holding(failure: &Mutex<Option<Failure>>, now: Instant) -> Option<Arc<OpenError>> {
    let failure = lock(failure);
    let holds = failure.as_ref().filter(|failure| failure.until > now);
    holds.map(|failure| Arc::clone(&failure.error))
}

fn limits(options: &TargetOptions) -> Limits {
    Limits {
        percent: options.max_connections_percent,
        per_user: options.max_user_connections,
        per_database: options.max_db_connections,
        logins: options.login_concurrency,
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The server is asked for its capacity at most this often.
const LEARN_EVERY: Duration = Duration::from_secs(60);
const WARN_EVERY: Duration = Duration::from_secs(1);
const MOST_MOVES: usize = 100_000;
