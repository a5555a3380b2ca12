//! What flows through takes no memory: neither large results nor large parameters, nor those who
//! do not read.

use crate::support::{
    place,
    postgres::Database,
    sluice::{Sluice, is_direct},
    wait,
    wire::{
        backend::words,
        frontend::{bind, execute, parse, query, sync},
    },
};

/// How much the proxy may grow by, whatever flows through it.
const BOUND: u64 = 48 << 20;

fn setting() -> (Database, Sluice) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 2);
    assert_eq!(proxy.connect(&database).value("select 1"), "1");
    (database, proxy)
}

#[test]
fn a_client_that_does_not_read_a_gigabyte_holds_it_up_at_the_server() {
    if is_direct() {
        return;
    }
    let (database, proxy) = setting();
    let before = place::resident_bytes(proxy.pid());
    let mut wire = proxy.connect(&database);
    wire.send(&query(
        "select repeat('x', 100000) from generate_series(1, 10000)",
    ))
    .unwrap();
    wire.read_until(b'T');
    let mut admin = database.admin();
    let blocked = format!(
        "select count(*) from pg_stat_activity where datname = '{}' and wait_event = 'ClientWrite'",
        database.name
    );
    wait::until_true("the server to wait for the proxy", || {
        admin.value(&blocked) == "1"
    });
    let grown = place::resident_bytes(proxy.pid()).saturating_sub(before);
    assert!(
        grown < BOUND,
        "grew by {grown} bytes for a client that does not read"
    );
    // Another client is served meanwhile.
    assert_eq!(
        proxy.connect(&database).value("select 'meanwhile'"),
        "meanwhile"
    );
    for _ in 0..10_000 {
        wire.skip(5 + 2 + 4 + 100_000).unwrap();
    }
    let grown = place::resident_bytes(proxy.pid()).saturating_sub(before);
    assert_eq!(
        words(&wire.read_ready()),
        ["Complete(SELECT 10000)", "Ready(I)"]
    );
    assert!(grown < BOUND, "grew by {grown} bytes after a gigabyte");
}

#[test]
fn one_value_of_two_hundred_megabytes_flows_through() {
    if is_direct() {
        return;
    }
    let (database, proxy) = setting();
    let before = place::resident_bytes(proxy.pid());
    let size = 200_000_000;
    let mut wire = proxy.connect(&database);
    wire.send(&query(&format!("select repeat('y', {size})")))
        .unwrap();
    wire.read_until(b'T');
    wire.skip(5 + 2 + 4 + size).unwrap();
    assert_eq!(
        words(&wire.read_ready()),
        ["Complete(SELECT 1)", "Ready(I)"]
    );
    let grown = place::resident_bytes(proxy.pid()).saturating_sub(before);
    assert!(grown < BOUND, "grew by {grown} bytes");
}

#[test]
fn a_parameter_of_a_hundred_megabytes_flows_through() {
    if is_direct() {
        return;
    }
    let (database, proxy) = setting();
    let before = place::resident_bytes(proxy.pid());
    let value = vec![b'z'; 100_000_000];
    let mut wire = proxy.connect(&database);
    let request = [
        parse("", "select length($1::text)"),
        bind("", "", &[Some(&value)]),
        execute("", 0),
        sync(),
    ];
    let reply = wire.ask(&request.concat());
    assert_eq!(
        words(&reply),
        [
            "ParseComplete",
            "BindComplete",
            "Row(100000000)",
            "Complete(SELECT 1)",
            "Ready(I)"
        ]
    );
    let grown = place::resident_bytes(proxy.pid()).saturating_sub(before);
    assert!(grown < BOUND, "grew by {grown} bytes");
}

#[test]
fn a_copy_of_half_a_gigabyte_flows_in() {
    if is_direct() {
        return;
    }
    let (database, proxy) = setting();
    let mut wire = proxy.connect(&database);
    // A filter lets the server throw the rows away.
    wire.succeed("create unlogged table sink (word text)");
    let before = place::resident_bytes(proxy.pid());
    wire.send(&query("copy sink from stdin where word is null"))
        .unwrap();
    wire.read_until(b'G');
    let chunk =
        crate::support::wire::frontend::copy_data(&[vec![b'c'; 99_999], vec![b'\n']].concat());
    for _ in 0..5_000 {
        wire.send(&chunk).unwrap();
    }
    let reply = wire.ask(&crate::support::wire::frontend::copy_done());
    assert_eq!(words(&reply), ["Complete(COPY 0)", "Ready(I)"]);
    let grown = place::resident_bytes(proxy.pid()).saturating_sub(before);
    assert!(grown < BOUND, "grew by {grown} bytes");
}

#[test]
fn many_pipelined_requests_of_one_client_wait_in_the_socket() {
    if is_direct() {
        return;
    }
    let (database, proxy) = setting();
    let before = place::resident_bytes(proxy.pid());
    let mut holder = proxy.connect(&database);
    let mut other = proxy.connect(&database);
    holder.succeed("begin");
    other.succeed("begin");
    let mut wire = proxy.connect(&database);
    wire.tcp().set_nonblocking(true).unwrap();
    let chunk = query("select 1").repeat(5_000);
    // Until nobody takes more: kernel buffers and the proxy's are full.
    let mut sent = 0_usize;
    while wire.send(&chunk).is_ok() && sent < 1 << 30 {
        sent += chunk.len();
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    let grown = place::resident_bytes(proxy.pid()).saturating_sub(before);
    assert!(grown < BOUND, "grew by {grown} bytes");
}
