//! Members that come from elsewhere than the file.

use std::{fs, path::Path, thread, time::Duration};

use super::roles::{group, target, until_state};
use crate::support::{
    cluster,
    gate::Gate,
    postgres::{ADMIN, OTHER},
    sluice::{Settings, Sluice, is_direct},
    wait,
};

#[test]
fn the_list_that_aurora_keeps_is_followed() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(2);
    let mut admin = servers[0].admin("postgres");
    // As Aurora's own function, on whose servers these tests cannot run.
    admin.succeed(
        "create table listed (server_id text, session_id text, last_update_timestamp timestamptz); \
         create function aurora_replica_status() returns setof listed language sql \
         as 'select * from listed'",
    );
    let list = |admin: &mut crate::support::wire::Wire, names: &[&str], writer: &str| {
        admin.succeed("delete from listed");
        for name in names {
            let session = if *name == writer {
                "MASTER_SESSION_ID"
            } else {
                "a-session"
            };
            admin.succeed(&format!(
                "insert into listed values ('{name}', '{session}', now())"
            ));
        }
    };
    list(&mut admin, &["one", "two"], "one");
    let name = |server: &str| format!("{server}.xyz.example.com:{}", servers[0].port);
    let mut addresses = toml::Table::new();
    for (server, at) in ["one", "two", "three"].into_iter().zip(&servers) {
        addresses.insert(name(server), format!("127.0.0.1:{}", at.port).into());
    }
    let endpoint = format!("app.cluster-xyz.example.com:{}", servers[0].port);
    addresses.insert(
        endpoint.clone(),
        format!("127.0.0.1:{}", servers[0].port).into(),
    );
    let database = servers[0].named_database("test_listed", OTHER);
    let settings = Settings::for_server(servers[0].port)
        .target("address", endpoint)
        .group("discovery", "aurora")
        .group("discovery_interval", "200ms")
        .group("discovery_addresses", addresses)
        .group("monitor_user", ADMIN.0)
        .group("health_check_interval", "100ms")
        .user(OTHER.0, "target_role", "read_only");
    let proxy = Sluice::start(&settings);
    let state = |server: &str| {
        let group = group(&proxy);
        let targets = group["targets"].as_array().unwrap().clone();
        let found = targets
            .iter()
            .find(|target| target["target"] == name(server));
        found.map_or(String::new(), |target| {
            format!("{} {}", target["role"], target["state"])
        })
    };
    wait::until_true("two members", || {
        state("one").contains("primary") && state("two").contains("replica\" \"AVAILABLE")
    });
    let mut reader = proxy.connect(&database);
    assert_eq!(
        reader.value("select inet_server_port()"),
        servers[1].port.to_string()
    );
    list(&mut admin, &["one", "three"], "one");
    wait::until_true("the third to join and the second to leave", || {
        state("three").contains("AVAILABLE") && state("two").is_empty()
    });
    assert_eq!(
        reader.value("select inet_server_port()"),
        servers[2].port.to_string()
    );
}

#[test]
fn a_name_that_stands_for_other_addresses_is_followed() {
    if is_direct() {
        return;
    }
    // The system's own file of names is everybody's: this one has several addresses by itself, and
    // only one of them has a server.
    let servers = cluster::postgres(0);
    let database = servers[0].database();
    let settings = Settings::for_server(servers[0].port)
        .target("address", format!("localhost:{}", servers[0].port))
        .group("discovery", "dns")
        .group("discovery_interval", "200ms")
        .group("monitor_user", ADMIN.0)
        .group("health_check_interval", "100ms");
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    assert_eq!(
        wire.value("select inet_server_port()"),
        servers[0].port.to_string()
    );
    until_state(&proxy, servers[0].port, "primary", "AVAILABLE");
    assert_eq!(target(&proxy, servers[0].port)["role"], "primary");
}

/// What the name of the tests stands for, from now on.
fn record(file: &Path, addresses: &[&str]) {
    // Whoever reads it goes by its time, in seconds.
    thread::sleep(Duration::from_millis(1100));
    let lines = addresses
        .iter()
        .map(|address| format!("{address} db.example.com\n"));
    fs::write(file, lines.collect::<String>()).unwrap();
}

/// nss_wrapper answers names by a file of the test's own: the proxy asks as it asks DNS.
#[test]
fn a_record_that_changes_is_followed() {
    if is_direct() {
        return;
    }
    let mut servers = cluster::postgres(1);
    let database = servers[0].database();
    let port = servers[0].port;
    // The replica is at the same port of another address.
    let _second = Gate::at(([127, 0, 0, 2], port).into(), servers[1].port);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts");
    record(&file, &["127.0.0.1"]);
    let settings = Settings::for_server(port)
        .target("address", format!("db.example.com:{port}"))
        .group("discovery", "dns")
        .group("discovery_interval", "200ms")
        .group("monitor_user", ADMIN.0)
        .group("health_check_interval", "100ms")
        .group("connection_borrow_timeout", "30s")
        .environment("LD_PRELOAD", "libnss_wrapper.so")
        .environment("NSS_WRAPPER_HOSTS", file.to_str().unwrap());
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    wire.succeed("create table t (id int)");
    let names = || {
        let group = group(&proxy);
        let targets = group["targets"].as_array().unwrap();
        let mut names: Vec<String> = targets
            .iter()
            .map(|target| target["target"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let at = |host: &str| format!("{host}:{port}");
    assert_eq!(names(), [at("127.0.0.1")]);
    record(&file, &["127.0.0.1", "127.0.0.2"]);
    wait::until_true("the second to join", || {
        let group = group(&proxy);
        let targets = group["targets"].as_array().unwrap();
        targets.iter().any(|target| {
            target["target"] == at("127.0.0.2")
                && target["role"] == "replica"
                && target["state"] == "AVAILABLE"
        })
    });
    cluster::catch_up(&servers[0], &servers[1]);
    // The name moves to the server that takes over, as an endpoint of a cloud does.
    servers[0].kill();
    servers[1].admin("postgres").succeed("select pg_promote()");
    record(&file, &["127.0.0.2"]);
    wire.succeed("insert into t values (1)");
    assert_eq!(
        wire.value("select inet_server_port()"),
        servers[1].port.to_string()
    );
    wait::until_true("the first to leave", || names() == [at("127.0.0.2")]);
    // A name that stands for nothing takes nobody away.
    record(&file, &[]);
    wait::until_true("a complaint", || proxy.log().contains("cannot be resolved"));
    assert_eq!(names(), [at("127.0.0.2")]);
    wire.succeed("insert into t values (2)");
}
