//! `SET` and `RESET`: which settings, to what, for how long.
//!
//! <https://www.postgresql.org/docs/current/sql-set.html> and its kin; the special forms are the
//! grammar's `set_rest` and `set_rest_more`. What is not read in full is [`Touch::SetUnknown`].

use super::cursor::{Cursor, identifier, string};
use super::modes::modes;
use super::words::path_has_temp_schema;
use crate::sql::lexer::{Kind, Token};
use crate::sql::statement::{
    Detail, Isolation, Literal, LiteralKind, SettingAction, SettingChange, SettingScope,
    TransactionModes,
};
use crate::sql::touches::{Touch, Touches};

/// What a `SET` statement changes.
pub(super) fn set(mut cursor: Cursor<'_>) -> (Touches, Detail) {
    cursor.advance();
    let scope = scope(&mut cursor);
    let start = cursor.clone();
    let parsed = rest(&mut cursor, scope).filter(|_| cursor.at_end());
    let Some(parsed) = parsed else {
        let local = scope == SettingScope::Local && assigns_harmless(start);
        let touch = if local {
            Touch::SetLocal
        } else {
            Touch::SetUnknown
        };
        return (Touches::of(touch), Detail::None);
    };
    match parsed {
        Parsed::Transaction => (
            Touches::of(Touch::SetLocal),
            Detail::Settings(Box::default()),
        ),
        Parsed::One(change) => settings(vec![change]),
        Parsed::Characteristics(changes) => {
            let (touches, detail) = settings(changes);
            let session = touches.contains(Touch::SetSession);
            let touches = touches.without(Touch::SetSession);
            if session {
                (touches.with(Touch::SetSessionCharacteristics), detail)
            } else {
                (touches, detail)
            }
        }
    }
}

/// What a `RESET` statement changes.
pub(super) fn reset(mut cursor: Cursor<'_>) -> (Touches, Detail) {
    cursor.advance();
    let parsed = if cursor.take_word(b"all") {
        let action = SettingAction::ResetAll;
        Some(SettingChange {
            scope: SettingScope::Session,
            name: "".into(),
            action,
        })
    } else {
        reset_name(&mut cursor).map(|name| SettingChange {
            scope: SettingScope::Session,
            name,
            action: SettingAction::Default,
        })
    };
    match parsed.filter(|_| cursor.at_end()) {
        Some(change) => settings(vec![change]),
        None => (Touches::of(Touch::SetUnknown), Detail::None),
    }
}

fn reset_name(cursor: &mut Cursor<'_>) -> Option<Box<str>> {
    if cursor.take_words(&[b"time", b"zone"]) {
        Some("timezone".into())
    } else if cursor.take_words(&[b"session", b"authorization"]) {
        Some("session_authorization".into())
    } else if cursor.take_words(&[b"transaction", b"isolation", b"level"]) {
        Some("transaction_isolation".into())
    } else {
        variable(cursor)
    }
}

/// Makes the detail of these changes, and the touches that go with it.
pub(super) fn settings(mut changes: Vec<SettingChange>) -> (Touches, Detail) {
    let mut touches = Touches::NONE;
    for change in &mut changes {
        touches.extend(touches_of(change));
    }
    (touches, Detail::Settings(changes.into()))
}

/// What a change touches. Modes of the running transaction are settings too, and end with it
/// whatever the statement says.
fn touches_of(change: &mut SettingChange) -> Touches {
    if matches!(
        &*change.name,
        "transaction_isolation" | "transaction_read_only" | "transaction_deferrable"
    ) {
        change.scope = SettingScope::Local;
    }
    let from_parameter = change.scope == SettingScope::Session
        && matches!(change.action, SettingAction::Parameter(_));
    let touch = match (change.scope, &*change.name) {
        // The seed is set at once and never put back.
        (_, "seed") => Touch::RandomSeed,
        (SettingScope::Local, _) => Touch::SetLocal,
        (_, "role") => Touch::SetRole,
        (_, "session_authorization") => Touch::SetSessionAuthorization,
        (_, _) if from_parameter => Touch::SetFromParameter,
        (_, _) => Touch::SetSession,
    };
    let mut touches = Touches::of(touch);
    if from_parameter {
        touches.insert(Touch::SetFromParameter);
    }
    if opens_temp_schema(change) {
        touches.insert(Touch::TempObject);
    }
    touches
}

