//! A primary that is lost, and the one that takes its place.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::roles::{group, until_state};
use crate::support::{
    cluster,
    mysql::{Kind, MySql},
    sluice::{Sluice, is_direct},
    wait,
    wire::Wire,
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
    assert_eq!(proxy.metric("sluice_failover_seconds_count", ""), 2.0);
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
