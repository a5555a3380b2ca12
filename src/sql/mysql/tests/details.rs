//! What a session model gets to track.

use super::{MARIADB, MYSQL, detail, only};
use crate::sql::mysql::verdict::{
    Assignment, Detail, Ending, Kill, Killed, Literal, LiteralKind, TableName, TransactionControl,
    Value,
};
use crate::sql::statement::{Isolation, TransactionModes, Which};

fn one(name: &str) -> Which {
    Which::One(name.into())
}

fn literal(kind: LiteralKind, text: &str) -> Literal {
    Literal {
        kind,
        text: text.as_bytes().into(),
    }
}

fn table(schema: Option<&str>, table: &str) -> TableName {
    TableName::Of {
        schema: schema.map(Into::into),
        table: table.into(),
    }
}

#[test]
fn assignments_keep_their_order_and_form() {
    let Detail::Assign(assignments) = detail(
        "set @A = 'x''\\ny', sql_mode = ansi, @@session.Autocommit = 0, names utf8 collate 'C', time_zone = default, sql_safe_updates = @b, global x.y = 1, @c = -1",
    ) else {
        panic!("no assignments");
    };
    assert_eq!(
        *assignments,
        [
            Assignment::User {
                name: "a".into(),
                value: Some(literal(LiteralKind::String, "x'\ny"))
            },
            Assignment::Session {
                name: "sql_mode".into(),
                value: Value::Literal(literal(LiteralKind::Word, "ansi"))
            },
            Assignment::Session {
                name: "autocommit".into(),
                value: Value::Literal(literal(LiteralKind::Number, "0"))
            },
            Assignment::Names {
                charset: Some("utf8".into()),
                collation: Some("c".into())
            },
            Assignment::Session {
                name: "time_zone".into(),
                value: Value::Default
            },
            Assignment::Session {
                name: "sql_safe_updates".into(),
                value: Value::Expression
            },
            Assignment::Global { name: "x.y".into() },
            Assignment::User {
                name: "c".into(),
                value: Some(literal(LiteralKind::Number, "-1"))
            },
        ]
    );
    assert!(!format!("{assignments:?}").contains("ansi"));
    assert_eq!(
        detail("set names default"),
        Detail::Assign(
            [Assignment::Names {
                charset: None,
                collation: None
            }]
            .into()
        )
    );
    assert_eq!(
        detail("set session transaction read only, isolation level repeatable read"),
        Detail::Assign(
            [
                Assignment::Session {
                    name: "transaction_isolation".into(),
                    value: Value::Literal(literal(LiteralKind::String, "REPEATABLE-READ"))
                },
                Assignment::Session {
                    name: "transaction_read_only".into(),
                    value: Value::Literal(literal(LiteralKind::Word, "ON"))
                },
            ]
            .into()
        )
    );
}

#[test]
fn transaction_control() {
    let control = |text| only(text, MYSQL).control;
    let begin = |read_only, snapshot| TransactionControl::Begin {
        read_only,
        snapshot,
    };
    let ending = |chain, release| Ending { chain, release };
    for (text, expected) in [
        ("begin", begin(None, false)),
        ("begin work", begin(None, false)),
        ("start transaction", begin(None, false)),
        ("start transaction read only", begin(Some(true), false)),
        (
            "start transaction with consistent snapshot, read write",
            begin(Some(false), true),
        ),
        ("commit", TransactionControl::Commit(ending(None, None))),
        (
            "commit work and chain no release",
            TransactionControl::Commit(ending(Some(true), Some(false))),
        ),
        (
            "rollback and no chain release",
            TransactionControl::Rollback(ending(Some(false), Some(true))),
        ),
        ("savepoint `a b`", TransactionControl::Savepoint(one("a b"))),
        ("rollback to a", TransactionControl::RollbackTo(one("a"))),
        (
            "rollback work to savepoint a",
            TransactionControl::RollbackTo(one("a")),
        ),
        (
            "rollback to savepoint",
            TransactionControl::RollbackTo(one("savepoint")),
        ),
        ("release savepoint a", TransactionControl::Release(one("a"))),
        (
            "set transaction isolation level serializable, read only",
            TransactionControl::SetTransaction(TransactionModes {
                isolation: Some(Isolation::Serializable),
                read_only: Some(true),
                deferrable: None,
            }),
        ),
        (
            "set autocommit = on",
            TransactionControl::Autocommit(Some(true)),
        ),
        (
            "set @@session.autocommit := 0",
            TransactionControl::Autocommit(Some(false)),
        ),
        ("set autocommit = @a", TransactionControl::Autocommit(None)),
        (
            "set autocommit = default",
            TransactionControl::Autocommit(None),
        ),
        ("set global autocommit = 1", TransactionControl::None),
        ("commit foo", TransactionControl::Unclear),
        ("select 1", TransactionControl::None),
    ] {
        assert_eq!(control(text), expected, "{text}");
    }
}

