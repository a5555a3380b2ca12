//! At least 200 statements of each dialect, with the traps that other proxies have fallen into.

use sluice::sql::postgres::reading;

use super::{MARIADB, MYSQL, mysql, name, postgres};

const POSTGRES: &str = include_str!("../corpus/postgres_routes.txt");
const MYSQL_ROUTES: &str = include_str!("../corpus/mysql_routes.txt");

/// The lines of a table: what is expected, and the statement.
fn lines(table: &str) -> Vec<(&str, String)> {
    let lines = table
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let lines = lines.map(|line| line.split_once(" | ").expect(line));
    lines
        .map(|(expected, text)| (expected, text.replace("\\n", "\n")))
        .collect()
}

#[track_caller]
fn check(table: &str, verdict: impl Fn(&str) -> &'static str) {
    let lines = lines(table);
    assert!(lines.len() >= 200, "{}", lines.len());
    let wrong: Vec<String> = lines
        .iter()
        .filter(|(expected, text)| verdict(text) != *expected)
        .map(|(expected, text)| format!("{text}: {}, not {expected}", verdict(text)))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        lines.len(),
        wrong.join("\n")
    );
}

#[test]
fn statements_of_postgresql_go_where_they_belong() {
    check(POSTGRES, |text| name(&postgres(text)));
}

#[test]
fn statements_of_mysql_go_where_they_belong() {
    check(MYSQL_ROUTES, |text| name(&mysql(text, MYSQL)));
}

#[test]
fn mariadb_reads_no_more_than_mysql() {
    for (expected, text) in lines(MYSQL_ROUTES) {
        let verdict = name(&mysql(&text, MARIADB));
        let reads = |name: &str| name == "read" || name == "read_only_transaction";
        assert!(
            !reads(verdict) || reads(expected),
            "{text}: {verdict}, not {expected}"
        );
    }
}

#[test]
fn case_and_blanks_change_nothing() {
    for (expected, text) in lines(POSTGRES) {
        if text.contains(['"', '\'', '$', '/', '-']) {
            continue;
        }
        for other in [
            text.to_uppercase(),
            text.replace(' ', "\n\t "),
            format!(" {text} ;"),
        ] {
            assert_eq!(name(&postgres(&other)), expected, "{other}");
        }
    }
}

#[test]
fn nothing_is_a_read_where_the_catalogue_is_not_known() {
    for (expected, text) in lines(POSTGRES) {
        let verdict = reading(text.as_bytes(), None);
        assert_ne!(name(&verdict), "read", "{text}");
        assert!(
            expected != "read" || name(&verdict) == "no_catalogue",
            "{text}"
        );
    }
}

#[test]
fn modes_in_which_the_parser_reads_otherwise_are_doubted() {
    let ansi = MYSQL.with_sql_mode(b"ANSI_QUOTES");
    assert_eq!(name(&mysql("select \"id\" from t", ansi)), "unparsed");
    assert_eq!(name(&mysql("select id from t", ansi)), "read");
    let plain = MYSQL.with_sql_mode(b"NO_BACKSLASH_ESCAPES");
    assert_eq!(name(&mysql("select '\\'", plain)), "unparsed");
    let gbk = MYSQL.with_charset(b"gbk");
    assert_eq!(name(&mysql("select 'ä'", gbk)), "unparsed");
    let oracle = MARIADB.with_sql_mode(b"ORACLE");
    assert_eq!(name(&mysql("select 1", oracle)), "unparsed");
}
