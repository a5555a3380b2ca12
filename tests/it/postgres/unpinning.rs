//! A client keeps its server connection as long as that holds something of it, and no longer.

use crate::support::{
    postgres::Database,
    sluice::{Settings, Sluice, is_direct},
    wait,
    wire::{
        Wire,
        backend::{error, words},
        frontend::{run_unnamed, sync},
    },
};

/// The reasons for which sessions are pinned now.
pub(super) fn pinned(proxy: &Sluice) -> Vec<String> {
    let status = proxy.status();
    let sessions = status["clients"]["pinned"].as_array().unwrap().clone();
    let reasons = sessions
        .iter()
        .flat_map(|session| session["reasons"].as_array().unwrap().clone());
    reasons
        .map(|reason| reason.as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
pub(super) fn await_pins(proxy: &Sluice, expected: &[&str], after: &str) {
    wait::until_true(&format!("pins {expected:?} after {after}"), || {
        pinned(proxy) == expected
    });
}

/// Says each of `makes`, which pins for `reason`; then each of `ends`, after which nothing does.
fn assert_ends(proxy: &Sluice, database: &Database, reason: &str, makes: &[&str], ends: &[&str]) {
    let mut one = proxy.connect(database);
    for sql in makes {
        one.succeed(sql);
    }
    await_pins(proxy, &[reason], &format!("{makes:?}"));
    for sql in ends {
        one.succeed(sql);
    }
    await_pins(proxy, &[], &format!("{makes:?}, {ends:?}"));
    // The only server connection is free for somebody else, and clean.
    let mut other = proxy.connect(database);
    assert_eq!(other.value("select 'free'"), "free");
    assert_eq!(one.value("select 'still there'"), "still there");
}

fn single(database: &Database) -> Sluice {
    Sluice::with_pool(database, 1)
}

#[test]
fn temporary_objects_pin_until_the_last_is_dropped() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = single(&database);
    let ends = |makes: &[&str], ends: &[&str]| {
        assert_ends(&proxy, &database, "temp_object", makes, ends);
    };
    ends(
        &["create temp table a (n serial primary key, t text)"],
        &["drop table a"],
    );
    ends(
        &[
            "create temp table a ()",
            "create temp table b ()",
            "drop table a",
        ],
        &["drop table b"],
    );
    ends(&["select 1 as x into temp a"], &["drop table if exists a"]);
    ends(&["create temp view a as select 1"], &["drop view a"]);
    ends(&["create temp sequence a"], &["drop sequence a"]);
    ends(
        &["create type pg_temp.a as enum ('x')"],
        &["drop type pg_temp.a"],
    );
    ends(
        &["create function pg_temp.a() returns int language sql as 'select 1'"],
        &["drop function pg_temp.a()"],
    );
    ends(&["create temp table a ()"], &["discard temp"]);
    ends(&["create temp table a ()"], &["discard all"]);
    ends(
        &["create temp table a ()"],
        &["begin; drop table a", "commit"],
    );
    // A rollback brings it back.
    ends(
        &["create temp table a ()", "begin; drop table a", "rollback"],
        &["drop table a"],
    );
}

#[test]
fn what_its_own_transaction_ends_does_not_pin_at_all() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = single(&database);
    let mut one = proxy.connect(&database);
    for sql in [
        "begin; create temp table a () on commit drop",
        "begin; create temp table a (); savepoint s; rollback to s",
        "begin; create temp table a (); drop table a",
        "begin; select pg_advisory_lock(1); select pg_advisory_unlock(1)",
        "begin; declare c cursor with hold for select 1; close c",
    ] {
        one.succeed(sql);
        let end = if sql.contains("on commit") || sql.contains("lock") || sql.contains("close") {
            "commit"
        } else {
            "rollback"
        };
        one.succeed(end);
        let mut other = proxy.connect(&database);
        assert_eq!(other.value("select 'free'"), "free", "{sql}");
        assert_eq!(pinned(&proxy), Vec::<String>::new(), "{sql}");
    }
    // What failed has made nothing.
    assert_eq!(
        words(&one.simple("create temp table a (n nonsense)")),
        ["Error(42704)", "Ready(I)"]
    );
    assert_eq!(proxy.connect(&database).value("select 'free'"), "free");
}

#[test]
fn held_cursors_pin_until_they_are_closed() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = single(&database);
    let declare = "declare c cursor with hold for select generate_series(1, 5)";
    let ends = |makes: &[&str], ends: &[&str]| {
        assert_ends(&proxy, &database, "held_cursor", makes, ends);
    };
    ends(&[declare], &["close c"]);
    ends(&[declare, "fetch 2 from c"], &["close all"]);
    ends(&["begin", declare, "commit"], &["begin; close c", "commit"]);
}

