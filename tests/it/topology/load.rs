//! Failover under load: how long until there are writes again, and what is lost.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::programs::{
    Bouncer, prepare_pgbench, prepare_sysbench, run_pgbench, run_sysbench, summary,
};
use super::roles::until_state;
use crate::support::{
    cluster,
    mysql::{self, Kind},
    sluice::{Sluice, is_direct},
    wire::{Login, Wire, backend::error, frontend::query},
};

/// Rounds of each test; more on request: `SLUICE_FAILOVERS=10`.
fn rounds() -> usize {
    let wanted = std::env::var("SLUICE_FAILOVERS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(2)
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
    /// By way of PgBouncer, where that is compared with.
    bouncer: Option<Seen>,
    killed: Mutex<Option<Instant>>,
    stop: AtomicBool,
}

impl Round {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        let bouncer = self.bouncer.as_ref();
        self.sluice.is_over() && self.direct.is_over() && bouncer.is_none_or(Seen::is_over)
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

/// A client without Sluice, which knows where else it may connect and connects again after each error.
fn reconnect_postgres(login: &Login, ports: &[u16], seen: &Seen, round: &Round) {
    let mut at = 0;
    let mut wire: Option<Wire> = None;
    while round.goes_on() {
        let began = Instant::now();
        if wire.is_none() {
            at += 1;
            let mut login = login.clone();
            login.port = ports[at % ports.len()];
            wire = Wire::connect(&login).ok();
        }
        let wrote = wire.as_mut().is_some_and(|wire| {
            let insert = query("insert into t (writer) values (-1)");
            if wire.send(&insert).is_err() {
                return false;
            }
            let reply = wire.read_ready_or_close();
            error(&reply).is_none() && reply.last().is_some_and(|last| last.tag == b'Z')
        });
        if wrote {
            seen.wrote(began, &round.killed);
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

/// Times of one engine's failovers.
#[derive(Default)]
struct Times {
    sluice: Vec<Duration>,
    direct: Vec<Duration>,
    bouncer: Vec<Duration>,
}

impl Times {
    fn add(&mut self, round: &Round, promoted: Instant) {
        self.sluice.push(after(promoted, &round.sluice));
        self.direct.push(after(promoted, &round.direct));
        let bouncer = round.bouncer.iter();
        self.bouncer
            .extend(bouncer.map(|seen| after(promoted, seen)));
    }

    fn report(mut self, what: &str) {
        for (name, times) in [
            ("Sluice", &mut self.sluice),
            ("a client that reconnects", &mut self.direct),
            ("PgBouncer whose host is changed at once", &mut self.bouncer),
        ] {
            if times.is_empty() {
                continue;
            }
            let (p50, most) = summary(times);
            println!(
                "{what}, {} failovers, promotion to first write through {name}: p50 {p50:?}, max {most:?}",
                times.len()
            );
        }
        let late = self
            .sluice
            .iter()
            .filter(|time| **time > Duration::from_secs(5));
        assert_eq!(late.count(), 0, "{:?}", self.sluice);
    }
}

/// What writers of one round have lost.
fn losses(what: &str, round: &Round, writers: u32) {
    let failed = round.sluice.failed.load(Ordering::Relaxed);
    let written = round.sluice.written.load(Ordering::Relaxed);
    println!("{what}: {written} writes, {failed} failed in flight");
    assert!(failed <= writers, "each can have one request in flight");
}

#[test]
fn a_failover_of_postgresql_under_load_costs_what_is_in_flight_and_no_more() {
    if is_direct() {
        return;
    }
    let mut times = Times::default();
    for _ in 0..rounds() {
        postgres_round(&mut times);
    }
    times.report("PostgreSQL");
}

fn postgres_round(times: &mut Times) {
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
    prepare_pgbench(&database, proxy.port);
    cluster::catch_up(&servers[0], &servers[1]);
    until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    let bouncer = Bouncer::before(&database, servers[0].port);
    let bench = run_pgbench(&database, proxy.port);
    let round = Round {
        bouncer: bouncer.as_ref().map(|_| Seen::default()),
        ..Round::default()
    };
    let promoted = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let wire = proxy.connect(&database);
            let round = &round;
            scope.spawn(move || write_postgres(wire, writer, round));
        }
        let (login, round) = (database.login(0), &round);
        let ports = [servers[0].port, servers[1].port];
        let direct = login.clone();
        scope.spawn(move || reconnect_postgres(&direct, &ports, &round.direct, round));
        if let (Some(bouncer), Some(seen)) = (&bouncer, &round.bouncer) {
            let ports = [bouncer.port];
            scope.spawn(move || reconnect_postgres(&login, &ports, seen, round));
        }
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
        if let Some(bouncer) = &bouncer {
            bouncer.change_host(servers[1].port);
        }
        promotion.join().unwrap();
        finish(round);
        promoted
    });
    losses("PostgreSQL", &round, WRITERS);
    for wire in &mut idle {
        assert_eq!(
            wire.value("select inet_server_port()"),
            servers[1].port.to_string()
        );
    }
    drop(bench);
    times.add(&round, promoted);
}

/// Waits until everybody has written, and ends the round.
fn finish(round: &Round) {
    let began = Instant::now();
    while !round.is_over() && began.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(300));
    round.stop.store(true, Ordering::Relaxed);
}

#[test]
fn a_failover_of_mysql_under_load_costs_what_is_in_flight_and_no_more() {
    mysql_rounds(Kind::MySql);
}

#[test]
fn a_failover_of_mariadb_under_load_costs_what_is_in_flight_and_no_more() {
    mysql_rounds(Kind::MariaDb);
}

fn mysql_rounds(kind: Kind) {
    if is_direct() {
        return;
    }
    let mut times = Times::default();
    for _ in 0..rounds() {
        mysql_round(kind, &mut times);
    }
    times.report(&format!("{kind:?}"));
}

fn mysql_round(kind: Kind, times: &mut Times) {
    const WRITERS: u32 = 8;
    let mut servers = cluster::mysql(kind, 1);
    let database = servers[0].database();
    let settings = cluster::before_mysql(&servers)
        .group("default_pool_size", 6)
        .group("health_check_interval", "1s");
    let proxy = Sluice::start(&settings);
    let mut idle: Vec<_> = (0..20).map(|_| proxy.connect(&database)).collect();
    idle[0].succeed("create table t (id bigint primary key auto_increment, writer int)");
    prepare_sysbench(&database, proxy.port);
    until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    let bench = run_sysbench(&database, proxy.port);
    let round = Round::default();
    let promoted = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let wire = proxy.connect(&database);
            let round = &round;
            scope.spawn(move || write_mysql(wire, writer, round));
        }
        let ports = [servers[0].port, servers[1].port];
        let (database, round) = (&database, &round);
        scope.spawn(move || reconnect_mysql(database, ports, round));
        thread::sleep(Duration::from_secs(2));
        servers[0].kill();
        *round.killed.lock().unwrap() = Some(Instant::now());
        thread::sleep(Duration::from_millis(500));
        servers[1].promote();
        let promoted = Instant::now();
        finish(round);
        promoted
    });
    losses(&format!("{kind:?}"), &round, WRITERS);
    for wire in &mut idle {
        assert_eq!(wire.value("select @@port"), servers[1].port.to_string());
    }
    drop(bench);
    times.add(&round, promoted);
}
