//! The verdict on one text: its statements, what each may touch, and what a session model can track of them.
//!
//! Plain values. Whether a statement took effect is for the caller to learn from the server's replies. The server
//! stops at the first statement that fails. Values are redacted in debug output.

use std::fmt;

use smallvec::SmallVec;

use super::touch::{Touch, Touches};
use crate::sql::cache::Weigh;
use crate::sql::statement::{TransactionModes, Which};

/// What one text holds: any number of statements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What any of the statements may touch; contains [`Touch::Unknown`] when the text is in doubt.
    pub touches: Touches,
    /// The statements in order. Where nothing stands between semicolons there is one without touches, since
    /// the server answers that too. Statement `n` belongs to the `n`-th reply of the text, counted up to the
    /// first statement with [`Statement::many_replies`].
    pub statements: SmallVec<[Statement; 1]>,
    /// Whether every string, comment, identifier, parenthesis and routine body in the text is closed.
    pub complete: bool,
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

    /// Whether a statement ends connections or their queries by number. The numbers that clients know are Sluice's: a
    /// server would take them for others.
    #[must_use]
    pub fn kills(&self) -> bool {
        self.statements
            .iter()
            .any(|statement| match &statement.detail {
                Detail::Kill(kill) => {
                    kill.id.is_some() && matches!(kill.what, Killed::Connection | Killed::Query)
                }
                _ => false,
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

    /// The verdict on a text of which nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        let mut statements = SmallVec::new();
        statements.push(Statement {
            touches: Touches::of(Touch::Unknown),
            many_replies: true,
            ..Statement::default()
        });
        Self {
            touches: Touches::of(Touch::Unknown),
            statements,
            complete: true,
        }
    }
}

impl Weigh for Verdict {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.statements.iter().map(Statement::weight).sum::<usize>()
    }
}

/// Whether `FOUND_ROWS()` may count rows that a statement does not return: those of a query within, or of one whose rows
/// go elsewhere. Whether it does depends on more than the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreturned {
    /// There are none, or none of them count.
    Uncounted,
    /// They may be told at once.
    Counted,
    /// They may be told once a later statement writes to a table or is a `CALL`.
    CountedLater,
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
    /// The user variables that it mentions, to read or to write them, in lower case; each once. Meaningless
    /// under [`Touch::Unknown`].
    pub variables: Box<[Box<str>]>,
    /// Whether tokens show nothing but reading; see [`Verdict::read_only_candidate`].
    pub read_only_candidate: bool,
    /// Whether the server may answer with more than one reply, as for `CALL`.
    pub many_replies: bool,
    /// Whether `FOUND_ROWS()` may count rows that it does not return.
    pub unreturned: Unreturned,
    /// Whether `FOUND_ROWS()` counts the rows that it returns, if it does.
    pub counts: bool,
}

impl Default for Statement {
    fn default() -> Self {
        Self {
            touches: Touches::NONE,
            control: TransactionControl::None,
            detail: Detail::None,
            variables: Box::default(),
            read_only_candidate: false,
            many_replies: false,
            unreturned: Unreturned::Uncounted,
            counts: true,
        }
    }
}

impl Statement {
    /// The variables assigned by this statement, in order.
    #[must_use]
    pub fn assignments(&self) -> &[Assignment] {
        match &self.detail {
            Detail::Assign(assignments) => assignments,
            _ => &[],
        }
    }

    fn weight(&self) -> usize {
        let variables = self.variables.iter().map(|name| 16 + name.len());
        let assignments = self.assignments().iter().map(Assignment::weight);
        size_of::<Self>() + variables.chain(assignments).sum::<usize>()
    }
}

/// The parsed part of a statement that a session model can track.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Detail {
    /// Nothing to track, or nothing that could be read with certainty; the touches tell which.
    None,
    /// `SET`: the variables changed, in this order.
    Assign(Box<[Assignment]>),
    /// `USE`
    Use(Which),
    /// `CREATE TEMPORARY TABLE`
    TempTable(TableName),
    /// `DROP TABLE`: of each name, the temporary table if there is one.
    DropTables {
        /// Only temporary tables.
        temporary: bool,
        /// The tables; of one that is unclear there may be more.
        names: Box<[TableName]>,
    },
    /// Exactly `SELECT GET_LOCK('name', number)` or `DO` the same.
    GetLock(Box<[u8]>),
    /// Exactly `SELECT RELEASE_LOCK('name')` or `DO` the same.
    ReleaseLock(Box<[u8]>),
    /// Exactly `SELECT RELEASE_ALL_LOCKS()` or `DO` the same: once done, the session holds none.
    ReleaseAllLocks,
    /// `HANDLER name OPEN AS name`: the name to close it by.
    HandlerOpen(Which),
    /// `HANDLER name CLOSE`
    HandlerClose(Which),
    /// `XA COMMIT`, `XA ROLLBACK`: once done, the session is in no such transaction.
    XaEnd,
    /// `PREPARE name FROM …`
    SqlPrepare(Which),
    /// `EXECUTE name`
    SqlExecute(Which),
    /// `DEALLOCATE PREPARE name`
    Deallocate(Which),
    /// `SHOW WARNINGS`, `SHOW ERRORS`
    ShowDiagnostics,
    /// `KILL`
    Kill(Kill),
}

