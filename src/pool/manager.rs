//! The store of idle connections: a deadpool managed pool that never dials.
//!
//! deadpool creates inside the future of whoever asks, so that a client that leaves would kill a
//! half-made connection, and a connection that comes free could not serve the one who creates.
//! Here, logins run in tasks of their own and leave their result in an inbox; `create` takes it
//! from there or fails at once, and nothing in this file ever waits.

use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use deadpool::managed::{
    Manager, Metrics, Object, Pool as Deadpool, PoolConfig, QueueMode, RecycleResult, Timeouts,
};
use tokio::time::Instant;

use super::lock;
use super::server::ServerConn;
use crate::protocol::Engine;

/// A connection that is out of the store, and goes back into it when dropped.
pub(super) type Loan<E> = Object<Keeper<E>>;

/// deadpool's view of our connections.
pub(super) struct Keeper<E: Engine> {
    store: u64,
    inbox: Arc<Inbox<E>>,
}

type Inbox<E> = Mutex<Vec<Box<ServerConn<E>>>>;

/// No connection has been left in the inbox.
#[derive(Debug)]
pub(super) struct Empty;

impl<E: Engine> Manager for Keeper<E> {
    type Type = Box<ServerConn<E>>;
    type Error = Empty;

    async fn create(&self) -> Result<Self::Type, Empty> {
        let mut conn = lock(&self.inbox).pop().ok_or(Empty)?;
        conn.terms.store = self.store;
        Ok(conn)
    }

    /// Notes what the examination found. Never an error: deadpool would go on to the next
    /// connection without a word, where the reason is to be logged and counted.
    async fn recycle(&self, conn: &mut Self::Type, _: &Metrics) -> RecycleResult<Empty> {
        let now = Instant::now();
        conn.terms.idle_for = conn.idle_for(now);
        conn.terms.verdict = conn.examine(now);
        Ok(())
    }
}

/// Idle connections of one pool; the newest is lent first, or the oldest in round robin.
///
/// Has a fixed size: deadpool's `resize` can overshoot when a pool is shrunk and grown again.
/// For another size a new store replaces the old one.
pub(super) struct Store<E: Engine> {
    id: u64,
    objects: Deadpool<Keeper<E>>,
    inbox: Arc<Inbox<E>>,
    round_robin: bool,
    /// Connections that lie here or were left here. Changed after the fact, so of one that has been laid down
    /// or taken just now it may not know. Sequentially consistent, see [`Line`](super::line::Line).
    held: AtomicI64,
}

impl<E: Engine> Store<E> {
    /// An empty store for `size` connections, lent ones included.
    pub(super) fn new(size: u32, round_robin: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let inbox = Arc::new(Inbox::default());
        let keeper = Keeper {
            store: id,
            inbox: Arc::clone(&inbox),
        };
        let config = PoolConfig {
            max_size: usize::try_from(size).unwrap_or(usize::MAX),
            timeouts: Timeouts::new(),
            queue_mode: if round_robin {
                QueueMode::Fifo
            } else {
                QueueMode::Lifo
            },
        };
        let built = Deadpool::builder(keeper).config(config).build();
        #[expect(
            clippy::expect_used,
            reason = "building fails only where a timeout is set"
        )]
        let objects = built.expect("no timeouts are set");
        Self {
            id,
            objects,
            inbox,
            round_robin,
            held: AtomicI64::new(0),
        }
    }

    /// Connections that [`Store::take`] has given, in the order in which they must be dropped for
    /// the next ones to come in the same order.
    pub(super) fn as_they_lay(&self, mut taken: Vec<Loan<E>>) -> Vec<Loan<E>> {
        if !self.round_robin {
            taken.reverse();
        }
        taken
    }

    /// True if the connection is lent by this store.
    pub(super) fn owns(&self, loan: &Loan<E>) -> bool {
        loan.terms.store == self.id
    }

    /// The connection whose turn it is, examined or fresh; the verdict is in its terms.
    pub(super) fn take(&self) -> Option<Loan<E>> {
        let attempt = pin!(self.objects.timeout_get(&AT_ONCE));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(loan)) = attempt.poll(&mut context) else {
            return None;
        };
        self.held.fetch_sub(1, Ordering::SeqCst);
        Some(loan)
    }

    /// Puts a connection back that was taken from here.
    pub(super) fn lay(&self, loan: Loan<E>) {
        drop(loan);
        self.held.fetch_add(1, Ordering::SeqCst);
    }

    /// False if nothing lies or was left here; whoever is about to lay something down looks for waiters
    /// afterwards. Costs no lock.
    pub(super) fn holds_any(&self) -> bool {
        self.held.load(Ordering::SeqCst) > 0
    }

    /// Leaves a connection that this store shall own; [`Store::take`] finds it once no idle one
    /// lies before it.
    pub(super) fn leave(&self, conn: Box<ServerConn<E>>) {
        lock(&self.inbox).push(conn);
        self.held.fetch_add(1, Ordering::SeqCst);
    }

    /// True if all that was left has been taken.
    pub(super) fn inbox_is_empty(&self) -> bool {
        lock(&self.inbox).is_empty()
    }

    /// True if one more connection than those that it owns now, lent ones included, may be its own.
    pub(super) fn has_room(&self) -> bool {
        let status = self.objects.status();
        status.size < status.max_size
    }

    /// Takes back what was left and finds no room.
    pub(super) fn reject(&self) -> Option<Box<ServerConn<E>>> {
        let rejected = lock(&self.inbox).pop()?;
        self.held.fetch_sub(1, Ordering::SeqCst);
        Some(rejected)
    }

    /// How many lie idle.
    pub(super) fn idle(&self) -> u32 {
        u32::try_from(self.objects.status().available).unwrap_or(u32::MAX)
    }

    /// Removes the idle connections that `keep` does not want, oldest first. `keep` must not
    /// wait: the store is locked. The removed are returned, to be closed outside the lock.
    pub(super) fn retain(
        &self,
        mut keep: impl FnMut(&ServerConn<E>) -> bool,
    ) -> Vec<Box<ServerConn<E>>> {
        let removed = self.objects.retain(|conn, _| keep(conn)).removed;
        let gone = i64::try_from(removed.len()).unwrap_or(i64::MAX);
        self.held.fetch_sub(gone, Ordering::SeqCst);
        removed
    }
}

const AT_ONCE: Timeouts = Timeouts {
    wait: Some(Duration::ZERO),
    create: None,
    recycle: None,
};
