//! Where one client's requests may go: the pools of its user and database on each server of the
//! group, and which of them is the primary's now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use foldhash::HashMap;

use super::roster::{Roster, Site, Standing};
use crate::model::{PoolKey, Role, TargetName};
use crate::pool::{Pool, PoolOptions, Pools, ServerLogin};
use crate::protocol::Engine;

/// One server, for one user and database.
pub struct Way<E: Engine> {
    /// The server.
    pub site: Arc<Site>,
    /// The pool there.
    pub pool: Arc<Pool<E>>,
    /// The role under whose limits the pool stands.
    role: Role,
}

impl<E: Engine> Way<E> {
    /// True if the server was a replica when this was made, and so refuses to write.
    pub const fn leads_to_replica(&self) -> bool {
        matches!(self.role, Role::Replica)
    }
}

/// What all clients share that agree in all of a [`PoolKey`] but the server.
pub struct Access<E: Engine> {
    pools: Pools<E>,
    roster: Arc<Roster>,
    /// `target` is of no account.
    key: PoolKey,
    login: ArcSwap<ServerLogin>,
    terms: Terms,
    /// Those in use, of present members.
    ways: Mutex<HashMap<TargetName, Arc<Way<E>>>>,
}

/// Limits of the pools, by the server's role, and what is done without a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// On the primary.
    pub primary: PoolOptions,
    /// On each replica.
    pub replica: PoolOptions,
    /// A server that cannot be reached may be replaced by another soon: who needs it waits for
    /// that, as long as for a connection. Otherwise it is told at once.
    pub patient: bool,
    /// Reads go to the primary where no replica is well.
    pub reads_fall_back: bool,
}

impl<E: Engine> Access<E> {
    /// To the servers that the roster shows; `key`'s target is of no account.
    pub fn new(
        pools: Pools<E>,
        roster: Arc<Roster>,
        key: PoolKey,
        login: ServerLogin,
        terms: Terms,
    ) -> Self {
        Self {
            pools,
            roster,
            key,
            login: ArcSwap::from_pointee(login),
            terms,
            ways: Mutex::default(),
        }
    }

    /// What the pools are shared by; its target is of no account.
    pub const fn key(&self) -> &PoolKey {
        &self.key
    }

    /// The group's servers.
    pub const fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// A client has logged in with this: connections opened from now on do too.
    pub fn renew(&self, login: ServerLogin) {
        let ways = self.lock();
        let changed = |way: &&Arc<Way<E>>| !way.pool.is_configured(&login, self.terms.of(way.role));
        let changed: Vec<_> = ways.values().filter(changed).cloned().collect();
        drop(ways);
        for way in changed {
            let options = self.terms.of(way.role).clone();
            // The pool exists, so it takes this; it is of no member any more if it does not.
            let _ = self.pools.pool(way.pool.key(), login.clone(), options);
        }
        if **self.login.load() != login {
            self.login.store(Arc::new(login));
        }
    }

    /// Limits, and what is done without a server.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The way to the primary of this moment; `None` while there is none, or traffic is held.
    pub fn primary(&self) -> Option<Arc<Way<E>>> {
        let snapshot = self.roster.snapshot();
        if snapshot.paused {
            return None;
        }
        self.member(snapshot.primary.as_ref()?)
    }

