//! What a reply says of the session's settings.
//!
//! The server's trackers are the truth: they see what procedures and expressions set. Where they say too little,
//! the text that was carried out helps; where that does not either, the session's settings are in doubt.
//!
//! # What the trackers do not say
//!
//! - User variables, ever.
//! - MySQL, on `SET NAMES`: the collation.
//! - MariaDB: which of several variables that are kept in one place has changed. Whichever of them is set
//!   first since tracking was switched on gives its name, and value, to all ([`SHARED`]). So it is with all
//!   switches that are bits of one word, `autocommit` among them.
//! - MariaDB, on `SET STATEMENT … FOR`: that the value was given back.

use std::sync::Arc;

use super::login::Flavor;
use super::settings::{Charsets, Settings};
use super::tracker::{self, Change, Unreadable};
use crate::model::{PinReason, Pins};
use crate::sql::mysql::variables::{Policy, policy};
use crate::sql::mysql::verdict::{Assignment, Detail, Literal, LiteralKind, Statement, Value};
use crate::sql::mysql::{Touch, Touches};

/// What was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The settings now.
    pub settings: Arc<Settings>,
    /// Why the connection cannot be left: something was set that `settings` do not hold.
    pub doubts: Pins,
    /// The server says that something has changed.
    pub changed: bool,
    /// The connection may hold what no other client must meet.
    pub dirty: bool,
}

/// Applies what an OK tells (`state`: its session state information) to the settings before it. `statement` is
/// the client's that it answers, if it answers one; its user variables are applied too.
pub fn observe(
    settings: &Arc<Settings>,
    statement: Option<&Statement>,
    state: &[u8],
    flavor: Flavor,
) -> Result<Seen, Unreadable> {
    let mut observer = Observer {
        before: settings,
        settings: Arc::clone(settings),
        doubts: Pins::NONE,
        changed: false,
        logged: false,
        statement,
        flavor,
        connection: None,
        collation: false,
    };
    for change in tracker::read(state) {
        match change? {
            Change::Variable(name, value) => {
                let name = str::from_utf8(name).map_err(|_| Unreadable)?;
                observer.variable(&name.to_ascii_lowercase(), value)?;
            }
            Change::Schema(name) => {
                let name = (!name.is_empty()).then_some(name);
                observer.settings = observer.settings.with_schema(name);
            }
            Change::StateChanged(changed) => observer.changed |= changed,
            Change::Gtids(_)
            | Change::Characteristics(_)
            | Change::Transaction(_)
            | Change::Other => {}
        }
    }
    observer.collation();
    observer.untold();
    for assignment in statement.map(Statement::assignments).unwrap_or_default() {
        observer.assigned(assignment);
    }
    let dirty = observer.logged && observer.touches_any(RUNS_CODE);
    Ok(Seen {
        settings: observer.settings,
        doubts: observer.doubts,
        changed: observer.changed,
        dirty,
    })
}

struct Observer<'a> {
    /// Those under which the statement was read.
    before: &'a Settings,
    settings: Arc<Settings>,
    doubts: Pins,
    changed: bool,
    /// MariaDB has told of one of [`LOGGED`], or of a transaction that was logged.
    logged: bool,
    statement: Option<&'a Statement>,
    flavor: Flavor,
    /// The connection's character set was told; this was the one before.
    connection: Option<Box<str>>,
    /// The collation was told, too.
    collation: bool,
}

