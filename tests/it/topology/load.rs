//! Failover under load: how long until there are writes again, and what is lost.

use std::{
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::roles::until_state;
use crate::support::{
    cluster,
    mysql::{self, Kind},
    place,
    postgres::{APP, Database},
    sluice::{Sluice, is_direct},
    wire::{Wire, backend::error, frontend::query},
};

/// Rounds of each test; more on request.
fn rounds() -> usize {
    let wanted = std::env::var("SLUICE_FAILOVERS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// What the writers of one round have seen.
#[derive(Default)]
struct Seen {
    written: AtomicU32,
    failed: AtomicU32,
    /// The first write that began after the kill and succeeded.
    first: Mutex<Option<Instant>>,
}

impl Seen {
    /// Notes a write that began then.
    fn wrote(&self, began: Instant, killed: &Mutex<Option<Instant>>) {
        self.written.fetch_add(1, Ordering::Relaxed);
        if killed.lock().unwrap().is_some_and(|killed| began > killed) {
            self.first.lock().unwrap().get_or_insert_with(Instant::now);
        }
    }

    fn is_over(&self) -> bool {
        self.first.lock().unwrap().is_some()
    }
}

/// From the promotion, as the server itself shows it, to the first write.
fn after(promoted: Instant, first: &Seen) -> Duration {
    let first = first.first.lock().unwrap().expect("a write");
    first.saturating_duration_since(promoted)
}

fn report(what: &str, sluice: &mut [Duration], direct: &mut [Duration]) {
    for (name, times) in [("Sluice", sluice), ("a client that reconnects", direct)] {
        times.sort();
        let (p50, most) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{what}, {} failovers, promotion to first write through {name}: p50 {p50:?}, max {most:?}",
            times.len()
        );
    }
}

#[test]
fn a_failover_of_postgresql_under_load_costs_what_is_in_flight_and_no_more() {
    if is_direct() {
        return;
    }
    let (mut through, mut direct) = (Vec::new(), Vec::new());
    for _ in 0..rounds() {
        let (one, other) = postgres_round();
        through.push(one);
        direct.push(other);
    }
    report("PostgreSQL", &mut through, &mut direct);
    assert!(
        through.iter().all(|time| *time < Duration::from_secs(5)),
        "{through:?}"
    );
}

fn postgres_round() -> (Duration, Duration) {
    const WRITERS: u32 = 8;
    let mut servers = cluster::postgres(1);
    let database = servers[0].database();
    let settings = cluster::before_postgres(&servers)
        .group("default_pool_size", 6)
        .group("health_check_interval", "1s")
        .group("failover_check_interval", "50ms");
    let proxy = Sluice::start(&settings);
    let mut idle: Vec<Wire> = (0..20).map(|_| proxy.connect(&database)).collect();
    idle[0].succeed("create table t (id bigserial, writer int)");
    pgbench(&database, proxy.port, &["-i", "-q", "-s", "1"])
        .status()
        .unwrap();
    cluster::catch_up(&servers[0], &servers[1]);
    until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    let mut bench = pgbench(&database, proxy.port, &["-n", "-c", "6", "-T", "30"])
        .spawn()
        .unwrap();
    let (seen, direct) = (Seen::default(), Seen::default());
    let killed = Mutex::new(None);
    let stop = AtomicBool::new(false);
    let promoted = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mut wire = proxy.connect(&database);
            let (seen, stop, killed) = (&seen, &stop, &killed);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let reply = wire.simple(&format!("insert into t (writer) values ({writer})"));
                    match error(&reply) {
                        None => seen.wrote(began, killed),
                        Some(code) => {
                            assert_eq!(code, "08006");
                            seen.failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        let ports = [servers[0].port, servers[1].port];
        let (direct_seen, direct_stop, direct_killed) = (&direct, &stop, &killed);
        let login = database.login(0);
        scope.spawn(move || {
            let mut at = 0;
            let mut wire: Option<Wire> = None;
            while !direct_stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                if wire.is_none() {
                    at += 1;
                    let mut login = login.clone();
                    login.port = ports[at % 2];
                    wire = Wire::connect(&login).ok();
                }
                let wrote = wire.as_mut().is_some_and(|wire| {
                    if wire
                        .send(&query("insert into t (writer) values (-1)"))
                        .is_err()
                    {
                        return false;
                    }
                    let reply = wire.read_ready_or_close();
                    error(&reply).is_none() && reply.last().is_some_and(|last| last.tag == b'Z')
                });
                if wrote {
                    direct_seen.wrote(began, direct_killed);
                } else {
                    wire = None;
                    thread::sleep(Duration::from_millis(10));
                }
            }
        });
        thread::sleep(Duration::from_secs(2));
        let mut admin = servers[1].admin("postgres");
        servers[0].kill();
        *killed.lock().unwrap() = Some(Instant::now());
        thread::sleep(Duration::from_millis(500));
        let mut watcher = servers[1].admin("postgres");
        let promotion = scope.spawn(move || admin.succeed("select pg_promote()"));
        while watcher.value("select pg_is_in_recovery()") == "t" {
            thread::sleep(Duration::from_millis(2));
        }
        let promoted = Instant::now();
        promotion.join().unwrap();
        let began = Instant::now();
        while !(seen.is_over() && direct.is_over()) && began.elapsed() < Duration::from_secs(30) {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        promoted
    });
    let failed = seen.failed.load(Ordering::Relaxed);
    println!(
        "{} writes, {failed} failed in flight",
        seen.written.load(Ordering::Relaxed)
    );
    assert!(failed <= WRITERS, "each can have one request in flight");
    for wire in &mut idle {
        assert_eq!(
            wire.value("select inet_server_port()"),
            servers[1].port.to_string()
        );
    }
    let _ = bench.kill();
    let _ = bench.wait();
    (after(promoted, &seen), after(promoted, &direct))
}

fn pgbench(database: &Database, port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(place::postgres_program("pgbench"));
    command
        .args(["-h", "127.0.0.1", "-U", APP.0, "-p", &port.to_string()])
        .args(arguments)
        .arg(&database.name)
        .env("PGPASSWORD", APP.1)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

#[test]
fn a_failover_of_mysql_and_mariadb_under_load_costs_what_is_in_flight_and_no_more() {
    if is_direct() {
        return;
    }
    for kind in [Kind::MySql, Kind::MariaDb] {
        let (mut through, mut direct) = (Vec::new(), Vec::new());
        for _ in 0..rounds() {
            let (one, other) = mysql_round(kind);
            through.push(one);
            direct.push(other);
        }
        report(&format!("{kind:?}"), &mut through, &mut direct);
        assert!(
            through.iter().all(|time| *time < Duration::from_secs(5)),
            "{through:?}"
        );
    }
}

fn mysql_round(kind: Kind) -> (Duration, Duration) {
    const WRITERS: u32 = 8;
    let mut servers = cluster::mysql(kind, 1);
    let database = servers[0].database();
    let settings = cluster::before_mysql(&servers)
        .group("default_pool_size", 6)
        .group("health_check_interval", "1s");
    let proxy = Sluice::start(&settings);
    let mut idle: Vec<_> = (0..10).map(|_| proxy.connect(&database)).collect();
    idle[0].succeed("create table t (id bigint primary key auto_increment, writer int)");
    until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    let (seen, direct) = (Seen::default(), Seen::default());
    let killed = Mutex::new(None);
    let stop = AtomicBool::new(false);
    let promoted = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mut wire = proxy.connect(&database);
            let (seen, stop, killed) = (&seen, &stop, &killed);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let reply = wire.query(&format!("insert into t (writer) values ({writer})"));
                    let reply = reply.unwrap();
                    match reply[0].failure() {
                        None => seen.wrote(began, killed),
                        Some(failure) => {
                            assert_eq!(failure.code, 1053, "{failure:?}");
                            seen.failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        let ports = [servers[0].port, servers[1].port];
        let (direct_seen, direct_stop, direct_killed) = (&direct, &stop, &killed);
        let database = &database;
        scope.spawn(move || {
            let mut at = 0;
            let mut wire: Option<mysql::wire::Wire> = None;
            while !direct_stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                if wire.is_none() {
                    at += 1;
                    wire = mysql::wire::Wire::connect(&database.login(ports[at % 2])).ok();
                }
                let wrote = wire.as_mut().is_some_and(|wire| {
                    let reply = wire.query("insert into t (writer) values (-1)");
                    reply.is_ok_and(|reply| reply[0].failure().is_none())
                });
                if wrote {
                    direct_seen.wrote(began, direct_killed);
                } else {
                    wire = None;
                    thread::sleep(Duration::from_millis(10));
                }
            }
        });
        thread::sleep(Duration::from_secs(2));
        servers[0].kill();
        *killed.lock().unwrap() = Some(Instant::now());
        thread::sleep(Duration::from_millis(500));
        servers[1].promote();
        let promoted = Instant::now();
        while !(seen.is_over() && direct.is_over()) && promoted.elapsed() < Duration::from_secs(30)
        {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        promoted
    });
    let failed = seen.failed.load(Ordering::Relaxed);
    println!(
        "{kind:?}: {} writes, {failed} failed in flight",
        seen.written.load(Ordering::Relaxed)
    );
    assert!(failed <= WRITERS, "each can have one request in flight");
    for wire in &mut idle {
        assert_eq!(wire.value("select @@port"), servers[1].port.to_string());
    }
    (after(promoted, &seen), after(promoted, &direct))
}
