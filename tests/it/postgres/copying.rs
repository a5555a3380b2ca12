//! COPY: the client speaks while the server listens, and either may break off.

use crate::support::{
    postgres::Database,
    sluice::Sluice,
    wait,
    wire::{
        Wire,
        backend::{column, error, words},
        frontend::{copy_data, copy_done, copy_fail, flush, query, run_unnamed, sync},
    },
};

/// One server connection and a table `t` with an integer key.
fn narrow() -> (Database, Sluice, Wire) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let mut wire = proxy.connect(&database);
    wire.succeed("create table t (id int primary key)");
    (database, proxy, wire)
}

fn begin_copy(wire: &mut Wire) {
    wire.send(&query("copy t from stdin")).unwrap();
    assert_eq!(words(&wire.read_until(b'G')), ["CopyIn"]);
}

fn assert_in_step(proxy: &Sluice, database: &Database, wire: &mut Wire, rows: &str) {
    for wire in [wire, &mut proxy.connect(database)] {
        assert_eq!(wire.value("select count(*) from t"), rows);
        assert!(!wire.has_input());
    }
}

#[test]
fn rows_are_copied_in_and_out() {
    let (database, proxy, mut wire) = narrow();
    begin_copy(&mut wire);
    for number in 0..10_000 {
        wire.send(&copy_data(format!("{number}\n").as_bytes()))
            .unwrap();
    }
    assert_eq!(
        words(&wire.ask(&copy_done())),
        ["Complete(COPY 10000)", "Ready(I)"]
    );
    let reply = wire.simple("copy (select id from t order by id) to stdout");
    assert_eq!(reply.len(), 10_004);
    assert_eq!(
        words(&reply[..3]),
        ["CopyOut", "CopyData(0)", "CopyData(1)"]
    );
    assert_eq!(
        words(&reply[10_000..]),
        [
            "CopyData(9999)",
            "CopyDone",
            "Complete(COPY 10000)",
            "Ready(I)"
        ]
    );
    assert_in_step(&proxy, &database, &mut wire, "10000");
}

#[test]
fn a_whole_copy_in_one_write_is_answered() {
    let (database, proxy, mut wire) = narrow();
    let script = [
        query("copy t from stdin; select 'same query'"),
        copy_data(b"1\n2\n"),
        copy_data(b"3\n"),
        copy_done(),
        query("select 'next query'"),
    ];
    let reply = wire.ask(&script.concat());
    let expected = [
        "CopyIn",
        "Complete(COPY 3)",
        "Fields",
        "Row(same query)",
        "Complete(SELECT 1)",
        "Ready(I)",
    ];
    assert_eq!(words(&reply), expected);
    assert_eq!(column(&wire.read_ready()), ["next query"]);
    assert_in_step(&proxy, &database, &mut wire, "3");
}

#[test]
fn two_copies_in_one_query_are_both_fed() {
    let (database, proxy, mut wire) = narrow();
    wire.send(&query("copy t from stdin; copy t from stdin"))
        .unwrap();
    wire.read_until(b'G');
    wire.send(&[copy_data(b"1\n"), copy_done()].concat())
        .unwrap();
    assert_eq!(
        words(&wire.read_until(b'G')),
        ["Complete(COPY 1)", "CopyIn"]
    );
    assert_eq!(
        words(&wire.ask(&[copy_data(b"2\n"), copy_done()].concat())),
        ["Complete(COPY 1)", "Ready(I)"]
    );
    assert_in_step(&proxy, &database, &mut wire, "2");
}

#[test]
fn copy_fail_undoes_the_copy() {
    let (database, proxy, mut wire) = narrow();
    begin_copy(&mut wire);
    let reply = wire.ask(&[copy_data(b"1\n"), copy_fail("changed my mind")].concat());
    assert_eq!(words(&reply), ["Error(57014)", "Ready(I)"]);
    assert!(reply[0].field(b'M').contains("changed my mind"));
    assert_in_step(&proxy, &database, &mut wire, "0");
}

#[test]
fn sync_during_copy_gets_no_reply() {
    let (database, proxy, mut wire) = narrow();
    wire.send(&[run_unnamed("copy t from stdin", &[]), sync()].concat())
        .unwrap();
    assert_eq!(
        words(&wire.read_until(b'G')),
        ["ParseComplete", "BindComplete", "CopyIn"]
    );
    wire.send(
        &[
            copy_data(b"1\n"),
            flush(),
            sync(),
            copy_data(b"2\n"),
            sync(),
        ]
        .concat(),
    )
    .unwrap();
    let reply = wire.ask(&[copy_done(), sync()].concat());
    assert_eq!(words(&reply), ["Complete(COPY 2)", "Ready(I)"]);
    assert_in_step(&proxy, &database, &mut wire, "2");
}

