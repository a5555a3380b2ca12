//! What a listener answers its clients' sessions: see [`crate::session::desk`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use foldhash::HashMap;

use crate::auth::options::UserOptions;
use crate::config::plan::{DatabasePlan, ListenerPlan};
use crate::model::{
    AuthMethod, Fault, FaultKind, PinPolicy, PoolKey, PoolMode, Proof, Secret, TargetRole,
    TlsFacts, Verifier,
};
use crate::net::ServerTls;
use crate::pool::options::PoolOptions;
use crate::protocol::{Engine, FrontSettings, TlsOffer};
use crate::session::desk::{Answer, Candidate, Desk, Route, Visitor};
use crate::session::destination::{Access, Destinations, Terms};
use crate::session::options::SessionOptions;

use super::places::Claim;
use super::sealing;
use super::world::{Group, World};

/// The desk of one listener under one configuration.
pub(super) struct ListenerDesk<E: Engine> {
    pub(super) world: Arc<World<E>>,
    pub(super) plan: ListenerPlan,
    tls: Option<Arc<ServerTls>>,
    /// Before a group is known.
    options: Arc<SessionOptions>,
    /// Shared by all sessions that agree in these.
    shared: Mutex<HashMap<OptionsKey, Arc<SessionOptions>>>,
    accesses: Mutex<HashMap<PoolKey, Weak<Access<E>>>>,
    /// The group of databases that have no other.
    group: Option<Arc<Group<E>>>,
    /// Clients that have come, so that they do not all begin with the same replica.
    turn: AtomicU64,
}

/// Target group, and what is a user's or database's own.
type OptionsKey = (Arc<str>, Own);

/// What a user or database may have of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Own {
    mode: PoolMode,
    pins: PinPolicy,
    role: TargetRole,
}

impl<E: Engine> ListenerDesk<E> {
    /// The desk of a listener that the world knows.
    pub(super) fn new(world: &Arc<World<E>>, plan: &ListenerPlan) -> Self {
        let tls = world.tls(&plan.name);
        let group = plan.group.as_ref().and_then(|name| world.groups.get(name));
        let group = group.map(Arc::clone);
        Self {
            options: Arc::new(options(world, plan, None, Own::default())),
            world: Arc::clone(world),
            plan: plan.clone(),
            tls,
            shared: Mutex::default(),
            accesses: Mutex::default(),
            group,
            turn: AtomicU64::new(0),
        }
    }

    /// The entry for a database, where there is one; an error if there should be.
    pub(super) fn database(&self, name: &Arc<str>) -> Result<Option<&DatabasePlan>, Fault> {
        let databases = &self.world.plan.databases;
        let entry = databases
            .iter()
            .find(|d| d.name == *name)
            .or_else(|| databases.iter().find(|d| &*d.name == "*"));
        if entry.is_none() && !databases.is_empty() {
            return Err(unknown_database(name));
        }
        Ok(entry)
    }

    pub(super) fn group(
        &self,
        database: Option<&DatabasePlan>,
        name: &str,
    ) -> Result<&Arc<Group<E>>, Fault> {
        let group = match database.and_then(|d| d.group.as_ref()) {
            Some(own) => self.world.groups.get(own),
            None => self.group.as_ref(),
        };
        group.ok_or_else(|| unknown_database(name))
    }

