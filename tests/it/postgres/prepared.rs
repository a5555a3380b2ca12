//! Prepared statements belong to their client, whichever server connection runs them.

use crate::support::{
    postgres::Database,
    sluice::{Settings, Sluice, is_direct},
    wire::{
        Wire,
        backend::{column, error, words},
        frontend::{
            close_statement, describe_statement, flush, parse, parse_typed, query, run_named,
            run_unnamed, sync,
        },
    },
};

fn narrow() -> (Database, Sluice) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    (database, proxy)
}

/// Two server connections: one client may keep one.
fn wide() -> (Database, Sluice) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 2);
    (database, proxy)
}

fn prepare(wire: &mut Wire, name: &str, sql: &str) {
    assert_eq!(
        words(&wire.ask(&[parse(name, sql), sync()].concat())),
        ["ParseComplete", "Ready(I)"]
    );
}

fn run(wire: &mut Wire, name: &str, parameters: &[&str]) -> Vec<String> {
    let reply = wire.ask(&[run_named(name, parameters), sync()].concat());
    assert_eq!(error(&reply), None, "{:?}", words(&reply));
    column(&reply)
}

fn failure(wire: &mut Wire, request: &[Vec<u8>]) -> String {
    let reply = wire.ask(&[request.concat(), sync()].concat());
    error(&reply).unwrap_or_else(|| panic!("no error in {:?}", words(&reply)))
}

#[test]
fn binding_an_unknown_statement_is_26000_and_the_client_goes_on() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    assert_eq!(failure(&mut wire, &[run_named("nobody", &[])]), "26000");
    assert_eq!(failure(&mut wire, &[describe_statement("nobody")]), "26000");
    assert_eq!(failure(&mut wire, &[run_named("", &[])]), "26000");
    assert_eq!(wire.value("select 'on'"), "on");
    let mut other = proxy.connect(&database);
    prepare(&mut other, "somebody", "select 'theirs'");
    assert_eq!(failure(&mut wire, &[run_named("somebody", &[])]), "26000");
}

#[test]
fn an_unknown_statement_in_a_transaction_fails_it() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    wire.succeed("begin");
    let reply = wire.ask(&[run_named("nobody", &[]), sync()].concat());
    assert_eq!(words(&reply), ["Error(26000)", "Ready(E)"]);
    assert_eq!(
        words(&wire.simple("commit")),
        ["Complete(ROLLBACK)", "Ready(I)"]
    );
}

#[test]
fn preparing_a_name_in_use_is_42p05() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    prepare(&mut wire, "mine", "select 'first'");
    assert_eq!(
        failure(&mut wire, &[parse("mine", "select 'second'")]),
        "42P05"
    );
    assert_eq!(
        failure(&mut wire, &[parse("mine", "select 'first'")]),
        "42P05"
    );
    assert_eq!(run(&mut wire, "mine", &[]), ["first"]);
    wire.ask(&[close_statement("mine"), sync()].concat());
    prepare(&mut wire, "mine", "select 'second'");
    assert_eq!(run(&mut wire, "mine", &[]), ["second"]);
}

#[test]
fn clients_use_the_same_name_for_different_statements() {
    let (database, proxy) = narrow();
    let (mut one, mut two) = (proxy.connect(&database), proxy.connect(&database));
    prepare(&mut one, "s", "select 'one ' || $1::text");
    prepare(&mut two, "s", "select 'two ' || $1::text");
    for turn in ["a", "b", "c"] {
        assert_eq!(run(&mut one, "s", &[turn]), [format!("one {turn}")]);
        assert_eq!(run(&mut two, "s", &[turn]), [format!("two {turn}")]);
    }
    two.ask(&[close_statement("s"), sync()].concat());
    assert_eq!(failure(&mut two, &[run_named("s", &["d"])]), "26000");
    assert_eq!(run(&mut one, "s", &["d"]), ["one d"]);
}

#[test]
fn a_statement_survives_the_client_that_shared_its_text() {
    let (database, proxy) = narrow();
    let (mut one, mut two) = (proxy.connect(&database), proxy.connect(&database));
    for wire in [&mut one, &mut two] {
        prepare(wire, "shared", "select $1::int * 2");
    }
    one.ask(&[close_statement("shared"), sync()].concat());
    assert_eq!(run(&mut two, "shared", &["4"]), ["8"]);
    prepare(&mut one, "again", "select $1::int * 2");
    drop(two);
    assert_eq!(run(&mut one, "again", &["5"]), ["10"]);
}

