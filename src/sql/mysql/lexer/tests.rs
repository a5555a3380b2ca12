use super::{Doubt, Kind, Lexer, unescaped};
use crate::sql::mysql::mode::{ClientCharset, Flavor, Mode};

const MYSQL: Mode = Mode::new(Flavor::MySql, 90_700);
const MARIADB: Mode = Mode::new(Flavor::MariaDb, 110_803);

fn tokens(text: &str, mode: Mode) -> Vec<(Kind, &str)> {
    Lexer::new(text.as_bytes(), mode)
        .map(|token| (token.kind, str::from_utf8(token.bytes).unwrap()))
        .collect()
}

fn words(text: &str, mode: Mode) -> Vec<&str> {
    tokens(text, mode)
        .into_iter()
        .map(|(_, text)| text)
        .collect()
}

fn doubt(text: &[u8], mode: Mode) -> Doubt {
    let mut lexer = Lexer::new(text, mode);
    while lexer.next().is_some() {}
    lexer.doubt()
}

#[test]
fn each_kind_is_told_apart() {
    assert_eq!(
        tokens(
            "Ab$1 é_ `a``b` 'd''e' \"f\\\"g\" n'h' N'i' x'1F' 0x1f b'01' 0b01 12 @v @'w x' @`y` @\"z\" @@s := = ? ;(),.:+",
            MYSQL
        ),
        [
            (Kind::Word, "Ab$1"),
            (Kind::Word, "é_"),
            (Kind::Quoted, "`a``b`"),
            (Kind::String, "'d''e'"),
            (Kind::String, "\"f\\\"g\""),
            (Kind::String, "n'h'"),
            (Kind::String, "N'i'"),
            (Kind::Bits, "x'1F'"),
            (Kind::Bits, "0x1f"),
            (Kind::Bits, "b'01'"),
            (Kind::Bits, "0b01"),
            (Kind::Number, "12"),
            (Kind::Variable, "@v"),
            (Kind::Variable, "@'w x'"),
            (Kind::Variable, "@`y`"),
            (Kind::Variable, "@\"z\""),
            (Kind::System, "@@"),
            (Kind::Word, "s"),
            (Kind::Assign, ":="),
            (Kind::Equals, "="),
            (Kind::Placeholder, "?"),
            (Kind::Semicolon, ";"),
            (Kind::Open, "("),
            (Kind::Close, ")"),
            (Kind::Comma, ","),
            (Kind::Dot, "."),
            (Kind::Other, ":"),
            (Kind::Other, "+"),
        ]
    );
    assert_eq!(tokens("@a.b$c_1-2", MYSQL)[0], (Kind::Variable, "@a.b$c_1"));
}

#[test]
fn numbers_and_names_that_start_with_digits() {
    let kinds = |text| tokens(text, MYSQL);
    assert_eq!(kinds("1abc"), [(Kind::Word, "1abc")]);
    assert_eq!(kinds("0x1g"), [(Kind::Word, "0x1g")]);
    assert_eq!(kinds("0X1F"), [(Kind::Word, "0X1F")]);
    assert_eq!(kinds("1e5"), [(Kind::Number, "1e5")]);
    assert_eq!(kinds("1e+5"), [(Kind::Number, "1e+5")]);
    assert_eq!(kinds("1e5x"), [(Kind::Number, "1e5"), (Kind::Word, "x")]);
    assert_eq!(kinds("1ea"), [(Kind::Word, "1ea")]);
    assert_eq!(kinds("1.5e-3"), [(Kind::Number, "1.5e-3")]);
    assert_eq!(kinds(".5"), [(Kind::Number, ".5")]);
    assert_eq!(
        kinds("1.into"),
        [(Kind::Number, "1."), (Kind::Word, "into")]
    );
    assert_eq!(
        kinds("t.1e5x'a'"),
        [
            (Kind::Word, "t"),
            (Kind::Dot, "."),
            (Kind::Word, "1e5x"),
            (Kind::String, "'a'")
        ]
    );
    assert_eq!(
        kinds("t.x'4'"),
        [
            (Kind::Word, "t"),
            (Kind::Dot, "."),
            (Kind::Word, "x"),
            (Kind::String, "'4'")
        ]
    );
    assert_eq!(kinds("`t`.5").len(), 2);
    assert_eq!(words("1--1", MYSQL), ["1", "-", "-", "1"]);
}

#[test]
fn comments_are_blanks() {
    for text in [
        "a/* ' */b",
        "a -- '\nb",
        "a --\t'\nb",
        "a --\nb",
        "a #'\nb",
        "a/**/b",
        "a/* /* */b",
        "a/*!99999 ' */b",
        "a/*!99999 /* ' */ ' */b",
        "a/*+ max_execution_time(1) */b",
    ] {
        assert_eq!(words(text, MYSQL), ["a", "b"], "{text}");
        assert_eq!(doubt(text.as_bytes(), MYSQL), Doubt::default(), "{text}");
    }
    assert_eq!(words("a--b", MYSQL), ["a", "-", "-", "b"]);
    assert_eq!(words("a --", MYSQL), ["a"]);
    assert_eq!(words("a * / b", MYSQL), ["a", "*", "/", "b"]);
    assert_eq!(
        words("a # b\r c", MYSQL),
        ["a"],
        "only a line feed ends a line"
    );
}

