//! Sessions that only read: they never go back in time, whichever replica answers.

use std::{thread, time::Duration};

use super::{cluster_of_postgres, owner};
use crate::support::{
    cluster,
    mysql::Kind,
    sluice::{Settings, Sluice, is_direct},
    wait,
};

fn settings(first: Settings, replicas: &[u16], consistency: &str) -> Settings {
    let settings = first
        .target("role", "primary")
        .listener("target_role", "read_only")
        .listener("read_consistency", consistency)
        .group("connection_borrow_timeout", "30s");
    replicas.iter().fold(settings, |settings, port| {
        settings.server(*port, [("role", "replica".into())])
    })
}

/// What a session reads that has read one row from a replica that is lost then, while the other replica has none yet
/// and gets it a second later.
fn of_postgres(consistency: &str) -> String {
    let mut servers = cluster_of_postgres(2);
    let database = servers[0].database();
    owner(&database).succeed("create table t (n int)");
    for replica in &servers[1..] {
        cluster::catch_up(&servers[0], replica);
    }
    let ports = [servers[1].port, servers[2].port];
    let proxy = Sluice::start(&settings(
        Settings::for_server(servers[0].port),
        &ports,
        consistency,
    ));
    servers[2]
        .admin("postgres")
        .succeed("select pg_wal_replay_pause()");
    owner(&database).succeed("insert into t values (1)");
    cluster::catch_up(&servers[0], &servers[1]);
    let port = servers[1].port.to_string();
    // One that reads there. In a transaction, so that nothing comes between.
    let mut wire = loop {
        let mut wire = proxy.connect(&database);
        wire.succeed("begin");
        let found = wire.value("select current_setting('port')") == port;
        let seen = wire.value("select count(*) from t");
        wire.succeed("commit");
        if found {
            assert_eq!(seen, "1");
            break wire;
        }
    };
    servers[1].kill();
    let mut slow = servers[2].admin("postgres");
    let later = thread::spawn(move || {
        thread::sleep(Duration::from_secs(1));
        slow.succeed("select pg_wal_replay_resume()");
    });
    let seen = wire.value("select count(*) from t");
    later.join().unwrap();
    assert_eq!(
        wire.value("select current_setting('port')"),
        servers[2].port.to_string()
    );
    seen
}

#[test]
fn a_session_that_only_reads_does_not_go_back_in_time() {
    if is_direct() {
        return;
    }
    assert_eq!(of_postgres("session"), "1");
    // So that the test can fail.
    assert_eq!(of_postgres("eventual"), "0");
}

fn of_mysql(kind: Kind, consistency: &str) -> String {
    let mut servers = cluster::mysql(kind, 2);
    let database = servers[0].database();
    database.admin().succeed("create table t (n int)");
    let tables = format!(
        "select count(*) from information_schema.tables where table_schema = '{}'",
        database.name
    );
    for replica in &servers[1..] {
        let mut admin = replica.admin();
        wait::until_true("the replica to follow", || admin.value(&tables) == "1");
    }
    let ports = [servers[1].port, servers[2].port];
    let proxy = Sluice::start(&settings(
        Settings::for_mysql(servers[0].port),
        &ports,
        consistency,
    ));
    let (stop, start) = match kind {
        Kind::MySql => ("stop replica sql_thread", "start replica sql_thread"),
        Kind::MariaDb => ("stop slave sql_thread", "start slave sql_thread"),
    };
    servers[2].admin().succeed(stop);
    database.admin().succeed("insert into t values (1)");
    let rows = format!("select count(*) from {}.t", database.name);
    let mut first = servers[1].admin();
    wait::until_true("the row to be there", || first.value(&rows) == "1");
    let port = servers[1].port.to_string();
    let mut wire = loop {
        let mut wire = proxy.connect(&database);
        wire.succeed("begin");
        let found = wire.value("select @@port") == port;
        let seen = wire.value("select count(*) from t");
        wire.succeed("commit");
        if found {
            assert_eq!(seen, "1");
            break wire;
        }
    };
    servers[1].kill();
    let mut slow = servers[2].admin();
    let later = thread::spawn(move || {
        thread::sleep(Duration::from_secs(1));
        slow.succeed(start);
    });
    let seen = wire.value("select count(*) from t");
    later.join().unwrap();
    assert_eq!(wire.value("select @@port"), servers[2].port.to_string());
    seen
}

#[test]
fn nor_does_one_of_mysql_or_mariadb() {
    if is_direct() {
        return;
    }
    for kind in [Kind::MySql, Kind::MariaDb] {
        assert_eq!(of_mysql(kind, "session"), "1", "{kind:?}");
        assert_eq!(of_mysql(kind, "eventual"), "0", "{kind:?}");
    }
}
