//! Prepared statements that outlive the server connection they were prepared on.
//!
//! A client's statement is kept as the tail of its Parse message (text and parameter types),
//! shared between all clients that prepared the same. A server connection knows it under a name
//! of Sluice's own, and prepares it when it is first used there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use bytes::Bytes;
use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::rules::Effects;
use super::shape::Shape;

/// A statement as clients define it.
#[derive(Debug)]
pub struct Statement {
    /// Unique in this process.
    pub id: u64,
    /// Parse message after the name: text, zero byte, parameter types.
    pub body: Bytes,
    /// What executing it does to the session.
    pub effects: Effects,
}

impl Statement {
    /// The statement with this body, shared with everybody who holds an equal one.
    pub fn intern(body: &[u8], effects: impl FnOnce() -> Effects) -> Arc<Self> {
        static ALL: LazyLock<Mutex<Interned>> = LazyLock::new(Mutex::default);
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(statement) = all.by_body.get(body).and_then(Weak::upgrade) {
            return statement;
        }
        if all.by_body.len() >= all.sweep_at {
            all.by_body
                .retain(|_, statement| statement.strong_count() > 0);
            all.sweep_at = (all.by_body.len() * 2).max(FIRST_SWEEP);
        }
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let body = Bytes::copy_from_slice(body);
        let statement = Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            body: body.clone(),
            effects: effects(),
        });
        all.by_body.insert(body, Arc::downgrade(&statement));
        statement
    }
}

struct Interned {
    by_body: HashMap<Bytes, Weak<Statement>, RandomState>,
    sweep_at: usize,
}

impl Default for Interned {
    fn default() -> Self {
        Self {
            by_body: HashMap::default(),
            sweep_at: FIRST_SWEEP,
        }
    }
}

/// Dead entries are first looked for when this many have been interned.
const FIRST_SWEEP: usize = 1024;

/// What a client calls by a name.
#[derive(Clone, Debug)]
pub struct Named {
    /// The statement.
    pub statement: Arc<Statement>,
    /// What its plan depended on when the client prepared it.
    pub planner: u64,
    /// What it was told of the result.
    pub shape: Shape,
}

impl Named {
    /// A statement whose result the client knows nothing of.
    pub fn new(statement: Arc<Statement>, planner: u64) -> Self {
        Self {
            statement,
            planner,
            shape: 0,
        }
    }
}

/// A statement and the settings its plan depends on ([`super::settings::Settings::planner_id`]).
pub type StatementKey = (u64, u64);

/// A name on a server connection.
pub type ServerName = SmallVec<[u8; 24]>;

/// Every name of ours begins so; clients' own names are kept away from it.
pub const NAME_PREFIX: &[u8] = b"sluice_";

/// A connection does not come to give as many names as this.
const FAR: u64 = 1 << 32;

/// Put before a client's name that begins like ours, to a name that nobody gives to a statement.
pub const ELSEWHERE: &[u8] = b"?";

/// What one server connection has prepared, bounded, least recently used first to go.
#[derive(Debug, Default)]
pub struct ServerStatements {
    known: HashMap<StatementKey, Known, RandomState>,
    limit: usize,
    clock: u64,
    /// Names given so far.
    names: u64,
    /// Names to be closed at the next opportunity.
    stale: Vec<ServerName>,
}

#[derive(Debug)]
struct Known {
    name: ServerName,
    used: u64,
    shape: Shape,
    /// The server is being asked for the shape.
    asked: bool,
}