#[test]
fn late_copy_data_after_an_error_is_discarded() {
    let (database, proxy, mut wire) = narrow();
    begin_copy(&mut wire);
    let reply = wire.ask(&copy_data(b"no number\n"));
    assert_eq!(words(&reply), ["Error(22P02)", "Ready(I)"]);
    // The server connection may already serve somebody else.
    let mut other = proxy.connect(&database);
    other.succeed("begin");
    wire.send(&[copy_data(b"1\n"), copy_data(b"2\n"), copy_done()].concat())
        .unwrap();
    wire.send(&query("select 'after'")).unwrap();
    other.succeed("commit");
    assert_eq!(column(&wire.read_ready()), ["after"]);
    assert_in_step(&proxy, &database, &mut wire, "0");
}

#[test]
fn a_flood_of_copy_data_after_an_error_is_discarded() {
    let (database, proxy, mut wire) = narrow();
    let row = copy_data("7\n".repeat(4000).as_bytes());
    begin_copy(&mut wire);
    wire.send(&row.repeat(1000)).unwrap();
    let reply = wire.ask(&copy_done());
    assert_eq!(error(&reply).unwrap(), "23505");
    assert_in_step(&proxy, &database, &mut wire, "0");
}

#[test]
fn an_error_in_an_extended_copy_skips_to_the_sync_after_it() {
    let (database, proxy, mut wire) = narrow();
    wire.send(&[run_unnamed("copy t from stdin", &[]), flush()].concat())
        .unwrap();
    wire.read_until(b'G');
    wire.send(&copy_data(b"no number\n")).unwrap();
    assert_eq!(words(&wire.read_until(b'E')), ["Error(22P02)"]);
    let reply = wire.ask(
        &[
            copy_data(b"1\n"),
            copy_done(),
            run_unnamed("select 1", &[]),
            sync(),
        ]
        .concat(),
    );
    assert_eq!(words(&reply), ["Ready(I)"]);
    assert_in_step(&proxy, &database, &mut wire, "0");
}

#[test]
fn copy_messages_outside_of_a_copy_are_ignored() {
    let (database, proxy, mut wire) = narrow();
    wire.send(&[copy_data(b"1\n"), copy_done(), copy_fail("what")].concat())
        .unwrap();
    assert_in_step(&proxy, &database, &mut wire, "0");
    wire.send(
        &[
            copy_data(b"1\n"),
            query("select 'one'"),
            copy_done(),
            query("select 'two'"),
        ]
        .concat(),
    )
    .unwrap();
    assert_eq!(column(&wire.read_ready()), ["one"]);
    assert_eq!(column(&wire.read_ready()), ["two"]);
    assert_in_step(&proxy, &database, &mut wire, "0");
}

#[test]
fn a_copy_that_fails_to_start_is_an_error_and_its_data_is_ignored() {
    let (database, proxy, mut wire) = narrow();
    let script = [
        query("copy nowhere from stdin"),
        copy_data(b"1\n"),
        copy_done(),
        query("select 'after'"),
    ];
    assert_eq!(
        words(&wire.ask(&script.concat())),
        ["Error(42P01)", "Ready(I)"]
    );
    assert_eq!(column(&wire.read_ready()), ["after"]);
    assert_in_step(&proxy, &database, &mut wire, "0");
}

#[test]
fn a_client_that_vanishes_in_a_copy_leaves_no_rows() {
    let (database, proxy, mut wire) = narrow();
    begin_copy(&mut wire);
    wire.send(&copy_data(b"1\n2\n3\n")).unwrap();
    wire.vanish();
    let mut other = proxy.connect(&database);
    assert_in_step(&proxy, &database, &mut other, "0");
}

#[test]
fn a_client_that_vanishes_inside_a_copy_message_leaves_no_rows() {
    let (database, proxy, mut wire) = narrow();
    begin_copy(&mut wire);
    let message = copy_data("9\n".repeat(50_000).as_bytes());
    wire.send(&[copy_data(b"1\n"), message[..70_000].to_vec()].concat())
        .unwrap();
    wire.vanish();
    let mut other = proxy.connect(&database);
    assert_in_step(&proxy, &database, &mut other, "0");
}

#[test]
fn a_query_inside_a_copy_breaks_that_client_alone() {
    let (database, proxy, mut wire) = narrow();
    begin_copy(&mut wire);
    wire.send(&query("select 1")).unwrap();
    let reply = wire.read_to_close();
    assert_eq!(error(&reply).unwrap(), "08P01", "{:?}", words(&reply));
    let mut other = proxy.connect(&database);
    assert_in_step(&proxy, &database, &mut other, "0");
}

#[test]
fn a_client_that_stops_reading_a_copy_and_leaves_does_not_block_the_server() {
    let (database, proxy, mut wire) = narrow();
    wire.send(&query(
        "copy (select repeat('x', 1000) from generate_series(1, 1000000)) to stdout",
    ))
    .unwrap();
    assert_eq!(words(&wire.read_until(b'H')), ["CopyOut"]);
    wire.vanish();
    let mut admin = database.admin();
    wait::until_true("the end of the copy nobody reads", || {
        admin.value("select count(*) from pg_stat_activity where state = 'active' and query like 'copy (select repeat%'")
            == "0"
    });
    let mut other = proxy.connect(&database);
    assert_in_step(&proxy, &database, &mut other, "0");
}
