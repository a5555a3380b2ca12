use super::{Doubt, Kind, Lexer, Quoting};

fn tokens(text: &str) -> Vec<(Kind, &str)> {
    Lexer::new(text.as_bytes(), Quoting::Standard)
        .map(|token| (token.kind, str::from_utf8(token.bytes).expect("text")))
        .collect()
}

fn doubt(text: &[u8], quoting: Quoting) -> Doubt {
    let mut lexer = Lexer::new(text, quoting);
    while lexer.next().is_some() {}
    lexer.doubt()
}

#[test]
fn each_kind_is_told_apart() {
    assert_eq!(
        tokens("Ab$1 é_ \"a\"\"b\" u&\"c\" 'd''e' e'\\'' b'0' X'1' U&'f' $$g$$ $h_1$ $$ $h_1$"),
        [
            (Kind::Word, "Ab$1"),
            (Kind::Word, "é_"),
            (Kind::QuotedIdentifier, "\"a\"\"b\""),
            (Kind::UnicodeIdentifier, "u&\"c\""),
            (Kind::String, "'d''e'"),
            (Kind::EscapeString, "e'\\''"),
            (Kind::BitString, "b'0'"),
            (Kind::BitString, "X'1'"),
            (Kind::UnicodeString, "U&'f'"),
            (Kind::DollarString, "$$g$$"),
            (Kind::DollarString, "$h_1$ $$ $h_1$"),
        ]
    );
    assert_eq!(
        tokens("1 2.5e-3 .5 $12 ;(),.[ :"),
        [
            (Kind::Number, "1"),
            (Kind::Number, "2.5e-3"),
            (Kind::Number, ".5"),
            (Kind::Parameter, "$12"),
            (Kind::Semicolon, ";"),
            (Kind::Open, "("),
            (Kind::Close, ")"),
            (Kind::Comma, ","),
            (Kind::Dot, "."),
            (Kind::Other, "["),
            (Kind::Other, ":"),
        ]
    );
}

#[test]
fn operators_end_before_comments_and_signs() {
    let operators = |text: &'static str| {
        tokens(text)
            .into_iter()
            .map(|(_, bytes)| bytes)
            .collect::<Vec<_>>()
    };
    assert_eq!(operators("a=-1"), ["a", "=", "-", "1"]);
    assert_eq!(operators("a@-b"), ["a", "@-", "b"]);
    assert_eq!(operators("a<+-+b"), ["a", "<", "+-+", "b"]);
    assert_eq!(operators("a*/*c*/b"), ["a", "*", "b"]);
    assert_eq!(operators("a<--c\nb"), ["a", "<", "b"]);
    assert_eq!(operators("- -"), ["-", "-"]);
}

#[test]
fn numbers_stop_where_words_begin() {
    assert_eq!(tokens("1from"), [(Kind::Number, "1"), (Kind::Word, "from")]);
    assert_eq!(
        tokens("1e'x'"),
        [(Kind::Number, "1"), (Kind::EscapeString, "e'x'")]
    );
    assert_eq!(tokens("1ex"), [(Kind::Number, "1"), (Kind::Word, "ex")]);
    assert_eq!(tokens("1..2"), [(Kind::Number, "1."), (Kind::Number, ".2")]);
    assert_eq!(tokens("$1a"), [(Kind::Parameter, "$1"), (Kind::Word, "a")]);
}

#[test]
fn continued_strings_are_one_token() {
    assert_eq!(tokens("'a'\n'b'"), [(Kind::String, "'a'\n'b'")]);
    assert_eq!(
        tokens("e'a' -- c\r\t-- d\n'\\''"),
        [(Kind::EscapeString, "e'a' -- c\r\t-- d\n'\\''")]
    );
    assert_eq!(
        tokens("'a' 'b'"),
        [(Kind::String, "'a'"), (Kind::String, "'b'")]
    );
    assert_eq!(tokens("'a'\n/**/'b'").len(), 2);
    assert_eq!(tokens("x'a''b'").len(), 2);
    assert_eq!(tokens("'a'\nx").len(), 2);
}

#[test]
fn quoting_decides_what_a_backslash_does() {
    let count = |quoting| Lexer::new(b"'a\\' 'b'", quoting).count();
    assert_eq!(count(Quoting::Standard), 2);
    assert_eq!(count(Quoting::Backslash), 2);
    assert!(doubt(b"'a\\' 'b'", Quoting::Standard).quoting);
    assert!(doubt(b"'a\\' 'b'", Quoting::Backslash).incomplete);
    for plain in [
        &b"'a\\\\'"[..],
        b"'a\\b'",
        b"e'\\''",
        b"\"\\\"",
        b"$$\\'$$",
        b"-- '\\'",
    ] {
        assert_eq!(
            doubt(plain, Quoting::Standard),
            Doubt::default(),
            "{}",
            plain.escape_ascii()
        );
    }
}

#[test]
fn doubts_are_noted_not_refused() {
    for open in ["'a", "\"a", "$$a", "/* /* */", "e'\\'", "u&'a"] {
        assert!(
            doubt(open.as_bytes(), Quoting::Standard).incomplete,
            "{open}"
        );
    }
    for unclear in [&b"$a b"[..], b"$", b"\0", b"u&\"a\"", b"e'\xe9\\''"] {
        let doubt = doubt(unclear, Quoting::Standard);
        assert!(doubt.ambiguous, "{}", unclear.escape_ascii());
    }
    assert_eq!(
        doubt(b"e'\xe9\\n', $1, '\xe9'", Quoting::Standard),
        Doubt::default()
    );
}