#[test]
fn advisory_locks_pin_until_the_last_is_given_up() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = single(&database);
    let ends = |makes: &[&str], ends: &[&str]| {
        assert_ends(&proxy, &database, "advisory_lock", makes, ends);
    };
    ends(
        &["select pg_advisory_lock(7)"],
        &["select pg_advisory_unlock(7)"],
    );
    // Taken twice, given up twice.
    ends(
        &[
            "select pg_advisory_lock(7)",
            "select pg_advisory_lock(7)",
            "select pg_advisory_unlock(7)",
        ],
        &["select pg_advisory_unlock(7)"],
    );
    // A lock taken in a transaction that is rolled back is held all the same.
    ends(
        &["begin; select pg_advisory_lock_shared(1, 2)", "rollback"],
        &["select pg_advisory_unlock_shared(1, 2)"],
    );
    ends(
        &["select pg_advisory_lock(n) from generate_series(1, 9) as n"],
        &["select pg_advisory_unlock_all()"],
    );
    let mut one = proxy.connect(&database);
    let lock = run_unnamed("select pg_advisory_lock($1::text::bigint)", &["5"]);
    one.ask(&[lock, sync()].concat());
    await_pins(
        &proxy,
        &["advisory_lock"],
        "a lock by the extended protocol",
    );
    let unlock = run_unnamed("select pg_advisory_unlock($1::text::bigint)", &["5"]);
    one.ask(&[unlock, sync()].concat());
    await_pins(&proxy, &[], "its end by the extended protocol");
    // One that was not to be had.
    let mut holder = database.admin();
    holder.succeed("select pg_advisory_lock(42)");
    assert_eq!(one.value("select pg_try_advisory_lock(42)"), "f");
    assert_eq!(proxy.connect(&database).value("select 'free'"), "free");
}

#[test]
fn unpinning_is_counted_and_logged() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = single(&database);
    let mut one = proxy.connect(&database);
    one.succeed("create temp table a (t text default 'sesame')");
    await_pins(&proxy, &["temp_object"], "a temporary table");
    let status = proxy.status();
    let session = &status["clients"]["pinned"][0];
    let statement = session["statement"].as_str().unwrap();
    assert!(statement.starts_with("create temp table a"), "{statement}");
    assert!(!statement.contains("sesame"));
    assert!(session["pinned_seconds"].as_u64().unwrap() < 60);
    one.succeed("drop table a");
    await_pins(&proxy, &[], "its end");
    assert_eq!(proxy.metric("sluice_pins_total", "temp_object"), 1.0);
    assert_eq!(proxy.metric("sluice_unpins_total", "temp_object"), 1.0);
    assert_eq!(proxy.metric("sluice_sessions_pinned", "temp_object"), 0.0);
    let log = proxy.log();
    assert!(log.contains("session pinned") && log.contains("session unpinned"));
}

#[test]
fn requests_that_follow_at_once_are_answered_in_order() {
    let database = Database::new();
    let proxy = single(&database);
    let mut one = proxy.connect(&database);
    // Sent together: the question about the first must not come between the others' answers.
    for turn in 0..20 {
        let sent: Vec<u8> = [
            "create temp table a ()".to_owned(),
            "drop table a".to_owned(),
            format!("select {turn}"),
        ]
        .iter()
        .flat_map(|sql| crate::support::wire::frontend::query(sql))
        .collect();
        one.send(&sent).unwrap();
        assert_eq!(
            words(&one.read_ready()),
            ["Complete(CREATE TABLE)", "Ready(I)"]
        );
        assert_eq!(
            words(&one.read_ready()),
            ["Complete(DROP TABLE)", "Ready(I)"]
        );
        let reply = one.read_ready();
        assert_eq!(
            crate::support::wire::backend::column(&reply),
            [turn.to_string()]
        );
    }
}

#[test]
fn filtered_reasons_do_not_pin() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let settings = Settings::for_server(database.server_port)
        .group("default_pool_size", 1)
        .group(
            "session_pinning_filters",
            vec!["temp_object", "advisory_lock"],
        )
        .user("other", "session_pinning_filters", Vec::<String>::new());
    let proxy = Sluice::start(&settings);
    let mut one = proxy.connect(&database);
    one.succeed("create temp table a ()");
    one.succeed("select pg_advisory_lock(3)");
    // Nobody else meets what it has left behind, nor does it itself.
    let mut next = proxy.connect(&database);
    assert_eq!(
        next.value("select count(*) from pg_class where relname = 'a'"),
        "0"
    );
    assert_eq!(
        next.value(
            "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
        ),
        "0"
    );
    assert_eq!(error(&one.simple("table a")).as_deref(), Some("42P01"));
    assert_eq!(pinned(&proxy), Vec::<String>::new());
    // Other reasons pin as ever, and for another user these do.
    next.succeed("declare c cursor with hold for select 1");
    await_pins(&proxy, &["held_cursor"], "a held cursor");
    next.succeed("close c");
    let login = crate::support::wire::Login::new(
        proxy.port,
        &database.name,
        crate::support::postgres::OTHER,
    );
    let mut strict = Wire::connect(&login).unwrap();
    strict.succeed("create temp table b ()");
    await_pins(
        &proxy,
        &["temp_object"],
        "a temporary table of the other user",
    );
}
