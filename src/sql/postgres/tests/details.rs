//! Details that a session model tracks.

use super::verdict;
use crate::sql::statement::{
    CopyFlow, Detail, Discard, Isolation, Text, TransactionControl, TransactionModes, Which,
};

fn one(name: &str) -> Which {
    Which::One(name.into())
}

fn detail(text: &str) -> Detail {
    let mut verdict = verdict(text);
    assert_eq!(verdict.statements.len(), 1, "{text}");
    verdict.statements.remove(0).detail
}

fn control(text: &str) -> TransactionControl {
    let mut verdict = verdict(text);
    assert_eq!(verdict.statements.len(), 1, "{text}");
    verdict.statements.remove(0).control
}

#[test]
fn names_are_folded_as_the_server_folds_them() {
    let long = "x".repeat(64);
    for (name, which) in [
        ("Abc", one("abc")),
        ("\"A\"\"b\"", one("A\"b")),
        ("é", Which::Unclear),
        ("\"é\"", one("é")),
        ("\"\"", Which::Unclear),
        (&*long, Which::Unclear),
        ("'a'", Which::Unclear),
        ("", Which::Unclear),
    ] {
        assert_eq!(
            detail(&format!("listen {name}")),
            Detail::Listen(which),
            "{name}"
        );
    }
}

#[test]
fn what_is_named_or_all() {
    for (text, expected) in [
        ("unlisten a", Detail::Unlisten(one("a"))),
        ("unlisten *", Detail::Unlisten(Which::All)),
        ("unlisten * x", Detail::Unlisten(Which::Unclear)),
        ("close all", Detail::Close(Which::All)),
        ("close \"all\"", Detail::Close(one("all"))),
        ("close c", Detail::Close(one("c"))),
        ("deallocate all", Detail::Deallocate(Which::All)),
        ("deallocate prepare all", Detail::Deallocate(Which::All)),
        ("deallocate p", Detail::Deallocate(one("p"))),
        ("deallocate prepare p", Detail::Deallocate(one("p"))),
        ("deallocate prepare", Detail::Deallocate(one("prepare"))),
        ("deallocate \"all\"", Detail::Deallocate(one("all"))),
        (
            "; prepare P as select 1 ;",
            Detail::SqlPrepare(one("p"), Text((*b"prepare P as select 1 ").into())),
        ),
        (
            "prepare transaction (int) as select 1",
            Detail::SqlPrepare(
                one("transaction"),
                Text((*b"prepare transaction (int) as select 1").into()),
            ),
        ),
        ("execute p(1)", Detail::SqlExecute(one("p"))),
        (
            "declare C cursor with hold for select 1",
            Detail::CursorHold(one("c")),
        ),
        ("declare c cursor for select 1", Detail::None),
        ("discard all", Detail::Discard(Discard::All)),
        ("discard temporary", Detail::Discard(Discard::Temp)),
        ("discard plans", Detail::Discard(Discard::Plans)),
        ("discard sequences", Detail::Discard(Discard::Sequences)),
    ] {
        assert_eq!(detail(text), expected, "{text}");
    }
}

#[test]
fn copy_flows() {
    for (text, flow) in [
        ("copy t from stdin", CopyFlow::In),
        ("copy t (a, \"from\") from stdout with csv", CopyFlow::In),
        ("copy t to stdout", CopyFlow::Out),
        ("copy (select * from stdin) to stdin", CopyFlow::Out),
        ("copy t from '/file'", CopyFlow::Other),
        ("copy t to program 'cat'", CopyFlow::Other),
        ("copy t", CopyFlow::Other),
    ] {
        assert_eq!(detail(text), Detail::Copy(flow), "{text}");
    }
}

#[test]
fn locks_are_surely_gone_only_by_the_one_statement() {
    assert_eq!(
        detail("select pg_advisory_unlock_all()"),
        Detail::AdvisoryUnlockAll
    );
    assert_eq!(
        detail("select pg_catalog . pg_advisory_unlock_all ( ) as x"),
        Detail::AdvisoryUnlockAll
    );
    for text in [
        "select pg_advisory_unlock_all() where false",
        "select pg_advisory_unlock_all() from t",
        "select pg_advisory_unlock_all(), pg_advisory_lock(1)",
        "select public.pg_advisory_unlock_all()",
        "select \"PG_ADVISORY_UNLOCK_ALL\"()",
        "select pg_advisory_unlock(1)",
        "explain select pg_advisory_unlock_all()",
        "prepare p as select pg_advisory_unlock_all()",
    ] {
        assert_ne!(detail(text), Detail::AdvisoryUnlockAll, "{text}");
    }
}

#[test]
fn transaction_commands() {
    let none = TransactionModes::default();
    for (text, expected) in [
        ("begin", TransactionControl::Begin(none)),
        ("BEGIN WORK", TransactionControl::Begin(none)),
        ("start transaction", TransactionControl::Begin(none)),
        ("begin what", TransactionControl::Unclear),
        ("commit", TransactionControl::Commit { chain: false }),
        (
            "end transaction and chain",
            TransactionControl::Commit { chain: true },
        ),
        (
            "commit and no chain",
            TransactionControl::Commit { chain: false },
        ),
        ("commit prepared 'x'", TransactionControl::CommitPrepared),
        ("rollback", TransactionControl::Rollback { chain: false }),
        (
            "abort work and chain",
            TransactionControl::Rollback { chain: true },
        ),
        (
            "rollback prepared 'x'",
            TransactionControl::RollbackPrepared,
        ),
        ("rollback to a", TransactionControl::RollbackTo(one("a"))),
        (
            "rollback work to savepoint a",
            TransactionControl::RollbackTo(one("a")),
        ),
        (
            "rollback to savepoint",
            TransactionControl::RollbackTo(one("savepoint")),
        ),
        ("savepoint A", TransactionControl::Savepoint(one("a"))),
        ("release a", TransactionControl::Release(one("a"))),
        (
            "release savepoint \"A\"",
            TransactionControl::Release(one("A")),
        ),
        (
            "prepare transaction 'x'",
            TransactionControl::PrepareTransaction,
        ),
        ("commit what", TransactionControl::Unclear),
        ("select 1", TransactionControl::None),
    ] {
        assert_eq!(control(text), expected, "{text}");
    }
}

#[test]
fn transaction_modes() {
    let modes = TransactionModes {
        isolation: Some(Isolation::Serializable),
        read_only: Some(true),
        deferrable: Some(true),
    };
    assert_eq!(
        control("begin transaction isolation level serializable, read only deferrable"),
        TransactionControl::Begin(modes)
    );
    let modes = TransactionModes {
        isolation: Some(Isolation::RepeatableRead),
        read_only: Some(false),
        deferrable: Some(false),
    };
    assert_eq!(
        control("start transaction READ WRITE, NOT DEFERRABLE ISOLATION LEVEL REPEATABLE READ"),
        TransactionControl::Begin(modes)
    );
    assert_eq!(control("begin read only,"), TransactionControl::Unclear);
}