#[test]
fn a_statement_works_on_every_server_connection() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 3);
    let mut wire = proxy.connect(&database);
    prepare(&mut wire, "traveller", "select $1::int + 1");
    let mut holders: Vec<Wire> = (0..3).map(|_| proxy.connect(&database)).collect();
    // Each turn leaves a different server connection free.
    for free in 0..3 {
        for (index, holder) in holders.iter_mut().enumerate() {
            if index != free {
                holder.succeed("begin");
            }
        }
        assert_eq!(run(&mut wire, "traveller", &["41"]), ["42"]);
        for holder in &mut holders {
            holder.simple("commit");
        }
    }
}

#[test]
fn the_unnamed_statement_stays_with_its_client() {
    let (database, proxy) = narrow();
    let (mut one, mut two) = (proxy.connect(&database), proxy.connect(&database));
    prepare(&mut one, "", "select 'one'");
    prepare(&mut two, "", "select 'two'");
    assert_eq!(run(&mut one, "", &[]), ["one"]);
    assert_eq!(run(&mut two, "", &[]), ["two"]);
    prepare(&mut one, "", "select 'one, replaced'");
    assert_eq!(run(&mut one, "", &[]), ["one, replaced"]);
    // A simple query destroys the unnamed statement.
    one.succeed("select 1");
    assert_eq!(failure(&mut one, &[run_named("", &[])]), "26000");
    assert_eq!(run(&mut two, "", &[]), ["two"]);
}

#[test]
fn a_failed_parse_is_not_remembered() {
    let (database, proxy) = narrow();
    let (mut one, mut two) = (proxy.connect(&database), proxy.connect(&database));
    for wire in [&mut one, &mut two] {
        assert_eq!(
            failure(wire, &[parse("late", "select word from late_table")]),
            "42P01"
        );
    }
    one.succeed("create table late_table (word text); insert into late_table values ('here')");
    for wire in [&mut one, &mut two] {
        assert_eq!(failure(wire, &[run_named("late", &[])]), "26000");
        prepare(wire, "late", "select word from late_table");
        assert_eq!(run(wire, "late", &[]), ["here"]);
    }
}

#[test]
fn a_parse_after_an_error_in_its_batch_is_not_remembered() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    assert_eq!(
        failure(
            &mut wire,
            &[run_unnamed("selec", &[]), parse("skipped", "select 1")]
        ),
        "42601"
    );
    assert_eq!(failure(&mut wire, &[run_named("skipped", &[])]), "26000");
    prepare(&mut wire, "skipped", "select 'kept'");
    assert_eq!(
        failure(
            &mut wire,
            &[run_unnamed("selec", &[]), close_statement("skipped")]
        ),
        "42601"
    );
    assert_eq!(run(&mut wire, "skipped", &[]), ["kept"]);
}

#[test]
fn a_parse_in_a_failed_transaction_is_refused_and_not_remembered() {
    let (database, proxy) = narrow();
    let mut other = proxy.connect(&database);
    prepare(&mut other, "known", "select 'known'");
    let mut wire = proxy.connect(&database);
    wire.succeed("begin");
    wire.simple("select 1/0");
    assert_eq!(
        failure(&mut wire, &[parse("known", "select 'known'")]),
        "25P02"
    );
    wire.succeed("rollback");
    assert_eq!(failure(&mut wire, &[run_named("known", &[])]), "26000");
}

#[test]
fn a_statement_prepared_in_a_transaction_outlives_its_rollback() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    wire.succeed("begin");
    wire.ask(&[parse("outliving", "select 'still here'"), sync()].concat());
    wire.succeed("rollback");
    assert_eq!(run(&mut wire, "outliving", &[]), ["still here"]);
}

#[test]
fn parameter_types_are_part_of_a_statement() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    let (int4, text) = (23, 25);
    for (name, oid) in [("number", int4), ("word", text), ("number again", int4)] {
        wire.ask(&[parse_typed(name, "select pg_typeof($1)", &[oid]), sync()].concat());
    }
    assert_eq!(run(&mut wire, "number", &["1"]), ["integer"]);
    assert_eq!(run(&mut wire, "word", &["1"]), ["text"]);
    assert_eq!(run(&mut wire, "number again", &["1"]), ["integer"]);
}

