//! The verdict on one text: its statements, what each may touch, and what a session model can track of them.
//!
//! Plain values. Whether a statement took effect is for the caller to learn from the server's replies; statement
//! `n` of a verdict belongs to the `n`-th command tag of the text. Literal values are redacted in debug output.

use std::fmt;

use smallvec::SmallVec;

use crate::sql::cache::Weigh;
use crate::sql::touches::{Touch, Touches};

/// What one text holds: any number of statements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What any of the statements may touch; contains [`Touch::Unknown`] when the text is in doubt.
    pub touches: Touches,
    /// The statements in order, empty ones left out (the server sends no command tag for those).
    pub statements: SmallVec<[Statement; 1]>,
    /// Whether every string, comment, identifier, parenthesis and routine body in the text is closed.
    /// The server refuses an incomplete text as a whole.
    pub complete: bool,
    /// Whether tokens show something that may run code of users: a call of a function that is not
    /// known as the server's own, or a command that may fire triggers. Views, operators and policies
    /// can do so unseen.
    pub may_call: bool,
    /// Whether some statement may change functions, views and other objects that live on.
    pub alters: bool,
}

impl Verdict {
    /// Whether tokens show nothing but reading in every statement, and there is at least one. Functions may write
    /// unseen, so this is a candidate for reading elsewhere, not a promise.
    #[must_use]
    pub fn read_only_candidate(&self) -> bool {
        !self.statements.is_empty()
            && self
                .statements
                .iter()
                .all(|statement| statement.read_only_candidate)
    }

    /// All setting changes with the index of their statement, in the order in which they apply.
    pub fn setting_changes(&self) -> impl Iterator<Item = (usize, &SettingChange)> {
        self.statements
            .iter()
            .enumerate()
            .flat_map(|(index, statement)| {
                statement
                    .setting_changes()
                    .iter()
                    .map(move |change| (index, change))
            })
    }

    /// Marks the whole text as one that may touch anything.
    pub fn doubt(&mut self) {
        self.touches.insert(Touch::Unknown);
        for statement in &mut self.statements {
            statement.touches.insert(Touch::Unknown);
            statement.read_only_candidate = false;
        }
    }
}

impl Weigh for Verdict {
    fn weight(&self) -> usize {
        let own = size_of::<Self>() + self.statements.len() * size_of::<Statement>();
        let texts = self.statements.iter().map(|one| match &one.detail {
            Detail::SqlPrepare(_, text) => text.0.len(),
            _ => 0,
        });
        let changes = self.setting_changes().map(|(_, change)| change.weight());
        own + texts.sum::<usize>() + changes.sum::<usize>()
    }
}

/// One statement of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// What the statement may touch.
    pub touches: Touches,
    /// What the statement does to the transaction.
    pub control: TransactionControl,
    /// What a session model can track of it.
    pub detail: Detail,
    /// Whether tokens show nothing but reading; see [`Verdict::read_only_candidate`].
    pub read_only_candidate: bool,
    /// Whether tokens show that it writes rows, or may.
    pub writes: bool,
}

impl Statement {
    /// The setting changes of this statement, in the order in which they apply.
    #[must_use]
    pub fn setting_changes(&self) -> &[SettingChange] {
        match &self.detail {
            Detail::Settings(changes) | Detail::SettingsByRow(changes) => changes,
            _ => &[],
        }
    }
}

/// The parsed part of a statement that a session model can track.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Detail {
    /// Nothing to track, or nothing that could be read with certainty; the touches tell which.
    None,
    /// Settings changed, in this order. These are all the settings the statement changes.
    Settings(Box<[SettingChange]>),
    /// The same, for each row that the statement yields: nothing has changed if it yields none.
    SettingsByRow(Box<[SettingChange]>),
    /// `LISTEN`; takes effect when the transaction commits.
    Listen(Which),
    /// `UNLISTEN`; takes effect when the transaction commits.
    Unlisten(Which),
    /// `PREPARE name AS …`, and all of it.
    SqlPrepare(Which, Text),
    /// `EXECUTE name`.
    SqlExecute(Which),
    /// `DEALLOCATE`; it gives up statements prepared by the protocol too.
    Deallocate(Which),
    /// `DECLARE name CURSOR WITH HOLD`; becomes session state when the transaction commits.
    CursorHold(Which),
    /// `CLOSE`.
    Close(Which),
    /// `DISCARD`.
    Discard(Discard),
    /// Exactly `SELECT pg_advisory_unlock_all()`: once done, the session holds no advisory lock.
    AdvisoryUnlockAll,
    /// `COPY` and where its data flows.
    Copy(CopyFlow),
}

/// The text of one statement, without its semicolon.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(pub Box<[u8]>);

impl fmt::Debug for Text {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Text({} bytes)", self.0.len())
    }
}

/// The thing a statement names, folded as the server folds identifiers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    /// All of them.
    All,
    /// The one of this name.
    One(Box<str>),
    /// A name that cannot be folded with certainty (over 63 bytes, escapes, not UTF-8).
    Unclear,
}

/// What `DISCARD` discards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discard {
    /// Everything, settings and prepared statements included.
    All,
    /// Cached plans.
    Plans,
    /// Cached sequence values.
    Sequences,
    /// Temporary tables.
    Temp,
}

/// Where the data of a `COPY` flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyFlow {
    /// From the client.
    In,
    /// To the client.
    Out,
    /// Between the server and a file or program there, or not clear.
    Other,
}

