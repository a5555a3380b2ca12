//! A primary that is lost, and the one that takes its place.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::roles::{group, until_state};
use crate::support::{
    cluster,
    gate::Gate,
    mysql::{Kind, MySql},
    postgres::{ADMIN, OTHER, Postgres},
    sluice::{Settings, Sluice, is_direct},
    wait,
    wire::{
        Wire,
        backend::{column, error, words},
        frontend::{parse, query, run_named, sync},
    },
};

#[test]
fn idle_and_waiting_clients_meet_the_new_primary() {
    if is_direct() {
        return;
    }
    let mut servers = cluster::postgres(2);
    let database = servers[0].database();
    let proxy = Sluice::start(&cluster::before_postgres(&servers));
    let mut idle: Vec<Wire> = (0..6).map(|_| proxy.connect(&database)).collect();
    for (number, wire) in idle.iter_mut().enumerate() {
        wire.succeed(&format!("set application_name = 'client {number}'"));
    }
    idle[0].succeed("create table t (id int)");
    cluster::catch_up(&servers[0], &servers[1]);
    until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    servers[0].kill();
    let promoted = AtomicBool::new(false);
    thread::scope(|scope| {
        // These send while there is no primary, and wait.
        let waiting: Vec<_> = idle
            .drain(..3)
            .enumerate()
            .map(|(number, mut wire)| {
                let promoted = &promoted;
                scope.spawn(move || {
                    wire.succeed(&format!("insert into t values ({number})"));
                    assert!(promoted.load(Ordering::SeqCst), "nobody could write before");
                    wire
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(700));
        promoted.store(true, Ordering::SeqCst);
        servers[1].admin("postgres").succeed("select pg_promote()");
        let began = Instant::now();
        let waited: Vec<Wire> = waiting.into_iter().map(|one| one.join().unwrap()).collect();
        println!("writes {:?} after pg_promote returned", began.elapsed());
        idle.extend(waited);
    });
    for (number, wire) in [3, 4, 5, 0, 1, 2].into_iter().zip(&mut idle) {
        assert_eq!(
            wire.value("select inet_server_port()"),
            servers[1].port.to_string()
        );
        assert_eq!(
            wire.value("show application_name"),
            format!("client {number}")
        );
    }
    assert_eq!(idle[0].value("select count(*) from t"), "3");
    until_state(&proxy, servers[0].port, "primary", "UNAVAILABLE");
    assert_eq!(proxy.metric("sluice_primary_changes_total", ""), 1.0);
    assert_eq!(proxy.metric("sluice_failover_seconds_count", ""), 1.0);
    let events = group(&proxy)["events"].to_string();
    assert!(events.contains("role: replica -> primary"), "{events}");

    // The old primary comes back with old data: nobody is sent there, and nobody is disturbed.
    servers[0].start();
    wait::until_true("the old primary to be seen", || {
        let target = super::roles::target(&proxy, servers[0].port);
        target["reason"] == "PROMOTED"
    });
    for wire in &mut idle {
        assert_eq!(
            wire.value("select inet_server_port()"),
            servers[1].port.to_string()
        );
    }
}

#[test]
fn a_primary_that_is_demoted_but_stays_is_left() {
    if is_direct() {
        return;
    }
    for kind in [Kind::MySql, Kind::MariaDb] {
        let servers = cluster::mysql(kind, 1);
        let database = servers[0].database();
        let proxy = Sluice::start(&cluster::before_mysql(&servers));
        let mut wire = proxy.connect(&database);
        wire.succeed("create table t (id int primary key)");
        wire.succeed("insert into t values (1)");
        until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
        demote(&servers[0]);
        until_state(&proxy, servers[0].port, "replica", "UNAVAILABLE");
        let writes = thread::spawn(move || {
            wire.succeed("insert into t values (2)");
            wire
        });
        thread::sleep(Duration::from_millis(200));
        wait::until_true("the replica to catch up", || {
            servers[1]
                .admin()
                .value(&format!("select count(*) from {}.t", database.name))
                == "1"
        });
        servers[1].promote();
        let mut wire = writes.join().unwrap();
        assert_eq!(wire.value("select @@port"), servers[1].port.to_string());
        until_state(&proxy, servers[1].port, "primary", "AVAILABLE");
    }
}

fn demote(server: &MySql) {
    server.admin().succeed(match server.kind {
        Kind::MySql => "set global super_read_only = 1",
        Kind::MariaDb => "set global read_only = 1",
    });
}

/// Longer than a test may take: what is found out is found out otherwise.
const NEVER: &str = "10m";

#[test]
fn a_demoted_primary_is_found_out_by_its_refusal_to_write() {
    if is_direct() {
        return;
    }
    for kind in [Kind::MySql, Kind::MariaDb] {
        let servers = cluster::mysql(kind, 1);
        let database = servers[0].database();
        let settings = cluster::before_mysql(&servers).group("health_check_interval", NEVER);
        let proxy = Sluice::start(&settings);
        let mut wire = proxy.connect(&database);
        wire.succeed("create table t (id int primary key)");
        wait::until_true("the replica to catch up", || {
            let tables = "select count(*) from information_schema.tables where table_name = 't'";
            servers[1].admin().value(tables) == "1"
        });
        demote(&servers[0]);
        servers[1].promote();
        // One that writes meets the refusal; what comes next goes to who has taken over.
        let began = Instant::now();
        assert_eq!(wire.fail("insert into t values (1)").code, 1290);
        wait::until_true("a write", || {
            wire.query("insert into t values (2)").unwrap()[0]
                .failure()
                .is_none()
        });
        println!("{kind:?}: writes {:?} after the refusal", began.elapsed());
        assert_eq!(wire.value("select @@port"), servers[1].port.to_string());
    }
}

#[test]
fn a_server_of_postgresql_that_refuses_to_write_is_looked_at_at_once() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(1);
    let database = servers[0].database();
    let settings = cluster::before_postgres(&servers).group("health_check_interval", NEVER);
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    wire.succeed("create table t (id int)");
    cluster::catch_up(&servers[0], &servers[1]);
    let mut old = servers[0].admin("postgres");
    old.succeed("alter system set default_transaction_read_only = on");
    old.succeed("select pg_reload_conf()");
    servers[1].admin("postgres").succeed("select pg_promote()");
    let began = Instant::now();
    // The setting takes a moment.
    wait::until_true("a refusal", || {
        error(&wire.simple("insert into t values (1)")).as_deref() == Some("25006")
    });
    wait::until_true("a write", || {
        error(&wire.simple("insert into t values (2)")).is_none()
    });
    println!("writes {:?} after the refusal", began.elapsed());
    assert_eq!(
        wire.value("select inet_server_port()"),
        servers[1].port.to_string()
    );
}

#[test]
fn a_statement_in_flight_fails_and_its_session_lives_on() {
    if is_direct() {
        return;
    }
    let mut servers = cluster::postgres(1);
    let database = servers[0].database();
    let proxy = Sluice::start(&cluster::before_postgres(&servers));
    let mut simple = proxy.connect(&database);
    let mut extended = proxy.connect(&database);
    let mut in_transaction = proxy.connect(&database);
    simple.succeed("set search_path = public, pg_catalog");
    extended.ask(&[parse("sleep", "select pg_sleep(60)"), sync()].concat());
    cluster::catch_up(&servers[0], &servers[1]);
    simple.send(&query("select pg_sleep(60)")).unwrap();
    extended
        .send(&[run_named("sleep", &[]), sync()].concat())
        .unwrap();
    in_transaction.succeed("begin");
    in_transaction.send(&query("select pg_sleep(60)")).unwrap();
    let mut admin = servers[0].admin("postgres");
    let running = "select count(*) from pg_stat_activity where state = 'active' \
                   and query like 'select pg_sleep%'";
    wait::until_true("three to run", || admin.value(running) == "3");
    servers[0].kill();
    for wire in [&mut simple, &mut extended] {
        let replies = wire.read_ready();
        assert_eq!(error(&replies).as_deref(), Some("08006"));
        let last = words(&replies).last().cloned();
        assert_eq!(last.as_deref(), Some("Ready(I)"));
    }
    // A transaction that is lost has failed.
    let replies = in_transaction.read_ready();
    assert_eq!(error(&replies).as_deref(), Some("08006"));
    assert_eq!(words(&replies).last().map(String::as_str), Some("Ready(E)"));
    servers[1].admin("postgres").succeed("select pg_promote()");
    let port = servers[1].port.to_string();
    assert_eq!(simple.value("select inet_server_port()"), port);
    assert_eq!(simple.value("show search_path"), "public, pg_catalog");
    let answer = extended.ask(&query("select inet_server_port()"));
    assert_eq!(column(&answer), [port]);
}

#[test]
fn a_read_that_is_lost_is_made_again_elsewhere() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(2);
    let database = servers[0].named_database("test_again", OTHER);
    for replica in &servers[1..] {
        cluster::catch_up(&servers[0], replica);
    }
    // Cut without a word: a server that crashes may say something first.
    let gates: Vec<Gate> = servers[1..]
        .iter()
        .map(|server| Gate::before(server.port))
        .collect();
    let settings = Settings::for_server(servers[0].port)
        .group("monitor_user", ADMIN.0)
        .group("health_check_interval", "200ms")
        .user(OTHER.0, "target_role", "read_only")
        .server(gates[0].port, [])
        .server(gates[1].port, []);
    let proxy = Sluice::start(&settings);
    for gate in &gates {
        until_state(&proxy, gate.port, "replica", "AVAILABLE");
    }
    let mut reader = proxy.connect(&database);
    let mut prepared = proxy.connect(&database);
    let text = "select inet_server_port(), pg_sleep(3)";
    prepared.ask(&[parse("slow", text), sync()].concat());
    reader.send(&query(text)).unwrap();
    prepared
        .send(&[run_named("slow", &[]), sync()].concat())
        .unwrap();
    let busy = |server: &Postgres| {
        let question = "select count(*) from pg_stat_activity where state = 'active' \
                        and query like 'select inet_server_port(), pg_sleep%'";
        server.admin("postgres").value(question)
    };
    let (mut lost, mut others) = (0, 0);
    wait::until_true("both to run", || {
        let counts: Vec<u32> = servers[1..]
            .iter()
            .map(|s| busy(s).parse().unwrap())
            .collect();
        (lost, others) = (counts[0], counts[1]);
        lost + others == 2
    });
    let dying = if lost > 0 { 1 } else { 2 };
    gates[dying - 1].close();
    let survivor = servers[3 - dying].port.to_string();
    assert_eq!(column(&reader.read_ready()), [&*survivor]);
    assert_eq!(column(&prepared.read_ready()), [survivor]);
    assert!(proxy.log().contains("again=true"));
}

#[test]
fn a_command_in_flight_fails_on_mysql_and_its_session_lives_on() {
    if is_direct() {
        return;
    }
    for kind in [Kind::MySql, Kind::MariaDb] {
        let mut servers = cluster::mysql(kind, 1);
        let database = servers[0].database();
        let proxy = Sluice::start(&cluster::before_mysql(&servers));
        let mut wire = proxy.connect(&database);
        wire.succeed("create table t (id int primary key)");
        wire.succeed("set @kept = 'kept'");
        wait::until_true("the replica to catch up", || {
            let question = format!(
                "select count(*) from information_schema.tables where table_schema = '{}'",
                database.name
            );
            servers[1].admin().value(&question) == "1"
        });
        let waiting = thread::spawn(move || {
            let failed = wire.query("select sleep(60)").unwrap();
            (wire, failed)
        });
        let mut admin = servers[0].admin();
        let running =
            "select count(*) from information_schema.processlist where info = 'select sleep(60)'";
        wait::until_true("it to run", || admin.value(running) == "1");
        servers[0].kill();
        let (mut wire, failed) = waiting.join().unwrap();
        assert_eq!(failed[0].failure().map(|failure| failure.code), Some(1053));
        servers[1].promote();
        wire.succeed("insert into t values (1)");
        assert_eq!(
            wire.value("select concat(@@port, @kept)"),
            format!("{}kept", servers[1].port)
        );
    }
}
