//! Logins that fail, and who is told.

use tokio::time::Instant;

use super::fake::{out_of_files, refused, unreachable_target};
use super::{Bed, borrow, ms, options, pass, settle, target_options};
use crate::model::FaultKind;
use crate::pool::open::OpenError;
use crate::pool::{BorrowError, CloseReason, PoolOptions, TargetOptions};

#[tokio::test(start_paused = true)]
async fn a_dead_target_fails_waiters_at_once_until_it_is_tried_again() {
    let bed = Bed::new(100, target_options());
    bed.server.set(|rules| rules.down = true);
    let pool = bed.pool("app", options(2));
    let other = bed.pool("other", options(2));
    let waiters: Vec<_> = (0..5).map(|_| borrow(&pool)).collect();
    pass(ms(50)).await;
    for waiter in waiters {
        let error = waiter.await.unwrap().err().unwrap();
        assert!(matches!(error, BorrowError::Unavailable(_)), "{error}");
        assert_eq!(error.fault().kind, FaultKind::TargetUnavailable);
    }
    let tried = bed.server.logins();
    let start = Instant::now();
    assert!(pool.borrow().await.is_err());
    assert!(other.borrow().await.is_err());
    assert_eq!(start.elapsed(), ms(0));
    assert_eq!(bed.server.logins(), tried);
    bed.server.set(|rules| rules.down = false);
    pass(ms(1000)).await;
    pool.borrow().await.unwrap().give_back();
    other.borrow().await.unwrap().give_back();
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_spares_those_whom_other_connections_can_serve() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(5));
    let held = pool.borrow().await.unwrap();
    bed.server
        .set(|rules| rules.failures.push_back(unreachable_target()));
    bed.server
        .set(|rules| rules.failures.push_back(refused("57P03", "starting up")));
    let waiters: Vec<_> = (0..2).map(|_| borrow(&pool)).collect();
    pass(ms(500)).await;
    assert_eq!(bed.server.logins(), 3);
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    held.give_back();
    for waiter in waiters {
        waiter.await.unwrap().unwrap().give_back();
    }
}

/// A login was under way when the server stopped, and the server is back.
#[tokio::test(start_paused = true)]
async fn a_login_that_breaks_off_is_tried_again_before_anyone_is_told() {
    let bed = Bed::new(100, target_options());
    let broken = || OpenError::Broken("the peer closed the connection".into());
    bed.server.set(|rules| {
        rules.failures.push_back(broken());
        rules.failures.push_back(refused("57P03", "starting up"));
    });
    let pool = bed.pool("app", options(1));
    let start = Instant::now();
    let held = pool.borrow().await.unwrap();
    // Each login takes a moment.
    let first = start.elapsed();
    assert!((ms(400)..ms(500)).contains(&first), "{first:?}");
    held.close(CloseReason::ServerClosed);
    // A server that goes on so is told of, and not asked by everyone.
    bed.server
        .set(|rules| rules.failures.extend((0..20).map(|_| broken())));
    assert!(pool.borrow().await.is_err());
    let second = start.elapsed() - first;
    assert!((ms(1000)..ms(1300)).contains(&second), "{second:?}");
    assert!(pool.borrow().await.is_err());
    assert_eq!(start.elapsed(), first + second);
}

