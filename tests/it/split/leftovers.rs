//! What reads leave behind on a replica: it never keeps the session from the primary unnoticed.

use super::{cluster_of_postgres, owner, routed, split, until_known};
use crate::support::{
    cluster,
    mysql::{self, Kind, MySql},
    postgres::Postgres,
    sluice::{Settings, Sluice, is_direct},
    wait,
    wire::{backend::error, frontend as front},
};

/// A function that takes a lock of the session's, and says that it only reads.
const LOCKS: &str = "create function locks(n int) returns int stable language plpgsql \
                     as 'begin perform pg_advisory_lock(n); return 1; end'";

fn postgres() -> (Vec<Postgres>, crate::support::postgres::Database, Sluice) {
    let servers = cluster_of_postgres(1);
    let database = servers[0].database();
    owner(&database).succeed(&format!("create table t (id int); {LOCKS}"));
    cluster::catch_up(&servers[0], &servers[1]);
    let settings = split(Settings::for_server(servers[0].port), &[servers[1].port])
        .group("verify_session_state", 1.0)
        .listener("replica_wait_timeout", "5s");
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    until_known(|| drop(wire.value("select 1")), &proxy);
    (servers, database, proxy)
}

/// Locks of sessions that a server knows of.
fn locks(server: &Postgres) -> String {
    let question = "select count(*) from pg_locks where locktype = 'advisory'";
    server.admin("postgres").value(question)
}

#[test]
fn a_read_that_leaves_state_behind_is_the_primarys() {
    if is_direct() {
        return;
    }
    let (servers, database, proxy) = postgres();
    let mut wire = proxy.connect(&database);
    assert_eq!(wire.value("select locks(7)"), "1");
    assert_eq!(
        (locks(&servers[0]), locks(&servers[1])),
        ("1".into(), "0".into())
    );
    wire.succeed("insert into t values (1)");
    assert_eq!(wire.value("select pg_advisory_unlock(7)"), "t");
    assert_eq!(routed(&proxy, "primary", "leaves_state"), 1);
    assert_eq!(proxy.metric("sluice_misrouted_reads_total", ""), 0.0);
    // By the extended protocol.
    let messages = wire.ask(&[front::run_unnamed("select locks(8)", &[]), front::sync()].concat());
    assert_eq!(error(&messages), None);
    assert_eq!(
        (locks(&servers[0]), locks(&servers[1])),
        ("1".into(), "0".into())
    );
    wire.succeed("insert into t values (2)");
    // Nobody else meets what the replica's connection had.
    let mut other = proxy.connect(&database);
    assert_eq!(
        other.value("select current_setting('port')"),
        servers[1].port.to_string()
    );
}

#[test]
fn a_session_whose_state_stays_on_a_replica_is_told_when_it_needs_the_primary() {
    if is_direct() {
        return;
    }
    let (servers, database, proxy) = postgres();
    // An answer that is too long to be held back.
    let mut wire = proxy.connect(&database);
    wire.succeed("select locks(7), repeat('x', 100000)");
    assert_eq!(locks(&servers[1]), "1");
    assert_eq!(
        wire.value("select current_setting('port')"),
        servers[1].port.to_string()
    );
    let messages = {
        wire.send(&front::query("insert into t values (1)"))
            .unwrap();
        wire.read_to_close()
    };
    assert_eq!(error(&messages).as_deref(), Some("57P01"));
    wait::until_true("the lock to be gone", || locks(&servers[1]) == "0");
    // What a transaction has left can be used up and given back there.
    let mut wire = proxy.connect(&database);
    wire.succeed("begin read only");
    wire.succeed("declare c cursor with hold for select generate_series(1, 3)");
    wire.succeed("commit");
    assert_eq!(wire.value("fetch c"), "1");
    assert_eq!(
        wire.value("select current_setting('port')"),
        servers[1].port.to_string()
    );
    assert_eq!(wire.value("fetch c"), "2");
    wire.succeed("close c");
    wire.succeed("insert into t values (1)");
    assert_eq!(wire.value("select count(*) from t"), "1");
    assert_eq!(proxy.metric("sluice_misrouted_reads_total", ""), 0.0);
}

fn of_mysql(kind: Kind) {
    let servers: Vec<MySql> = cluster::mysql(kind, 1);
    let database = servers[0].database();
    let mut admin = database.admin();
    admin.succeed("create table t (id int primary key)");
    admin.succeed(
        "create function marks() returns int deterministic begin select 12 into @left_behind; return 1; end",
    );
    let settings = split(Settings::for_mysql(servers[0].port), &[servers[1].port])
        .group("verify_session_state", 1.0)
        .listener("replica_wait_timeout", "5s");
    let proxy = Sluice::start(&settings);
    let question = "select count(*) from information_schema.routines where routine_name = 'marks'";
    let mut replica = servers[1].admin();
    wait::until_true("the replica to follow", || replica.value(question) == "1");
    let mut wire = proxy.connect(&database);
    let known = |wire: &mut mysql::wire::Wire| {
        until_known(|| drop(wire.value("select 1")), &proxy);
    };
    known(&mut wire);
    assert_eq!(wire.value("/* sluice: replica */ select marks()"), "1");
    wire.succeed("insert into t values (1)");
    assert_eq!(wire.value("select @left_behind"), "12");
    assert_eq!(routed(&proxy, "primary", "leaves_state"), 1);
    // A transaction leaves a lock behind: reads go on, and what needs the primary ends the session.
    let mut wire = proxy.connect(&database);
    known(&mut wire);
    wire.succeed("start transaction read only");
    assert_eq!(wire.value("select get_lock('mine', 0)"), "1");
    wire.succeed("commit");
    assert_eq!(wire.value("select 5"), "5");
    assert_eq!(replica.value("select is_free_lock('mine')"), "0");
    assert_eq!(wire.fail("insert into t values (2)").code, 1053);
    assert!(wire.query("select 1").is_err());
    wait::until_true("the lock to be free", || {
        replica.value("select is_free_lock('mine')") == "1"
    });
    // Reset, it goes wherever it has to.
    let mut wire = proxy.connect(&database);
    known(&mut wire);
    wire.succeed("start transaction read only");
    assert_eq!(wire.value("select get_lock('mine', 0)"), "1");
    wire.succeed("commit");
    wire.simple(&[0x1f]).unwrap();
    wire.succeed("insert into t values (3)");
    // Many warnings stay with the replica, until the next statement asks for something else.
    let mut wire = proxy.connect(&database);
    known(&mut wire);
    if kind == Kind::MariaDb {
        // MySQL lets not everybody have so many.
        wire.succeed("set max_error_count = 65535");
        known(&mut wire);
    }
    let long = format!("select {}", vec!["1/0"; 1500].join(", "));
    wire.succeed(&long);
    wire.succeed("insert into t values (4)");
    assert_eq!(
        wire.value("select group_concat(id order by id) from t"),
        "1,3,4"
    );
    assert_eq!(proxy.metric("sluice_misrouted_reads_total", ""), 0.0);
}

#[test]
fn what_stored_code_of_mysql_leaves_behind_does_not_strand_a_session() {
    if !is_direct() {
        of_mysql(Kind::MySql);
    }
}

#[test]
fn what_stored_code_of_mariadb_leaves_behind_does_not_strand_a_session() {
    if !is_direct() {
        of_mysql(Kind::MariaDb);
    }
}