#[test]
fn things_named() {
    for (text, expected) in [
        ("use d", Detail::Use(one("d"))),
        ("use `a``b`", Detail::Use(one("a`b"))),
        (
            "create temporary table t (a int)",
            Detail::TempTable(table(None, "t")),
        ),
        (
            "create temporary table if not exists `s`.t select 1",
            Detail::TempTable(table(Some("s"), "t")),
        ),
        (
            "drop temporary table a, s.b",
            Detail::DropTables {
                temporary: true,
                names: [table(None, "a"), table(Some("s"), "b")].into(),
            },
        ),
        (
            "drop table if exists a cascade",
            Detail::DropTables {
                temporary: false,
                names: [table(None, "a")].into(),
            },
        ),
        (
            "drop table a wait 5",
            Detail::DropTables {
                temporary: false,
                names: [table(None, "a"), TableName::Unclear].into(),
            },
        ),
        ("select get_lock('A', 10)", Detail::GetLock(b"a"[..].into())),
        (
            "select get_lock('a', -1) as l",
            Detail::GetLock(b"a"[..].into()),
        ),
        ("select get_lock(concat('a'), 10)", Detail::None),
        ("select get_lock('a', 10), 1", Detail::None),
        (
            "select release_lock('a')",
            Detail::ReleaseLock(b"a"[..].into()),
        ),
        ("do release_lock('a')", Detail::ReleaseLock(b"a"[..].into())),
        ("select release_lock('a') from t", Detail::None),
        ("select release_all_locks()", Detail::ReleaseAllLocks),
        ("show warnings", Detail::ShowDiagnostics),
        ("SHOW ERRORS LIMIT 1", Detail::ShowDiagnostics),
        ("show count(*) warnings", Detail::None),
        ("select release_all_locks(), 1", Detail::None),
        ("handler s.t open", Detail::HandlerOpen(one("t"))),
        ("handler t open as h", Detail::HandlerOpen(one("h"))),
        ("handler h close", Detail::HandlerClose(one("h"))),
        ("prepare s from 'select 1'", Detail::SqlPrepare(one("s"))),
        ("execute s", Detail::SqlExecute(one("s"))),
        ("deallocate prepare s", Detail::Deallocate(one("s"))),
    ] {
        assert_eq!(detail(text), expected, "{text}");
    }
}

#[test]
fn kills() {
    let kill = |text| match only(text, MARIADB).detail {
        Detail::Kill(Kill { what, soft, id }) => (what, soft, id),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(kill("kill 5"), (Killed::Connection, false, Some(5)));
    assert_eq!(
        kill("kill connection 5"),
        (Killed::Connection, false, Some(5))
    );
    assert_eq!(kill("kill query 5"), (Killed::Query, false, Some(5)));
    assert_eq!(
        kill("kill hard query id 5"),
        (Killed::QueryId, false, Some(5))
    );
    assert_eq!(
        kill("kill soft connection 5"),
        (Killed::Connection, true, Some(5))
    );
    assert_eq!(kill("kill user foo"), (Killed::User, false, None));
    assert_eq!(kill("kill @a"), (Killed::Connection, false, None));
    assert_eq!(kill("kill 5 + 1"), (Killed::Connection, false, None));
    assert_eq!(
        kill("kill 99999999999999999999"),
        (Killed::Connection, false, None)
    );
}

#[test]
fn fingerprints_hide_constants() {
    let print = |text: &str| crate::sql::mysql::fingerprint(text.as_bytes(), MYSQL);
    assert_eq!(
        print("SELECT a /* c */ FROM `T` WHERE b = 'x' AND c IN (1, 0x1F, ?)"),
        "select a from `T` where b = ? and c in (?, ...)"
    );
    assert_eq!(
        print("SET @a = 'x', b = secret; SELECT 1"),
        "set @a = ?; select ?"
    );
    assert_eq!(print("set password := secret"), "set password := ?");
    assert_eq!(print("select 'secret"), "select ...");
    assert_eq!(print("select \"x\""), "select ?");
}
