//! What a snapshot of a group means to pools and sessions, and how its servers are reached.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::auth::UserStore;
use crate::config::plan::GroupPlan;
use crate::model::{Credential, PoolKey, Snapshot, TargetName};
use crate::pool::{Pools, ServerLogin};
use crate::protocol::Engine;
use crate::session::metrics::SessionMetrics;
use crate::session::registry::Registry;
use crate::session::roster::{Roster, Site, View};
use crate::topology::options::Seed;
use crate::topology::{Look, Outside};

use super::look::Looker;
use super::world::{Heard, dialer};

/// The group as the rest of the program knows it. Outlives configurations.
pub(super) struct Surroundings<E: Engine> {
    group: Arc<str>,
    settings: ArcSwap<Settings>,
    pools: Pools<E>,
    pub(super) roster: Arc<Roster>,
    pub(super) heard: Arc<Heard<E::Announcement>>,
    metrics: SessionMetrics,
    sessions: Arc<Registry>,
    sites: Mutex<HashMap<TargetName, Arc<Site>>>,
}

/// What configuration says of it.
pub(super) struct Settings {
    /// The group whose servers these are: another than the group's own while that has taken over.
    pub(super) plan: GroupPlan,
    pub(super) users: UserStore,
}

impl<E: Engine> Surroundings<E> {
    pub(super) fn new(
        settings: Settings,
        pools: Pools<E>,
        metrics: SessionMetrics,
        sessions: Arc<Registry>,
    ) -> Self {
        let group = Arc::clone(&settings.plan.name);
        Self {
            roster: Arc::new(Roster::new(Arc::clone(&group))),
            group,
            settings: ArcSwap::from_pointee(settings),
            pools,
            heard: Arc::new(Heard::nothing()),
            metrics,
            sessions,
            sites: Mutex::default(),
        }
    }

    /// Goes by other settings for servers that join from now on.
    pub(super) fn configure(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// As whom servers are looked at.
    pub(super) fn monitor(&self, target: &TargetName) -> Option<(PoolKey, ServerLogin)> {
        let settings = self.settings();
        let monitor = settings.plan.topology.health.monitor.as_ref()?;
        let user = settings.users.user(&monitor.user)?;
        let key = PoolKey {
            group: Arc::clone(&self.group),
            target: Arc::clone(target),
            user: Arc::clone(&user.server_user),
            database: Arc::clone(&monitor.database),
            variant: 0,
        };
        let credential = user.server_credential.clone();
        let credential = credential.unwrap_or(Credential::None);
        Some((key, ServerLogin { credential }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TargetName, Arc<Site>>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Engine> Outside for Surroundings<E> {
    fn join(&self, seed: &Seed) -> Result<Box<dyn Look>, String> {
        let settings = self.settings();
        let dialer = dialer(&settings.plan, seed).map_err(|error| error.to_string())?;
        let dialer = Arc::new(dialer);
        let limits = settings.plan.limits.clone();
        let opener = Arc::clone(&dialer);
        self.pools
            .set_target(&self.group, &seed.name, limits, opener);
        let metrics = self.metrics.target(&self.group, &seed.name);
        let site = Site::new(Arc::clone(&seed.name), Arc::clone(&dialer), metrics);
        let mut sites = self.lock();
        // Who is there already keeps its sessions' count, unless it is reached otherwise now.
        let known = sites.get(&seed.name);
        if known.is_none_or(|known| *known.dialer != *dialer) {
            sites.insert(Arc::clone(&seed.name), Arc::new(site));
        }
        drop(sites);
        Ok(Box::new(Looker::<E> {
            dialer,
            heard: Arc::clone(&self.heard),
            monitor: self.monitor(&seed.name),
            limit: settings.plan.topology.health.timeout,
            visit: None,
        }))
    }

    fn leave(&self, name: &TargetName) {
        self.lock().remove(name);
        self.pools.retire(&self.group, name);
    }

    fn retire(&self, name: &TargetName) {
        self.pools.retire(&self.group, name);
    }

    fn publish(&self, snapshot: Arc<Snapshot>) {
        let sites = self.lock().clone();
        self.roster.publish(View { snapshot, sites });
    }

    fn suspected<'a>(&'a self) -> Pin<Box<dyn Future<Output = Vec<TargetName>> + Send + 'a>> {
        Box::pin(self.roster.suspected())
    }

    fn at_work(&self) -> u32 {
        let mut at_work: u32 = 0;
        for pool in self.pools.snapshot() {
            if pool.key.group == self.group {
                at_work = at_work.saturating_add(pool.borrowed);
            }
        }
        let mut resting: u32 = 0;
        self.sessions.each(|handle| {
            let rests = handle.rests_on_a_connection();
            let ours = rests
                && handle
                    .identity()
                    .is_some_and(|i| i.pool.group == self.group);
            resting += u32::from(ours);
        });
        at_work.saturating_sub(resting)
    }
}
