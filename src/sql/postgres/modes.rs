//! Transaction commands and the modes given with them.
//!
//! <https://www.postgresql.org/docs/current/sql-set-transaction.html> and the pages of each command.

use super::cursor::Cursor;
use crate::sql::lexer::Kind;
use crate::sql::statement::{Isolation, TransactionControl, TransactionModes, Which};

/// Reads a transaction command other than those with `PREPARE` in front.
pub(super) fn control(mut cursor: Cursor<'_>) -> TransactionControl {
    let Some(command) = cursor.advance() else {
        return TransactionControl::Unclear;
    };
    let is = |word: &[u8]| command.is_word(word);
    let control = if is(b"begin") || is(b"start") {
        begin(&mut cursor)
    } else if is(b"commit") || is(b"end") {
        ending(&mut cursor, |chain| TransactionControl::Commit { chain })
    } else if is(b"rollback") || is(b"abort") {
        rollback(&mut cursor)
    } else if is(b"savepoint") {
        TransactionControl::Savepoint(cursor.which())
    } else if is(b"release") {
        TransactionControl::Release(savepoint(&mut cursor))
    } else {
        TransactionControl::Unclear
    };
    if cursor.at_end() {
        control
    } else {
        TransactionControl::Unclear
    }
}

fn skip_noise(cursor: &mut Cursor<'_>) {
    if !cursor.take_word(b"transaction") {
        cursor.take_word(b"work");
    }
}

fn begin(cursor: &mut Cursor<'_>) -> TransactionControl {
    skip_noise(cursor);
    if cursor.at_end() {
        return TransactionControl::Begin(TransactionModes::default());
    }
    modes(cursor).map_or(TransactionControl::Unclear, TransactionControl::Begin)
}

fn ending(
    cursor: &mut Cursor<'_>,
    control: impl FnOnce(bool) -> TransactionControl,
) -> TransactionControl {
    if cursor.take_word(b"prepared") {
        let committed = matches!(control(false), TransactionControl::Commit { .. });
        cursor.advance();
        return if committed {
            TransactionControl::CommitPrepared
        } else {
            TransactionControl::RollbackPrepared
        };
    }
    skip_noise(cursor);
    if cursor.take_words(&[b"and", b"chain"]) {
        return control(true);
    }
    cursor.take_words(&[b"and", b"no", b"chain"]);
    control(false)
}

fn rollback(cursor: &mut Cursor<'_>) -> TransactionControl {
    let mut ahead = cursor.clone();
    skip_noise(&mut ahead);
    if ahead.take_word(b"to") {
        let name = savepoint(&mut ahead);
        *cursor = ahead;
        return TransactionControl::RollbackTo(name);
    }
    ending(cursor, |chain| TransactionControl::Rollback { chain })
}

/// `[SAVEPOINT] name`, where the name can be `savepoint` itself.
fn savepoint(cursor: &mut Cursor<'_>) -> Which {
    let first = cursor.which();
    match first {
        Which::One(word) if &*word == "savepoint" && !cursor.at_end() => cursor.which(),
        first => first,
    }
}

/// Reads transaction modes up to the end; `None` if there are none or they are not understood.
pub(super) fn modes(cursor: &mut Cursor<'_>) -> Option<TransactionModes> {
    let mut modes = TransactionModes::default();
    loop {
        if cursor.take_words(&[b"isolation", b"level"]) {
            modes.isolation = Some(isolation(cursor)?);
        } else if cursor.take_words(&[b"read", b"only"]) {
            modes.read_only = Some(true);
        } else if cursor.take_words(&[b"read", b"write"]) {
            modes.read_only = Some(false);
        } else if cursor.take_word(b"deferrable") {
            modes.deferrable = Some(true);
        } else if cursor.take_words(&[b"not", b"deferrable"]) {
            modes.deferrable = Some(false);
        } else {
            return None;
        }
        let comma = cursor.take(Kind::Comma);
        if cursor.at_end() {
            return (!comma).then_some(modes);
        }
    }
}

fn isolation(cursor: &mut Cursor<'_>) -> Option<Isolation> {
    if cursor.take_word(b"serializable") {
        Some(Isolation::Serializable)
    } else if cursor.take_words(&[b"repeatable", b"read"]) {
        Some(Isolation::RepeatableRead)
    } else if cursor.take_words(&[b"read", b"committed"]) {
        Some(Isolation::ReadCommitted)
    } else if cursor.take_words(&[b"read", b"uncommitted"]) {
        Some(Isolation::ReadUncommitted)
    } else {
        None
    }
}
