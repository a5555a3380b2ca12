//! Laws that hold for any text.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;

use super::classify;
use crate::sql::fingerprint::{LIMIT, fingerprint};
use crate::sql::lexer::{Lexer, Quoting};
use crate::sql::touches::Touch;

/// Pieces of SQL that meet in surprising ways.
const PIECES: &[&str] = &[
    "select",
    "set",
    "set_config",
    "SET",
    "Local",
    "session",
    "x",
    "=",
    "to",
    "1",
    "'a'",
    "'b''c'",
    "e'd\\'e'",
    "'",
    "\"",
    "\"q\"",
    "$$",
    "$t$",
    "$1",
    "(",
    ")",
    ",",
    ";",
    ".",
    "--",
    "\n",
    "/*",
    "*/",
    " ",
    "\\",
    "begin",
    "atomic",
    "end",
    "create",
    "function",
    "temp",
    "table",
    "pg_temp",
    "into",
    "nextval",
    "pg_advisory_lock",
    "listen",
    "do",
    "role",
    "reset",
    "all",
    "prepare",
    "execute",
    "as",
    "false",
    "true",
    "u&",
    "x'1'",
    "é",
    "::",
    "-",
    "for",
    "update",
    "with",
    "hold",
    "declare",
    "cursor",
    "copy",
    "from",
    "stdin",
    "discard",
    "null",
    "default",
    "transaction",
];

fn sql() -> impl Strategy<Value = String> {
    let glue = select(&["", " ", " ", " "][..]);
    vec((select(PIECES), glue), 0..24).prop_map(|pieces| {
        pieces
            .into_iter()
            .flat_map(|(piece, glue)| [piece, glue])
            .collect()
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read(text in vec(any::<u8>(), 0..300)) {
        let verdict = classify(&text);
        prop_assert!(verdict.statements.len() <= text.len());
        prop_assert!(fingerprint(&text).len() <= LIMIT + 4);
    }

    #[test]
    fn tokens_lie_in_order_within_the_text(text in sql()) {
        for quoting in [Quoting::Standard, Quoting::Backslash] {
            let mut end = 0;
            for token in Lexer::new(text.as_bytes(), quoting) {
                prop_assert!(token.start >= end && !token.bytes.is_empty());
                prop_assert_eq!(&text.as_bytes()[token.start..token.end()], token.bytes);
                end = token.end();
            }
            prop_assert!(end <= text.len());
        }
    }

    #[test]
    fn case_does_not_matter(text in sql()) {
        let lower = classify(text.to_ascii_lowercase().as_bytes());
        let upper = classify(text.to_ascii_uppercase().as_bytes());
        prop_assert_eq!(lower.touches, upper.touches);
        prop_assert_eq!(lower.complete, upper.complete);
        prop_assert_eq!(lower.read_only_candidate(), upper.read_only_candidate());
    }

    /// Where the text is whole: behind an open quote, a comment would be part of the name.
    #[test]
    fn a_comment_more_changes_nothing(text in sql().prop_filter("open", |text| classify(text.as_bytes()).complete)) {
        let before = classify(text.as_bytes());
        for comment in ["\n-- c", "\n/* c */", "\n/* c */ -- d\n"] {
            let after = classify(format!("{text}{comment}").as_bytes());
            prop_assert_eq!(before.touches, after.touches);
            prop_assert_eq!(before.statements.len(), after.statements.len());
        }
    }

    #[test]
    fn a_comment_before_changes_nothing(text in sql()) {
        let before = classify(text.as_bytes());
        prop_assert_eq!(before, classify(format!("/* c' */--\"\n{text}").as_bytes()));
    }

    #[test]
    fn two_texts_touch_what_each_touches(first in sql(), second in sql()) {
        let a = classify(first.as_bytes());
        let b = classify(second.as_bytes());
        let both = classify(format!("{first}\n;{second}").as_bytes());
        // A quote behind a backslash may open a string that the second text closes.
        if a.complete && !first.contains('\\') {
            prop_assert!(both.touches.contains_all(a.touches.union(b.touches)));
            if !both.touches.contains(Touch::Unknown) {
                prop_assert_eq!(both.statements.len(), a.statements.len() + b.statements.len());
            }
        }
    }

    #[test]
    fn incomplete_means_unknown(text in sql()) {
        let verdict = classify(text.as_bytes());
        prop_assert!(verdict.complete || verdict.touches.contains(Touch::Unknown));
        let all = verdict.statements.iter().fold(verdict.touches, |all, it| all.union(it.touches));
        prop_assert_eq!(all, verdict.touches);
    }

    #[test]
    fn fingerprints_have_no_constant(before in sql(), after in sql(), form in 0..9_usize) {
        const MARK: &str = "zq7zq";
        let constant = match form {
            0 => format!("'{MARK}'"),
            1 => format!("e'\\'{MARK}'"),
            2 => format!("$${MARK}$$"),
            3 => format!("$tag${MARK}"),
            4 => format!("'{MARK}"),
            5 => format!("x'{MARK}'"),
            6 => format!("'\\'{MARK}'"),
            7 => format!("u&'{MARK}'"),
            _ => format!("'a' \n '{MARK}'"),
        };
        // Pieces that would open a quote around the constant, or close it early, are left out.
        let plain = |text: &str| text.replace(['\'', '"', '$', '\\', '&'], " ");
        let text = format!("{} {constant} {}", plain(&before), plain(&after));
        let print = fingerprint(text.as_bytes());
        prop_assert!(!print.contains(MARK), "{} -> {}", text, print);
    }
}
