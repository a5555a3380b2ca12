//! What a statement does by its own command, apart from the functions it calls.

use super::cursor::{Cursor, name};
use super::lexer::Kind;
use super::touch::{Touch, Touches};
use super::verdict::{Detail, TableName, TransactionControl};
use super::words::Command;
use super::{calls, kill, prepare, set, transaction};
use crate::sql::statement::Which;

/// The effect of one statement.
pub(super) struct Effect {
    pub(super) touches: Touches,
    pub(super) control: TransactionControl,
    pub(super) detail: Detail,
    /// The command only reads, unless words within say otherwise.
    pub(super) reads: bool,
    pub(super) many_replies: bool,
    /// Where the statement ends is in doubt, for it has statements within.
    pub(super) doubtful: bool,
    /// The rows of this `SHOW` are those of a query, and counted as such.
    pub(super) counts: bool,
}

impl Effect {
    pub(super) const NONE: Self = Self {
        touches: Touches::NONE,
        control: TransactionControl::None,
        detail: Detail::None,
        reads: false,
        many_replies: false,
        doubtful: false,
        counts: false,
    };

    /// Only this.
    pub(super) const fn touch(touches: Touches) -> Self {
        Self {
            touches,
            ..Self::NONE
        }
    }

    /// Only that it reads.
    const READS: Self = Self {
        reads: true,
        ..Self::NONE
    };

    /// Something about which nothing is known, that may well contain statements.
    pub(super) const UNKNOWN: Self = Self {
        touches: Touches::of(Touch::Unknown),
        many_replies: true,
        ..Self::NONE
    };

    pub(super) fn detail(touch: Touch, detail: Detail) -> Self {
        Self {
            detail,
            ..Self::touch(Touches::of(touch))
        }
    }
}

const COMMITS: Touches = Touches::of(Touch::ImplicitCommit);
const SCHEMA: Touches = COMMITS.with(Touch::SchemaObjects);
const SERVER: Touches = COMMITS.with(Touch::Server);

/// The effect of a statement with this command. `cursor` starts at its first token; `called` is what its
/// functions touch.
pub(super) fn effect<'a>(
    command: Command,
    cursor: impl Fn() -> Cursor<'a>,
    called: Touches,
) -> Effect {
    match command {
        Command::Read => calls::read(&cursor, called),
        Command::Do => Effect {
            reads: false,
            touches: Touches::of(Touch::Do),
            ..calls::read(&cursor, called)
        },
        Command::Write => Effect::touch(Touches::of(Touch::TableWrite)),
        Command::Set => set::set(cursor()),
        Command::Transaction => transaction::transaction(cursor()),
        Command::Show => show(cursor()),
        Command::Explain => explain(cursor()),
        Command::Analyze => analyze(cursor()),
        Command::Load => load(cursor()),
        Command::Call => Effect {
            many_replies: true,
            ..Effect::touch(Touches::of(Touch::Call))
        },
        Command::Xa => xa(cursor()),
        Command::Lock => lock(cursor()),
        Command::Unlock => unlock(cursor()),
        Command::Flush => flush(cursor()),
        Command::Handler => handler(cursor()),
        Command::Prepare => prepare::prepare(cursor()),
        Command::Execute => prepare::execute(cursor()),
        Command::Deallocate => prepare::deallocate(cursor()),
        Command::Use => used(cursor()),
        Command::Kill => kill::kill(cursor()),
        Command::Create => create(cursor()),
        Command::Drop => drop(cursor()),
        Command::Alter | Command::Rename => alter(cursor()),
        Command::Truncate => Effect::touch(SCHEMA),
        Command::Commits => Effect::touch(COMMITS),
        Command::Server => Effect::touch(SERVER),
        Command::Get => get(called),
        Command::Backup => backup(cursor()),
        Command::Binlog => Effect::touch(Touches::of(Touch::Binlog)),
        Command::Help => Effect::READS,
        // MariaDB runs compound statements outside of routines.
        Command::Unknown => Effect {
            doubtful: true,
            ..Effect::UNKNOWN
        },
    }
}

