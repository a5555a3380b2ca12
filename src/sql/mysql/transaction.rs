//! Transaction commands (<https://dev.mysql.com/doc/refman/9.7/en/sql-transactional-statements.html>).

use super::cursor::Cursor;
use super::effect::Effect;
use super::lexer::Kind;
use super::touch::{Touch, Touches};
use super::verdict::{Ending, TransactionControl};
use crate::sql::statement::{Isolation, TransactionModes};

/// `BEGIN`, `START …`, `COMMIT`, `ROLLBACK`, `SAVEPOINT`, `RELEASE`.
pub(super) fn transaction(mut cursor: Cursor<'_>) -> Effect {
    let Some(first) = cursor.advance() else {
        return Effect::UNKNOWN;
    };
    let control = match first.bytes.to_ascii_lowercase().as_slice() {
        b"begin" => {
            if cursor.take_word(b"not") {
                // MariaDB's BEGIN NOT ATOMIC: a block of statements.
                return Effect {
                    doubtful: true,
                    ..Effect::UNKNOWN
                };
            }
            cursor.take_word(b"work");
            TransactionControl::Begin {
                read_only: None,
                snapshot: false,
            }
        }
        b"start" => {
            if !cursor.take_word(b"transaction") {
                // START REPLICA, START GROUP_REPLICATION
                return Effect::touch(Touches::of(Touch::ImplicitCommit).with(Touch::Server));
            }
            begin_modes(&mut cursor)
        }
        b"commit" => TransactionControl::Commit(ending(&mut cursor)),
        b"rollback" => rollback(&mut cursor),
        b"savepoint" => TransactionControl::Savepoint(cursor.which()),
        b"release" if cursor.take_word(b"savepoint") => TransactionControl::Release(cursor.which()),
        _ => TransactionControl::Unclear,
    };
    if !cursor.at_end() || control == TransactionControl::Unclear {
        return Effect {
            control: TransactionControl::Unclear,
            ..Effect::UNKNOWN
        };
    }
    Effect {
        control,
        ..Effect::NONE
    }
}

fn begin_modes(cursor: &mut Cursor<'_>) -> TransactionControl {
    let mut read_only = None;
    let mut snapshot = false;
    loop {
        if cursor.take_words(&[b"read", b"only"]) {
            read_only = Some(true);
        } else if cursor.take_words(&[b"read", b"write"]) {
            read_only = Some(false);
        } else if cursor.take_words(&[b"with", b"consistent", b"snapshot"]) {
            snapshot = true;
        } else {
            break;
        }
        if !cursor.take(Kind::Comma) {
            break;
        }
    }
    TransactionControl::Begin {
        read_only,
        snapshot,
    }
}

fn rollback(cursor: &mut Cursor<'_>) -> TransactionControl {
    let mut ahead = cursor.clone();
    ahead.take_word(b"work");
    if ahead.take_word(b"to") {
        // A savepoint may bear the name of a keyword that may be left out.
        let mut named = ahead.clone();
        if named.take_word(b"savepoint") && !named.at_end() {
            ahead = named;
        }
        *cursor = ahead;
        return TransactionControl::RollbackTo(cursor.which());
    }
    TransactionControl::Rollback(ending(cursor))
}

/// `[WORK] [AND [NO] CHAIN] [[NO] RELEASE]`
fn ending(cursor: &mut Cursor<'_>) -> Ending {
    cursor.take_word(b"work");
    let mut ending = Ending::default();
    if cursor.take_word(b"and") {
        let no = cursor.take_word(b"no");
        if cursor.take_word(b"chain") {
            ending.chain = Some(!no);
        }
    }
    let no = cursor.take_word(b"no");
    if cursor.take_word(b"release") {
        ending.release = Some(!no);
    }
    ending
}

/// `ISOLATION LEVEL …`, `READ ONLY`, `READ WRITE`, as behind `SET TRANSACTION`. `None` if anything else comes.
pub(super) fn modes(cursor: &mut Cursor<'_>) -> Option<TransactionModes> {
    let mut modes = TransactionModes::default();
    loop {
        if cursor.take_words(&[b"isolation", b"level"]) {
            modes.isolation = Some(isolation(cursor)?);
        } else if cursor.take_words(&[b"read", b"only"]) {
            modes.read_only = Some(true);
        } else if cursor.take_words(&[b"read", b"write"]) {
            modes.read_only = Some(false);
        } else {
            return None;
        }
        if !cursor.take(Kind::Comma) {
            return cursor.at_end().then_some(modes);
        }
    }
}

fn isolation(cursor: &mut Cursor<'_>) -> Option<Isolation> {
    Some(if cursor.take_words(&[b"read", b"committed"]) {
        Isolation::ReadCommitted
    } else if cursor.take_words(&[b"read", b"uncommitted"]) {
        Isolation::ReadUncommitted
    } else if cursor.take_words(&[b"repeatable", b"read"]) {
        Isolation::RepeatableRead
    } else if cursor.take_word(b"serializable") {
        Isolation::Serializable
    } else {
        return None;
    })
}
