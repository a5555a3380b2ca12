//! The waiters of one pool, first come first served.
//!
//! A thing is handed to a waiter directly, so that nobody who comes later can take it on the way.
//! A waiter that leaves after it was handed something passes it on: nothing is lost.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::lock;
use crate::net::reactor;

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
    /// The reactor of the thread that it waits on.
    reactor: usize,
    /// How often one behind it was served.
    passed_over: usize,
}

impl<T> Waiter<T> {
    fn new(until: Option<Instant>) -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        let waiter = Self {
            sender,
            until,
            reactor: reactor::here(),
            passed_over: 0,
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

    /// Joins at the end; `None` if `limit` (0: none) wait already. `until`: when [`Line::overdue`] is to
    /// end the wait, if at all. `pass_on` takes back what is handed over but never received.
    pub(super) fn join<R: Fn(T)>(
        &self,
        limit: usize,
        until: Option<Instant>,
        pass_on: R,
    ) -> Option<Ticket<'_, T, R>> {
        let mut queue = lock(&self.queue);
        if limit > 0 && self.waiting() >= limit {
            return None;
        }
        self.sweep(&mut queue);
        let (waiter, receiver) = Waiter::new(until);
        queue.push_back(waiter);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Some(self.ticket(receiver, pass_on))
    }

    /// Joins at the front: for one who was served, but badly.
    pub(super) fn rejoin<R: Fn(T)>(&self, until: Option<Instant>, pass_on: R) -> Ticket<'_, T, R> {
        let (waiter, receiver) = Waiter::new(until);
        lock(&self.queue).push_front(waiter);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.ticket(receiver, pass_on)
    }

    /// Hands `thing` to the first waiter; gives it back if there is none.
    pub(super) fn hand(&self, thing: T) -> Result<(), T> {
        self.hand_to(VecDeque::pop_front, thing)
    }

    /// Hands `thing` to the first waiter on this reactor, unless one before it has been passed over
    /// often: to that one then, and to the first of all if there is none near. So nobody waits for
    /// more than [`MOST_PASSES`] turns more than it would in a plain line.
    pub(super) fn hand_near(&self, reactor: usize, thing: T) -> Result<(), T> {
        self.hand_to(|queue| next_near(queue, reactor), thing)
    }

    fn hand_to(
        &self,
        mut next: impl FnMut(&mut VecDeque<Waiter<T>>) -> Option<Waiter<T>>,
        mut thing: T,
    ) -> Result<(), T> {
        loop {
            let Some(waiter) = next(&mut lock(&self.queue)) else {
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
        let thing = (&mut self.receiver).await.ok();
        self.served = true;
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

/// Takes out whoever is next where connections of this reactor are handed out.
fn next_near<T>(queue: &mut VecDeque<Waiter<T>>, reactor: usize) -> Option<Waiter<T>> {
    let chosen = queue
        .iter()
        .take(MOST_PASSES)
        .position(|waiter| waiter.reactor == reactor || waiter.passed_over >= MOST_PASSES)
        .unwrap_or(0);
    for passed in queue.iter_mut().take(chosen) {
        passed.passed_over += 1;
    }
    queue.remove(chosen)
}

/// So often a waiter is passed over by those of the reactor that a connection is on, and so many are
/// looked at for one.
const MOST_PASSES: usize = 16;
/// So many may have left before anyone is removed.
const SWEEP_ABOVE: usize = 32;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{Line, MOST_PASSES};
    use crate::net::reactor;

    fn ignore(_: u32) {}

    #[tokio::test]
    async fn the_first_to_come_is_served_first() {
        let line = Line::default();
        let mut first = line.join(0, None, ignore).unwrap();
        let mut second = line.join(0, None, ignore).unwrap();
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
        let first = line.join(0, None, ignore).unwrap();
        let mut second = line.join(0, None, ignore).unwrap();
        drop(first);
        assert_eq!(line.waiting(), 1);
        line.hand(1).unwrap();
        assert_eq!(second.served().await, Some(1));
    }

    #[tokio::test]
    async fn who_leaves_after_being_served_passes_it_on() {
        let line = Line::default();
        let returned = RefCell::new(Vec::new());
        let first = line
            .join(0, None, |thing| returned.borrow_mut().push(thing))
            .unwrap();
        line.hand(7).unwrap();
        drop(first);
        assert_eq!(*returned.borrow(), [7]);
        assert_eq!(line.waiting(), 0);
    }

    #[tokio::test]
    async fn one_too_many_is_refused() {
        let line = Line::default();
        let first = line.join(1, None, ignore);
        assert!(first.is_some());
        assert!(line.join(1, None, ignore).is_none());
        drop(first);
        assert!(line.join(1, None, ignore).is_some());
    }

    #[tokio::test]
    async fn who_was_served_badly_comes_first_again() {
        let line = Line::default();
        let mut other = line.join(0, None, ignore).unwrap();
        let mut again = line.rejoin(None, ignore);
        line.hand(1).unwrap();
        line.hand(2).unwrap();
        assert_eq!(again.served().await, Some(1));
        assert_eq!(other.served().await, Some(2));
    }

    #[tokio::test]
    async fn those_near_are_served_first_but_not_for_ever() {
        let line = Line::default();
        let mut far = line.join(0, None, ignore).unwrap();
        reactor::run_here(1);
        for n in 0..u32::try_from(MOST_PASSES).unwrap() {
            let mut near = line.join(0, None, ignore).unwrap();
            line.hand_near(1, n).unwrap();
            assert_eq!(near.receiver.try_recv(), Ok(n));
            near.served = true;
        }
        let _near = line.join(0, None, ignore).unwrap();
        line.hand_near(1, 99).unwrap();
        assert_eq!(far.served().await, Some(99));
    }

    #[tokio::test]
    async fn where_nobody_is_near_the_first_is_served() {
        let line = Line::default();
        let mut first = line.join(0, None, ignore).unwrap();
        let _second = line.join(0, None, ignore).unwrap();
        line.hand_near(1, 5).unwrap();
        assert_eq!(first.served().await, Some(5));
    }

    #[tokio::test]
    async fn who_has_waited_for_long_enough_is_told() {
        let line = Line::default();
        let now = tokio::time::Instant::now();
        let later = now + std::time::Duration::from_secs(1);
        let mut patient = line.join(0, Some(later), ignore).unwrap();
        let mut over = line.join(0, Some(now), ignore).unwrap();
        let mut endless = line.join(0, None, ignore).unwrap();
        drop(line.join(0, Some(now), ignore));
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
            drop(line.join(0, None, ignore));
        }
        assert!(super::lock(&line.queue).len() < 100);
    }
}
