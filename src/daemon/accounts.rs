//! What is known about users beyond the configuration: verifiers derived from stored passwords,
//! and answers of `auth_query`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;

use crate::auth::options::{AuthQuery, UserOptions};
use crate::auth::store::verifier;
use crate::model::{AuthMethod, Fault, FaultKind, PoolKey, Proof, Secret, ShaCrypt, Verifier};
use crate::protocol::{Back, Chore, Engine};

use super::world::{Group, World};

/// Remembers what was expensive to find out. Belongs to one configuration.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// The password of which it was made, and the verifier.
    derived: Mutex<HashMap<(Arc<str>, AuthMethod), Derived>>,
    asked: Mutex<HashMap<Asked, (Instant, Option<Verifier>)>>,
    /// By user, the hash and the password that it was found to be of.
    proven: Mutex<HashMap<Arc<str>, (Secret, Secret)>>,
}

/// A stored password, and what was derived from it.
type Derived = (Secret, Verifier);

/// Group, database, user.
type Asked = (Arc<str>, Arc<str>, Arc<str>);

impl Accounts {
    /// What proofs by a method are checked against, for a user whose password is stored: where it
    /// is made of the password by some work, that is done once.
    pub(super) async fn derived<E: Engine>(
        &self,
        user: &Arc<str>,
        method: AuthMethod,
        password: Secret,
    ) -> Verifier {
        let key = (Arc::clone(user), method);
        // An `auth_query` may have another answer than before.
        if let Some((from, known)) = lock(&self.derived).get(&key)
            && *from == password
        {
            return known.clone();
        }
        let mut entropy = [0; 48];
        let filled = rand::fill(&mut entropy).is_ok();
        let Some(derive) = E::derive(method, &password, &entropy).filter(|_| filled) else {
            return Verifier::Password(password);
        };
        let Ok(verifier) = tokio::task::spawn_blocking(derive).await else {
            return Verifier::Password(password);
        };
        lock(&self.derived).insert(key, (password, verifier.clone()));
        verifier
    }

    /// Remembers the password of a user of whom a hash is stored that costs milliseconds to check,
    /// as MySQL's servers do. Only where the pools have to keep that password too, to show it to
    /// the server.
    pub(super) fn recall(&self, user: &UserOptions, proof: &Proof) {
        if let (Some(Verifier::ShaCrypt(kept)), Some(password), None) =
            (&user.verifier, &proof.password, &user.server_credential)
        {
            let proven = (kept.hash.clone(), password.clone());
            lock(&self.proven).insert(Arc::clone(&user.name), proven);
        }
    }

    /// What a proof is checked against, of a user of whom such a hash is stored.
    pub(super) fn recalled(&self, user: &Arc<str>, kept: ShaCrypt) -> Verifier {
        match lock(&self.proven).get(user) {
            Some((hash, password)) if *hash == kept.hash => Verifier::Password(password.clone()),
            _ => Verifier::ShaCrypt(kept),
        }
    }

    /// Asks the database about a user; `None` if it does not know it. An answer is good for a
    /// few seconds, so that a storm of logins is not a storm of queries.
    pub(super) async fn ask<E: Engine>(
        &self,
        world: &World<E>,
        group: &Group<E>,
        query: &AuthQuery,
        database: &Arc<str>,
        user: &Arc<str>,
    ) -> Result<Option<Verifier>, Fault> {
        let database = query.database.as_ref().unwrap_or(database);
        let key = (
            Arc::clone(&group.plan.name),
            Arc::clone(database),
            Arc::clone(user),
        );
        if let Some((when, known)) = lock(&self.asked).get(&key)
            && when.elapsed() < GOOD_FOR
        {
            return Ok(known.clone());
        }
        let answer = fetch(world, group, query, database, user).await?;
        let mut asked = lock(&self.asked);
        if asked.len() >= MOST_ASKED {
            asked.retain(|_, (when, _)| when.elapsed() < GOOD_FOR);
        }
        if asked.len() < MOST_ASKED {
            asked.insert(key, (Instant::now(), answer.clone()));
        }
        Ok(answer)
    }
}

/// Runs the query on a connection of the user that is there for it. No client's settings are
/// ever applied to that connection's queries (CVE-2025-12819).
async fn fetch<E: Engine>(
    world: &World<E>,
    group: &Group<E>,
    query: &AuthQuery,
    database: &Arc<str>,
    user: &Arc<str>,
) -> Result<Option<Verifier>, Fault> {
    let unavailable = |why: &dyn std::fmt::Display| {
        tracing::warn!(group = %group.plan.name, %user, error = %why, "auth_query failed");
        Fault::new(
            FaultKind::TargetUnavailable,
            "users cannot be looked up now",
        )
    };
    let asker = world.plan.users.user(&query.user);
    let Some(asker) = asker else {
        return Err(unavailable(&"auth_user is not configured"));
    };
    let Some(primary) = group.ward.roster().snapshot().primary.clone() else {
        return Err(unavailable(&"there is no primary"));
    };
    let key = PoolKey {
        group: Arc::clone(&group.plan.name),
        target: primary,
        user: Arc::clone(&asker.server_user),
        database: Arc::clone(database),
        variant: 0,
    };
    let login = world.server_login(group, Some(&asker), &Proof::default());
    let pool = world
        .pools
        .pool(&key, login, group.plan.pool.clone())
        .map_err(|error| unavailable(&error))?;
    let mut lent = pool.borrow().await.map_err(|error| unavailable(&error))?;
    let conn = lent.conn();
    if conn.back.has_settings() {
        conn.run(Chore::Reset, QUERY_LIMIT)
            .await
            .map_err(|error| unavailable(&error))?;
    }
    let chore = Chore::Account {
        query: &query.query,
        user,
    };
    conn.run(chore, QUERY_LIMIT)
        .await
        .map_err(|error| unavailable(&error))?;
    let stored = conn.back.chore_value().map(Secret::new);
    lent.give_back();
    Ok(stored.and_then(|stored| verifier(&stored).ok()))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long an answer of `auth_query` is used: a changed password takes effect after this.
const GOOD_FOR: Duration = Duration::from_secs(5);
const MOST_ASKED: usize = 10_000;
const QUERY_LIMIT: Duration = Duration::from_secs(10);
