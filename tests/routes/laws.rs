//! What holds for any text.

use proptest::prelude::{any, proptest};
use sluice::sql::mysql::{Flavor, Mode, reading as mysql_reading};
use sluice::sql::postgres::{reading, reading_of_prepare};
use sluice::sql::reading::{Catalogue, Demand, LONGEST};

use super::{MYSQL, mysql, mysql_catalogue, postgres, postgres_catalogue};

/// A thread of the runtime has this much; what a deep text needs must fit in a quarter of it.
const STACK: usize = 2 * 1024 * 1024 / 4;

/// Texts as deep as the limit allows.
fn deep_texts() -> Vec<String> {
    let fill = |front: &str, open: &str, middle: &str, close: &str| {
        let n = (LONGEST - front.len() - middle.len()) / (open.len() + close.len());
        format!("{front}{}{middle}{}", open.repeat(n), close.repeat(n))
    };
    vec![
        fill("select 1", "", "", "+1"),
        fill("select ", "(", "1", ")"),
        fill("select ", "not ", "true", ""),
        fill("select ", "- ", "1", ""),
        fill("", "select (", "select 1", ")"),
        fill("select 1", "", "", " union select 1"),
        fill("select 1", "", "", " and 1"),
        fill("select 'a'", "", "", "||'a'"),
        fill("select ", "lower(", "'a'", ")"),
        fill("select ", "case when 1 then ", "1", " end"),
        fill("select 1 from ", "(select * from ", "t", ") s"),
        fill("select 1 from t", "", "", " join t on 1"),
        fill("", "with a as (", "select 1", ") select 1"),
        fill("select 1", "", "", "::int"),
        fill("select array", "[", "1", "]"),
        fill("select a", "", "", "[1]"),
        fill("select a", "", "", " isnull"),
        fill("select a", "", "", " is null"),
        fill("select a", "", "", " collate b"),
        fill("select 1 in (1", "", "", ",1"),
        fill("explain ", "explain ", "select 1", ""),
    ]
}

#[test]
fn deep_texts_do_not_exhaust_the_stack() {
    let worker = std::thread::Builder::new().stack_size(STACK);
    let worker = worker.spawn(|| {
        let catalogue = Catalogue::new();
        for text in deep_texts() {
            let _ = reading(text.as_bytes(), Some(&catalogue));
            for flavor in [Flavor::MySql, Flavor::MariaDb] {
                let _ = mysql_reading(
                    text.as_bytes(),
                    Mode::new(flavor, 110_803),
                    Some(&catalogue),
                );
            }
        }
    });
    worker.unwrap().join().unwrap();
}

#[test]
fn what_is_too_long_is_not_looked_at() {
    let long = format!("select '{}'", "x".repeat(LONGEST));
    assert_eq!(super::name(&postgres(&long)), "too_long");
    assert_eq!(super::name(&mysql(&long, MYSQL)), "too_long");
}

/// Pieces that texts of trouble are made of.
const PIECES: [&str; 48] = [
    "select",
    "1",
    "insert",
    "into",
    "update",
    "t",
    "set",
    "delete",
    "from",
    ";",
    "(",
    ")",
    ",",
    "*",
    "for",
    "share",
    "with",
    "a",
    "as",
    "values",
    "'",
    "\"",
    "`",
    "/*",
    "*/",
    "--",
    "\n",
    "$$",
    "$1",
    "?",
    "\\",
    "volatile_fn",
    "nextval",
    "writes_fn",
    "begin",
    "commit",
    "read only",
    "@a",
    ":=",
    ".",
    "union",
    "lock in share mode",
    "explain",
    "analyze",
    "copy",
    "to",
    "#",
    "/*!",
];

fn text(picks: &[usize]) -> String {
    let words: Vec<_> = picks
        .iter()
        .map(|pick| PIECES[pick % PIECES.len()])
        .collect();
    words.join(" ")
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = reading(&bytes, Some(&postgres_catalogue()));
        let _ = reading_of_prepare(&bytes, Some(&postgres_catalogue()));
        let _ = mysql_reading(&bytes, MYSQL, Some(&mysql_catalogue()));
    }

    /// Whatever else stands there: a text with a word that writes outside of quotes is no read. Some are names elsewhere:
    /// `EXPLAIN share` tells a table's columns, and `SELECT insert` reads a column.
    #[test]
    fn words_that_write_are_never_read(picks in proptest::collection::vec(any::<usize>(), 0..14)) {
        let text = text(&picks);
        let quoted = ["'", "\"", "`", "/*", "--", "$$", "#", "\\"].iter().any(|quote| text.contains(quote));
        let begins = ["insert", "update", "delete"].iter().any(|word| {
            let inside = ["; ", "as ( ", ") "].iter().any(|before| text.contains(&format!("{before}{word}")));
            inside || text.starts_with(word)
        });
        let runs = ["analyze delete from", "analyze update t set"];
        let begins = begins || runs.iter().any(|run| text.contains(run));
        let writes = ["into", "for share", "share mode", "volatile_fn (", "writes_fn (", "@a :="]
            .iter()
            .any(|word| text.contains(word));
        let writes = writes || begins;
        if writes && !quoted {
            assert_ne!(postgres(&text).demand, Demand::Read, "{text}");
            assert_ne!(mysql(&text, MYSQL).demand, Demand::Read, "{text}");
        }
    }

    /// A read stays one behind another, and a write makes a write of the whole.
    #[test]
    fn a_text_is_as_good_as_its_worst_statement(picks in proptest::collection::vec(any::<usize>(), 0..10)) {
        let text = text(&picks);
        // What stands behind a comment sign is no statement.
        let open = ["--", "#", "/*", "'", "\"", "`", "$$", "\\"].iter().any(|sign| text.contains(sign));
        proptest::prop_assume!(!open);
        let both = format!("{text}; insert into t values (1)");
        assert_ne!(postgres(&both).demand, Demand::Read, "{both}");
        assert_ne!(mysql(&both, MYSQL).demand, Demand::Read, "{both}");
    }
}
