//! Bytes that no honest client sends: they cost their sender the connection and nobody else anything.

use std::net::{IpAddr, Ipv4Addr, Shutdown};

use crate::support::{
    certs::Certs,
    mysql::{
        Database, Kind,
        login::Login,
        message::{Failure, capability},
        wire::{Wire, packets},
    },
    noise::noise,
    place,
    sluice::{Settings, Sluice, is_direct},
};

on_both!(
    random_bytes_instead_of_a_login_are_no_login,
    random_bytes_after_login_end_that_session_alone,
    random_bodies_of_every_command_end_at_most_that_session,
    truncated_commands_end_that_session_alone,
    packets_out_of_order_end_the_session_with_1156,
    a_promise_of_much_data_takes_no_memory,
    an_overlong_login_is_refused,
    plain_bytes_after_asking_for_tls_end_the_connection,
    a_tls_handshake_without_asking_is_no_login,
    required_tls_is_told_by_3159,
    a_login_that_stalls_is_cut_off,
    replication_is_refused,
);

fn proxy(kind: Kind) -> (Database, Sluice) {
    let database = Database::new(kind);
    let proxy = Sluice::with_pool(&database, 1);
    (database, proxy)
}

fn greeted(port: u16) -> Wire {
    let mut wire = Wire::open(port, IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
    wire.greet().unwrap();
    wire
}

fn assert_serves(proxy: &Sluice, database: &Database) {
    let mut wire = proxy.connect(database);
    assert_eq!(wire.value("select 'served'"), "served");
    assert!(!wire.has_input());
}

/// Sends what the peer must not accept; everything it says until it closes.
fn provoke(wire: &mut Wire, bytes: &[u8]) -> Vec<u8> {
    // The peer may close before it has read everything.
    let _ = wire.send(bytes);
    let _ = wire.tcp().shutdown(Shutdown::Write);
    wire.read_rest()
}

/// The error in the first packet of these bytes.
fn failure(bytes: &[u8]) -> Failure {
    assert_eq!(bytes.get(4), Some(&0xff), "{}", bytes.escape_ascii());
    Failure::parse(&bytes[4..])
}

fn random_bytes_instead_of_a_login_are_no_login(kind: Kind) {
    let (database, proxy) = proxy(kind);
    for seed in 0..100 {
        let mut wire = greeted(proxy.port);
        let said = provoke(&mut wire, &noise(seed, 1 + seed as usize * 7 % 3000));
        assert_ne!(said.get(4), Some(&0), "seed {seed}");
        // A header that is right, with a body that means nothing.
        let mut wire = greeted(proxy.port);
        let body = noise(seed, 32 + seed as usize);
        let said = provoke(&mut wire, &packets(&mut 1, &body));
        assert_ne!(said.get(4), Some(&0), "seed {seed}");
    }
    assert_serves(&proxy, &database);
}

fn random_bytes_after_login_end_that_session_alone(kind: Kind) {
    let (database, proxy) = proxy(kind);
    let login = proxy.login(&database).plain();
    for seed in 0..50 {
        let mut wire = Wire::connect(&login).unwrap();
        provoke(&mut wire, &noise(seed + 1000, 2000));
    }
    assert_serves(&proxy, &database);
}

fn random_bodies_of_every_command_end_at_most_that_session(kind: Kind) {
    let (database, proxy) = proxy(kind);
    let login = proxy.login(&database).plain();
    for command in 0..=0x22 {
        for length in [0, 3, 4, 9, 40] {
            let mut wire = Wire::connect(&login).unwrap();
            let body = [&[command][..], &noise(u64::from(command), length)].concat();
            let mut sequence = 0;
            let bytes = packets(&mut sequence, &body);
            // With another behind it, which has to be answered or refused, not mixed up.
            let ping = packets(&mut 0, &[0x0e]);
            provoke(&mut wire, &[bytes, ping].concat());
        }
    }
    assert_serves(&proxy, &database);
}

fn truncated_commands_end_that_session_alone(kind: Kind) {
    let (database, proxy) = proxy(kind);
    let login = proxy.login(&database).plain();
    proxy.connect(&database).succeed("create table t (id int)");
    let insert = packets(&mut 0, b"\x03insert into t values (1)");
    for length in 1..insert.len() {
        let mut wire = Wire::connect(&login).unwrap();
        provoke(&mut wire, &insert[..length]);
    }
    let mut wire = proxy.connect(&database);
    assert_eq!(wire.value("select count(*) from t"), "0");
}

fn packets_out_of_order_end_the_session_with_1156(kind: Kind) {
    let (database, proxy) = proxy(kind);
    let login = proxy.login(&database).plain();
    for sequence in [1, 7, 255] {
        let mut wire = Wire::connect(&login).unwrap();
        let said = provoke(&mut wire, &packets(&mut { sequence }, b"\x03select 1"));
        // A server closes without a word, or says this.
        if !said.is_empty() || !is_direct() {
            assert_eq!(failure(&said).code, 1156);
        }
    }
    assert_serves(&proxy, &database);
}

fn a_promise_of_much_data_takes_no_memory(kind: Kind) {
    if is_direct() {
        return;
    }
    let (database, proxy) = proxy(kind);
    let login = proxy.login(&database).plain();
    let clients: Vec<Wire> = (0..50).map(|_| Wire::connect(&login).unwrap()).collect();
    let before = place::resident_bytes(proxy.pid());
    let mut greeted: Vec<Wire> = (0..50).map(|_| greeted(proxy.port)).collect();
    for wire in &mut greeted {
        wire.send(&[0xff, 0xff, 0xff, 1]).unwrap();
    }
    let mut clients = clients;
    for wire in &mut clients {
        wire.send(&[0xff, 0xff, 0xff, 0, 0x03]).unwrap();
    }
    // Answered after all of that has been read.
    drop(greeted);
    drop(clients);
    assert_serves(&proxy, &database);
    let after = place::resident_bytes(proxy.pid());
    assert!(after < before + 30_000_000, "{before} {after}");
}

fn an_overlong_login_is_refused(kind: Kind) {
    let (database, proxy) = proxy(kind);
    let mut wire = greeted(proxy.port);
    let said = provoke(&mut wire, &packets(&mut 1, &vec![b'a'; 1_000_000]));
    assert_ne!(said.get(4), Some(&0));
    let long = "u".repeat(70_000);
    let login = Login::new(proxy.port, &database.name, (&long, "password")).with_tls();
    assert!(Wire::connect(&login).is_err());
    assert_serves(&proxy, &database);
}

fn plain_bytes_after_asking_for_tls_end_the_connection(kind: Kind) {
    let (database, proxy) = proxy(kind);
    let login = proxy.login(&database);
    let mut wire = greeted(proxy.port);
    let capabilities = login.agreed(&wire.greeting);
    let request = packets(&mut 1, &login.head(capabilities));
    // What would be a login if it were taken from the plain stream.
    let answer = login.answer("caching_sha2_password", &wire.greeting.scramble);
    let response = login.response(capabilities, "caching_sha2_password", &answer);
    let bytes = [request, packets(&mut 2, &response)].concat();
    let said = provoke(&mut wire, &bytes);
    // At most an alert of TLS (RFC 8446 section 5.1), never a packet.
    assert!(said.first().is_none_or(|first| *first == 21), "{said:?}");
    assert_serves(&proxy, &database);
}

fn a_tls_handshake_without_asking_is_no_login(kind: Kind) {
    let (database, proxy) = proxy(kind);
    let mut wire = greeted(proxy.port);
    wire.tcp()
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    assert!(wire.upgrade(Certs::shared().client_config(None)).is_err());
    assert_serves(&proxy, &database);
}

fn required_tls_is_told_by_3159(kind: Kind) {
    if is_direct() {
        return;
    }
    let database = Database::new(kind);
    let settings = Settings::for_mysql(database.server_port).listener("require_tls", true);
    let proxy = Sluice::start(&settings);
    let refused = Wire::connect(&proxy.login(&database).plain())
        .err()
        .unwrap();
    assert_eq!(refused.code(), 3159);
    assert_serves(&proxy, &database);
}

fn a_login_that_stalls_is_cut_off(kind: Kind) {
    if is_direct() {
        return;
    }
    let database = Database::new(kind);
    let settings =
        Settings::for_mysql(database.server_port).listener("client_login_timeout", "300ms");
    let proxy = Sluice::start(&settings);
    let login = proxy.login(&database);
    let greeting = greeted(proxy.port).greeting.clone();
    let request = packets(&mut 1, &login.head(login.agreed(&greeting)));
    for sent in [&[][..], &request[..3], &request[..20], &request] {
        let mut wire = greeted(proxy.port);
        wire.send(sent).unwrap();
        wire.read_rest();
    }
}

fn replication_is_refused(kind: Kind) {
    if is_direct() {
        return;
    }
    let (database, proxy) = proxy(kind);
    // COM_BINLOG_DUMP, COM_TABLE_DUMP, COM_REGISTER_SLAVE, COM_BINLOG_DUMP_GTID
    for command in [0x12, 0x13, 0x15, 0x1e] {
        let mut wire = proxy.connect(&database);
        wire.command(&[&[command][..], &[0; 20]].concat()).unwrap();
        let said = wire.read_packet().unwrap();
        assert_eq!(said.body[0], 0xff, "{command:#x}: {said:?}");
    }
    let login = proxy.login(&database).without(capability::PLUGIN_AUTH);
    let mut wire = Wire::connect(&login.plugin("mysql_native_password")).unwrap();
    assert_eq!(wire.value("select 1"), "1");
}
