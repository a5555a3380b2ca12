//! The ledger's laws, and the cases they were made for.

#![allow(
    clippy::cast_possible_truncation,
    reason = "all numbers here are small"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use super::{Capacity, Idle, Ledger, Limits, Move, PATIENCE, PoolId, Stage, Terms, YIELD_AFTER};

const NO_LIMITS: Limits = Limits {
    percent: 100,
    per_user: 0,
    per_database: 0,
    logins: 100,
};

fn terms(user: &str, database: &str, size: u32, min_size: u32) -> Terms {
    Terms {
        user: user.into(),
        database: database.into(),
        size,
        min_size,
    }
}

fn idle(pool: u64, count: u32, last_used: Instant) -> Idle {
    Idle {
        pool: PoolId(pool),
        count,
        last_used,
    }
}

/// A ledger for a server of `capacity` connections, with pools numbered from 0, each of another
/// user.
fn ledger(capacity: u32, limits: Limits, pools: u64, now: Instant) -> Ledger {
    let mut ledger = Ledger::new(limits);
    ledger.learned(Capacity::Known(capacity));
    for id in 0..pools {
        ledger.set_terms(PoolId(id), terms(&format!("u{id}"), "db", 10, 0), now);
    }
    ledger
}

/// Opens `n` connections of a pool.
fn fill(ledger: &mut Ledger, pool: u64, n: u32, now: Instant) {
    let pool = PoolId(pool);
    for _ in 0..n {
        ledger.set_waiting(pool, 1, now);
        assert_eq!(ledger.next(now, &[]), Move::Open(pool));
        ledger.opened(pool, now);
    }
    ledger.set_waiting(pool, 0, now);
}

#[test]
fn a_percentage_of_the_servers_limit_is_used() {
    let now = Instant::now();
    let limits = Limits {
        percent: 50,
        ..NO_LIMITS
    };
    let mut ledger = ledger(7, limits, 1, now);
    ledger.set_waiting(PoolId(0), 10, now);
    let granted = std::iter::from_fn(|| match ledger.next(now, &[]) {
        Move::Open(_) => Some(()),
        _ => None,
    });
    assert_eq!(granted.count(), 3);
}

#[test]
fn a_pool_without_connections_gets_an_idle_one_at_once() {
    let now = Instant::now();
    let mut ledger = ledger(4, NO_LIMITS, 3, now);
    fill(&mut ledger, 0, 1, now);
    fill(&mut ledger, 1, 3, now);
    ledger.set_waiting(PoolId(2), 1, now);
    let seen = [idle(0, 1, now), idle(1, 2, now)];
    assert_eq!(ledger.next(now, &seen), Move::Evict(PoolId(1)));
    ledger.release(PoolId(1), Stage::Open, 0, now);
    assert_eq!(ledger.next(now, &[]), Move::Open(PoolId(2)));
}

#[test]
fn a_pool_with_connections_waits_before_it_takes_from_another() {
    let now = Instant::now();
    let mut ledger = ledger(2, NO_LIMITS, 2, now);
    fill(&mut ledger, 0, 1, now);
    fill(&mut ledger, 1, 1, now);
    ledger.set_waiting(PoolId(1), 1, now);
    let seen = [idle(0, 1, now)];
    let ripe = now + PATIENCE;
    assert_eq!(ledger.next(now, &seen), Move::Rest(Some(ripe)));
    assert_eq!(ledger.next(ripe, &seen), Move::Evict(PoolId(0)));
}

#[test]
fn a_minimum_is_kept_except_from_one_that_has_nothing() {
    let now = Instant::now();
    let mut ledger = ledger(2, NO_LIMITS, 3, now);
    ledger.set_terms(PoolId(0), terms("u0", "db", 10, 1), now);
    fill(&mut ledger, 0, 1, now);
    fill(&mut ledger, 1, 1, now);
    ledger.set_waiting(PoolId(1), 1, now);
    let later = now + PATIENCE;
    let seen = [idle(0, 1, now)];
    assert_eq!(ledger.next(later, &seen), Move::Rest(None));
    ledger.set_waiting(PoolId(2), 1, later);
    assert_eq!(ledger.next(later, &seen), Move::Evict(PoolId(0)));
}

