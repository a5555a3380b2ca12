//! Bytes that no honest client sends: they cost their sender the connection and nobody else anything.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;

use crate::support::{
    certs::Certs,
    noise::noise,
    place,
    postgres::{self, Database},
    sluice::{Settings, Sluice, is_direct},
    wire::{
        Login, Wire,
        backend::{Message, error, words},
        frontend::{
            GSS_REQUEST, SSL_REQUEST, VERSION_3_0, bind, message, parse, query, startup, sync,
            untagged,
        },
    },
};

fn open(port: u16) -> Wire {
    Wire::open(port, IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap()
}

fn proxy() -> (Database, Sluice) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    (database, proxy)
}

/// Sends what the peer must not accept; everything it says until it closes.
fn provoke(port: u16, bytes: &[u8]) -> Vec<Message> {
    let mut wire = open(port);
    // The peer may close before it has read everything.
    let _ = wire.send(bytes);
    let _ = wire.tcp().shutdown(std::net::Shutdown::Write);
    wire.read_to_close()
}

fn assert_serves(proxy: &Sluice, database: &Database) {
    let mut wire = proxy.connect(database);
    assert_eq!(wire.value("select 'served'"), "served");
    assert!(!wire.has_input());
}

#[test]
fn random_bytes_instead_of_a_startup_are_no_login() {
    let (database, proxy) = proxy();
    for seed in 0..200 {
        let reply = provoke(proxy.port, &noise(seed, 1 + seed as usize * 7 % 3000));
        assert!(
            !words(&reply).contains(&"Ready(I)".to_owned()),
            "seed {seed}"
        );
    }
    assert_serves(&proxy, &database);
}

#[test]
fn random_bytes_after_login_end_that_session_alone() {
    let (database, proxy) = proxy();
    for seed in 0..100 {
        let mut wire = proxy.connect(&database);
        let _ = wire.send(&noise(seed + 1000, 2000));
        let _ = wire.tcp().shutdown(std::net::Shutdown::Write);
        wire.read_to_close();
    }
    assert_serves(&proxy, &database);
}

#[test]
fn random_bodies_of_every_known_message_end_at_most_that_session() {
    let (database, proxy) = proxy();
    for (turn, tag) in b"BCDEFHPQSXcdfp".iter().cycle().take(300).enumerate() {
        let mut wire = proxy.connect(&database);
        let body = noise(turn as u64, turn % 60);
        let _ = wire.send(&[message(*tag, &body), sync()].concat());
        let _ = wire.tcp().shutdown(std::net::Shutdown::Write);
        wire.read_to_close();
    }
    assert_serves(&proxy, &database);
}

#[test]
fn impossible_lengths_after_login_end_the_session_with_08p01() {
    let (database, proxy) = proxy();
    for tag in [
        b'Q', b'P', b'B', b'D', b'E', b'S', b'H', b'C', b'X', b'd', b'c', b'f', b'F', b'p',
    ] {
        for length in [0_u32, 1, 3, 0x8000_0000, u32::MAX, 0x7FFF_FFFF] {
            // A Query or Parse or CopyData of two gigabytes is too long only for its reader.
            if length == 0x7FFF_FFFF && b"QPBdF".contains(&tag) {
                continue;
            }
            let mut wire = proxy.connect(&database);
            let _ = wire.send(&[&[tag][..], &length.to_be_bytes(), b"some bytes"].concat());
            let reply = wire.read_to_close();
            let code = error(&reply);
            // PostgreSQL itself logs it and says nothing.
            assert!(
                code.is_none() || code.as_deref() == Some("08P01"),
                "{tag} {length}: {:?}",
                words(&reply)
            );
            assert!(!words(&reply).contains(&"Ready(I)".to_owned()));
        }
    }
    assert_serves(&proxy, &database);
}

#[test]
fn an_unknown_message_type_ends_the_session_with_08p01() {
    let (database, proxy) = proxy();
    for tag in [0, b'Z', b'1', b'~', 255] {
        let mut wire = proxy.connect(&database);
        wire.send(&message(tag, b"what is this")).unwrap();
        assert_eq!(
            error(&wire.read_to_close()).as_deref(),
            Some("08P01"),
            "{tag}"
        );
    }
    assert_serves(&proxy, &database);
}