fn show(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    while cursor.take_any(&[b"full", b"extended", b"global", b"session", b"local"]) {}
    let subject = cursor.advance();
    let is = |words: &[&[u8]]| {
        subject.is_some_and(|subject| words.iter().any(|word| subject.is_word(word)))
    };
    if is(&[b"warnings", b"errors"]) {
        return Effect {
            detail: Detail::ShowDiagnostics,
            ..Effect::touch(Touches::of(Touch::Diagnostics))
        };
    }
    if is(&[b"count"]) {
        return Effect {
            counts: true,
            ..Effect::touch(Touches::of(Touch::Diagnostics))
        };
    }
    if is(&[b"processlist"]) {
        return Effect::touch(Touches::of(Touch::ProcessList));
    }
    if is(&[b"profile", b"profiles"]) {
        return Effect::touch(Touches::of(Touch::Profile));
    }
    // What every server that has the same data answers alike.
    Effect {
        reads: is(&[
            b"tables",
            b"columns",
            b"fields",
            b"index",
            b"indexes",
            b"keys",
            b"create",
            b"databases",
            b"schemas",
            b"table",
            b"triggers",
            b"procedure",
            b"function",
            b"collation",
            b"character",
            b"charset",
            b"grants",
        ]),
        counts: !is(&[
            b"create",
            b"grants",
            b"privileges",
            b"engine",
            b"binary",
            b"binlog",
            b"relaylog",
            b"master",
            b"authors",
            b"contributors",
        ]),
        ..Effect::NONE
    }
}

fn explain(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    while let Some(token) = cursor.advance() {
        if token.is_word(b"connection")
            && cursor.peek().is_some_and(|next| next.kind == Kind::Number)
        {
            return Effect::touch(Touches::of(Touch::ConnectionId));
        }
    }
    Effect::READS
}

/// `ANALYZE TABLE`, or MariaDB's `ANALYZE` of a statement, which runs it.
fn analyze(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    if cursor.take_any(&[b"table", b"tables", b"local", b"no_write_to_binlog"]) {
        return Effect::touch(COMMITS);
    }
    Effect::READS
}

fn load(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    if cursor.take_word(b"index") {
        return Effect::touch(COMMITS);
    }
    if !cursor.take_any(&[b"data", b"xml"]) {
        return Effect::UNKNOWN;
    }
    cursor.take_any(&[b"low_priority", b"concurrent"]);
    if cursor.take_word(b"local") {
        return Effect::touch(Touches::of(Touch::LoadLocal).with(Touch::TableWrite));
    }
    Effect::touch(Touches::of(Touch::TableWrite))
}

fn xa(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    if cursor.take_word(b"recover") {
        return Effect::NONE;
    }
    let ends = cursor.take_any(&[b"commit", b"rollback"]);
    let detail = if ends { Detail::XaEnd } else { Detail::None };
    Effect::detail(Touch::Xa, detail)
}

fn lock(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    if cursor.take_any(&[b"tables", b"table"]) {
        return Effect::touch(COMMITS.with(Touch::LockTables));
    }
    if cursor.take_word(b"instance") {
        return Effect::touch(Touches::of(Touch::BackupLock));
    }
    Effect::UNKNOWN
}

fn unlock(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    if cursor.take_any(&[b"tables", b"table"]) {
        return Effect::touch(COMMITS.with(Touch::UnlockTables));
    }
    if cursor.take_word(b"instance") {
        return Effect::touch(Touches::of(Touch::BackupUnlock));
    }
    Effect::UNKNOWN
}

fn flush(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    cursor.take_any(&[b"local", b"no_write_to_binlog"]);
    let tables = cursor.take_any(&[b"tables", b"table"]);
    let locks = std::iter::from_fn(|| cursor.advance()).any(|token| {
        // WITH READ LOCK, FOR EXPORT; MariaDB: AND DISABLE CHECKPOINT
        token.is_word(b"with") || token.is_word(b"for") || token.is_word(b"disable")
    });
    if tables && locks {
        return Effect::touch(SERVER.with(Touch::FlushLock));
    }
    Effect::touch(SERVER)
}

