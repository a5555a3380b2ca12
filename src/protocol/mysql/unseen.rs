//! User variables that code of users may have assigned: routines, triggers, functions within views.
//!
//! Both families report `SET @a = …` in such code, and neither what `SELECT … INTO @a` or `@a := …` does there.
//! So after a statement that may have run some, the server is asked which user variables the connection holds;
//! any that the client's books do not explain pins. The question goes out when the client has its answer and the
//! connection could be given back.
//!
//! MariaDB answers everybody (`information_schema.user_variables`), MySQL those who may read
//! `performance_schema`. Where the question is refused, routines and functions pin by themselves, and what
//! triggers leave cannot be read by name in a statement of another client: see
//! [`unset`](super::settings::Settings::unset).

use std::collections::HashSet;

use super::login::Flavor;
use super::settings::Settings;
use super::wire::Reader;
use crate::model::Share;
use crate::sql::mysql::{Touch, Touches, Verdict};

/// What a client's books know about the need to ask.
#[derive(Debug, Default)]
pub struct Unseen {
    doubt: Doubt,
    /// The server connection that the last command went to, by Sluice's number.
    place: u64,
    /// Statements so far that only a view could make run code.
    reads: u64,
    /// The answer so far; `None`: it tells of variables that nothing explains, or cannot be read.
    answer: Option<Answer>,
}

/// What a server connection may hold of clients before its present one.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// `None`: nothing that the books do not tell. Else the variables that have been set to `NULL` for its client.
    cleared: Option<HashSet<Box<str>>>,
}

/// How much is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Doubt {
    /// Nothing.
    #[default]
    None,
    /// A trigger may have run, or a function within a view.
    Triggers,
    /// A routine has run.
    Routines,
}

/// What the server has said.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    /// It has named the connection that it tells about.
    sure: bool,
    /// It has told of a variable that nothing explains.
    found: bool,
}

impl Unseen {
    /// A statement with these touches is about to run. `share`: of how many that only read.
    pub(super) fn heed(&mut self, touches: Touches, share: Share, client: u64) {
        let doubt = if touches.intersects(ROUTINES) {
            Doubt::Routines
        } else if touches.contains(Touch::TableWrite) {
            Doubt::Triggers
        } else {
            self.reads = self.reads.wrapping_add(1);
            // Clients do not draw in step.
            if !share.includes(self.reads.wrapping_add(client << 20)) {
                return;
            }
            Doubt::Triggers
        };
        self.doubt = self.doubt.max(doubt);
    }

    /// The next command goes to this server connection; true if something is in doubt there: so it has been the client's since.
    pub(super) fn stays(&mut self, connection: u64) -> bool {
        let before = std::mem::replace(&mut self.place, connection);
        before == connection && self.doubt != Doubt::None
    }

    /// What is in doubt.
    pub(super) const fn doubt(&self) -> Doubt {
        self.doubt
    }

    /// The doubt is dealt with; what it was.
    pub(super) fn settle(&mut self) -> Doubt {
        std::mem::take(&mut self.doubt)
    }

    /// The question is sent.
    pub(super) fn asked(&mut self) {
        self.answer = Some(Answer::default());
    }

    /// A row of the answer.
    pub(super) fn row(&mut self, payload: &[u8], settings: &Settings) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        let mut reader = Reader::new(payload);
        let mut value = || {
            if reader.peek() == Some(NULL) {
                reader.u8()?;
                return Some(None);
            }
            reader.lenenc_bytes().map(Some)
        };
        let (Some(Some(_)), Some(name), Some(held)) = (value(), value(), value()) else {
            answer.found = true;
            return;
        };
        answer.sure = true;
        let (Some(name), Some(held)) = (name, held) else {
            // There are none, or it is NULL, as what was never set.
            return;
        };
        answer.found |= !settings.explains(name, held);
    }

    /// The question has failed, and might not the next time.
    pub(super) fn cut_short(&mut self) {
        (self.doubt, self.answer) = (Doubt::None, None);
    }

    /// The answer is complete; true if the connection may hold what the books do not.
    pub(super) fn answered(&mut self) -> bool {
        self.doubt = Doubt::None;
        let answer = self.answer.take().unwrap_or_default();
        answer.found || !answer.sure
    }
}

impl Leftovers {
    /// The connection has another client now; `suspect`: code of users has run on it unseen.
    pub(super) fn handed_over(&mut self, suspect: bool) {
        self.cleared = suspect.then(HashSet::new);
    }

    /// SQL that takes from the server connection the variables that these statements mention and other clients
    /// may have left; empty if there are none. `kept`: the connection has been the client's since its last
    /// statement.
    pub(super) fn clear(&mut self, settings: &Settings, verdict: &Verdict, kept: bool) -> Vec<u8> {
        match &mut self.cleared {
            None if kept => Vec::new(),
            None => settings.unset(verdict, |_| true),
            // What the client's own code has assigned since is not told apart, but for names met before.
            Some(cleared) => settings.unset(verdict, |name| {
                let new = !cleared.contains(name);
                if new && cleared.len() < MOST_NAMES {
                    cleared.insert(name.into());
                }
                new || !kept
            }),
        }
    }
}

/// The question: first a value that is `NULL` if the connection cannot be told, then name and value of a
/// variable, in hexadecimal digits. The limit goes before what the session has set as `sql_select_limit`.
pub(super) const fn question(flavor: Flavor) -> &'static [u8] {
    match flavor {
        Flavor::MariaDb => {
            b"SELECT 1, HEX(v.VARIABLE_NAME), HEX(v.VARIABLE_VALUE) FROM (SELECT 1 AS one) AS t \
              LEFT JOIN information_schema.USER_VARIABLES AS v ON v.VARIABLE_VALUE IS NOT NULL LIMIT 1000"
        }
        Flavor::MySql => {
            b"SELECT t.id, HEX(v.VARIABLE_NAME), HEX(v.VARIABLE_VALUE) FROM (SELECT PS_CURRENT_THREAD_ID() AS id) \
              AS t LEFT JOIN performance_schema.user_variables_by_thread AS v ON v.THREAD_ID = t.id \
              AND v.VARIABLE_VALUE IS NOT NULL LIMIT 1000"
        }
    }
}

/// Names that are remembered for one connection.
const MOST_NAMES: usize = 1000;

/// What runs code of users for certain.
const ROUTINES: Touches = Touches::of(Touch::Call).with(Touch::Function);

/// A value that is NULL, in a row of a text's result.
const NULL: u8 = 0xFB;
