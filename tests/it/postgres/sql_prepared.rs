//! `PREPARE`, `EXECUTE` and `DEALLOCATE`: each client's names are its own.

use crate::support::{
    postgres::Database,
    sluice::Sluice,
    wire::{
        Wire,
        backend::{Message, column, words},
        frontend::{close_statement, describe_statement, parse, run_named, run_unnamed, sync},
    },
};

/// Two clients on one server connection: if either kept it, the other would wait for ever.
fn two() -> (Database, Sluice, Wire, Wire) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let (one, other) = (proxy.connect(&database), proxy.connect(&database));
    (database, proxy, one, other)
}

/// What the client sees of an error: code, message and place.
fn failure(reply: &[Message]) -> [String; 3] {
    let error = reply.iter().find(|message| message.tag == b'E').unwrap();
    [b'C', b'M', b'P'].map(|key| error.field(key))
}

#[test]
fn clients_use_the_same_name_for_different_statements() {
    let (_database, _proxy, mut one, mut other) = two();
    one.succeed("prepare s (int) as select 'one ' || $1");
    other.succeed("prepare s (int) as select 'other ' || $1");
    for _ in 0..3 {
        assert_eq!(one.value("execute s(1)"), "one 1");
        assert_eq!(other.value("execute s(2)"), "other 2");
    }
    assert_eq!(
        words(&one.simple("deallocate s")),
        ["Complete(DEALLOCATE)", "Ready(I)"]
    );
    assert_eq!(other.value("execute s(3)"), "other 3");
    let gone = failure(&one.simple("execute s(4)"));
    assert_eq!(gone[0], "26000");
    assert_eq!(gone[1], "prepared statement \"s\" does not exist");
    assert_eq!(other.value("execute s(5)"), "other 5");
}

#[test]
fn errors_point_where_they_would_on_a_direct_connection() {
    let (_database, _proxy, mut one, mut other) = two();
    one.succeed("prepare adding (int, int) as select $1 + $2");
    other.succeed("prepare adding as select 1");
    let reply = one.simple("execute adding(1, nonsense)");
    assert_eq!(
        failure(&reply),
        ["42703", "column \"nonsense\" does not exist", "19"]
    );
    other.value("execute adding");
    let reply = one.simple("prepare adding as select 2");
    assert_eq!(
        failure(&reply),
        ["42P05", "prepared statement \"adding\" already exists", ""]
    );
    other.value("execute adding");
    let reply = one.simple("prepare b as select nonsense");
    assert_eq!(failure(&reply)[2], "21");
    assert_eq!(one.value("execute adding(1, 2)"), "3");
}

#[test]
fn a_statement_outlives_a_rollback() {
    let (_database, _proxy, mut one, mut other) = two();
    one.succeed("begin");
    one.succeed("prepare s as select 'still here'");
    one.succeed("rollback");
    other.succeed("prepare s as select 'other'");
    assert_eq!(one.value("execute s"), "still here");
    one.succeed("begin; deallocate s");
    one.succeed("rollback");
    other.value("execute s");
    assert_eq!(failure(&one.simple("execute s"))[0], "26000");
}

#[test]
fn all_of_them_go_at_once() {
    for forget in ["deallocate all", "discard all"] {
        let (_database, _proxy, mut one, mut other) = two();
        one.succeed("prepare s as select 'one'");
        other.succeed("prepare s as select 'other'");
        one.succeed(forget);
        assert_eq!(failure(&one.simple("execute s"))[0], "26000");
        assert_eq!(other.value("execute s"), "other");
    }
}

#[test]
fn several_statements_in_one_text() {
    let (_database, _proxy, mut one, mut other) = two();
    other.succeed("prepare s as select 'other'");
    let reply = one.simple("prepare s as select 'one'; execute s; deallocate s");
    assert_eq!(column(&reply), ["one"]);
    assert_eq!(failure(&one.simple("select 1; execute s"))[0], "26000");
    one.succeed("prepare s as select 'again'; prepare t as select 't'");
    assert_eq!(other.value("execute s"), "other");
    assert_eq!(one.succeed("execute s; execute t"), ["again", "t"]);
}

