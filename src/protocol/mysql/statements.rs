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
use super::typing::{Given, Typing};
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
    /// Of which kinds its parameters have been so far, where the server remembers that.
    pub typing: Typing,
    /// Where it lives: parts of parameters have been sent, or a cursor is open.
    pub root: Option<Root>,
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

/// The server connection that keeps a client's statement from others, by Sluice's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The connection.
    pub connection: u64,
    /// Where on it.
    pub spot: Spot,
}

/// A statement on one server connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// What it is known by.
    pub key: Key,
    /// The server's number for it.
    pub number: u32,
}

/// What one server connection has prepared, bounded, least recently used first to go.
#[derive(Debug, Default)]
pub struct ServerStatements {
    /// More than one where executions have made different things of it.
    known: HashMap<Key, Vec<Known>, RandomState>,
    /// Those that hold something of the client's, which no other use may disturb.
    rooted: HashMap<u32, (Key, Known), RandomState>,
    count: usize,
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
    /// Of which kinds parameters have been in executions here.
    pub typing: Typing,
    used: u64,
}

impl ServerStatements {
    /// From now on, at most this many are kept.
    pub fn limit_to(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The statement as it is prepared here, if it is, of which an execution with these values means what it means to a
    /// client whose own executions have led to `before`.
    pub fn find(&mut self, key: Key, before: &Typing, given: &Given) -> Option<Spot> {
        let variants = self.known.get(&key)?;
        let wanted = before.after(given);
        let known = variants
            .iter()
            .find(|known| known.typing.suits(&wanted, given))
            .or_else(|| {
                let mut variants = variants.iter();
                variants.find(|known| known.typing.after(given).suits(&wanted, given))
            })?;
        let number = known.number;
        Some(Spot { key, number })
    }

    /// The statement as it is prepared here, if it is, whatever executions have made of it.
    pub fn any(&self, key: Key) -> Option<Spot> {
        let number = self.known.get(&key)?.first()?.number;
        Some(Spot { key, number })
    }

    /// The statement there, which is used now.
    pub fn at(&mut self, spot: Spot) -> Option<&mut Known> {
        self.clock += 1;
        let known = match self.rooted.get_mut(&spot.number) {
            Some((_, known)) => known,
            None => {
                let mut variants = self.known.get_mut(&spot.key)?.iter_mut();
                variants.find(|known| known.number == spot.number)?
            }
        };
        known.used = self.clock;
        Some(known)
    }

    /// The server has prepared it under this number. Where the limit is reached, the least recently
    /// used one becomes stale.
    pub fn add(&mut self, key: Key, number: u32) {
        self.clock += 1;
        let known = Known {
            number,
            types: None,
            typing: Typing::default(),
            used: self.clock,
        };
        self.insert(key, known);
    }

    fn insert(&mut self, key: Key, known: Known) {
        if self.count >= self.limit.max(1)
            && let Some(oldest) = self.oldest()
            && let Some(gone) = self.take(oldest)
        {
            self.stale.push(gone.number);
        }
        let variants = self.known.entry(key).or_default();
        let same = variants.iter().position(|it| it.typing == known.typing);
        let before = match same.and_then(|same| variants.get_mut(same)) {
            Some(same) => Some(std::mem::replace(same, known)),
            None => {
                variants.push(known);
                None
            }
        };
        match before {
            Some(before) => self.stale.push(before.number),
            None => self.count += 1,
        }
    }

    fn oldest(&self) -> Option<Spot> {
        let all = self.known.iter().flat_map(|(key, variants)| {
            let spot = |known: &Known| Spot {
                key: *key,
                number: known.number,
            };
            variants.iter().map(move |known| (known.used, spot(known)))
        });
        all.min_by_key(|(used, _)| *used).map(|(_, spot)| spot)
    }

    /// Takes out what others may use.
    fn take(&mut self, spot: Spot) -> Option<Known> {
        let variants = self.known.get_mut(&spot.key)?;
        let place = variants
            .iter()
            .position(|known| known.number == spot.number)?;
        let known = variants.swap_remove(place);
        if variants.is_empty() {
            self.known.remove(&spot.key);
        }
        self.count -= 1;
        Some(known)
    }

    /// From now on the statement holds something of the client's, and is nobody else's.
    pub fn root(&mut self, spot: Spot) {
        if let Some(known) = self.take(spot) {
            self.rooted.insert(spot.number, (spot.key, known));
        }
    }

    /// True if it holds something of the client's here.
    pub fn is_rooted(&self, spot: Spot) -> bool {
        let rooted = self.rooted.get(&spot.number);
        rooted.is_some_and(|(key, _)| *key == spot.key)
    }

    /// It holds nothing any more.
    pub fn uproot(&mut self, spot: Spot) {
        if let Some((key, known)) = self.rooted.remove(&spot.number) {
            self.insert(key, known);
        }
    }

    /// Nothing is held any more: the client has gone.
    pub fn uproot_all(&mut self) {
        let numbers = self.rooted.drain().map(|(number, _)| number);
        self.stale.extend(numbers);
    }

    /// What it holds is to be closed at once: its number, if it is known here.
    pub fn remove(&mut self, spot: Spot) -> Option<u32> {
        self.rooted.remove(&spot.number).map(|_| spot.number)
    }

    /// The server has prepared something under this number that nobody wants.
    pub fn discard(&mut self, number: u32) {
        self.stale.push(number);
    }

    /// The server has dropped everything.
    pub fn clear(&mut self) {
        self.known.clear();
        self.rooted.clear();
        self.count = 0;
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

    use super::{Given, Key, ServerStatements, Spot, Statement, Typing};

    #[test]
    fn equal_texts_are_one_statement() {
        let a = Statement::of(b"select ?");
        assert!(Arc::ptr_eq(&a, &Statement::of(b"select ?")));
        assert_ne!(a.id, Statement::of(b"select 1").id);
    }

    fn number(statements: &mut ServerStatements, key: Key) -> Option<u32> {
        let spot = statements.find(key, &Typing::default(), &Given::default())?;
        statements.at(spot).map(|known| known.number)
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut statements = ServerStatements::default();
        statements.limit_to(2);
        statements.add((1, 0), 11);
        statements.add((2, 0), 12);
        assert_eq!(number(&mut statements, (1, 0)), Some(11));
        statements.add((3, 0), 13);
        assert_eq!(statements.take_stale(), [12]);
        assert_eq!(number(&mut statements, (2, 0)), None);
        // Prepared again, it is known by its newer number.
        statements.add((3, 0), 14);
        assert_eq!(number(&mut statements, (3, 0)), Some(14));
    }

    #[test]
    fn what_holds_something_is_nobody_elses() {
        let mut statements = ServerStatements::default();
        statements.limit_to(1);
        statements.add((1, 0), 11);
        let spot = Spot {
            key: (1, 0),
            number: 11,
        };
        statements.root(spot);
        assert_eq!(number(&mut statements, (1, 0)), None);
        // Neither the same text nor others take its place.
        statements.add((1, 0), 12);
        statements.add((2, 0), 13);
        assert_eq!(statements.take_stale(), [12]);
        assert_eq!(statements.at(spot).map(|known| known.number), Some(11));
        assert!(statements.is_rooted(spot));
        statements.uproot(spot);
        assert!(!statements.is_rooted(spot));
        assert_eq!(statements.take_stale(), [13]);
        assert_eq!(number(&mut statements, (1, 0)), Some(11));
        statements.root(spot);
        assert_eq!(statements.remove(spot), Some(11));
        assert_eq!(statements.remove(spot), None);
    }

    #[test]
    fn one_whose_parameter_was_a_number_is_not_for_texts() {
        let mut statements = ServerStatements::default();
        statements.limit_to(9);
        let (key, fresh) = ((1, 0), Typing::default());
        let numbers = Given::read(b"\x08\0", b"\0", 1, false).unwrap();
        let texts = Given::texts(1);
        statements.add(key, 11);
        let spot = statements.find(key, &fresh, &numbers).unwrap();
        let known = statements.at(spot).unwrap();
        known.typing = known.typing.after(&numbers);
        assert_eq!(statements.find(key, &fresh, &texts), None);
        statements.add(key, 12);
        let found = |spot: Option<Spot>| spot.map(|spot| spot.number);
        assert_eq!(found(statements.find(key, &fresh, &texts)), Some(12));
        assert_eq!(found(statements.find(key, &fresh, &numbers)), Some(11));
        // To the client who has said so itself it is a number.
        let own = fresh.after(&numbers);
        assert_eq!(found(statements.find(key, &own, &texts)), Some(11));
    }
}
