//! What one client sets is seen by that client for as long as it stays, and by nobody else.

use crate::support::{
    postgres::Database,
    sluice::Sluice,
    wire::{
        Wire,
        backend::{column, error, words},
        frontend::{run_unnamed, sync},
    },
};

/// Two clients and few server connections, so that they would meet each other's leftovers.
fn two(pool: u32) -> (Database, Sluice, Wire, Wire) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, pool);
    let (one, two) = (proxy.connect(&database), proxy.connect(&database));
    (database, proxy, one, two)
}

/// Says `change` as one client: `look` then shows `changed` to it, and to others what it showed before.
fn assert_private(change: &str, look: &str, changed: &str) {
    let (database, proxy, mut one, mut other) = two(2);
    let before = other.value(look);
    assert_ne!(before, changed, "{change} changes nothing");
    one.succeed(change);
    for _ in 0..3 {
        assert_eq!(one.value(look), changed, "{change} is forgotten");
        assert_eq!(other.value(look), before, "{change} leaks");
        let reply = other.ask(&[run_unnamed(look, &[]), sync()].concat());
        assert_eq!(column(&reply), [before.as_str()], "{change} leaks");
        assert_eq!(
            proxy.connect(&database).value(look),
            before,
            "{change} leaks to a new client"
        );
    }
    drop(one);
    for _ in 0..3 {
        assert_eq!(
            proxy.connect(&database).value(look),
            before,
            "{change} outlives its client"
        );
    }
}

#[test]
fn set_is_private() {
    assert_private("set work_mem = '12345kB'", "show work_mem", "12345kB");
    assert_private(
        "set session statement_timeout = '77s'",
        "show statement_timeout",
        "77s",
    );
    assert_private(
        "set search_path = pg_catalog",
        "show search_path",
        "pg_catalog",
    );
}

#[test]
fn settings_that_the_server_reports_are_private() {
    assert_private("set time zone 'Asia/Tokyo'", "show time zone", "Asia/Tokyo");
    assert_private("set datestyle = 'SQL, DMY'", "show datestyle", "SQL, DMY");
    assert_private("set application_name = 'me'", "show application_name", "me");
    assert_private(
        "set client_encoding = 'LATIN1'",
        "show client_encoding",
        "LATIN1",
    );
}

#[test]
fn set_config_is_private() {
    assert_private(
        "select set_config('search_path', '', false)",
        "show search_path",
        "",
    );
    assert_private(
        "select set_config('myapp.tenant', '42', false)",
        "select coalesce(nullif(current_setting('myapp.tenant', true), ''), 'none')",
        "42",
    );
}

#[test]
fn a_setting_made_through_the_extended_protocol_is_private() {
    let (_database, _proxy, mut one, mut other) = two(1);
    // With one connection the other client would wait for ever if the first were pinned.
    let set = "select current_setting('jit'), set_config('timezone', $1, false) as new";
    let ask = |wire: &mut Wire, value| wire.ask(&[run_unnamed(set, &[value]), sync()].concat());
    assert_eq!(error(&ask(&mut one, "Asia/Tokyo")), None);
    assert_ne!(other.value("show time zone"), "Asia/Tokyo");
    assert_eq!(one.value("show time zone"), "Asia/Tokyo");
    one.succeed("begin");
    ask(&mut one, "Europe/Rome");
    assert_eq!(one.value("show time zone"), "Europe/Rome");
    one.succeed("rollback");
    assert_eq!(
        error(&ask(&mut one, "Nowhere/Atall")).as_deref(),
        Some("22023")
    );
    assert_ne!(other.value("show time zone"), "Asia/Tokyo");
    assert_eq!(one.value("show time zone"), "Asia/Tokyo");
}

#[test]
fn a_role_is_private() {
    let database = Database::new();
    database.admin().succeed("grant other to app");
    let proxy = Sluice::with_pool(&database, 2);
    let (mut one, mut two) = (proxy.connect(&database), proxy.connect(&database));
    one.succeed("set role other");
    for _ in 0..3 {
        assert_eq!(one.value("select current_user"), "other");
        assert_eq!(two.value("select current_user"), "app");
    }
    drop(one);
    assert_eq!(proxy.connect(&database).value("select current_user"), "app");
}

#[test]
fn set_local_and_transaction_settings_end_with_the_transaction() {
    let (_database, _proxy, mut one, mut other) = two(1);
    one.succeed(
        "begin; set local work_mem = '4321kB'; set transaction isolation level serializable",
    );
    assert_eq!(one.value("show work_mem"), "4321kB");
    assert_eq!(one.value("show transaction_isolation"), "serializable");
    one.succeed("commit");
    for wire in [&mut other, &mut one] {
        assert_ne!(wire.value("show work_mem"), "4321kB");
        assert_eq!(wire.value("show transaction_isolation"), "read committed");
    }
}

#[test]
fn a_set_that_is_rolled_back_is_undone() {
    let (_database, _proxy, mut one, mut other) = two(2);
    let before = one.value("show work_mem");
    one.succeed("begin; set work_mem = '4321kB'; set time zone 'Asia/Tokyo'");
    one.succeed("rollback");
    for wire in [&mut one, &mut other] {
        assert_eq!(wire.value("show work_mem"), before);
        assert_ne!(wire.value("show time zone"), "Asia/Tokyo");
    }
}