#[test]
fn deallocate_all_forgets_the_statements_of_its_client_alone() {
    let (database, proxy) = narrow();
    let (mut wire, mut other) = (proxy.connect(&database), proxy.connect(&database));
    for forget in [
        "deallocate all",
        "DISCARD ALL",
        "deallocate prepare all",
        "discard plans; deallocate all",
    ] {
        prepare(&mut wire, "forgotten", "select 'forgotten'");
        prepare(&mut other, "kept", "select 'kept'");
        assert_eq!(run(&mut wire, "forgotten", &[]), ["forgotten"]);
        wire.succeed(forget);
        assert_eq!(
            failure(&mut wire, &[run_named("forgotten", &[])]),
            "26000",
            "{forget}"
        );
        assert_eq!(run(&mut other, "kept", &[]), ["kept"]);
        other.ask(&[close_statement("kept"), sync()].concat());
    }
    prepare(&mut wire, "forgotten", "select 'again'");
    wire.ask(&[run_unnamed("deallocate all", &[]), sync()].concat());
    assert_eq!(failure(&mut wire, &[run_named("forgotten", &[])]), "26000");
}

#[test]
fn deallocate_by_name_forgets_a_statement_of_the_protocol() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    prepare(&mut wire, "named", "select 'named'");
    prepare(&mut wire, "Quoted Name", "select 'quoted'");
    assert_eq!(
        words(&wire.simple("deallocate named")),
        ["Complete(DEALLOCATE)", "Ready(I)"]
    );
    assert_eq!(failure(&mut wire, &[run_named("named", &[])]), "26000");
    assert_eq!(run(&mut wire, "Quoted Name", &[]), ["quoted"]);
    assert_eq!(
        words(&wire.simple("deallocate \"Quoted Name\"")),
        ["Complete(DEALLOCATE)", "Ready(I)"]
    );
    assert_eq!(
        failure(&mut wire, &[run_named("Quoted Name", &[])]),
        "26000"
    );
    assert_eq!(
        words(&wire.simple("deallocate named")),
        ["Error(26000)", "Ready(I)"]
    );
}

#[test]
fn statements_prepared_by_sql_stay_with_their_client() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    wire.succeed("prepare adder (int) as select $1 + 1");
    assert_eq!(wire.succeed("execute adder (1)"), ["2"]);
    // One namespace for both ways of preparing.
    assert_eq!(run(&mut wire, "adder", &["2"]), ["3"]);
    prepare(&mut wire, "from the protocol", "select 'found'");
    assert_eq!(wire.succeed("execute \"from the protocol\""), ["found"]);
    wire.succeed("deallocate adder");
    assert_eq!(
        words(&wire.simple("execute adder (1)")),
        ["Error(26000)", "Ready(I)"]
    );
    drop(wire);
    let mut next = proxy.connect(&database);
    assert_eq!(
        words(&next.simple("execute \"from the protocol\"")),
        ["Error(26000)", "Ready(I)"]
    );
    next.succeed("prepare adder (int) as select $1 + 2");
    assert_eq!(next.succeed("execute adder (1)"), ["3"]);
}

#[test]
fn more_statements_than_a_server_connection_keeps_all_work() {
    let database = Database::new();
    let settings = Settings::for_server(database.server_port)
        .group("default_pool_size", 1)
        .group("max_prepared_statements", 10);
    let proxy = Sluice::start(&settings);
    let (mut wire, mut other) = (proxy.connect(&database), proxy.connect(&database));
    for number in 0..200 {
        prepare(
            &mut wire,
            &format!("s{number}"),
            &format!("select {number} + $1::int"),
        );
    }
    prepare(&mut other, "s7", "select 'of the other'");
    for step in 0..400 {
        let number = (step * 37) % 200;
        assert_eq!(
            run(&mut wire, &format!("s{number}"), &["1000"]),
            [(number + 1000).to_string()]
        );
        if step % 50 == 0 {
            assert_eq!(run(&mut other, "s7", &[]), ["of the other"]);
        }
    }
    // Many of them within one batch, in which none may be taken away from under another.
    let batch: Vec<u8> = (0..50)
        .flat_map(|number| run_named(&format!("s{number}"), &["1"]))
        .collect();
    let expected: Vec<String> = (1..=50).map(|number| number.to_string()).collect();
    assert_eq!(column(&wire.ask(&[batch, sync()].concat())), expected);
    if !is_direct() {
        let kept: u32 = wire
            .value("select count(*) from pg_prepared_statements")
            .parse()
            .unwrap();
        assert!(kept <= 60, "the server keeps {kept} statements");
    }
}