fn handler(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    let table = cursor.table();
    let named = match table {
        TableName::Of { table, .. } => Which::One(table),
        TableName::Unclear => Which::Unclear,
    };
    if cursor.take_word(b"open") {
        cursor.take_word(b"as");
        let alias = if cursor.at_end() {
            named
        } else {
            cursor.which()
        };
        return Effect::detail(Touch::Handler, Detail::HandlerOpen(alias));
    }
    if cursor.take_word(b"close") {
        return Effect::detail(Touch::HandlerClose, Detail::HandlerClose(named));
    }
    Effect::touch(Touches::of(Touch::Handler))
}

fn used(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    let schema = cursor.which();
    if !cursor.at_end() {
        return Effect::UNKNOWN;
    }
    Effect::detail(Touch::Schema, Detail::Use(schema))
}

fn create(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    cursor.take_words(&[b"or", b"replace"]);
    if !cursor.take_word(b"temporary") {
        return Effect::touch(SCHEMA);
    }
    // MariaDB has temporary sequences too; one is dropped as a table is.
    let table = cursor.take_any(&[b"table", b"sequence"]);
    cursor.take_words(&[b"if", b"not", b"exists"]);
    let made = if table {
        cursor.table()
    } else {
        TableName::Unclear
    };
    Effect::detail(Touch::TempTable, Detail::TempTable(made))
}

fn drop(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    if cursor.take_word(b"prepare") {
        return prepare::deallocated(cursor);
    }
    if cursor.take_any(&[b"database", b"schema"]) {
        return Effect::touch(SCHEMA.with(Touch::DropDatabase));
    }
    let temporary = cursor.take_word(b"temporary");
    if !cursor.take_any(&[b"table", b"tables", b"sequence"]) {
        return Effect::touch(if temporary {
            Touches::of(Touch::TempDrop)
        } else {
            SCHEMA
        });
    }
    cursor.take_words(&[b"if", b"exists"]);
    let mut names = vec![cursor.table()];
    while cursor.take(Kind::Comma) {
        names.push(cursor.table());
    }
    cursor.take_any(&[b"restrict", b"cascade"]);
    if !cursor.at_end() {
        names.push(TableName::Unclear);
    }
    let mut effect = Effect::detail(
        Touch::TempDrop,
        Detail::DropTables {
            temporary,
            names: names.into(),
        },
    );
    if !temporary {
        effect.touches.extend(SCHEMA);
    }
    effect
}

fn alter(mut cursor: Cursor<'_>) -> Effect {
    let mut touches = SCHEMA;
    let mut first = true;
    while let Some(token) = cursor.advance() {
        if token.is_word(b"rename") {
            touches.insert(Touch::TableRename);
        }
        // ALTER DATABASE changes the defaults that the session works with.
        if !first && (token.is_word(b"database") || token.is_word(b"schema")) {
            touches.insert(Touch::Schema);
        }
        first = name(&token).is_none();
    }
    Effect::touch(touches)
}

/// `GET DIAGNOSTICS`: it writes every variable that it mentions.
fn get(mentioned: Touches) -> Effect {
    let mut touches = Touches::of(Touch::Diagnostics);
    if mentioned.contains(Touch::UserVariableRead) {
        touches.insert(Touch::UserVariableUnknown);
    }
    Effect::touch(touches)
}

/// MariaDB's `BACKUP STAGE …`, `BACKUP LOCK table`, `BACKUP UNLOCK`.
fn backup(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    let ends = cursor.take_word(b"unlock") || cursor.take_words(&[b"stage", b"end"]);
    Effect::touch(COMMITS.with(if ends {
        Touch::BackupUnlock
    } else {
        Touch::BackupLock
    }))
}
