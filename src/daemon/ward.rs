//! The target groups of one engine under watch, over all configurations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::auth::UserStore;
use crate::config::plan::GroupPlan;
use crate::model::TargetState;
use crate::pool::Pools;
use crate::protocol::Engine;
use crate::session::metrics::SessionMetrics;
use crate::session::registry::Registry;
use crate::session::roster::Roster;
use crate::topology::discover::Discovery;
use crate::topology::discover::listed::Lister;
use crate::topology::switchover::Orders;
use crate::topology::{Keeper, Outside, TopologyMetrics, discover};

use super::surroundings::{Settings, Surroundings};
use super::vault::Vault;
use super::world::Heard;

/// One group.
pub(super) struct Ward<E: Engine> {
    surroundings: Arc<Surroundings<E>>,
    keeper: OnceLock<Keeper>,
    /// Its own plan.
    plan: Mutex<GroupPlan>,
    /// The group whose servers it has, where that is another.
    taken_over_by: Mutex<Option<Arc<str>>>,
}

/// All groups of one engine.
pub(super) struct Wards<E: Engine> {
    known: Mutex<HashMap<Arc<str>, Arc<Ward<E>>>>,
    pools: Pools<E>,
    sessions: SessionMetrics,
    registry: Arc<Registry>,
    metrics: TopologyMetrics,
    vault: Arc<Vault>,
}

impl<E: Engine> Ward<E> {
    /// Who is what, as sessions see it.
    pub(super) fn roster(&self) -> &Arc<Roster> {
        &self.surroundings.roster
    }

    /// What its servers say to anybody.
    pub(super) fn announcement(&self) -> &Heard<E::Announcement> {
        &self.surroundings.heard
    }

    /// Who gives its servers orders.
    pub(super) fn orders(&self) -> Arc<dyn Orders> {
        Arc::<Surroundings<E>>::clone(&self.surroundings)
    }

    fn discovery(&self, plan: &GroupPlan) -> Option<Box<dyn Discovery>> {
        discover::discovery(&plan.topology, self.lister())
    }

    fn lister(&self) -> Arc<dyn Lister> {
        Arc::<Surroundings<E>>::clone(&self.surroundings)
    }

    /// The group whose servers it has, where that is another.
    pub(super) fn taken_over_by(&self) -> Option<Arc<str>> {
        lock(&self.taken_over_by).clone()
    }

    /// Who watches over it, once its configuration is in force.
    pub(super) fn keeper(&self) -> Option<&Keeper> {
        self.keeper.get()
    }
}

impl<E: Engine> Wards<E> {
    /// No group yet.
    pub(super) fn new(
        pools: Pools<E>,
        sessions: SessionMetrics,
        registry: Arc<Registry>,
        metrics: TopologyMetrics,
        vault: Arc<Vault>,
    ) -> Self {
        Self {
            known: Mutex::default(),
            pools,
            sessions,
            registry,
            metrics,
            vault,
        }
    }

    /// The group of this plan, made if it is new; nothing is done to it yet.
    pub(super) fn ward(&self, plan: &GroupPlan, users: &UserStore) -> Arc<Ward<E>> {
        let mut known = self.lock();
        let ward = known.entry(Arc::clone(&plan.name)).or_insert_with(|| {
            let settings = Settings {
                plan: plan.clone(),
                users: users.clone(),
            };
            let surroundings = Surroundings::new(
                settings,
                self.pools.clone(),
                self.sessions.clone(),
                Arc::clone(&self.registry),
                Arc::clone(&self.vault),
            );
            Arc::new(Ward {
                surroundings: Arc::new(surroundings),
                keeper: OnceLock::new(),
                plan: Mutex::new(plan.clone()),
                taken_over_by: Mutex::new(None),
            })
        });
        Arc::clone(ward)
    }

    /// Puts these plans in force; groups without one are watched no longer. To be called inside
    /// the runtime.
    pub(super) fn put_in_force<'a>(
        &self,
        plans: impl Iterator<Item = &'a GroupPlan>,
        users: &UserStore,
    ) {
        let mut names = Vec::new();
        for plan in plans {
            names.push(Arc::clone(&plan.name));
            self.apply(plan, users);
        }
        self.lock().retain(|name, _| names.contains(name));
    }

    fn apply(&self, plan: &GroupPlan, users: &UserStore) {
        let ward = self.ward(plan, users);
        *lock(&ward.plan) = plan.clone();
        let source = lock(&ward.taken_over_by).clone();
        let plan = &source.map_or_else(|| plan.clone(), |source| self.servers_of(&source, plan));
        let discovery = ward.discovery(plan);
        let settings = Settings {
            plan: plan.clone(),
            users: users.clone(),
        };
        ward.surroundings.configure(settings);
        let Some(keeper) = ward.keeper.get() else {
            let outside: Arc<dyn Outside> = Arc::<Surroundings<E>>::clone(&ward.surroundings);
            let keeper = Keeper::start(
                Arc::clone(&plan.name),
                plan.topology.clone(),
                discovery,
                E::compare,
                outside,
                self.metrics.group(&plan.name),
            );
            // Only this thread sets it.
            let _ = ward.keeper.set(keeper);
            return;
        };
        let (keeper, topology) = (keeper.clone(), plan.topology.clone());
        tokio::spawn(async move { keeper.configure(topology, discovery, false).await });
    }

    /// A plan with the servers of another group, if there is such a group.
    fn servers_of(&self, group: &Arc<str>, plan: &GroupPlan) -> GroupPlan {
        let other = self.lock().get(group).cloned();
        let Some(other) = other else {
            return plan.clone();
        };
        let other = lock(&other.plan);
        GroupPlan {
            dial: other.dial.clone(),
            topology: other.topology.clone(),
            limits: other.limits.clone(),
            ..plan.clone()
        }
    }

    /// Gives a group the servers of another, or its own again.
    pub(super) async fn move_to(&self, ward: &Ward<E>, group: &Arc<str>, keeper: &Keeper) {
        let own = lock(&ward.plan).clone();
        let other = (own.name != *group).then(|| Arc::clone(group));
        let plan = self.servers_of(group, &own);
        lock(&ward.taken_over_by).clone_from(&other);
        let (topology, discovery) = (plan.topology.clone(), ward.discovery(&plan));
        let users = ward.surroundings.settings().users.clone();
        ward.surroundings.configure(Settings { plan, users });
        keeper.configure(topology, discovery, true).await;
    }

    /// True if any server may be used.
    pub(super) fn any_available(&self) -> bool {
        self.all().iter().any(|(_, ward)| {
            let snapshot = ward.roster().snapshot();
            let mut members = snapshot.members.iter();
            members.any(|member| member.state == TargetState::Available)
        })
    }

    /// Every group, by name.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Arc<Ward<E>>)> {
        let known = self.lock();
        let mut all: Vec<_> = known
            .iter()
            .map(|(name, ward)| (Arc::clone(name), Arc::clone(ward)))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Ward<E>>>> {
        lock(&self.known)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
