//! Who may open a connection: the ledger of one target's server connections.
//!
//! Decides when a pool's waiters may have a new connection, and which pool gives one up for
//! another. Knows no sockets, tasks or clocks: whoever keeps the ledger carries its moves out.
//! The rule that keeps it fair: pools that want a connection stand in a queue; a pool without any
//! connection keeps a slot of its user and its database from those behind it, while it waits for
//! one of the target; and if it has waited for long enough, it gets the next connection that is
//! given back, even where others wait for that one too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::HashMap;

mod claims;
#[cfg(test)]
mod tests;

use claims::{Claims, Scopes};

/// Names a pool within the ledger; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u64);

/// Limits that configuration sets. The target's own limit is learned: [`Ledger::learned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Share of the server's limit that may be used; 1 to 100.
    pub percent: u8,
    /// Most connections of one user; 0: no limit.
    pub per_user: u32,
    /// Most connections of one database; 0: no limit.
    pub per_database: u32,
    /// Most logins under way.
    pub logins: u32,
}

/// What is known of the number of connections that the server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// Nothing yet; the first logins find out.
    Unknown,
    /// It could not be learned: only the other limits hold.
    Unbounded,
    /// So many, less those that the server reserves.
    Known(u32),
}

/// What a pool wants of the ledger.
#[derive(Clone, Debug)]
pub struct Terms {
    /// User on the server.
    pub user: Arc<str>,
    /// Database on the server.
    pub database: Arc<str>,
    /// Most connections of the pool.
    pub size: u32,
    /// Connections that it does not give up while others have any.
    pub min_size: u32,
}

/// A pool's idle connections, as seen by the keeper of the ledger just now.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Whose.
    pub pool: PoolId,
    /// How many.
    pub count: u32,
    /// When the pool last lent or got back a connection.
    pub last_used: Instant,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Open a connection; its slot is taken. To be followed by [`Ledger::opened`] or
    /// [`Ledger::release`].
    Open(PoolId),
    /// Close an idle connection of this pool, then ask again.
    Evict(PoolId),
    /// Nothing before this time, or before something changes.
    Rest(Option<Instant>),
}

/// Whether a released slot was still being logged in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The login was under way.
    Opening,
    /// The connection was open.
    Open,
}

/// How many connections a pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Held {
    /// Slots taken, logins included.
    pub slots: u32,
    /// Logins under way.
    pub opening: u32,
}

impl Held {
    /// Connections that exist.
    pub fn live(self) -> u32 {
        self.slots.saturating_sub(self.opening)
    }
}

/// The counts of one target.
#[derive(Debug)]
pub struct Ledger {
    limits: Limits,
    capacity: Capacity,
    total: u32,
    logins: u32,
    users: HashMap<Arc<str>, u32>,
    databases: HashMap<Arc<str>, u32>,
    accounts: HashMap<PoolId, Account>,
    /// Pools that want a connection and are below their own size, first come first.
    queue: VecDeque<PoolId>,
    /// No login anywhere before this.
    held_until: Option<Instant>,
}

#[derive(Debug)]
struct Account {
    terms: Terms,
    held: Held,
    waiting: u32,
    queued: bool,
    /// Since when it has been in the queue without a grant.
    since: Instant,
    /// No login of this pool before this.
    paused_until: Option<Instant>,
}

impl Account {
    fn wants(&self) -> bool {
        self.waiting > self.held.opening && self.held.slots < self.terms.size
    }
}

/// A pool that has connections already takes none from others before it has waited this long, so
/// that two busy pools do not pass connections to and fro at the price of a login each.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// A pool without any connection that has waited this long gets the next one given back, even
/// from a pool with waiters of its own.
pub const YIELD_AFTER: Duration = Duration::from_millis(500);

