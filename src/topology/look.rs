//! Looking at one server again and again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout};

use crate::model::{LookFailure, Observation, TargetName};

/// One look under way.
pub type Looking<'a> = Pin<Box<dyn Future<Output = Result<Observation, LookFailure>> + Send + 'a>>;

/// Looks at one server; keeps a connection between looks, if it likes.
pub trait Look: Send + 'static {
    /// Looks once. Dropped half-way, it must begin afresh the next time.
    fn look(&mut self) -> Looking<'_>;
}

/// What a look has shown, and when.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) name: TargetName,
    pub(super) at: Instant,
    pub(super) seen: Result<Observation, LookFailure>,
}

/// How often, and for how long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

/// Looks until nobody wants to know any more. `hurry` has the next look made at once.
pub(super) async fn watch_over(
    name: TargetName,
    mut look: Box<dyn Look>,
    mut pace: watch::Receiver<Pace>,
    hurry: Arc<Notify>,
    sights: mpsc::Sender<Sight>,
) {
    loop {
        let begun = Instant::now();
        let Pace { timeout: limit, .. } = *pace.borrow_and_update();
        let seen = timeout(limit, look.look()).await;
        let sight = Sight {
            name: Arc::clone(&name),
            at: Instant::now(),
            seen: seen.unwrap_or(Err(LookFailure::Unusable)),
        };
        if sights.send(sight).await.is_err() {
            return;
        }
        loop {
            let next = begun + pace.borrow_and_update().interval;
            tokio::select! {
                () = tokio::time::sleep_until(next) => break,
                () = hurry.notified() => break,
                changed = pace.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }
}
