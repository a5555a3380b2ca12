//! Threads with a runtime, and so a reactor, each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;

use super::fake::Fake;
use super::storm::{all_are_back, crowd};
use super::{Bed, Borrowed, Pool, options};
use crate::net::reactor;

/// A runtime for the calling thread, which runs reactor `number`.
fn runtime(number: usize) -> Runtime {
    reactor::run_here(number);
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// On a thread of its own, while the others' reactors stand still.
fn on_thread<T: Send>(number: usize, work: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| runtime(number).block_on(work()));
        thread.join().unwrap()
    })
}

async fn borrow(pool: &Arc<Pool<Fake>>) -> Borrowed<Fake> {
    pool.borrow().await.unwrap()
}

/// Which connection, on which reactor.
fn which(borrowed: &mut Borrowed<Fake>) -> (u32, usize) {
    let conn = borrowed.conn();
    (conn.back.pid, conn.terms.reactor)
}

/// Borrows and gives back.
async fn visit(pool: &Arc<Pool<Fake>>) -> (u32, usize) {
    let mut borrowed = borrow(pool).await;
    let which = which(&mut borrowed);
    borrowed.give_back();
    which
}

#[test]
fn a_connection_goes_on_where_it_is_taken() {
    let home = runtime(0);
    let (bed, pool) = home.block_on(async {
        let bed = Bed::on_reactors(2);
        let pool = bed.pool("app", options(1));
        assert_eq!(visit(&pool).await, (1, 0));
        (bed, pool)
    });
    // Nobody turns the reactor that it was opened on.
    on_thread(1, async || {
        let mut borrowed = borrow(&pool).await;
        assert_eq!(which(&mut borrowed), (1, 1));
        bed.server.say(1, b"n");
        let mut said = [0];
        let reading = borrowed.conn().stream.read(&mut said);
        let read = tokio::time::timeout(Duration::from_secs(10), reading).await;
        assert_eq!((read.unwrap().unwrap(), said), (1, *b"n"));
        borrowed.give_back();
        assert_eq!(visit(&pool).await, (1, 1), "it stays there");
    });
    assert_eq!(home.block_on(visit(&pool)), (1, 0));
    assert_eq!(bed.server.logins(), 1);
}

/// Two connections: the first lies idle on reactor 0, the second, given back first, on reactor 1.
fn two_apart(options: super::PoolOptions) -> (Runtime, Bed, Arc<Pool<Fake>>) {
    let home = runtime(0);
    let (bed, pool, first) = home.block_on(async {
        let bed = Bed::on_reactors(2);
        let pool = bed.pool("app", options);
        let (first, second) = (borrow(&pool).await, borrow(&pool).await);
        second.give_back();
        (bed, pool, first)
    });
    on_thread(1, async || assert_eq!(visit(&pool).await, (2, 1)));
    home.block_on(async { first.give_back() });
    assert_eq!(pool.snapshot().idle, 2);
    (home, bed, pool)
}

#[test]
fn each_thread_takes_its_own_first() {
    let (home, bed, pool) = two_apart(options(2));
    for _ in 0..3 {
        assert_eq!(home.block_on(visit(&pool)), (1, 0));
        on_thread(1, async || assert_eq!(visit(&pool).await, (2, 1)));
    }
    assert_eq!(bed.server.logins(), 2);
}

#[test]
fn the_one_idle_for_longest_goes_first_whichever_reactor_has_it() {
    for oldest in [1, 2] {
        let (home, bed, pool) = two_apart(options(2));
        std::thread::sleep(Duration::from_millis(2));
        match oldest {
            1 => on_thread(1, async || assert_eq!(visit(&pool).await, (2, 1))),
            _ => assert_eq!(home.block_on(visit(&pool)), (1, 0)),
        }
        home.block_on(async { pool.evict() });
        // It has ended, or this would find nothing.
        drop(bed.server.heard(oldest));
        assert_eq!(pool.snapshot().idle, 1);
    }
}

#[test]
fn another_size_leaves_each_where_it_is() {
    let (home, bed, pool) = two_apart(options(2));
    home.block_on(async { drop(bed.pool("app", options(5))) });
    assert_eq!(pool.snapshot().idle, 2);
    on_thread(1, async || assert_eq!(visit(&pool).await, (2, 1)));
    assert_eq!(home.block_on(visit(&pool)), (1, 0));
}

/// Who will not wait leaves a connection that needs a check first, and has moved it to its own thread by then.
#[test]
fn a_connection_that_is_not_lent_at_once_is_lent_later() {
    let home = runtime(0);
    let (bed, pool) = home.block_on(async {
        let bed = Bed::on_reactors(2);
        let mut options = options(1);
        options.check_delay = Duration::ZERO;
        let pool = bed.pool("app", options);
        assert_eq!(visit(&pool).await, (1, 0));
        (bed, pool)
    });
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1));
        on_thread(1, async || assert!(pool.borrow_at_once().is_none()));
    }
    let visited = on_thread(1, async || {
        tokio::time::timeout(Duration::from_secs(5), visit(&pool)).await
    });
    assert_eq!(visited.ok(), Some((1, 1)), "{:?}", pool.snapshot());
    assert_eq!(bed.server.logins(), 1);
}

/// As `many_threads_lose_nothing`, apart. All turn until the last client is served, as the daemon's
/// threads do: a login may run on a thread whose own clients are gone.
#[test]
fn many_reactors_lose_nothing() {
    let home = runtime(0);
    let (bed, pool) = home.block_on(async {
        let bed = Bed::on_reactors(4);
        let pool = bed.pool("app", options(3));
        (bed, pool)
    });
    let over = Barrier::new(4);
    std::thread::scope(|scope| {
        for (number, seeds) in [0..1, 10..20, 20..37, 40..60].into_iter().enumerate() {
            let (pool, over) = (&pool, &over);
            scope.spawn(move || {
                runtime(number).block_on(async {
                    crowd(pool, seeds).await;
                    over.wait().await;
                });
            });
        }
    });
    all_are_back(&bed, &pool);
}

/// One comes just as the other gives back, on another thread, and nobody calls later.
#[test]
fn no_wakeup_is_lost_between_reactors() {
    const ROUNDS: usize = 20_000;
    let home = runtime(0);
    let (bed, pool) = home.block_on(async {
        let bed = Bed::on_reactors(2);
        let pool = bed.pool("app", options(1));
        (bed, pool)
    });
    let round = AtomicUsize::new(0);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::scope(|scope| {
        let (pool, round) = (&pool, &round);
        scope.spawn(move || {
            runtime(1).block_on(async {
                for number in 1..=ROUNDS {
                    while round.load(Ordering::SeqCst) < number {
                        std::hint::spin_loop();
                    }
                    let visited = tokio::time::timeout(Duration::from_secs(5), visit(pool));
                    let served = visited.await.is_ok();
                    tell.send(served).unwrap();
                    if !served {
                        return;
                    }
                }
            });
        });
        home.block_on(async {
            for number in 1..=ROUNDS {
                let held = borrow(pool).await;
                round.store(number, Ordering::SeqCst);
                // Somewhere about the moment at which the other looks.
                for _ in 0..number % 300 {
                    std::hint::spin_loop();
                }
                held.give_back();
                assert_eq!(told.recv().await, Some(true), "{:?}", pool.snapshot());
            }
        });
    });
    assert_eq!(bed.server.logins(), 1);
}