#[test]
fn the_longest_unused_gives_up_among_equals() {
    let now = Instant::now();
    let mut ledger = ledger(2, NO_LIMITS, 3, now);
    fill(&mut ledger, 0, 1, now);
    fill(&mut ledger, 1, 1, now);
    ledger.set_waiting(PoolId(2), 1, now);
    let later = now + Duration::from_secs(1);
    let seen = [idle(0, 1, later), idle(1, 1, now)];
    assert_eq!(ledger.next(later, &seen), Move::Evict(PoolId(1)));
}

#[test]
fn nothing_is_closed_that_would_not_help() {
    let now = Instant::now();
    let limits = Limits {
        per_user: 1,
        ..NO_LIMITS
    };
    let mut ledger = Ledger::new(limits);
    ledger.learned(Capacity::Known(100));
    ledger.set_terms(PoolId(0), terms("a", "x", 10, 0), now);
    ledger.set_terms(PoolId(1), terms("b", "x", 10, 0), now);
    ledger.set_terms(PoolId(2), terms("b", "y", 10, 0), now);
    fill(&mut ledger, 0, 1, now);
    fill(&mut ledger, 1, 1, now);
    ledger.set_waiting(PoolId(2), 1, now);
    assert_eq!(ledger.next(now, &[idle(0, 1, now)]), Move::Rest(None));
    assert!(!ledger.gives_up(PoolId(0), false, now + YIELD_AFTER));
    let seen = [idle(0, 1, now), idle(1, 1, now)];
    assert_eq!(ledger.next(now, &seen), Move::Evict(PoolId(1)));
}

#[test]
fn a_busy_pool_yields_to_one_that_has_waited_long_for_its_first() {
    let now = Instant::now();
    let mut ledger = ledger(1, NO_LIMITS, 2, now);
    fill(&mut ledger, 0, 1, now);
    ledger.set_waiting(PoolId(0), 5, now);
    ledger.set_waiting(PoolId(1), 1, now);
    assert!(!ledger.gives_up(PoolId(0), true, now + YIELD_AFTER / 2));
    assert!(ledger.gives_up(PoolId(0), true, now + YIELD_AFTER));
    assert!(ledger.gives_up(PoolId(0), false, now));
}

#[test]
fn a_full_user_keeps_no_others_waiting() {
    let now = Instant::now();
    let limits = Limits {
        per_user: 1,
        ..NO_LIMITS
    };
    let mut ledger = ledger(10, limits, 2, now);
    fill(&mut ledger, 0, 1, now);
    ledger.set_waiting(PoolId(0), 1, now);
    ledger.set_waiting(PoolId(1), 1, now);
    assert_eq!(ledger.next(now, &[]), Move::Open(PoolId(1)));
}

#[test]
fn a_single_login_asks_the_server_before_others_follow() {
    let now = Instant::now();
    let mut ledger = Ledger::new(NO_LIMITS);
    ledger.set_terms(PoolId(0), terms("u", "db", 10, 0), now);
    ledger.set_waiting(PoolId(0), 10, now);
    assert_eq!(ledger.next(now, &[]), Move::Open(PoolId(0)));
    assert_eq!(ledger.next(now, &[]), Move::Rest(None));
    ledger.learned(Capacity::Known(100));
    assert_eq!(ledger.next(now, &[]), Move::Open(PoolId(0)));
}

#[test]
fn few_log_in_at_once() {
    let now = Instant::now();
    let two = Limits {
        logins: 2,
        ..NO_LIMITS
    };
    let mut ledger = ledger(100, two, 1, now);
    ledger.set_waiting(PoolId(0), 10, now);
    assert_eq!(ledger.next(now, &[]), Move::Open(PoolId(0)));
    assert_eq!(ledger.next(now, &[]), Move::Open(PoolId(0)));
    assert_eq!(ledger.next(now, &[]), Move::Rest(None));
    ledger.opened(PoolId(0), now);
    assert_eq!(ledger.next(now, &[]), Move::Open(PoolId(0)));
}

