//! Thousands of clients at random: the quota holds, and no connection or slot is lost.

#![allow(
    clippy::cast_possible_truncation,
    reason = "all numbers here are small"
)]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::fake::{Fake, out_of_files, refused, unreachable_target};
use super::{Bed, ms, options, pass, target_options};
use crate::model::TxStatus;
use crate::pool::{Borrowed, Pool, PoolOptions, TargetOptions};

/// A small generator, so that a failing run can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // Numerical Recipes' linear congruence; the upper bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn part(dice: &mut Dice, mut borrowed: Borrowed<Fake>, bed: &Bed) {
    match dice.roll(20) {
        0 => drop(borrowed),
        1 => {
            borrowed.conn().back.dirty = true;
            borrowed.give_back();
        }
        2 => {
            borrowed.conn().back.tx = TxStatus::Open;
            borrowed.clean_up();
        }
        3 => {
            borrowed.conn().back.tx = TxStatus::Open;
            borrowed.give_back();
        }
        4 => {
            let pid = borrowed.conn().back.pid;
            borrowed.give_back();
            bed.server.kill(pid);
        }
        _ => borrowed.give_back(),
    }
}

async fn client(bed: Arc<Bed>, pool: Arc<Pool<Fake>>, seed: u64, served: Arc<AtomicU32>) {
    let mut dice = Dice(seed);
    for _ in 0..10 {
        tokio::time::sleep(ms(dice.roll(300))).await;
        // Many leave while they wait, or while their login is under way.
        let patience = ms(1 + dice.roll(2000));
        let attempt = tokio::time::timeout(patience, pool.borrow()).await;
        let Ok(Ok(borrowed)) = attempt else {
            continue;
        };
        served.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(ms(dice.roll(20))).await;
        part(&mut dice, borrowed, &bed);
    }
}

async fn run(seed: u64) {
    let tight = TargetOptions {
        max_user_connections: 9,
        login_concurrency: 4,
        login_retry: ms(50),
        ..target_options()
    };
    let bed = Arc::new(Bed::new(CAPACITY, tight));
    bed.server.set(|rules| rules.hard_limit = CAPACITY);
    let sized = PoolOptions {
        min_size: 1,
        borrow_timeout: ms(3000),
        lifetime: ms(1500),
        lifetime_jitter: ms(1000),
        idle_timeout: ms(700),
        check_delay: ms(100),
        reset_timeout: ms(100),
        ..options(8)
    };
    let pools = USERS.map(|user| bed.pool(user, sized.clone()));
    let served = Arc::new(AtomicU32::new(0));
    let mut clients = tokio::task::JoinSet::new();
    let mut dice = Dice(seed);
    for _ in 0..400 {
        let pool = Arc::clone(&pools[dice.roll(4) as usize]);
        clients.spawn(client(
            bed.clone(),
            pool,
            dice.roll(u64::MAX),
            served.clone(),
        ));
    }
    let over = AtomicBool::new(false);
    let all = async {
        while let Some(done) = clients.join_next().await {
            done.unwrap();
        }
        over.store(true, Ordering::SeqCst);
    };
    tokio::join!(trouble(&bed, &sized, &mut dice, &over), all);
    let most = bed.server.most_live.load(Ordering::SeqCst);
    assert!(most <= CAPACITY, "{most}");
    assert!(served.load(Ordering::SeqCst) > 1000, "{served:?}");
    nothing_is_lost(&bed, &pools).await;
}

/// Failing logins, dying servers and changed configuration, until it is over.
async fn trouble(bed: &Bed, sized: &PoolOptions, dice: &mut Dice, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        tokio::time::sleep(ms(20 + dice.roll(200))).await;
        bed.server.set(|rules| {
            rules.failures.push_back(match dice.roll(4) {
                0 => refused("28P01", "as told"),
                1 => unreachable_target(),
                2 => out_of_files(),
                _ => refused("53300", "as told"),
            });
        });
        match dice.roll(12) {
            0 => bed.server.kill_all(),
            1 => bed.retire(),
            2 => {
                let size = 2 + dice.roll(10) as u32;
                let user = USERS[dice.roll(4) as usize];
                drop(bed.pool(
                    user,
                    PoolOptions {
                        size,
                        ..sized.clone()
                    },
                ));
            }
            _ => {}
        }
        for pool in bed.pools.snapshot() {
            assert!(pool.open + pool.opening <= CAPACITY, "{pool:?}");
        }
    }
}

