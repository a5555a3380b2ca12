//! The waiters of one pool, in a line for each reactor.
//!
//! Threads that share one line pass its memory between their cores with every wait. Apart, a thread
//! hands what it has to its own waiters, and looks at the others' lines only now and then, so that
//! nobody is forgotten there.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::line::{Line, Ticket};
use crate::net::reactor;

/// Waiters for things of type `T`, by the reactor that their threads run.
///
/// Of one reactor, who comes first is served first. Of several, whoever has waited for [`AHEAD`] longer
/// than the first of a thread is served before it once that thread looks: after [`MOST_TURNS`] turns, or
/// [`AHEAD`] after it has looked last.
#[derive(Debug)]
pub(super) struct Lines<T> {
    each: Box<[Padded<T>]>,
    born: Instant,
}

/// On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T> {
    line: Line<T>,
    /// Turns since the others were looked at.
    turns: AtomicUsize,
    /// When that was, in milliseconds since the lines were made.
    looked: AtomicU64,
}

/// A place in one of the lines; see [`Ticket`].
#[derive(Debug)]
#[must_use]
pub(super) struct Place<T> {
    ticket: Ticket<T>,
    /// Whose line it is.
    reactor: usize,
}

impl<T> Place<T> {
    /// See [`Ticket::poll`].
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.ticket.poll(cx)
    }
}

impl<T> Default for Padded<T> {
    fn default() -> Self {
        Self {
            line: Line::default(),
            turns: AtomicUsize::new(0),
            looked: AtomicU64::new(0),
        }
    }
}

impl<T> Lines<T> {
    /// Empty lines for waiters on `reactors` threads, at least one.
    pub(super) fn new(reactors: usize) -> Self {
        let each = (0..reactors.max(1)).map(|_| Padded::default());
        Self {
            each: each.collect(),
            born: Instant::now(),
        }
    }

    /// Waiters that have been handed nothing yet.
    pub(super) fn waiting(&self) -> usize {
        self.each.iter().map(|padded| padded.line.waiting()).sum()
    }

    /// True if anybody waits, which is found out soonest of those of this thread.
    pub(super) fn anyone(&self) -> bool {
        let is_long = |padded: &Padded<T>| padded.line.waiting() > 0;
        is_long(self.of(reactor::here())) || self.each.len() > 1 && self.each.iter().any(is_long)
    }

    /// True if no place is taken, not even by one who has left. Takes the locks.
    pub(super) fn is_empty(&self) -> bool {
        self.from(reactor::here()).all(Line::is_empty)
    }

    /// Joins this thread's line at its end; see [`Line::join`]. `None` if `limit` (0: none) wait already, or
    /// others have come for the last place at the same time.
    pub(super) fn join(
        &self,
        limit: usize,
        since: Instant,
        until: Option<Instant>,
    ) -> Option<Place<T>> {
        let reactor = reactor::here();
        let room = || limit == 0 || self.waiting() <= limit;
        let ticket = self.of(reactor).line.join(since, until, room)?;
        Some(Place { ticket, reactor })
    }

    /// Joins it at its front: for one who was served, but badly.
    pub(super) fn rejoin(&self, since: Instant, until: Option<Instant>) -> Place<T> {
        let reactor = reactor::here();
        let ticket = self.of(reactor).line.rejoin(since, until);
        Place { ticket, reactor }
    }

    /// See [`Line::leave`].
    #[must_use]
    pub(super) fn leave(&self, place: Place<T>) -> Option<T> {
        self.of(place.reactor).line.leave(place.ticket)
    }

    /// Hands `thing`, which is on this reactor, at `now` to whoever is next; gives it back if nobody waits.
    pub(super) fn hand(&self, reactor: usize, now: Instant, mut thing: T) -> Result<(), T> {
        if !self.looks_around(reactor, now) {
            match self.of(reactor).line.hand(thing) {
                Ok(()) => return Ok(()),
                Err(back) => thing = back,
            }
        }
        while let Some(line) = self.next(reactor) {
            match line.hand(thing) {
                Ok(()) => return Ok(()),
                Err(back) => thing = back,
            }
        }
        Err(thing)
    }

    /// Hands `excuse()` to all who have waited for long enough.
    pub(super) fn overdue(&self, now: Instant, excuse: impl Fn() -> T) {
        for padded in &self.each {
            padded.line.overdue(now, &excuse);
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "there is at least one, and the place is less"
    )]
    fn of(&self, reactor: usize) -> &Padded<T> {
        &self.each[reactor::place(reactor, self.each.len())]
    }

    /// All, this reactor's first.
    fn from(&self, reactor: usize) -> impl Iterator<Item = &Line<T>> {
        let (before, from_here) = self.each.split_at(reactor::place(reactor, self.each.len()));
        from_here.iter().chain(before).map(|padded| &padded.line)
    }

