//! One pool: lending connections, and taking them back.
//!
//! A borrower takes the newest idle connection if nobody waits. Otherwise it joins the line, and
//! connections given back or newly opened are handed to the line in turn; only what nobody waits
//! for goes into the store.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::borrowed::Borrowed;
use super::greeting::Greetings;
use super::line::{Line, Ticket};
use super::lock;
use super::manager::{Loan, Store};
use super::metrics::{CloseReason, PoolMeters};
use super::open::{BorrowError, ServerLogin};
use super::options::PoolOptions;
use super::quota::{Held, Idle, PoolId, Terms};
use super::server::ServerConn;
use super::slot::Tally;
use super::snapshot::PoolSnapshot;
use super::target::{Failure, Target, holding};
use crate::model::PoolKey;
use crate::protocol::{Chore, Engine};

/// Server connections that any session of the same user, database and target may use.
pub struct Pool<E: Engine> {
    pub(super) id: PoolId,
    pub(super) key: PoolKey,
    pub(super) target: Arc<Target<E>>,
    pub(super) tally: Arc<Tally>,
    store: ArcSwap<Store<E>>,
    line: Line<Handed<E>>,
    options: ArcSwap<PoolOptions>,
    login: ArcSwap<ServerLogin>,
    pub(super) failure: Mutex<Option<Failure>>,
    pub(super) greetings: Greetings<E::Greeting>,
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
    ) -> Arc<Self> {
        target.set_terms(id, terms(&key, &options));
        let pool = Arc::new(Self {
            id,
            tally: Arc::new(Tally::new(key.clone(), meters)),
            key,
            target,
            store: ArcSwap::from_pointee(Store::new(options.size)),
            line: Line::default(),
            options: ArcSwap::from_pointee(options),
            login: ArcSwap::from_pointee(login),
            failure: Mutex::new(None),
            greetings: Greetings::new(),
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

    /// Borrows a connection: idle, in the state after login, and alive as far as can be told.
    /// Waits in turn for at most the borrow timeout. Cancel-safe: a borrower that leaves gives
    /// up its turn, and a connection handed to it meanwhile goes to the next.
    pub async fn borrow(self: &Arc<Self>) -> Result<Borrowed<E>, BorrowError> {
        self.tally.meters.borrows.inc();
        if self.line.waiting() == 0
            && let Some(loan) = self.take_idle()
        {
            let borrowed = Borrowed::new(loan, Arc::clone(self));
            let limit = self.options.load().check_delay;
            if borrowed.idle_for() <= limit {
                return Ok(borrowed);
            }
            return Box::pin(self.borrow_checked(borrowed)).await;
        }
        Box::pin(self.borrow_in_turn()).await
    }

    /// The greeting remembered for clients of this profile.
    pub fn greeting(&self, profile: u64) -> Option<E::Greeting> {
        self.greetings.get(profile)
    }

    /// Remembers what a connection says once a client's settings are applied to it.
    pub fn remember_greeting(&self, profile: u64, greeting: E::Greeting) {
        self.greetings.remember(profile, greeting);
    }

    /// Clients that wait for a connection.
    pub fn waiting(&self) -> usize {
        self.line.waiting()
    }

    /// Counts of this moment.
    pub fn snapshot(&self) -> PoolSnapshot {
        let held = self.tally.held();
        let idle = self.store.load().idle().min(held.live());
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

    /// Asks a connection that was idle for long for a sign of life, and takes the next if it
    /// gives none.
    async fn borrow_checked(
        self: &Arc<Self>,
        borrowed: Borrowed<E>,
    ) -> Result<Borrowed<E>, BorrowError> {
        let options = self.options();
        let mut next = Some(borrowed);
        while let Some(borrowed) = next {
            if let Some(alive) = self.checked(borrowed, &options).await {
                return Ok(alive);
            }
            let idle = if self.line.waiting() == 0 {
                self.take_idle()
            } else {
                None
            };
            next = idle.map(|loan| Borrowed::new(loan, Arc::clone(self)));
        }
        self.borrow_in_turn().await
    }

    async fn checked(
        &self,
        mut borrowed: Borrowed<E>,
        options: &PoolOptions,
    ) -> Option<Borrowed<E>> {
        if borrowed.idle_for() <= options.check_delay {
            return Some(borrowed);
        }
        let limit = options.reset_timeout;
        match borrowed.conn().run(Chore::Ping, limit).await {
            Ok(()) => Some(borrowed),
            Err(error) => {
                tracing::debug!(pool = %self.key, %error, "idle connection gave no sign of life");
                borrowed.close(CloseReason::PingFailed);
                None
            }
        }
    }

    async fn borrow_in_turn(self: &Arc<Self>) -> Result<Borrowed<E>, BorrowError> {
        let options = self.options();
        let start = Instant::now();
        let result = self.wait_in_turn(&options, start).await;
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

    async fn wait_in_turn(
        self: &Arc<Self>,
        options: &PoolOptions,
        start: Instant,
    ) -> Result<Borrowed<E>, BorrowError> {
        let limit = options.borrow_timeout;
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        if limit.is_zero() && self.waiting() > 0 {
            return Err(BorrowError::Timeout(limit));
        }
        let most = usize::try_from(options.max_waiting).unwrap_or(usize::MAX);
        let pass_on = |handed| self.pass_on(handed);
        let mut ticket = self
            .line
            .join(most, &pass_on)
            .ok_or(BorrowError::Overloaded)?;
        loop {
            self.serve_line();
            self.ask();
            if let Some(error) = self.refusal() {
                return Err(error);
            }
            let handed = self.next_handed(ticket, limit, start).await;
            match handed? {
                Handed::Failed(error) => return Err(error),
                Handed::Conn(loan) => {
                    let borrowed = Borrowed::new(loan, Arc::clone(self));
                    if let Some(alive) = self.checked(borrowed, options).await {
                        return Ok(alive);
                    }
                    ticket = self.line.rejoin(&pass_on);
                }
            }
        }
    }

    async fn next_handed<R: Fn(Handed<E>)>(
        self: &Arc<Self>,
        ticket: Ticket<'_, Handed<E>, R>,
        limit: Duration,
        start: Instant,
    ) -> Result<Handed<E>, BorrowError> {
        // Dropped last, whether served, cancelled or too late.
        let _leave = Leave(self);
        let mut ticket = ticket;
        let handed = match start.checked_add(limit) {
            Some(deadline) => tokio::time::timeout_at(deadline, ticket.served()).await,
            None => Ok(ticket.served().await),
        };
        match handed {
            Ok(handed) => handed.ok_or(BorrowError::Closed),
            Err(_) => Err(BorrowError::Timeout(limit)),
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

    /// The newest idle connection that is fit to be lent; unfit ones are closed on the way.
    fn take_idle(&self) -> Option<Loan<E>> {
        let store = self.store.load();
        loop {
            let loan = store.take()?;
            match loan.terms.verdict {
                Ok(()) => return Some(loan),
                Err(reason) => close(loan, reason),
            }
        }
    }

    /// Takes back a connection that is idle and clean: for the line, another pool, or the store.
    pub(super) fn put(self: &Arc<Self>, mut loan: Loan<E>) {
        let now = Instant::now();
        if let Err(reason) = self.welcome(&loan, now) {
            return close(loan, reason);
        }
        loan.terms.idle_since = now;
        self.touch(now);
        if self.store.load().owns(&loan) {
            self.place(loan);
        } else {
            self.admit(Loan::take(loan));
        }
    }

    fn welcome(&self, conn: &ServerConn<E>, now: Instant) -> Result<(), CloseReason> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(CloseReason::Shutdown);
        }
        conn.outdated(now)?;
        if self.tally.held().slots > self.options.load().size {
            return Err(CloseReason::Shrunk);
        }
        if self.target.gives_up(self.id, self.line.waiting() > 0) {
            return Err(CloseReason::GivenUp);
        }
        Ok(())
    }

    /// Takes a connection into the store, or to whoever waits.
    pub(super) fn admit(self: &Arc<Self>, conn: Box<ServerConn<E>>) {
        let store = self.store.load_full();
        store.leave(conn);
        // Idle ones lie above it: they are lifted off and put back.
        let mut lifted = Vec::new();
        while !store.inbox_is_empty() {
            let Some(loan) = store.take() else {
                if let Some(mut conn) = store.reject() {
                    conn.slot.close_as(CloseReason::Shrunk);
                }
                continue;
            };
            match loan.terms.verdict {
                Ok(()) => lifted.push(loan),
                Err(reason) => close(loan, reason),
            }
        }
        while let Some(loan) = lifted.pop() {
            self.place(loan);
        }
    }

    fn place(&self, loan: Loan<E>) {
        let handed = if self.line.waiting() > 0 {
            self.line.hand(Handed::Conn(loan))
        } else {
            Err(Handed::Conn(loan))
        };
        if let Err(rejected) = handed {
            // Back into the store.
            drop(rejected);
            fence(Ordering::SeqCst);
            if self.line.waiting() > 0 {
                self.serve_line();
            }
        }
    }

    /// Hands idle connections to the line, while there are both.
    ///
    /// Whoever joins the line calls this afterwards, and so does whoever has filled the store
    /// and sees a waiter: one of them sees the other.
    fn serve_line(&self) {
        fence(Ordering::SeqCst);
        while !self.line.is_empty() {
            let Some(loan) = self.take_idle() else {
                return;
            };
            if let Err(rejected) = self.line.hand(Handed::Conn(loan)) {
                drop(rejected);
            }
        }
    }

    /// Asks for new connections if the line is longer than the logins under way.
    fn ask(&self) {
        let held = self.tally.held();
        if held.slots < self.options.load().size {
            self.target.ask(self.id, self.line.waiting());
        }
    }

    fn pass_on(self: &Arc<Self>, handed: Handed<E>) {
        if let Handed::Conn(loan) = handed {
            self.put(loan);
        }
    }

    /// Tells all waiters that it is no use.
    pub(super) fn fail_line(&self, error: &BorrowError) {
        while self.line.waiting() > 0 {
            if self.line.hand(Handed::Failed(error.clone())).is_err() {
                break;
            }
        }
        self.target.ask(self.id, self.line.waiting());
    }

    /// Closes the oldest idle connection, for another pool's sake.
    pub(super) fn evict(&self) {
        let mut evicted = false;
        let removed = self
            .store
            .load()
            .retain(|_| std::mem::replace(&mut evicted, true));
        for mut conn in removed {
            conn.slot.close_as(CloseReason::GivenUp);
        }
    }

    /// Closes idle connections that no longer may be lent.
    pub(super) fn sweep(&self, now: Instant) {
        let closed = self.closed.load(Ordering::SeqCst);
        let keep = |conn: &ServerConn<E>| !closed && conn.outdated(now).is_ok();
        for mut conn in self.store.load().retain(keep) {
            let reason = conn.outdated(now).err().unwrap_or(CloseReason::Shutdown);
            conn.slot.close_as(reason);
        }
    }

    /// Removes idle connections that `keep` does not want, oldest first, and closes them.
    pub(super) fn reap(&self, keep: impl FnMut(&ServerConn<E>) -> bool) -> usize {
        let removed = self.store.load().retain(keep);
        let count = removed.len();
        for mut conn in removed {
            conn.slot.close_as(CloseReason::Idle);
        }
        count
    }

    /// Nobody may borrow any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.sweep(Instant::now());
        self.fail_line(&BorrowError::Closed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Takes a newer credential and options. Another size means another store.
    pub(super) fn configure(self: &Arc<Self>, login: ServerLogin, options: PoolOptions) {
        self.login.store(Arc::new(login));
        let old = self.options.load_full();
        if *old == options {
            return;
        }
        let size = options.size;
        self.target.set_terms(self.id, terms(&self.key, &options));
        self.options.store(Arc::new(options));
        if size == old.size {
            return;
        }
        // Lent ones come over when they are given back.
        let former = self.store.swap(Arc::new(Store::new(size)));
        while let Some(loan) = former.take() {
            match loan.terms.verdict {
                Ok(()) => self.put(loan),
                Err(reason) => close(loan, reason),
            }
        }
    }

    pub(super) fn lift_failure(&self) {
        *lock(&self.failure) = None;
        self.target.pause(self.id, None);
    }

    pub(super) fn options(&self) -> Arc<PoolOptions> {
        self.options.load_full()
    }

    pub(super) fn login(&self) -> Arc<ServerLogin> {
        self.login.load_full()
    }

    pub(super) fn held(&self) -> Held {
        self.tally.held()
    }

    /// For the ledger; `None` if nothing is idle.
    pub(super) fn idle_view(&self) -> Option<Idle> {
        let count = self.store.load().idle();
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
        self.last_used.store(age, Ordering::Relaxed);
    }
}

/// Tells the ledger that a waiter has left, where that may matter to other pools.
struct Leave<'a, E: Engine>(&'a Pool<E>);

impl<E: Engine> Drop for Leave<'_, E> {
    fn drop(&mut self) {
        if self.0.target.is_short() {
            self.0.target.ask(self.0.id, self.0.line.waiting());
        }
    }
}

/// Closes a connection that was lent or idle.
pub(super) fn close<E: Engine>(loan: Loan<E>, reason: CloseReason) {
    let mut conn = Loan::take(loan);
    conn.slot.close_as(reason);
}

fn terms(key: &PoolKey, options: &PoolOptions) -> Terms {
    Terms {
        user: Arc::clone(&key.user),
        database: Arc::clone(&key.database),
        size: options.size,
        min_size: options.min_size,
    }
}
