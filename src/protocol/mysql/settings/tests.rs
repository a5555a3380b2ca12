use std::sync::Arc;

use super::{Charsets, Settings, difference, usual_mode, version_number};
use crate::protocol::mysql::capability::Capabilities;
use crate::protocol::mysql::login::Announcement;
use crate::protocol::mysql::login::Flavor::{MariaDb, MySql};
use crate::sql::mysql::ClientCharset;
use crate::sql::mysql::verdict::{Literal, LiteralKind};

fn sql(from: &Settings, to: &Settings) -> String {
    String::from_utf8(difference(from, to).sql).unwrap()
}

fn literal(kind: LiteralKind, text: &[u8]) -> Literal {
    Literal {
        kind,
        text: text.into(),
    }
}

#[test]
fn only_the_difference_is_written() {
    let fresh = Settings::fresh(MySql);
    let from = fresh
        .with_variable("time_zone", Some(b"+01:00"))
        .with_variable("sql_safe_updates", Some(b"ON"))
        .with_variable("unique_checks", Some(b"OFF"))
        .with_variable("sort_buffer_size", Some(b"1000"));
    let to = fresh
        .with_variable("sort_buffer_size", Some(b"1000"))
        .with_variable("sql_mode", Some(b""))
        .with_variable("time_zone", Some(b"Europe/Berlin"))
        .with_variable("max_statement_time", Some(b"1.500000"))
        .with_variable("innodb_tmpdir", Some(b""))
        .with_variable("innodb_ft_user_stopword_table", Some(b"d/o'r\\k"));
    assert_eq!(
        sql(&from, &to),
        "SET @@session.sql_safe_updates = DEFAULT, \
         @@session.unique_checks = @@global.unique_checks, \
         @@session.innodb_ft_user_stopword_table = _utf8mb4 X'642f6f27725c6b', \
         @@session.innodb_tmpdir = NULL, \
         @@session.max_statement_time = 1.500000, @@session.sql_mode = '', \
         @@session.time_zone = 'Europe/Berlin'"
    );
    assert_eq!(sql(&to, &to), "");
    assert!(Settings::same(
        &to,
        &to.with_variable("sql_mode", Some(b""))
    ));
    assert!(!Settings::same(&to, &to.with_variable("sql_mode", None)));
}

#[test]
fn schemas_are_chosen() {
    let fresh = Settings::fresh(MySql);
    let named = fresh.with_schema(Some(b"d"));
    assert_eq!(
        difference(&fresh, &named).schema.as_deref(),
        Some(&b"d"[..])
    );
    assert_eq!(
        difference(&named, &named.with_schema(Some(b"d"))).schema,
        None
    );
    assert_eq!(difference(&named, &fresh).schema, None);
}

#[test]
fn character_sets_of_logins() {
    let login = |flavor, number| Settings::login(flavor, number, Capabilities::default(), "");
    let fresh = Settings::fresh(MySql);
    for (flavor, number, expected) in [
        (
            MySql,
            255,
            "SET NAMES utf8mb4, collation_connection = utf8mb4_0900_ai_ci",
        ),
        (
            MySql,
            8,
            "SET NAMES latin1, collation_connection = latin1_swedish_ci",
        ),
        (MySql, 45, ""),
        (MySql, 63, "SET NAMES binary, collation_connection = binary"),
        // The server's own choice.
        (MariaDb, 45, "SET NAMES utf8mb4"),
        (
            MariaDb,
            224,
            "SET NAMES utf8mb4, collation_connection = utf8mb4_unicode_ci",
        ),
        (MySql, 0, "SET NAMES utf8mb4"),
        (MySql, 35, "SET NAMES utf8mb4"),
    ] {
        assert_eq!(sql(&fresh, &login(flavor, number)), expected, "{number}");
    }
    assert_eq!(
        sql(&login(MySql, 8), &fresh),
        "SET NAMES utf8mb4, collation_connection = utf8mb4_general_ci"
    );
}

