//! Calls of `set_config`: <https://www.postgresql.org/docs/current/functions-admin.html>.
//!
//! A plain `SELECT` of such calls with constant arguments is a change like `SET`. Anything else may
//! run the call any number of times with any arguments, so it is only asked whether every call says
//! by its third argument that it lasts no longer than the transaction.

use smallvec::SmallVec;

use super::cursor::{Cursor, string};
use super::set::{setting_name, settings};
use crate::sql::lexer::{Kind, Token};
use crate::sql::statement::{Detail, SettingAction, SettingChange, SettingScope};
use crate::sql::touches::{Touch, Touches};

/// What a statement that calls `set_config` changes by it. `select` if it is a `SELECT`.
pub(super) fn calls(cursor: Cursor<'_>, select: bool) -> (Touches, Detail) {
    let changes = if select {
        select_list(cursor.clone())
    } else {
        None
    };
    match changes {
        Some(changes) => settings(changes),
        None if select && let Some(change) = of_catalogue(cursor.clone()) => {
            let (touches, detail) = settings(vec![change]);
            match detail {
                Detail::Settings(changes) => (touches, Detail::SettingsByRow(changes)),
                other => (touches, other),
            }
        }
        None if all_local(cursor) => (Touches::of(Touch::SetLocal), Detail::None),
        None => (Touches::of(Touch::SetUnknown), Detail::None),
    }
}

/// Whether a statement is nothing but `SELECT pg_advisory_unlock_all()`.
pub(super) fn is_unlock_all(mut cursor: Cursor<'_>) -> bool {
    cursor.advance();
    qualifier(&mut cursor);
    let name = cursor.advance();
    name.is_some_and(|name| is_exactly(&name, b"pg_advisory_unlock_all"))
        && cursor.take(Kind::Open)
        && cursor.take(Kind::Close)
        && alias(&mut cursor).is_some()
        && cursor.at_end()
}

/// Reads `SELECT item, …` where each item is a call of `set_config` or `current_setting` with
/// constant arguments (asyncpg reads a setting and changes it in one statement).
fn select_list(mut cursor: Cursor<'_>) -> Option<Vec<SettingChange>> {
    cursor.advance();
    let mut changes = Vec::new();
    loop {
        qualifier(&mut cursor);
        let name = cursor.advance()?;
        let arguments = arguments(&mut cursor)?;
        if is_exactly(&name, b"set_config") {
            changes.push(change(&arguments)?);
        } else if !is_exactly(&name, b"current_setting") {
            return None;
        }
        alias(&mut cursor)?;
        if cursor.at_end() {
            return Some(changes);
        }
        if !cursor.take(Kind::Comma) {
            return None;
        }
    }
}

/// Reads `SELECT set_config(name, 'value', false) FROM pg_settings WHERE name = 'setting'`, by which
/// `pg_dump` sets what not every server has: one row where the server knows the setting, else none.
fn of_catalogue(mut cursor: Cursor<'_>) -> Option<SettingChange> {
    cursor.advance();
    qualifier(&mut cursor);
    let function = cursor.advance()?;
    let called = is_exactly(&function, b"set_config") && cursor.take(Kind::Open);
    if !called || !cursor.take_word(b"name") || !cursor.take(Kind::Comma) {
        return None;
    }
    let value = cursor.advance().filter(is_string)?;
    let session = cursor.take(Kind::Comma) && cursor.take_word(b"false");
    if !session || !cursor.take(Kind::Close) || !cursor.take_word(b"from") {
        return None;
    }
    qualifier(&mut cursor);
    if !cursor.take_words(&[b"pg_settings", b"where", b"name"]) || !cursor.take_operator(b"=") {
        return None;
    }
    let name = cursor.advance().filter(is_string)?;
    let change = SettingChange {
        scope: SettingScope::Session,
        name: setting_name(&string(&name)?.text),
        action: SettingAction::Raw(string(&value)?),
    };
    cursor.at_end().then_some(change)
}

fn is_string(token: &Token<'_>) -> bool {
    matches!(
        token.kind,
        Kind::String | Kind::EscapeString | Kind::DollarString
    )
}

/// Whether a token is this function name, quoted or not. A quoted name in other case is another
/// function; taking it for this one errs on the side of a touch.
pub(super) fn is_name(token: &Token<'_>, name: &[u8]) -> bool {
    match token.kind {
        Kind::Word => token.bytes.eq_ignore_ascii_case(name),
        Kind::QuotedIdentifier => {
            let inner = token
                .bytes
                .strip_prefix(b"\"")
                .and_then(|rest| rest.strip_suffix(b"\""));
            inner.is_some_and(|inner| inner.eq_ignore_ascii_case(name))
        }
        _ => false,
    }
}

/// As [`is_name`], but a quoted name must be in lower case: what is tracked must be certain.
fn is_exactly(token: &Token<'_>, name: &[u8]) -> bool {
    is_name(token, name)
        && (token.kind == Kind::Word || !token.bytes.iter().any(u8::is_ascii_uppercase))
}

