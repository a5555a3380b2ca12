//! The SQL that turns the settings of a server connection into those that a client wants.
//!
//! # Order
//!
//! Whether a setting may be changed depends on the role in force, a role may be taken on only by
//! the session's user, and a change of that user ends the role (PostgreSQL documentation, SET ROLE
//! and SET SESSION AUTHORIZATION). So settings that not everybody may change are changed as whoever
//! set them before, and user and role come last, in this order. Leaving a role, and returning to
//! the login's user, is allowed to everybody.

use super::guc;
use super::settings::{Identity, ROLE, Settings, USER, Value};
use crate::sql::postgres::are_plain_names;

/// Whether the client's own bytes may travel together with a change of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caution {
    /// They may: the change cannot fail.
    None,
    /// They must wait: run under the wrong settings they could see or touch what they must not.
    Wait,
}

/// Writes the SQL that turns `from` into `to`, without terminator, and says whether a statement
/// must not follow before the server has confirmed it.
///
/// `set_config` takes the value as the startup packet would, list values included; `RESET`
/// returns to the login's default (PostgreSQL documentation, SET and `set_config`).
pub fn write_difference(from: &Settings, to: &Settings, out: &mut Vec<u8>) -> Caution {
    write(from, to, false, out)
}

/// The same for the middle of a client's transaction, where the client may still set how that is
/// isolated: no query must have come before (PostgreSQL documentation, SET TRANSACTION), and SET is
/// none. Lists of names that SET would write otherwise are the exception.
pub fn write_difference_amidst(from: &Settings, to: &Settings, out: &mut Vec<u8>) {
    let _ = write(from, to, true, out);
}

fn write(from: &Settings, to: &Settings, amidst: bool, out: &mut Vec<u8>) -> Caution {
    let mut writer = Writer {
        now: from.identity(),
        switched: false,
        first: true,
        amidst,
        out,
    };
    let changes = Changes::between(from, to);
    let last = to.identity();
    for setter in order(&changes, &writer.now, &last) {
        if let Some(setter) = setter {
            writer.become_(setter);
        }
        writer.changes(&changes, setter);
    }
    writer.become_(&last);
    let sure = changes
        .0
        .iter()
        .all(|change| change.value.is_none() || guc::is_plain(change.name));
    if sure && !writer.switched {
        Caution::None
    } else {
        Caution::Wait
    }
}

/// What differs, apart from user and role.
struct Changes<'a>(Vec<Change<'a>>);

struct Change<'a> {
    name: &'a str,
    /// `None` returns it to the default.
    value: Option<&'a Value>,
    /// Who is to change it; `None` for settings that everybody may change.
    setter: Option<Identity>,
}

impl<'a> Changes<'a> {
    fn between(from: &'a Settings, to: &'a Settings) -> Self {
        let gone = from
            .values
            .keys()
            .filter(|name| !to.values.contains_key(*name))
            .map(|name| (from, &**name, None));
        let new = to
            .values
            .iter()
            .filter(|(name, value)| from.value(name) != Some(*value))
            .map(|(name, value)| (to, &**name, Some(value)));
        let change = |(side, name, value): (&Settings, &'a str, Option<&'a Value>)| Change {
            name,
            value,
            setter: (!guc::is_plain(name)).then(|| side.setter(name)),
        };
        let others = gone
            .chain(new)
            .filter(|(_, name, _)| *name != USER && *name != ROLE);
        Self(others.map(change).collect())
    }
}

/// Who changes something, each once: whoever is in force first, who is to be in force last.
fn order<'a>(
    changes: &'a Changes<'_>,
    first: &Identity,
    last: &Identity,
) -> Vec<Option<&'a Identity>> {
    let mut setters: Vec<Option<&Identity>> = vec![None];
    for change in &changes.0 {
        if let Some(setter) = &change.setter
            && !setters.contains(&Some(setter))
        {
            setters.push(Some(setter));
        }
    }
    setters.sort_by_key(|setter| match setter {
        None => 0,
        Some(setter) if *setter == first => 1,
        Some(setter) if *setter == last => 3,
        Some(_) => 2,
    });
    setters
}

