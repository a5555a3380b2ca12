//! Who gets a connection, and when.

use tokio::time::Instant;

use super::fake::FakeServer;
use super::{Bed, borrow, ms, options, pass, settle, target_options};
use crate::model::FaultKind;
use crate::pool::{BorrowError, Borrowed, PoolOptions};

#[tokio::test(start_paused = true)]
async fn a_connection_given_back_is_lent_again() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(5));
    let mut first = pool.borrow().await.unwrap();
    let pid = first.conn().back.pid;
    first.give_back();
    let mut second = pool.borrow().await.unwrap();
    assert_eq!(second.conn().back.pid, pid);
    assert_eq!(bed.server.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_newest_idle_connection_is_lent_first() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(5));
    let (mut a, mut b) = (pool.borrow().await.unwrap(), pool.borrow().await.unwrap());
    let (first, second) = (a.conn().back.pid, b.conn().back.pid);
    b.give_back();
    a.give_back();
    assert_eq!(pool.borrow().await.unwrap().conn().back.pid, first);
    assert_ne!(first, second);
}

#[tokio::test(start_paused = true)]
async fn in_round_robin_the_oldest_idle_connection_is_lent_first() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool(
        "app",
        PoolOptions {
            round_robin: true,
            ..options(3)
        },
    );
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(pool.borrow().await.unwrap());
    }
    let pids: Vec<_> = held.iter_mut().map(|conn| conn.conn().back.pid).collect();
    held.into_iter().for_each(Borrowed::give_back);
    for turn in 0..7 {
        let mut conn = pool.borrow().await.unwrap();
        assert_eq!(conn.conn().back.pid, pids[turn % 3], "turn {turn}");
        conn.give_back();
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_is_last_in_round_robin() {
    let bed = Bed::new(100, target_options());
    let first = PoolOptions {
        round_robin: true,
        min_size: 3,
        ..options(3)
    };
    let pool = bed.pool("app", first);
    // Opened one by one beside those that lie idle already.
    pass(ms(5000)).await;
    let mut turns = Vec::new();
    for _ in 0..6 {
        let mut conn = pool.borrow().await.unwrap();
        turns.push(conn.conn().back.pid);
        conn.give_back();
    }
    assert_eq!(pool.snapshot().open, 3);
    assert_eq!(turns[..3], turns[3..]);
    turns.sort_unstable();
    turns.dedup();
    assert_eq!(turns.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_pool_does_not_outgrow_its_size() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(3));
    let waiters: Vec<_> = (0..10).map(|_| borrow(&pool)).collect();
    pass(ms(500)).await;
    let seen = pool.snapshot();
    assert_eq!((seen.open, seen.borrowed, seen.waiting), (3, 3, 7));
    assert_eq!(bed.server.live(), 3);
    drop(waiters);
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_the_order_they_came() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    let mut held = pool.borrow().await.unwrap();
    let mut waiters = Vec::new();
    for _ in 0..5 {
        waiters.push(borrow(&pool));
        settle().await;
    }
    for (turn, waiter) in waiters.into_iter().enumerate() {
        held.give_back();
        // One that comes just then does not get ahead.
        let late = borrow(&pool);
        settle().await;
        assert!(waiter.is_finished(), "waiter {turn}");
        held = waiter.await.unwrap().unwrap();
        late.abort();
        settle().await;
    }
    assert_eq!(bed.server.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_borrower_gives_up_after_its_timeout() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    let held = pool.borrow().await.unwrap();
    let start = Instant::now();
    let error = pool.borrow().await.err().unwrap();
    assert!(matches!(error, BorrowError::Timeout(_)), "{error}");
    assert_eq!(error.fault().kind, FaultKind::BorrowTimeout);
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(pool.waiting(), 0);
    held.give_back();
    assert_eq!(pool.snapshot().timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_zero_timeout_fails_at_once_where_none_is_free() {
    let bed = Bed::new(100, target_options());
    let zero = PoolOptions {
        borrow_timeout: ms(0),
        ..options(2)
    };
    let pool = bed.pool("app", zero);
    let start = Instant::now();
    assert!(matches!(
        pool.borrow().await.err(),
        Some(BorrowError::Timeout(_))
    ));
    assert_eq!(start.elapsed(), ms(0));
    // It has been opened meanwhile, for the next.
    pass(ms(50)).await;
    let held = pool.borrow().await.unwrap();
    assert_eq!(bed.server.live(), 1);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn too_many_waiters_are_turned_away() {
    let bed = Bed::new(100, target_options());
    let few = PoolOptions {
        max_waiting: 2,
        ..options(1)
    };
    let pool = bed.pool("app", few);
    let held = pool.borrow().await.unwrap();
    let waiters = [borrow(&pool), borrow(&pool)];
    settle().await;
    let error = pool.borrow().await.err().unwrap();
    assert!(matches!(error, BorrowError::Overloaded), "{error}");
    assert_eq!(pool.snapshot().shed, 1);
    held.give_back();
    for waiter in waiters {
        waiter.await.unwrap().unwrap().give_back();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_comes_back_serves_who_waits_for_a_login() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(2));
    let held = pool.borrow().await.unwrap();
    bed.server.set(|rules| rules.login_time = ms(5000));
    let waiter = borrow(&pool);
    pass(ms(100)).await;
    assert_eq!(pool.snapshot().opening, 1);
    held.give_back();
    settle().await;
    assert!(waiter.is_finished());
    // The login ends all the same, and its connection is kept.
    pass(ms(6000)).await;
    assert_eq!(pool.snapshot().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_during_the_login_loses_nothing() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    let waiter = borrow(&pool);
    pass(ms(5)).await;
    waiter.abort();
    pass(ms(50)).await;
    let seen = pool.snapshot();
    assert_eq!((seen.open, seen.idle, seen.waiting), (1, 1, 0));
    pool.borrow().await.unwrap().give_back();
    assert_eq!(bed.server.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_once_it_is_served_passes_it_on() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    let held = pool.borrow().await.unwrap();
    let leaving = borrow(&pool);
    settle().await;
    let staying = borrow(&pool);
    settle().await;
    // Handed over, but not yet received.
    held.give_back();
    leaving.abort();
    settle().await;
    assert!(staying.is_finished());
    assert_eq!(bed.server.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_idle_connection_is_never_lent() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(3));
    for idle in [ms(0), ms(500)] {
        let held = [
            pool.borrow().await.unwrap(),
            pool.borrow().await.unwrap(),
            pool.borrow().await.unwrap(),
        ];
        held.into_iter().for_each(super::Borrowed::give_back);
        bed.server.kill_all();
        pass(idle).await;
        let mut fresh = pool.borrow().await.unwrap();
        let pid = fresh.conn().back.pid;
        assert!(pid > bed.server.logins() - 3, "pid {pid} was killed");
        fresh.close(crate::pool::CloseReason::Dropped);
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_does_no_harm_and_a_farewell_does() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    for (said, same) in [(&b"n"[..], true), (b"g", false), (b"?", false)] {
        let mut held = pool.borrow().await.unwrap();
        let pid = held.conn().back.pid;
        held.give_back();
        bed.server.say(pid, said);
        pass(ms(1)).await;
        let mut next = pool.borrow().await.unwrap();
        assert_eq!(next.conn().back.pid == pid, same, "{said:?}");
        assert!(next.conn().carry.is_empty());
        next.give_back();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_idle_for_long_is_asked_for_a_sign_of_life() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(2));
    pool.borrow().await.unwrap().give_back();
    pass(ms(29_000)).await;
    pool.borrow().await.unwrap().give_back();
    assert!(bed.server.chores().is_empty());
    pass(ms(31_000)).await;
    pool.borrow().await.unwrap().give_back();
    assert_eq!(bed.server.chores(), ["ping"]);

    bed.server.set(|rules| rules.ignored_chores = vec!["ping"]);
    pass(ms(31_000)).await;
    let mut fresh = pool.borrow().await.unwrap();
    assert_eq!(fresh.conn().back.pid, 2);
    let closed = "sluice_database_connections_closed_total{database=\"app\",reason=\"ping_failed\",\
                  target=\"db:5432\",target_group=\"main\",user=\"app\"}";
    assert_eq!(bed.metric(closed), 1.0);
}

#[tokio::test(start_paused = true)]
async fn greetings_are_remembered_until_the_server_changes() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(2));
    let held = pool.borrow().await.unwrap();
    pool.remember_greeting(7, 17);
    let another = pool.borrow().await.unwrap();
    assert_eq!(pool.greeting(7), Some(17));
    drop((held, another));
    bed.server.set(|rules| rules.version = 18);
    drop(pool.borrow().await.unwrap());
    assert_eq!(pool.greeting(7), None);
}

#[tokio::test(start_paused = true)]
async fn the_metrics_tell_what_happened() {
    let bed = Bed::new(40, target_options());
    let pool = bed.pool("app", options(3));
    let held = pool.borrow().await.unwrap();
    pool.borrow().await.unwrap().give_back();
    let labels = "{database=\"app\",target=\"db:5432\",target_group=\"main\",user=\"app\"}";
    let value = |name: &str| bed.metric(&format!("sluice_{name}{labels}"));
    assert_eq!(value("database_connections"), 2.0);
    assert_eq!(value("database_connections_idle"), 1.0);
    assert_eq!(value("database_connections_currently_borrowed"), 1.0);
    assert_eq!(value("database_connections_opening"), 0.0);
    assert_eq!(value("database_connection_borrowers_waiting"), 0.0);
    assert_eq!(value("database_connection_borrows_total"), 2.0);
    assert_eq!(value("database_connection_requests_total"), 2.0);
    assert_eq!(value("database_connections_setup_succeeded_total"), 2.0);
    assert_eq!(value("database_connections_setup_failed_total"), 0.0);
    assert_eq!(
        value("database_connections_borrow_latency_seconds_count"),
        2.0
    );
    let allowed =
        "sluice_max_database_connections_allowed{target=\"db:5432\",target_group=\"main\"}";
    assert_eq!(bed.metric(allowed), 40.0);
    drop(held);
    assert_eq!(value("database_connections"), 1.0);
}

/// The server in memory does close what it is told to.
#[tokio::test]
async fn the_fake_server_counts() {
    let server = FakeServer::start(1);
    assert_eq!(server.live(), 0);
}