#[test]
fn more_statements_than_a_client_may_have_are_refused_not_forgotten() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let settings = Settings::for_server(database.server_port)
        .listener("max_prepared_statements_per_client", 5);
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    for number in 0..5 {
        prepare(
            &mut wire,
            &format!("s{number}"),
            &format!("select {number}"),
        );
    }
    failure(&mut wire, &[parse("s5", "select 5")]);
    for number in 0..5 {
        assert_eq!(
            run(&mut wire, &format!("s{number}"), &[]),
            [number.to_string()]
        );
    }
    wire.ask(&[close_statement("s0"), sync()].concat());
    prepare(&mut wire, "s5", "select 5");
}

#[test]
fn describe_of_a_known_statement_tells_types_and_columns() {
    let (database, proxy) = narrow();
    for _ in 0..2 {
        let mut wire = proxy.connect(&database);
        prepare(&mut wire, "described", "select $1::int as a, $2::text as b");
        let reply = wire.ask(&[describe_statement("described"), sync()].concat());
        assert_eq!(words(&reply), ["ParameterTypes", "Fields", "Ready(I)"]);
        assert_eq!(reply[0].body, [0, 2, 0, 0, 0, 23, 0, 0, 0, 25]);
    }
}

#[test]
fn a_statement_prepared_anew_sees_the_schema_after_a_change() {
    let (database, proxy) = narrow();
    let (mut one, mut two) = (proxy.connect(&database), proxy.connect(&database));
    one.succeed("create table changing (a int); insert into changing values (1)");
    for wire in [&mut one, &mut two] {
        prepare(wire, "all columns", "select * from changing");
        assert_eq!(run(wire, "all columns", &[]), ["1"]);
    }
    two.succeed("alter table changing add b int default 2; alter table changing drop a");
    // PostgreSQL refuses the old plan, or the proxy has it planned anew: never wrong columns.
    let reply = one.ask(&[run_named("all columns", &[]), sync()].concat());
    match error(&reply) {
        Some(code) => assert_eq!(code, "0A000"),
        None => assert_eq!(column(&reply), ["2"]),
    }
    // What clients do next: close and prepare again.
    one.ask(&[close_statement("all columns"), sync()].concat());
    prepare(&mut one, "all columns", "select * from changing");
    assert_eq!(run(&mut one, "all columns", &[]), ["2"]);
    let mut new = proxy.connect(&database);
    prepare(&mut new, "all columns", "select * from changing");
    assert_eq!(run(&mut new, "all columns", &[]), ["2"]);
}

#[test]
fn one_text_under_two_search_paths_is_two_statements() {
    let (database, proxy) = narrow();
    let mut owner = proxy.connect(&database);
    for name in ["red", "blue"] {
        owner.succeed(&format!(
            "create schema {name}; create table {name}.thing (colour text); insert into {name}.thing values ('{name}')"
        ));
    }
    drop(owner);
    let connect =
        |path: &str| Wire::connect(&proxy.login(&database).parameter("search_path", path)).unwrap();
    let (mut red, mut blue) = (connect("red"), connect("blue"));
    for wire in [&mut red, &mut blue] {
        prepare(wire, "colour", "select colour from thing");
    }
    for _ in 0..3 {
        assert_eq!(run(&mut red, "colour", &[]), ["red"]);
        assert_eq!(run(&mut blue, "colour", &[]), ["blue"]);
    }
}

#[test]
fn statements_survive_the_loss_of_the_server_connection_that_knew_them() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    prepare(&mut wire, "tough", "select 'tough ' || $1::text");
    assert_eq!(run(&mut wire, "tough", &["1"]), ["tough 1"]);
    if is_direct() {
        return;
    }
    let ended = database.admin().value(&format!(
        "select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity where usename = 'app' and datname = '{}'",
        database.name
    ));
    assert_eq!(ended, "1");
    assert_eq!(run(&mut wire, "tough", &["2"]), ["tough 2"]);
}

#[test]
fn a_large_statement_text_is_prepared_and_run() {
    let (database, proxy) = wide();
    let long = format!("select length('{}')", "x".repeat(3_000_000));
    for _ in 0..2 {
        let mut wire = proxy.connect(&database);
        prepare(&mut wire, "long", &long);
        assert_eq!(run(&mut wire, "long", &[]), ["3000000"]);
        let mut other = proxy.connect(&database);
        assert_eq!(other.value("select 1"), "1");
        assert_eq!(run(&mut wire, "long", &[]), ["3000000"]);
        wire.send(&[close_statement("long"), flush()].concat())
            .unwrap();
        assert_eq!(words(&wire.read_until(b'3')), ["CloseComplete"]);
        assert_eq!(
            words(&wire.ask(&[sync(), query("select 1")].concat())),
            ["Ready(I)"]
        );
        assert_eq!(column(&wire.read_ready()), ["1"]);
    }
}
