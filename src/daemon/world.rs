//! The configuration made real: pools, TLS settings, limits, and a desk for each listener.
//!
//! A reload builds a new [`World`] around the pools, limits and registries of the old one, so
//! sessions and server connections outlive it.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;

use crate::auth::jwt::publisher::PublisherError;
use crate::config::Plan;
use crate::config::plan::{GroupPlan, ListenerPlan};
use crate::net::options::DialOptions;
use crate::net::{ServerTls, TlsSetupError};
use crate::pool::{Dialer, Pools};
use crate::protocol::Engine;
use crate::session::feed::Feeds;
use crate::session::shelf::Shelves;
use crate::topology::options::Seed;

use super::accounts::Accounts;
use super::places::Places;
use super::process::Process;
use super::tokens::Tokens;
use super::vault::Vault;
use super::ward::{Ward, Wards};

/// What one configuration amounts to, for the listeners of one engine.
pub(super) struct World<E: Engine> {
    pub(super) plan: Arc<Plan>,
    pub(super) pools: Pools<E>,
    pub(super) feeds: Arc<Feeds<E>>,
    pub(super) shelves: Arc<Shelves<E>>,
    pub(super) groups: HashMap<Arc<str>, Arc<Group<E>>>,
    tls: HashMap<Arc<str>, Arc<ServerTls>>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) tokens: Tokens,
    pub(super) places: Arc<Places>,
    pub(super) vault: Arc<Vault>,
}

/// A target group and how its servers are reached.
pub(super) struct Group<E: Engine> {
    pub(super) plan: GroupPlan,
    /// Its servers. Older than this configuration, if the group is.
    pub(super) ward: Arc<Ward<E>>,
}

/// What a server said to anybody, the last time that it was asked.
#[derive(Debug)]
pub(super) struct Heard<A>(Mutex<Option<A>>);

impl<A: Clone> Heard<A> {
    pub(super) fn nothing() -> Self {
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
        shelves: &Arc<Shelves<E>>,
        process: &Process,
        wards: &Wards<E>,
        before: Option<&Self>,
    ) -> Result<Self, BuildError> {
        let tls = load_tls::<E>(&plan)?;
        let before = before.map(|before| &before.tokens);
        let tokens = Tokens::new(&plan.tokens, &process.token_metrics, before);
        let tokens = tokens.map_err(|(issuer, source)| BuildError::Issuer { issuer, source })?;
        let mut groups = HashMap::default();
        for group in plan.groups.iter().filter(|g| g.engine == E::FAMILY) {
            for seed in &group.topology.seeds {
                dialer(group, seed).map_err(|source| BuildError::Group {
                    group: Arc::clone(&group.name),
                    source,
                })?;
            }
            let group = Group {
                plan: group.clone(),
                ward: wards.ward(group, &plan.users),
            };
            groups.insert(Arc::clone(&group.plan.name), Arc::new(group));
        }
        Ok(Self {
            plan,
            pools: pools.clone(),
            feeds: Arc::clone(feeds),
            shelves: Arc::clone(shelves),
            groups,
            tls,
            accounts: Arc::default(),
            tokens,
            places: Arc::clone(&process.places),
            vault: Arc::clone(&process.vault),
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

    /// Has the groups watched over by this configuration from now on.
    pub(super) fn put_in_force(&self, wards: &Wards<E>) {
        let plans = self.groups.values().map(|group| &group.plan);
        wards.put_in_force(plans, &self.plan.users);
    }

    /// Ends the server connections that were made under settings that have changed.
    pub(super) fn retire_changed(&self, old: &Self) {
        for (name, group) in &self.groups {
            let Some(before) = old.groups.get(name) else {
                continue;
            };
            if before.plan.dial != group.plan.dial {
                for member in &group.ward.roster().snapshot().members {
                    self.pools.retire(name, &member.name);
                }
            }
        }
    }
}

/// What reaches a server of a group. Reads the certificates that the group names.
///
/// # Errors
/// If they cannot be used, or the host cannot be verified by name.
pub fn dialer(group: &GroupPlan, seed: &Seed) -> Result<Dialer, TlsSetupError> {
    let (host, port) = match group.addresses.get(&seed.name) {
        Some((host, port)) => (Arc::clone(host), *port),
        None => (Arc::clone(&seed.host), seed.port),
    };
    let elsewhere = (host != seed.host).then(|| Arc::clone(&seed.host));
    let mut options = DialOptions {
        host,
        port,
        iam_endpoint: seed.iam_endpoint.clone(),
        ..group.dial.clone()
    };
    if options.tls.server_name.is_none() {
        options.tls.server_name = seed.verified_as.clone().or(elsewhere);
    }
    Dialer::new(options)
}

fn load_tls<E: Engine>(plan: &Plan) -> Result<HashMap<Arc<str>, Arc<ServerTls>>, BuildError> {
    let alpn: Vec<&[u8]> = E::DIRECT_TLS_ALPN.into_iter().collect();
    let mut loaded = HashMap::default();
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
