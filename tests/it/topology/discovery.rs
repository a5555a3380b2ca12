//! Members that come from elsewhere than the file.

use super::roles::{group, target, until_state};
use crate::support::{
    cluster,
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