#[test]
fn a_promise_of_much_data_takes_no_memory() {
    if is_direct() {
        return;
    }
    let (database, proxy) = proxy();
    assert_serves(&proxy, &database);
    let before = place::resident_bytes(proxy.pid());
    let huge = 0x3FFF_FFF0_u32.to_be_bytes();
    let mut clients = Vec::new();
    for turn in 0..60 {
        let mut wire = proxy.connect(&database);
        let tag = b"QPBdp"[turn % 5];
        let _ = wire.send(&[&[tag][..], &huge, &[b'x'; 1000]].concat());
        clients.push(wire);
        let mut wire = open(proxy.port);
        let _ = wire.send(&huge);
        clients.push(wire);
    }
    // A login after theirs shows that what they sent has been seen.
    drop(Wire::connect(&Login::new(proxy.port, "nowhere", ("nobody", ""))).err());
    let grown = place::resident_bytes(proxy.pid()).saturating_sub(before);
    assert!(grown < 32 << 20, "grew by {grown} bytes");
    drop(clients);
    assert_serves(&proxy, &database);
}

#[test]
fn malformed_startup_packets_are_refused() {
    let (database, proxy) = proxy();
    let packets = [
        0_u32.to_be_bytes().to_vec(),
        4_u32.to_be_bytes().to_vec(),
        7_u32.to_be_bytes().to_vec(),
        [&(-1_i32).to_be_bytes()[..], &[0; 8]].concat(),
        untagged(VERSION_3_0, b""),
        untagged(VERSION_3_0, b"\0"),
        untagged(VERSION_3_0, b"user"),
        untagged(VERSION_3_0, b"user\0"),
        untagged(VERSION_3_0, b"user\0app"),
        untagged(VERSION_3_0, b"user\0app\0"),
        untagged(VERSION_3_0, b"user\0\0\0"),
        untagged(VERSION_3_0, b"user\0app\0database\0"),
        untagged(VERSION_3_0, b"database\0postgres\0\0"),
        untagged(VERSION_3_0, b"user\0app\0\0garbage after the end"),
        untagged(VERSION_3_0, &vec![b'x'; 20_000]),
        startup(
            VERSION_3_0,
            &[("user", &"u".repeat(9_000)), ("database", "postgres")],
        ),
        startup(
            VERSION_3_0,
            &[("user", "app"), ("database", &"d".repeat(9_000))],
        ),
    ];
    for packet in packets {
        let reply = provoke(proxy.port, &packet);
        assert!(
            !words(&reply).contains(&"Ready(I)".to_owned()),
            "{packet:?}"
        );
        assert!(
            !words(&reply).contains(&"Authentication(0)".to_owned()),
            "{packet:?}"
        );
    }
    assert_serves(&proxy, &database);
}

#[test]
fn other_major_protocol_versions_are_refused() {
    let (database, proxy) = proxy();
    for version in [0x0004_0000, 0x7FFF_0000] {
        let packet = startup(version, &[("user", "app"), ("database", &database.name)]);
        assert_eq!(
            error(&provoke(proxy.port, &packet)).as_deref(),
            Some("0A000"),
            "{version:#x}"
        );
    }
    // Clients so old may be told in their own format, which has no lengths.
    for version in [0, 0x0001_0000, 0x0002_0000] {
        let mut wire = open(proxy.port);
        wire.send(&startup(
            version,
            &[("user", "app"), ("database", &database.name)],
        ))
        .unwrap();
        let (mut told, mut byte) = (Vec::new(), [0]);
        while wire.read_exact(&mut byte).is_ok() {
            told.push(byte[0]);
        }
        assert_eq!(told.first(), Some(&b'E'), "{version:#x}");
    }
    assert_serves(&proxy, &database);
}

#[test]
fn newer_minor_versions_and_unknown_protocol_options_are_negotiated_down() {
    let (database, proxy) = proxy();
    // The newest libpq asks for 3.9999 to keep servers honest.
    let mut wire = open(proxy.port);
    let parameters = [
        ("user", "app"),
        ("database", database.name.as_str()),
        ("_pq_.test_protocol_negotiation", "on"),
    ];
    wire.send(&startup(0x0003_270F, &parameters)).unwrap();
    let first = wire.read().unwrap();
    assert_eq!(first.word(), "NegotiateVersion");
    assert_eq!(first.body[4..8], [0, 0, 0, 1], "one option is not known");
    assert_eq!(first.body[8..], *b"_pq_.test_protocol_negotiation\0");
    wire.finish_login(&proxy.login(&database)).unwrap();
    assert_eq!(wire.value("select 'agreed'"), "agreed");
}

