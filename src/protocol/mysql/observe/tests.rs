use super::{SHARED, Seen, observe};
use crate::model::{PinReason, Pins};
use crate::protocol::mysql::login::Flavor::{self, MariaDb, MySql};
use crate::protocol::mysql::settings::{Charsets, Settings, difference};
use crate::protocol::mysql::wire::put_lenenc_bytes;
use crate::sql::mysql::classify;

/// The entries by which a server tells of these variables.
fn told(variables: &[(&str, &str)]) -> Vec<u8> {
    let mut state = Vec::new();
    for (name, value) in variables {
        let mut pair = Vec::new();
        put_lenenc_bytes(&mut pair, name.as_bytes());
        put_lenenc_bytes(&mut pair, value.as_bytes());
        state.push(0);
        put_lenenc_bytes(&mut state, &pair);
    }
    state
}

fn after(flavor: Flavor, text: &str, variables: &[(&str, &str)]) -> Seen {
    let fresh = Settings::fresh(flavor);
    let verdict = classify(text.as_bytes(), fresh.mode_of(flavor));
    observe(
        &fresh,
        Some(&verdict.statements[0]),
        &told(variables),
        flavor,
    )
    .unwrap()
}

fn charsets(seen: &Seen) -> String {
    let Charsets {
        client,
        results,
        connection,
        collation,
    } = seen.settings.charsets();
    format!("{client} {results:?} {connection} {collation:?}")
}

#[test]
fn what_the_server_tells_counts() {
    let seen = after(
        MySql,
        "call p()",
        &[
            ("sort_buffer_size", "32768"),
            ("Time_Zone", "SYSTEM"),
            ("statement_id", "5"),
        ],
    );
    assert_eq!(
        seen.settings.variable("sort_buffer_size"),
        Some(&b"32768"[..])
    );
    assert_eq!(seen.settings.variable("time_zone"), Some(&b"SYSTEM"[..]));
    assert_eq!(seen.settings.variable("statement_id"), None);
    assert!(seen.doubts.is_empty() && !seen.changed);
    let fresh = Settings::fresh(MySql);
    let seen = observe(&fresh, None, b"\x01\x02\x01d\x02\x011", MySql).unwrap();
    assert_eq!(seen.settings.schema(), Some(&b"d"[..]));
    assert!(seen.changed);
    let seen = observe(&seen.settings, None, b"\x01\x01\x00", MySql).unwrap();
    assert_eq!(seen.settings.schema(), None);
    assert!(observe(&fresh, None, b"\x01\x05", MySql).is_err());
    assert!(observe(&fresh, None, &told(&[("\u{e9}", "")]), MySql).is_ok());
}

#[test]
fn what_cannot_be_carried_is_in_doubt() {
    for name in [
        "timestamp",
        "sql_log_bin",
        "rand_seed1",
        "character_set_database",
    ] {
        let seen = after(MySql, "call p()", &[(name, "1")]);
        assert_eq!(seen.doubts, Pins::of(&[PinReason::Setting]), "{name}");
        assert_eq!(seen.settings.variable(name), None);
    }
    let told = [("session_track_schema", "OFF")];
    assert!(!after(MySql, "call p()", &told).doubts.is_empty());
    let seen = after(MySql, "set session_track_schema = 0, @a = 1", &told);
    assert!(seen.doubts.is_empty());
    let text = "set session_track_system_variables = '', time_zone = '+01:00'";
    assert!(!after(MySql, text, &[]).doubts.is_empty());
}

const NAMES: [(&str, &str); 3] = [
    ("character_set_client", "latin1"),
    ("character_set_connection", "latin1"),
    ("character_set_results", "latin1"),
];

