//! Who is what, and where sessions go because of it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{
    cluster,
    mysql::{self, Kind},
    postgres::{ADMIN, APP, OTHER, Postgres},
    sluice::{Settings, Sluice, is_direct},
    wait,
    wire::{Login, Wire, backend::error},
};

/// The one target group of a proxy, as it shows it.
pub fn group(proxy: &Sluice) -> Value {
    proxy.status()["target_groups"][0].clone()
}

/// What a proxy says of the server at a port.
pub fn target(proxy: &Sluice, port: u16) -> Value {
    let name = format!("127.0.0.1:{port}");
    let group = group(proxy);
    let targets = group["targets"].as_array().unwrap();
    let found = targets.iter().find(|target| target["target"] == *name);
    found.cloned().unwrap_or(Value::Null)
}

/// Waits until the proxy says that of a server.
pub fn until_state(proxy: &Sluice, port: u16, role: &str, state: &str) {
    wait::until_true(&format!("{port} to be {role} and {state}"), || {
        let target = target(proxy, port);
        target["role"] == role && target["state"] == state
    });
}

/// The port of the server that serves this session now.
fn server_of(wire: &mut Wire) -> u16 {
    wire.value("select inet_server_port()").parse().unwrap()
}

#[test]
fn statements_go_to_the_primary_wherever_it_stands_in_the_list() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(1);
    let database = servers[0].database();
    cluster::catch_up(&servers[0], &servers[1]);
    let settings = Settings::for_server(servers[1].port)
        .group("monitor_user", "postgres")
        .server(servers[0].port, []);
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    wire.succeed("create table t (id int)");
    assert_eq!(server_of(&mut wire), servers[0].port);
    until_state(&proxy, servers[0].port, "primary", "AVAILABLE");
    until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    assert_eq!(
        group(&proxy)["primary"],
        format!("127.0.0.1:{}", servers[0].port)
    );
    let role = |port, role| {
        let labels = format!("role=\"{role}\",target=\"127.0.0.1:{port}\"");
        proxy.metric("sluice_target_role", &labels)
    };
    assert_eq!(role(servers[0].port, "primary"), 1.0);
    assert_eq!(role(servers[1].port, "primary"), 0.0);
    assert_eq!(role(servers[1].port, "replica"), 1.0);
}

#[test]
fn read_only_sessions_are_spread_over_the_replicas() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(2);
    let database = servers[0].named_database("test_spread", OTHER);
    for replica in &servers[1..] {
        cluster::catch_up(&servers[0], replica);
    }
    let proxy = Sluice::start(&cluster::before_postgres(&servers));
    for server in &servers[1..] {
        until_state(&proxy, server.port, "replica", "AVAILABLE");
    }
    let mut seen = BTreeSet::new();
    for _ in 0..8 {
        let mut wire = proxy.connect(&database);
        assert_eq!(wire.value("select pg_is_in_recovery()"), "t");
        seen.insert(server_of(&mut wire));
        let refused = wire.simple("create table t (id int)");
        assert_eq!(error(&refused).as_deref(), Some("25006"));
    }
    let replicas: BTreeSet<u16> = servers[1..].iter().map(|server| server.port).collect();
    assert_eq!(seen, replicas);
    // One that is lost is gone, and nobody notices.
    let mut wires: Vec<Wire> = (0..6).map(|_| proxy.connect(&database)).collect();
    let mut servers = servers;
    let lost = servers[1].port;
    servers[1].kill();
    for wire in &mut wires {
        assert_ne!(server_of(wire), lost);
    }
}

