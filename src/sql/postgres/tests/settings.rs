//! Setting changes: names, values, order.

use super::verdict;
use crate::sql::statement::{LiteralKind, SettingAction, SettingChange, SettingScope};
use crate::sql::touches::Touch;

/// A change in short: scope, name, action.
fn short(change: &SettingChange) -> String {
    let scope = match change.scope {
        SettingScope::Session => "",
        SettingScope::Local => "local ",
    };
    let action = match &change.action {
        SettingAction::To(values) => {
            let value = |value: &crate::sql::statement::Literal| match value.kind {
                LiteralKind::Identifier => format!("i:{}", value.text),
                LiteralKind::String => format!("s:{}", value.text),
                LiteralKind::Number => format!("n:{}", value.text),
            };
            format!(
                "={}",
                values.iter().map(value).collect::<Vec<_>>().join("|")
            )
        }
        SettingAction::Raw(value) => format!(":={}", value.text),
        SettingAction::Parameter(number) => format!(":=${number}"),
        SettingAction::Default => "=default".into(),
        SettingAction::FromCurrent => "=current".into(),
        SettingAction::ResetAll => "reset all".into(),
    };
    format!("{scope}{}{action}", change.name)
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let verdict = verdict(text);
    let changes: Vec<_> = verdict
        .setting_changes()
        .map(|(_, change)| short(change))
        .collect();
    assert_eq!(changes, expected, "{text}");
}

#[test]
fn set_in_all_its_forms() {
    check("set X = 1", &["x=n:1"]);
    check("set x=-1.5", &["x=n:-1.5"]);
    check("set x to +.5e-3", &["x=n:.5e-3"]);
    check("set x = On", &["x=i:on"]);
    check("set x to 'It''s'", &["x=s:It's"]);
    check("set x = e'a''b'", &["x=s:a'b"]);
    check("set x = $t$a'b$t$", &["x=s:a'b"]);
    check("set x = $$$$", &["x=s:"]);
    check("set x = \"A\"\"b\"", &["x=i:A\"b"]);
    check("set x.Y.\"Z\" = v", &["x.y.z=i:v"]);
    check("set \"App.User\" = v", &["app.user=i:v"]);
    check("set local x = 1", &["local x=n:1"]);
    check("set session x = 1", &["x=n:1"]);
    check("set session.x = 1", &["session.x=n:1"]);
    check("set local local.x to 1", &["local local.x=n:1"]);
    check("set role.x = 1", &["role.x=n:1"]);
    check("set time.zone = 1", &["time.zone=n:1"]);
    check(
        "SET search_path TO \"$user\", public, 'x'",
        &["search_path=i:$user|i:public|s:x"],
    );
    check("set x = default", &["x=default"]);
    check("set x to DEFAULT", &["x=default"]);
    check("set x from current", &["x=current"]);
    check("set sort_mem = 5", &["work_mem=n:5"]);
}

#[test]
fn special_forms_name_their_setting() {
    check("set time zone 'UTC'", &["timezone=s:UTC"]);
    check("set local time zone utc", &["local timezone=i:utc"]);
    check("set time zone -8", &["timezone=n:-8"]);
    check("set time zone local", &["timezone=default"]);
    check("set names 'latin1'", &["client_encoding=s:latin1"]);
    check("set names default", &["client_encoding=default"]);
    check("set schema 'a b'", &["search_path=s:a b"]);
    check("set xml option content", &["xmloption=i:content"]);
    check("set role Bob", &["role=i:bob"]);
    check("set role none", &["role=i:none"]);
    check("set role 'Bob'", &["role=s:Bob"]);
    check(
        "set session authorization \"Bob\"",
        &["session_authorization=i:Bob"],
    );
    check(
        "set local session authorization default",
        &["local session_authorization=default"],
    );
    check(
        "set session characteristics as transaction isolation level read committed, read write",
        &[
            "default_transaction_isolation=s:read committed",
            "default_transaction_read_only=s:off",
        ],
    );
    check(
        "reset session authorization",
        &["session_authorization=default"],
    );
    check("reset time zone", &["timezone=default"]);
    check("reset A.b", &["a.b=default"]);
    check("reset all", &["reset all"]);
    check("set transaction read only", &[]);
    check(
        "set transaction_read_only = on",
        &["local transaction_read_only=i:on"],
    );
}