    /// Whether it is time to look at the lines of other threads before this one's is served again.
    fn looks_around(&self, reactor: usize, now: Instant) -> bool {
        if self.each.len() == 1 {
            return false;
        }
        let padded = self.of(reactor);
        let age = now.saturating_duration_since(self.born).as_millis();
        let age = u64::try_from(age).unwrap_or(u64::MAX);
        let turns = padded.turns.fetch_add(1, Ordering::Relaxed);
        if turns < MOST_TURNS && padded.looked.load(Ordering::Relaxed) == age {
            return false;
        }
        padded.turns.store(0, Ordering::Relaxed);
        padded.looked.store(age, Ordering::Relaxed);
        true
    }

    /// The line whose first has waited for longest: another's only if it has for [`AHEAD`] longer than this
    /// one's first. None if nobody waits.
    fn next(&self, reactor: usize) -> Option<&Line<T>> {
        let mut lines = self.from(reactor);
        let own = lines.next()?;
        let others = lines.filter_map(|line| Some((line.first_since()?, line)));
        let oldest = others.min_by_key(|(since, _)| *since);
        match (own.first_since(), oldest) {
            (Some(own_since), Some((since, line))) if since + AHEAD < own_since => Some(line),
            (None, Some((_, line))) => Some(line),
            (Some(_), _) => Some(own),
            (None, None) => None,
        }
    }
}

/// So often waiters of a thread are served before it looks at the others.
const MOST_TURNS: usize = 16;
/// What it takes to be served before waiters of the thread that serves. Shorter differences are not worth
/// moving a connection for.
const AHEAD: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Lines, MOST_TURNS, Place};
    use crate::net::reactor;
    use crate::pool::line::tests::served;

    /// Joins the line of this reactor, `ago` milliseconds ago.
    fn join(lines: &Lines<u32>, reactor: usize, ago: u64) -> Place<u32> {
        reactor::run_here(reactor);
        let since = Instant::now() - Duration::from_millis(ago);
        lines.join(0, since, None).unwrap()
    }

    #[tokio::test]
    async fn each_reactor_serves_its_own_first() {
        let lines = Lines::new(2);
        let now = Instant::now();
        let (mut first, mut second) = (join(&lines, 0, 0), join(&lines, 1, 0));
        assert_eq!(lines.waiting(), 2);
        lines.hand(1, now, 1).unwrap();
        assert_eq!(served(&mut second.ticket).await, Some(1));
        lines.hand(1, now, 2).unwrap();
        assert_eq!(
            served(&mut first.ticket).await,
            Some(2),
            "where nobody is near, those far are served"
        );
        assert_eq!(lines.hand(1, now, 3), Err(3));
        assert!(!lines.anyone() && lines.is_empty());
    }

    #[tokio::test]
    async fn who_has_waited_far_longer_is_served_first_but_not_always() {
        let lines = Lines::new(2);
        let now = Instant::now();
        // Its time to look has just been.
        lines.hand(1, now, 0).unwrap_err();
        let mut far = join(&lines, 0, 50);
        for n in 1..=u32::try_from(MOST_TURNS).unwrap() {
            let mut near = join(&lines, 1, 0);
            lines.hand(1, now, n).unwrap();
            if n < u32::try_from(MOST_TURNS).unwrap() {
                assert_eq!(served(&mut near.ticket).await, Some(n));
            }
        }
        assert_eq!(
            served(&mut far.ticket).await,
            Some(u32::try_from(MOST_TURNS).unwrap())
        );
    }

    #[tokio::test]
    async fn slow_turns_always_go_to_who_has_waited_longest() {
        let lines = Lines::new(3);
        let (mut first, mut second) = (join(&lines, 0, 50), join(&lines, 2, 90));
        let mut third = join(&lines, 1, 10);
        let start = Instant::now();
        for n in 1..=3 {
            lines
                .hand(1, start + Duration::from_secs(n), u32::try_from(n).unwrap())
                .unwrap();
        }
        assert_eq!(served(&mut second.ticket).await, Some(1));
        assert_eq!(served(&mut first.ticket).await, Some(2));
        assert_eq!(served(&mut third.ticket).await, Some(3));
    }

    #[tokio::test]
    async fn a_hair_ahead_is_not_ahead() {
        let lines = Lines::new(2);
        reactor::run_here(0);
        let since = Instant::now();
        let _far = lines.join(0, since, None).unwrap();
        reactor::run_here(1);
        let later = since + Duration::from_micros(900);
        let mut near = lines.join(0, later, None).unwrap();
        lines.hand(1, since + Duration::from_secs(1), 7).unwrap();
        assert_eq!(served(&mut near.ticket).await, Some(7));
    }

    #[tokio::test]
    async fn one_too_many_is_refused_whatever_its_thread() {
        let lines: Lines<u32> = Lines::new(2);
        let attempt = |reactor| {
            reactor::run_here(reactor);
            lines.join(1, Instant::now(), None)
        };
        let first = attempt(0).unwrap();
        assert!(attempt(0).is_none() && attempt(1).is_none());
        assert_eq!(lines.leave(first), None);
        assert!(attempt(1).is_some());
    }
}
