//! Trying what a client has shown.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinHandle;

use super::fake::{Fake, refused, unreachable_target};
use super::{Bed, borrow, key, login, ms, options, pass, settle, target_options};
use crate::pool::{BorrowError, CloseReason, Pool, PoolOptions, TargetOptions};

fn attempt(pool: &Arc<Pool<Fake>>) -> JoinHandle<Result<(), BorrowError>> {
    let pool = Arc::clone(pool);
    tokio::spawn(async move { pool.try_login(login()).await })
}

#[tokio::test(start_paused = true)]
async fn what_a_trial_brings_serves_the_pool() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(5));
    attempt(&pool).await.unwrap().unwrap();
    assert_eq!((bed.server.logins(), bed.server.live()), (1, 1));
    pool.borrow().await.unwrap().give_back();
    assert_eq!(bed.server.logins(), 1);
    assert_eq!(pool.snapshot().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_trial_leaves_the_pool_as_it_was() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(2));
    let held = pool.borrow().await.unwrap();
    let wrong = || refused("28P01", "wrong password");
    bed.server.set(|rules| rules.failures.push_back(wrong()));
    let error = attempt(&pool).await.unwrap().unwrap_err();
    assert!(error.is_disbelief(), "{error}");
    // Nobody is told of it, nothing is paused, and nothing is opened for nobody.
    pass(ms(100)).await;
    assert_eq!((bed.server.logins(), bed.server.live()), (2, 1));
    pool.borrow().await.unwrap().give_back();
    held.give_back();
    // A server that is away has not said anything about the login.
    bed.server.set(|rules| rules.down = true);
    let error = attempt(&pool).await.unwrap().unwrap_err();
    assert!(!error.is_disbelief(), "{error}");
    bed.server.set(|rules| rules.down = false);
    pass(ms(1500)).await;
    attempt(&pool).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_gives_an_idle_connection_or_the_next_that_comes_back() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(2));
    let (first, second) = (pool.borrow().await.unwrap(), pool.borrow().await.unwrap());
    let waiting = attempt(&pool);
    pass(ms(200)).await;
    assert!(!waiting.is_finished());
    assert_eq!(bed.server.logins(), 2);
    first.give_back();
    waiting.await.unwrap().unwrap();
    assert_eq!((bed.server.logins(), bed.server.live()), (3, 2));
    second.give_back();
    settle().await;
    assert_eq!(pool.snapshot().idle, 2);
    for _ in 0..5 {
        attempt(&pool).await.unwrap().unwrap();
    }
    assert_eq!(bed.server.most_live.load(Ordering::SeqCst), 2);
    assert_eq!((bed.server.logins(), pool.snapshot().open), (8, 2));
}

#[tokio::test(start_paused = true)]
async fn many_trials_and_borrowers_are_all_served_within_the_limits() {
    let limits = TargetOptions {
        login_concurrency: 4,
        ..target_options()
    };
    let bed = Bed::new(100, limits);
    let pool = bed.pool("app", options(3));
    let trials: Vec<_> = (0..40).map(|_| attempt(&pool)).collect();
    let borrowers: Vec<_> = (0..40)
        .map(|_| {
            let borrowed = borrow(&pool);
            tokio::spawn(async move {
                let lent = borrowed.await.unwrap().unwrap();
                pass(ms(3)).await;
                lent.give_back();
            })
        })
        .collect();
    for borrower in borrowers {
        borrower.await.unwrap();
    }
    for trial in trials {
        trial.await.unwrap().unwrap();
    }
    assert!(bed.server.most_live.load(Ordering::SeqCst) <= 3);
    assert!(bed.server.most_logging_in.load(Ordering::SeqCst) <= 4);
    pass(ms(100)).await;
    assert!(bed.server.logins() <= 45, "{}", bed.server.logins());
}

#[tokio::test(start_paused = true)]
async fn another_pools_idle_connection_makes_room_for_a_trial() {
    let bed = Bed::new(1, target_options());
    bed.pool("rich", options(1))
        .borrow()
        .await
        .unwrap()
        .give_back();
    let poor = bed.pool("poor", options(1));
    attempt(&poor).await.unwrap().unwrap();
    assert_eq!(bed.server.live(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_or_waits_too_long_leaves_no_trace() {
    let bed = Bed::new(100, target_options());
    let short = PoolOptions {
        borrow_timeout: ms(500),
        ..options(1)
    };
    let pool = bed.pool("app", short);
    let held = pool.borrow().await.unwrap();
    let gone = attempt(&pool);
    settle().await;
    gone.abort();
    let error = attempt(&pool).await.unwrap().unwrap_err();
    assert!(matches!(error, BorrowError::Timeout(_)), "{error}");
    held.give_back();
    pass(ms(100)).await;
    assert_eq!((bed.server.logins(), pool.snapshot().idle), (1, 1));
    // One that has begun goes on, and what it brings serves the pool.
    held_again(&bed, &pool).await;
}

async fn held_again(bed: &Bed, pool: &Arc<Pool<Fake>>) {
    let lent = pool.borrow().await.unwrap();
    lent.close(CloseReason::Unfit);
    let begun = attempt(pool);
    pass(ms(5)).await;
    begun.abort();
    pass(ms(50)).await;
    assert_eq!(pool.snapshot().idle, 1);
    assert_eq!(bed.server.live(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_away_fails_trials_at_once() {
    let bed = Bed::new(100, target_options());
    bed.server
        .set(|rules| rules.failures.push_back(unreachable_target()));
    let pool = bed.pool("app", options(5));
    let trials: Vec<_> = (0..5).map(|_| attempt(&pool)).collect();
    pass(ms(50)).await;
    for trial in trials {
        assert!(trial.await.unwrap().is_err());
    }
    assert_eq!(bed.server.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pool_made_for_a_trial_in_vain_is_forgotten() {
    let bed = Bed::new(100, target_options());
    bed.pool("app", options(1))
        .borrow()
        .await
        .unwrap()
        .give_back();
    for user in ["invented", "app"] {
        let wrong = refused("28P01", "wrong password");
        bed.server.set(|rules| rules.failures.push_back(wrong));
        let pool = bed.pools.pool_for_trial(&key(user), login(), options(1));
        let pool = pool.unwrap();
        assert!(pool.try_login(login()).await.is_err());
        bed.pools.discard(pool);
    }
    let left: Vec<_> = bed
        .pools
        .snapshot()
        .iter()
        .map(|pool| pool.key.user.to_string())
        .collect();
    assert!(!left.contains(&"invented".to_owned()), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_trials() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    let held = pool.borrow().await.unwrap();
    let waiting = attempt(&pool);
    settle().await;
    let closing = tokio::spawn({
        let pools = bed.pools.clone();
        async move { pools.close(ms(100)).await }
    });
    settle().await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, BorrowError::Closed), "{error}");
    drop(held);
    assert_eq!(closing.await.unwrap(), 0);
}
