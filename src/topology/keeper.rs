//! Keeps one group's snapshot: has its servers looked at, and tells everybody what has changed.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::discover::Discovery;
use super::events::{self, Change};
use super::judge::{Compare, Judge};
use super::look::{Look, Pace, Sight, watch_over};
use super::metrics::GroupMetrics;
use super::options::{Seed, TopologyOptions};
use crate::model::{Role, Snapshot, TargetName};

/// What a keeper needs of the rest of the program.
pub trait Outside: Send + Sync + 'static {
    /// A server joins: how it is looked at. An error is for the log; the server is left out.
    fn join(&self, seed: &Seed) -> Result<Box<dyn Look>, String>;
    /// A server has left: its connections are to end.
    fn leave(&self, name: &TargetName);
    /// A server is no longer what it was: its connections are to end.
    fn retire(&self, name: &TargetName);
    /// The group as it is from now on.
    fn publish(&self, snapshot: Arc<Snapshot>);
    /// Servers about which somebody has doubts, when there are any. Cancel-safe.
    fn suspected<'a>(&'a self) -> Pin<Box<dyn Future<Output = Vec<TargetName>> + Send + 'a>>;
    /// Requests and transactions under way, at all servers together.
    fn at_work(&self) -> u32;
}

/// What a keeper is told to do.
enum Order {
    /// Hold new requests until released, or until then.
    Hold(Option<Instant>),
    /// Let them go.
    Release,
    /// Work by another configuration, and with these servers instead; what is known of the
    /// others is forgotten if `anew`.
    Configure {
        options: Box<TopologyOptions>,
        discovery: Option<Box<dyn Discovery>>,
        anew: bool,
    },
}

/// The way to a keeper. It ends when the last of these is gone.
#[derive(Clone)]
pub struct Keeper {
    orders: mpsc::Sender<(Order, oneshot::Sender<()>)>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    journal: Arc<Journal>,
    hurry: Arc<Notify>,
}

/// The latest changes of one group.
#[derive(Debug, Default)]
pub struct Journal(Mutex<VecDeque<Entry>>);

/// One change and its time.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it was seen.
    pub at: SystemTime,
    /// What it was.
    pub change: Change,
}

impl Journal {
    /// Oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().cloned().collect()
    }

    fn add(&self, change: Change) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST_ENTRIES {
            entries.pop_front();
        }
        let at = SystemTime::now();
        entries.push_back(Entry { at, change });
    }
}

impl Keeper {
    /// Begins to keep a group. To be called inside the runtime.
    pub fn start(
        group: Arc<str>,
        options: TopologyOptions,
        discovery: Option<Box<dyn Discovery>>,
        compare: Compare,
        outside: Arc<dyn Outside>,
        metrics: GroupMetrics,
    ) -> Self {
        let (orders, inbox) = mpsc::channel(8);
        let (publisher, snapshots) = watch::channel(Arc::default());
        let journal = Arc::<Journal>::default();
        let hurry = Arc::<Notify>::default();
        let (sights, seen) = mpsc::channel(64);
        let (pace, paces) = watch::channel(pace(&options, true, true));
        let work = Work {
            group,
            judge: without_members(&options, compare),
            compare,
            options,
            discovery,
            outside,
            metrics,
            publisher,
            journal: Arc::clone(&journal),
            watchers: HashMap::new(),
            sights,
            pace,
            paces,
            held: None,
            led: false,
            last_primary: None,
            trouble: None,
            loud: None,
        };
        tokio::spawn(work.run(inbox, seen, Arc::clone(&hurry)));
        Self {
            orders,
            snapshots,
            journal,
            hurry,
        }
    }

