//! Texts whose reading depends on what is not known, and texts that are not whole.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{classify, touches, verdict};
use crate::sql::cache::Weigh;
use crate::sql::touches::Touch;

#[test]
fn backslash_before_a_quote_counts_only_if_both_readings_are_whole() {
    let text = "select 'a\\'; set x=1 --'";
    let doubtful = verdict(text);
    assert!(doubtful.touches.contains(Touch::Unknown), "{text}");
    assert!(doubtful.touches.contains(Touch::SetSession), "{text}");
    for (text, names) in [
        (
            "select 'a\\'', set_config('b','c',false), '\\''",
            "set_unknown unknown",
        ),
        // Refused by a server that reads it the other way.
        ("select 'a\\'; set x = 1", "set_session"),
        ("select 'a\\' || set_config('b','c',true)", "set_local"),
        // Escaped backslashes end the string in either reading.
        ("select 'a\\\\'; set x = 1", "set_session"),
        ("select '\\', '\\'", ""),
        ("select 'a\\b'", ""),
    ] {
        assert_eq!(verdict(text).touches, touches(names), "{text}");
    }
}

#[test]
fn strings_with_escapes_end_where_the_server_ends_them() {
    for (text, names) in [
        ("select e'a\\'; set x = 1 --'", ""),
        ("select e'a\\\\'; set x = 1 --'", "set_session"),
        ("select e'a''; set x = 1'", ""),
        ("select e'a'\n'b\\'; set x = 1 --'", ""),
        ("select 'a' 'b\\\\'; set x = 1", "set_session"),
        ("select x'ab'\n'cd'; set x = 1", "set_session"),
        ("select e'a' -- c\n -- d\n 'b\\'; set x = 1 --'", ""),
        ("select e'a' /* c */\n 'b'; set x = 1", "set_session"),
        ("select foo_e'a'; set x = 1", "set_session"),
        ("select 1e'\\'; set x = 1 --'", ""),
        ("select n'a'; set x = 1", "set_session"),
        ("select u&'a\\'; set x = 1", "set_session"),
    ] {
        assert_eq!(verdict(text).touches, touches(names), "{text}");
    }
}

#[test]
fn dollar_quotes_and_comments_end_where_the_server_ends_them() {
    for (text, names) in [
        ("select $a$ $b$ $$ $a$; set x = 1", "set_session"),
        ("select $a$ $b$a$; set x = 1", "set_session"),
        ("select $A$ $a$; set x = 1; $A$", ""),
        ("select a$$; set x = 1; select b$$", "set_session"),
        ("select 1$$; set x = 1; $$", ""),
        ("select $1$$; set x = 1; $$", ""),
        ("select /* /* */ ; set x = 1 */ 1", ""),
        ("select /* */ 1; set x = 1 /* */", "set_session"),
        ("select 5*/* */3; set x = 1", "set_session"),
        ("select 1 <--; set x = 1\n 2", ""),
        ("select 1 --\r; set x = 1", "set_session"),
        ("select /*/ ; set x = 1; /*/ */ */ 1", ""),
        ("select '/*'; set x = 1 --*/", "set_session"),
        ("select \"a\"\"; set x = 1\"", ""),
    ] {
        assert_eq!(verdict(text).touches, touches(names), "{text}");
    }
}

#[test]
fn text_that_is_not_whole_may_touch_anything() {
    for text in [
        "select 'a",
        "select e'a\\'",
        "select \"a",
        "select $$a",
        "select $a$ $b$",
        "select 1 /* /* */",
        "select (1",
        "select 1)",
        "create function f() returns int begin atomic select 1;",
        "/*",
        "'",
    ] {
        let verdict = verdict(text);
        assert!(
            !verdict.complete && verdict.touches.contains(Touch::Unknown),
            "{text}"
        );
    }
    assert!(
        verdict("select (1; set x = 1")
            .touches
            .contains(Touch::Unknown)
    );
}

#[test]
fn bytes_that_another_encoding_reads_otherwise_may_touch_anything() {
    for text in [
        // The second byte of a SJIS letter is a backslash.
        &b"select e'\x95\\'; set x = 1 --'"[..],
        b"select '\x95\\\\'; set x = 1 --'",
        b"select $\x95\\$ ' $\x95\\$; set x = 1; --'",
        b"select 1\0; set x = 1",
        b"select U&\"\\0073et_config\"('a', 'b', false)",
        b"select 1 $ 2",
    ] {
        let verdict = classify(text);
        assert!(
            verdict.touches.contains(Touch::Unknown),
            "{}",
            text.escape_ascii()
        );
        assert!(
            verdict
                .statements
                .iter()
                .all(|it| it.touches.contains(Touch::Unknown))
        );
    }
    assert_eq!(
        classify("select e'é\\n', 'é'".as_bytes()).touches,
        touches("")
    );
}

#[test]
fn time_grows_with_the_length_only() {
    let million = |part: &str| part.repeat(1_000_000 / part.len());
    let texts = [
        million("("),
        million("'' "),
        million("''\n--\n"),
        million("/*"),
        million("$a"),
        million("$a$"),
        million("select 1;"),
        million("set_config("),
        format!("select {}", million("set_config('a',")),
        million("set a=1;"),
        million("\\'"),
        million("'\\'"),
        million("a\"\""),
        format!("select set_config('a', '{}', false)", million("''")),
        format!("set x = {} 1", million("1,")),
        million("begin atomic "),
        million("+"),
        million("=+"),
        million("@+-"),
    ];
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        let weights: Vec<_> = texts
            .iter()
            .map(|text| classify(text.as_bytes()).weight())
            .collect();
        done.send(weights)
    });
    // It takes seconds at most; squared time would be hours.
    let weights = finished
        .recv_timeout(Duration::from_secs(120))
        .expect("all texts are read");
    assert!(weights.iter().all(|weight| *weight > 0));
}
