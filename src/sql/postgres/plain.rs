//! The verdict on the commonest texts, without a look at each token.
//!
//! What [`look`] sees to be a single plain `SELECT`, `UPDATE` or `DELETE` calls no function by name, and touches nothing.
//! Seeing that takes a quarter of the instructions that the whole scan takes (`benches/classify.rs`), and a tenth of its
//! code, which counts as much where the system's own code has pushed it out of the processor's cache since the last
//! statement.

use crate::sql::skeleton::{Plain, look};

/// What the text is, if that can be seen at once.
#[must_use]
pub fn plain(text: &[u8]) -> Option<Plain> {
    look(text, None)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};
    use proptest::sample::select;

    use super::{Plain, plain};
    use crate::sql::postgres::{classify, reading};
    use crate::sql::reading::Catalogue;
    use crate::sql::skeleton::Skeleton;
    use crate::sql::statement::{Detail, TransactionControl};

    #[test]
    fn the_commonest_texts_are_seen_at_once() {
        for text in [
            "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;",
            "select * from t where name = 'it''s' and a.b >= -1.5 order by c limit 10 offset 5;  ",
            "select 1",
            "select a::text, 'x'::date from t",
        ] {
            assert_eq!(plain(text.as_bytes()), Some(Plain::Read), "{text}");
        }
        for text in [
            "UPDATE pgbench_tellers SET tbalance = tbalance + -123 WHERE tid = 7;",
            "delete from t where id = 1",
        ] {
            assert_eq!(plain(text.as_bytes()), Some(Plain::Change), "{text}");
        }
    }

    #[test]
    fn what_may_be_more_is_left_to_the_scan() {
        for text in [
            "",
            "select",
            "selects 1",
            "select 1; select 2",
            "select f (1)",
            "select 1 -- x",
            "select 1 /* x */",
            "select 'a\\' ",
            "select 'unfinished",
            "select e'x'",
            "select \"a\" from t",
            "select a into b from c",
            "select 1into b",
            "select 1 for no key update",
            "select * from pg_temp.t",
            "select $1",
            "select é",
            "insert into t values (1)",
            "begin",
        ] {
            assert_eq!(plain(text.as_bytes()), None, "{text}");
        }
    }

    fn sql() -> impl Strategy<Value = String> {
        let parts = [
            "select ",
            "SELECT ",
            "update ",
            "delete ",
            "a",
            "into",
            " ",
            "for",
            "share",
            "no",
            "key",
            "temp",
            "pg_temp",
            "pg_temp_3",
            "'",
            "''",
            "\\",
            "-",
            "--",
            "/",
            "*",
            ".",
            ";",
            "(",
            ")",
            "1",
            "e5",
            "0x",
            "$",
            "$$",
            "E",
            "U&",
            "\"",
            "é",
            "\n",
            ",",
            "=",
            "::",
            "execute",
            "function",
            "set",
            "from",
            "where",
            "set_config",
            "nextval",
            "_",
            "merge",
            "insert",
            "update",
            "delete",
            "%",
            "+",
        ];
        let head = select(vec!["select ", "UPDATE ", "delete ", "select"]);
        (head, vec(select(parts.to_vec()), 0..12))
            .prop_map(|(head, parts)| head.to_owned() + &parts.concat())
    }

    proptest! {
        #[test]
        fn what_is_seen_at_once_is_what_the_scan_finds(text in sql()) {
            let Some(plain) = plain(text.as_bytes()) else {
                return Ok(());
            };
            let verdict = classify(text.as_bytes());
            prop_assert!(verdict.complete && verdict.touches.is_empty() && !verdict.alters);
            let [one] = &*verdict.statements else {
                return Err(proptest::test_runner::TestCaseError::fail("several statements"));
            };
            prop_assert!(matches!(one.detail, Detail::None));
            prop_assert_eq!(&one.control, &TransactionControl::None);
            prop_assert_eq!(one.writes, plain == Plain::Change);
            prop_assert_eq!(verdict.may_call, plain == Plain::Change);
        }

        #[test]
        fn a_skeleton_is_read_as_its_text(text in sql()) {
            if let Some(skeleton) = Skeleton::default().of(text.as_bytes()) {
                let catalogue = Catalogue::new();
                let of = |text: &[u8]| reading(text, Some(&catalogue));
                prop_assert_eq!(of(text.as_bytes()), of(skeleton));
            }
        }
    }
}
