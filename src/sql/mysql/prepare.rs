//! Statements prepared by SQL (<https://dev.mysql.com/doc/refman/9.7/en/sql-prepared-statements.html>).

use super::classify;
use super::cursor::Cursor;
use super::effect::Effect;
use super::lexer::{Kind, unescaped};
use super::touch::{Touch, Touches};
use super::verdict::Detail;

/// `PREPARE name FROM {'text' | @variable}`. The text is looked into, once: within it `PREPARE` is refused.
pub(super) fn prepare(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    let name = cursor.which();
    let mut effect = Effect::detail(Touch::SqlPrepare, Detail::SqlPrepare(name));
    let text = if cursor.take_word(b"from") {
        cursor.advance()
    } else {
        None
    };
    let text = text
        .filter(|text| text.kind == Kind::String && cursor.at_end())
        .filter(|text| text.bytes.starts_with(b"'") || text.bytes.starts_with(b"\""))
        .and_then(|text| unescaped(text.bytes, !cursor.mode().no_backslash_escapes));
    effect.touches.extend(match text {
        Some(text) if !starts_with_prepare(&text) => classify(&text, cursor.mode()).touches,
        _ => Touches::of(Touch::Unknown),
    });
    effect
}

/// Whether reading the text would bring us back here. The server refuses it.
fn starts_with_prepare(text: &[u8]) -> bool {
    memchr::memmem::find(&text.to_ascii_lowercase(), b"prepare").is_some()
}

/// `EXECUTE name [USING …]`; MariaDB's `EXECUTE IMMEDIATE` runs what is not known here.
pub(super) fn execute(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    if cursor.take_word(b"immediate") {
        return Effect::UNKNOWN;
    }
    Effect {
        many_replies: true,
        ..Effect::detail(Touch::SqlExecute, Detail::SqlExecute(cursor.which()))
    }
}

/// `DEALLOCATE PREPARE name`
pub(super) fn deallocate(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    if cursor.take_word(b"prepare") {
        deallocated(cursor)
    } else {
        Effect::UNKNOWN
    }
}

/// The name behind `DEALLOCATE PREPARE` or `DROP PREPARE`.
pub(super) fn deallocated(mut cursor: Cursor<'_>) -> Effect {
    Effect::detail(Touch::Deallocate, Detail::Deallocate(cursor.which()))
}