#[test]
fn bytes_before_the_tls_handshake_are_refused() {
    let (database, proxy) = proxy();
    let login = startup(
        VERSION_3_0,
        &[("user", "app"), ("database", &database.name)],
    );
    let mut wire = open(proxy.port);
    // CVE-2021-23214: what was sent in clear must not be taken for a part of the encrypted stream.
    wire.send(&[untagged(SSL_REQUEST, &[]), login].concat())
        .unwrap();
    let mut answer = [0];
    if wire.read_exact(&mut answer).is_ok()
        && &answer == b"S"
        && wire.upgrade(Certs::shared().client_config(None)).is_ok()
    {
        let reply = words(&wire.read_to_close());
        assert!(
            !reply.iter().any(|word| word.starts_with("Authentication")),
            "{reply:?}"
        );
    }
    assert_serves(&proxy, &database);
}

#[test]
fn plain_bytes_after_agreeing_on_tls_end_the_connection() {
    let (database, proxy) = proxy();
    let mut wire = open(proxy.port);
    wire.send(&untagged(SSL_REQUEST, &[])).unwrap();
    let mut answer = [0];
    wire.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"S");
    wire.send(&startup(
        VERSION_3_0,
        &[("user", "app"), ("database", &database.name)],
    ))
    .unwrap();
    let mut rest = Vec::new();
    while wire.read_exact(&mut answer).is_ok() {
        rest.push(answer[0]);
    }
    // At most a TLS alert (RFC 8446, 5.1: content type 21).
    assert!(rest.is_empty() || rest[0] == 21, "{rest:?}");
    assert_serves(&proxy, &database);
}

#[test]
fn tls_without_asking_for_it_is_no_login() {
    let (database, proxy) = proxy();
    let mut wire = open(proxy.port);
    // No ALPN, so this is not PostgreSQL's direct TLS either.
    if wire.upgrade(Certs::shared().client_config(None)).is_ok() {
        let _ = wire.send(&startup(
            VERSION_3_0,
            &[("user", "app"), ("database", &database.name)],
        ));
        let reply = words(&wire.read_to_close());
        assert!(
            !reply.iter().any(|word| word.starts_with("Authentication")),
            "{reply:?}"
        );
    }
    assert_serves(&proxy, &database);
}

/// `sslnegotiation=direct` of libpq 17.
#[test]
fn tls_without_asking_for_it_is_served_where_it_names_the_protocol() {
    if is_direct() {
        return; // PostgreSQL before 17
    }
    let (database, proxy) = proxy();
    let mut config = ClientConfig::clone(&Certs::shared().client_config(None));
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let mut wire = open(proxy.port);
    wire.upgrade(Arc::new(config)).unwrap();
    wire.send(&startup(
        VERSION_3_0,
        &[("user", "app"), ("database", &database.name)],
    ))
    .unwrap();
    wire.finish_login(&database.login(proxy.port)).unwrap();
    assert_eq!(wire.value("select 'inside'"), "inside");
}

#[test]
fn gss_encryption_is_declined_and_tls_may_follow() {
    if is_direct() {
        return; // PostgreSQL itself may be built with it
    }
    let (database, proxy) = proxy();
    let mut wire = open(proxy.port);
    let mut answer = [0];
    wire.send(&untagged(GSS_REQUEST, &[])).unwrap();
    wire.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N");
    wire.send(&untagged(SSL_REQUEST, &[])).unwrap();
    wire.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"S");
    wire.upgrade(Certs::shared().client_config(None)).unwrap();
    wire.send(&startup(
        VERSION_3_0,
        &[("user", "app"), ("database", &database.name)],
    ))
    .unwrap();
    wire.finish_login(&proxy.login(&database)).unwrap();
    assert_eq!(wire.value("select 1"), "1");
}

#[test]
fn endless_requests_for_encryption_are_cut_short() {
    if is_direct() {
        return;
    }
    let (database, proxy) = proxy();
    let mut wire = open(proxy.port);
    let mut answers = 0;
    while answers < 100
        && wire.send(&untagged(GSS_REQUEST, &[])).is_ok()
        && wire.read_exact(&mut [0]).is_ok()
    {
        answers += 1;
    }
    assert!(answers < 100);
    assert_serves(&proxy, &database);
}

#[test]
fn a_login_that_stalls_is_cut_off() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let settings =
        Settings::for_server(database.server_port).listener("client_login_timeout", "300ms");
    let proxy = Sluice::start(&settings);
    let login = startup(
        VERSION_3_0,
        &[("user", "app"), ("database", &database.name)],
    );
    let tls_begun = untagged(SSL_REQUEST, &[]);
    for sent in [
        &[][..],
        &login[..3],
        &login[..login.len() - 1],
        &login,
        &tls_begun,
    ] {
        let mut wire = open(proxy.port);
        wire.send(sent).unwrap();
        let mut byte = [0];
        while wire.read_exact(&mut byte).is_ok() {}
    }
    assert_serves(&proxy, &database);
}

