//! Networks that are cut, servers that are slow, that come and go, and that come back with old data.

use std::{thread, time::Duration};

use super::roles::{group, target, until_state};
use crate::support::{
    cluster,
    gate::Gate,
    mysql::{self, Kind, MySql},
    postgres::{ADMIN, OTHER},
    sluice::{Settings, Sluice, is_direct},
    wait,
};

#[test]
fn a_primary_that_is_cut_off_is_replaced_and_not_believed_when_it_is_back() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(1);
    let database = servers[0].database();
    let gate = Gate::before(servers[0].port);
    let settings = Settings::for_server(gate.port)
        .group("monitor_user", ADMIN.0)
        .group("health_check_interval", "200ms")
        .group("health_check_timeout", "500ms")
        .server(servers[1].port, []);
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    let mut busy = proxy.connect(&database);
    wire.succeed("create table t (id int)");
    cluster::catch_up(&servers[0], &servers[1]);
    until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    busy.send(&crate::support::wire::frontend::query(
        "select pg_sleep(600)",
    ))
    .unwrap();
    wait::until_true("the query to run", || {
        let running = "select count(*) from pg_stat_activity where state = 'active' \
                       and query like 'select pg_sleep%'";
        servers[0].admin("postgres").value(running) == "1"
    });
    gate.silence();
    until_state(&proxy, gate.port, "primary", "UNAVAILABLE");
    assert!(group(&proxy)["primary"].is_null());
    servers[1].admin("postgres").succeed("select pg_promote()");
    wire.succeed("insert into t values (1)");
    assert_eq!(
        wire.value("select inet_server_port()"),
        servers[1].port.to_string()
    );
    // Who waited for an answer from the other side of the cut is told.
    let replies = busy.read_ready();
    assert!(crate::support::wire::backend::error(&replies).is_some());
    // The other side still takes writes, of whoever reaches it.
    servers[0]
        .admin(&database.name)
        .succeed("insert into t values (2)");
    gate.open();
    wait::until_true("the old primary to be seen", || {
        target(&proxy, gate.port)["reason"] == "PROMOTED"
    });
    for _ in 0..5 {
        assert_eq!(
            wire.value("select inet_server_port()"),
            servers[1].port.to_string()
        );
    }
    assert_eq!(wire.value("select sum(id) from t"), "1");
}

#[test]
fn a_replica_that_is_slow_leaves_and_comes_back() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(1);
    let database = servers[0].named_database("test_slow", OTHER);
    let settings = cluster::before_postgres(&servers)
        .group("max_replica_lag", "1s")
        .group("reads_without_replica", "primary");
    let proxy = Sluice::start(&settings);
    cluster::catch_up(&servers[0], &servers[1]);
    until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    let mut reader = proxy.connect(&database);
    assert_eq!(reader.value("select pg_is_in_recovery()"), "t");
    servers[1]
        .admin("postgres")
        .succeed("select pg_wal_replay_pause()");
    let mut admin = servers[0].admin(&database.name);
    admin.succeed("create table t (id int)");
    wait::until_true("the replica to be left out", || {
        admin.succeed("insert into t values (1)");
        thread::sleep(Duration::from_millis(50));
        let shown = target(&proxy, servers[1].port);
        shown["reason"] == "INVALID_REPLICATION_STATE"
    });
    assert!(target(&proxy, servers[1].port)["lag_ms"].as_u64().unwrap() > 1000);
    assert_eq!(reader.value("select pg_is_in_recovery()"), "f");
    servers[1]
        .admin("postgres")
        .succeed("select pg_wal_replay_resume()");
    until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    wait::until_true("the reader to be back", || {
        reader.value("select pg_is_in_recovery()") == "t"
    });
}

