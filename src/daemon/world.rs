//! The configuration made real: pools, TLS settings, limits, and a desk for each listener.
//!
//! A reload builds a new [`World`] around the pools, limits and registries of the old one, so
//! sessions and server connections outlive it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::jwt::publisher::PublisherError;
use crate::config::Plan;
use crate::config::plan::{GroupPlan, ListenerPlan};
use crate::model::TargetName;
use crate::net::options::DialOptions;
use crate::net::{ServerTls, TlsSetupError};
use crate::pool::{Dialer, Pools};
use crate::protocol::Engine;
use crate::session::feed::Feeds;
use crate::session::metrics::SessionMetrics;
use crate::session::roster::{Roster, Site, View};
use crate::topology;
use crate::topology::options::Seed;

use super::accounts::Accounts;
use super::places::Places;
use super::tokens::{TokenMetrics, Tokens};

/// What one configuration amounts to, for the listeners of one engine.
pub(super) struct World<E: Engine> {
    pub(super) plan: Arc<Plan>,
    pub(super) pools: Pools<E>,
    pub(super) feeds: Arc<Feeds<E>>,
    pub(super) groups: HashMap<Arc<str>, Arc<Group<E>>>,
    tls: HashMap<Arc<str>, Arc<ServerTls>>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) tokens: Tokens,
    pub(super) places: Arc<Places>,
}

/// A target group and how its servers are reached.
pub(super) struct Group<E: Engine> {
    pub(super) plan: GroupPlan,
    /// Who is what, as sessions see it. Older than this configuration, if the group is.
    pub(super) roster: Arc<Roster>,
    /// The servers that the configuration names.
    pub(super) sites: HashMap<TargetName, Arc<Site>>,
    pub(super) announcement: Arc<Heard<E::Announcement>>,
}

/// The rosters of one engine, by group, over all configurations.
pub(super) type Rosters = Mutex<HashMap<Arc<str>, Arc<Roster>>>;

/// What a server said to anybody, the last time that it was asked.
#[derive(Debug)]
pub(super) struct Heard<A>(Mutex<Option<A>>);

impl<A: Clone> Heard<A> {
    fn nothing() -> Self {
        Self(Mutex::new(None))
    }

    /// Notes it.
    pub(super) fn hear(&self, said: A) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
    }

    /// What it was; `None` if the server has not been heard yet.
    pub(super) fn get(&self) -> Option<A> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Why a configuration that is right in itself cannot be put to work.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Certificates of a listener.
    #[error("listener \"{listener}\": {source}")]
    Listener {
        /// Its name.
        listener: Arc<str>,
        /// What is wrong.
        source: TlsSetupError,
    },
    /// Certificates for a target group.
    #[error("target_group \"{group}\": {source}")]
    Group {
        /// Its name.
        group: Arc<str>,
        /// What is wrong.
        source: TlsSetupError,
    },
    /// Certificates for the keys of an issuer.
    #[error("jwt_issuer \"{issuer}\": {source}")]
    Issuer {
        /// Its name.
        issuer: Arc<str>,
        /// What is wrong.
        source: PublisherError,
    },
}

impl<E: Engine> World<E> {
    /// Builds what `plan` says for this engine. Nothing that exists is changed before everything
    /// is known to work.
    pub(super) fn build(
        plan: Arc<Plan>,
        pools: &Pools<E>,
        feeds: &Arc<Feeds<E>>,
        metrics: &SessionMetrics,
        token_metrics: &TokenMetrics,
        places: &Arc<Places>,
        rosters: &Rosters,
    ) -> Result<Self, BuildError> {
        let tls = load_tls::<E>(&plan)?;
        let tokens = Tokens::new(&plan.tokens, token_metrics);
        let tokens = tokens.map_err(|(issuer, source)| BuildError::Issuer { issuer, source })?;
        let mut groups = HashMap::new();
        for group in plan.groups.iter().filter(|g| g.engine == E::FAMILY) {
            let name = &group.name;
            let mut known = rosters.lock().unwrap_or_else(PoisonError::into_inner);
            let roster = known
                .entry(Arc::clone(name))
                .or_insert_with(|| Arc::new(Roster::new(Arc::clone(name))));
            let group = Group {
                plan: group.clone(),
                roster: Arc::clone(roster),
                sites: sites(group, metrics)?,
                announcement: Arc::new(Heard::nothing()),
            };
            groups.insert(Arc::clone(&group.plan.name), Arc::new(group));
        }
        Ok(Self {
            plan,
            pools: pools.clone(),
            feeds: Arc::clone(feeds),
            groups,
            tls,
            accounts: Arc::default(),
            tokens,
            places: Arc::clone(places),
        })
    }

