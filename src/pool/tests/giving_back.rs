//! In which state a connection may come back, and what becomes of it otherwise.

use super::{Bed, borrow, ms, options, pass, settle, target_options};
use crate::model::TxStatus;
use crate::pool::CloseReason;

#[tokio::test(start_paused = true)]
async fn a_borrower_that_just_drops_it_closes_it() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    drop(pool.borrow().await.unwrap());
    assert_eq!((bed.server.live(), pool.snapshot().open), (0, 0));
    drop(pool.borrow().await.unwrap());
    assert_eq!(bed.server.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_or_an_answer_owed_closes_it() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    let mut held = pool.borrow().await.unwrap();
    held.conn().back.tx = TxStatus::Open;
    held.give_back();
    assert_eq!(bed.server.live(), 0);
    let mut held = pool.borrow().await.unwrap();
    held.conn().back.settled = false;
    held.give_back();
    assert_eq!(bed.server.live(), 0);
    let mut held = pool.borrow().await.unwrap();
    held.conn().carry.extend_from_slice(b"rest");
    held.give_back();
    assert_eq!(bed.server.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_server_is_told_unless_it_has_something_to_say() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    let mut held = pool.borrow().await.unwrap();
    let pid = held.conn().back.pid;
    drop(held);
    assert_eq!(bed.server.heard(pid), b"bye");
    let mut held = pool.borrow().await.unwrap();
    let pid = held.conn().back.pid;
    held.conn().back.tx = TxStatus::Open;
    held.close(CloseReason::Dropped);
    assert_eq!(bed.server.heard(pid), b"bye");
    let mut held = pool.borrow().await.unwrap();
    let pid = held.conn().back.pid;
    held.conn().back.settled = false;
    drop(held);
    assert_eq!(bed.server.heard(pid), b"");
}

#[tokio::test(start_paused = true)]
async fn state_is_reset_before_others_get_it() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    let mut held = pool.borrow().await.unwrap();
    held.conn().back.dirty = true;
    let waiter = borrow(&pool);
    settle().await;
    held.give_back();
    let mut next = waiter.await.unwrap().unwrap();
    assert_eq!(next.conn().back.pid, 1);
    assert!(!next.conn().back.dirty);
    assert_eq!(bed.server.chores(), ["reset"]);
}

#[tokio::test(start_paused = true)]
async fn a_reset_that_takes_too_long_closes_it() {
    let bed = Bed::new(100, target_options());
    bed.server.set(|rules| rules.ignored_chores = vec!["reset"]);
    let pool = bed.pool("app", options(1));
    let mut held = pool.borrow().await.unwrap();
    held.conn().back.dirty = true;
    held.give_back();
    pass(ms(4900)).await;
    // Until then its slot is taken.
    assert_eq!((pool.snapshot().open, pool.snapshot().idle), (1, 0));
    let waiter = borrow(&pool);
    pass(ms(200)).await;
    assert_eq!(waiter.await.unwrap().unwrap().conn().back.pid, 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_reset_closes_it() {
    let bed = Bed::new(100, target_options());
    bed.server.set(|rules| rules.refused_chores = vec!["reset"]);
    let pool = bed.pool("app", options(1));
    let mut held = pool.borrow().await.unwrap();
    held.conn().back.dirty = true;
    held.give_back();
    settle().await;
    assert_eq!(bed.server.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_vanished_client_left_is_undone() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    let mut held = pool.borrow().await.unwrap();
    held.conn().back.tx = TxStatus::Failed;
    held.conn().back.dirty = true;
    held.clean_up();
    let mut next = pool.borrow().await.unwrap();
    assert_eq!(next.conn().back.pid, 1);
    assert_eq!(bed.server.chores(), ["rollback", "reset"]);
    next.conn().back.settled = false;
    next.clean_up();
    settle().await;
    assert_eq!(bed.server.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_retired_connection_is_closed_when_it_comes_back() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(3));
    let held = pool.borrow().await.unwrap();
    pool.borrow().await.unwrap().give_back();
    bed.retire();
    assert_eq!(bed.server.live(), 1, "the idle one is closed at once");
    held.give_back();
    assert_eq!(bed.server.live(), 0);
    pool.borrow().await.unwrap().give_back();
    assert_eq!(bed.server.live(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_login_begun_before_the_retirement_is_repeated() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    let waiter = borrow(&pool);
    pass(ms(5)).await;
    bed.retire();
    assert_eq!(waiter.await.unwrap().unwrap().conn().back.pid, 2);
    assert_eq!(bed.server.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn another_size_holds_for_those_already_lent() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(10));
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(pool.borrow().await.unwrap());
    }
    bed.pool("app", options(2));
    bed.pool("app", options(10));
    bed.pool("app", options(4));
    for borrowed in held {
        borrowed.give_back();
    }
    let seen = pool.snapshot();
    assert_eq!((seen.size, seen.open, seen.idle), (4, 4, 4));
    // Grown again, it never has more than its size: deadpool's own resize would have.
    bed.pool("app", options(5));
    let waiters: Vec<_> = (0..20).map(|_| borrow(&pool)).collect();
    pass(ms(100)).await;
    assert_eq!(bed.server.live(), 5);
    assert_eq!(bed.server.logins(), 11);
    drop(waiters);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_grows_serves_its_waiters() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    let held = pool.borrow().await.unwrap();
    let waiters: Vec<_> = (0..3).map(|_| borrow(&pool)).collect();
    pass(ms(100)).await;
    bed.pool("app", options(4));
    pass(ms(100)).await;
    assert!(waiters.iter().all(|waiter| waiter.is_finished()));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_broke_while_lent_is_not_handed_on() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(1));
    let mut held = pool.borrow().await.unwrap();
    let waiter = borrow(&pool);
    settle().await;
    bed.server.kill(held.conn().back.pid);
    pass(ms(1)).await;
    held.give_back();
    assert_eq!(waiter.await.unwrap().unwrap().conn().back.pid, 2);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_those_who_work() {
    let bed = Bed::new(100, target_options());
    let pool = bed.pool("app", options(2));
    let held = pool.borrow().await.unwrap();
    let slow = pool.borrow().await.unwrap();
    let waiter = borrow(&pool);
    settle().await;
    let closing = bed.pools.clone();
    let closing = tokio::spawn(async move { closing.close(ms(1000)).await });
    settle().await;
    let refused = waiter.await.unwrap().err().unwrap();
    assert!(matches!(refused, crate::pool::BorrowError::Closed));
    held.give_back();
    pass(ms(500)).await;
    assert_eq!(bed.server.live(), 1);
    assert!(!closing.is_finished());
    assert_eq!(closing.await.unwrap(), 1);
    slow.close(CloseReason::Shutdown);
    assert_eq!(bed.server.live(), 0);
    assert!(pool.borrow().await.is_err());
}