#[tokio::test(start_paused = true)]
async fn one_users_wrong_password_is_no_matter_of_others() {
    let bed = Bed::new(100, target_options());
    bed.server
        .set(|rules| rules.failures.push_back(refused("28P01", "wrong password")));
    let wrong = bed.pool("wrong", options(5));
    let error = wrong.borrow().await.err().unwrap();
    let fault = error.fault();
    assert_eq!(fault.verbatim.as_deref(), Some(&b"wrong password"[..]));
    bed.pool("right", options(5))
        .borrow()
        .await
        .unwrap()
        .give_back();
    assert!(wrong.borrow().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn waiters_that_come_while_it_fails_are_served_once_it_works() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(5));
    let held = pool.borrow().await.unwrap();
    bed.server.set(|rules| rules.down = true);
    let waiter = borrow(&pool);
    pass(ms(2500)).await;
    assert!(!waiter.is_finished());
    bed.server.set(|rules| rules.down = false);
    pass(ms(1100)).await;
    assert!(waiter.is_finished(), "nobody tried again");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_full_server_is_waited_for_without_a_storm() {
    let bed = Bed::new(100, target_options());
    bed.server.set(|rules| rules.hard_limit = 1);
    let mine = bed.pool("mine", options(5));
    let held = mine.borrow().await.unwrap();
    let yours = bed.pool("yours", options(5));
    let waiters: Vec<_> = (0..50).map(|_| borrow(&yours)).collect();
    let before = bed.server.logins();
    pass(ms(2000)).await;
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    let tries = bed.server.logins() - before;
    assert!((5..=100).contains(&tries), "{tries} tries");
    drop(held);
    pass(ms(300)).await;
    assert_eq!(waiters.iter().filter(|w| w.is_finished()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_server_makes_others_give_up_idle_connections() {
    let bed = Bed::new(100, target_options());
    bed.server.set(|rules| rules.hard_limit = 1);
    bed.pool("mine", options(5))
        .borrow()
        .await
        .unwrap()
        .give_back();
    let start = Instant::now();
    let yours = bed.pool("yours", options(5));
    yours.borrow().await.unwrap().give_back();
    assert!(start.elapsed() < ms(500));
}

#[tokio::test(start_paused = true)]
async fn want_of_file_descriptors_is_not_the_targets_fault() {
    let bed = Bed::new(100, target_options());
    bed.server
        .set(|rules| rules.failures.extend([out_of_files(), out_of_files()]));
    let pool = bed.pool("app", options(5));
    let start = Instant::now();
    pool.borrow().await.unwrap().give_back();
    assert!(start.elapsed() < ms(1000));
    assert_eq!(bed.server.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn few_logins_are_under_way_at_once() {
    let two = TargetOptions {
        login_concurrency: 2,
        ..target_options()
    };
    let bed = Bed::new(100, two);
    let pools = ["a", "b", "c"].map(|user| bed.pool(user, options(10)));
    let waiters: Vec<_> = pools
        .iter()
        .flat_map(|p| [borrow(p), borrow(p), borrow(p)])
        .collect();
    let mut held = Vec::new();
    for waiter in waiters {
        held.push(waiter.await.unwrap().unwrap());
    }
    use std::sync::atomic::Ordering;
    assert_eq!(bed.server.most_logging_in.load(Ordering::SeqCst), 2);
    assert_eq!(bed.server.live(), 9);
}

#[tokio::test(start_paused = true)]
async fn an_init_query_is_run_on_each_connection_and_must_work() {
    let bed = Bed::new(100, target_options());
    let init = PoolOptions {
        init_query: Some("SET x = 1".into()),
        ..options(2)
    };
    let pool = bed.pool("app", init);
    pool.borrow().await.unwrap().give_back();
    pool.borrow().await.unwrap().give_back();
    assert_eq!(bed.server.chores(), ["init"]);
    let mut held = pool.borrow().await.unwrap();
    held.conn().back.dirty = true;
    held.give_back();
    settle().await;
    assert_eq!(bed.server.chores(), ["init", "reset", "init"]);
    bed.server.set(|rules| rules.refused_chores = vec!["init"]);
    drop(pool.borrow().await.unwrap());
    let error = pool.borrow().await.err().unwrap();
    assert!(error.to_string().contains("init_query"), "{error}");
    assert_eq!(bed.server.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_capacity_that_cannot_be_learned_sets_no_limit() {
    let bed = Bed::new(0, target_options());
    bed.server
        .set(|rules| rules.refused_chores = vec!["capacity"]);
    let pool = bed.pool("app", options(20));
    let waiters: Vec<_> = (0..20).map(|_| borrow(&pool)).collect();
    pass(ms(500)).await;
    assert_eq!(bed.server.live(), 20);
    drop(waiters);
    settle().await;
}