impl Ledger {
    /// An empty ledger.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            capacity: Capacity::Unknown,
            total: 0,
            logins: 0,
            users: HashMap::default(),
            databases: HashMap::default(),
            accounts: HashMap::default(),
            queue: VecDeque::new(),
            held_until: None,
        }
    }

    /// Takes new limits. Connections beyond them stay until they are released.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Notes what the server says of itself.
    pub fn learned(&mut self, capacity: Capacity) {
        self.capacity = capacity;
    }

    /// What is known of the server.
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Most connections that all pools together may have; `None`: no limit. While the server has
    /// not been asked, no more than log in at once.
    pub fn allowed(&self) -> Option<u32> {
        match self.capacity {
            Capacity::Unknown => Some(self.limits.logins.max(1)),
            Capacity::Unbounded => None,
            Capacity::Known(n) => Some(share(n, self.limits.percent).max(1)),
        }
    }

    /// Opens an account, or changes its terms.
    pub fn set_terms(&mut self, pool: PoolId, terms: Terms, now: Instant) {
        if let Some(account) = self.accounts.get_mut(&pool) {
            account.terms.size = terms.size;
            account.terms.min_size = terms.min_size;
            self.settle_queue(pool, now);
            return;
        }
        let account = Account {
            terms,
            held: Held::default(),
            waiting: 0,
            queued: false,
            since: now,
            paused_until: None,
        };
        self.accounts.insert(pool, account);
    }

    /// Closes an account, unless it still holds slots.
    pub fn remove(&mut self, pool: PoolId) -> bool {
        if self.held(pool).slots > 0 {
            return false;
        }
        self.accounts.remove(&pool);
        self.queue.retain(|id| *id != pool);
        true
    }

    /// Connections of one pool.
    pub fn held(&self, pool: PoolId) -> Held {
        self.accounts.get(&pool).map(|a| a.held).unwrap_or_default()
    }

    /// Connections of all pools, logins included.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// How many pools stand in the queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Notes how many waiters a pool has that nobody serves. Returns true if the pool entered the
    /// queue, so that [`Ledger::next`] may have something new to say.
    pub fn set_waiting(&mut self, pool: PoolId, waiting: u32, now: Instant) -> bool {
        let Some(account) = self.accounts.get_mut(&pool) else {
            return false;
        };
        account.waiting = waiting;
        let before = account.queued;
        self.settle_queue(pool, now) && !before
    }

    /// Takes a slot for a pool without waiters, if nobody wants it more.
    pub fn spare(&mut self, pool: PoolId, now: Instant) -> bool {
        let quiet = self.queue.is_empty() && self.held_until.is_none_or(|t| t <= now);
        let Some(account) = self.accounts.get(&pool) else {
            return false;
        };
        let open = account.paused_until.is_none_or(|t| t <= now)
            && account.held.slots < account.terms.size
            && self.logins < self.limits.logins.max(1)
            && self.full_scopes(account, &Claims::default()).is_empty();
        if quiet && open {
            self.take(pool, now);
        }
        quiet && open
    }

    /// A login has succeeded.
    pub fn opened(&mut self, pool: PoolId, now: Instant) {
        if let Some(account) = self.accounts.get_mut(&pool) {
            account.held.opening = account.held.opening.saturating_sub(1);
            // The waiter it was opened for is about to be served.
            account.waiting = account.waiting.saturating_sub(1);
        }
        self.logins = self.logins.saturating_sub(1);
        self.settle_queue(pool, now);
    }

    /// A connection is gone, or a login has failed. `waiting` as in [`Ledger::set_waiting`].
    pub fn release(&mut self, pool: PoolId, stage: Stage, waiting: u32, now: Instant) {
        let Some(account) = self.accounts.get_mut(&pool) else {
            return;
        };
        account.held.slots = account.held.slots.saturating_sub(1);
        if stage == Stage::Opening {
            account.held.opening = account.held.opening.saturating_sub(1);
            self.logins = self.logins.saturating_sub(1);
        }
        account.waiting = waiting;
        self.total = self.total.saturating_sub(1);
        lower(&mut self.users, &account.terms.user);
        lower(&mut self.databases, &account.terms.database);
        self.settle_queue(pool, now);
    }

    /// No login of this pool before `until`; `None` lifts it.
    pub fn pause(&mut self, pool: PoolId, until: Option<Instant>) {
        if let Some(account) = self.accounts.get_mut(&pool) {
            account.paused_until = until;
        }
    }

    /// No login to the target before `until`; `None` lifts it.
    pub fn hold(&mut self, until: Option<Instant>) {
        self.held_until = until;
    }

    /// Which pool should close an idle connection because the server itself has none left for
    /// `pool`, whatever the ledger says.
    pub fn make_room(&self, pool: PoolId, idle: &[Idle]) -> Option<PoolId> {
        let taker = self.accounts.get(&pool)?;
        self.donor(pool, taker, idle, |_| true)
    }

    /// The next move. `idle` lists the pools with idle connections.
    pub fn next(&mut self, now: Instant, idle: &[Idle]) -> Move {
        if self.queue.is_empty() {
            return Move::Rest(None);
        }
        if let Some(until) = self.held_until.filter(|t| *t > now) {
            return Move::Rest(Some(until));
        }
        if self.logins >= self.limits.logins.max(1) {
            // The end of one of them is the next occasion.
            return Move::Rest(None);
        }
        let mut wake: Option<Instant> = None;
        let mut claims = Claims::default();
        let mut granted = None;
        for id in &self.queue {
            let Some(account) = self.accounts.get(id) else {
                continue;
            };
            if let Some(until) = account.paused_until.filter(|t| *t > now) {
                wake = earlier(wake, until);
                continue;
            }
            let full = self.full_scopes(account, &claims);
            if full.is_empty() {
                granted = Some(*id);
                break;
            }
            match self.relief(*id, account, full, now, idle) {
                Relief::From(donor) => return Move::Evict(donor),
                Relief::Later(at) => wake = earlier(wake, at),
                Relief::None => {}
            }
            if idle.is_empty() && self.target_is_full() {
                break;
            }
            if account.held.slots == 0 {
                claims.add(&account.terms);
            }
        }
        let Some(id) = granted else {
            return Move::Rest(wake);
        };
        self.take(id, now);
        Move::Open(id)
    }

    /// Whether a connection that was just given back should be closed, because another pool needs
    /// its slot more. `waiters`: its own pool has waiters for it.
    pub fn gives_up(&self, pool: PoolId, waiters: bool, now: Instant) -> bool {
        let Some(giver) = self.accounts.get(&pool) else {
            return false;
        };
        if self.held_until.is_some_and(|t| t > now) {
            return false;
        }
        self.queue.iter().any(|id| {
            let Some(taker) = self.accounts.get(id).filter(|_| *id != pool) else {
                return false;
            };
            let paused = taker.paused_until.is_some_and(|t| t > now);
            // The narrowest first: a slot there is held for the taker until it has the others.
            let full = self.full_scopes(taker, &Claims::default());
            let helps = |scope: Scopes| scope.meets(&giver.terms, &taker.terms);
            if paused || !full.each().next().is_some_and(helps) {
                return false;
            }
            let waited = now.saturating_duration_since(taker.since);
            if waiters {
                taker.held.slots == 0 && waited >= YIELD_AFTER
            } else {
                may_take(giver, taker) && (taker.held.slots == 0 || waited >= PATIENCE)
            }
        })
    }

    fn target_is_full(&self) -> bool {
        self.allowed().is_some_and(|limit| self.total >= limit)
    }

    /// The scopes in which a pool may not have another connection.
    fn full_scopes(&self, account: &Account, claims: &Claims) -> Scopes {
        let terms = &account.terms;
        let over = |limit: u32, count: u32| limit > 0 && count >= limit;
        let user = self.users.get(&terms.user).copied().unwrap_or(0);
        let database = self.databases.get(&terms.database).copied().unwrap_or(0);
        Scopes {
            target: self.target_is_full(),
            user: over(
                self.limits.per_user,
                user.saturating_add(claims.user(&terms.user)),
            ),
            database: over(
                self.limits.per_database,
                database.saturating_add(claims.database(&terms.database)),
            ),
        }
    }

    /// Where a connection could come from for a pool that meets full scopes.
    fn relief(
        &self,
        id: PoolId,
        taker: &Account,
        full: Scopes,
        now: Instant,
        idle: &[Idle],
    ) -> Relief {
        // Closing one is of use only if every full scope can be relieved.
        let mut first = None;
        for scope in full.each() {
            let Some(donor) = self.donor(id, taker, idle, |giver| {
                scope.meets(&giver.terms, &taker.terms)
            }) else {
                return Relief::None;
            };
            first = first.or(Some(donor));
        }
        let ripe = taker.since + PATIENCE;
        match first {
            Some(donor) if taker.held.slots == 0 || ripe <= now => Relief::From(donor),
            Some(_) => Relief::Later(ripe),
            None => Relief::None,
        }
    }

    /// The pool with the most idle connections, the longest unused among equals.
    fn donor(
        &self,
        taker_id: PoolId,
        taker: &Account,
        idle: &[Idle],
        fits: impl Fn(&Account) -> bool,
    ) -> Option<PoolId> {
        idle.iter()
            .filter(|seen| seen.count > 0 && seen.pool != taker_id)
            .filter(|seen| {
                let giver = self.accounts.get(&seen.pool);
                giver.is_some_and(|giver| fits(giver) && may_take(giver, taker))
            })
            .max_by_key(|seen| (seen.count, std::cmp::Reverse(seen.last_used)))
            .map(|seen| seen.pool)
    }

    /// Takes a slot and sends the pool to the end of the queue.
    fn take(&mut self, pool: PoolId, now: Instant) {
        let Some(account) = self.accounts.get_mut(&pool) else {
            return;
        };
        account.held.slots += 1;
        account.held.opening += 1;
        account.since = now;
        self.total += 1;
        self.logins += 1;
        raise(&mut self.users, &account.terms.user);
        raise(&mut self.databases, &account.terms.database);
        if account.queued {
            account.queued = false;
            self.queue.retain(|id| *id != pool);
        }
        self.settle_queue(pool, now);
    }

    /// Makes the queue agree with what the pool wants; true if the pool is in it.
    fn settle_queue(&mut self, pool: PoolId, now: Instant) -> bool {
        let Some(account) = self.accounts.get_mut(&pool) else {
            return false;
        };
        let wants = account.wants();
        match (wants, account.queued) {
            (true, false) => {
                account.since = now;
                self.queue.push_back(pool);
            }
            (false, true) => self.queue.retain(|id| *id != pool),
            _ => {}
        }
        account.queued = wants;
        wants
    }
}

enum Relief {
    From(PoolId),
    Later(Instant),
    None,
}

/// A pool keeps its minimum, except from one that has nothing at all.
fn may_take(giver: &Account, taker: &Account) -> bool {
    giver.held.live() > giver.terms.min_size || taker.held.slots == 0
}

fn share(n: u32, percent: u8) -> u32 {
    let share = u64::from(n) * u64::from(percent) / 100;
    u32::try_from(share).unwrap_or(u32::MAX)
}

fn earlier(a: Option<Instant>, b: Instant) -> Option<Instant> {
    Some(a.map_or(b, |a| a.min(b)))
}

fn raise(counts: &mut HashMap<Arc<str>, u32>, name: &Arc<str>) {
    *counts.entry(Arc::clone(name)).or_insert(0) += 1;
}

fn lower(counts: &mut HashMap<Arc<str>, u32>, name: &Arc<str>) {
    if let Some(count) = counts.get_mut(name) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(name);
        }
    }
}