/// What a statement does to the transaction. The true state comes from the server's replies; this tells intent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransactionControl {
    /// Nothing.
    None,
    /// `BEGIN`, `START TRANSACTION`.
    Begin(TransactionModes),
    /// `COMMIT`, `END`; `chain` opens the next transaction at once.
    Commit {
        /// `AND CHAIN` was given.
        chain: bool,
    },
    /// `ROLLBACK`, `ABORT`; `chain` opens the next transaction at once.
    Rollback {
        /// `AND CHAIN` was given.
        chain: bool,
    },
    /// `SAVEPOINT name`.
    Savepoint(Which),
    /// `ROLLBACK TO name`: settings changed since are undone.
    RollbackTo(Which),
    /// `RELEASE name`.
    Release(Which),
    /// `PREPARE TRANSACTION`.
    PrepareTransaction,
    /// `COMMIT PREPARED`.
    CommitPrepared,
    /// `ROLLBACK PREPARED`.
    RollbackPrepared,
    /// A transaction command in a form not known here.
    Unclear,
}

/// Modes given with `BEGIN` and the like; what was not given is `None` and follows the session's defaults.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TransactionModes {
    /// Isolation level.
    pub isolation: Option<Isolation>,
    /// `READ ONLY` (true) or `READ WRITE` (false).
    pub read_only: Option<bool>,
    /// `DEFERRABLE` (true) or `NOT DEFERRABLE` (false).
    pub deferrable: Option<bool>,
}

/// Isolation level of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// `READ UNCOMMITTED`
    ReadUncommitted,
    /// `READ COMMITTED`
    ReadCommitted,
    /// `REPEATABLE READ`
    RepeatableRead,
    /// `SERIALIZABLE`
    Serializable,
}

impl Isolation {
    /// The value as settings spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read uncommitted",
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }
}

/// One change to one setting (or all of them).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettingChange {
    /// How long the change lasts.
    pub scope: SettingScope,
    /// The setting's name in lower case, its parts joined by dots; empty for [`SettingAction::ResetAll`].
    pub name: Box<str>,
    /// What happens to it.
    pub action: SettingAction,
}

impl SettingChange {
    /// The new value as `set_config` and the startup packet take it: one string, list items quoted
    /// where the server quotes them (`flatten_set_variable_args` in `guc_funcs.c`). `None` for a
    /// change that gives no value.
    #[must_use]
    pub fn raw_value(&self) -> Option<String> {
        let values = match &self.action {
            SettingAction::Raw(value) => return Some(value.text.to_string()),
            SettingAction::To(values) => values,
            SettingAction::Default
            | SettingAction::FromCurrent
            | SettingAction::Parameter(_)
            | SettingAction::ResetAll => return None,
        };
        let quoted = QUOTED_LISTS.contains(&&*self.name);
        let mut raw = String::new();
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                raw.push_str(", ");
            }
            if quoted && !is_plain(&value.text) {
                raw.push('"');
                raw.push_str(&value.text.replace('"', "\"\""));
                raw.push('"');
            } else {
                raw.push_str(&value.text);
            }
        }
        Some(raw)
    }

    fn weight(&self) -> usize {
        let values = match &self.action {
            SettingAction::To(values) => values
                .iter()
                .map(|value| size_of::<Literal>() + value.text.len())
                .sum(),
            SettingAction::Raw(value) => value.text.len(),
            SettingAction::Default
            | SettingAction::FromCurrent
            | SettingAction::Parameter(_)
            | SettingAction::ResetAll => 0,
        };
        size_of::<Self>() + self.name.len() + values
    }
}

/// Whether a list item means the same without quotes: lower case, nothing special.
fn is_plain(item: &str) -> bool {
    item.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && item
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The list settings whose items the server quotes (`GUC_LIST_QUOTE`; extensions cannot add any, and
/// `pg_dump` keeps the same list in `variable_is_guc_list_quote`).
const QUOTED_LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// How long a setting change lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SettingScope {
    /// Until the session ends, unless the transaction is rolled back.
    Session,
    /// Until the transaction ends.
    Local,
}

/// What happens to a setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SettingAction {
    /// `SET name TO a, b`: the list as written; the server quotes the items of list settings by itself.
    To(Box<[Literal]>),
    /// `set_config(name, value, …)`: one string that the server takes as it stands, even for list settings.
    Raw(Literal),
    /// `set_config(name, $n, …)`: the value is the statement's parameter of this number, from 1.
    Parameter(u16),
    /// Back to what the session started with.
    Default,
    /// To what it is now, thus outliving a surrounding `SET LOCAL`.
    FromCurrent,
    /// Every setting back to what the session started with. Leaves alone role, session authorization, the random
    /// seed and the modes of the running transaction.
    ResetAll,
}

/// A literal value as the server understands it: quotes removed, unquoted words folded to lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Literal {
    /// The value. May be secret: debug output shows only its length.
    pub text: Box<str>,
    /// How it was written.
    pub kind: LiteralKind,
}

impl fmt::Debug for Literal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}({} bytes)", self.kind, self.text.len())
    }
}

/// How a literal was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LiteralKind {
    /// A word or a double-quoted identifier.
    Identifier,
    /// A string in single quotes or dollar quotes.
    String,
    /// A number, sign included.
    Number,
}
