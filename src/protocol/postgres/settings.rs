//! The settings (GUCs) in which a session differs from a freshly logged-in connection, and the
//! SQL that turns one such state into another.
//!
//! Values are immutable and shared, so that the common question, whether a client and a server
//! connection agree, is one pointer or hash comparison.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;

/// Settings by lower-case name. The absence of a name means the connection's own default.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<Box<str>, Value>,
    /// Hash of all values: equal settings have equal hashes.
    hash: u64,
    /// Hash of the values that may change how a statement is parsed or planned.
    planner: u64,
}

/// The value of a setting, in one of the two ways in which it can be given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// As the startup packet and `set_config` take it.
    Text(Box<[u8]>),
    /// As `SET name TO` takes it: constants in SQL, with commas between them. The server quotes
    /// the items of list settings itself.
    List(Box<[u8]>),
}

impl Settings {
    /// No differences. Always the same allocation.
    pub fn none() -> Arc<Self> {
        static NONE: LazyLock<Arc<Settings>> =
            LazyLock::new(|| Arc::new(Settings::new(BTreeMap::new())));
        Arc::clone(&NONE)
    }

    /// Settings with these values; a later one of the same name wins.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Arc<Self> {
        let values: BTreeMap<_, _> = pairs
            .into_iter()
            .map(|(name, value)| {
                let value = Value::Text(value.into());
                (name.to_ascii_lowercase().into(), value)
            })
            .collect();
        if values.is_empty() {
            return Self::none();
        }
        Arc::new(Self::new(values))
    }

    fn new(values: BTreeMap<Box<str>, Value>) -> Self {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);
        let planner: Vec<_> = values
            .iter()
            .filter(|(name, _)| !PLANNER_BLIND.contains(&&***name))
            .collect();
        Self {
            hash: HASHER.hash_one(&values),
            planner: if planner.is_empty() {
                0
            } else {
                HASHER.hash_one(planner)
            },
            values,
        }
    }

    /// The same settings with one value changed; `None` returns it to the default.
    pub fn with(self: &Arc<Self>, name: &str, value: Option<Value>) -> Arc<Self> {
        if self.value(name) == value.as_ref() {
            return Arc::clone(self);
        }
        let mut values = self.values.clone();
        match value {
            Some(value) => values.insert(name.into(), value),
            None => values.remove(name),
        };
        if values.is_empty() {
            return Self::none();
        }
        Arc::new(Self::new(values))
    }

    /// Identifies the content within this process.
    pub fn id(&self) -> u64 {
        self.hash
    }

    /// Identifies the part of the content that parsing and planning depend on.
    pub fn planner_id(&self) -> u64 {
        self.planner
    }

    /// The value of a setting, if it differs from the default.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The names of all that differ from the default.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(|name| &**name)
    }

    /// True if both hold the same values.
    pub fn same(a: &Arc<Self>, b: &Arc<Self>) -> bool {
        Arc::ptr_eq(a, b) || (a.hash == b.hash && a.values == b.values)
    }
}

/// Writes the SQL that turns `from` into `to`, without terminator, and says whether a statement
/// must not follow before the server has confirmed it.
///
/// `set_config` takes the value as the startup packet would, list values included; `RESET`
/// returns to the login's default (PostgreSQL documentation, SET and `set_config`).
pub fn write_difference(from: &Settings, to: &Settings, out: &mut Vec<u8>) -> Caution {
    let mut caution = Caution::None;
    let mut first = true;
    for name in from.values.keys() {
        if to.values.contains_key(name) {
            continue;
        }
        if !first {
            out.push(b';');
        }
        first = false;
        caution = caution.max(Caution::of(name));
        out.extend_from_slice(b"RESET ");
        write_identifier(name, out);
    }
    let changed: Vec<_> = to
        .values
        .iter()
        .filter(|(name, value)| from.value(name) != Some(*value))
        .collect();
    for (name, value) in &changed {
        let Value::List(list) = value else { continue };
        if !first {
            out.push(b';');
        }
        first = false;
        caution = caution.max(Caution::of(name));
        out.extend_from_slice(b"SET ");
        write_identifier(name, out);
        out.extend_from_slice(b" TO ");
        out.extend_from_slice(list);
    }
    let mut select = false;
    for (name, value) in &changed {
        let Value::Text(value) = value else { continue };
        if select {
            out.push(b',');
        } else {
            if !first {
                out.push(b';');
            }
            out.extend_from_slice(b"SELECT ");
            select = true;
        }
        caution = caution.max(Caution::of(name));
        out.extend_from_slice(b"pg_catalog.set_config(");
        write_literal(name.as_bytes(), out);
        out.push(b',');
        write_literal(value, out);
        out.extend_from_slice(b",false)");
    }
    caution
}