#[test]
fn without_a_replica_read_only_sessions_are_refused_or_go_to_the_primary() {
    if is_direct() {
        return;
    }
    let mut servers = cluster::postgres(1);
    let database = servers[0].named_database("test_alone", OTHER);
    cluster::catch_up(&servers[0], &servers[1]);
    let settings = cluster::before_postgres(&servers);
    let waiting = Sluice::start(&settings.clone().group("connection_borrow_timeout", "1s"));
    let falling = Sluice::start(&settings.group("reads_without_replica", "primary"));
    let mut patient = waiting.connect(&database);
    let mut flexible = falling.connect(&database);
    assert_eq!(flexible.value("select pg_is_in_recovery()"), "t");
    servers[1].kill();
    assert_eq!(flexible.value("select pg_is_in_recovery()"), "f");
    let began = std::time::Instant::now();
    let refused = patient.simple("select 1");
    assert!(error(&refused).is_some(), "{refused:?}");
    assert!(began.elapsed().as_millis() >= 900);
    servers[1].start();
    assert_eq!(patient.value("select pg_is_in_recovery()"), "t");
    wait::until_true("the reader to be at the replica again", || {
        flexible.value("select pg_is_in_recovery()") == "t"
    });
    // A group that has none at all says so at once.
    let alone: &[Postgres] = &servers[..1];
    let proxy = Sluice::start(&cluster::before_postgres(alone));
    until_state(&proxy, alone[0].port, "primary", "AVAILABLE");
    let login = database.login(proxy.port);
    let began = std::time::Instant::now();
    assert!(Wire::connect(&login).is_err());
    assert!(began.elapsed().as_secs() < 5);
}

#[test]
fn replicas_in_our_own_zone_go_first() {
    if is_direct() {
        return;
    }
    let mut servers = cluster::postgres(2);
    let database = servers[0].named_database("test_zones", OTHER);
    for replica in &servers[1..] {
        cluster::catch_up(&servers[0], replica);
    }
    let settings = Settings::for_server(servers[0].port)
        .general("zone", "here")
        .group("monitor_user", ADMIN.0)
        .group("health_check_interval", "200ms")
        .user(OTHER.0, "target_role", "read_only")
        .server(servers[1].port, [("zone", "there".into())])
        .server(servers[2].port, [("zone", "here".into())]);
    let proxy = Sluice::start(&settings);
    for server in &servers[1..] {
        until_state(&proxy, server.port, "replica", "AVAILABLE");
    }
    let mut wires: Vec<Wire> = (0..3).map(|_| proxy.connect(&database)).collect();
    // All at once, so that the load would tell for the other.
    for wire in &mut wires {
        wire.succeed("begin");
        assert_eq!(server_of(wire), servers[2].port);
    }
    for wire in &mut wires {
        wire.succeed("commit");
    }
    servers[2].kill();
    for wire in &mut wires {
        assert_eq!(server_of(wire), servers[1].port);
    }
}

#[test]
fn roles_may_be_told_instead_of_found_out() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(1);
    let database = servers[0].named_database("test_told", APP);
    cluster::catch_up(&servers[0], &servers[1]);
    let settings = Settings::for_server(servers[0].port)
        .target("role", "primary")
        .user(APP.0, "target_role", "read_only")
        .server(servers[1].port, [("role", "replica".into())]);
    let proxy = Sluice::start(&settings);
    let mut reader = proxy.connect(&database);
    assert_eq!(server_of(&mut reader), servers[1].port);
    let mut writer = Wire::connect(&Login::new(proxy.port, &database.name, OTHER)).unwrap();
    assert_eq!(server_of(&mut writer), servers[0].port);
}

#[test]
fn servers_of_mysql_and_mariadb_say_what_they_are() {
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
        assert_eq!(wire.value("select @@port"), servers[0].port.to_string());
        until_state(&proxy, servers[0].port, "primary", "AVAILABLE");
        until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
        wait::until_true("the replica to be known to follow", || {
            let shown = target(&proxy, servers[1].port);
            shown["lag_ms"] == 0 && shown["position"] == target(&proxy, servers[0].port)["position"]
        });
        let (user, password) = mysql::OTHER;
        let login = mysql::login::Login::new(proxy.port, &database.name, (user, password));
        let mut reader = mysql::wire::Wire::connect(&login.with_tls()).unwrap();
        assert_eq!(reader.value("select @@port"), servers[1].port.to_string());
        wait::until_true("what was written to be there", || {
            reader.value("select count(*) from t") == "1"
        });
    }
}
