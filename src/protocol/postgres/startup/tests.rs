use bytes::BytesMut;
use proptest::prelude::{any, proptest};

use super::{MAX_SETTINGS, PROTOCOL_3_0, PROTOCOL_3_2, SSL_REQUEST, Startup, startup_message};
use crate::model::{Fault, FaultKind};
use crate::protocol::Login;
use crate::protocol::postgres::message::error_fields;

fn body(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        for text in [name, value] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    body
}

/// What was understood, and what was written.
fn parse(version: u32, parameters: &[(&str, &str)]) -> (Result<Startup, Fault>, Vec<u8>) {
    let mut out = BytesMut::new();
    let startup = Startup::parse(&body(version, parameters), false, &mut out);
    (startup, out.to_vec())
}

fn setting<'a>(startup: &'a Startup, name: &str) -> Option<&'a [u8]> {
    let found = startup.settings.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| &value[..])
}

#[test]
fn a_client_is_understood() {
    let (startup, out) = parse(
        PROTOCOL_3_0,
        &[
            ("user", "ann"),
            ("database", "shop"),
            ("application_name", "psql\n"),
            ("DateStyle", "ISO"),
            ("options", "-c geqo=off -c datestyle=German"),
            ("datestyle", "SQL"),
        ],
    );
    let startup = startup.unwrap();
    assert!(out.is_empty());
    assert_eq!((&**startup.user(), &**startup.database()), ("ann", "shop"));
    assert_eq!(startup.application(), "psql?");
    assert_eq!((startup.minor, startup.tls), (0, false));
    let names: Vec<_> = startup.settings.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["geqo", "application_name", "datestyle"]);
    assert_eq!(setting(&startup, "datestyle"), Some(&b"SQL"[..]));
    assert_eq!(setting(&startup, "application_name"), Some(&b"psql\n"[..]));
}

#[test]
fn the_database_is_the_users_unless_named() {
    for parameters in [&[("user", "ann")][..], &[("user", "ann"), ("database", "")]] {
        let startup = parse(PROTOCOL_3_0, parameters).0.unwrap();
        assert_eq!(&**startup.database(), "ann");
    }
}

#[test]
fn versions_are_negotiated() {
    // Asked for; unknown options; agreed minor; version in the reply, if there is one.
    let table: &[(u32, &[&str], u16, Option<u32>)] = &[
        (PROTOCOL_3_0, &[], 0, None),
        (PROTOCOL_3_2, &[], 2, None),
        (PROTOCOL_3_0 | 1, &[], 0, Some(PROTOCOL_3_0)),
        (PROTOCOL_3_0 | 3, &[], 2, Some(PROTOCOL_3_2)),
        (
            PROTOCOL_3_0 | 9999,
            &["_pq_.test_protocol_negotiation"],
            2,
            Some(PROTOCOL_3_2),
        ),
        (PROTOCOL_3_0, &["_pq_.a", "_pq_.b"], 0, Some(PROTOCOL_3_0)),
        (PROTOCOL_3_2, &["_pq_.a"], 2, Some(PROTOCOL_3_2)),
    ];
    for (version, options, minor, reply) in table {
        let mut parameters = vec![("user", "ann")];
        parameters.extend(options.iter().map(|name| (*name, "1")));
        let (startup, out) = parse(*version, &parameters);
        let startup = startup.unwrap();
        assert_eq!(startup.minor, *minor);
        assert!(startup.settings.is_empty());
        let Some(reply) = reply else {
            assert!(out.is_empty());
            continue;
        };
        let mut expected = reply.to_be_bytes().to_vec();
        expected.extend_from_slice(&u32::try_from(options.len()).unwrap().to_be_bytes());
        for name in *options {
            expected.extend_from_slice(name.as_bytes());
            expected.push(0);
        }
        assert_eq!((out[0], &out[5..]), (b'v', &expected[..]));
    }
}