    /// The group as last published.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Its latest changes.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Has all servers looked at now.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Waits until the group is so; a keeper that has ended is waited for in vain. Cancel-safe.
    pub async fn until(&self, so: impl Fn(&Snapshot) -> bool) {
        let mut snapshots = self.snapshots.clone();
        if snapshots.wait_for(|snapshot| so(snapshot)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Holds new requests until [`Keeper::release`], or for so long at most. When this returns,
    /// none begins any more.
    pub async fn hold(&self, limit: Option<Duration>) {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        self.order(Order::Hold(until)).await;
    }

    /// Lets requests go.
    pub async fn release(&self) {
        self.order(Order::Release).await;
    }

    /// Works by another configuration from now on; `anew`: with another history.
    pub async fn configure(
        &self,
        options: TopologyOptions,
        discovery: Option<Box<dyn Discovery>>,
        anew: bool,
    ) {
        let options = Box::new(options);
        self.order(Order::Configure {
            options,
            discovery,
            anew,
        })
        .await;
    }

    async fn order(&self, order: Order) {
        let (done, carried_out) = oneshot::channel();
        if self.orders.send((order, done)).await.is_ok() {
            // A keeper that ends has nothing to hold any more.
            let _ = carried_out.await;
        }
    }
}

/// The keeper at work.
struct Work {
    group: Arc<str>,
    judge: Judge,
    compare: Compare,
    options: TopologyOptions,
    discovery: Option<Box<dyn Discovery>>,
    outside: Arc<dyn Outside>,
    metrics: GroupMetrics,
    publisher: watch::Sender<Arc<Snapshot>>,
    journal: Arc<Journal>,
    watchers: HashMap<TargetName, Watcher>,
    sights: mpsc::Sender<Sight>,
    pace: watch::Sender<Pace>,
    paces: watch::Receiver<Pace>,
    /// Requests are held, perhaps until then.
    held: Option<Option<Instant>>,
    /// There has been a primary.
    led: bool,
    /// Who it was last.
    last_primary: Option<TargetName>,
    /// Since when the primary does not answer, or there is none.
    trouble: Option<Instant>,
    /// When a dispute was last complained of.
    loud: Option<Instant>,
}

/// A server that is looked at.
struct Watcher {
    seed: Seed,
    hurry: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Work {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<(Order, oneshot::Sender<()>)>,
        mut seen: mpsc::Receiver<Sight>,
        hurry: Arc<Notify>,
    ) {
        if self.discovery.as_ref().is_none_or(|d| d.keeps_seeds()) {
            self.admit(self.options.seeds.clone());
        }
        self.settle();
        let mut discovering = self.discover_after(Duration::ZERO);
        loop {
            let release = self.held.flatten();
            tokio::select! {
                sight = seen.recv() => {
                    let Some(sight) = sight else { return };
                    self.note(sight);
                    // Those that came together are judged together.
                    while let Ok(sight) = seen.try_recv() {
                        self.note(sight);
                    }
                    self.settle();
                }
                order = inbox.recv() => {
                    let Some((order, done)) = order else { return };
                    if self.carry_out(order) {
                        discovering = self.discover_after(Duration::ZERO);
                    }
                    let _ = done.send(());
                }
                names = self.outside.suspected() => self.hurry(&names),
                () = hurry.notified() => self.hurry_all(),
                found = &mut discovering => {
                    let (discovery, found) = found;
                    self.discovery = discovery;
                    self.take_found(found);
                    let pause = self.discovery.as_ref().map(|d| d.interval(self.judge.is_uneasy()));
                    discovering = self.discover_after(pause.unwrap_or(Duration::MAX));
                }
                () = until(release) => {
                    warn!(group = %self.group, "the time to hold traffic is over: it flows");
                    self.held = None;
                    self.settle();
                }
            }
        }
    }

    fn note(&mut self, sight: Sight) {
        let Sight { name, at, seen } = sight;
        self.metrics.looked(&name, seen.is_ok());
        self.judge.look(&name, at.into_std(), seen);
    }

    /// Has these servers looked at now; with the primary, all: another may have taken its place.
    fn hurry(&self, names: &[TargetName]) {
        let primary = self.publisher.borrow().primary.clone();
        if primary.is_some_and(|primary| names.contains(&primary)) {
            return self.hurry_all();
        }
        for name in names {
            if let Some(watcher) = self.watchers.get(name) {
                watcher.hurry.notify_one();
            }
        }
    }

    fn hurry_all(&self) {
        for watcher in self.watchers.values() {
            watcher.hurry.notify_one();
        }
    }

    /// True if the source of members is another now.
    fn carry_out(&mut self, order: Order) -> bool {
        let mut anew_source = false;
        match order {
            Order::Hold(until) => self.held = Some(until),
            Order::Release => self.held = None,
            Order::Configure {
                options,
                discovery,
                anew,
            } => {
                if anew {
                    self.judge = without_members(&options, self.compare);
                    self.watchers.clear();
                }
                // Settings of the servers may have changed too: each is joined again.
                self.watchers.retain(|name, _| {
                    options.seeds.iter().any(|seed| seed.name == *name) || discovery.is_some()
                });
                self.options = *options;
                self.judge.set_options(self.options.clone());
                self.discovery = discovery;
                self.rejoin();
                anew_source = true;
            }
        }
        self.settle();
        anew_source
    }

    /// Joins all servers of the configuration, those that are members already as well.
    fn rejoin(&mut self) {
        let mut kept = Vec::new();
        if self.discovery.as_ref().is_none_or(|d| d.keeps_seeds()) {
            kept.clone_from(&self.options.seeds);
        }
        if self.discovery.is_some() {
            // Until the source has been asked.
            for watcher in self.watchers.values() {
                if !kept.iter().any(|seed| seed.name == watcher.seed.name) {
                    kept.push(watcher.seed.clone());
                }
            }
        }
        self.watchers.clear();
        self.admit(kept);
    }

    /// Makes these the members.
    fn admit(&mut self, seeds: Vec<Seed>) {
        let before = self.publisher.borrow().clone();
        let gone: Vec<_> = before
            .members
            .iter()
            .filter(|member| !seeds.iter().any(|seed| seed.name == member.name))
            .map(|member| Arc::clone(&member.name))
            .collect();
        for name in gone {
            self.watchers.remove(&name);
            self.outside.leave(&name);
            self.metrics.forget(&name);
        }
        let seeds: Vec<_> = seeds
            .into_iter()
            .filter(|seed| {
                self.watchers
                    .get(&seed.name)
                    .is_some_and(|w| w.seed == *seed)
                    || self.begin(seed)
            })
            .collect();
        let writer = self.discovery.as_ref().and_then(|d| d.writer());
        self.judge.set_members(seeds, writer);
    }

    /// Begins to look at a server; false if it cannot be joined.
    fn begin(&mut self, seed: &Seed) -> bool {
        let look = match self.outside.join(seed) {
            Ok(look) => look,
            Err(error) => {
                error!(group = %self.group, target_name = %seed.name, error, "server left out");
                return false;
            }
        };
        let hurry = Arc::<Notify>::default();
        let task = tokio::spawn(watch_over(
            Arc::clone(&seed.name),
            look,
            self.paces.clone(),
            Arc::clone(&hurry),
            self.sights.clone(),
        ));
        let watcher = Watcher {
            seed: seed.clone(),
            hurry,
            task,
        };
        self.watchers.insert(Arc::clone(&seed.name), watcher);
        true
    }

    fn take_found(&mut self, found: Result<Vec<Seed>, String>) {
        match found {
            Ok(seeds) if seeds.is_empty() => {
                warn!(group = %self.group, "discovery has found no server; the known ones stay");
            }
            Ok(seeds) => {
                self.admit(seeds);
                self.settle();
            }
            Err(error) => {
                warn!(group = %self.group, error, "discovery failed; the known servers stay");
            }
        }
    }

    /// Has the source of members asked after a while. The future has the source meanwhile.
    fn discover_after(&mut self, pause: Duration) -> Discovering {
        let discovery = self.discovery.take();
        Box::pin(async move {
            match discovery {
                None => std::future::pending().await,
                Some(mut discovery) => {
                    tokio::time::sleep(pause).await;
                    let found = discovery.discover().await;
                    (Some(discovery), found)
                }
            }
        })
    }

    /// Judges anew and publishes what has come of it.
    fn settle(&mut self) {
        let now = Instant::now();
        let before = Arc::clone(&self.publisher.borrow());
        let mut snapshot = self.judge.verdict(now.into_std());
        snapshot.paused = self.held.is_some();
        let matters = events::matters(&before, &snapshot);
        snapshot.epoch = before.epoch + u64::from(matters);
        self.complain(now);
        let uneasy = self.judge.is_uneasy();
        let pace = pace(&self.options, uneasy, self.judge.has_failures());
        self.pace
            .send_if_modified(|now| std::mem::replace(now, pace) != pace);
        self.time_failover(now, uneasy, snapshot.primary.is_some());
        self.metrics.show(&snapshot);
        if before.as_ref() == &snapshot {
            return;
        }
        let snapshot = Arc::new(snapshot);
        self.publisher.send_replace(Arc::clone(&snapshot));
        self.outside.publish(Arc::clone(&snapshot));
        if matters {
            self.retire_former(&before, &snapshot);
            for change in events::changes(&before, &snapshot) {
                self.tell(change);
            }
        }
    }

    /// Connections to a server that was primary, and is not now, end.
    fn retire_former(&mut self, before: &Snapshot, now: &Snapshot) {
        for member in &now.members {
            let was = before.member(&member.name).and_then(|before| before.role);
            if was == Some(Role::Primary) && member.role == Some(Role::Replica) {
                self.outside.retire(&member.name);
            }
        }
        let Some(primary) = &now.primary else { return };
        // There may have been none for a while.
        let former = self.last_primary.replace(Arc::clone(primary));
        if let Some(former) = former.filter(|former| former != primary) {
            self.outside.retire(&former);
        }
    }

    fn time_failover(&mut self, now: Instant, uneasy: bool, led: bool) {
        if uneasy && self.trouble.is_none() {
            self.trouble = Some(now);
        }
        if uneasy {
            return;
        }
        let Some(since) = self.trouble.take() else {
            return;
        };
        if led && std::mem::replace(&mut self.led, true) {
            self.metrics.recovered(now - since);
        }
    }

    /// Loudly, but not all the time.
    fn complain(&mut self, now: Instant) {
        if !self.judge.is_disputed() {
            self.loud = None;
            return;
        }
        let due = self.loud.is_none_or(|last| now - last >= COMPLAIN_EVERY);
        if due {
            self.loud = Some(now);
            error!(
                group = %self.group,
                "several servers claim to be primary and nothing decides between them: \
                 writes are refused"
            );
        }
    }

    fn tell(&self, change: Change) {
        let Change {
            target,
            what,
            alarming,
        } = &change;
        if *alarming {
            warn!(group = %self.group, target_name = target, what, "topology changed");
        } else {
            info!(group = %self.group, target_name = target, what, "topology changed");
        }
        self.journal.add(change);
    }
}

type Discovering =
    Pin<Box<dyn Future<Output = (Option<Box<dyn Discovery>>, Result<Vec<Seed>, String>)> + Send>>;

fn pace(options: &TopologyOptions, uneasy: bool, failing: bool) -> Pace {
    let health = &options.health;
    Pace {
        interval: if uneasy {
            health.failover_interval
        } else if failing || health.monitor.is_some() {
            health.interval
        } else {
            health.interval.max(WITHOUT_LOGIN)
        },
        timeout: health.timeout,
    }
}

/// Members are those that have been joined.
fn without_members(options: &TopologyOptions, compare: Compare) -> Judge {
    let mut judge = Judge::new(options.clone(), compare);
    judge.set_members(Vec::new(), None);
    judge
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Servers take it amiss if somebody connects again and again and does not log in (MySQL's
/// `max_connect_errors`).
const WITHOUT_LOGIN: Duration = Duration::from_secs(10);
const MOST_ENTRIES: usize = 200;
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
