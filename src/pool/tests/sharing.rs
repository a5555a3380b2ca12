//! Several pools on one target.

use tokio::time::Instant;

use super::{Bed, borrow, ms, options, pass, settle, target_options};
use crate::pool::TargetOptions;

#[tokio::test(start_paused = true)]
async fn all_pools_together_keep_to_the_targets_share() {
    let half = TargetOptions {
        max_connections_percent: 50,
        ..target_options()
    };
    let bed = Bed::new(20, half);
    let pools = ["a", "b", "c"].map(|user| bed.pool(user, options(10)));
    let waiters: Vec<_> = pools
        .iter()
        .flat_map(|pool| (0..10).map(|_| borrow(pool)))
        .collect();
    pass(ms(2000)).await;
    assert_eq!(bed.server.live(), 10);
    drop(waiters);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_makes_way_for_another_pool() {
    let bed = Bed::new(3, target_options());
    let mine = bed.pool("mine", options(10));
    let held: Vec<_> = [borrow(&mine), borrow(&mine), borrow(&mine)].into();
    for waiter in held {
        waiter.await.unwrap().unwrap().give_back();
    }
    settle().await;
    let start = Instant::now();
    let yours = bed.pool("yours", options(10));
    yours.borrow().await.unwrap().give_back();
    assert_eq!(start.elapsed(), ms(10), "one login and no wait");
    assert_eq!((mine.snapshot().open, yours.snapshot().open), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_given_back_makes_way_if_nobody_waits_for_it() {
    let bed = Bed::new(1, target_options());
    let mine = bed.pool("mine", options(10));
    let held = mine.borrow().await.unwrap();
    let yours = borrow(&bed.pool("yours", options(10)));
    pass(ms(50)).await;
    held.give_back();
    pass(ms(20)).await;
    assert!(yours.is_finished());
    assert_eq!(bed.server.live(), 1);
    assert_eq!(mine.snapshot().open, 0);
    let closed = "sluice_database_connections_closed_total{database=\"app\",reason=\"given_up\",\
                  target=\"db:5432\",target_group=\"main\",user=\"mine\"}";
    assert_eq!(bed.metric(closed), 1.0);
}

#[tokio::test(start_paused = true)]
async fn nothing_makes_way_for_a_waiter_that_has_left() {
    let bed = Bed::new(1, target_options());
    let mine = bed.pool("mine", options(10));
    let held = mine.borrow().await.unwrap();
    let yours = borrow(&bed.pool("yours", options(10)));
    pass(ms(50)).await;
    yours.abort();
    settle().await;
    held.give_back();
    assert_eq!(mine.snapshot().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn a_busy_pool_does_not_starve_another() {
    let bed = Bed::new(2, target_options());
    let busy = bed.pool("busy", options(10));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let busy = busy.clone();
        workers.spawn(async move {
            loop {
                let borrowed = busy.borrow().await.unwrap();
                tokio::time::sleep(ms(5)).await;
                borrowed.give_back();
            }
        });
    }
    pass(ms(100)).await;
    let start = Instant::now();
    let other = bed.pool("other", options(10));
    other.borrow().await.unwrap().give_back();
    assert!(start.elapsed() < ms(600), "{:?}", start.elapsed());
    workers.abort_all();
}

#[tokio::test(start_paused = true)]
async fn limits_of_users_and_databases_hold() {
    let limited = TargetOptions {
        max_user_connections: 2,
        max_db_connections: 3,
        ..target_options()
    };
    let bed = Bed::new(100, limited);
    let (a, b) = (bed.pool("a", options(10)), bed.pool("b", options(10)));
    let waiters: Vec<_> = (0..5).flat_map(|_| [borrow(&a), borrow(&b)]).collect();
    pass(ms(200)).await;
    let (a, b) = (a.snapshot().open, b.snapshot().open);
    assert!(a <= 2 && b <= 2 && a + b == 3, "{a} and {b}");
    drop(waiters);
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_is_used_at_once() {
    let bed = Bed::new(
        100,
        TargetOptions {
            max_user_connections: 1,
            ..target_options()
        },
    );
    let pool = bed.pool("a", options(10));
    let waiters: Vec<_> = (0..5).map(|_| borrow(&pool)).collect();
    pass(ms(200)).await;
    assert_eq!(bed.server.live(), 1);
    let opener = std::sync::Arc::new(super::FakeOpener(bed.server.clone()));
    let (group, target) = ("main".into(), "db:5432".into());
    bed.pools
        .set_target(&group, &target, target_options(), opener);
    pass(ms(200)).await;
    assert_eq!(bed.server.live(), 5);
    drop(waiters);
}

#[tokio::test(start_paused = true)]
async fn a_target_must_be_known() {
    let bed = Bed::new(100, target_options());
    let mut key = super::key("app");
    key.target = "elsewhere:5432".into();
    assert!(bed.pools.pool(&key, super::login(), options(1)).is_err());
}
