//! Names in a text that ends a failed transaction first: `COMMIT; EXECUTE q1`.
//!
//! Nothing can be prepared ahead of such a text, as the transaction has failed, and nothing between
//! its statements by messages. So what the names stand for is prepared within the text, right behind
//! its first statement: should that not end the transaction, or a mistake in the text keep all of it
//! from being carried out, neither is anything put in.

use super::by_name::{self, Named, SqlStatement, What};
use super::line_up::{Way, line_up};
use super::request::Reader;
use super::request_statement::text_of;
use super::statements::Statement;
use crate::sql::lexer::{Lexer, Quoting};
use crate::sql::postgres::classify;
use crate::sql::statement::{TransactionControl, Verdict};
use crate::sql::touches::Touch;

/// Lines the connection up for a text that is sent in a transaction which has failed, as far as that
/// can be done ahead of it; returns what has to be put in behind its first statement. Nothing if the
/// text does not end the transaction first.
pub(super) fn line_up_behind(reader: &mut Reader<'_>, verdict: &Verdict) -> Vec<Vec<u8>> {
    // What is sent now meets the transaction as it is.
    let ends = std::mem::take(&mut reader.back.ends);
    line_up(reader, verdict, Way::Simple);
    reader.back.ends = ends;
    if !ends_first(verdict) || !by_name::uses_names(verdict) || reader.front.keeps_names() {
        return Vec::new();
    }
    let Named::These(names) = by_name::names(verdict) else {
        return Vec::new();
    };
    let decoys = by_name::only_takes_names(verdict);
    let mut texts = Vec::new();
    for name in names {
        // It stands for the right thing, or the server does not let go of it.
        if reader.back.names.is_held(&name) {
            continue;
        }
        let own = reader.front.sql.get(&name).map(|own| &**own);
        let statement = reader.front.statement(name.as_bytes());
        if let Some(text) = prepare(&name, own, statement.as_deref(), decoys) {
            texts.push(text);
            // Whether it will be there depends on the statement before it.
            reader.back.names.hold(&name, What::Unknown);
        }
    }
    texts
}

/// True if the first of several statements may end a transaction that has failed.
fn ends_first(verdict: &Verdict) -> bool {
    let [first, _, ..] = &*verdict.statements else {
        return false;
    };
    matches!(
        first.control,
        TransactionControl::Commit { .. }
            | TransactionControl::Rollback { .. }
            | TransactionControl::RollbackTo(_)
    )
}

/// The statement that prepares what the client means by a name, or by the protocol; `None` where that
/// is nothing, or cannot be prepared by SQL. `decoy`: it matters only that the name is taken.
fn prepare(
    name: &str,
    own: Option<&SqlStatement>,
    statement: Option<&Statement>,
    decoy: bool,
) -> Option<Vec<u8>> {
    let head = || format!("PREPARE \"{}\"", name.replace('"', "\"\"")).into_bytes();
    if decoy {
        return (own.is_some() || statement.is_some())
            .then(|| [&head()[..], b" AS SELECT"].concat());
    }
    if let Some(own) = own {
        return is_one(&own.text).then(|| own.text.to_vec());
    }
    let body = &statement?.body;
    let text = text_of(body);
    if !may_be_prepared(text) || !is_one(text) {
        return None;
    }
    let types = types(body.get(text.len() + 1..)?)?;
    Some([&head()[..], types.as_bytes(), b" AS ", text].concat())
}

/// True for what SQL's PREPARE takes: a mistake there would keep the server from ending the
/// transaction.
fn may_be_prepared(text: &[u8]) -> bool {
    let mut tokens = Lexer::new(text, Quoting::Standard);
    let first = tokens.next();
    first.is_some_and(|first| PREPARABLE.iter().any(|word| first.is_word(word)))
}

/// True if the text is one statement however the server reads backslashes: the rest of it would be run.
fn is_one(text: &[u8]) -> bool {
    let verdict = classify(text);
    verdict.complete && !verdict.touches.contains(Touch::Unknown) && verdict.statements.len() == 1
}

/// The types of parameters in the rest of a Parse message's body (a count and so many OIDs), as PREPARE
/// writes them. `None` where it needs more than the names of types that every server has.
fn types(body: &[u8]) -> Option<String> {
    let (_, oids) = body.split_first_chunk::<2>()?;
    let mut names = Vec::new();
    for oid in oids.chunks(4) {
        let oid = u32::from_be_bytes(oid.try_into().ok()?);
        let (_, name) = TYPES.iter().find(|(known, _)| *known == oid)?;
        names.push(*name);
    }
    Some(match &*names {
        [] => String::new(),
        names => format!(" ({})", names.join(",")),
    })
}

/// How a `PreparableStmt` begins in the server's `parser/gram.y`.
const PREPARABLE: [&[u8]; 7] = [
    b"select", b"insert", b"update", b"delete", b"merge", b"values", b"with",
];

/// Some types of `pg_type.dat`, which have the same OIDs everywhere; 0 leaves it to the server.
const TYPES: [(u32, &str); 17] = [
    (0, "unknown"),
    (16, "bool"),
    (17, "bytea"),
    (20, "int8"),
    (21, "int2"),
    (23, "int4"),
    (25, "text"),
    (114, "json"),
    (700, "float4"),
    (701, "float8"),
    (1043, "varchar"),
    (1082, "date"),
    (1114, "timestamp"),
    (1184, "timestamptz"),
    (1700, "numeric"),
    (2950, "uuid"),
    (3802, "jsonb"),
];

#[cfg(test)]
mod tests {
    use super::{ends_first, prepare};
    use crate::protocol::postgres::rules::Effects;
    use crate::protocol::postgres::statements::Statement;
    use crate::sql::postgres::classify;

    fn by_protocol(body: &[u8], decoy: bool) -> Option<String> {
        let statement = Statement::intern(body, Effects::default);
        let text = prepare("q\"1", None, Some(&statement), decoy)?;
        Some(String::from_utf8(text).unwrap())
    }

    #[test]
    fn what_the_protocol_has_prepared_is_prepared_by_sql() {
        let plain = by_protocol(b"select 1\0\0\0", false);
        assert_eq!(plain.as_deref(), Some("PREPARE \"q\"\"1\" AS select 1"));
        let typed = by_protocol(b"select $1, $2\0\0\x02\0\0\0\x17\0\0\0\0", false);
        assert_eq!(
            typed.as_deref(),
            Some("PREPARE \"q\"\"1\" (int4,unknown) AS select $1, $2")
        );
        let decoy = by_protocol(b"show x\0\0\0", true);
        assert_eq!(decoy.as_deref(), Some("PREPARE \"q\"\"1\" AS SELECT"));
    }

    #[test]
    fn what_sql_cannot_prepare_is_left() {
        for body in [
            &b"show x\0\0\0"[..],
            b"\0\0\0",
            b"select $1\0\0\x01\0\0\x40\0",
            // Two statements, unless a backslash keeps the quote from ending the string.
            b"select 'a\\'; drop table t; --'\0\0\0",
        ] {
            assert_eq!(by_protocol(body, false), None);
        }
        assert!(prepare("q", None, None, true).is_none());
    }

    #[test]
    fn only_an_end_that_comes_first_counts() {
        let of = |text: &str| ends_first(&classify(text.as_bytes()));
        assert!(of("commit; execute q") && of("rollback to s; execute q"));
        assert!(of("end; deallocate q; select 1"));
        assert!(!of("commit") && !of("select 1; commit; execute q") && !of("begin; execute q"));
    }
}