#[test]
fn mysql_does_not_tell_the_collation_of_names() {
    for (text, expected) in [
        ("set names latin1", "latin1 Some(\"latin1\") latin1 None"),
        (
            "set names latin1 collate latin1_bin",
            "latin1 Some(\"latin1\") latin1 Some(\"latin1_bin\")",
        ),
        (
            "set names utf8mb4, collation_connection = 'latin1_bin'",
            "latin1 Some(\"latin1\") latin1 Some(\"latin1_bin\")",
        ),
        (
            "set names latin1 collate latin1_bin, names latin1",
            "latin1 Some(\"latin1\") latin1 None",
        ),
    ] {
        let seen = after(MySql, text, &NAMES);
        assert_eq!(charsets(&seen), expected, "{text}");
        assert!(seen.doubts.is_empty(), "{text}");
    }
    for text in [
        "execute s",
        "call p()",
        "set character set latin1",
        "set collation_connection = @a",
    ] {
        assert!(!after(MySql, text, &NAMES).doubts.is_empty(), "{text}");
    }
    // A routine gives back what it has set.
    let same = [
        ("character_set_connection", "utf8mb4"),
        ("character_set_results", ""),
    ];
    let seen = after(MySql, "call p()", &same);
    assert_eq!(
        charsets(&seen),
        "utf8mb4 None utf8mb4 Some(\"utf8mb4_general_ci\")"
    );
    assert!(seen.doubts.is_empty());
    assert!(!after(MySql, "execute s", &same).doubts.is_empty());
}

#[test]
fn a_collation_that_is_told_counts() {
    let seen = after(
        MariaDb,
        "call p()",
        &[("collation_connection", "latin1_bin")],
    );
    assert_eq!(
        charsets(&seen),
        "utf8mb4 Some(\"utf8mb4\") latin1 Some(\"latin1_bin\")"
    );
    assert!(seen.doubts.is_empty());
}

#[test]
fn mariadb_tells_one_switch_for_another() {
    let told = [("autocommit", "ON")];
    for (text, expected) in [
        ("set foreign_key_checks = 0", "OFF"),
        ("set foreign_key_checks = Off, unique_checks = 1", "OFF"),
        ("set @@session.foreign_key_checks = true", "ON"),
    ] {
        let seen = after(MariaDb, text, &told);
        let value = seen.settings.variable("foreign_key_checks");
        assert_eq!(value, Some(expected.as_bytes()), "{text}");
        assert_eq!(seen.settings.variable("autocommit"), None, "{text}");
        assert!(seen.doubts.is_empty(), "{text}");
    }
    for text in [
        "call p()",
        "set foreign_key_checks = @a",
        "set time_zone = 'SYSTEM'",
    ] {
        assert!(!after(MariaDb, text, &told).doubts.is_empty(), "{text}");
    }
    let seen = after(MariaDb, "set foreign_key_checks = default", &told);
    assert_eq!(seen.settings.variable("foreign_key_checks"), None);
    let seen = after(
        MySql,
        "set foreign_key_checks = 0",
        &[("foreign_key_checks", "OFF")],
    );
    assert_eq!(
        seen.settings.variable("foreign_key_checks"),
        Some(&b"OFF"[..])
    );
    for shared in SHARED {
        assert!(shared.iter().all(|name| *name == name.to_ascii_lowercase()));
    }
}

#[test]
fn values_for_one_statement_do_not_stay() {
    let seen = after(
        MariaDb,
        "set statement sort_buffer_size = 20000 for select 1",
        &[("sort_buffer_size", "20000")],
    );
    assert_eq!(seen.settings.variable("sort_buffer_size"), None);
}

#[test]
fn user_variables_are_read_from_the_text() {
    let seen = after(MySql, "set @a = 1, @b = 'x'", &[]);
    assert!(!Settings::same(&seen.settings, &Settings::fresh(MySql)));
    assert!(seen.doubts.is_empty());
    let seen = after(MySql, "set @a = 1, @b = @c", &[]);
    assert_eq!(seen.doubts, Pins::of(&[PinReason::UserVariable]));
    // A text is read as a whole before any of it is carried out.
    let seen = after(MySql, "set names latin1, @a = 'x'", &NAMES);
    let sql = difference(&Settings::fresh(MySql), &seen.settings).sql;
    let sql = String::from_utf8(sql).unwrap();
    assert!(
        sql.contains("@`a` := _utf8mb4 X'78' COLLATE utf8mb4_general_ci"),
        "{sql}"
    );
}

#[test]
fn limits_of_joins_come_with_a_switch() {
    let one = after(
        MySql,
        "set sql_big_selects = 1",
        &[("sql_big_selects", "ON")],
    )
    .settings;
    let two = observe(&one, None, &told(&[("max_join_size", "5")]), MySql).unwrap();
    assert_eq!(two.settings.variable("sql_big_selects"), None);
}