struct Writer<'a> {
    now: Identity,
    /// User or role have been changed.
    switched: bool,
    first: bool,
    /// What can be is set by SET.
    amidst: bool,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn statement(&mut self) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b';');
        }
        self.out
    }

    fn set(&mut self, name: &str, value: Option<&Value>) {
        let amidst = self.amidst;
        let out = self.statement();
        match value {
            None => {
                out.extend_from_slice(b"RESET ");
                write_identifier(name, out);
            }
            Some(Value::List(list)) => write_set(b"SET ", name, list, out),
            Some(Value::Text(text)) => match verbatim(name, text).filter(|_| amidst) {
                Some(values) => write_set(b"SET ", name, &values, out),
                None => {
                    out.extend_from_slice(b"SELECT ");
                    write_call(name, text, false, out);
                }
            },
        }
    }

    fn become_(&mut self, next: &Identity) {
        if self.now == *next {
            return;
        }
        self.switched = true;
        if self.now.user == next.user {
            self.set(ROLE, next.role.as_ref());
        } else {
            self.set(USER, next.user.as_ref());
            // Servers differ in what becomes of the setting `role`.
            self.set(ROLE, next.role.as_ref());
        }
        self.now = next.clone();
    }

    /// Writes the changes that are this one's to make.
    fn changes(&mut self, changes: &Changes<'_>, setter: Option<&Identity>) {
        let mine = || {
            let mut all = changes.0.iter();
            std::iter::from_fn(move || all.find(|change| change.setter.as_ref() == setter))
        };
        for change in mine() {
            if self.amidst || !matches!(change.value, Some(Value::Text(_))) {
                self.set(change.name, change.value);
            }
        }
        if self.amidst {
            return;
        }
        let mut select = false;
        for change in mine() {
            let Some(Value::Text(text)) = change.value else {
                continue;
            };
            if std::mem::replace(&mut select, true) {
                self.out.push(b',');
            } else {
                self.statement().extend_from_slice(b"SELECT ");
            }
            write_call(change.name, text, false, self.out);
        }
    }
}

/// Writes the SQL that gives a setting a value until the transaction ends, without terminator. As
/// [`write_difference_amidst`], no query where that can be.
pub fn write_local(name: &str, value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::List(list) => write_set(b"SET LOCAL ", name, list, out),
        Value::Text(text) => match verbatim(name, text) {
            Some(values) => write_set(b"SET LOCAL ", name, &values, out),
            None => {
                out.extend_from_slice(b"SELECT ");
                write_call(name, text, true, out);
            }
        },
    }
}

fn write_set(verb: &[u8], name: &str, values: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(verb);
    write_identifier(name, out);
    out.extend_from_slice(b" TO ");
    out.extend_from_slice(values);
}

/// What SET takes to leave the very text of a value; `None` if it would write that otherwise.
fn verbatim(name: &str, text: &[u8]) -> Option<Vec<u8>> {
    if guc::is_list_of_names(name) {
        return are_plain_names(text).then(|| text.to_vec());
    }
    let mut literal = Vec::with_capacity(text.len() + 2);
    write_literal(text, &mut literal);
    Some(literal)
}