/// Whether objects may be made in the temporary schema by way of `search_path`.
fn opens_temp_schema(change: &SettingChange) -> bool {
    let values = match &change.action {
        SettingAction::To(values) => &**values,
        SettingAction::Raw(value) => std::slice::from_ref(value),
        _ => return false,
    };
    &*change.name == "search_path"
        && values
            .iter()
            .any(|value| path_has_temp_schema(value.text.as_bytes()))
}

enum Parsed {
    /// Modes of this transaction only.
    Transaction,
    One(SettingChange),
    Characteristics(Vec<SettingChange>),
}

/// Takes `SESSION` or `LOCAL`, unless it is the first part of a setting's name.
fn scope(cursor: &mut Cursor<'_>) -> SettingScope {
    let mut ahead = cursor.clone();
    let local = ahead.take_word(b"local");
    if !local && !ahead.take_word(b"session") {
        return SettingScope::Session;
    }
    let session_form = !local
        && ahead.peek().is_some_and(|token| {
            token.is_word(b"authorization") || token.is_word(b"characteristics")
        });
    if session_form || assigns(&ahead) {
        return SettingScope::Session;
    }
    *cursor = ahead;
    if local {
        SettingScope::Local
    } else {
        SettingScope::Session
    }
}

/// Whether the word before was a setting's name or its first part, not a keyword.
fn assigns(cursor: &Cursor<'_>) -> bool {
    cursor.peek().is_some_and(|token| match token.kind {
        Kind::Dot => true,
        Kind::Operator => token.bytes == b"=",
        _ => token.is_word(b"to"),
    })
}

/// Whether this sets a named setting, to a value that need not be known if it ends with the
/// transaction.
fn assigns_harmless(mut cursor: Cursor<'_>) -> bool {
    let name = variable(&mut cursor);
    let harmless = name.is_some_and(|name| !matches!(&*name, "search_path" | "seed"));
    harmless && assigns(&cursor)
}

/// Everything after `SET [SESSION | LOCAL]`.
fn rest(cursor: &mut Cursor<'_>, scope: SettingScope) -> Option<Parsed> {
    let first = cursor.peek()?;
    let mut ahead = cursor.clone();
    ahead.advance();
    if first.kind == Kind::Word && !assigns(&ahead) {
        let special = special(&first, &mut ahead, scope);
        if !matches!(special, Special::No) {
            *cursor = ahead;
        }
        match special {
            Special::Yes(parsed) => return Some(parsed),
            Special::Unclear => return None,
            Special::No => {}
        }
    }
    let name = variable(cursor)?;
    let action = if cursor.take_words(&[b"from", b"current"]) {
        SettingAction::FromCurrent
    } else if cursor.take_word(b"to") || cursor.take_operator(b"=") {
        values(cursor)?
    } else {
        return None;
    };
    Some(Parsed::One(SettingChange {
        scope,
        name,
        action,
    }))
}

enum Special {
    Yes(Parsed),
    /// A special form, but one whose effect is not known.
    Unclear,
    /// Not a special form.
    No,
}

impl Special {
    fn setting(scope: SettingScope, name: &str, action: Option<SettingAction>) -> Self {
        let change = action.map(|action| SettingChange {
            scope,
            name: name.into(),
            action,
        });
        change.map_or(Self::Unclear, |change| Self::Yes(Parsed::One(change)))
    }
}

/// The forms that do not name a setting. `cursor` stands behind `first`.
fn special(first: &Token<'_>, cursor: &mut Cursor<'_>, scope: SettingScope) -> Special {
    let is = |word: &[u8]| first.is_word(word);
    if is(b"transaction") || is(b"constraints") {
        while cursor.advance().is_some() {}
        Special::Yes(Parsed::Transaction)
    } else if is(b"session") && cursor.take_word(b"characteristics") {
        characteristics(cursor, scope).map_or(Special::Unclear, Special::Yes)
    } else if is(b"session") && cursor.take_word(b"authorization") {
        let user = if cursor.take_word(b"default") {
            Some(SettingAction::Default)
        } else {
            name_or_string(cursor)
        };
        Special::setting(scope, "session_authorization", user)
    } else if is(b"role") {
        Special::setting(scope, "role", name_or_string(cursor))
    } else if is(b"time") && cursor.take_word(b"zone") {
        Special::setting(scope, "timezone", time_zone(cursor))
    } else if is(b"names") {
        let default = cursor.take_word(b"default") || cursor.at_end();
        let encoding = if default {
            Some(SettingAction::Default)
        } else {
            string_only(cursor)
        };
        Special::setting(scope, "client_encoding", encoding)
    } else if is(b"schema") {
        Special::setting(scope, "search_path", string_only(cursor))
    } else if is(b"xml") && cursor.take_word(b"option") {
        Special::setting(scope, "xmloption", name_or_string(cursor))
    } else if is(b"catalog") {
        Special::Unclear
    } else {
        Special::No
    }
}

