//! What holds for any bytes.

use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};

use super::{MARIADB, MYSQL, classify};
use crate::sql::mysql::mode::{ClientCharset, Flavor, Mode};
use crate::sql::mysql::touch::Touch;
use crate::sql::mysql::{fingerprint, reading};
use crate::sql::reading::Catalogue;
use crate::sql::skeleton::Skeleton;

fn modes() -> impl Strategy<Value = Mode> {
    let charset = prop_oneof![
        prop::strategy::Just(ClientCharset::Utf8),
        prop::strategy::Just(ClientCharset::Plain),
        prop::strategy::Just(ClientCharset::Treacherous),
    ];
    (any::<(bool, bool, bool)>(), 50_000_u32..120_000, charset).prop_map(
        |((mysql, ansi_quotes, no_backslash_escapes), version, charset)| Mode {
            flavor: if mysql {
                Flavor::MySql
            } else {
                Flavor::MariaDb
            },
            version,
            ansi_quotes,
            no_backslash_escapes,
            oracle: false,
            charset,
        },
    )
}

/// Pieces that a text of SQL is made of, and that lexers stumble over.
const PIECES: &[&str] = &[
    "select ",
    "set ",
    "@a",
    "@",
    "@@",
    "session",
    ".",
    "=",
    ":=",
    "'",
    "\"",
    "`",
    "\\",
    "''",
    "--",
    "-- ",
    "#",
    "/*",
    "*/",
    "/*!",
    "/*!50000 ",
    "/*M!",
    "/*+",
    "\n",
    ";",
    "(",
    ")",
    ",",
    "1",
    "1e5",
    "0x1",
    "x'4'",
    "n'a'",
    "$$",
    "$a$",
    "begin ",
    "end ",
    "create ",
    "procedure p() ",
    "if ",
    "case ",
    "then ",
    "transaction ",
    "names ",
    "é",
    "\0",
    "into ",
    "for ",
    "update ",
    "last_insert_id(",
    "get_lock(",
    "kill ",
    "drop ",
    "temporary ",
    "table ",
    "prepare ",
    "from ",
    "statement ",
    "rollback ",
    "to ",
    "loop ",
    "declare ",
    ":",
];

fn texts() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..24).prop_map(|pieces| pieces.concat())
}

/// Queries of which many have a skeleton.
fn queries() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "a from t.5 ",
        "a from t where b = ",
        "a",
        "t",
        "from ",
        "where ",
        " ",
        ",",
        ".",
        "5",
        "12",
        "1.5",
        "'x'",
        "'it''s'",
        "''",
        "'\"'",
        "'/*!'",
        "'é'",
        "'\\'",
        "=",
        "<",
        "*",
        "%",
        "-",
        "--",
        "-- ",
        ";",
        "into ",
        "for ",
        "share",
        "update",
        "lock ",
        "in ",
        "mode",
        "procedure ",
        "_utf8 ",
        "n",
        "x",
        "e5",
        "interval ",
        "current_user",
        "limit ",
        "union ",
        "select ",
        "as ",
        "mysql",
        "#",
        "`",
        "@",
        "\"",
        "(",
        ":",
        "pg_temp",
        "é",
        "date ",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..9)
        .prop_map(|pieces| "select ".to_owned() + &pieces.concat())
}

proptest! {
    #[test]
    fn a_skeleton_is_read_as_its_text(text in queries(), mode in modes()) {
        let mut bones = Skeleton::default();
        let Some(skeleton) = bones.of(text.as_bytes()) else {
            return Ok(());
        };
        let mut catalogue = Catalogue::new();
        catalogue.add_relation("5");
        let of = |text: &[u8]| reading(text, mode, Some(&catalogue));
        let (own, stood) = (of(text.as_bytes()), of(skeleton));
        // What stands in strings makes the reading doubtful without being part of it.
        proptest::prop_assert!(own == stood || text.contains(['"', '/', 'é']), "{own:?} {stood:?}");
    }

    #[test]
    fn any_bytes_get_a_verdict(text: Vec<u8>, mode in modes()) {
        let verdict = classify(&text, mode);
        assert!(!verdict.statements.is_empty());
        assert!(fingerprint(&text, mode).len() < 4 * 500);
    }

    #[test]
    fn any_pieces_get_a_verdict(text in texts(), mode in modes()) {
        let verdict = classify(text.as_bytes(), mode);
        assert!(!verdict.statements.is_empty());
        let print = fingerprint(text.as_bytes(), mode);
        assert!(print.len() < 1_000);
        for statement in &verdict.statements {
            assert!(verdict.touches.contains_all(statement.touches));
        }
    }

    /// Comments and white space in front, and a comment behind, change nothing in a text that is whole.
    #[test]
    fn blanks_change_nothing(text in texts()) {
        for mode in [MYSQL, MARIADB] {
            let plain = classify(text.as_bytes(), mode);
            let front = classify(format!("\n/* c */ -- d\n{text}").as_bytes(), mode);
            if plain.complete {
                assert_eq!(plain, front);
            }
        }
    }

    /// Two whole texts with a semicolon between have the statements of both.
    #[test]
    fn texts_add_up(one in texts(), other in texts()) {
        let (a, b) = (classify(one.as_bytes(), MYSQL), classify(other.as_bytes(), MYSQL));
        let certain = |touches: super::super::Touches| !touches.contains(Touch::Unknown);
        if certain(a.touches) && certain(b.touches) && !one.trim_end_matches([';', ' ', '\n']).is_empty() {
            let one = one.trim_end_matches([';', ' ', '\n']);
            let both = classify(format!("{one}\n;{other}").as_bytes(), MYSQL);
            if certain(both.touches) {
                let statements: Vec<_> = a.statements.iter().chain(&b.statements).cloned().collect();
                // A semicolon or less at the end answers nothing by itself.
                if !other.trim_matches([';', ' ', '\n']).is_empty() {
                    assert_eq!(both.statements.to_vec(), statements, "{one:?} {other:?}");
                }
            }
        }
    }
}