/// Whether the client's own bytes may travel together with a change of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caution {
    /// They may: a failure ends the client's session.
    None,
    /// They must wait: run under the wrong value they could see or touch what they must not.
    Wait,
}

impl Caution {
    fn of(name: &str) -> Self {
        if DECIDES_ACCESS.contains(&name) {
            Self::Wait
        } else {
            Self::None
        }
    }
}

/// Writes `text` as a string constant that means the same whatever
/// `standard_conforming_strings` says (PostgreSQL documentation, section 4.1.2.2).
pub fn write_literal(text: &[u8], out: &mut Vec<u8>) {
    if text.contains(&b'\\') {
        out.extend_from_slice(b" E");
    }
    out.push(b'\'');
    for &byte in text {
        if byte == b'\'' || byte == b'\\' {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'\'');
}

/// Writes a setting's name; each part between dots is quoted.
fn write_identifier(name: &str, out: &mut Vec<u8>) {
    for (i, part) in name.split('.').enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        out.push(b'"');
        for &byte in part.as_bytes() {
            if byte == b'"' {
                out.push(byte);
            }
            out.push(byte);
        }
        out.push(b'"');
    }
}

/// Settings that neither the parser nor the planner looks at. Any other is taken to matter.
const PLANNER_BLIND: [&str; 8] = [
    "application_name",
    "client_encoding",
    "client_min_messages",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "tcp_keepalives_idle",
];

/// Settings whose replay can fail though it once succeeded, and that decide what a statement may
/// see.
const DECIDES_ACCESS: [&str; 2] = ["role", "session_authorization"];

#[cfg(test)]
mod tests {
    use super::{Caution, Settings, Value, write_difference};

    fn difference(from: &[(&str, &[u8])], to: &[(&str, &[u8])]) -> (String, Caution) {
        let from = Settings::from_pairs(from.iter().copied());
        let to = Settings::from_pairs(to.iter().copied());
        let mut out = Vec::new();
        let caution = write_difference(&from, &to, &mut out);
        (String::from_utf8(out).unwrap(), caution)
    }

    #[test]
    fn only_the_difference_is_written() {
        let (sql, caution) = difference(
            &[("timezone", b"UTC"), ("app.tenant", b"1"), ("jit", b"off")],
            &[
                ("jit", b"off"),
                ("application_name", b"o'r\\k"),
                ("datestyle", b"ISO"),
            ],
        );
        assert_eq!(
            sql,
            "RESET \"app\".\"tenant\";RESET \"timezone\";\
             SELECT pg_catalog.set_config('application_name', E'o''r\\\\k',false),\
             pg_catalog.set_config('datestyle','ISO',false)"
        );
        assert_eq!(caution, Caution::None);
    }

    #[test]
    fn a_list_is_replayed_as_it_was_given() {
        let list = Value::List(b"'$user','a,b'"[..].into());
        let to = Settings::none().with("search_path", Some(list));
        let mut out = Vec::new();
        let _ = write_difference(&Settings::none(), &to, &mut out);
        assert_eq!(out, b"SET \"search_path\" TO '$user','a,b'");
    }

    #[test]
    fn what_decides_access_waits_for_the_server() {
        assert_eq!(difference(&[], &[("search_path", b"a")]).1, Caution::None);
        assert_eq!(difference(&[("role", b"a")], &[]).1, Caution::Wait);
    }

    #[test]
    fn equal_settings_are_the_same() {
        let a = Settings::from_pairs([("TimeZone", &b"UTC"[..])]);
        let b = Settings::none().with("timezone", Some(Value::Text(b"UTC"[..].into())));
        assert!(Settings::same(&a, &b));
        assert!(Settings::same(&a.with("timezone", None), &Settings::none()));
        assert_eq!(difference(&[("a", b"1")], &[("a", b"1")]).0, "");
    }

    #[test]
    fn settings_that_planning_ignores_share_plans() {
        let a = Settings::from_pairs([("application_name", &b"x"[..])]);
        assert_eq!(a.planner_id(), Settings::none().planner_id());
        let b = Settings::from_pairs([("search_path", &b"x"[..])]);
        assert_ne!(b.planner_id(), Settings::none().planner_id());
    }
}