/// `AS TRANSACTION mode, …` changes the defaults of later transactions.
fn characteristics(cursor: &mut Cursor<'_>, scope: SettingScope) -> Option<Parsed> {
    if !cursor.take_words(&[b"as", b"transaction"]) {
        return None;
    }
    let TransactionModes {
        isolation,
        read_only,
        deferrable,
    } = modes(cursor)?;
    let switch = |on| if on { "on" } else { "off" };
    let values = [
        (
            "default_transaction_isolation",
            isolation.map(Isolation::as_str),
        ),
        ("default_transaction_read_only", read_only.map(switch)),
        ("default_transaction_deferrable", deferrable.map(switch)),
    ];
    let change = |(name, value): (&str, Option<&str>)| {
        let value = Literal {
            text: value?.into(),
            kind: LiteralKind::String,
        };
        Some(SettingChange {
            scope,
            name: name.into(),
            action: to(value),
        })
    };
    Some(Parsed::Characteristics(
        values.into_iter().filter_map(change).collect(),
    ))
}

fn to(value: Literal) -> SettingAction {
    SettingAction::To(Box::new([value]))
}

fn string_only(cursor: &mut Cursor<'_>) -> Option<SettingAction> {
    string(&cursor.advance()?).map(to)
}

fn name_or_string(cursor: &mut Cursor<'_>) -> Option<SettingAction> {
    let token = cursor.advance()?;
    let name = || {
        let text = identifier(&token)?;
        Some(Literal {
            text,
            kind: LiteralKind::Identifier,
        })
    };
    name().or_else(|| string(&token)).map(to)
}

/// The values of `SET TIME ZONE`. The `INTERVAL` form has no plain value.
fn time_zone(cursor: &mut Cursor<'_>) -> Option<SettingAction> {
    if cursor.take_word(b"default") || cursor.take_word(b"local") {
        return Some(SettingAction::Default);
    }
    if cursor.take_word(b"interval") {
        return None;
    }
    value(cursor).map(to)
}

/// A setting's name: words and quoted identifiers joined by dots. The server ignores case in it.
fn variable(cursor: &mut Cursor<'_>) -> Option<Box<str>> {
    let mut name = String::from(identifier(&cursor.advance()?)?);
    while cursor.take(Kind::Dot) {
        name.push('.');
        name.push_str(&identifier(&cursor.advance()?)?);
    }
    Some(setting_name(&name))
}

/// A setting's name in lower case, old names replaced as the server does (`map_old_guc_names`).
pub(super) fn setting_name(name: &str) -> Box<str> {
    let name = name.to_ascii_lowercase();
    match &*name {
        "sort_mem" => "work_mem".into(),
        "vacuum_mem" => "maintenance_work_mem".into(),
        _ => name.into(),
    }
}

/// `DEFAULT` or a list of values.
fn values(cursor: &mut Cursor<'_>) -> Option<SettingAction> {
    if cursor.take_word(b"default") {
        return Some(SettingAction::Default);
    }
    let mut values = vec![value(cursor)?];
    while cursor.take(Kind::Comma) {
        values.push(value(cursor)?);
    }
    Some(SettingAction::To(values.into()))
}

/// One value: a word, a constant string or a number. `NULL` is new to servers, so not read.
fn value(cursor: &mut Cursor<'_>) -> Option<Literal> {
    let sign = if cursor.take_operator(b"-") {
        "-"
    } else if cursor.take_operator(b"+") {
        "+"
    } else {
        ""
    };
    let token = cursor.advance()?;
    if token.kind == Kind::Number {
        let digits = str::from_utf8(token.bytes).ok()?;
        let sign = if sign == "-" { sign } else { "" };
        let text = format!("{sign}{digits}").into();
        return Some(Literal {
            text,
            kind: LiteralKind::Number,
        });
    }
    if !sign.is_empty() || token.is_word(b"null") {
        return None;
    }
    if let Some(text) = identifier(&token) {
        return Some(Literal {
            text,
            kind: LiteralKind::Identifier,
        });
    }
    string(&token)
}