#[test]
fn what_explains_or_copies_an_execute_finds_it() {
    let (_database, _proxy, mut one, mut other) = two();
    one.succeed("prepare s as select 41 as x");
    other.succeed("prepare s as select 42 as x");
    one.succeed("discard all");
    one.succeed("prepare s as select 41 as x");
    other.succeed("explain execute s");
    other.succeed("create table copied as execute s");
    assert_eq!(one.value("select x from copied"), "42");
    one.succeed("explain analyze execute s");
    assert_eq!(one.value("execute s"), "41");
}

#[test]
fn both_protocols_share_the_names() {
    let (_database, _proxy, mut one, mut other) = two();
    one.succeed("prepare s as select 'one'");
    other.succeed("prepare s as select 'other'");
    assert_eq!(
        column(&one.ask(&[run_named("s", &[]), sync()].concat())),
        ["one"]
    );
    let reply = other.ask(&[describe_statement("s"), sync()].concat());
    assert_eq!(words(&reply), ["ParameterTypes", "Fields", "Ready(I)"]);
    let reply = one.ask(&[parse("s", "select 2"), sync()].concat());
    assert_eq!(words(&reply), ["Error(42P05)", "Ready(I)"]);
    one.ask(&[parse("p", "select 'p'"), sync()].concat());
    assert_eq!(
        words(&one.simple("prepare p as select 1")),
        ["Error(42P05)", "Ready(I)"]
    );
    assert_eq!(one.succeed("select 'x'; execute p"), ["x", "p"]);
    one.succeed("explain execute p");
    let reply = one.ask(&[close_statement("s"), sync()].concat());
    assert_eq!(words(&reply), ["CloseComplete", "Ready(I)"]);
    assert_eq!(failure(&one.simple("execute s"))[0], "26000");
    assert_eq!(other.value("execute s"), "other");
}

#[test]
fn the_extended_protocol_prepares_and_executes_by_sql_too() {
    let (_database, _proxy, mut one, mut other) = two();
    for (wire, text) in [(&mut one, "one"), (&mut other, "other")] {
        let prepare = format!("prepare s (text) as select '{text} ' || $1");
        let reply = wire.ask(&[run_unnamed(&prepare, &[]), sync()].concat());
        assert_eq!(
            words(&reply),
            [
                "ParseComplete",
                "BindComplete",
                "Complete(PREPARE)",
                "Ready(I)"
            ]
        );
    }
    for _ in 0..2 {
        for (wire, text) in [(&mut one, "one x"), (&mut other, "other x")] {
            let reply = wire.ask(&[run_unnamed("execute s('x')", &[]), sync()].concat());
            assert_eq!(column(&reply), [text]);
        }
    }
    for wire in [&mut one, &mut other] {
        wire.ask(&[parse("by name", "execute s('y')"), sync()].concat());
    }
    for _ in 0..2 {
        for (wire, text) in [(&mut one, "one y"), (&mut other, "other y")] {
            let reply = wire.ask(&[run_named("by name", &[]), sync()].concat());
            assert_eq!(column(&reply), [text]);
        }
    }
}

#[test]
fn a_table_that_is_gone_is_what_the_error_is_about() {
    let (_database, _proxy, mut one, mut other) = two();
    one.succeed("create table going (a int)");
    one.succeed("prepare s as select a from going");
    other.succeed("prepare s as select 'other'");
    other.value("execute s");
    other.succeed("drop table going");
    let [code, message, _] = failure(&one.simple("execute s"));
    assert_eq!(
        [&*code, &*message],
        ["42P01", "relation \"going\" does not exist"]
    );
    one.succeed("begin");
    assert_eq!(failure(&one.simple("execute s"))[0], "42P01");
    one.succeed("rollback");
    assert_eq!(
        words(&one.simple("deallocate s")),
        ["Complete(DEALLOCATE)", "Ready(I)"]
    );
}

#[test]
fn names_in_quotes_and_names_that_cannot_be_folded() {
    let (_database, _proxy, mut one, mut other) = two();
    one.succeed("prepare \"A \"\"b\" as select 'one'");
    other.succeed("prepare \"A \"\"b\" as select 'other'");
    assert_eq!(one.value("execute \"A \"\"b\""), "one");
    assert_eq!(other.value("execute \"A \"\"b\""), "other");
    one.succeed("deallocate \"A \"\"b\"");
    drop(other);
    // Longer than the server keeps: the client keeps the connection instead.
    let long = "x".repeat(70);
    one.succeed(&format!("prepare {long} as select 'long'"));
    assert_eq!(one.value(&format!("execute {long}")), "long");
}
