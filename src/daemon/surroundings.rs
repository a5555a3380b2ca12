//! What a snapshot of a group means to pools and sessions, and how its servers are reached.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::HashMap;

use crate::auth::UserStore;
use crate::auth::options::ServerAuth;
use crate::auth::source::CredentialSource;
use crate::config::plan::GroupPlan;
use crate::model::{Credential, Listed, PoolKey, Position, Roll, Snapshot, TargetName};
use crate::pool::{ChoreError, Dialer, Pools, ServerLogin, Visit};
use crate::protocol::{Back, Chore, Engine, Table};
use crate::session::handle::Signal;
use crate::session::metrics::SessionMetrics;
use crate::session::registry::Registry;
use crate::session::roster::{Roster, Site, View};
use crate::topology::discover::listed::{Lister, Listing};
use crate::topology::options::{Seed, Source};
use crate::topology::switchover::{Ordered, Orders};
use crate::topology::{Look, Outside};

use super::look::Looker;
use super::vault::Vault;
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
    vault: Arc<Vault>,
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
        vault: Arc<Vault>,
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
            vault,
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
        let configured = settings.users.user(&monitor.user);
        let user = configured.or_else(|| self.vault.brought(&monitor.user))?;
        let key = PoolKey {
            group: Arc::clone(&self.group),
            target: Arc::clone(target),
            user: Arc::clone(&user.server_user),
            database: Arc::clone(&monitor.database),
            variant: 0,
        };
        let plan = &settings.plan;
        let source: Arc<dyn CredentialSource> = match user.server_auth.unwrap_or(plan.server_auth) {
            ServerAuth::Iam => self.vault.tokens(plan.iam_region.as_ref()),
            ServerAuth::Stored => match &user.server_place {
                Some(place) => self.vault.kept(place),
                None => {
                    let credential = user.server_credential.clone();
                    let credential = credential.unwrap_or(Credential::None);
                    return Some((key, ServerLogin::Fixed(credential)));
                }
            },
        };
        Some((key, ServerLogin::From(source)))
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
        self.pools.expel(&self.group, name);
        self.sessions.raise_all(Signal::Moved);
    }

    fn retire(&self, name: &TargetName) {
        self.pools.expel(&self.group, name);
        self.sessions.raise_all(Signal::Moved);
    }

    fn publish(&self, snapshot: Arc<Snapshot>) {
        let sites = self.lock().clone();
        if self.roster.publish(View { snapshot, sites }) {
            self.sessions.raise_all(Signal::Moved);
        }
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

impl<E: Engine> Surroundings<E> {
    /// Logs in at a server as the user who looks at it, to give it orders.
    async fn visit(&self, target: &TargetName) -> Result<Visit<E>, String> {
        let Some((key, login)) = self.monitor(target) else {
            return Err("monitor_user is not configured: nobody can give orders".into());
        };
        let site = self.lock().get(target).cloned();
        let site = site.ok_or_else(|| format!("{target} is not a target of the group"))?;
        let visit = site.dialer.visit(&key, &login).await;
        visit.map_err(|error| format!("{target}: {error}"))
    }

    async fn order(
        &self,
        target: &TargetName,
        orders: fn(&E::Back) -> &'static [&'static str],
    ) -> Result<(), String> {
        let mut visit = self.visit(target).await?;
        for order in orders(visit.back()) {
            let done = visit.run(Chore::Query(order), LONGEST_ORDER).await;
            done.map_err(|error| format!("{target}: {order}: {error}"))?;
        }
        Ok(())
    }

    async fn ask_position(&self, target: &TargetName) -> Option<Position> {
        let mut visit = self.visit(target).await.ok()?;
        let mut answers = Vec::new();
        for question in E::survey(visit.back()) {
            let asked = visit.run(Chore::Table(question), LONGEST_ORDER).await;
            answers.push(match asked {
                Ok(()) => visit.back().chore_table().clone(),
                Err(ChoreError::Refused(_)) => Table::default(),
                Err(_) => return None,
            });
        }
        E::observe(&answers)?.position
    }
}

impl<E: Engine> Orders for Surroundings<E> {
    fn fence<'a>(&'a self, target: &'a TargetName, on: bool) -> Ordered<'a> {
        if on {
            Box::pin(self.order(target, |back| E::fence(back, true)))
        } else {
            Box::pin(self.order(target, |back| E::fence(back, false)))
        }
    }

    fn promote<'a>(&'a self, target: &'a TargetName) -> Ordered<'a> {
        Box::pin(self.order(target, E::promotion))
    }

    fn position<'a>(
        &'a self,
        target: &'a TargetName,
    ) -> Pin<Box<dyn Future<Output = Option<Position>> + Send + 'a>> {
        Box::pin(self.ask_position(target))
    }
}

impl<E: Engine> Lister for Surroundings<E> {
    fn list(&self) -> Listing<'_> {
        Box::pin(self.ask_for_members())
    }
}

impl<E: Engine> Surroundings<E> {
    /// Asks the servers, one after another, until one answers.
    async fn ask_for_members(&self) -> Result<Vec<Listed>, String> {
        let settings = self.settings();
        let roll = match &settings.plan.topology.source {
            Source::Roll { roll, .. } => *roll,
            Source::Rds { identifier, .. } => {
                let listed = self.vault.aws().servers(identifier).await;
                return listed.map_err(|error| error.to_string());
            }
            Source::Configured | Source::Dns { .. } => {
                return Err("no list is configured".into());
            }
        };
        let snapshot = self.roster.snapshot();
        let known = snapshot.members.iter().map(|member| &member.name);
        let mut names: Vec<TargetName> = snapshot.primary.iter().chain(known).cloned().collect();
        let mut last = "no server is known".to_owned();
        let seeds = &settings.plan.topology.seeds;
        for seed in seeds
            .iter()
            .filter(|seed| !names.contains(&seed.name))
            .collect::<Vec<_>>()
        {
            // It may be no member, but a name that leads to one.
            let joined = dialer(&settings.plan, seed);
            match joined {
                Ok(dialer) => match self.ask_at(&dialer, &seed.name, roll).await {
                    Ok(members) => return Ok(members),
                    Err(error) => last = error,
                },
                Err(error) => last = error.to_string(),
            }
        }
        names.dedup();
        for name in names {
            let Some(site) = self.lock().get(&name).cloned() else {
                continue;
            };
            match self.ask_at(&site.dialer, &name, roll).await {
                Ok(members) => return Ok(members),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_at(
        &self,
        dialer: &Dialer,
        name: &TargetName,
        roll: Roll,
    ) -> Result<Vec<Listed>, String> {
        let Some((key, login)) = self.monitor(name) else {
            return Err("monitor_user is not configured".into());
        };
        let asked = async {
            let mut visit = dialer.visit::<E>(&key, &login).await;
            let visit = visit.as_mut().map_err(|error| error.to_string())?;
            let asked = visit.run(Chore::Table(E::roll(roll)), LONGEST_LIST).await;
            asked.map_err(|error| error.to_string())?;
            Ok(E::members(visit.back().chore_table()))
        };
        let members = asked
            .await
            .map_err(|error: String| format!("{name}: {error}"))?;
        if members.is_empty() {
            return Err(format!("{name} lists no server"));
        }
        Ok(members)
    }
}

const LONGEST_LIST: Duration = Duration::from_secs(5);
/// A promotion takes its time.
const LONGEST_ORDER: Duration = Duration::from_secs(60);
