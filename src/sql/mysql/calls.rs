//! Queries that do nothing but call a function that takes or gives up named locks.

use super::cursor::Cursor;
use super::effect::Effect;
use super::lexer::{Kind, Token, unescaped};
use super::touch::{Touch, Touches};
use super::verdict::Detail;

/// The effect of a query.
pub(super) fn read<'a>(cursor: &impl Fn() -> Cursor<'a>, called: Touches) -> Effect {
    const LOCKS: Touches = Touches::of(Touch::UserLock).with(Touch::UserUnlock);
    let detail = if called.is_empty() || !LOCKS.contains_all(called) {
        Detail::None
    } else {
        locks(cursor()).unwrap_or(Detail::None)
    };
    Effect {
        reads: true,
        detail,
        ..Effect::NONE
    }
}

/// `SELECT function(…) [AS name]` and nothing else.
fn locks(mut cursor: Cursor<'_>) -> Option<Detail> {
    if !cursor.take_any(&[b"select", b"do"]) {
        return None;
    }
    let function = cursor.advance()?;
    if !cursor.take(Kind::Open) {
        return None;
    }
    let detail = if function.is_word(b"release_all_locks") {
        Detail::ReleaseAllLocks
    } else if function.is_word(b"release_lock") {
        Detail::ReleaseLock(lock_name(&cursor.advance()?, &cursor)?)
    } else if function.is_word(b"get_lock") {
        let name = lock_name(&cursor.advance()?, &cursor)?;
        if cursor.take(Kind::Comma) {
            cursor.literal()?;
        }
        Detail::GetLock(name)
    } else {
        return None;
    };
    if !cursor.take(Kind::Close) {
        return None;
    }
    if cursor.take_word(b"as") || !cursor.at_end() {
        let alias = cursor.advance()?;
        if !matches!(alias.kind, Kind::Word | Kind::Quoted | Kind::String) {
            return None;
        }
    }
    cursor.at_end().then_some(detail)
}

/// The name of a lock, in lower case, for case does not tell names apart. `None` if more than case may not.
fn lock_name(token: &Token<'_>, cursor: &Cursor<'_>) -> Option<Box<[u8]>> {
    if token.kind != Kind::String || !token.bytes.is_ascii() {
        return None;
    }
    let name = unescaped(token.bytes, !cursor.mode().no_backslash_escapes)?;
    Some(name.to_ascii_lowercase().into())
}