#[test]
fn other_protocols_are_unsupported() {
    for version in [0, 2 << 16, 4 << 16, SSL_REQUEST, u32::MAX] {
        let (startup, out) = parse(version, &[("user", "ann")]);
        let fault = startup.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unsupported);
        assert!(fault.message.starts_with("unsupported frontend protocol "));
        assert!(out.is_empty());
    }
}

#[test]
fn a_client_without_name_is_refused() {
    for parameters in [&[][..], &[("user", "")], &[("database", "shop")]] {
        let fault = parse(PROTOCOL_3_0, parameters).0.unwrap_err();
        let wire = fault.verbatim.unwrap();
        assert_eq!(error_fields(&wire[5..]).code, "28000");
    }
}

#[test]
fn replication_is_unsupported() {
    for value in ["true", "database", "on", "1", "y", "o", ""] {
        let (startup, _) = parse(PROTOCOL_3_0, &[("user", "a"), ("replication", value)]);
        assert_eq!(startup.unwrap_err().kind, FaultKind::Unsupported, "{value}");
    }
    for value in ["false", "f", "off", "OFF", "no", "0"] {
        let (startup, _) = parse(PROTOCOL_3_0, &[("user", "a"), ("replication", value)]);
        assert!(startup.unwrap().settings.is_empty(), "{value}");
    }
}

#[test]
fn long_or_unreadable_names_are_refused() {
    let (longest, long) = ("x".repeat(1024), "x".repeat(1025));
    assert!(parse(PROTOCOL_3_0, &[("user", &longest)]).0.is_ok());
    for parameters in [
        [("user", &*long), ("database", "d")],
        [("user", "a"), ("database", &long)],
    ] {
        let fault = parse(PROTOCOL_3_0, &parameters).0.unwrap_err();
        assert_eq!(fault.kind, FaultKind::ProtocolViolation);
    }
    let mut out = BytesMut::new();
    let wire = b"\0\x03\0\0user\0\xff\0\0";
    assert!(Startup::parse(wire, false, &mut out).is_err());
}

#[test]
fn settings_are_limited() {
    let names: Vec<_> = (0..=MAX_SETTINGS).map(|n| format!("x.a{n}")).collect();
    let mut parameters: Vec<_> = names.iter().map(|name| (&**name, "1")).collect();
    parameters.push(("user", "ann"));
    assert!(parse(PROTOCOL_3_0, &parameters[1..]).0.is_ok());
    assert!(parse(PROTOCOL_3_0, &parameters).0.is_err());
}

#[test]
fn the_last_byte_is_the_terminator() {
    let whole = body(PROTOCOL_3_0, &[("user", "ann"), ("database", "shop")]);
    let mut out = BytesMut::new();
    assert!(Startup::parse(&whole, false, &mut out).is_ok());
    for len in 0..whole.len() {
        assert!(
            Startup::parse(&whole[..len], false, &mut out).is_err(),
            "{len}"
        );
    }
    let longer = [&whole[..], b"\0"].concat();
    assert!(Startup::parse(&longer, false, &mut out).is_err());
}

#[test]
fn our_own_startup_message_is_understood() {
    let mut out = BytesMut::new();
    startup_message("ann", "shop", &mut out);
    assert_eq!(&out[..4], &u32::try_from(out.len()).unwrap().to_be_bytes());
    let startup = Startup::parse(&out[4..], true, &mut BytesMut::new()).unwrap();
    assert_eq!(
        (&*startup.user, &*startup.database, startup.tls),
        ("ann", "shop", true)
    );
    assert!(startup.settings.is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, minor in any::<u16>()) {
        let mut out = BytesMut::new();
        let _ = Startup::parse(&bytes, false, &mut out);
        let mut versioned = (PROTOCOL_3_0 | u32::from(minor)).to_be_bytes().to_vec();
        versioned.extend_from_slice(&bytes);
        let _ = Startup::parse(&versioned, false, &mut out);
    }
}
