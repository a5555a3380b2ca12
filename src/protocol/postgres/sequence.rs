//! Values of sequences that a session remembers: `currval` and `lastval`
//! (<https://www.postgresql.org/docs/current/functions-sequence.html>).
//!
//! They stay with the server connection, and nothing can bring them to another. So who calls
//! `nextval` or `setval` keeps the connection. Statements that write rows may call `nextval` unseen,
//! for a column's default, and nearly nobody asks for the value afterwards: these pin nobody, until
//! some client of the same user and database asks for a remembered value. From then on they do.
//!
//! Who asks before that, the first of all, gets its own value where it is still on the connection
//! that it used last, and otherwise the error of a session that has advanced no sequence. What others
//! have left on the connection is discarded first, so that nobody is told a value of somebody else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use foldhash::fast::RandomState;

use super::line_up::{self, Way};
use super::request::Reader;
use super::rules::Effects;
use crate::model::{PinReason, Pins, TxStatus};

/// Whether any client of one user and database has asked for a remembered value.
#[derive(Clone, Debug, Default)]
pub struct Population(Arc<AtomicBool>);

impl Population {
    /// The clients of this user and database.
    pub fn of(user: &str, database: &str) -> Self {
        static ALL: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (user.into(), database.into());
        if all.len() >= MOST && !all.contains_key(&key) {
            // Nobody remembers: doubt means that they ask.
            return Self(Arc::new(AtomicBool::new(true)));
        }
        all.entry(key).or_default().clone()
    }

    fn asks(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn has_asked(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Known = HashMap<(Box<str>, Box<str>), Population, RandomState>;

/// Users and databases that are told apart.
const MOST: usize = 10_000;

/// An unbroken time in which one client, and nobody else, advances sequences on a connection, and
/// on no other; 0 is none.
pub type Stay = u64;

/// What a server connection remembers.
#[derive(Debug, Default)]
pub struct Remembered {
    /// The stay of whoever advanced a sequence last.
    stay: Stay,
    /// There may be values from before that stay.
    mixed: bool,
}

impl Remembered {
    fn begin(&mut self) -> Stay {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.mixed = self.stay != 0;
        self.stay = NEXT.fetch_add(1, Ordering::Relaxed);
        self.stay
    }

    /// The server has discarded everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A text is about to be sent for execution.
pub(super) fn note(reader: &mut Reader<'_>, effects: &Effects, way: Way) {
    if !effects.advances && !effects.recalls || reader.front.keeps_names() {
        return;
    }
    let way = way.behind(reader);
    let at_home = |reader: &Reader<'_>| {
        let stay = reader.back.remembered.stay;
        stay != 0 && stay == reader.front.stay
    };
    if effects.recalls {
        reader.front.population.has_asked();
        let idle = reader.back.tx == TxStatus::Idle && !reader.back.unsynced;
        if !at_home(reader) || reader.back.remembered.mixed && idle {
            discard(reader, way);
        }
    }
    if !effects.advances {
        return;
    }
    reader.front.advancing = true;
    if effects.says_so || reader.front.population.asks() {
        if !at_home(reader) {
            discard(reader, way);
        }
        let cause = || "a sequence may be advanced".to_owned();
        reader
            .front
            .affect_for(Pins::of(&[PinReason::Sequence]), cause);
    }
    if !at_home(reader) {
        reader.front.stay = reader.back.remembered.begin();
    }
}

/// Has the server forget what it remembers, if anything.
fn discard(reader: &mut Reader<'_>, way: Way) {
    if reader.back.remembered.stay == 0 || reader.back.tx == TxStatus::Failed {
        return;
    }
    line_up::run(reader, None, b"DISCARD SEQUENCES", way);
    reader.back.remembered.clear();
}

#[cfg(test)]
mod tests {
    use super::{Population, Remembered};

    #[test]
    fn clients_of_the_same_user_and_database_know_of_each_other() {
        let one = Population::of("sequence test", "a");
        assert!(!one.asks());
        one.has_asked();
        assert!(Population::of("sequence test", "a").asks());
        assert!(!Population::of("sequence test", "b").asks());
    }

    #[test]
    fn a_second_stay_is_mixed_until_everything_is_discarded() {
        let mut remembered = Remembered::default();
        let first = remembered.begin();
        assert!(!remembered.mixed);
        assert_ne!(remembered.begin(), first);
        assert!(remembered.mixed);
        remembered.clear();
        remembered.begin();
        assert!(!remembered.mixed);
    }
}