impl<'a> Observer<'a> {
    fn variable(&mut self, name: &str, value: &[u8]) -> Result<(), Unreadable> {
        // Counts statements: no state.
        if name == "statement_id" || self.touches(Touch::SetStatement) {
            return Ok(());
        }
        // With a binary log, each transaction that is logged: which of them is meant, only the text can say.
        if self.flavor == Flavor::MariaDb && LOGGED.contains(&name) {
            self.logged = true;
            if name == "last_gtid" || !self.assigns(&LOGGED) {
                return Ok(());
            }
        }
        match policy(name) {
            Policy::Own => {
                // A routine has changed what the server tells: from here on it may tell too little.
                if !self.touches(Touch::SetTracker) {
                    self.doubt(PinReason::Setting);
                }
                return Ok(());
            }
            Policy::Pin(_) => {
                self.doubt(PinReason::Setting);
                return Ok(());
            }
            Policy::Replay => {}
        }
        if self.flavor == Flavor::MariaDb
            && let Some(shared) = SHARED.iter().find(|shared| shared.contains(&name))
        {
            // Which of them, and what value, is read from the text.
            let told = self.assignments().iter().any(|assignment| {
                matches!(assignment, Assignment::Session { name, .. } if shared.contains(&&**name))
            });
            if !told {
                self.doubt(PinReason::Setting);
            }
            return Ok(());
        }
        if name.starts_with("character_set_") || name == "collation_connection" {
            let text = str::from_utf8(value).map_err(|_| Unreadable)?;
            if self.charset(name, text) {
                return Ok(());
            }
        }
        if DEFAULT_COLLATIONS.contains(&name) && self.settings.charsets().collation.is_none() {
            // What was the default when the character set was chosen is no longer.
            self.doubt(PinReason::Setting);
        }
        if name == "max_join_size" {
            // The server sets it along.
            self.settings = self.settings.with_variable("sql_big_selects", None);
        }
        if self.settings.variable(name) != Some(value) {
            self.settings = self.settings.with_variable(name, Some(value));
        }
        Ok(())
    }

    /// Notes one of the four variables that are kept apart from the others.
    fn charset(&mut self, name: &str, value: &str) -> bool {
        let before = self.settings.charsets().clone();
        let after = match name {
            "character_set_client" => Charsets {
                client: value.into(),
                ..before
            },
            "character_set_results" => Charsets {
                results: (!value.is_empty()).then(|| value.into()),
                ..before
            },
            "character_set_connection" => {
                self.connection.get_or_insert(before.connection.clone());
                Charsets {
                    connection: value.into(),
                    ..before
                }
            }
            "collation_connection" => {
                self.collation = true;
                before.with_collation(value)
            }
            _ => return false,
        };
        self.settings = self.settings.with_charsets(after);
        true
    }

    /// The collation of a connection whose character set alone was told.
    fn collation(&mut self) {
        let Some(before) = self.connection.take() else {
            return;
        };
        if self.collation {
            return;
        }
        let charsets = self.settings.charsets().clone();
        let decisive = self
            .assignments()
            .iter()
            .rev()
            .find(|assignment| match assignment {
                Assignment::Names { .. } | Assignment::CharacterSet { .. } => true,
                Assignment::Session { name, .. } => {
                    matches!(&**name, "character_set_connection" | "collation_connection")
                }
                _ => false,
            });
        let chosen = decisive.is_some();
        let collation = match decisive {
            Some(Assignment::Names { collation, .. }) => Some(collation.clone()),
            Some(Assignment::Session {
                name,
                value: Value::Literal(literal),
            }) => match &**name {
                "collation_connection" => word(literal).map(Some),
                _ => Some(None),
            },
            // The collation of the schema, and what the server is configured to.
            Some(_) => None,
            // Routines give back what they set, and the server tells of it all the same.
            None if before == charsets.connection && !self.touches_any(OPAQUE) => return,
            None => None,
        };
        if collation.is_none() {
            self.doubt(PinReason::Setting);
            if !chosen {
                return;
            }
        }
        // Where it cannot be told, what the server is configured to is likelier than what was before.
        self.settings = self.settings.with_charsets(Charsets {
            collation: collation.flatten(),
            ..charsets
        });
    }

    /// A text that says what is to be told sets something else, too, of which the server may not tell.
    fn untold(&mut self) {
        let other = |assignment: &Assignment| match assignment {
            Assignment::Session { name, .. } => policy(name) != Policy::Own,
            Assignment::Names { .. } | Assignment::CharacterSet { .. } => true,
            Assignment::User { .. }
            | Assignment::Global { .. }
            | Assignment::NextTransaction { .. } => false,
        };
        if self.touches(Touch::SetTracker) && self.assignments().iter().any(other) {
            self.doubt(PinReason::Setting);
        }
    }

