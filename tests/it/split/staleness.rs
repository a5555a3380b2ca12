//! Replicas that are behind on purpose: who sees it, and who does not.

use std::time::{Duration, Instant};

use super::{cluster_of_postgres, owner, routed, split, until_known};
use crate::support::{
    cluster,
    mysql::Kind,
    sluice::{Settings, Sluice, is_direct},
    wire::Wire,
};

/// Sessions of each mode, each of which writes and reads [`WRITES`] times; two replicas, one of which replays
/// nothing half of the time.
const SESSIONS: usize = 200;
const WRITES: usize = 10;

fn postgres(consistency: &str) -> (u64, Sluice) {
    let servers = cluster_of_postgres(2);
    let database = servers[0].database();
    owner(&database).succeed("create table t (session int, n int)");
    for replica in &servers[1..] {
        cluster::catch_up(&servers[0], replica);
    }
    let settings = split(
        Settings::for_server(servers[0].port),
        &[servers[1].port, servers[2].port],
    )
    .listener("read_consistency", consistency)
    .listener("replica_wait_timeout", "20ms")
    .group("default_pool_size", 8);
    let proxy = Sluice::start(&settings);
    let mut first = proxy.connect(&database);
    until_known(|| drop(first.value("select 1")), &proxy);
    let done = std::sync::atomic::AtomicBool::new(false);
    let stale = std::thread::scope(|scope| {
        let slow = &servers[1];
        let done = &done;
        scope.spawn(move || {
            let mut admin = slow.admin("postgres");
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                admin.succeed("select pg_wal_replay_pause()");
                std::thread::sleep(Duration::from_millis(60));
                admin.succeed("select pg_wal_replay_resume()");
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (proxy, database) = (&proxy, &database);
                scope.spawn(move || {
                    let mut stale = 0;
                    for session in 0..SESSIONS / 4 {
                        let id = worker * SESSIONS + session;
                        let mut wire = proxy.connect(database);
                        stale += u64::from(write_then_read(&mut wire, id));
                    }
                    stale
                })
            })
            .collect();
        let stale = workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        stale
    });
    (stale, proxy)
}

/// True if the session did not see its own write, or went back.
fn write_then_read(wire: &mut Wire, id: usize) -> bool {
    let mut stale = false;
    for n in 1..=WRITES {
        wire.succeed(&format!("insert into t values ({id}, {n})"));
        for _ in 0..2 {
            let seen = wire.value(&format!("select count(*) from t where session = {id}"));
            stale |= seen != n.to_string();
        }
    }
    stale
}

#[test]
fn sessions_of_postgresql_read_their_own_writes() {
    if is_direct() {
        return;
    }
    let (stale, proxy) = postgres("session");
    assert_eq!(stale, 0);
    // That is worth something only if replicas were read from, and were behind at times.
    assert!(routed(&proxy, "replica", "read") > (SESSIONS * WRITES) as u64 / 2);
    assert!(routed(&proxy, "primary", "replica_behind") > 0);
}

#[test]
fn without_consistency_stale_reads_are_seen() {
    if is_direct() {
        return;
    }
    let (stale, _) = postgres("eventual");
    assert!(stale > 0);
}

#[test]
fn strong_sessions_of_postgresql_read_what_others_have_written() {
    if is_direct() {
        return;
    }
    let servers = cluster_of_postgres(1);
    let database = servers[0].database();
    let mut admin = owner(&database);
    admin.succeed("create table t (n int)");
    cluster::catch_up(&servers[0], &servers[1]);
    let settings = split(Settings::for_server(servers[0].port), &[servers[1].port])
        .listener("read_consistency", "strong");
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    until_known(|| drop(wire.value("select 1")), &proxy);
    let mut slow = servers[1].admin("postgres");
    let before = routed(&proxy, "replica", "read");
    for n in 1..=200 {
        if n % 20 == 0 {
            slow.succeed("select pg_wal_replay_pause()");
        }
        // Beside any proxy.
        admin.succeed(&format!("insert into t values ({n})"));
        assert_eq!(wire.value("select max(n) from t"), n.to_string());
        slow.succeed("select pg_wal_replay_resume()");
    }
    assert!(routed(&proxy, "replica", "read") > before + 100);
}

fn mysql(kind: Kind, consistency: &str) -> (u64, Sluice) {
    let servers = cluster::mysql(kind, 1);
    let database = servers[0].database();
    database
        .admin()
        .succeed("create table t (session int, n int)");
    let settings = split(Settings::for_mysql(servers[0].port), &[servers[1].port])
        .listener("read_consistency", consistency)
        .listener("replica_wait_timeout", "20ms")
        .group("default_pool_size", 8);
    let mut slow = servers[1].admin();
    let start = Instant::now();
    while slow.value("select count(*) from information_schema.tables where table_name = 't'") != "1"
    {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the replica does not follow"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let proxy = Sluice::start(&settings);
    let mut first = proxy.connect(&database);
    until_known(|| drop(first.value("select 1")), &proxy);
    let (stop, start) = match kind {
        Kind::MySql => ("stop replica sql_thread", "start replica sql_thread"),
        Kind::MariaDb => ("stop slave sql_thread", "start slave sql_thread"),
    };
    let mut stale = 0;
    for session in 0..SESSIONS {
        if session % 10 == 0 {
            slow.succeed(stop);
        }
        if session % 10 == 3 {
            slow.succeed(start);
        }
        let mut wire = proxy.connect(&database);
        for n in 1..=2 {
            wire.succeed(&format!("insert into t values ({session}, {n})"));
            let seen = wire.value(&format!("select count(*) from t where session = {session}"));
            stale += u64::from(seen != n.to_string());
        }
    }
    slow.succeed(start);
    (stale, proxy)
}

#[test]
fn sessions_of_mysql_read_their_own_writes() {
    if is_direct() {
        return;
    }
    let (stale, proxy) = mysql(Kind::MySql, "session");
    assert_eq!(stale, 0);
    assert!(routed(&proxy, "replica", "read") > 50);
    assert!(routed(&proxy, "primary", "replica_behind") > 0);
    let (stale, _) = mysql(Kind::MySql, "eventual");
    assert!(stale > 0);
}

#[test]
fn sessions_of_mariadb_read_their_own_writes() {
    if is_direct() {
        return;
    }
    let (stale, proxy) = mysql(Kind::MariaDb, "session");
    assert_eq!(stale, 0);
    assert!(routed(&proxy, "replica", "read") > 50);
    assert!(routed(&proxy, "primary", "replica_behind") > 0);
}