    fn shared_options(
        &self,
        group: &Group<E>,
        mode: PoolMode,
        pins: PinPolicy,
        role: TargetRole,
    ) -> Arc<SessionOptions> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let own = Own { mode, pins, role };
        let entry = shared.entry((Arc::clone(&group.plan.name), own));
        let options =
            entry.or_insert_with(|| Arc::new(options(&self.world, &self.plan, Some(group), own)));
        Arc::clone(options)
    }

    async fn find(&self, visitor: Visitor<'_>) -> Result<Candidate, Fault> {
        let known = self.world.look_up(visitor.user).await;
        let own = known.as_ref().and_then(|user| user.auth_method);
        let method = own
            .filter(|method| method.is_of(E::FAMILY))
            .or(self.plan.auth_method)
            .unwrap_or(visitor.usual_method);
        let verifier = match &known {
            // Whether there is such a user, the token's judge finds out.
            _ if method.is_token() => None,
            Some(user) => self.world.verifier(user).await?,
            None => {
                let asked = Box::pin(self.ask(visitor)).await?;
                if asked.is_none() {
                    self.world.vault.look_for_users();
                }
                asked
            }
        };
        match method {
            AuthMethod::Certificate => check_certificate(visitor, known.as_deref())?,
            AuthMethod::Trust if known.is_none() => return Err(refused(visitor.user)),
            _ => {}
        }
        let accounts = &self.world.accounts;
        let verifier = match verifier {
            Some(Verifier::ShaCrypt(kept)) => Some(accounts.recalled(visitor.user, kept)),
            Some(Verifier::Password(password)) => {
                Some(accounts.derived::<E>(visitor.user, method, password).await)
            }
            other => other,
        };
        let sealing_key = self.plan.public_key_retrieval.then(sealing::key).flatten();
        Ok(Candidate {
            method,
            verifier,
            sealing_key,
        })
    }

    async fn ask(&self, visitor: Visitor<'_>) -> Result<Option<Verifier>, Fault> {
        // A database that does not exist is found out after the login only.
        let Ok(database) = self.database(visitor.database) else {
            return Ok(None);
        };
        let Ok(group) = self.group(database, visitor.database) else {
            return Ok(None);
        };
        let Some(query) = &group.plan.auth_query else {
            return Ok(None);
        };
        let name = database
            .and_then(|d| d.server_database.as_ref())
            .unwrap_or(visitor.database);
        let accounts = &self.world.accounts;
        accounts
            .ask(&self.world, group, query, name, visitor.user)
            .await
    }

    /// Where a client is to be served, as far as its names say; the key names no server.
    pub(super) fn place<'a>(
        &'a self,
        visitor: Visitor<'a>,
        login: &E::Login,
    ) -> Result<Place<'a, E>, Fault> {
        let database = self.database(visitor.database)?;
        let group = self.group(database, visitor.database)?;
        let user = self.world.user(visitor.user);
        let server_database = database.and_then(|d| d.server_database.as_ref());
        let server_database = server_database.unwrap_or(visitor.database);
        let affinity = E::affinity(login, server_database);
        let server_user = user.as_ref().map_or(visitor.user, |u| &u.server_user);
        let key = PoolKey {
            group: Arc::clone(&group.plan.name),
            target: "".into(),
            user: Arc::clone(server_user),
            database: affinity.database,
            variant: affinity.variant,
        };
        Ok(Place {
            group,
            database,
            server_database,
            user,
            key,
        })
    }

    /// What clients that agree in `key` share; a newer login takes effect for all.
    fn access(
        &self,
        key: PoolKey,
        group: &Group<E>,
        user: Option<&UserOptions>,
        database: Option<&DatabasePlan>,
        proof: &Proof,
    ) -> Arc<Access<E>> {
        let terms = terms(group, user, database);
        let login = self.world.server_login(group, user, proof);
        let mut accesses = self.accesses.lock().unwrap_or_else(PoisonError::into_inner);
        let known = accesses.get(&key).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| *known.terms() == terms) {
            drop(accesses);
            known.renew(login);
            return known;
        }
        accesses.retain(|_, access| access.strong_count() > 0);
        let pools = self.world.pools.clone();
        let roster = Arc::clone(group.ward.roster());
        let access = Access::new(pools, roster, key.clone(), login, terms);
        let access = Arc::new(access);
        accesses.insert(key, Arc::downgrade(&access));
        access
    }
}

/// Where a client is to be served.
pub(super) struct Place<'a, E: Engine> {
    pub(super) group: &'a Arc<Group<E>>,
    pub(super) database: Option<&'a DatabasePlan>,
    pub(super) server_database: &'a Arc<str>,
    pub(super) user: Option<Arc<UserOptions>>,
    pub(super) key: PoolKey,
}

impl<E: Engine> Desk<E> for ListenerDesk<E> {
    fn tls_offer(&self) -> TlsOffer {
        match (&self.tls, self.plan.require_tls) {
            (None, _) => TlsOffer::Unavailable,
            (Some(_), false) => TlsOffer::Optional,
            (Some(_), true) => TlsOffer::Required,
        }
    }

    fn tls(&self) -> Option<Arc<ServerTls>> {
        self.tls.clone()
    }

    fn announcement(&self) -> Option<E::Announcement> {
        self.group.as_ref()?.ward.announcement().get()
    }

    fn options(&self) -> Arc<SessionOptions> {
        Arc::clone(&self.options)
    }

    fn candidate<'a>(&'a self, visitor: Visitor<'a>) -> Answer<'a, Candidate> {
        // Written where it stays, not moved there: it is larger than what it usually needs.
        let answer = Box::write(Box::new_uninit(), self.find(visitor));
        Box::into_pin(answer)
    }

