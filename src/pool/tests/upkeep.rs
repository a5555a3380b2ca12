//! What happens by itself as time passes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Bed, borrow, ms, options, pass, target_options};
use crate::pool::{PoolOptions, TargetOptions};

#[tokio::test(start_paused = true)]
async fn a_pool_in_use_keeps_its_minimum() {
    let bed = Bed::new(100, target_options());
    let three = PoolOptions {
        min_size: 3,
        idle_timeout: ms(5000),
        ..options(10)
    };
    let pool = bed.pool("app", three);
    pass(ms(1500)).await;
    assert_eq!(pool.snapshot().idle, 3);
    bed.server.kill_all();
    drop(pool.borrow().await.unwrap());
    pass(ms(2000)).await;
    assert_eq!(pool.snapshot().open, 3);
    let waiters: Vec<_> = (0..8).map(|_| borrow(&pool)).collect();
    let mut held = Vec::new();
    for waiter in waiters {
        held.push(waiter.await.unwrap().unwrap());
    }
    held.into_iter().for_each(super::Borrowed::give_back);
    pass(ms(7000)).await;
    assert_eq!(pool.snapshot().idle, 3);
    drop(pool);
    pass(ms(7000)).await;
    assert_eq!(bed.server.live(), 0, "nobody uses the pool any more");
    pass(Duration::from_secs(120)).await;
    assert!(bed.pools.snapshot().is_empty());
    let gathered = bed.registry.gather();
    let text = prometheus::TextEncoder::new();
    let text = text.encode_to_string(&gathered).unwrap();
    assert!(!text.contains("user=\"app\""), "{text}");
}

#[tokio::test(start_paused = true)]
async fn connections_end_at_different_times() {
    let bed = Bed::new(100, target_options());
    let short = PoolOptions {
        lifetime: ms(100_000),
        lifetime_jitter: ms(50_000),
        ..options(20)
    };
    let pool = bed.pool("app", short);
    let waiters: Vec<_> = (0..20).map(|_| borrow(&pool)).collect();
    let mut held = Vec::new();
    for waiter in waiters {
        held.push(waiter.await.unwrap().unwrap());
    }
    let borrowed_for_life = held.pop().unwrap();
    held.into_iter().for_each(super::Borrowed::give_back);
    let mut seen = BTreeSet::new();
    pass(ms(49_000)).await;
    assert_eq!(bed.server.live(), 20);
    for _ in 0..52 {
        pass(ms(1000)).await;
        seen.insert(bed.server.live());
    }
    assert!(seen.len() > 5, "{seen:?}");
    assert_eq!(bed.server.live(), 1, "only the borrowed one is left");
    borrowed_for_life.give_back();
    assert_eq!(bed.server.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_keep_to_their_share() {
    let quarter = TargetOptions {
        max_idle_connections_percent: 25,
        ..target_options()
    };
    let bed = Bed::new(20, quarter);
    let pools = ["a", "b"].map(|user| bed.pool(user, options(10)));
    let waiters: Vec<_> = pools
        .iter()
        .flat_map(|pool| (0..8).map(|_| borrow(pool)))
        .collect();
    let mut held = Vec::new();
    for waiter in waiters {
        held.push(waiter.await.unwrap().unwrap());
    }
    let working = held.split_off(14);
    held.into_iter().for_each(super::Borrowed::give_back);
    pass(Duration::from_secs(290)).await;
    assert_eq!(bed.server.live(), 16);
    pass(Duration::from_secs(15)).await;
    assert_eq!(bed.server.live(), 5 + 2);
    drop(working);
}

#[tokio::test(start_paused = true)]
async fn the_servers_limit_is_learned_again() {
    let bed = Bed::new(2, target_options());
    let pool = bed.pool("app", options(10));
    let waiters: Vec<_> = (0..4).map(|_| borrow(&pool)).collect();
    pass(ms(100)).await;
    assert_eq!(bed.server.live(), 2);
    bed.server.set(|rules| rules.capacity = Some(3));
    pass(ms(5000)).await;
    drop(waiters);
    // The connections stay with the finished tasks until these are dropped.
    drop(pool.borrow().await.unwrap());
    pass(Duration::from_secs(61)).await;
    let waiters: Vec<_> = (0..6).map(|_| borrow(&pool)).collect();
    pass(ms(100)).await;
    assert_eq!(bed.server.live(), 3);
    drop(waiters);
}

#[tokio::test(start_paused = true)]
async fn a_lowered_limit_closes_what_is_idle_and_what_comes_back() {
    let bed = Bed::new(10, target_options());
    let pool = bed.pool("app", options(10));
    let waiters: Vec<_> = (0..10).map(|_| borrow(&pool)).collect();
    let mut held = Vec::new();
    for waiter in waiters {
        held.push(waiter.await.unwrap().unwrap());
    }
    for idle in held.drain(..3) {
        idle.give_back();
    }
    let opener = std::sync::Arc::new(super::FakeOpener(bed.server.clone()));
    let (group, target) = ("main".into(), "db:5432".into());
    let half = TargetOptions {
        max_connections_percent: 50,
        ..target_options()
    };
    bed.pools.set_target(&group, &target, half, opener);
    pass(ms(1100)).await;
    assert_eq!(bed.server.live(), 7);
    held.into_iter().for_each(super::Borrowed::give_back);
    assert_eq!(bed.server.live(), 5);
}