#[test]
fn character_sets_that_differ() {
    let fresh = Settings::fresh(MySql);
    let with = |connection: &str, client: &str, results: Option<&str>| {
        fresh.with_charsets(Charsets {
            client: client.into(),
            results: results.map(Into::into),
            connection: connection.into(),
            collation: None,
        })
    };
    assert_eq!(
        sql(&fresh, &with("latin1", "utf8mb4", None)),
        "SET NAMES latin1, character_set_client = utf8mb4, character_set_results = NULL"
    );
    assert_eq!(
        sql(&fresh, &with("utf16", "utf8mb4", Some("utf8mb4"))),
        "SET character_set_connection = utf16, character_set_client = utf8mb4, \
         character_set_results = utf8mb4"
    );
}

#[test]
fn user_variables_keep_type_and_collation() {
    let fresh = Settings::fresh(MySql);
    let set = |settings: &Arc<Settings>, name, kind, text: &[u8]| {
        settings
            .with_user_variable(name, &literal(kind, text), settings.charsets())
            .unwrap()
    };
    let one = set(&fresh, "a", LiteralKind::String, b"x'\xc3\xa9");
    let two = set(&one, "b`c", LiteralKind::Number, b"-1.50");
    let all = set(&two, "d", LiteralKind::Word, b"NULL");
    assert_eq!(
        sql(&fresh, &all),
        "SET @`a` := _utf8mb4 X'7827c3a9' COLLATE utf8mb4_general_ci, @`b``c` := -1.50, \
         @`d` := NULL"
    );
    assert_eq!(sql(&one, &fresh), "SET @`a` := NULL");
    let national = set(&fresh, "a", LiteralKind::National, b"x");
    assert_eq!(
        sql(&fresh, &national),
        "SET @`a` := _utf8mb3 X'78' COLLATE utf8mb3_general_ci"
    );
    let default = fresh.with_charsets(Charsets::names("latin1", None));
    let latin = set(&default, "a", LiteralKind::String, b"\xe9");
    assert_eq!(sql(&default, &latin), "SET @`a` := _latin1 X'e9'");
    // Converted from one set to the other, which is not ours to do.
    let mixed = fresh.with_charsets(Charsets {
        client: "latin1".into(),
        ..fresh.charsets().clone()
    });
    let accent = literal(LiteralKind::String, b"\xe9");
    assert!(
        mixed
            .with_user_variable("a", &accent, mixed.charsets())
            .is_none()
    );
    let plain = literal(LiteralKind::String, b"e");
    assert!(
        mixed
            .with_user_variable("a", &plain, mixed.charsets())
            .is_some()
    );
    let long = literal(LiteralKind::String, &[b'x'; 5000]);
    assert!(
        fresh
            .with_user_variable("a", &long, fresh.charsets())
            .is_none()
    );
}

#[test]
fn texts_are_read_as_the_session_has_it() {
    let settings = Settings::fresh(MySql).with_variable("sql_mode", Some(b"ANSI_QUOTES"));
    let mode = settings.mode_of(MySql);
    assert!(mode.ansi_quotes && mode.charset == ClientCharset::Utf8);
    let usual = usual_mode(
        &Announcement {
            version: "9.7.4-2".into(),
            flavor: MySql,
            capabilities: Capabilities::default(),
            collation: 255,
        },
        b"\x00\x1e\x08sql_mode\x14NO_BACKSLASH_ESCAPES",
    );
    assert_eq!(usual.version, 90_704);
    assert!(Settings::fresh(MySql).mode(usual).no_backslash_escapes);
    assert!(!settings.mode(usual).no_backslash_escapes && settings.mode(usual).ansi_quotes);
    let gbk = settings.with_charsets(Charsets::names("gbk", None));
    assert_eq!(gbk.mode_of(MySql).charset, ClientCharset::Treacherous);
    assert_eq!(version_number(MySql, "9.7.4-2"), 90_704);
    assert_eq!(version_number(MySql, "8.0.36"), 80_036);
    assert_eq!(
        version_number(MariaDb, "11.8.9-MariaDB-4 from Debian"),
        110_809
    );
    assert_eq!(version_number(MariaDb, "5.5.5-10.11.6-MariaDB"), 101_106);
    assert_eq!(version_number(MySql, "what"), 80_400);
}
