//! Scopes in which connections are counted, and the slots held back in the narrow ones for pools
//! without any connection, while the ledger looks down its queue.

use std::sync::Arc;

use foldhash::HashMap;

use super::Terms;

/// A set of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Scopes {
    pub(super) target: bool,
    pub(super) user: bool,
    pub(super) database: bool,
}

impl Scopes {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The scopes of the set one by one, the narrow ones first: closing a connection there
    /// relieves the target too.
    pub(super) fn each(self) -> impl Iterator<Item = Self> {
        let none = Self::default();
        let user = Self {
            user: self.user,
            ..none
        };
        let database = Self {
            database: self.database,
            ..none
        };
        let target = Self {
            target: self.target,
            ..none
        };
        let all = [user, database, target].into_iter();
        all.filter(|one| !one.is_empty())
    }

    /// True if a connection on the one pool's terms counts in any of the scopes of the other.
    pub(super) fn meets(self, giver: &Terms, taker: &Terms) -> bool {
        self.target
            || (self.user && giver.user == taker.user)
            || (self.database && giver.database == taker.database)
    }
}

/// Slots held back during one look down the queue. None are held back of the target: they would
/// lie idle for as long as the pool's own user or database is at its limit.
#[derive(Debug, Default)]
pub(super) struct Claims {
    users: HashMap<Arc<str>, u32>,
    databases: HashMap<Arc<str>, u32>,
}

impl Claims {
    /// Holds one slot back of the user and of the database.
    pub(super) fn add(&mut self, terms: &Terms) {
        *self.users.entry(Arc::clone(&terms.user)).or_insert(0) += 1;
        let databases = &mut self.databases;
        *databases.entry(Arc::clone(&terms.database)).or_insert(0) += 1;
    }

    /// Held back of one user.
    pub(super) fn user(&self, user: &Arc<str>) -> u32 {
        self.users.get(user).copied().unwrap_or(0)
    }

    /// Held back of one database.
    pub(super) fn database(&self, database: &Arc<str>) -> u32 {
        self.databases.get(database).copied().unwrap_or(0)
    }
}