#[test]
fn version_comments_are_code() {
    for text in [
        "a/*! b */c",
        "a/*!50110 b*/c",
        "a/*!50110b*/c",
        "a/*!090700 b */c",
        "a/*!40101 b /* x */ */c",
    ] {
        assert_eq!(words(text, MYSQL), ["a", "b", "c"], "{text}");
        assert_eq!(doubt(text.as_bytes(), MYSQL), Doubt::default(), "{text}");
    }
    assert_eq!(words("a/*!090701 b */c", MYSQL), ["a", "c"]);
    assert_eq!(words("a/*M!100100 b */c", MYSQL), ["a", "c"]);
    assert_eq!(words("a/*!501101b */c", MYSQL), ["a", "1b", "c"]);
    // MariaDB: its own versions, and none of MySQL's from 5.7 on.
    assert_eq!(words("a/*M!100100 b */c", MARIADB), ["a", "b", "c"]);
    assert_eq!(words("a/*M! b */c", MARIADB), ["a", "b", "c"]);
    assert_eq!(words("a/*!100100 b */c", MARIADB), ["a", "b", "c"]);
    assert_eq!(words("a/*!40101 b */c", MARIADB), ["a", "b", "c"]);
    assert_eq!(words("a/*!80000 b */c", MARIADB), ["a", "c"]);
    assert_eq!(words("a/*!50700 b */c", MARIADB), ["a", "c"]);
    assert_eq!(words("a/*M!50700 b */c", MARIADB), ["a", "b", "c"]);
    assert_eq!(words("a/*M!120100 b */c", MARIADB), ["a", "c"]);
}

#[test]
fn quoting_follows_sql_mode() {
    let ansi = Mode {
        ansi_quotes: true,
        ..MYSQL
    };
    assert_eq!(
        tokens("\"a\"\"b\\\"", ansi),
        [(Kind::Quoted, "\"a\"\"b\\\"")]
    );
    let plain = Mode {
        no_backslash_escapes: true,
        ..MYSQL
    };
    assert_eq!(words("'a\\' 'b'", plain), ["'a\\'", "'b'"]);
    assert!(doubt(b"'a\\' 'b'", MYSQL).incomplete);
    assert_eq!(words("'a\\\\' 'b'", MYSQL), ["'a\\\\'", "'b'"]);
    assert_eq!(words("`a\\` b", MYSQL), ["`a\\`", "b"]);
}

#[test]
fn dollar_quotes_depend_on_the_server() {
    assert_eq!(
        tokens("$$ a; $$ $t$ $$ $t$ $x $", MYSQL),
        [
            (Kind::DollarString, "$$ a; $$"),
            (Kind::DollarString, "$t$ $$ $t$"),
            (Kind::Word, "$x"),
            (Kind::Word, "$"),
        ]
    );
    assert_eq!(tokens("select $$", MYSQL)[1], (Kind::Word, "$$"));
    assert_eq!(doubt(b"select $$", MYSQL), Doubt::default());
    assert_eq!(words("$$ a $$", MARIADB), ["$$", "a", "$$"]);
    assert!(doubt(b"$$ a $$", Mode::new(Flavor::MySql, 80_035)).ambiguous);
    assert_eq!(
        doubt(b"$$ a $$", Mode::new(Flavor::MySql, 50_744)),
        Doubt::default()
    );
}

#[test]
fn doubts_are_noted_not_refused() {
    for open in [
        "'a",
        "\"a",
        "`a",
        "/* a",
        "'a\\",
        "'a\\'",
        "n'a",
        "x'1",
        "/*! a",
        "/*!99999 a",
        "@'a",
        "@`a",
    ] {
        assert!(doubt(open.as_bytes(), MYSQL).incomplete, "{open}");
    }
    for unclear in [
        &b"\0"[..],
        b"/*! a /*! b */ c */",
        b"x'zz'",
        b"@\xc3\xa9",
        b"/*+ qb_name(`*/",
    ] {
        assert!(
            doubt(unclear, MYSQL).ambiguous,
            "{}",
            unclear.escape_ascii()
        );
    }
    let latin = Mode {
        charset: ClientCharset::Plain,
        ..MYSQL
    };
    for text in ["'é' `é` /* é */ # é", "\"é\""] {
        assert_eq!(doubt(text.as_bytes(), latin), Doubt::default());
    }
    assert!(doubt("select é".as_bytes(), latin).ambiguous);
    assert!(doubt(b"a --\xa0", latin).ambiguous);
}

#[test]
fn strings_say_what_is_in_them() {
    let said = |token: &str| {
        unescaped(token.as_bytes(), true).map(|said| String::from_utf8(said).unwrap())
    };
    assert_eq!(said("'a''b\\'c\"'").as_deref(), Some("a'b'c\""));
    assert_eq!(
        said("\"a\\n\\t\\0\\Z\\b\\r\\\\\\%\\_\\x\"").as_deref(),
        Some("a\n\t\0\u{1a}\u{8}\r\\\\%\\_x")
    );
    assert_eq!(said("'a"), None);
    assert_eq!(said("'"), None);
    assert_eq!(said("''").as_deref(), Some(""));
    assert_eq!(said("'a\\'"), None);
    assert_eq!(unescaped(b"'a\\'", false).as_deref(), Some(&b"a\\"[..]));
}