impl ServerStatements {
    /// From now on, at most this many are kept.
    pub fn limit_to(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The name under which the statement is prepared here, if it is.
    pub fn name(&mut self, key: StatementKey) -> Option<&ServerName> {
        self.clock += 1;
        let known = self.known.get_mut(&key)?;
        known.used = self.clock;
        Some(&known.name)
    }

    /// Takes the statement up as prepared, and returns its new name. Where the limit is reached,
    /// the least recently used one becomes stale.
    pub fn add(&mut self, key: StatementKey) -> ServerName {
        if self.known.len() >= self.limit.max(1)
            && let Some(oldest) = self
                .known
                .iter()
                .min_by_key(|(_, known)| known.used)
                .map(|(key, _)| *key)
        {
            self.drop_later(oldest);
        }
        self.names += 1;
        let mut name = ServerName::from_slice(NAME_PREFIX);
        name.extend_from_slice(self.names.to_string().as_bytes());
        self.clock += 1;
        let known = Known {
            name: name.clone(),
            used: self.clock,
            shape: 0,
            asked: false,
        };
        self.known.insert(key, known);
        name
    }

    /// True if the statement is prepared here.
    pub fn has(&self, key: StatementKey) -> bool {
        self.known.contains_key(&key)
    }

    /// The shape of its result here, if known.
    pub fn shape(&self, key: StatementKey) -> Shape {
        self.known.get(&key).map_or(0, |known| known.shape)
    }

    /// The result has this shape here, for as long as the server has the statement.
    pub fn learn(&mut self, key: StatementKey, shape: Shape) {
        if let Some(known) = self.known.get_mut(&key) {
            known.shape = shape;
            known.asked = false;
        }
    }

    /// True if the server has to be asked for the shape, which is not known.
    pub fn ask(&mut self, key: StatementKey) -> bool {
        let known = self.known.get_mut(&key);
        known.is_some_and(|known| !std::mem::replace(&mut known.asked, true))
    }

    /// How many are prepared.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// The server does not have it after all.
    pub fn forget(&mut self, key: StatementKey) {
        self.known.remove(&key);
    }

    /// The server has it, but it must not be used again.
    pub fn drop_later(&mut self, key: StatementKey) {
        if let Some(known) = self.known.remove(&key) {
            self.stale.push(known.name);
        }
    }

    /// The server has dropped everything.
    pub fn clear(&mut self) {
        self.known.clear();
        self.stale.clear();
    }

    /// The server still has it: it has not been closed.
    pub fn close_later(&mut self, name: ServerName) {
        self.stale.push(name);
    }

    /// Names to close now.
    pub fn take_stale(&mut self) -> Vec<ServerName> {
        std::mem::take(&mut self.stale)
    }

    /// Which statement a name of ours stands for.
    pub fn statement_of(&self, name: &[u8]) -> Option<u64> {
        self.key_of(name).map(|(id, _)| id)
    }

    fn key_of(&self, name: &[u8]) -> Option<StatementKey> {
        let mut known = self.known.iter();
        let found = known.find(|(_, known)| known.name.as_slice() == name);
        found.map(|(key, _)| *key)
    }

    /// A client gives this name to a statement of its own: nothing of ours must have it, now or
    /// later.
    pub fn yield_name(&mut self, name: &[u8]) {
        if let Some(key) = self.key_of(name) {
            self.drop_later(key);
        }
        let number = name.strip_prefix(NAME_PREFIX);
        let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        if let Some(number) = number
            && (self.names..self.names.saturating_add(FAR)).contains(&number)
        {
            self.names = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ServerStatements, Statement};
    use crate::protocol::postgres::rules::Effects;

    #[test]
    fn equal_bodies_are_one_statement() {
        let a = Statement::intern(b"select 1\0\0\0", Effects::default);
        let b = Statement::intern(b"select 1\0\0\0", || panic!("classified twice"));
        assert_eq!(a.id, b.id);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut statements = ServerStatements::default();
        statements.limit_to(2);
        let first = statements.add((1, 0));
        let second = statements.add((2, 0));
        assert_eq!(statements.name((1, 0)), Some(&first));
        statements.add((3, 0));
        assert_eq!(statements.take_stale(), [second]);
        assert!(statements.name((2, 0)).is_none());
        assert_eq!(statements.statement_of(&first), Some(1));
    }
}
