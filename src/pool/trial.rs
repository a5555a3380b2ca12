//! Trying what a client has shown: a login to the server whose outcome is the answer, and which
//! then serves everybody of the pool.
//!
//! # Why a trial takes a slot like any connection
//! It is one. Where the pool has its full number already, an idle connection makes room, or the
//! next that is given back; so trials never make more connections than are allowed, and cost no
//! more than the login itself. What a trial is refused says nothing about what the pool itself
//! logs in with, so the pool goes on as before.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::lending::Pool;
use super::lock;
use super::open::{Blame, BorrowError, OpenError, ServerLogin};
use super::slot::Slot;
use crate::protocol::Engine;

/// Trials of one pool that have not begun, and the number of those under way.
#[derive(Debug, Default)]
pub(super) struct Trials {
    queue: Mutex<VecDeque<Trial>>,
    /// Those in the queue, readable without lock.
    queued: AtomicUsize,
    /// Those in the queue and those under way.
    pending: Arc<AtomicUsize>,
}

/// One login to be tried.
#[derive(Debug)]
pub(super) struct Trial {
    login: ServerLogin,
    verdict: oneshot::Sender<Result<(), BorrowError>>,
    pending: Pending,
}

/// Counts a trial for as long as it lives.
#[derive(Debug)]
struct Pending(Arc<AtomicUsize>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Trials {
    /// Trials that want a slot or have one.
    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::SeqCst)
    }

    /// True if one waits for a slot.
    pub(super) fn any_queued(&self) -> bool {
        self.queued.load(Ordering::SeqCst) > 0
    }

    fn push(&self, login: ServerLogin) -> oneshot::Receiver<Result<(), BorrowError>> {
        let (verdict, receiver) = oneshot::channel();
        self.pending.fetch_add(1, Ordering::SeqCst);
        let trial = Trial {
            login,
            verdict,
            pending: Pending(Arc::clone(&self.pending)),
        };
        let mut queue = lock(&self.queue);
        queue.push_back(trial);
        self.queued.store(queue.len(), Ordering::SeqCst);
        receiver
    }

    /// The next trial that somebody still waits for.
    pub(super) fn next(&self) -> Option<Trial> {
        if !self.any_queued() {
            return None;
        }
        let mut gone = Vec::new();
        let mut queue = lock(&self.queue);
        let next = loop {
            match queue.pop_front() {
                Some(trial) if trial.verdict.is_closed() => gone.push(trial),
                other => break other,
            }
        };
        self.queued.store(queue.len(), Ordering::SeqCst);
        next
    }

    /// Removes those that nobody waits for any more.
    fn sweep(&self) {
        let mut queue = lock(&self.queue);
        queue.retain(|trial| !trial.verdict.is_closed());
        self.queued.store(queue.len(), Ordering::SeqCst);
    }

    /// Tells all that wait for a slot that it is no use.
    pub(super) fn fail(&self, error: &BorrowError) {
        while let Some(trial) = self.next() {
            // Whoever has left misses it.
            let _ = trial.verdict.send(Err(error.clone()));
        }
    }
}

impl<E: Engine> Pool<E> {
    /// Logs in to the server with `login`, within the borrow timeout, and keeps the connection for
    /// whoever borrows next. The pool's own login stays what it is. Cancel-safe: a trial that has
    /// begun goes on, and what it brings serves the pool.
    ///
    /// # Errors
    /// Why it did not work; see [`BorrowError::is_disbelief`].
    pub async fn try_login(self: &Arc<Self>, login: ServerLogin) -> Result<(), BorrowError> {
        if self.is_closed() {
            return Err(BorrowError::Closed);
        }
        if let Some(error) = self.target.failure(Instant::now()) {
            return Err(BorrowError::Unavailable(error));
        }
        let limit = self.options().borrow_timeout;
        // Dropped last, whether there is a verdict, or nobody waits for it any more.
        let _leave = Leave(self);
        let verdict = self.trials.push(login);
        if self.is_full() {
            self.evict();
        }
        self.target.ask(self);
        match tokio::time::timeout(limit, verdict).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => Err(BorrowError::Closed),
            Err(_) => Err(BorrowError::Timeout(limit)),
        }
    }

    /// True if the pool has as many connections as it may.
    pub(super) fn is_full(&self) -> bool {
        self.held().slots >= self.options().size
    }

    /// Runs a trial in a slot.
    pub(super) async fn run_trial(self: Arc<Self>, trial: Trial, slot: Slot<E>) {
        let Trial {
            login,
            verdict,
            pending,
        } = trial;
        let opener = self.target.opener();
        let epoch = self.target.epoch();
        let opened = self.establish(&*opener, &login).await;
        // What becomes of the slot is to be decided without it.
        drop(pending);
        let outcome = match opened {
            Ok(opened) => {
                self.install(opened, epoch, slot);
                Ok(())
            }
            Err(error) => Err(self.failed_trial(Arc::new(error), slot)),
        };
        // Whoever hears it may have no more use for the pool: see `Pools::discard`.
        drop(self);
        // Whoever has left misses it.
        let _ = verdict.send(outcome);
    }

    fn failed_trial(self: &Arc<Self>, error: Arc<OpenError>, slot: Slot<E>) -> BorrowError {
        self.tally.meters.failed.inc();
        let blame = error.blame();
        let told = BorrowError::Unavailable(Arc::clone(&error));
        if blame == Blame::Target {
            self.target.failed(error);
        }
        drop(slot);
        match blame {
            Blame::Full => self.target.make_room(self.id),
            Blame::Target => self.target.fail_pools(&told),
            Blame::Local | Blame::Pool => {}
        }
        told
    }
}

/// Takes back what nobody waits for any more.
struct Leave<'a, E: Engine>(&'a Arc<Pool<E>>);

impl<E: Engine> Drop for Leave<'_, E> {
    fn drop(&mut self) {
        self.0.trials.sweep();
        self.0.target.ask(self.0);
    }
}
