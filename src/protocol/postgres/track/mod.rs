//! A client's settings followed through its transactions, statement by statement, as the server
//! reports each complete.
//!
//! `SET` takes effect at once, and is undone when its transaction, or the transaction back to a
//! savepoint, is rolled back; `SET LOCAL` ends with the transaction and never gets here
//! (PostgreSQL documentation, SET).

use std::sync::Arc;

use super::guc;
use super::listen::Channels;
use super::replay::write_literal;
use super::settings::{Identity, ROLE, Settings, USER, Value, mixed, unique};
use crate::sql::statement::{
    Detail, Discard, Literal, LiteralKind, SettingAction, SettingChange, SettingScope, Statement,
    TransactionControl, Which,
};
use crate::sql::touches::Touch;

/// The settings of a session, now and if its transaction is rolled back.
// In this order: see `PgFront`.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Tracked {
    now: Both,
    /// In force if the transaction is rolled back.
    committed: Both,
    savepoints: Vec<(Which, Both)>,
    /// A statement of the transaction has failed.
    failed: bool,
    /// Those asked for at startup, to which RESET returns.
    startup: Arc<Settings>,
}

/// What a client's settings are to it, and on its server connection. They differ from a RESET of
/// a startup option, which the server does not know as such, to the next request.
#[derive(Clone, Debug)]
struct Both {
    wanted: Arc<Settings>,
    actual: Arc<Settings>,
    /// The channels that it listens to over the shared connection.
    heard: Arc<Channels>,
    /// Identifies what the transaction has set for itself; 0 if nothing that planning depends on.
    local: u64,
}

