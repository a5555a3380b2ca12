//! Tasks of the pools: logins, resets, timers.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts tasks from anywhere, also where no runtime is entered.
///
/// A runtime on which borrowers live must turn until the last borrower of all runtimes is served: a
/// login that one has started may be another's only hope.
pub(super) struct Tasks {
    runtime: Handle,
    tracker: TaskTracker,
    stop: CancellationToken,
    /// A task was dropped before it ran: the runtime is going down.
    dead: AtomicBool,
}

impl Tasks {
    /// Idle work will run on the calling task's runtime.
    pub(super) fn new() -> Self {
        Self {
            runtime: Handle::current(),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            dead: AtomicBool::new(false),
        }
    }

    /// Starts work that a shutdown waits for.
    pub(super) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let canary = Canary {
            tasks: Arc::clone(self),
            ran: false,
        };
        let work = async move {
            canary.run();
            work.await;
        };
        // On the runtime of whoever starts it, where the socket at hand is registered.
        match Handle::try_current() {
            Ok(here) => self.tracker.spawn_on(work, &here),
            Err(_) => self.tracker.spawn_on(work, &self.runtime),
        };
    }

    /// True once the runtime drops tasks instead of running them.
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Starts work that a shutdown cuts off.
    pub(super) fn spawn_idle(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.runtime.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// Ends the idle work.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// True after [`Tasks::stop`].
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits for the other work. Cancel-safe.
    pub(super) async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Notices a task that is dropped before it runs. Without it, what such a task gives back would
/// be granted to the next such task, for ever.
struct Canary {
    tasks: Arc<Tasks>,
    ran: bool,
}

impl Canary {
    /// Consumes it, so that the task owns the whole of it until then.
    fn run(mut self) {
        self.ran = true;
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        if !self.ran {
            self.tasks.dead.store(true, Ordering::SeqCst);
        }
    }
}