/// Once all is quiet, every slot can be had again, and no connection exists uncounted.
async fn nothing_is_lost(bed: &Bed, pools: &[Arc<Pool<Fake>>; 4]) {
    bed.server.set(|rules| rules.failures.clear());
    pass(Duration::from_secs(5)).await;
    for pool in pools {
        let seen = pool.snapshot();
        assert_eq!(
            (seen.waiting, seen.opening, seen.borrowed),
            (0, 0, 0),
            "{seen:?}"
        );
    }
    let open: u32 = bed.pools.snapshot().iter().map(|pool| pool.open).sum();
    assert_eq!(open, bed.server.live());
    for pool in pools {
        bed.pools
            .pool(
                pool.key(),
                super::login(),
                PoolOptions {
                    borrow_timeout: Duration::from_secs(20),
                    ..options(6)
                },
            )
            .unwrap();
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(pool.borrow().await.unwrap());
        }
    }
}

/// Below the sum of all pools' sizes.
const CAPACITY: u32 = 12;

const USERS: [&str; 4] = ["a", "b", "c", "d"];

#[tokio::test(start_paused = true)]
async fn random_clients_and_faults_lose_nothing() {
    for seed in 1..=3 {
        run(seed).await;
    }
}

/// On real threads: one comes just as the other gives back, and nobody calls later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wakeup_is_lost_between_threads() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    for round in 0..20_000_u32 {
        let held = pool.borrow().await.unwrap();
        let waiter = super::borrow(&pool);
        // Somewhere about the moment at which the waiter looks.
        for _ in 0..round % 300 {
            std::hint::spin_loop();
        }
        held.give_back();
        let served = tokio::time::timeout(ms(5000), waiter).await;
        let served = served.unwrap_or_else(|_| panic!("{:?}", pool.snapshot()));
        served.unwrap().unwrap().give_back();
    }
    assert_eq!(bed.server.logins(), 1);
}

/// On real threads: many contend for few, some leave while they wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_lose_nothing() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(3));
    crowd(&pool, 0..48).await;
    // Logins begun for those who have been served otherwise are installed after the last client has left.
    pool.target.tasks.finished().await;
    all_are_back(&bed, &pool);
}

/// As many clients as there are seeds.
pub(super) async fn crowd(pool: &Arc<Pool<Fake>>, seeds: Range<u64>) {
    let mut clients = tokio::task::JoinSet::new();
    for seed in seeds {
        clients.spawn(hasty(Arc::clone(pool), seed));
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}

/// After a crowd on a pool of three.
pub(super) fn all_are_back(bed: &Bed, pool: &Pool<Fake>) {
    let seen = pool.snapshot();
    assert_eq!((seen.waiting, seen.borrowed), (0, 0));
    assert!(bed.server.most_live.load(Ordering::SeqCst) <= 3);
    assert_eq!(bed.server.live(), seen.idle);
}

async fn hasty(pool: Arc<Pool<Fake>>, seed: u64) {
    let mut dice = Dice(seed);
    for _ in 0..400 {
        let leaves = dice.roll(8) == 0;
        let patience = match leaves {
            true => Duration::from_micros(dice.roll(200)),
            false => ms(20_000),
        };
        let Ok(borrowed) = tokio::time::timeout(patience, pool.borrow()).await else {
            assert!(leaves, "waited in vain: {:?}", pool.snapshot());
            continue;
        };
        let borrowed = borrowed.unwrap();
        if dice.roll(2) == 0 {
            tokio::task::yield_now().await;
        }
        match dice.roll(200) {
            0 => drop(borrowed),
            _ => borrowed.give_back(),
        }
    }
}
