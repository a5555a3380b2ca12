//! A client's settings followed through its transactions, statement by statement, as the server
//! reports each complete.
//!
//! `SET` takes effect at once, and is undone when its transaction, or the transaction back to a
//! savepoint, is rolled back; `SET LOCAL` ends with the transaction and never gets here
//! (PostgreSQL documentation, SET).

use std::sync::Arc;

use super::listen::Channels;
use super::settings::{Settings, Value, write_literal};
use crate::sql::statement::{
    Detail, Literal, LiteralKind, SettingAction, SettingChange, SettingScope, Statement,
    TransactionControl, Which,
};

/// The settings of a session, now and if its transaction is rolled back.
#[derive(Debug)]
pub struct Tracked {
    now: Both,
    /// In force if the transaction is rolled back.
    committed: Both,
    /// Those asked for at startup, to which RESET returns.
    startup: Arc<Settings>,
    savepoints: Vec<(Which, Both)>,
    /// A statement of the transaction has failed.
    failed: bool,
}

/// What a client's settings are to it, and on its server connection. They differ from a RESET of
/// a startup option, which the server does not know as such, to the next request.
#[derive(Clone, Debug)]
struct Both {
    wanted: Arc<Settings>,
    actual: Arc<Settings>,
    /// The channels that it listens to over the shared connection.
    heard: Arc<Channels>,
}

impl Both {
    fn of(settings: &Arc<Settings>) -> Self {
        Self {
            wanted: Arc::clone(settings),
            actual: Arc::clone(settings),
            heard: Arc::default(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.wanted, &other.wanted)
            && Arc::ptr_eq(&self.actual, &other.actual)
            && Arc::ptr_eq(&self.heard, &other.heard)
    }
}

impl Tracked {
    /// A session with these startup settings.
    pub(super) fn new(startup: Arc<Settings>) -> Self {
        Self {
            now: Both::of(&startup),
            committed: Both::of(&startup),
            startup,
            savepoints: Vec::new(),
            failed: false,
        }
    }

    /// What the client's statements must run under.
    pub(super) fn wanted(&self) -> &Arc<Settings> {
        &self.now.wanted
    }

    /// What is in force on the server connection.
    pub(super) fn actual(&self) -> &Arc<Settings> {
        &self.now.actual
    }

    /// What is wanted is in force on the server connection, outside a transaction.
    pub(super) fn applied(&mut self) {
        if Arc::ptr_eq(&self.now.actual, &self.now.wanted) {
            return;
        }
        self.now.actual = Arc::clone(&self.now.wanted);
        self.committed = self.now.clone();
    }

    /// These are in force, outside a transaction, as the server says.
    pub(super) fn adopt(&mut self, settings: Arc<Settings>) {
        self.now = Both {
            heard: Arc::clone(&self.now.heard),
            ..Both::of(&settings)
        };
        self.commit();
    }

    /// The channels that the client listens to over the shared connection.
    pub(super) fn heard(&self) -> &Arc<Channels> {
        &self.now.heard
    }

    /// It listens to these from now on, outside a transaction.
    pub(super) fn hear(&mut self, channels: Arc<Channels>) {
        self.now.heard = channels;
        self.commit();
    }

    /// A statement is complete; `rolled_back`: its command tag says ROLLBACK.
    pub(super) fn complete(&mut self, statement: &Statement, rolled_back: bool) {
        match &statement.control {
            TransactionControl::None | TransactionControl::Begin(_) => {}
            TransactionControl::Savepoint(name) => {
                self.savepoints.push((name.clone(), self.now.clone()));
            }
            TransactionControl::RollbackTo(name) => self.rollback_to(name),
            TransactionControl::Release(name) => {
                if let Some(place) = self.savepoint(name) {
                    self.savepoints.truncate(place);
                }
            }
            // COMMIT of a failed transaction is a rollback, and its tag says so.
            _ if rolled_back => self.roll_back(),
            _ => self.commit(),
        }
        for change in statement.setting_changes() {
            self.change(change);
        }
        if let Detail::Unlisten(which) = &statement.detail {
            self.unlisten(which);
        }
    }

    /// `UNLISTEN`. Takes effect at commit like `LISTEN`; until then nothing is delivered anyway.
    fn unlisten(&mut self, which: &Which) {
        if self.now.heard.is_empty() {
            return;
        }
        match which {
            Which::All => self.now.heard = Arc::default(),
            Which::One(channel) => {
                let name = channel.as_bytes();
                if self.now.heard.contains(name) {
                    let mut rest = (*self.now.heard).clone();
                    rest.remove(name);
                    self.now.heard = Arc::new(rest);
                }
            }
            Which::Unclear => {}
        }
    }

    /// A statement that was not followed has ended with the tag ROLLBACK.
    pub(super) fn roll_back(&mut self) {
        self.now = self.committed.clone();
        self.savepoints.clear();
        self.failed = false;
    }

    fn commit(&mut self) {
        self.committed = self.now.clone();
        self.savepoints.clear();
        self.failed = false;
    }

    /// An error has been reported.
    pub(super) fn fail(&mut self) {
        self.failed = true;
    }

    /// The server is idle again: what was not rolled back is committed. A failure outside a
    /// transaction block has undone the implicit transaction that it happened in.
    pub(super) fn idle(&mut self) {
        if self.failed {
            self.roll_back();
        } else if !self.committed.is(&self.now) || !self.savepoints.is_empty() {
            self.commit();
        }
    }