fn write_call(name: &str, value: &[u8], local: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"pg_catalog.set_config(");
    write_literal(name.as_bytes(), out);
    out.push(b',');
    write_literal(value, out);
    let local: &[u8] = if local { b",true)" } else { b",false)" };
    out.extend_from_slice(local);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Caution, write_difference, write_difference_amidst};
    use crate::protocol::postgres::settings::{Settings, Value};

    type Pairs<'a> = &'a [(&'a str, &'a [u8])];

    fn sql(from: &Arc<Settings>, to: &Arc<Settings>) -> (String, Caution) {
        let mut out = Vec::new();
        let caution = write_difference(from, to, &mut out);
        (String::from_utf8(out).unwrap(), caution)
    }

    fn difference(from: Pairs<'_>, to: Pairs<'_>) -> (String, Caution) {
        sql(
            &Settings::from_pairs(from.iter().copied()),
            &Settings::from_pairs(to.iter().copied()),
        )
    }

    fn text(value: &str) -> Option<Value> {
        Some(Value::Text(value.as_bytes().into()))
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
        assert_eq!(difference(&[("a", b"1")], &[("a", b"1")]).0, "");
    }

    #[test]
    fn a_list_is_replayed_as_it_was_given() {
        let list = Value::List(b"'$user','a,b'"[..].into());
        let to = Settings::none().with("search_path", Some(list));
        assert_eq!(
            sql(&Settings::none(), &to).0,
            "SET \"search_path\" TO '$user','a,b'"
        );
    }

    #[test]
    fn amidst_a_transaction_is_no_query_where_set_does() {
        let pairs: Pairs<'_> = &[
            ("app.tenant", b"o'r"),
            ("search_path", b"one, two"),
            ("temp_tablespaces", b"One"),
        ];
        let mut out = Vec::new();
        let to = Settings::from_pairs(pairs.iter().copied());
        write_difference_amidst(&Settings::none(), &to, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "SET \"app\".\"tenant\" TO 'o''r';SET \"search_path\" TO one, two;\
             SELECT pg_catalog.set_config('temp_tablespaces','One',false)"
        );
    }

    #[test]
    fn what_decides_access_or_may_fail_waits_for_the_server() {
        assert_eq!(difference(&[], &[("search_path", b"a")]).1, Caution::None);
        assert_eq!(difference(&[("role", b"a")], &[]).1, Caution::Wait);
        assert_eq!(
            difference(&[], &[("temp_tablespaces", b"a")]).1,
            Caution::Wait
        );
    }

    #[test]
    fn user_and_role_come_last_and_in_this_order() {
        let (sql, _) = difference(
            &[],
            &[
                ("role", b"clerk"),
                ("session_authorization", b"boss"),
                ("log_statement", b"all"),
            ],
        );
        assert_eq!(
            sql,
            "SELECT pg_catalog.set_config('log_statement','all',false);\
             SELECT pg_catalog.set_config('session_authorization','boss',false);\
             SELECT pg_catalog.set_config('role','clerk',false)"
        );
        let (sql, _) = difference(
            &[("role", b"none"), ("session_authorization", b"boss")],
            &[("role", b"clerk")],
        );
        assert_eq!(
            sql,
            "RESET \"session_authorization\";SELECT pg_catalog.set_config('role','clerk',false)"
        );
    }

    #[test]
    fn what_the_login_set_is_changed_as_the_login_though_a_role_is_in_force() {
        let from: Pairs<'_> = &[("role", b"clerk"), ("log_statement", b"all")];
        let to: Pairs<'_> = &[("role", b"clerk"), ("log_statement", b"none")];
        let (sql, caution) = difference(from, to);
        assert_eq!(
            sql,
            "RESET \"role\";SELECT pg_catalog.set_config('log_statement','none',false);\
             SELECT pg_catalog.set_config('role','clerk',false)"
        );
        assert_eq!(caution, Caution::Wait);
    }

    #[test]
    fn what_everybody_may_set_needs_no_change_of_role() {
        let (sql, caution) = difference(
            &[("role", b"clerk"), ("app.tenant", b"1")],
            &[("role", b"clerk"), ("app.tenant", b"2")],
        );
        assert_eq!(sql, "SELECT pg_catalog.set_config('app.tenant','2',false)");
        assert_eq!(caution, Caution::None);
    }

    #[test]
    fn what_a_role_has_set_is_changed_as_that_role() {
        let role = Settings::none().with("role", text("clerk"));
        let set = role.with_by("log_statement", text("all"), role.identity());
        let (on, _) = sql(&Settings::none(), &set);
        assert_eq!(
            on,
            "SELECT pg_catalog.set_config('role','clerk',false);\
             SELECT pg_catalog.set_config('log_statement','all',false)"
        );
        let other = Settings::none().with("role", text("guest"));
        let (off, _) = sql(&set, &other);
        assert_eq!(
            off,
            "RESET \"log_statement\";SELECT pg_catalog.set_config('role','guest',false)"
        );
        let (back, _) = sql(&set.with("role", text("guest")), &Settings::none());
        assert_eq!(
            back,
            "SELECT pg_catalog.set_config('role','clerk',false);\
             RESET \"log_statement\";RESET \"role\""
        );
    }
}
