//! Waiters for things of one kind, first come first served.
//!
//! A thing is handed to a waiter directly, so that nobody who comes later can take it on the way.
//! A waiter that leaves after it was handed something passes it on: nothing is lost.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::lock;

/// Waiters for things of type `T`.
#[derive(Debug)]
pub(super) struct Line<T> {
    queue: Mutex<VecDeque<Waiter<T>>>,
    /// Waiters that have been handed nothing yet. Sequentially consistent: whoever joins reads
    /// the store afterwards, whoever fills the store reads this afterwards, and one of them sees
    /// the other.
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Waiter<T> {
    sender: oneshot::Sender<T>,
    /// When it has waited for long enough, if [`Line::overdue`] is to say so.
    until: Option<Instant>,
    since: Instant,
}

impl<T> Waiter<T> {
    fn new(since: Instant, until: Option<Instant>) -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        let waiter = Self {
            sender,
            until,
            since,
        };
        (waiter, receiver)
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }
}

/// A place in a line. Whoever has not been served and wants to go gives it to [`Line::leave`]; it does not do so
/// when dropped, for it knows nothing of the line, so that it can be kept anywhere.
#[derive(Debug)]
#[must_use]
pub(super) struct Ticket<T>(oneshot::Receiver<T>);

impl<T> Line<T> {
    /// Waiters that have been handed nothing yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// True if no place is taken, not even by one who has left. Takes the lock.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.queue).is_empty()
    }

    /// Joins at the end, having waited since `since`; `None` if there is no `room` for one more. `until`:
    /// when [`Line::overdue`] is to end the wait, if at all.
    pub(super) fn join(
        &self,
        since: Instant,
        until: Option<Instant>,
        room: impl FnOnce() -> bool,
    ) -> Option<Ticket<T>> {
        let mut queue = lock(&self.queue);
        // Counted first: of two who take the last place at the same time, both see the other.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        if !room() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        self.sweep(&mut queue);
        let (waiter, receiver) = Waiter::new(since, until);
        queue.push_back(waiter);
        Some(Ticket(receiver))
    }

    /// Joins at the front: for one who was served, but badly.
    pub(super) fn rejoin(&self, since: Instant, until: Option<Instant>) -> Ticket<T> {
        let (waiter, receiver) = Waiter::new(since, until);
        let mut queue = lock(&self.queue);
        queue.push_front(waiter);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(queue);
        Ticket(receiver)
    }

    /// Leaves without having been served; returns what was handed over meanwhile, which is to be passed on.
    #[must_use]
    pub(super) fn leave(&self, ticket: Ticket<T>) -> Option<T> {
        let Ticket(mut receiver) = ticket;
        receiver.close();
        let thing = receiver.try_recv().ok();
        if thing.is_none() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        thing
    }

    /// Since when the first has waited, if anybody does. Takes the lock, and the places of those before it
    /// who have left.
    pub(super) fn first_since(&self) -> Option<Instant> {
        let mut queue = lock(&self.queue);
        while let Some(first) = queue.front() {
            if !first.sender.is_closed() {
                return Some(first.since);
            }
            queue.pop_front();
        }
        None
    }

    /// Hands `thing` to the first waiter; gives it back if there is none.
    pub(super) fn hand(&self, mut thing: T) -> Result<(), T> {
        loop {
            let Some(waiter) = lock(&self.queue).pop_front() else {
                return Err(thing);
            };
            match waiter.sender.send(thing) {
                Ok(()) => {
                    self.waiting.fetch_sub(1, Ordering::SeqCst);
                    return Ok(());
                }
                // This one has left, and leaves the count itself.
                Err(back) => thing = back,
            }
        }
    }

    /// Hands `excuse()` to all who have waited for long enough.
    pub(super) fn overdue(&self, now: Instant, excuse: impl Fn() -> T) {
        if self.waiting() == 0 {
            return;
        }
        let is_over = |waiter: &Waiter<T>| waiter.until.is_some_and(|until| until <= now);
        let mut over = Vec::new();
        let mut queue = lock(&self.queue);
        if queue.iter().any(is_over) {
            for waiter in std::mem::take(&mut *queue) {
                if is_over(&waiter) {
                    over.push(waiter);
                } else {
                    queue.push_back(waiter);
                }
            }
        }
        drop(queue);
        for waiter in over {
            if waiter.sender.send(excuse()).is_ok() {
                self.waiting.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    /// Removes those who have left, before they outnumber the others.
    fn sweep(&self, queue: &mut MutexGuard<'_, VecDeque<Waiter<T>>>) {
        if queue.len() > 2 * self.waiting() + SWEEP_ABOVE {
            queue.retain(|waiter| !waiter.sender.is_closed());
        }
    }
}

impl<T> Ticket<T> {
    /// Ready when it has been served; `None` only if the line is gone. Not to be asked again then, nor to be
    /// given back.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}

/// So many may have left before anyone is removed.
const SWEEP_ABOVE: usize = 32;

#[cfg(test)]
pub(super) mod tests {
    use tokio::time::Instant;

    use super::{Line, Ticket};

    fn join(line: &Line<u32>, until: Option<Instant>) -> Ticket<u32> {
        line.join(Instant::now(), until, || true).unwrap()
    }

    /// Waits to be served.
    pub(in crate::pool) async fn served(ticket: &mut Ticket<u32>) -> Option<u32> {
        std::future::poll_fn(|cx| ticket.poll(cx)).await
    }

    #[tokio::test]
    async fn the_first_to_come_is_served_first() {
        let line = Line::default();
        let mut first = join(&line, None);
        let mut second = join(&line, None);
        line.hand(1).unwrap();
        line.hand(2).unwrap();
        assert_eq!(served(&mut second).await, Some(2));
        assert_eq!(served(&mut first).await, Some(1));
        assert_eq!(line.hand(3), Err(3));
        assert_eq!(line.waiting(), 0);
    }

    #[tokio::test]
    async fn who_leaves_is_passed_over() {
        let line = Line::default();
        let first = join(&line, None);
        let mut second = join(&line, None);
        assert_eq!(line.leave(first), None);
        assert_eq!(line.waiting(), 1);
        line.hand(1).unwrap();
        assert_eq!(served(&mut second).await, Some(1));
    }

    #[test]
    fn who_leaves_after_being_served_passes_it_on() {
        let line = Line::default();
        let first = join(&line, None);
        line.hand(7).unwrap();
        assert_eq!(line.leave(first), Some(7));
        assert_eq!(line.waiting(), 0);
    }

    #[test]
    fn who_finds_no_room_is_refused() {
        let line: Line<u32> = Line::default();
        let attempt = |room| line.join(Instant::now(), None, || room && line.waiting() == 1);
        assert!(attempt(false).is_none());
        assert_eq!(line.waiting(), 0);
        let first = attempt(true).unwrap();
        assert!(attempt(true).is_none());
        assert_eq!(line.leave(first), None);
        assert!(attempt(true).is_some());
    }

    #[tokio::test]
    async fn who_was_served_badly_comes_first_again() {
        let line = Line::default();
        let mut other = join(&line, None);
        let mut again = line.rejoin(Instant::now(), None);
        line.hand(1).unwrap();
        line.hand(2).unwrap();
        assert_eq!(served(&mut again).await, Some(1));
        assert_eq!(served(&mut other).await, Some(2));
    }

    #[tokio::test]
    async fn who_has_waited_for_long_enough_is_told() {
        let line = Line::default();
        let now = tokio::time::Instant::now();
        let later = now + std::time::Duration::from_secs(1);
        let mut patient = join(&line, Some(later));
        let mut over = join(&line, Some(now));
        let mut endless = join(&line, None);
        assert_eq!(line.leave(join(&line, Some(now))), None);
        line.overdue(now, || 9);
        assert_eq!(served(&mut over).await, Some(9));
        assert_eq!(line.waiting(), 2);
        line.hand(1).unwrap();
        line.hand(2).unwrap();
        assert_eq!(served(&mut patient).await, Some(1));
        assert_eq!(served(&mut endless).await, Some(2));
        assert_eq!(line.waiting(), 0);
    }

    #[test]
    fn those_who_left_do_not_pile_up() {
        let line: Line<u32> = Line::default();
        for _ in 0..1000 {
            assert_eq!(line.leave(join(&line, None)), None);
        }
        assert!(super::lock(&line.queue).len() < 100);
    }
}