#[test]
fn set_config_takes_values_as_they_stand() {
    check(
        "select set_config('Search_Path', 'a, \"B\"', false)",
        &["search_path:=a, \"B\""],
    );
    check(
        "select \"pg_catalog\" . \"set_config\" ('a', 'b', false) as \"x\"",
        &["a:=b"],
    );
    check("select \"SET_CONFIG\"('a', 'b', false)", &[]);
    check("select set_config('a', null, false)", &["a=default"]);
    check("select set_config('a', $12, false)", &["a:=$12"]);
    check("select set_config('a', $99999, false)", &[]);
    check("select set_config('a', $0, false)", &[]);
    check("select set_config('a', 'b', true)", &["local a:=b"]);
    check(
        "select pg_catalog.set_config('a', '1', false) x, set_config('a', '2', false)",
        &["a:=1", "a:=2"],
    );
    check("select set_config('a', 'b\\c', false)", &[]);
    check("select set_config('a', 'b', false) from t", &[]);
}

#[test]
fn what_pg_dump_sets_where_the_server_knows_it_is_read() {
    check(
        "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'a'",
        &["a:=view, foreign-table"],
    );
    check(
        "select pg_catalog.set_config(name, 'b', false) from pg_catalog.pg_settings where name = 'A'",
        &["a:=b"],
    );
    for text in [
        "select set_config(name, 'b', false) from pg_settings",
        "select set_config(name, 'b', false) from pg_settings where name like 'a'",
        "select set_config(name, 'b', false) from pg_settings where name = 'a' or true",
        "select set_config(name, setting, false) from pg_settings where name = 'a'",
        "select set_config(name, 'b', false) from s.pg_settings where name = 'a'",
        "select set_config(name, 'b', false), 1 from pg_settings where name = 'a'",
        "select set_config(name, $1, false) from pg_settings where name = 'a'",
    ] {
        check(text, &[]);
        assert!(verdict(text).touches.contains(Touch::SetUnknown), "{text}");
    }
}

#[test]
fn changes_keep_their_order_and_their_statement() {
    let verdict = verdict("set a = 1; select 1;; reset a; select set_config('a', '2', false)");
    let changes: Vec<_> = verdict
        .setting_changes()
        .map(|(index, change)| (index, short(change)))
        .collect();
    let expected = [(0, "a=n:1"), (2, "a=default"), (3, "a:=2")];
    assert_eq!(
        changes,
        expected.map(|(index, change)| (index, change.to_owned()))
    );
}

#[test]
fn raw_values_are_what_the_server_stores() {
    for (text, raw) in [
        (
            "set search_path to \"$user\", Public, 'X', ''",
            Some("\"$user\", public, \"X\", \"\""),
        ),
        ("set search_path to 'a, b'", Some("\"a, b\"")),
        ("set search_path to 'a\"b'", Some("\"a\"\"b\"")),
        ("set datestyle = ISO, 'MDY'", Some("iso, MDY")),
        ("set x = 'a b'", Some("a b")),
        ("set x = -5", Some("-5")),
        (
            "select set_config('search_path', 'a, b', false)",
            Some("a, b"),
        ),
        ("reset x", None),
        ("select set_config('x', $1, false)", None),
    ] {
        let verdict = verdict(text);
        let (_, change) = verdict.setting_changes().next().expect("one change");
        assert_eq!(change.raw_value().as_deref(), raw, "{text}");
    }
}

#[test]
fn values_are_not_shown_in_debug_output() {
    let shown = format!(
        "{:?}",
        verdict("set a.key = 'hunter2'; select set_config('b', 'hunter2', false)")
    );
    assert!(
        !shown.contains("hunter2") && shown.contains("a.key"),
        "{shown}"
    );
}
