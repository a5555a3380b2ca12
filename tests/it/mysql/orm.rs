//! What applications say when they connect and with each request: none of it pins, so that many clients share few
//! server connections. SQLAlchemy and Django themselves; of the others what they are known to say.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::Stdio,
};

use crate::support::{
    mysql::{Database, Kind},
    place,
    program::python,
    sluice::{Sluice, Target},
};

on_both!(
    sqlalchemy_does_not_pin,
    django_does_not_pin,
    laravel_does_not_pin,
    rails_does_not_pin,
    hibernate_does_not_pin,
    wordpress_does_not_pin,
);

/// Clients at once, as in `tests/drivers/checks.py`.
const CLIENTS: f64 = 24.0;
/// Server connections, for each variant of what clients have agreed on.
const POOL: u32 = 3;

fn sqlalchemy_does_not_pin(kind: Kind) {
    traffic(kind, "sqlalchemy");
}

fn django_does_not_pin(kind: Kind) {
    traffic(kind, "django");
}

fn laravel_does_not_pin(kind: Kind) {
    traffic(kind, "laravel");
}

fn rails_does_not_pin(kind: Kind) {
    traffic(kind, "rails");
}

fn hibernate_does_not_pin(kind: Kind) {
    traffic(kind, "hibernate");
}

fn wordpress_does_not_pin(kind: Kind) {
    traffic(kind, "wordpress");
}

/// Server connections are lent in turn, so that what does not follow its client is noticed.
fn traffic(kind: Kind, application: &str) {
    let database = Database::new(kind);
    let settings = Target::settings(&database)
        .group("default_pool_size", i64::from(POOL))
        .group("server_round_robin", true);
    let proxy = Sluice::start(&settings);
    let mut child = database
        .client(python(), proxy.port)
        .arg("-u")
        .arg(place::drivers().join("orm_traffic_mysql.py"))
        .arg(application)
        .env_remove("PGHOST")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    if line.trim() == "done" {
        assert_multiplexed(application, &proxy);
    }
    let _ = child.stdin.take().unwrap().write_all(b"go on\n");
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{application}: {said}");
}

/// All clients are there, no server connection was ever pinned, and few were enough.
fn assert_multiplexed(what: &str, proxy: &Sluice) {
    let clients = proxy.metric("sluice_client_connections", "");
    let servers = proxy.metric("sluice_database_connections", "");
    let pins = proxy.metric("sluice_pins_total", "");
    let borrows = proxy.metric("sluice_database_connection_borrows_total", "");
    println!(
        "{what}: {clients} clients on {servers} server connections ({:.1} each), {borrows} borrows, {pins} pins",
        clients / servers
    );
    let log = proxy.log();
    let pinned: Vec<_> = log.lines().filter(|line| line.contains("pinned")).collect();
    assert!(pins == 0.0, "{what} pins: {}", pinned.join("\n"));
    assert!(clients >= CLIENTS, "{clients} clients");
    // The client that has made the tables may have agreed on something else.
    assert!((1.0..=f64::from(2 * POOL)).contains(&servers), "{servers}");
}