/// Takes `pg_catalog.`, if there.
fn qualifier(cursor: &mut Cursor<'_>) {
    let mut ahead = cursor.clone();
    let schema = ahead
        .advance()
        .is_some_and(|token| is_name(&token, b"pg_catalog"));
    if schema && ahead.take(Kind::Dot) {
        *cursor = ahead;
    }
}

/// Takes `[AS] alias`, if there. `None` unless a comma or the end follows: whatever else may follow
/// a select list has more than one word.
fn alias(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.take_word(b"as");
    if !cursor.take(Kind::Word) {
        cursor.take(Kind::QuotedIdentifier);
    }
    let ended = cursor.at_end() || cursor.peek().is_some_and(|token| token.kind == Kind::Comma);
    ended.then_some(())
}

/// Three constant arguments at most; `current_setting` has one or two.
type Arguments<'a> = SmallVec<[Token<'a>; 3]>;

/// `( constant [:: type], … )`
fn arguments<'a>(cursor: &mut Cursor<'a>) -> Option<Arguments<'a>> {
    if !cursor.take(Kind::Open) {
        return None;
    }
    let mut arguments = Arguments::new();
    loop {
        let argument = cursor.advance()?;
        let constant = match argument.kind {
            Kind::String | Kind::EscapeString | Kind::DollarString | Kind::Parameter => true,
            _ => [b"true".as_slice(), b"false", b"null"]
                .iter()
                .any(|word| argument.is_word(word)),
        };
        if !constant || arguments.len() == 3 {
            return None;
        }
        cast(cursor)?;
        arguments.push(argument);
        if cursor.take(Kind::Close) {
            return Some(arguments);
        }
        if !cursor.take(Kind::Comma) {
            return None;
        }
    }
}

/// Takes a cast that leaves the value as it is, if there; `None` if it is another cast.
fn cast(cursor: &mut Cursor<'_>) -> Option<()> {
    let colon = |cursor: &mut Cursor<'_>| {
        cursor.peek().is_some_and(|token| token.bytes == b":") && cursor.take(Kind::Other)
    };
    if !colon(cursor) {
        return Some(());
    }
    if !colon(cursor) {
        return None;
    }
    qualifier(cursor);
    let types = [b"text".as_slice(), b"varchar", b"bool", b"boolean"];
    types
        .iter()
        .any(|name| cursor.take_word(name))
        .then_some(())
}

fn change(arguments: &[Token<'_>]) -> Option<SettingChange> {
    let [name, value, local] = arguments else {
        return None;
    };
    let scope = if local.is_word(b"true") {
        SettingScope::Local
    } else if local.is_word(b"false") {
        SettingScope::Session
    } else {
        return None;
    };
    let name = setting_name(&string(name)?.text);
    let action = if value.is_word(b"null") {
        SettingAction::Default
    } else if value.kind == Kind::Parameter {
        let number = str::from_utf8(value.bytes.get(1..)?).ok()?;
        SettingAction::Parameter(number.parse().ok().filter(|number| *number > 0)?)
    } else {
        SettingAction::Raw(string(value)?)
    };
    Some(SettingChange {
        scope,
        name,
        action,
    })
}

/// A call of `set_config` that is not closed yet.
struct OpenCall {
    /// Depth of parentheses around its arguments.
    depth: usize,
    /// Which argument is being read, from 0.
    argument: usize,
    /// The tokens of the third argument so far: none, only `true`, or anything else.
    third: Third,
}

impl OpenCall {
    fn is_local(&self) -> bool {
        self.argument == 2 && self.third == Third::True
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Third {
    Nothing,
    True,
    Other,
}

/// Whether the third argument of every call in the statement is the word `true`.
fn all_local(mut cursor: Cursor<'_>) -> bool {
    let mut open: SmallVec<[OpenCall; 2]> = SmallVec::new();
    let mut depth = 0_usize;
    let mut called = false;
    while let Some(token) = cursor.advance() {
        if token.kind == Kind::Open {
            depth += 1;
            note(open.last_mut(), depth - 1, &token);
            if called {
                open.push(OpenCall {
                    depth,
                    argument: 0,
                    third: Third::Nothing,
                });
            }
        } else if token.kind == Kind::Close {
            if open.last().is_some_and(|call| call.depth == depth) {
                let local = open.pop().is_some_and(|call| call.is_local());
                if !local {
                    return false;
                }
            }
            depth = depth.saturating_sub(1);
        } else {
            note(open.last_mut(), depth, &token);
        }
        called = is_name(&token, b"set_config");
    }
    open.is_empty()
}

/// Notes a token that belongs to the innermost open call.
fn note(call: Option<&mut OpenCall>, depth: usize, token: &Token<'_>) {
    let Some(call) = call else {
        return;
    };
    if call.depth == depth && token.kind == Kind::Comma {
        call.argument += 1;
    } else if call.argument == 2 {
        let only_true = call.third == Third::Nothing && token.is_word(b"true");
        call.third = if only_true { Third::True } else { Third::Other };
    }
}
