//! Statements prepared by SQL text: `PREPARE`, `EXECUTE`, `DEALLOCATE`
//! (<https://www.postgresql.org/docs/current/sql-prepare.html>).
//!
//! # Why the names stay the client's own
//!
//! A client's text goes to the server as it is, so that errors, the places they point to,
//! `EXPLAIN EXECUTE` and texts of several statements are those of a direct connection. Instead,
//! before a text that names such statements, the connection is lined up: what another client has
//! left under one of these names is closed, and what this client has prepared elsewhere is prepared
//! again, by its own `PREPARE`. Where names do not clash, nothing needs to be done.
//!
//! Should a repeated `PREPARE` fail, a table being gone for example, a direct connection would have
//! found out when the statement was used: the error takes the place of the one that the client's
//! own text then gets.

use crate::protocol::hashing::OfProcess;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::back::PgBack;
use super::front::PgFront;
use super::rules;
use super::statements::StatementKey;
use crate::model::Pins;
use crate::sql::statement::{Detail, Discard, Statement, Verdict, Which};
use crate::sql::touches::{Touch, Touches};

/// A statement that a client has prepared by SQL.
#[derive(Debug)]
pub struct SqlStatement {
    /// The whole `PREPARE`.
    pub text: Box<[u8]>,
    /// Reasons to keep the server connection once it has been executed.
    pub pins: Pins,
    /// What executing it may touch.
    touches: Touches,
}

/// A client's statements by name.
pub type Own = HashMap<Box<str>, Arc<SqlStatement>, OfProcess>;

/// What a server connection has under names that clients have given.
#[derive(Debug, Default)]
pub struct Names {
    held: HashMap<Box<str>, Held, RandomState>,
    clock: u64,
}

#[derive(Debug)]
struct Held {
    what: What,
    used: u64,
}

/// What a name stands for on a server connection.
#[derive(Clone, Debug)]
pub enum What {
    /// This, prepared while planning depended on these settings.
    Sql(Arc<SqlStatement>, u64),
    /// A statement of the protocol, which a client calls so.
    Protocol(StatementKey),
    /// Something to be deallocated, that there is something.
    Decoy,
    /// Perhaps nothing.
    Unknown,
}

impl What {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sql(a, planner), Self::Sql(b, then)) => {
                planner == then && (Arc::ptr_eq(a, b) || a.text == b.text)
            }
            (Self::Protocol(a), Self::Protocol(b)) => a == b,
            _ => false,
        }
    }
}

impl Names {
    /// True if the name stands for something, as far as is known.
    pub fn is_held(&self, name: &str) -> bool {
        self.held.contains_key(name)
    }

    /// True if the name certainly stands for something.
    pub fn is_taken(&self, name: &str) -> bool {
        let held = self.held.get(name);
        held.is_some_and(|held| !matches!(held.what, What::Unknown))
    }

    /// True if the name stands for just this.
    pub fn has(&mut self, name: &str, what: &What) -> bool {
        self.clock += 1;
        match self.held.get_mut(name) {
            Some(held) if held.what.is(what) => {
                held.used = self.clock;
                true
            }
            _ => false,
        }
    }

    /// The name stands for this now.
    pub fn hold(&mut self, name: &str, what: What) {
        self.clock += 1;
        let used = self.clock;
        self.held.insert(name.into(), Held { what, used });
    }

    /// The name stands for nothing now.
    pub fn release(&mut self, name: &str) {
        self.held.remove(name);
    }

    /// Nothing is held any more.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    /// How many are certainly prepared by SQL.
    pub fn prepared_by_sql(&self) -> usize {
        let by_sql = |held: &&Held| matches!(held.what, What::Sql(..) | What::Decoy);
        self.held.values().filter(by_sql).count()
    }

    /// Every name.
    pub fn all(&self) -> Vec<Box<str>> {
        self.held.keys().cloned().collect()
    }

    /// Where at least `limit` are held, the one longest unused of those that are not `own`.
    pub fn surplus(&self, limit: usize, own: &Own) -> Option<Box<str>> {
        if self.held.len() < limit.max(1) {
            return None;
        }
        let others = self
            .held
            .iter()
            .filter(|(name, _)| !own.contains_key(*name));
        let oldest = others.min_by_key(|(_, held)| held.used);
        oldest.map(|(name, _)| name.clone())
    }
}

/// The names that statements use.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    /// These.
    These(Vec<Box<str>>),
    /// Perhaps any.
    Any,
}

