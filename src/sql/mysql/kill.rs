//! `KILL` (<https://dev.mysql.com/doc/refman/9.7/en/kill.html>, <https://mariadb.com/kb/en/kill/>).

use super::cursor::Cursor;
use super::effect::Effect;
use super::lexer::Kind;
use super::touch::Touch;
use super::verdict::{Detail, Kill, Killed};

/// `KILL [HARD | SOFT] [CONNECTION | QUERY [ID]] {number | USER name}`
pub(super) fn kill(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    let soft = cursor.take_word(b"soft");
    cursor.take_word(b"hard");
    let mut what = Killed::Connection;
    if cursor.take_word(b"query") {
        what = Killed::Query;
        if cursor.take_word(b"id") {
            what = Killed::QueryId;
        }
    } else {
        cursor.take_word(b"connection");
    }
    if cursor.take_word(b"user") {
        what = Killed::User;
    }
    let id = match cursor.advance() {
        Some(token) if token.kind == Kind::Number && cursor.at_end() => str::from_utf8(token.bytes)
            .ok()
            .and_then(|digits| digits.parse().ok()),
        _ => None,
    };
    Effect::detail(Touch::Kill, Detail::Kill(Kill { what, soft, id }))
}
