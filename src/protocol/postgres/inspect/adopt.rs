//! Comparing the settings of a session with the server's, which have the last word.

use std::sync::Arc;

use super::question;
use crate::protocol::postgres::settings::{Settings, Value};

/// A row about one setting.
#[derive(Debug)]
pub struct SettingRow {
    name: Box<str>,
    value: Option<Box<[u8]>>,
    shown: Option<Box<[u8]>>,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Set in the session.
    Session,
    /// Not set in the session.
    Default,
    /// Asked for by name: a setting with a dot in its name.
    Named,
    /// The same, by a name that a function mentions.
    Discovered,
}

impl SettingRow {
    /// From the four values of a row; `None` if they are not such.
    pub(super) fn read(values: &[Option<&[u8]>]) -> Option<Self> {
        let [name, value, shown, origin] = values else {
            return None;
        };
        let origin = match (*origin)? {
            b"t" => Origin::Session,
            b"f" => Origin::Default,
            b"n" => Origin::Named,
            b"d" => Origin::Discovered,
            _ => return None,
        };
        Some(Self {
            name: std::str::from_utf8((*name)?)
                .ok()?
                .to_ascii_lowercase()
                .into(),
            value: value.map(Into::into),
            shown: shown.map(Into::into),
            origin,
        })
    }
}

/// The names that functions mention, from an answer.
pub(super) fn discovered(rows: &[SettingRow]) -> Vec<Box<str>> {
    rows.iter()
        .filter(|row| row.origin == Origin::Discovered)
        .take(question::most_customs())
        .map(|row| row.name.clone())
        .collect()
}

/// The settings in force, from those believed to be and what the server says; and whether some had
/// changed unseen. A value that the server only spells in another way has not.
pub(super) fn reconcile(believed: &Arc<Settings>, rows: &[SettingRow]) -> (Arc<Settings>, bool) {
    let mut actual = Arc::clone(believed);
    let mut changed = false;
    let listed = |name: &str| {
        rows.iter()
            .any(|row| row.origin == Origin::Session && *row.name == *name)
    };
    for row in rows.iter().filter(|row| !is_elsewhere(&row.name)) {
        let known = believed.value(&row.name);
        let value = row.value.as_deref().unwrap_or_default();
        match row.origin {
            Origin::Default if known.is_some() => {
                actual = actual.with(&row.name, None);
                changed = true;
            }
            Origin::Default => {}
            Origin::Named | Origin::Discovered if listed(&row.name) => {}
            // Once set, such a setting is empty at its default.
            Origin::Named | Origin::Discovered if value.is_empty() => {
                if known.is_some_and(|known| !is_spelt(&row.name, known, b"")) {
                    actual = actual.with(&row.name, None);
                    changed = true;
                }
            }
            Origin::Session | Origin::Named | Origin::Discovered => {
                let forms = [Some(value), row.shown.as_deref()];
                let mut forms = forms.into_iter().flatten();
                if known.is_some_and(|known| forms.any(|form| is_spelt(&row.name, known, form))) {
                    continue;
                }
                changed |= known.is_none_or(|known| !is_akin(known, row));
                actual = actual.with(&row.name, Some(Value::Text(value.into())));
            }
        }
    }
    (actual, changed)
}

/// Settings that other means than this look after.
fn is_elsewhere(name: &str) -> bool {
    matches!(
        name,
        "role"
            | "session_authorization"
            | "seed"
            | "transaction_isolation"
            | "transaction_read_only"
            | "transaction_deferrable"
    )
}

/// True if the server means this value by `form`.
fn is_spelt(name: &str, known: &Value, form: &[u8]) -> bool {
    if name.contains('.') || name == "application_name" {
        return text(known) == form;
    }
    if name == "search_path" {
        return unquoted(bytes(known)) == unquoted(form);
    }
    plain(bytes(known)) == plain(form)
}

/// The text of a value that is no list.
pub(super) fn text(value: &Value) -> Vec<u8> {
    match value {
        Value::Text(text) => text.to_vec(),
        Value::List(list) => constant(list),
    }
}

/// The text of one constant, as `write_literal` writes it.
fn constant(list: &[u8]) -> Vec<u8> {
    let list = list.strip_prefix(b" E").unwrap_or(list);
    let Some(inner) = list
        .strip_prefix(b"'")
        .and_then(|rest| rest.strip_suffix(b"'"))
    else {
        return list.to_vec();
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        out.push(byte);
        if matches!(byte, b'\'' | b'\\') {
            // Both are written twice.
            bytes.next();
        }
    }
    out
}

/// True if the server may mean this value, spelt in its own way: units, abbreviated date styles.
fn is_akin(known: &Value, row: &SettingRow) -> bool {
    let known = plain(bytes(known));
    let value = plain(row.value.as_deref().unwrap_or_default());
    let shown = plain(row.shown.as_deref().unwrap_or_default());
    !row.name.contains('.')
        && row.name.as_ref() != "search_path"
        && !known.is_empty()
        && (shown.starts_with(&known) || !value.is_empty() && known.starts_with(&value))
}

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::Text(text) | Value::List(text) => text,
    }
}

/// Without quotes and the space between items.
fn unquoted(value: &[u8]) -> Vec<u8> {
    let kept = value
        .iter()
        .filter(|byte| !matches!(byte, b'\'' | b'"' | b' '));
    kept.copied().collect()
}

/// Without what does not matter: case too, and the many words for yes and no.
fn plain(value: &[u8]) -> Vec<u8> {
    let mut out = unquoted(value);
    out.make_ascii_lowercase();
    match &*out {
        b"true" | b"yes" | b"1" | b"t" | b"y" => b"on".to_vec(),
        b"false" | b"no" | b"0" | b"f" | b"n" => b"off".to_vec(),
        _ => out,
    }
}
