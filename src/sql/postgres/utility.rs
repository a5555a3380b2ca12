//! Commands that name what they touch: prepared statements, cursors, channels, `DISCARD`, `COPY`.
//!
//! <https://www.postgresql.org/docs/current/sql-commands.html>. A form that is not understood keeps
//! its touch and gets [`Which::Unclear`] or no detail.

use super::cursor::Cursor;
use crate::sql::lexer::Kind;
use crate::sql::statement::{CopyFlow, Detail, Discard, Text, TransactionControl, Which};
use crate::sql::touches::{Touch, Touches};

/// `PREPARE TRANSACTION 'id'` or `PREPARE name …`; the statement name can be `transaction` too.
pub(super) fn prepare(
    mut cursor: Cursor<'_>,
    text: &[u8],
) -> (Touches, Detail, TransactionControl) {
    cursor.advance();
    let mut ahead = cursor.clone();
    let two_phase = ahead.take_word(b"transaction")
        && ahead.peek().is_some_and(|token| {
            matches!(
                token.kind,
                Kind::String | Kind::EscapeString | Kind::DollarString
            ) || token.kind == Kind::UnicodeString
        });
    if two_phase {
        return (
            Touches::NONE,
            Detail::None,
            TransactionControl::PrepareTransaction,
        );
    }
    let detail = Detail::SqlPrepare(cursor.which(), Text(text.into()));
    (
        Touches::of(Touch::SqlPrepare),
        detail,
        TransactionControl::None,
    )
}

/// The name after the one word of `EXECUTE` or `LISTEN`.
pub(super) fn named(mut cursor: Cursor<'_>) -> Which {
    cursor.advance();
    cursor.which()
}

/// `DEALLOCATE [PREPARE] {name | ALL}`, where the name can be `prepare` too.
pub(super) fn deallocate(mut cursor: Cursor<'_>) -> Which {
    cursor.advance();
    let mut ahead = cursor.clone();
    if ahead.take_word(b"prepare") && !ahead.at_end() {
        cursor = ahead;
    }
    if cursor.take_word(b"all") {
        only(&cursor, Which::All)
    } else {
        last(cursor)
    }
}

/// `CLOSE {name | ALL}`
pub(super) fn close(mut cursor: Cursor<'_>) -> Which {
    cursor.advance();
    if cursor.take_word(b"all") {
        only(&cursor, Which::All)
    } else {
        last(cursor)
    }
}

/// `UNLISTEN {channel | *}`
pub(super) fn unlisten(mut cursor: Cursor<'_>) -> Which {
    cursor.advance();
    if cursor.take_operator(b"*") {
        only(&cursor, Which::All)
    } else {
        last(cursor)
    }
}

fn last(mut cursor: Cursor<'_>) -> Which {
    let which = cursor.which();
    only(&cursor, which)
}

/// `which`, if nothing more follows.
fn only(cursor: &Cursor<'_>, which: Which) -> Which {
    if cursor.at_end() {
        which
    } else {
        Which::Unclear
    }
}

/// `DISCARD {ALL | PLANS | SEQUENCES | TEMP | TEMPORARY}`
pub(super) fn discard(mut cursor: Cursor<'_>) -> (Touches, Detail) {
    cursor.advance();
    let (touch, what) = if cursor.take_word(b"all") {
        (Touch::DiscardAll, Discard::All)
    } else if cursor.take_word(b"plans") {
        (Touch::DiscardPlans, Discard::Plans)
    } else if cursor.take_word(b"sequences") {
        (Touch::DiscardSequences, Discard::Sequences)
    } else if cursor.take_word(b"temp") || cursor.take_word(b"temporary") {
        (Touch::DiscardTemp, Discard::Temp)
    } else {
        return (Touches::of(Touch::Unknown), Detail::None);
    };
    if !cursor.at_end() {
        return (Touches::of(Touch::Unknown), Detail::None);
    }
    (Touches::of(touch), Detail::Discard(what))
}

/// `DECLARE name … CURSOR [WITH HOLD] FOR query`; a query may itself start with `WITH hold AS (…)`.
pub(super) fn declare(mut cursor: Cursor<'_>) -> (Touches, Detail) {
    cursor.advance();
    let name = cursor.which();
    while let Some(token) = cursor.advance() {
        if token.is_word(b"with") && cursor.take_word(b"hold") {
            return (Touches::of(Touch::CursorHold), Detail::CursorHold(name));
        }
        if token.is_word(b"for") {
            break;
        }
    }
    (Touches::of(Touch::Cursor), Detail::None)
}

/// `COPY … {FROM | TO} {STDIN | STDOUT | …}` outside parentheses; the server lets either of the two
/// words stand for the client.
pub(super) fn copy(mut cursor: Cursor<'_>) -> CopyFlow {
    let mut depth = 0_usize;
    while let Some(token) = cursor.advance() {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            Kind::Word if depth == 0 => {
                let flow = if token.is_word(b"from") {
                    CopyFlow::In
                } else if token.is_word(b"to") {
                    CopyFlow::Out
                } else {
                    continue;
                };
                let client = cursor.take_word(b"stdin") || cursor.take_word(b"stdout");
                return if client { flow } else { CopyFlow::Other };
            }
            _ => {}
        }
    }
    CopyFlow::Other
}