#[test]
fn temporary_tables_stay_with_their_client() {
    let (_database, _proxy, mut one, mut other) = two(2);
    one.succeed("create temp table note (word text)");
    other.succeed("create temporary table note (word text)");
    one.succeed("insert into note values ('one')");
    other.succeed("insert into note values ('other')");
    for _ in 0..3 {
        assert_eq!(one.succeed("select word from note"), ["one"]);
        assert_eq!(other.succeed("select word from note"), ["other"]);
    }
}

#[test]
fn advisory_locks_stay_with_their_client() {
    let (database, proxy, mut one, mut other) = two(2);
    one.succeed("select pg_advisory_lock(1234)");
    for _ in 0..3 {
        assert_eq!(other.value("select pg_try_advisory_lock(1234)"), "f");
        assert_eq!(one.value("select 1"), "1");
    }
    assert_eq!(one.value("select pg_advisory_unlock(1234)"), "t");
    assert_eq!(other.value("select pg_try_advisory_lock(1234)"), "t");
    drop(other);
    drop(one);
    let mut next = proxy.connect(&database);
    crate::support::wait::until_true("the lock of a client that left", || {
        next.value("select pg_try_advisory_lock(1234)") == "t"
    });
}

#[test]
fn notifications_reach_the_client_that_listens() {
    let (_database, _proxy, mut one, mut other) = two(2);
    one.succeed("listen bell");
    other.succeed("notify bell, 'ding'");
    let heard = one.read_until(b'A');
    assert_eq!(words(&heard), ["Notification"]);
    assert!(heard[0].body.ends_with(b"bell\0ding\0"));
    for turn in 0..3 {
        assert_eq!(
            words(&other.simple(&format!("notify bell, '{turn}'"))),
            ["Complete(NOTIFY)", "Ready(I)"]
        );
        assert_eq!(words(&one.read_until(b'A')), ["Notification"]);
    }
    one.succeed("unlisten bell");
    other.succeed("notify bell, 'dong'");
    assert_eq!(one.value("select 'quiet'"), "quiet");
    assert!(!one.has_input());
}

#[test]
fn cursors_with_hold_stay_with_their_client() {
    let (_database, _proxy, mut one, mut other) = two(2);
    one.succeed("declare held cursor with hold for select * from generate_series(1, 9)");
    assert_eq!(one.succeed("fetch 2 from held"), ["1", "2"]);
    assert_eq!(
        words(&other.simple("fetch 1 from held")),
        ["Error(34000)", "Ready(I)"]
    );
    assert_eq!(one.succeed("fetch 2 from held"), ["3", "4"]);
    one.succeed("close held");
}

#[test]
fn sequence_values_are_those_of_the_client() {
    let (_database, _proxy, mut one, mut other) = two(2);
    one.succeed("create sequence numbers");
    assert_eq!(one.value("select nextval('numbers')"), "1");
    assert_eq!(other.value("select nextval('numbers')"), "2");
    assert_eq!(one.value("select currval('numbers')"), "1");
    assert_eq!(one.value("select lastval()"), "1");
    assert_eq!(other.value("select currval('numbers')"), "2");
}

#[test]
fn discard_all_resets_the_session_of_its_client() {
    let (database, _proxy, mut one, mut other) = two(2);
    let before = other.value("show work_mem");
    one.succeed("set work_mem = '4321kB'");
    one.succeed("create temp table note ()");
    assert_eq!(
        words(&one.simple("discard all")).last().unwrap(),
        "Ready(I)"
    );
    assert_eq!(one.value("show work_mem"), before);
    assert_eq!(
        words(&one.simple("table note")),
        ["Error(42P01)", "Ready(I)"]
    );
    assert_eq!(one.value("select current_database()"), database.name);
}

#[test]
fn reset_brings_back_what_the_client_asked_for_at_login() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 2);
    let login = proxy
        .login(&database)
        .parameter("timezone", "Europe/Rome")
        .parameter("application_name", "asked for");
    let mut wire = Wire::connect(&login).unwrap();
    let mut other = proxy.connect(&database);
    assert_eq!(wire.parameters["TimeZone"], "Europe/Rome");
    for _ in 0..3 {
        assert_eq!(wire.value("show time zone"), "Europe/Rome");
        assert_eq!(wire.value("show application_name"), "asked for");
        assert_ne!(other.value("show time zone"), "Europe/Rome");
    }
    wire.succeed("set time zone 'Asia/Tokyo'");
    wire.succeed("reset time zone");
    assert_eq!(wire.value("show time zone"), "Europe/Rome");
}

#[test]
fn clients_who_asked_for_different_settings_share_one_server_connection() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let zones = ["Asia/Tokyo", "Europe/Rome", "America/Lima"];
    let mut clients: Vec<Wire> = zones
        .iter()
        .map(|zone| {
            let login = proxy
                .login(&database)
                .parameter("TimeZone", zone)
                .parameter("application_name", zone);
            Wire::connect(&login).unwrap()
        })
        .collect();
    for _ in 0..4 {
        for (client, zone) in clients.iter_mut().zip(zones) {
            assert_eq!(client.value("select current_setting('TimeZone')"), zone);
            assert_eq!(
                client.value("select current_setting('application_name')"),
                zone
            );
            assert_eq!(client.parameters["TimeZone"], zone);
        }
    }
}