/// The name of a table as written, quotes removed. Whether case matters is the server's affair.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum TableName {
    /// A certain name.
    Of {
        /// The schema, if one was given.
        schema: Option<Box<str>>,
        /// The table.
        table: Box<str>,
    },
    /// No certain name.
    Unclear,
}

/// What a `KILL` asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kill {
    /// What is to end.
    pub what: Killed,
    /// Whether `SOFT` was given (MariaDB): not in the midst of what could break a table.
    pub soft: bool,
    /// Whose; `None` if the number is not given as a constant.
    pub id: Option<u64>,
}

/// What is to end by a `KILL`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Killed {
    /// The connection of this number.
    Connection,
    /// What the connection of this number runs.
    Query,
    /// The query of this number (MariaDB's `QUERY ID`).
    QueryId,
    /// All that a user has open (MariaDB's `USER`), or the queries thereof.
    User,
}

/// What a statement does to the transaction. The true state comes from the server's replies; this tells intent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransactionControl {
    /// Nothing.
    None,
    /// `BEGIN`, `START TRANSACTION`; ends a transaction that is open.
    Begin {
        /// `READ ONLY` (true) or `READ WRITE` (false), if given.
        read_only: Option<bool>,
        /// `WITH CONSISTENT SNAPSHOT`
        snapshot: bool,
    },
    /// `COMMIT`
    Commit(Ending),
    /// `ROLLBACK`
    Rollback(Ending),
    /// `SAVEPOINT name`
    Savepoint(Which),
    /// `ROLLBACK TO name`
    RollbackTo(Which),
    /// `RELEASE SAVEPOINT name`
    Release(Which),
    /// `SET TRANSACTION` for the next transaction alone.
    SetTransaction(TransactionModes),
    /// `SET autocommit`; true commits. `None`: not a constant.
    Autocommit(Option<bool>),
    /// A transaction command in a form not known here.
    Unclear,
}

/// What follows the end of a transaction; what was not given is up to `completion_type`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ending {
    /// `AND CHAIN` (true) or `AND NO CHAIN` (false): whether the next transaction begins at once.
    pub chain: Option<bool>,
    /// `RELEASE` (true) or `NO RELEASE` (false): whether the server disconnects.
    pub release: Option<bool>,
}

/// One variable assigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Assignment {
    /// A user variable.
    User {
        /// Its name in lower case.
        name: Box<str>,
        /// Its value; `None` if it is not a constant.
        value: Option<Literal>,
    },
    /// A session variable.
    Session {
        /// Its name in lower case.
        name: Box<str>,
        /// Its value.
        value: Value,
    },
    /// A global or persisted variable.
    Global {
        /// Its name in lower case.
        name: Box<str>,
    },
    /// `@@transaction_isolation` and the like, for the next transaction alone.
    NextTransaction {
        /// Its name in lower case.
        name: Box<str>,
        /// Its value.
        value: Value,
    },
    /// `SET NAMES`
    Names {
        /// Character set of client, connection and results; `None`: `DEFAULT`.
        charset: Option<Box<str>>,
        /// Collation of the connection, if given.
        collation: Option<Box<str>>,
    },
    /// `SET CHARACTER SET`
    CharacterSet {
        /// Character set of client and results; `None`: `DEFAULT`.
        charset: Option<Box<str>>,
    },
}

impl Assignment {
    fn weight(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        size_of::<Self>()
            + match self {
                Self::User { name, value } => {
                    name.len() + value.as_ref().map_or(0, |value| value.text.len())
                }
                Self::Session { name, value } | Self::NextTransaction { name, value } => {
                    name.len()
                        + match value {
                            Value::Literal(value) => value.text.len(),
                            Value::Default | Value::Expression => 0,
                        }
                }
                Self::Global { name } => name.len(),
                Self::Names { charset, collation } => text(charset) + text(collation),
                Self::CharacterSet { charset } => text(charset),
            }
    }
}

/// What a system variable is set to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A constant.
    Literal(Literal),
    /// `DEFAULT`: what the global variable has.
    Default,
    /// What the server makes of an expression.
    Expression,
}

/// A constant.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Literal {
    /// How it was written.
    pub kind: LiteralKind,
    /// The value, in the client's character set: of a string what it says, of anything else what was
    /// written. May be secret: debug output shows only its length.
    pub text: Box<[u8]>,
}

impl fmt::Debug for Literal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}({} bytes)", self.kind, self.text.len())
    }
}

/// How a constant was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LiteralKind {
    /// In quotes.
    String,
    /// In quotes with an `N` before them: `utf8mb3`, whatever the connection has.
    National,
    /// A number, sign included.
    Number,
    /// Hexadecimal or binary digits.
    Bits,
    /// A word, such as `ON`, `NULL` or `utf8mb4`.
    Word,
}
