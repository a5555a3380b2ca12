//! Prepared statements that outlive the server connection they were prepared on.
//!
//! A client knows its statement by a number of Sluice's own. A server connection knows it by the
//! number that the server gave there, and prepares it when it is first executed there. Equal texts
//! are one statement for all clients.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::settings::Settings;
use crate::protocol::interner::Interner;
use crate::sql::mysql::Verdict;

/// A statement as clients prepare it.
#[derive(Debug)]
pub struct Statement {
    /// Unique in this process.
    pub id: u64,
    /// Its text.
    pub text: Bytes,
}

impl Statement {
    /// The statement of this text, shared with everybody who holds an equal one.
    pub fn of(text: &[u8]) -> Arc<Self> {
        static ALL: LazyLock<Interner<Statement>> = LazyLock::new(Interner::default);
        ALL.get(text, Self::new)
    }

    /// A statement whose text is too large to be kept: it lives where it was prepared.
    pub fn kept_elsewhere() -> Arc<Self> {
        Arc::new(Self::new(Bytes::new()))
    }

    fn new(text: Bytes) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            text,
        }
    }
}

/// A statement that a client is about to have.
#[derive(Debug)]
pub struct Draft {
    /// The statement.
    pub statement: Arc<Statement>,
    /// What executing it does.
    pub verdict: Arc<Verdict>,
    /// See [`Held::schemaless`].
    pub schemaless: bool,
}

/// A client's statement.
#[derive(Debug)]
pub struct Held {
    /// The statement.
    pub statement: Arc<Statement>,
    /// The settings that it was prepared under.
    pub settings: Arc<Settings>,
    /// What executing it does.
    pub verdict: Arc<Verdict>,
    /// How many parameters it has.
    pub parameters: u16,
    /// Types of the parameters, as the client sent them last: it sends them once.
    pub types: Option<Arc<[u8]>>,
    /// Parts of parameters have been sent, or a cursor is open: it lives on the server connection.
    pub rooted: bool,
    /// The server's error, the whole payload, by which it could not be prepared for parts of parameters. These have no reply:
    /// the execution has.
    pub failed: Option<Bytes>,
    /// It was prepared without a schema, and what it returns depends on that: it lives on the server connection, which
    /// cannot go back to having none.
    pub schemaless: bool,
}

impl Held {
    /// What it is known by on a connection that is under these settings. One that was prepared without a
    /// schema, and cannot tell, has that of whoever executes it.
    pub fn key(&self, now: &Settings) -> Key {
        let own = &self.settings;
        let meaning = match (own.schema(), now.schema()) {
            (None, Some(schema)) if !self.schemaless => own.with_schema(Some(schema)).meaning(),
            _ => own.meaning(),
        };
        (self.statement.id, meaning)
    }
}

/// A statement, and [what its meaning depends on](Settings::meaning).
pub type Key = (u64, u64);

/// What one server connection has prepared, bounded, least recently used first to go.
#[derive(Debug, Default)]
pub struct ServerStatements {
    known: HashMap<Key, Known, RandomState>,
    limit: usize,
    clock: u64,
    /// Numbers to be closed at the next opportunity.
    stale: Vec<u32>,
}

/// A statement on a server connection.
#[derive(Debug)]
pub struct Known {
    /// The server's number for it.
    pub number: u32,
    /// The types of parameters that the server knows.
    pub types: Option<Arc<[u8]>>,
    used: u64,
}

impl ServerStatements {
    /// From now on, at most this many are kept.
    pub fn limit_to(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The statement as it is prepared here, if it is.
    pub fn get(&mut self, key: Key) -> Option<&mut Known> {
        self.clock += 1;
        let known = self.known.get_mut(&key)?;
        known.used = self.clock;
        Some(known)
    }

    /// The server has prepared it under this number. Where the limit is reached, the least recently
    /// used one becomes stale.
    pub fn add(&mut self, key: Key, number: u32) {
        if self.known.len() >= self.limit.max(1)
            && let Some(oldest) = self
                .known
                .iter()
                .min_by_key(|(_, known)| known.used)
                .map(|(key, _)| *key)
            && let Some(known) = self.known.remove(&oldest)
        {
            self.stale.push(known.number);
        }
        self.clock += 1;
        let known = Known {
            number,
            types: None,
            used: self.clock,
        };
        if let Some(before) = self.known.insert(key, known) {
            self.stale.push(before.number);
        }
    }

    /// It is to be closed at once: its number, if it is known here.
    pub fn remove(&mut self, key: Key) -> Option<u32> {
        self.known.remove(&key).map(|known| known.number)
    }

    /// The server has prepared something under this number that nobody wants.
    pub fn discard(&mut self, number: u32) {
        self.stale.push(number);
    }

    /// The server has dropped everything.
    pub fn clear(&mut self) {
        self.known.clear();
        self.stale.clear();
    }

    /// Numbers to close now.
    pub fn take_stale(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.stale)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{ServerStatements, Statement};

    #[test]
    fn equal_texts_are_one_statement() {
        let a = Statement::of(b"select ?");
        assert!(Arc::ptr_eq(&a, &Statement::of(b"select ?")));
        assert_ne!(a.id, Statement::of(b"select 1").id);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut statements = ServerStatements::default();
        statements.limit_to(2);
        statements.add((1, 0), 11);
        statements.add((2, 0), 12);
        assert_eq!(statements.get((1, 0)).unwrap().number, 11);
        statements.add((3, 0), 13);
        assert_eq!(statements.take_stale(), [12]);
        assert!(statements.get((2, 0)).is_none());
        // Prepared again, it is known by its newer number.
        statements.add((3, 0), 14);
        assert_eq!(statements.get((3, 0)).unwrap().number, 14);
    }
}
