//! Clients that leave without goodbye: the server stops their work, and nobody else notices.

use crate::support::{
    postgres::Database,
    sluice::{Sluice, is_direct},
    wait,
    wire::{
        Wire,
        backend::{column, words},
        frontend::{bind, execute, flush, parse, query, run_named, run_unnamed, sync, terminate},
    },
};

fn narrow() -> (Database, Sluice, Wire) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let mut wire = proxy.connect(&database);
    wire.succeed("create table t (id int primary key)");
    (database, proxy, wire)
}

/// The states of the server's sessions in this database, but for the one that asks.
fn states(admin: &mut Wire, database: &Database) -> Vec<String> {
    admin.succeed(&format!(
        "select state from pg_stat_activity where datname = '{}' and pid <> pg_backend_pid() and state is not null",
        database.name
    ))
}

fn wait_all_idle(database: &Database) {
    let mut admin = database.admin();
    wait::until_true("idle server connections", || {
        states(&mut admin, database)
            .iter()
            .all(|state| state == "idle")
    });
}

/// The next client gets the one server connection, clean.
fn assert_next_client_works(proxy: &Sluice, database: &Database, rows: &str) {
    let mut next = proxy.connect(database);
    assert_eq!(next.value("select count(*) from t"), rows);
    let reply = next.ask(&[run_unnamed("select 'next'", &[]), sync()].concat());
    assert_eq!(
        words(&reply),
        [
            "ParseComplete",
            "BindComplete",
            "Row(next)",
            "Complete(SELECT 1)",
            "Ready(I)"
        ]
    );
    assert!(!next.has_input());
}

#[test]
fn a_client_that_vanishes_in_the_middle_of_a_query_gets_it_cancelled() {
    if is_direct() {
        return; // PostgreSQL itself does not notice
    }
    let (database, proxy, mut wire) = narrow();
    let mut admin = database.admin();
    for request in [
        query("select pg_sleep(600)"),
        [run_unnamed("select pg_sleep(600)", &[]), sync()].concat(),
    ] {
        wire.send(&request).unwrap();
        wait::until_true("the query to run", || {
            states(&mut admin, &database) == ["active"]
        });
        wire.vanish();
        wait::until_true("the query to stop", || {
            !states(&mut admin, &database).contains(&"active".to_owned())
        });
        assert_next_client_works(&proxy, &database, "0");
        wire = proxy.connect(&database);
    }
}

#[test]
fn a_client_that_vanishes_in_a_transaction_has_it_rolled_back() {
    let (database, proxy, mut wire) = narrow();
    wire.succeed("begin; insert into t values (1)");
    wire.vanish();
    wait_all_idle(&database);
    assert_next_client_works(&proxy, &database, "0");
}

#[test]
fn a_client_that_says_goodbye_in_a_transaction_has_it_rolled_back() {
    let (database, proxy, mut wire) = narrow();
    wire.succeed("begin; insert into t values (1)");
    wire.send(&terminate()).unwrap();
    assert_eq!(wire.read_to_close(), []);
    wait_all_idle(&database);
    assert_next_client_works(&proxy, &database, "0");
}

#[test]
fn a_client_that_vanishes_in_a_failed_transaction_leaves_a_clean_connection() {
    let (database, proxy, mut wire) = narrow();
    wire.simple("begin; select 1/0");
    wire.vanish();
    assert_next_client_works(&proxy, &database, "0");
}

#[test]
fn half_a_request_poisons_no_one() {
    let (database, proxy, _) = narrow();
    let insert = query("insert into t select generate_series(1, 10)");
    let long = query(&format!(
        "insert into t values (1) -- {}",
        "x".repeat(300_000)
    ));
    let batch = [
        parse("", "insert into t values ($1::int)"),
        run_named("", &["7"]),
        sync(),
    ]
    .concat();
    let cuts = [
        insert[..1].to_vec(),
        insert[..3].to_vec(),
        insert[..5].to_vec(),
        insert[..insert.len() - 1].to_vec(),
        long[..100_000].to_vec(),
        batch[..batch.len() - 5].to_vec(),
        batch[..batch.len() - 8].to_vec(),
        batch[..batch.len() - 25].to_vec(),
        [query("begin"), long[..200_000].to_vec()].concat(),
    ];
    for cut in cuts {
        let mut wire = proxy.connect(&database);
        wire.send(&cut).unwrap();
        wire.vanish();
        assert_next_client_works(&proxy, &database, "0");
    }
}

