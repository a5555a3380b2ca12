//! The servers of one target group, as its sessions see them: who is primary, how each is
//! reached, and how busy it is. Outlives configurations, so that a session that stays meets the
//! servers of today.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use foldhash::HashMap;
use tokio::sync::{Notify, watch};

use super::metrics::TargetMetrics;
use crate::model::{Snapshot, TargetName};
use crate::pool::Dialer;

/// The servers of one target group.
#[derive(Debug)]
pub struct Roster {
    group: Arc<str>,
    view: ArcSwap<View>,
    /// [`Snapshot::epoch`] of the view.
    epoch: AtomicU64,
    changes: watch::Sender<u64>,
    /// How often functions, views and the like of its databases may have changed so far.
    alterations: AtomicU64,
    /// The primary, or the last one while there is none.
    last_primary: Mutex<Option<TargetName>>,
    suspects: Suspects,
}

/// What was seen at one moment, and the way to each member.
#[derive(Debug, Default)]
pub struct View {
    /// Who is what.
    pub snapshot: Arc<Snapshot>,
    /// How each member is reached.
    pub sites: HashMap<TargetName, Arc<Site>>,
}

/// One server.
#[derive(Debug)]
pub struct Site {
    /// `host:port`.
    pub name: TargetName,
    /// Reaches it.
    pub dialer: Arc<Dialer>,
    /// What is counted about it.
    pub metrics: Arc<TargetMetrics>,
    outstanding: AtomicU32,
}

/// Servers about which sessions have doubts.
#[derive(Debug, Default)]
struct Suspects {
    names: Mutex<Vec<TargetName>>,
    bell: Notify,
}

impl Site {
    /// A server that nobody works with yet.
    pub fn new(name: TargetName, dialer: Arc<Dialer>, metrics: Arc<TargetMetrics>) -> Self {
        Self {
            name,
            dialer,
            metrics,
            outstanding: AtomicU32::new(0),
        }
    }

    /// Sessions that have a connection of it, or wait for one, as far as these were counted.
    pub fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Counts a session until the guard is dropped.
    pub fn occupy(self: &Arc<Self>) -> Occupied {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Occupied(Arc::clone(self))
    }
}

/// Counts one session at a site.
#[derive(Debug)]
pub struct Occupied(Arc<Site>);

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What decides which of two replicas is to be read from.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    near: bool,
    outstanding: u32,
    weight: u32,
}

impl Standing {
    /// Of a member at this moment. `near` and `weight`: as the snapshot's member has them.
    pub fn new(near: bool, weight: u32, site: &Site) -> Self {
        Self {
            near,
            outstanding: site.outstanding(),
            weight: weight.max(1),
        }
    }

    /// `Less` if this one goes first: in our zone, and then with fewer sessions at work for its weight.
    pub fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let load = |one: &Self, other: &Self| u64::from(one.outstanding) * u64::from(other.weight);
        let by_load = load(self, other).cmp(&load(other, self));
        other.near.cmp(&self.near).then(by_load)
    }
}

impl Roster {
    /// A group without servers.
    pub fn new(group: Arc<str>) -> Self {
        Self {
            group,
            view: ArcSwap::default(),
            epoch: AtomicU64::new(0),
            changes: watch::Sender::new(0),
            alterations: AtomicU64::new(0),
            last_primary: Mutex::default(),
            suspects: Suspects::default(),
        }
    }

    /// Name of the target group.
    pub fn group(&self) -> &Arc<str> {
        &self.group
    }

    /// [`Snapshot::epoch`] of the present view: what was chosen under another is to be chosen
    /// anew. A single load.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Functions, views and the like may have changed: a statement that may do so has been carried out, or there is
    /// another primary.
    pub fn note_alteration(&self) {
        self.alterations.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was.
    pub fn alterations(&self) -> u64 {
        self.alterations.load(Ordering::Acquire)
    }

    /// The group as it is now.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Who is what now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.view.load().snapshot)
    }

    /// The replica that the next read goes to, of a session that has read nothing yet; `None` if none is well, or
    /// traffic is held. Of equals any may be the next.
    pub fn next_replica(&self) -> Option<TargetName> {
        let view = self.view();
        let members = view.snapshot.members.iter();
        let able = members.filter(|member| member.serves_reads() && !view.snapshot.paused);
        let standings = able.filter_map(|member| {
            let site = view.sites.get(&member.name)?;
            let standing = Standing::new(member.near, member.weight, site);
            Some((&member.name, standing))
        });
        let next = standings.min_by(|(_, a), (_, b)| a.compare(b))?;
        Some(Arc::clone(next.0))
    }

    /// The server of this name, if it is of the group.
    pub fn site(&self, name: &str) -> Option<Arc<Site>> {
        self.view.load().sites.get(name).map(Arc::clone)
    }

    /// Puts a new view in force and wakes who waits for one; true if the epoch is another: then
    /// sessions are to be told ([`super::handle::Signal::Moved`]). By one task at a time.
    pub fn publish(&self, view: View) -> bool {
        let epoch = view.snapshot.epoch;
        let primary = view.snapshot.primary.clone();
        self.view.store(Arc::new(view));
        // Another primary may have other functions. Behind the view: whoever sees this asks the new one. While there is
        // none, what is known holds, so that replicas go on serving reads.
        let mut last = self
            .last_primary
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if primary.is_some() && primary != *last {
            *last = primary;
            self.note_alteration();
        }
        drop(last);
        let is_new = self.epoch.swap(epoch, Ordering::AcqRel) != epoch;
        if is_new {
            self.changes.send_replace(epoch);
        }
        is_new
    }

    /// Waits until the epoch is another than `seen`. Cancel-safe.
    pub async fn changed(&self, seen: u64) {
        let mut changes = self.changes.subscribe();
        // The sender is ours: it cannot be gone.
        let _ = changes.wait_for(|epoch| *epoch != seen).await;
    }

    /// A session has met what speaks against this server: it is to be looked at now.
    pub fn suspect(&self, name: &TargetName) {
        let mut names = self.lock_suspects();
        if !names.contains(name) {
            names.push(Arc::clone(name));
        }
        drop(names);
        self.suspects.bell.notify_one();
    }

    /// Waits for servers that are to be looked at. Cancel-safe.
    pub async fn suspected(&self) -> Vec<TargetName> {
        loop {
            let names = std::mem::take(&mut *self.lock_suspects());
            if !names.is_empty() {
                return names;
            }
            self.suspects.bell.notified().await;
        }
    }

    fn lock_suspects(&self) -> MutexGuard<'_, Vec<TargetName>> {
        self.suspects
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Roster, Snapshot, View};

    #[test]
    fn another_primary_is_an_alteration() {
        let roster = Roster::new("main".into());
        let publish = |epoch, primary: Option<&str>| {
            let snapshot = Snapshot {
                epoch,
                primary: primary.map(Into::into),
                ..Snapshot::default()
            };
            let before = roster.alterations();
            roster.publish(View {
                snapshot: Arc::new(snapshot),
                ..View::default()
            });
            roster.alterations() != before
        };
        assert!(publish(1, Some("a:1")));
        assert!(!publish(2, Some("a:1")));
        assert!(!publish(3, None), "replicas go on serving reads");
        assert!(!publish(4, Some("a:1")));
        assert!(!publish(5, None));
        assert!(publish(6, Some("b:1")));
    }
}