    fn assigned(&mut self, assignment: &Assignment) {
        match assignment {
            Assignment::User { name, value } => {
                let known = value.as_ref().and_then(|value| {
                    self.settings
                        .with_user_variable(name, value, self.before.charsets())
                });
                match known {
                    Some(settings) => self.settings = settings,
                    None => self.doubt(PinReason::UserVariable),
                }
            }
            Assignment::Session { name, value }
                if self.flavor == Flavor::MariaDb
                    && policy(name) == Policy::Replay
                    && SHARED.iter().any(|shared| shared.contains(&&**name)) =>
            {
                match value {
                    Value::Literal(literal) => match word(literal) {
                        Some(value) => {
                            let value = Some(switch(&value).as_bytes());
                            self.settings = self.settings.with_variable(name, value);
                        }
                        None => self.doubt(PinReason::Setting),
                    },
                    Value::Default => self.settings = self.settings.with_variable(name, None),
                    Value::Expression => self.doubt(PinReason::Setting),
                }
            }
            Assignment::Session { .. }
            | Assignment::Global { .. }
            | Assignment::NextTransaction { .. }
            | Assignment::Names { .. }
            | Assignment::CharacterSet { .. } => {}
        }
    }

    fn doubt(&mut self, reason: PinReason) {
        self.doubts.insert(reason);
    }

    fn assignments(&self) -> &'a [Assignment] {
        match self.statement.map(|statement| &statement.detail) {
            Some(Detail::Assign(assignments)) => assignments,
            _ => &[],
        }
    }

    fn assigns(&self, names: &[&str]) -> bool {
        let among = |assignment: &Assignment| matches!(assignment, Assignment::Session { name, .. } if names.contains(&&**name));
        self.assignments().iter().any(among) || self.touches_any(OPAQUE)
    }

    fn touches(&self, touch: Touch) -> bool {
        self.touches_any(Touches::of(touch))
    }

    fn touches_any(&self, touches: Touches) -> bool {
        self.statement
            .is_some_and(|statement| statement.touches.intersects(touches))
    }
}

/// Statements that may be a `SET` though their text is none.
const OPAQUE: Touches = Touches::of(Touch::SqlExecute).with(Touch::Unknown);

/// A constant that is plain text.
fn word(literal: &Literal) -> Option<Box<str>> {
    let plain = matches!(
        literal.kind,
        LiteralKind::String | LiteralKind::Word | LiteralKind::Number
    );
    let text = str::from_utf8(&literal.text).ok()?;
    (plain && text.is_ascii()).then(|| text.into())
}

/// Switches as servers tell them, so that equal settings look equal.
fn switch(value: &str) -> &str {
    if ["1", "on", "true"]
        .iter()
        .any(|on| value.eq_ignore_ascii_case(on))
    {
        "ON"
    } else if ["0", "off", "false"]
        .iter()
        .any(|off| value.eq_ignore_ascii_case(off))
    {
        "OFF"
    } else {
        value
    }
}

/// Variables that say which collation is a character set's default.
const DEFAULT_COLLATIONS: [&str; 2] = ["default_collation_for_utf8mb4", "character_set_collations"];

/// What runs code that may set variables unseen.
const RUNS_CODE: Touches = Touches::of(Touch::Call).with(Touch::Function);

/// MariaDB's variables without a place of their own: each is told by the name of that which was told first since
/// tracking was switched on, and with a binary log so is `last_gtid`, after all that is logged. `SET last_insert_id`
/// is how Sluice brings that number to a connection. What a routine sets here and leaves is lost with the connection.
const LOGGED: [&str; 7] = [
    "identity",
    "insert_id",
    "last_gtid",
    "last_insert_id",
    "rand_seed1",
    "rand_seed2",
    "timestamp",
];

/// MariaDB's variables that share a place, found by setting each one on MariaDB 11.8 and reading the reports
/// (`tests/it/mysql/settings.rs` does so again). The collation of the connection is one more such place:
/// [`FRESH_NAMES`](super::settings::FRESH_NAMES) sees to it that reports bear the name that says all.
const SHARED: [&[&str]; 5] = [
    &[
        "autocommit",
        "check_constraint_checks",
        "explicit_defaults_for_timestamp",
        "foreign_key_checks",
        "sql_auto_is_null",
        "sql_big_selects",
        "sql_buffer_result",
        "sql_if_exists",
        "sql_notes",
        "sql_quote_show_create",
        "sql_safe_updates",
        "sql_warnings",
        "system_versioning_insert_history",
        "unique_checks",
        // Bound to their connection, but they share the place.
        "profiling",
        "skip_parallel_replication",
        "skip_replication",
        "sql_log_off",
    ],
    &[
        "log_slow_admin_statements",
        "log_slow_disabled_statements",
        "log_slow_slave_statements",
    ],
    &["log_queries_not_using_indexes", "log_slow_filter"],
    &["character_set_server", "collation_server"],
    &["character_set_database", "collation_database"],
];

#[cfg(test)]
mod tests;
