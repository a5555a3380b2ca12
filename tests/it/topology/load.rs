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
    wire::{Login, Wire, backend::error, frontend::query},
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

/// One failover.
#[derive(Default)]
struct Round {
    sluice: Seen,
    direct: Seen,
    killed: Mutex<Option<Instant>>,
    stop: AtomicBool,
}

impl Round {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.sluice.is_over() && self.direct.is_over()
    }
}

fn write_postgres(mut wire: Wire, writer: u32, round: &Round) {
    while round.goes_on() {
        let began = Instant::now();
        let reply = wire.simple(&format!("insert into t (writer) values ({writer})"));
        match error(&reply) {
            None => round.sluice.wrote(began, &round.killed),
            Some(code) => {
                assert_eq!(code, "08006");
                round.sluice.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A client without Sluice that knows both servers.
fn reconnect_postgres(login: &Login, ports: [u16; 2], round: &Round) {
    let mut at = 0;
    let mut wire: Option<Wire> = None;
    while round.goes_on() {
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
            round.direct.wrote(began, &round.killed);
        } else {
            wire = None;
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn write_mysql(mut wire: mysql::wire::Wire, writer: u32, round: &Round) {
    while round.goes_on() {
        let began = Instant::now();
        let reply = wire.query(&format!("insert into t (writer) values ({writer})"));
        let reply = reply.unwrap();
        match reply[0].failure() {
            None => round.sluice.wrote(began, &round.killed),
            Some(failure) => {
                assert_eq!(failure.code, 1053, "{failure:?}");
                round.sluice.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A client without Sluice that knows both servers.
fn reconnect_mysql(database: &mysql::Database, ports: [u16; 2], round: &Round) {
    let mut at = 0;
    let mut wire: Option<mysql::wire::Wire> = None;
    while round.goes_on() {
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
            round.direct.wrote(began, &round.killed);
        } else {
            wire = None;
            thread::sleep(Duration::from_millis(10));
        }
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
    let round = Round::default();
    let promoted = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let wire = proxy.connect(&database);
            let round = &round;
            scope.spawn(move || write_postgres(wire, writer, round));
        }
        let ports = [servers[0].port, servers[1].port];
        let (login, round_of_direct) = (database.login(0), &round);
        scope.spawn(move || reconnect_postgres(&login, ports, round_of_direct));
        thread::sleep(Duration::from_secs(2));
        let mut admin = servers[1].admin("postgres");
        servers[0].kill();
        *round.killed.lock().unwrap() = Some(Instant::now());
        thread::sleep(Duration::from_millis(500));
        let mut watcher = servers[1].admin("postgres");
        let promotion = scope.spawn(move || admin.succeed("select pg_promote()"));
        while watcher.value("select pg_is_in_recovery()") == "t" {
            thread::sleep(Duration::from_millis(2));
        }
        let promoted = Instant::now();
        promotion.join().unwrap();
        let began = Instant::now();
        while !round.is_over() && began.elapsed() < Duration::from_secs(30) {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(300));
        round.stop.store(true, Ordering::Relaxed);
        promoted
    });
    let failed = round.sluice.failed.load(Ordering::Relaxed);
    println!(
        "{} writes, {failed} failed in flight",
        round.sluice.written.load(Ordering::Relaxed)
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
    (
        after(promoted, &round.sluice),
        after(promoted, &round.direct),
    )
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
    let round = Round::default();
    let promoted = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let wire = proxy.connect(&database);
            let round = &round;
            scope.spawn(move || write_mysql(wire, writer, round));
        }
        let ports = [servers[0].port, servers[1].port];
        let (database, round_of_direct) = (&database, &round);
        scope.spawn(move || reconnect_mysql(database, ports, round_of_direct));
        thread::sleep(Duration::from_secs(2));
        servers[0].kill();
        *round.killed.lock().unwrap() = Some(Instant::now());
        thread::sleep(Duration::from_millis(500));
        servers[1].promote();
        let promoted = Instant::now();
        while !round.is_over() && promoted.elapsed() < Duration::from_secs(30) {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(300));
        round.stop.store(true, Ordering::Relaxed);
        promoted
    });
    let failed = round.sluice.failed.load(Ordering::Relaxed);
    println!(
        "{kind:?}: {} writes, {failed} failed in flight",
        round.sluice.written.load(Ordering::Relaxed)
    );
    assert!(failed <= WRITERS, "each can have one request in flight");
    for wire in &mut idle {
        assert_eq!(wire.value("select @@port"), servers[1].port.to_string());
    }
    (
        after(promoted, &round.sluice),
        after(promoted, &round.direct),
    )
}