    /// The plan of a listener.
    pub(super) fn listener(&self, name: &str) -> Option<&ListenerPlan> {
        self.plan.listeners.iter().find(|l| *l.name == *name)
    }

    /// The certificate of a listener.
    pub(super) fn tls(&self, listener: &str) -> Option<Arc<ServerTls>> {
        self.tls.get(listener).map(Arc::clone)
    }

    /// Puts the groups in force: sessions meet their servers from now on. What was known of
    /// servers that stay is kept.
    pub(super) fn publish(&self) {
        for group in self.groups.values() {
            for site in group.sites.values() {
                let opener = Arc::clone(&site.dialer);
                let GroupPlan { name, limits, .. } = &group.plan;
                self.pools
                    .set_target(name, &site.name, limits.clone(), opener);
            }
            let epoch = group.roster.epoch() + 1;
            group.roster.publish(View {
                snapshot: Arc::new(topology::configured(&group.plan.topology, epoch)),
                sites: group.sites.clone(),
            });
        }
    }

    /// Ends the server connections that were made under settings that have changed.
    pub(super) fn retire_changed(&self, old: &Self) {
        for (name, group) in &self.groups {
            let Some(before) = old.groups.get(name) else {
                continue;
            };
            let changed = before.plan.dial != group.plan.dial;
            for target in before.sites.keys() {
                if changed || !group.sites.contains_key(target) {
                    self.pools.retire(name, target);
                }
            }
        }
    }
}

/// The ways to the servers that the configuration names.
fn sites(
    group: &GroupPlan,
    metrics: &SessionMetrics,
) -> Result<HashMap<TargetName, Arc<Site>>, BuildError> {
    let mut sites = HashMap::new();
    for seed in &group.topology.seeds {
        let dialer = dialer(group, seed).map_err(|source| BuildError::Group {
            group: Arc::clone(&group.name),
            source,
        })?;
        let name = Arc::clone(&seed.name);
        let metrics = metrics.target(&group.name, &name);
        let site = Site::new(Arc::clone(&name), Arc::new(dialer), metrics);
        sites.insert(name, Arc::new(site));
    }
    Ok(sites)
}

/// What reaches a server of a group. Reads the certificates that the group names.
///
/// # Errors
/// If they cannot be used, or the host cannot be verified by name.
pub fn dialer(group: &GroupPlan, seed: &Seed) -> Result<Dialer, TlsSetupError> {
    Dialer::new(DialOptions {
        host: (&*seed.host).into(),
        port: seed.port,
        ..group.dial.clone()
    })
}

fn load_tls<E: Engine>(plan: &Plan) -> Result<HashMap<Arc<str>, Arc<ServerTls>>, BuildError> {
    let alpn: Vec<&[u8]> = E::DIRECT_TLS_ALPN.into_iter().collect();
    let mut loaded = HashMap::new();
    for listener in plan.listeners.iter().filter(|l| l.engine == E::FAMILY) {
        let Some(options) = &listener.tls else {
            continue;
        };
        let tls = ServerTls::load(options, &alpn).map_err(|source| BuildError::Listener {
            listener: Arc::clone(&listener.name),
            source,
        })?;
        loaded.insert(Arc::clone(&listener.name), Arc::new(tls));
    }
    Ok(loaded)
}