/// The names that the statements use.
pub fn names(verdict: &Verdict) -> Named {
    let mut names = Vec::new();
    for statement in &verdict.statements {
        let name = match &statement.detail {
            Detail::SqlPrepare(Which::One(name), _)
            | Detail::SqlExecute(Which::One(name))
            | Detail::Deallocate(Which::One(name)) => name,
            Detail::Deallocate(Which::All) => continue,
            _ if statement.touches.intersects(BY_NAME) => return Named::Any,
            _ => continue,
        };
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Named::These(names)
}

/// True if no statement runs what a name stands for: it matters only which names are taken.
pub fn only_takes_names(verdict: &Verdict) -> bool {
    !verdict.touches.contains(Touch::SqlExecute)
        && !verdict.touches.contains(Touch::Unknown)
        && matches!(names(verdict), Named::These(_))
}

/// True if some statement prepares one.
pub fn prepares(verdict: &Verdict) -> bool {
    verdict.touches.contains(Touch::SqlPrepare)
}

/// True if the statements may use names.
pub fn uses_names(verdict: &Verdict) -> bool {
    verdict.touches.intersects(BY_NAME)
}

/// A statement is complete: what it does to names, and to what is remembered of sequences.
pub fn complete(front: &mut PgFront, back: &mut PgBack, statement: &Statement) {
    match &statement.detail {
        Detail::SqlPrepare(Which::One(name), text) => {
            // With one too many, the connection is the client's own, and so are its names.
            if front.holds_most() {
                return;
            }
            let prepared = Arc::new(SqlStatement {
                text: text.0.clone(),
                pins: rules::inner_pins(statement),
                touches: statement.touches,
            });
            front.sql.insert(name.clone(), Arc::clone(&prepared));
            let planner = front.settings.planner_id();
            back.names.hold(name, What::Sql(prepared, planner));
        }
        Detail::SqlExecute(Which::One(name)) => {
            let prepared = front.sql.get(name);
            if prepared.is_some_and(|one| one.touches.contains(Touch::SetLocal)) {
                front.settings.local_unknown();
            }
        }
        // What has been sent behind it may have been meant to be remembered.
        Detail::Discard(Discard::Sequences) if !front.advancing => {
            front.sequences_gone();
            back.remembered.clear();
        }
        Detail::Deallocate(Which::One(name)) => {
            front.sql.remove(name);
            front.named.remove(name.as_bytes());
            back.names.release(name);
        }
        _ => {}
    }
}

/// What statements do that use names.
const BY_NAME: Touches = Touches::of(Touch::SqlPrepare)
    .with(Touch::SqlExecute)
    .with(Touch::Deallocate);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Named, Names, Own, SqlStatement, What, names, only_takes_names};
    use crate::model::Pins;
    use crate::sql::postgres::classify;
    use crate::sql::touches::Touches;

    fn statement(text: &str) -> Arc<SqlStatement> {
        Arc::new(SqlStatement {
            text: text.as_bytes().into(),
            pins: Pins::NONE,
            touches: Touches::NONE,
        })
    }

    #[test]
    fn equal_texts_under_equal_settings_are_the_same() {
        let mut held = Names::default();
        held.hold("a", What::Sql(statement("prepare a as select 1"), 5));
        assert!(held.has("a", &What::Sql(statement("prepare a as select 1"), 5)));
        assert!(!held.has("a", &What::Sql(statement("prepare a as select 1"), 6)));
        assert!(!held.has("a", &What::Sql(statement("prepare a as select 2"), 5)));
        assert!(!held.has("b", &What::Decoy) && held.is_taken("a"));
        held.hold("a", What::Unknown);
        assert!(held.is_held("a") && !held.is_taken("a"));
    }

    #[test]
    fn others_names_go_first() {
        let mut held = Names::default();
        for name in ["mine", "a", "b"] {
            held.hold(name, What::Decoy);
        }
        let own: Own = [("mine".into(), statement(""))].into_iter().collect();
        assert_eq!(held.surplus(4, &own), None);
        assert_eq!(held.surplus(3, &own).as_deref(), Some("a"));
    }

    #[test]
    fn names_of_a_text() {
        let of = |text: &str| names(&classify(text.as_bytes()));
        let these = |names: &[&str]| Named::These(names.iter().map(|n| (*n).into()).collect());
        assert_eq!(
            of("prepare A as select 1; execute a; deallocate \"B\""),
            these(&["a", "B"])
        );
        assert_eq!(of("deallocate all"), these(&[]));
        assert_eq!(of("explain execute a"), Named::Any);
        assert_eq!(of("create table t as execute a(1)"), Named::Any);
        assert_eq!(of("select 1"), these(&[]));
        assert!(only_takes_names(&classify(b"deallocate a")));
        assert!(only_takes_names(&classify(b"prepare a as select 1")));
        assert!(!only_takes_names(&classify(b"deallocate a; execute a")));
    }
}
