use bytes::BytesMut;

use super::super::capability::Capabilities;
use super::super::fault::{access_denied, write, write_early};
use super::super::frame::{HEADER_LEN, put_packet};
use super::super::greeting::{Greeting, unheard};
use super::super::login::Announcement;
use super::super::response::Response;
use super::{Connect, TRACKERS, put_query};
use crate::model::{Credential, Fault, FaultKind, Secret, TlsFacts};
use crate::protocol::{Breach, ConnectError, ConnectPlan, Exchange, Step, TlsWish};

fn plan(credential: Credential, tls: TlsWish) -> ConnectPlan {
    ConnectPlan {
        user: "ann".into(),
        database: "".into(),
        variant: 0,
        credential,
        tls,
        ask_public_key: false,
    }
}

fn password() -> Credential {
    Credential::Password(Secret::new("pencil"))
}

fn greeting(capabilities: Capabilities) -> BytesMut {
    let greeting = Greeting {
        announcement: Announcement {
            capabilities: Capabilities::OWN
                | Capabilities::USUAL
                | Capabilities::LONG_PASSWORD
                | capabilities,
            ..unheard()
        },
        pid: 1,
        scramble: *b"01234567890123456789",
        plugin: "caching_sha2_password".into(),
    };
    let mut out = BytesMut::new();
    greeting.write(&mut out);
    out
}

/// Feeds a server's packets, one at a time; returns what was written and the error, if any.
fn run(plan: ConnectPlan, packets: &[BytesMut]) -> (BytesMut, Option<ConnectError>) {
    let mut connect = Connect::new(plan, &[0; 48]);
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    for packet in packets {
        input.extend_from_slice(packet);
        loop {
            match connect.advance(&mut input, &mut out) {
                Ok(Step::UpgradeTls) => connect.secured(&TlsFacts::default()),
                Ok(_) => break,
                Err(error) => return (out, Some(error)),
            }
        }
    }
    (out, None)
}

fn packet(seq: u8, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    put_packet(&mut out, seq, |out| out.extend_from_slice(payload));
    out
}

#[test]
fn a_server_that_is_full_says_so_in_place_of_its_greeting() {
    let mut wire = BytesMut::new();
    let fault = Fault::new(FaultKind::TooManyClients, "Too many connections");
    write_early(&fault, &mut wire);
    let (_, error) = run(
        plan(password(), TlsWish::Require),
        std::slice::from_ref(&wire),
    );
    let Some(ConnectError::Refused(error)) = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (&*error.code, &*error.message),
        ("1040", "Too many connections")
    );
    assert_eq!(error.wire, wire);
}

#[test]
fn a_server_without_tls_is_left_where_tls_is_required() {
    let (out, error) = run(
        plan(password(), TlsWish::Require),
        &[greeting(Capabilities::default())],
    );
    assert!(matches!(error, Some(ConnectError::NoTls)));
    assert!(out.is_empty());
}

#[test]
fn nothing_may_stand_behind_the_greeting() {
    let mut wire = greeting(Capabilities::SSL);
    wire.extend_from_slice(b"x");
    let (_, error) = run(plan(password(), TlsWish::Prefer), &[wire]);
    assert!(matches!(error, Some(ConnectError::Breach(_))));
}

#[test]
fn tls_is_asked_for_before_anything_is_said() {
    let (out, _) = run(
        plan(password(), TlsWish::Prefer),
        &[greeting(Capabilities::SSL)],
    );
    assert_eq!(out[..4], [32, 0, 0, 1]);
    let rest = &out[36..];
    assert_eq!(rest[3], 2);
    let response = Response::read(&rest[HEADER_LEN..], false).unwrap();
    assert_eq!((response.user, response.database), (&b"ann"[..], &b""[..]));
    assert!(response.capabilities.has(Capabilities::SSL));
    assert!(!response.capabilities.has(Capabilities::CONNECT_WITH_DB));
}

#[test]
fn the_password_goes_out_inside_tls_only() {
    for plugin in ["mysql_clear_password", "sha256_password"] {
        let switch = packet(2, &[&b"\xfe"[..], plugin.as_bytes(), b"\0"].concat());
        let capabilities = Capabilities::SSL;
        let (out, error) = run(
            plan(password(), TlsWish::Never),
            &[greeting(capabilities), switch.clone()],
        );
        assert!(
            matches!(error, Some(ConnectError::Credential(_))),
            "{plugin}"
        );
        assert!(!out.windows(6).any(|part| part == b"pencil"));
        let tls = packet(3, &switch[HEADER_LEN..]);
        let (out, error) = run(
            plan(password(), TlsWish::Require),
            &[greeting(capabilities), tls],
        );
        assert!(error.is_none());
        assert!(out.ends_with(b"\x07\0\0\x04pencil\0"));
    }
}