#[test]
fn a_client_that_vanishes_without_sync_has_its_batch_rolled_back() {
    let (database, proxy, mut wire) = narrow();
    wire.send(&[run_unnamed("insert into t values (1)", &[]), flush()].concat())
        .unwrap();
    assert_eq!(
        words(&wire.read_until(b'C')),
        ["ParseComplete", "BindComplete", "Complete(INSERT 0 1)"]
    );
    wire.vanish();
    assert_next_client_works(&proxy, &database, "0");
}

#[test]
fn a_client_that_vanishes_with_an_open_portal_leaves_a_clean_connection() {
    let (database, proxy, mut wire) = narrow();
    let start = [
        parse("", "select generate_series(1, 1000)"),
        bind("p", "", &[]),
        execute("p", 3),
        flush(),
    ]
    .concat();
    wire.send(&start).unwrap();
    wire.read_until(b's');
    wire.vanish();
    assert_next_client_works(&proxy, &database, "0");
}

#[test]
fn a_client_that_vanishes_from_a_large_result_stops_it() {
    let (database, proxy, mut wire) = narrow();
    wire.send(&query(
        "select repeat('x', 1000) from generate_series(1, 10000000)",
    ))
    .unwrap();
    wire.read_until(b'D');
    wire.vanish();
    wait_all_idle(&database);
    assert_next_client_works(&proxy, &database, "0");
}

#[test]
fn a_client_that_vanishes_while_waiting_gives_its_place_to_the_next() {
    let (database, proxy, mut holder) = narrow();
    holder.succeed("begin");
    let mut waiting: Vec<Wire> = (0..10).map(|_| proxy.connect(&database)).collect();
    for wire in &mut waiting {
        wire.send(&query("insert into t values (1)")).unwrap();
    }
    let mut last = proxy.connect(&database);
    last.send(&query("select 'last'")).unwrap();
    if !is_direct() {
        waiting.into_iter().for_each(|wire| wire.vanish());
    }
    holder.succeed("commit");
    assert_eq!(column(&last.read_ready()), ["last"]);
}

#[test]
fn a_vanished_client_leaves_no_locks_listeners_or_temporary_tables() {
    let (database, proxy, mut wire) = narrow();
    wire.succeed("listen gone");
    wire.succeed("create temp table gone (id int)");
    wire.succeed("select pg_advisory_lock(99)");
    wire.succeed("declare gone cursor with hold for select 1");
    wire.vanish();
    let mut admin = database.admin();
    wait::until_true("the release of an advisory lock", || {
        admin.value("select count(*) from pg_locks where locktype = 'advisory' and objid = 99")
            == "0"
    });
    let mut next = proxy.connect(&database);
    assert_eq!(
        next.succeed("select * from pg_listening_channels()"),
        Vec::<String>::new()
    );
    assert_eq!(
        next.succeed("select name from pg_cursors"),
        Vec::<String>::new()
    );
    assert_eq!(
        words(&next.simple("select * from gone")),
        ["Error(42P01)", "Ready(I)"]
    );
    assert_next_client_works(&proxy, &database, "0");
}

#[test]
fn many_clients_that_vanish_at_random_moments_leave_a_working_pool() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 3);
    proxy
        .connect(&database)
        .succeed("create table t (id int primary key)");
    let script = [
        query("begin"),
        parse("s", "insert into t values ($1::int)"),
        run_named("s", &["1"]),
        sync(),
        query("copy t from stdin"),
        crate::support::wire::frontend::copy_data(b"5\n6\n"),
        crate::support::wire::frontend::copy_done(),
        query("select pg_sleep(0.001)"),
        query("rollback"),
    ]
    .concat();
    // Every prefix of the script is some client's last word.
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (proxy, database, script) = (&proxy, &database, &script);
            scope.spawn(move || {
                for cut in (worker..script.len()).step_by(4) {
                    let mut wire = proxy.connect(database);
                    wire.send(&script[..cut]).unwrap();
                    wire.vanish();
                }
            });
        }
    });
    wait_all_idle(&database);
    for _ in 0..5 {
        assert_next_client_works(&proxy, &database, "0");
    }
}
