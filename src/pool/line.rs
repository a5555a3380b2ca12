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

/// A place in a line.
pub(super) struct Ticket<'a, T, R: Fn(T)> {
    line: &'a Line<T>,
    receiver: oneshot::Receiver<T>,
    served: bool,
    /// Takes what was handed over to a waiter that is gone.
    pass_on: R,
}

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
    /// when [`Line::overdue`] is to end the wait, if at all. `pass_on` takes back what is handed over but
    /// never received.
    pub(super) fn join<R: Fn(T)>(
        &self,
        since: Instant,
        until: Option<Instant>,
        room: impl FnOnce() -> bool,
        pass_on: R,
    ) -> Option<Ticket<'_, T, R>> {
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
        Some(self.ticket(receiver, pass_on))
    }

    /// Joins at the front: for one who was served, but badly.
    pub(super) fn rejoin<R: Fn(T)>(
        &self,
        since: Instant,
        until: Option<Instant>,
        pass_on: R,
    ) -> Ticket<'_, T, R> {
        let (waiter, receiver) = Waiter::new(since, until);
        let mut queue = lock(&self.queue);
        queue.push_front(waiter);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(queue);
        self.ticket(receiver, pass_on)
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

    fn ticket<R: Fn(T)>(&self, receiver: oneshot::Receiver<T>, pass_on: R) -> Ticket<'_, T, R> {
        Ticket {
            line: self,
            receiver,
            served: false,
            pass_on,
        }
    }

    /// Removes those who have left, before they outnumber the others.
    fn sweep(&self, queue: &mut MutexGuard<'_, VecDeque<Waiter<T>>>) {
        if queue.len() > 2 * self.waiting() + SWEEP_ABOVE {
            queue.retain(|waiter| !waiter.sender.is_closed());
        }
    }
}

impl<T, R: Fn(T)> Ticket<'_, T, R> {
    /// Waits to be served; `None` only if the line is gone. Cancel-safe; to be called until it
    /// has returned once.
    pub(super) async fn served(&mut self) -> Option<T> {
        std::future::poll_fn(|cx| self.poll_served(cx)).await
    }

    /// The same, asked once.
    pub(super) fn poll_served(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let thing = Pin::new(&mut self.receiver).poll(cx).map(Result::ok);
        self.served |= thing.is_ready();
        thing
    }
}

impl<T, R: Fn(T)> Drop for Ticket<'_, T, R> {
    fn drop(&mut self) {
        if self.served {
            return;
        }
        self.receiver.close();
        match self.receiver.try_recv() {
            Ok(thing) => (self.pass_on)(thing),
            Err(_) => {
                self.line.waiting.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
}

/// So many may have left before anyone is removed.
const SWEEP_ABOVE: usize = 32;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::Instant;

    use super::{Line, Ticket};

    fn ignore(_: u32) {}

    type Place<'a> = Ticket<'a, u32, fn(u32)>;

    fn join(line: &Line<u32>, until: Option<Instant>) -> Place<'_> {
        line.join(Instant::now(), until, || true, ignore as fn(u32))
            .unwrap()
    }

    #[tokio::test]
    async fn the_first_to_come_is_served_first() {
        let line = Line::default();
        let mut first = join(&line, None);
        let mut second = join(&line, None);
        line.hand(1).unwrap();
        line.hand(2).unwrap();
        assert_eq!(second.served().await, Some(2));
        assert_eq!(first.served().await, Some(1));
        assert_eq!(line.hand(3), Err(3));
        assert_eq!(line.waiting(), 0);
    }

    #[tokio::test]
    async fn who_leaves_is_passed_over() {
        let line = Line::default();
        let first = join(&line, None);
        let mut second = join(&line, None);
        drop(first);
        assert_eq!(line.waiting(), 1);
        line.hand(1).unwrap();
        assert_eq!(second.served().await, Some(1));
    }

    #[tokio::test]
    async fn who_leaves_after_being_served_passes_it_on() {
        let line = Line::default();
        let returned = RefCell::new(Vec::new());
        let keep = |thing| returned.borrow_mut().push(thing);
        let first = line.join(Instant::now(), None, || true, keep).unwrap();
        line.hand(7).unwrap();
        drop(first);
        assert_eq!(*returned.borrow(), [7]);
        assert_eq!(line.waiting(), 0);
    }

    #[tokio::test]
    async fn who_finds_no_room_is_refused() {
        let line = Line::default();
        let attempt =
            |room| line.join(Instant::now(), None, || room && line.waiting() == 1, ignore);
        assert!(attempt(false).is_none());
        assert_eq!(line.waiting(), 0);
        let first = attempt(true);
        assert!(first.is_some());
        assert!(attempt(true).is_none());
        drop(first);
        assert!(attempt(true).is_some());
    }

    #[tokio::test]
    async fn who_was_served_badly_comes_first_again() {
        let line = Line::default();
        let mut other = join(&line, None);
        let mut again = line.rejoin(Instant::now(), None, ignore);
        line.hand(1).unwrap();
        line.hand(2).unwrap();
        assert_eq!(again.served().await, Some(1));
        assert_eq!(other.served().await, Some(2));
    }

    #[tokio::test]
    async fn who_has_waited_for_long_enough_is_told() {
        let line = Line::default();
        let now = tokio::time::Instant::now();
        let later = now + std::time::Duration::from_secs(1);
        let mut patient = join(&line, Some(later));
        let mut over = join(&line, Some(now));
        let mut endless = join(&line, None);
        drop(join(&line, Some(now)));
        line.overdue(now, || 9);
        assert_eq!(over.served().await, Some(9));
        assert_eq!(line.waiting(), 2);
        line.hand(1).unwrap();
        line.hand(2).unwrap();
        assert_eq!(patient.served().await, Some(1));
        assert_eq!(endless.served().await, Some(2));
        assert_eq!(line.waiting(), 0);
    }

    #[test]
    fn those_who_left_do_not_pile_up() {
        let line: Line<u32> = Line::default();
        for _ in 0..1000 {
            drop(join(&line, None));
        }
        assert!(super::lock(&line.queue).len() < 100);
    }
}