#[test]
fn an_overlong_password_is_refused() {
    let (database, proxy) = proxy();
    let mut wire = open(proxy.port);
    wire.send(&startup(
        VERSION_3_0,
        &[("user", "app"), ("database", &database.name)],
    ))
    .unwrap();
    assert!(wire.read().unwrap().word().starts_with("Authentication("));
    let _ = wire.send(&message(b'p', &vec![b'x'; 2_000_000]));
    let reply = wire.read_to_close();
    assert!(!words(&reply).contains(&"Ready(I)".to_owned()));
    assert_serves(&proxy, &database);
}

#[test]
fn a_query_instead_of_a_password_is_no_login() {
    let (database, proxy) = proxy();
    let mut wire = open(proxy.port);
    let login = startup(
        VERSION_3_0,
        &[("user", "app"), ("database", &database.name)],
    );
    wire.send(&[login, query("select 'inside'")].concat())
        .unwrap();
    let reply = wire.read_to_close();
    assert!(
        words(&reply)
            .iter()
            .all(|word| word.starts_with("Authentication(10)") || word.starts_with("Error"))
    );
    assert_serves(&proxy, &database);
}

#[test]
fn malformed_bodies_are_errors_of_their_sender_alone() {
    let (database, proxy) = proxy();
    let bodies = [
        message(b'Q', b"select 1 without a terminator"),
        message(b'Q', b""),
        message(b'P', b"name\0select 1\0"),
        message(b'P', b"name\0select 1\0\xff\xff"),
        message(b'P', b"no terminator"),
        message(b'B', b"\0\0\0\0\xff\xff"),
        message(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\x00"),
        message(b'B', b"\0\0"),
        message(b'D', b"X\0"),
        message(b'D', b""),
        message(b'C', b"Zname\0"),
        message(b'E', b"portal"),
        message(b'F', b"\0\0"),
        message(b'S', b"extra"),
        message(b'H', b"extra"),
    ];
    for body in bodies {
        let mut wire = proxy.connect(&database);
        wire.succeed("begin");
        wire.send(&[body.clone(), sync()].concat()).unwrap();
        let reply = wire.read_ready_or_close();
        assert!(error(&reply).is_some(), "{body:?}: {:?}", words(&reply));
        drop(wire);
        assert_serves(&proxy, &database);
    }
    let mut wire = proxy.connect(&database);
    let reply = wire.ask(&[parse("", "select $1::int"), bind("", "", &[]), sync()].concat());
    assert_eq!(words(&reply), ["ParseComplete", "Error(08P01)", "Ready(I)"]);
}

#[test]
fn wrong_passwords_and_unknown_users_look_alike() {
    let (database, proxy) = proxy();
    let mut told = Vec::new();
    for (user, password) in [
        (postgres::APP.0, "wrong"),
        ("nobody", "wrong"),
        (postgres::APP.0, ""),
    ] {
        match Wire::connect(&Login::new(proxy.port, &database.name, (user, password))) {
            Err(crate::support::wire::Refused::Error(refusal)) => {
                assert_eq!(refusal.sqlstate(), "28P01");
                assert_eq!(refusal.field(b'S'), "FATAL");
                told.push(refusal.field(b'M').replace(user, "USER"));
            }
            other => panic!("{:?}", other.err()),
        }
    }
    told.dedup();
    assert_eq!(told, ["password authentication failed for user \"USER\""]);
    assert_serves(&proxy, &database);
}

#[test]
fn overlong_names_are_refused() {
    let (database, proxy) = proxy();
    for length in [64, 1000, 5000] {
        let name = "n".repeat(length);
        assert!(Wire::connect(&Login::new(proxy.port, &name, postgres::APP)).is_err());
        assert!(Wire::connect(&Login::new(proxy.port, &database.name, (&name, "x"))).is_err());
    }
    assert_serves(&proxy, &database);
}

#[test]
fn names_that_hold_odd_bytes_reach_no_one_else() {
    let (database, proxy) = proxy();
    for name in [
        "a\nb",
        "'; drop table x; --",
        "\u{feff}",
        "..",
        &"é".repeat(31),
    ] {
        let refused = Wire::connect(&Login::new(proxy.port, name, postgres::APP))
            .err()
            .unwrap();
        assert_eq!(refused.sqlstate(), "3D000", "{name:?}");
        let refused = Wire::connect(&Login::new(proxy.port, &database.name, (name, "x")))
            .err()
            .unwrap();
        assert_eq!(refused.sqlstate(), "28P01", "{name:?}");
    }
    assert_serves(&proxy, &database);
}
