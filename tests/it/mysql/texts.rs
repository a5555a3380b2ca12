//! Where the classifier cuts a text into statements, against where real servers do: by the number of replies,
//! without Sluice between.

use sluice::sql::mysql::{Flavor, Mode, classify};

use crate::support::mysql::{Database, Kind, MySql, message::Reply};

/// Statements that succeed anywhere and are answered once, in forms that are hard to read.
const STATEMENTS: &[&str] = &[
    "select 1",
    "select ';'",
    "select \";\"",
    "select 'a''b;', \"c\"\"d;\"",
    "select 1 as `;`",
    "select 1 as `a``;b`",
    "select 1 /* ; */",
    "select 1 -- ;\n",
    "select 1 --\t;\n",
    "select 1 # ; '\n",
    "select 1--1",
    "select 1 /*! + 1 */",
    "select 1 /*!50000 + 1 */",
    "select 1 /*!99999 ; ' */",
    "select 1 /*!50000 + /* ; */ 1 */",
    "select 1 /*M! + 1 */",
    "select 1 /*M!999999 ; */",
    "/*!50000 select */ 1",
    "select x'4142', 0x41, b'01', 0b01, 1e5, .5, 1., 1.5e-3",
    "select n'a;b', _utf8mb4';', _latin1 x'3b'",
    "set @a = ';', @b := 1, @`c;d` = 2, @'e;f' = 3",
    "select @a, @`c;d`, @'e;f', @@session.sql_mode, @@`sql_mode`",
    "do 1",
    "select case when 1 then 2 else 3 end",
    "(select 1) union (select 2)",
    "select 1 as 1a, 2 as $b, 3 as c$",
    "begin",
    "commit",
    "drop procedure if exists p",
    "create procedure p() select 1",
    "drop table if exists nothing",
    "select 'a' 'b'\n';'",
    "select '\u{e9};\u{1f600}' as `\u{e9};`",
    "show warnings",
];

/// Statements that are read differently under other modes.
const ESCAPED: &[&str] = &["select 'a\\';b', 'c\\\\'", "select \"a\\\";b\""];
const UNESCAPED: &[&str] = &["select 'a;\\', ';b'"];
const NAMES: &[&str] = &["select 1 as \"a;b\"", "select 1 as \"a\\\", ';'"];

const SEPARATORS: &[&str] = &[
    ";", " ; ", ";\n", "; -- c\n", ";/* c */", "/* c */;", ";#c\n",
];

/// Both count the same replies; a text that fails is cut at least as far as it was carried out.
fn texts_are_cut_where_the_server_cuts(kind: Kind) {
    let server = MySql::shared(kind);
    let database: Database = server.database();
    let (flavor, version) = match kind {
        Kind::MySql => (Flavor::MySql, 90_700),
        Kind::MariaDb => (Flavor::MariaDb, 110_800),
    };
    let usual = Mode::new(flavor, version);
    for (sql_mode, own) in [
        ("", [STATEMENTS, ESCAPED].concat()),
        ("no_backslash_escapes", [STATEMENTS, UNESCAPED].concat()),
        ("ansi_quotes", [NAMES, ESCAPED.get(..1).unwrap()].concat()),
    ] {
        let mode = usual.with_sql_mode(sql_mode.as_bytes());
        let mut wire = database.admin();
        let mut state = 7_u64;
        let mut below = |bound: usize| {
            // Knuth's multiplicative generator.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        for round in 0..300 {
            wire.succeed(&format!("set sql_mode = '{sql_mode}'"));
            let mut text = String::new();
            // Each once by itself, then together.
            if let Some(alone) = own.get(round) {
                text.push_str(alone);
            } else {
                for _ in 0..=below(5) {
                    text.push_str(own[below(own.len())]);
                    text.push_str(SEPARATORS[below(SEPARATORS.len())]);
                }
            }
            let replies = wire.query(&text).unwrap();
            let failure = replies.iter().find_map(Reply::failure);
            let verdict = classify(text.as_bytes(), mode);
            if let Some(failure) = failure {
                assert!(replies.len() <= verdict.statements.len(), "{text:?}");
                // No text at all, or a procedure made twice.
                assert!(matches!(failure.code, 1065 | 1304), "{text:?}: {failure:?}");
            } else {
                assert_eq!(
                    replies.len(),
                    verdict.statements.len(),
                    "{sql_mode}: {text:?}"
                );
            }
            let doubt = sluice::sql::mysql::Touch::Unknown;
            assert!(!verdict.touches.contains(doubt), "{sql_mode}: {text:?}");
        }
    }
}

#[test]
fn mysql_cuts_texts_as_the_classifier_does() {
    texts_are_cut_where_the_server_cuts(Kind::MySql);
}

#[test]
fn mariadb_cuts_texts_as_the_classifier_does() {
    texts_are_cut_where_the_server_cuts(Kind::MariaDb);
}
