//! How long what is known of a database's functions and views holds.

use std::time::Duration;

use rustix::process::Signal;

use super::{cluster_of_postgres, owner, routed, routes, split, until_known};
use crate::support::{
    cluster,
    sluice::{Settings, Sluice, is_direct},
    wait,
};

/// How often any catalogue has been read and was another than before.
fn readings(proxy: &Sluice) -> f64 {
    proxy.metric("sluice_catalogue_reads_total", "")
}

#[test]
fn the_next_client_finds_what_the_last_one_left() {
    if is_direct() {
        return;
    }
    let servers = cluster_of_postgres(1);
    let database = servers[0].database();
    cluster::catch_up(&servers[0], &servers[1]);
    let settings = Settings::for_server(servers[0].port);
    let proxy = Sluice::start(&split(settings, &[servers[1].port]));
    // It leaves while the catalogue is being read, having asked for it once more.
    let mut wire = proxy.connect(&database);
    wire.succeed("select 1");
    drop(wire);
    wait::until_true("the catalogue has been read", || readings(&proxy) == 1.0);
    // Longer than what sessions share is kept, and than anything is read again for nothing.
    std::thread::sleep(Duration::from_millis(2500));
    let mut wire = proxy.connect(&database);
    let port = wire.value("select current_setting('port')");
    assert_eq!(port, servers[1].port.to_string(), "{}", routes(&proxy));
    assert_eq!(readings(&proxy), 1.0);
}

#[test]
fn a_shorter_interval_holds_for_what_is_known_already() {
    if is_direct() {
        return;
    }
    let servers = cluster_of_postgres(1);
    let database = servers[0].database();
    let mut owner = owner(&database);
    owner.succeed("create function f() returns text stable language sql as 'select ''f''::text'");
    cluster::catch_up(&servers[0], &servers[1]);
    let with = |interval: &str| {
        let settings = Settings::for_server(servers[0].port);
        split(settings, &[servers[1].port]).group("catalogue_refresh_interval", interval)
    };
    let proxy = Sluice::start(&with("1h"));
    let mut wire = proxy.connect(&database);
    until_known(|| drop(wire.value("select f()")), &proxy);
    // Nobody tells the proxy.
    owner.succeed("alter function f() volatile");
    cluster::catch_up(&servers[0], &servers[1]);
    wire.value("select f()");
    assert_eq!(routed(&proxy, "primary", "volatile_function"), 0);
    proxy.rewrite(&with("100ms"));
    proxy.signal(Signal::HUP);
    wait::until_true("the function is known as it is now", || {
        proxy.connect(&database).value("select f()");
        routed(&proxy, "primary", "volatile_function") > 0
    });
}

#[test]
fn reads_go_on_while_there_is_no_primary() {
    if is_direct() {
        return;
    }
    let mut servers = cluster_of_postgres(1);
    let database = servers[0].database();
    cluster::catch_up(&servers[0], &servers[1]);
    let proxy = Sluice::start(&cluster::before_postgres(&servers).listener("target_role", "split"));
    let mut wire = proxy.connect(&database);
    until_known(|| drop(wire.value("select 1")), &proxy);
    servers[0].kill();
    wait::until_true("the loss of the primary", || {
        proxy.status()["target_groups"][0]["primary"].is_null()
    });
    let before = routed(&proxy, "replica", "read");
    let port = wire.value("select current_setting('port')");
    assert_eq!(port, servers[1].port.to_string(), "{}", routes(&proxy));
    assert_eq!(routed(&proxy, "replica", "read"), before + 1);
}