    fn judge<'a>(
        &'a self,
        visitor: Visitor<'a>,
        login: &'a E::Login,
        method: AuthMethod,
        token: Secret,
    ) -> Answer<'a, Proof> {
        Box::pin(self.judged(visitor, login, method, token))
    }

    fn disproved(&self, user: &Arc<str>) {
        self.world.disproved(user);
    }

    fn route(
        &self,
        visitor: Visitor<'_>,
        login: &E::Login,
        proof: &Proof,
    ) -> Result<Route<E>, Fault> {
        let Place {
            group,
            database,
            server_database,
            user,
            key,
        } = self.place(visitor, login)?;
        let user = user.as_deref();
        if let Some(user) = user {
            self.world.accounts.recall(user, proof);
        }
        let places = &self.world.places;
        let user_limit = user.map_or(0, |u| u.max_client_connections);
        let user_limit = usize::try_from(user_limit).unwrap_or(usize::MAX);
        let database_limit = database.map_or(0, |d| d.max_client_conn);
        let taken = (
            places
                .take(Claim::User(Arc::clone(visitor.user)), user_limit)
                .map_err(too_many)?,
            places
                .take(
                    Claim::Database(Arc::clone(visitor.database)),
                    database_limit,
                )
                .map_err(too_many)?,
        );
        let mode = user
            .and_then(|u| u.pool_mode)
            .or(database.and_then(|d| d.pool_mode))
            .or(self.plan.pool_mode)
            .unwrap_or(group.plan.pool_mode);
        let filtered = user
            .and_then(|u| u.filtered_pins)
            .or(database.and_then(|d| d.filtered_pins))
            .unwrap_or(group.plan.pins.filtered);
        let pins = PinPolicy {
            filtered,
            ..group.plan.pins
        };
        let role = user.and_then(|u| u.target_role);
        let role = role.unwrap_or(self.plan.target_role);
        let access = self.access(key, group, user, database, proof);
        let channel = self.world.feeds.channel(&access);
        // A connection that is the client's own is the primary's.
        let splits = role == TargetRole::Split && mode == PoolMode::Transaction;
        let split = splits.then(|| {
            let interval = group.plan.catalogue_refresh;
            let shelf = self.world.shelves.shelf(&access, interval);
            (shelf, self.world.shelves.routes(&group.plan.name))
        });
        Ok(Route {
            destinations: Destinations::new(access, self.turn.fetch_add(1, Ordering::Relaxed)),
            role,
            database: Arc::clone(server_database),
            options: self.shared_options(group, mode, pins, role),
            split,
            channel,
            places: Box::new(taken),
        })
    }
}

/// Limits of the pools of a user and database on each server.
pub(super) fn terms<E: Engine>(
    group: &Group<E>,
    user: Option<&UserOptions>,
    database: Option<&DatabasePlan>,
) -> Terms {
    let plan = &group.plan;
    let own_size = user
        .and_then(|u| u.pool_size)
        .or(database.and_then(|d| d.pool_size));
    let min_size = database.and_then(|d| d.min_pool_size);
    let options = |size: u32| PoolOptions {
        size,
        min_size: min_size.unwrap_or(plan.pool.min_size).min(size),
        ..plan.pool.clone()
    };
    let size = own_size.unwrap_or(plan.pool.size);
    Terms {
        primary: options(size),
        replica: options(plan.replica_pool_size.unwrap_or(size)),
        patient: plan.topology.may_change(),
        reads_fall_back: plan.reads_fall_back,
    }
}

fn check_certificate(visitor: Visitor<'_>, user: Option<&UserOptions>) -> Result<(), Fault> {
    let shown = visitor
        .tls
        .and_then(|tls: &TlsFacts| tls.peer_common_name.as_deref());
    let allowed = match (shown, user) {
        (Some(shown), Some(user)) if !user.certificate_names.is_empty() => {
            user.certificate_names.iter().any(|name| name == shown)
        }
        (Some(shown), Some(_)) => shown == &**visitor.user,
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    Err(Fault::new(
        FaultKind::AuthenticationFailed,
        format!(
            "certificate authentication failed for user \"{}\"",
            visitor.user
        ),
    ))
}

fn options<E: Engine>(
    world: &World<E>,
    plan: &ListenerPlan,
    group: Option<&Group<E>>,
    own: Own,
) -> SessionOptions {
    let limits = &plan.limits;
    let group = group.map(|group| &group.plan);
    SessionOptions {
        login_timeout: limits.login_timeout,
        idle_client_timeout: limits.idle_client_timeout,
        idle_transaction_timeout: limits.idle_transaction_timeout,
        query_timeout: limits.query_timeout,
        cancel_wait_timeout: group.map(|g| g.cancel_wait_timeout).unwrap_or_default(),
        front: Arc::new(FrontSettings {
            pool_mode: own.mode,
            splits: own.role == TargetRole::Split,
            ignore_options: Arc::clone(&limits.ignore_options),
            allow_options: limits.allow_options.clone(),
            max_client_statements: limits.max_statements,
            max_server_statements: group.map_or(0, |g| g.max_server_statements),
            max_statement_bytes: group.map_or(0, |g| g.max_statement_bytes),
            pins: own.pins,
        }),
        split: plan.split,
        log_connections: world.plan.general.log_connections,
    }
}

fn refused(user: &str) -> Fault {
    Fault::new(
        FaultKind::AuthenticationFailed,
        format!("password authentication failed for user \"{user}\""),
    )
}

fn unknown_database(name: &str) -> Fault {
    Fault::new(
        FaultKind::UnknownDatabase,
        format!("database \"{name}\" does not exist"),
    )
}

fn too_many(claim: Claim) -> Fault {
    let who = match claim {
        Claim::User(name) => format!("user \"{name}\""),
        Claim::Database(name) => format!("database \"{name}\""),
    };
    Fault::new(
        FaultKind::TooManyClients,
        format!("too many clients for {who} (max_client_conn)"),
    )
}