#[test]
fn a_pause_and_a_hold_name_their_end() {
    let now = Instant::now();
    let mut ledger = ledger(10, NO_LIMITS, 2, now);
    let later = now + Duration::from_secs(1);
    ledger.pause(PoolId(0), Some(later));
    ledger.set_waiting(PoolId(0), 1, now);
    assert_eq!(ledger.next(now, &[]), Move::Rest(Some(later)));
    ledger.set_waiting(PoolId(1), 1, now);
    assert_eq!(ledger.next(now, &[]), Move::Open(PoolId(1)));
    ledger.hold(Some(later));
    assert_eq!(ledger.next(now, &[]), Move::Rest(Some(later)));
    assert_eq!(ledger.next(later, &[]), Move::Open(PoolId(0)));
}

/// A step of the model below; pools by index.
#[derive(Clone, Debug)]
enum Event {
    /// So many more waiters come.
    Come(usize, u32),
    /// Every waiter leaves.
    Leave(usize),
    /// The oldest login ends, well or badly.
    Login(usize, bool),
    /// A borrowed connection comes back.
    Return(usize),
    /// An idle connection breaks.
    Break(usize),
    /// Time passes, in milliseconds.
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let pool = 0..POOLS;
    prop_oneof![
        4 => (pool.clone(), 1..4_u32).prop_map(|(p, n)| Event::Come(p, n)),
        1 => pool.clone().prop_map(Event::Leave),
        4 => (pool.clone(), any::<bool>()).prop_map(|(p, ok)| Event::Login(p, ok)),
        6 => pool.clone().prop_map(Event::Return),
        1 => pool.prop_map(Event::Break),
        2 => (1..300_u64).prop_map(Event::Pass),
    ]
}

const POOLS: usize = 6;

/// What really exists, kept apart from the ledger's own counts.
#[derive(Clone, Copy, Debug, Default)]
struct Real {
    waiting: u32,
    opening: u32,
    borrowed: u32,
    idle: u32,
}

struct Model {
    ledger: Ledger,
    limits: Limits,
    capacity: u32,
    sizes: [u32; POOLS],
    real: [Real; POOLS],
    now: Instant,
}