#[test]
fn a_server_cannot_ask_for_ever() {
    let mut packets = vec![greeting(Capabilities::default())];
    packets.extend(
        (0..200).map(|_| packet(2, b"\xfemysql_native_password\x0001234567890123456789\0")),
    );
    let (out, error) = run(plan(password(), TlsWish::Never), &packets);
    assert!(matches!(error, Some(ConnectError::Breach(_))));
    assert!(out.len() < 1000);
}

#[test]
fn old_and_unknown_plugins_are_named() {
    for (request, what) in [
        (&b"\xfe"[..], "mysql_old_password"),
        (b"\xfeauth_gssapi_client\0", "plugin"),
    ] {
        let packets = [greeting(Capabilities::default()), packet(2, request)];
        let (_, error) = run(plan(password(), TlsWish::Never), &packets);
        assert!(error.unwrap().to_string().contains(what));
    }
}

#[test]
fn a_refusal_is_kept_whole() {
    let mut wire = BytesMut::new();
    write(
        &access_denied("ann", [127, 0, 0, 1].into(), true),
        2,
        &mut wire,
    );
    let packets = [greeting(Capabilities::default()), wire.clone()];
    let (_, error) = run(plan(password(), TlsWish::Never), &packets);
    let Some(ConnectError::Refused(error)) = error else {
        panic!("{error:?}");
    };
    assert_eq!((&*error.code, &error.wire), ("1045", &wire.freeze()));
}

#[test]
fn servers_that_cannot_track_are_not_used() {
    let mut wire = BytesMut::new();
    Greeting {
        announcement: Announcement {
            capabilities: Capabilities::OWN,
            ..unheard()
        },
        pid: 1,
        scramble: [b'x'; 20],
        plugin: "mysql_native_password".into(),
    }
    .write(&mut wire);
    let (_, error) = run(plan(password(), TlsWish::Never), &[wire]);
    assert!(matches!(error, Some(ConnectError::Breach(Breach(what))) if what.contains("older")));
}

#[test]
fn a_query_has_a_place_for_attributes_where_they_are_agreed_on() {
    let mut out = Vec::new();
    put_query(&mut out, Capabilities::QUERY_ATTRIBUTES, TRACKERS);
    assert!(out.starts_with(b"\x03\0\x01SET SESSION"));
    out.clear();
    put_query(&mut out, Capabilities::default(), "SELECT 1");
    assert_eq!(out, b"\x03SELECT 1");
}

#[test]
fn a_login_that_does_not_ask_for_the_token_proves_nothing() {
    let token = || Credential::Token(Secret::new("pencil"));
    let switch = |plugin: &str| {
        packet(
            4,
            &[b"\xFE", plugin.as_bytes(), b"\0", &[7; 20], b"\0"].concat(),
        )
    };
    let ok = |seq| packet(seq, b"\0\0\0\x02\0\0\0");
    for (packets, shown) in [
        (vec![ok(3)], false),
        (vec![switch("mysql_native_password"), ok(6)], false),
        (vec![switch("mysql_clear_password"), ok(6)], true),
    ] {
        let mut all = vec![greeting(Capabilities::SSL)];
        all.extend(packets);
        let (out, error) = run(plan(token(), TlsWish::Require), &all);
        assert_eq!(
            matches!(error, Some(ConnectError::Unasked)),
            !shown,
            "{error:?}"
        );
        assert_eq!(error.is_none(), shown, "{error:?}");
        assert_eq!(out.windows(6).any(|bytes| bytes == b"pencil"), shown);
    }
    // Not even then, without TLS.
    let all = [
        greeting(Capabilities::USUAL),
        switch("mysql_clear_password"),
    ];
    let (out, error) = run(plan(token(), TlsWish::Never), &all);
    assert!(
        matches!(error, Some(ConnectError::Credential(_))),
        "{error:?}"
    );
    assert!(!out.windows(6).any(|bytes| bytes == b"pencil"));
}
