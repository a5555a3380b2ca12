//! One pool: what it holds and what can be seen of it.
//!
//! A borrower takes an idle connection, by default the newest, if nobody waits. Otherwise it joins the line
//! (`turn`), and connections given back or newly opened are handed to the line in turn; only what
//! nobody waits for goes into the store (`idle`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::greeting::Greetings;
use super::lines::Lines;
use super::lock;
use super::manager::Loan;
use super::metrics::PoolMeters;
use super::open::{BorrowError, ServerLogin};
use super::options::PoolOptions;
use super::quota::{Held, Idle, PoolId, Terms};
use super::slot::Tally;
use super::snapshot::PoolSnapshot;
use super::stores::Stores;
use super::target::{Failure, Target};
use super::trial::Trials;
use crate::model::PoolKey;
use crate::protocol::Engine;

mod borrow;
mod idle;
mod turn;

pub(super) use idle::close;
pub use turn::Turn;

/// Server connections that any session of the same user, database and target may use.
pub struct Pool<E: Engine> {
    pub(super) id: PoolId,
    pub(super) key: PoolKey,
    pub(super) target: Arc<Target<E>>,
    pub(super) tally: Arc<Tally>,
    stores: ArcSwap<Stores<E>>,
    reactors: usize,
    line: Lines<Handed<E>>,
    options: ArcSwap<PoolOptions>,
    login: ArcSwap<ServerLogin>,
    pub(super) failure: Mutex<Option<Failure>>,
    /// Since when logins have failed in ways that pass, and none has worked.
    pub(super) failing_since: Mutex<Option<Instant>>,
    pub(super) greetings: Greetings<E::Greeting>,
    pub(super) trials: Trials,
    closed: AtomicBool,
    born: Instant,
    /// Milliseconds from `born` to the last return of a connection.
    last_used: AtomicU64,
}

/// What a waiter gets.
pub(super) enum Handed<E: Engine> {
    Conn(Loan<E>),
    Failed(BorrowError),
}

impl<E: Engine> Pool<E> {
    pub(super) fn new(
        id: PoolId,
        key: PoolKey,
        target: Arc<Target<E>>,
        login: ServerLogin,
        options: PoolOptions,
        meters: PoolMeters,
        reactors: usize,
    ) -> Arc<Self> {
        target.set_terms(id, terms(&key, &options));
        let pool = Arc::new(Self {
            id,
            tally: Arc::new(Tally::new(key.clone(), meters)),
            key,
            target,
            stores: ArcSwap::from_pointee(Stores::new(options.size, options.round_robin, reactors)),
            reactors,
            line: Lines::new(reactors),
            options: ArcSwap::from_pointee(options),
            login: ArcSwap::from_pointee(login),
            failure: Mutex::new(None),
            failing_since: Mutex::new(None),
            greetings: Greetings::new(),
            trials: Trials::default(),
            closed: AtomicBool::new(false),
            born: Instant::now(),
            last_used: AtomicU64::new(0),
        });
        pool.target.add(id, Arc::downgrade(&pool));
        pool
    }

    /// What the pool is shared by.
    pub fn key(&self) -> &PoolKey {
        &self.key
    }

    /// The greeting remembered for clients of this profile.
    pub fn greeting(&self, profile: u64) -> Option<E::Greeting> {
        self.greetings.get(profile)
    }

    /// Remembers what a connection says once a client's settings are applied to it.
    pub fn remember_greeting(&self, profile: u64, greeting: E::Greeting) {
        self.greetings.remember(profile, greeting);
    }

    /// Those who want a connection: clients that wait for one, and trials.
    pub fn waiting(&self) -> usize {
        self.line.waiting() + self.trials.pending()
    }

    /// Counts of this moment.
    pub fn snapshot(&self) -> PoolSnapshot {
        let held = self.tally.held();
        let idle = self.stores.load().idle().min(held.live());
        let meters = &self.tally.meters;
        PoolSnapshot {
            key: self.key.clone(),
            size: self.options.load().size,
            open: held.live(),
            idle,
            borrowed: held.live().saturating_sub(idle),
            opening: held.opening,
            waiting: u32::try_from(self.line.waiting()).unwrap_or(u32::MAX),
            borrows: meters.borrows.get(),
            timeouts: meters.timeouts.get(),
            shed: meters.shed.get(),
            logins_ok: meters.succeeded.get(),
            logins_failed: meters.failed.get(),
        }
    }

    /// Nobody may borrow any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.sweep(Instant::now());
        self.fail_line(&BorrowError::Closed);
        self.trials.fail(&BorrowError::Closed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Takes a newer credential and options. Another size or order means another store.
    pub(super) fn configure(self: &Arc<Self>, login: ServerLogin, options: PoolOptions) {
        if **self.login.load() != login {
            self.login.store(Arc::new(login));
        }
        let old = self.options.load_full();
        if *old == options {
            return;
        }
        let store = (options.size, options.round_robin);
        self.target.set_terms(self.id, terms(&self.key, &options));
        self.options.store(Arc::new(options));
        if store == (old.size, old.round_robin) {
            return;
        }
        self.ask(store.0);
        // Lent ones come over when they are given back.
        let former = self
            .stores
            .swap(Arc::new(Stores::new(store.0, store.1, self.reactors)));
        while let Some(loan) = former.take() {
            match loan.terms.verdict {
                Ok(()) => self.put(loan, Instant::now()),
                Err(reason) => close(loan, reason),
            }
        }
    }

    /// True if connections are opened with this login, under these options.
    pub fn is_configured(&self, login: &ServerLogin, options: &PoolOptions) -> bool {
        **self.login.load() == *login && **self.options.load() == *options
    }

    pub(super) fn lift_failure(&self) {
        *lock(&self.failure) = None;
        self.target.pause(self.id, None);
    }

    pub(super) fn options(&self) -> Arc<PoolOptions> {
        self.options.load_full()
    }

    /// What its connections log in with.
    pub fn login(&self) -> Arc<ServerLogin> {
        self.login.load_full()
    }

    pub(super) fn held(&self) -> Held {
        self.tally.held()
    }

    /// For the ledger; `None` if nothing is idle.
    pub(super) fn idle_view(&self) -> Option<Idle> {
        let count = self.stores.load().idle();
        (count > 0).then(|| Idle {
            pool: self.id,
            count,
            last_used: self.last_used().into_std(),
        })
    }

    /// When a connection was last given back, or the pool was made.
    pub(super) fn last_used(&self) -> Instant {
        let age = Duration::from_millis(self.last_used.load(Ordering::Relaxed));
        self.born + age
    }

    fn touch(&self, now: Instant) {
        let age = now.saturating_duration_since(self.born).as_millis();
        let age = u64::try_from(age).unwrap_or(u64::MAX);
        // Read by all threads: written as seldom as it changes.
        if self.last_used.load(Ordering::Relaxed) != age {
            self.last_used.store(age, Ordering::Relaxed);
        }
    }
}

fn terms(key: &PoolKey, options: &PoolOptions) -> Terms {
    Terms {
        user: Arc::clone(&key.user),
        database: Arc::clone(&key.database),
        size: options.size,
        min_size: options.min_size,
    }
}