impl Model {
    fn new(limits: Limits, capacity: u32, sizes: [u32; POOLS]) -> Self {
        let now = Instant::now();
        let mut ledger = Ledger::new(limits);
        ledger.learned(Capacity::Known(capacity));
        for (index, size) in sizes.iter().enumerate() {
            let terms = terms(USERS[index], DATABASES[index], *size, (index % 2) as u32);
            ledger.set_terms(PoolId(index as u64), terms, now);
        }
        Self {
            ledger,
            limits,
            capacity,
            sizes,
            real: [Real::default(); POOLS],
            now,
        }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Come(p, n) => self.real[p].waiting += n,
            Event::Leave(p) => self.real[p].waiting = 0,
            Event::Login(p, ok) => self.login(p, ok),
            Event::Return(p) => self.give_back(p),
            Event::Break(p) => {
                if self.real[p].idle > 0 {
                    self.real[p].idle -= 1;
                    self.release(p, Stage::Open);
                }
            }
            Event::Pass(ms) => self.now += Duration::from_millis(ms),
        }
        self.settle();
        self.check();
    }

    fn login(&mut self, p: usize, ok: bool) {
        if self.real[p].opening == 0 {
            return;
        }
        self.real[p].opening -= 1;
        if ok {
            self.ledger.opened(PoolId(p as u64), self.now);
            self.real[p].idle += 1;
        } else {
            self.release(p, Stage::Opening);
        }
    }

    fn give_back(&mut self, p: usize) {
        if self.real[p].borrowed == 0 {
            return;
        }
        self.real[p].borrowed -= 1;
        let waiters = self.real[p].waiting > 0;
        if self.ledger.gives_up(PoolId(p as u64), waiters, self.now) {
            self.release(p, Stage::Open);
        } else {
            self.real[p].idle += 1;
        }
    }

    fn release(&mut self, p: usize, stage: Stage) {
        let waiting = self.real[p].waiting;
        self.ledger
            .release(PoolId(p as u64), stage, waiting, self.now);
    }

    /// Serves waiters from idle connections, then lets the ledger move.
    fn settle(&mut self) {
        for _ in 0..1000 {
            for p in 0..POOLS {
                let real = &mut self.real[p];
                let served = real.waiting.min(real.idle);
                real.waiting -= served;
                real.idle -= served;
                real.borrowed += served;
                let waiting = real.waiting;
                self.ledger.set_waiting(PoolId(p as u64), waiting, self.now);
            }
            let idle: Vec<_> = (0..POOLS)
                .map(|p| idle(p as u64, self.real[p].idle, self.now))
                .collect();
            match self.ledger.next(self.now, &idle) {
                Move::Open(PoolId(p)) => self.real[p as usize].opening += 1,
                Move::Evict(PoolId(p)) => {
                    assert!(self.real[p as usize].idle > 0, "nothing to evict");
                    self.real[p as usize].idle -= 1;
                    self.release(p as usize, Stage::Open);
                }
                Move::Rest(_) => return,
            }
            self.check();
        }
        panic!("the ledger never rests");
    }

    fn check(&self) {
        let slots = |p: usize| {
            let real = self.real[p];
            real.opening + real.borrowed + real.idle
        };
        let sum = |wanted: &dyn Fn(usize) -> bool| -> u32 {
            (0..POOLS).filter(|p| wanted(*p)).map(slots).sum()
        };
        let total = sum(&|_| true);
        let allowed = (self.capacity * u32::from(self.limits.percent) / 100).max(1);
        assert!(total <= allowed, "{total} of {allowed}");
        assert_eq!(self.ledger.total(), total, "a slot was lost or invented");
        let opening: u32 = self.real.iter().map(|real| real.opening).sum();
        assert!(opening <= self.limits.logins);
        for p in 0..POOLS {
            assert_eq!(self.ledger.held(PoolId(p as u64)).slots, slots(p));
            assert!(slots(p) <= self.sizes[p]);
            let of_user = sum(&|other| USERS[other] == USERS[p]);
            let of_database = sum(&|other| DATABASES[other] == DATABASES[p]);
            let within = |limit: u32, count: u32| limit == 0 || count <= limit;
            assert!(within(self.limits.per_user, of_user));
            assert!(within(self.limits.per_database, of_database));
        }
    }

    /// While connections come back and logins work, a pool gets its turn, however busy all the
    /// others are.
    fn serves(&mut self, victim: usize) {
        self.real[victim].waiting += 1;
        for _ in 0..1000 {
            self.now += Duration::from_millis(20);
            for p in 0..POOLS {
                self.apply(&Event::Login(p, true));
                self.apply(&Event::Return(p));
                if p != victim {
                    self.real[p].waiting = self.real[p].waiting.max(3);
                }
            }
            if self.real[victim].waiting == 0 {
                return;
            }
        }
        panic!("pool {victim} starves: {:?}", self.real);
    }
}

const USERS: [&str; POOLS] = ["a", "a", "a", "b", "b", "c"];
const DATABASES: [&str; POOLS] = ["x", "y", "z", "x", "y", "x"];

fn limits() -> impl Strategy<Value = Limits> {
    (1..=100_u8, 0..4_u32, 0..4_u32, 1..4_u32).prop_map(
        |(percent, per_user, per_database, logins)| Limits {
            percent,
            per_user,
            per_database,
            logins,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn limits_hold_slots_are_kept_and_nobody_starves(
        limits in limits(),
        capacity in 1..12_u32,
        sizes in prop::array::uniform6(1..5_u32),
        events in prop::collection::vec(event(), 0..100),
        victim in 0..POOLS,
    ) {
        let mut model = Model::new(limits, capacity, sizes);
        for event in &events {
            model.apply(event);
        }
        model.serves(victim);
    }
}

#[test]
fn names_are_shared_not_copied() {
    let user: Arc<str> = "u".into();
    let now = Instant::now();
    let mut ledger = Ledger::new(NO_LIMITS);
    let mut terms = terms("u", "db", 1, 0);
    terms.user = Arc::clone(&user);
    ledger.set_terms(PoolId(0), terms, now);
    fill(&mut ledger, 0, 1, now);
    ledger.release(PoolId(0), Stage::Open, 0, now);
    assert!(ledger.remove(PoolId(0)));
    assert_eq!(Arc::strong_count(&user), 1, "a count outlives its user");
}