#[test]
fn a_replica_that_is_cut_off_from_its_primary_is_found_out() {
    if is_direct() {
        return;
    }
    for kind in [Kind::MySql, Kind::MariaDb] {
        let servers = cluster::mysql(kind, 1);
        let database = servers[0].database();
        let settings = cluster::before_mysql(&servers).group("max_replica_lag", "1s");
        let proxy = Sluice::start(&settings);
        let mut wire = proxy.connect(&database);
        wire.succeed("create table t (id int primary key auto_increment)");
        until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
        // It receives nothing any more, and applies what it has: by itself it says no lag.
        let (stop, start) = match kind {
            Kind::MySql => ("stop replica io_thread", "start replica"),
            Kind::MariaDb => ("stop slave io_thread", "start slave"),
        };
        servers[1].admin().succeed(stop);
        wait::until_true("the replica to be left out", || {
            wire.succeed("insert into t values ()");
            thread::sleep(Duration::from_millis(50));
            target(&proxy, servers[1].port)["reason"] == "INVALID_REPLICATION_STATE"
        });
        servers[1].admin().succeed(start);
        until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    }
}

#[test]
fn a_replica_that_flaps_disturbs_nobody() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(2);
    let database = servers[0].named_database("test_flaps", OTHER);
    for replica in &servers[1..] {
        cluster::catch_up(&servers[0], replica);
    }
    let gate = Gate::before(servers[1].port);
    let settings = Settings::for_server(servers[0].port)
        .group("monitor_user", ADMIN.0)
        .group("health_check_interval", "100ms")
        .group("health_check_timeout", "300ms")
        .user(OTHER.0, "target_role", "read_only")
        .server(gate.port, [])
        .server(servers[2].port, []);
    let proxy = Sluice::start(&settings);
    until_state(&proxy, gate.port, "replica", "AVAILABLE");
    until_state(&proxy, servers[2].port, "replica", "AVAILABLE");
    let flapping = thread::spawn(move || {
        for _ in 0..6 {
            gate.close();
            thread::sleep(Duration::from_millis(150));
            gate.open();
            thread::sleep(Duration::from_millis(350));
        }
        gate
    });
    let mut wires: Vec<_> = (0..4).map(|_| proxy.connect(&database)).collect();
    let mut reads = 0;
    while !flapping.is_finished() {
        for wire in &mut wires {
            assert_eq!(wire.value("select pg_is_in_recovery()"), "t");
            reads += 1;
        }
    }
    println!("{reads} reads while a replica flapped");
    let gate = flapping.join().unwrap();
    until_state(&proxy, gate.port, "replica", "AVAILABLE");
}

#[test]
fn an_old_primary_of_mysql_that_is_back_with_old_data_is_not_used() {
    if is_direct() {
        return;
    }
    for kind in [Kind::MySql, Kind::MariaDb] {
        let mut servers: Vec<MySql> = cluster::mysql(kind, 1);
        let database = servers[0].database();
        let proxy = Sluice::start(&cluster::before_mysql(&servers));
        let mut wire = proxy.connect(&database);
        wire.succeed("create table t (id int primary key)");
        until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
        wait::until_true("the replica to catch up", || {
            let question = format!(
                "select count(*) from information_schema.tables where table_schema = '{}'",
                database.name
            );
            servers[1].admin().value(&question) == "1"
        });
        // What it writes last, nobody else has.
        let stop = match kind {
            Kind::MySql => "stop replica",
            Kind::MariaDb => "stop slave",
        };
        servers[1].admin().succeed(stop);
        wire.succeed("insert into t values (1)");
        servers[0].kill();
        servers[1].promote();
        wire.succeed("insert into t values (2)");
        servers[0].start();
        wait::until_true("the old primary to be seen", || {
            target(&proxy, servers[0].port)["reason"] == "PROMOTED"
        });
        wire.succeed("insert into t values (3)");
        let mut new = mysql::wire::Wire::connect(&database.login(servers[1].port)).unwrap();
        assert_eq!(
            new.value("select group_concat(id order by id) from t"),
            "2,3"
        );
    }
}