    /// DISCARD ALL, which does not run inside a transaction.
    pub(super) fn discard(&mut self) {
        self.now = self.reset();
        self.now.heard = Arc::default();
        self.commit();
    }

    fn rollback_to(&mut self, name: &Which) {
        if let Some(place) = self.savepoint(name)
            && let Some((_, then)) = self.savepoints.get(place)
        {
            self.now = then.clone();
            self.savepoints.truncate(place + 1);
            self.failed = false;
        }
    }

    /// The newest savepoint of this name.
    fn savepoint(&self, name: &Which) -> Option<usize> {
        self.savepoints.iter().rposition(|(known, _)| known == name)
    }

    fn change(&mut self, change: &SettingChange) {
        if change.scope == SettingScope::Local {
            return;
        }
        let value = match &change.action {
            SettingAction::To(values) => list(values),
            SettingAction::Raw(value) => Value::Text(value.text.as_bytes().into()),
            SettingAction::Default => {
                let startup = self.startup.value(&change.name).cloned();
                self.now.wanted = self.now.wanted.with(&change.name, startup);
                self.now.actual = self.now.actual.with(&change.name, None);
                return;
            }
            SettingAction::ResetAll => {
                self.now = self.reset();
                return;
            }
            // These pin: see `rules`.
            SettingAction::FromCurrent | SettingAction::Parameter(_) => return,
        };
        let same = Arc::ptr_eq(&self.now.wanted, &self.now.actual);
        self.now.wanted = self.now.wanted.with(&change.name, Some(value.clone()));
        self.now.actual = if same {
            Arc::clone(&self.now.wanted)
        } else {
            self.now.actual.with(&change.name, Some(value))
        };
    }

    fn reset(&self) -> Both {
        Both {
            wanted: Arc::clone(&self.startup),
            actual: Settings::none(),
            heard: Arc::clone(&self.now.heard),
        }
    }
}

/// The items of a `SET`, as constants that mean the same: identifiers and strings do.
fn list(values: &[Literal]) -> Value {
    let mut out = Vec::new();
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        match value.kind {
            LiteralKind::Number => out.extend_from_slice(value.text.as_bytes()),
            LiteralKind::Identifier | LiteralKind::String => {
                write_literal(value.text.as_bytes(), &mut out);
            }
        }
    }
    Value::List(out.into())
}

/// The one statement that a DEALLOCATE names, if the text is nothing else.
pub fn deallocated(statement: &Statement) -> Option<&str> {
    match &statement.detail {
        Detail::Deallocate(Which::One(name)) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Settings, Tracked, Value};
    use crate::sql::postgres::classify;

    /// Runs statements that all succeed.
    fn run(tracked: &mut Tracked, text: &str) {
        for statement in &classify(text.as_bytes()).statements {
            tracked.complete(statement, text.starts_with("ROLLBACK"));
        }
    }

    fn value(tracked: &Tracked, name: &str) -> Option<String> {
        tracked.wanted().value(name).map(|value| match value {
            Value::Text(text) | Value::List(text) => String::from_utf8(text.to_vec()).unwrap(),
        })
    }

    #[test]
    fn a_rollback_undoes_what_its_transaction_set() {
        let mut tracked = Tracked::new(Settings::from_pairs([("jit", &b"off"[..])]));
        run(&mut tracked, "SET search_path TO a, \"B\"");
        tracked.idle();
        run(&mut tracked, "BEGIN");
        run(
            &mut tracked,
            "SET search_path = c; RESET jit; SET LOCAL x.y = 1",
        );
        assert_eq!(value(&tracked, "search_path").unwrap(), "'c'");
        assert_eq!(value(&tracked, "jit").unwrap(), "off");
        assert_eq!(tracked.actual().value("jit"), None);
        run(&mut tracked, "ROLLBACK");
        tracked.idle();
        assert_eq!(value(&tracked, "search_path").unwrap(), "'a','B'");
        assert_eq!(value(&tracked, "x.y"), None);
    }

    #[test]
    fn savepoints_nest() {
        let mut tracked = Tracked::new(Settings::none());
        run(
            &mut tracked,
            "BEGIN; SET a.b = 1; SAVEPOINT s; SET a.b = 2; SAVEPOINT s; SET a.b = 3",
        );
        tracked.fail();
        run(&mut tracked, "ROLLBACK TO s");
        assert_eq!(value(&tracked, "a.b").unwrap(), "2");
        run(&mut tracked, "RELEASE s");
        run(&mut tracked, "ROLLBACK TO SAVEPOINT s");
        assert_eq!(value(&tracked, "a.b").unwrap(), "1");
        run(&mut tracked, "COMMIT");
        tracked.idle();
        assert_eq!(value(&tracked, "a.b").unwrap(), "1");
    }

    #[test]
    fn a_failure_undoes_the_implicit_transaction() {
        let mut tracked = Tracked::new(Settings::none());
        run(&mut tracked, "SET a.b = 1");
        tracked.fail();
        tracked.idle();
        assert_eq!(value(&tracked, "a.b"), None);
        run(&mut tracked, "SELECT set_config('a.b', 'x y', false)");
        tracked.idle();
        assert_eq!(value(&tracked, "a.b").unwrap(), "x y");
        run(&mut tracked, "RESET ALL");
        tracked.idle();
        assert_eq!(value(&tracked, "a.b"), None);
    }
}
