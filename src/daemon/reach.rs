//! Whether each target can be reached: a dial now and then, for `/readyz` and the log. Which
//! server is what, and how it fares, is not decided here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::model::TargetName;
use crate::pool::Dialer;
use crate::protocol::Engine;
use crate::telemetry::{Family, ShardedGauge};

use super::world::{Heard, World};

/// What is known about the targets of one engine.
pub(super) struct Reach {
    states: Arc<Mutex<HashMap<TargetName, bool>>>,
    watchers: Mutex<Vec<JoinHandle<()>>>,
    gauge: Family<ShardedGauge>,
}

impl Reach {
    /// Nothing is known yet; `gauge` is 1 for each target that is reachable.
    pub(super) fn new(gauge: Family<ShardedGauge>) -> Self {
        Self {
            states: Arc::default(),
            watchers: Mutex::default(),
            gauge,
        }
    }

    /// Watches the targets of `world` from now on, and no others.
    pub(super) fn watch<E: Engine>(&self, world: &World<E>) {
        let mut watchers = lock(&self.watchers);
        for watcher in watchers.drain(..) {
            watcher.abort();
        }
        lock(&self.states).clear();
        for group in world.groups.values() {
            for site in group.sites.values() {
                let watcher = Watcher::<E> {
                    target: Arc::clone(&site.name),
                    dialer: Arc::clone(&site.dialer),
                    heard: Arc::clone(&group.announcement),
                    states: Arc::clone(&self.states),
                    gauge: self.gauge.member(&[&group.plan.name, &site.name]),
                };
                watchers.push(tokio::spawn(watcher.run()));
            }
        }
    }

    /// True if any target took the last connection that was tried.
    pub(super) fn any(&self) -> bool {
        lock(&self.states).values().any(|reachable| *reachable)
    }

    /// Each target that has been tried, and whether it can be reached.
    pub(super) fn all(&self) -> Vec<(TargetName, bool)> {
        let states = lock(&self.states);
        states
            .iter()
            .map(|(name, up)| (Arc::clone(name), *up))
            .collect()
    }
}

struct Watcher<E: Engine> {
    target: TargetName,
    dialer: Arc<Dialer>,
    heard: Arc<Heard<E::Announcement>>,
    states: Arc<Mutex<HashMap<TargetName, bool>>>,
    gauge: Arc<ShardedGauge>,
}

impl<E: Engine> Watcher<E> {
    async fn run(self) {
        let mut known = None;
        loop {
            let result = self.dialer.reach::<E>().await;
            let reachable = result.is_ok();
            let result = result.map(|said| self.heard.hear(said));
            if known != Some(reachable) {
                match &result {
                    Ok(()) => info!(target_name = %self.target, "target is reachable"),
                    Err(error) => {
                        warn!(target_name = %self.target, %error, "target is unreachable");
                    }
                }
                match (known, reachable) {
                    (_, true) => self.gauge.inc(),
                    (Some(true), false) => self.gauge.dec(),
                    _ => {}
                }
                known = Some(reachable);
                lock(&self.states).insert(Arc::clone(&self.target), reachable);
            }
            tokio::time::sleep(if reachable { WHILE_UP } else { WHILE_DOWN }).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const WHILE_UP: Duration = Duration::from_secs(10);
const WHILE_DOWN: Duration = Duration::from_secs(1);