impl Both {
    fn of(settings: &Arc<Settings>) -> Self {
        Self {
            wanted: Arc::clone(settings),
            actual: Arc::clone(settings),
            heard: Arc::default(),
            local: 0,
        }
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.wanted, &other.wanted)
            && Arc::ptr_eq(&self.actual, &other.actual)
            && Arc::ptr_eq(&self.heard, &other.heard)
            && self.local == other.local
    }

    /// Gives a setting these values, set as whoever is in force.
    fn put(&mut self, name: &str, wanted: Option<Value>, actual: Option<Value>) {
        let setter = if name == USER || name == ROLE || guc::is_plain(name) {
            Identity::default()
        } else {
            self.actual.identity()
        };
        let same = Arc::ptr_eq(&self.wanted, &self.actual) && wanted == actual;
        self.wanted = self.wanted.with_by(name, wanted, setter.clone());
        self.actual = if same {
            Arc::clone(&self.wanted)
        } else {
            self.actual.with_by(name, actual, setter)
        };
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

    /// Those asked for at startup.
    pub(super) fn startup(&self) -> &Arc<Settings> {
        &self.startup
    }

    /// What is in force on the server connection.
    pub(super) fn actual(&self) -> &Arc<Settings> {
        &self.now.actual
    }

    /// Identifies what parsing and planning depend on at this point.
    pub(super) fn planner_id(&self) -> u64 {
        match self.now.local {
            0 => self.now.actual.planner_id(),
            local => mixed(local, "", None) ^ self.now.actual.planner_id(),
        }
    }

    /// True if a ROLLBACK would change the settings.
    pub(super) fn is_uncommitted(&self) -> bool {
        !self.now.is(&self.committed)
    }

    /// True if the statement returns a setting to what was asked for at startup, which the server
    /// connection knows nothing of.
    pub(super) fn returns_to_startup(&self, statement: &Statement) -> bool {
        let any = !Arc::ptr_eq(&self.startup, &Settings::none());
        if matches!(statement.detail, Detail::Discard(Discard::All)) {
            return any;
        }
        let resets = |change: &SettingChange| match &change.action {
            _ if change.scope == SettingScope::Local => false,
            SettingAction::Default => {
                self.startup.value(&change.name).is_some()
                    || &*change.name == USER && self.startup.value(ROLE).is_some()
            }
            SettingAction::ResetAll => any,
            _ => false,
        };
        statement.setting_changes().iter().any(resets)
    }

    /// What was asked for at startup of settings that the statement returns to it for the rest of its
    /// transaction.
    pub(super) fn returned_locally<'a>(
        &'a self,
        statement: &'a Statement,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let changes = statement.setting_changes().iter();
        let returns = changes.filter(|change| {
            change.scope == SettingScope::Local && change.action == SettingAction::Default
        });
        returns.filter_map(|change| Some((&*change.name, self.startup.value(&change.name)?)))
    }

    /// What is wanted is in force on the server connection, outside a transaction or as part of
    /// it.
    pub(super) fn applied(&mut self, outside: bool) {
        if Arc::ptr_eq(&self.now.actual, &self.now.wanted) {
            return;
        }
        self.now.actual = Arc::clone(&self.now.wanted);
        if outside {
            self.committed = self.now.clone();
        }
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

    /// A statement is complete, with this command tag (zero byte included).
    pub(super) fn complete(&mut self, statement: &Statement, tag: &[u8]) {
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
            _ if tag == ROLLED_BACK => self.roll_back(),
            _ => self.commit(),
        }
        let unread = matches!(statement.detail, Detail::None);
        if unread && statement.touches.contains(Touch::SetLocal) {
            self.now.local = unique();
        }
        let void = matches!(statement.detail, Detail::SettingsByRow(_)) && tag == NO_ROW;
        for change in statement.setting_changes().iter().filter(|_| !void) {
            self.change(change);
        }
        match &statement.detail {
            Detail::Unlisten(which) => self.unlisten(which),
            Detail::Discard(Discard::All) => self.discard(),
            _ => {}
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

    /// What has been set is committed.
    pub(super) fn commit(&mut self) {
        self.now.local = 0;
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
        self.now = Both {
            wanted: Arc::clone(&self.startup),
            actual: Settings::none(),
            heard: Arc::default(),
            local: 0,
        };
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
        let value = match &change.action {
            SettingAction::To(values) => list(values),
            SettingAction::Raw(value) => Value::Text(value.text.as_bytes().into()),
            SettingAction::Default => return self.reset(change),
            SettingAction::ResetAll => return self.reset_all(),
            // Of the session, these pin: see `rules`.
            SettingAction::FromCurrent | SettingAction::Parameter(_) => {
                self.now.local = unique();
                return;
            }
        };
        if change.scope == SettingScope::Local {
            return self.set_local(&change.name, Some(&value));
        }
        if &*change.name == USER {
            // "SET SESSION AUTHORIZATION implies SET ROLE NONE" (the server's guc.c).
            let none = Some(Value::Text(b"none"[..].into()));
            self.now.put(ROLE, none.clone(), none);
        }
        self.now.put(&change.name, Some(value.clone()), Some(value));
    }

    /// Something has set what the rest of the transaction is planned by.
    pub(super) fn local_unknown(&mut self) {
        self.now.local = unique();
    }

    fn set_local(&mut self, name: &str, value: Option<&Value>) {
        if !guc::is_planner_blind(name) && !name.starts_with("transaction_") {
            self.now.local = mixed(self.now.local, name, value);
        }
    }

    fn reset(&mut self, change: &SettingChange) {
        if change.scope == SettingScope::Local {
            return self.set_local(&change.name, None);
        }
        let startup = self.startup.value(&change.name).cloned();
        self.now.put(&change.name, startup, None);
        if &*change.name == USER {
            let role = self.startup.value(ROLE).cloned();
            self.now.put(ROLE, role, None);
        }
    }

    /// RESET ALL leaves user and role alone (`GUC_NO_RESET_ALL` in the server's `guc_tables.c`).
    fn reset_all(&mut self) {
        let keep = |from: &Arc<Settings>, to: Arc<Settings>| {
            let Identity { user, role } = from.identity();
            to.with(USER, user).with(ROLE, role)
        };
        self.now.wanted = keep(&self.now.wanted, Arc::clone(&self.startup));
        self.now.actual = keep(&self.now.actual, Settings::none());
        if Settings::same(&self.now.wanted, &self.now.actual) {
            self.now.actual = Arc::clone(&self.now.wanted);
        }
    }
}

/// The tag of what ended by a rollback, COMMIT of a failed transaction included.
pub(super) const ROLLED_BACK: &[u8] = b"ROLLBACK\0";
/// The tag of a SELECT that has yielded nothing.
const NO_ROW: &[u8] = b"SELECT 0\0";

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
mod tests;