    /// The way to this server; `None` if it is not of the group (any more).
    pub fn member(&self, name: &TargetName) -> Option<Arc<Way<E>>> {
        let view = self.roster.view();
        let site = view.sites.get(name)?;
        let role = if view.snapshot.primary.as_ref() == Some(name) {
            Role::Primary
        } else {
            Role::Replica
        };
        let mut ways = self.lock();
        if let Some(way) = ways.get(name)
            && Arc::ptr_eq(&way.site, site)
            && way.role == role
        {
            return Some(Arc::clone(way));
        }
        ways.retain(|name, _| view.sites.contains_key(name));
        let key = PoolKey {
            target: Arc::clone(name),
            ..self.key.clone()
        };
        let login = ServerLogin::clone(&self.login.load());
        let pool = match self.pools.pool(&key, login, self.terms.of(role).clone()) {
            Ok(pool) => pool,
            Err(error) => {
                tracing::error!(%error, "no pool");
                return None;
            }
        };
        let way = Arc::new(Way {
            site: Arc::clone(site),
            pool,
            role,
        });
        ways.insert(Arc::clone(name), Arc::clone(&way));
        Some(way)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TargetName, Arc<Way<E>>>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Terms {
    fn of(&self, role: Role) -> &PoolOptions {
        match role {
            Role::Primary => &self.primary,
            Role::Replica => &self.replica,
        }
    }
}

/// One session's view of where it is served. As long as the group's epoch does not change, the
/// primary costs one atomic load.
// In this order: what each request touches comes first.
#[repr(C)]
pub struct Destinations<E: Engine> {
    access: Arc<Access<E>>,
    epoch: u64,
    primary: Option<Arc<Way<E>>>,
    /// Looked up for the first read, and anew in each epoch.
    replicas: Option<Box<[Candidate<E>]>>,
    /// Random enough: among equals each has its turn.
    turn: u64,
    /// The turn before.
    last_turn: u64,
    /// Of a session that stays there: the server that it has read from last.
    home: Option<TargetName>,
}

/// A replica that reads may be sent to.
struct Candidate<E: Engine> {
    way: Arc<Way<E>>,
    near: bool,
    weight: u32,
}

impl<E: Engine> Candidate<E> {
    fn standing(&self) -> Standing {
        Standing::new(self.near, self.weight, &self.way.site)
    }
}

impl<E: Engine> Destinations<E> {
    /// By this access. `turn` is any number, different from session to session.
    pub fn new(access: Arc<Access<E>>, turn: u64) -> Self {
        let epoch = access.roster.epoch();
        let primary = access.primary();
        Self {
            access,
            epoch,
            primary,
            replicas: None,
            turn,
            last_turn: turn,
            home: None,
        }
    }

    /// The access that it goes by.
    pub const fn access(&self) -> &Arc<Access<E>> {
        &self.access
    }

    /// The epoch in which its servers were last looked up.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// True if nothing has changed since its servers were looked up.
    pub fn is_current(&self) -> bool {
        self.access.roster.epoch() == self.epoch
    }

    /// The way to the primary; `None` while there is none, or traffic is held.
    pub fn primary(&mut self) -> Option<&Arc<Way<E>>> {
        self.refresh();
        self.primary.as_ref()
    }

    /// The way to the replica whose turn it is: the one that the session stays with, else one in our
    /// zone if there is any, and of those the one with the fewest outstanding sessions for its weight.
    /// `None` while none is well, or traffic is held.
    pub fn replica(&mut self) -> Option<Arc<Way<E>>> {
        self.refresh();
        let access = &self.access;
        let replicas = self.replicas.get_or_insert_with(|| candidates(access));
        if let Some(home) = &self.home
            && let Some(found) = replicas.iter().find(|one| one.way.site.name == *home)
        {
            return Some(Arc::clone(&found.way));
        }
        self.last_turn = self.turn;
        self.turn = next_turn(self.turn);
        let turn = usize::try_from(self.turn >> 33).unwrap_or_default();
        let first = turn.checked_rem(replicas.len())?;
        let (before, after) = replicas.split_at_checked(first)?;
        let in_turn = after.iter().chain(before);
        let chosen = in_turn.min_by(|a, b| a.standing().compare(&b.standing()))?;
        Some(Arc::clone(&chosen.way))
    }

    /// The replica last chosen was not used: it has its turn again.
    pub const fn unchoose(&mut self) {
        self.turn = self.last_turn;
    }

    /// The server that the session stays with, if it stays with one.
    pub const fn home(&self) -> Option<&TargetName> {
        self.home.as_ref()
    }

    /// The session has read from this server, and stays with it.
    pub fn settle(&mut self, name: &TargetName) {
        if self.home.as_ref() != Some(name) {
            self.home = Some(Arc::clone(name));
        }
    }

    /// True if the session stays with a server that reads may be sent to, or with none yet.
    pub fn is_at_home(&mut self) -> bool {
        match self.home.clone() {
            Some(home) => self.serves(&home),
            None => true,
        }
    }

    /// True if reads may be sent to this server.
    pub fn serves(&mut self, name: &TargetName) -> bool {
        self.candidate(name).is_some()
    }

    /// The way to this server, if reads may be sent to it.
    pub fn reader(&mut self, name: &TargetName) -> Option<Arc<Way<E>>> {
        self.candidate(name).map(|one| Arc::clone(&one.way))
    }

    fn candidate(&mut self, name: &TargetName) -> Option<&Candidate<E>> {
        self.refresh();
        let access = &self.access;
        let replicas = self.replicas.get_or_insert_with(|| candidates(access));
        replicas.iter().find(|one| one.way.site.name == *name)
    }

    fn refresh(&mut self) {
        let epoch = self.access.roster.epoch();
        if epoch != self.epoch {
            // Read before the view: a change in between is seen next time.
            self.epoch = epoch;
            self.primary = self.access.primary();
            self.replicas = None;
        }
    }
}

/// A linear congruential generator (Knuth, "The Art of Computer Programming", volume 2, MMIX's
/// numbers): sessions that count up together would all be at the same replica together.
const fn next_turn(turn: u64) -> u64 {
    turn.wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

fn candidates<E: Engine>(access: &Access<E>) -> Box<[Candidate<E>]> {
    let snapshot = access.roster.snapshot();
    let members = snapshot.members.iter();
    members
        .filter(|member| member.serves_reads() && !snapshot.paused)
        .filter_map(|member| {
            Some(Candidate {
                way: access.member(&member.name)?,
                near: member.near,
                weight: member.weight,
            })
        })
        .collect()
}
