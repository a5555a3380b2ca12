use std::sync::Arc;

use bytes::BytesMut;

use super::super::capability::Capabilities;
use super::super::frame::{HEADER_LEN, Header, put_packet};
use super::super::greeting::{Greeting, unheard};
use super::super::login::{Announcement, Flavor, Login};
use super::super::response::Response;
use super::{Hello, MAX_RESPONSE_LEN};
use crate::model::{Fault, FaultKind, Secret, TlsFacts};
use crate::protocol::{Caller, Exchange, HelloOffer, Step, TlsOffer};

fn hello(tls: TlsOffer, announcement: Option<Announcement>) -> Hello {
    let offer = HelloOffer {
        tls,
        direct_tls: false,
    };
    let caller = Caller {
        peer: [127, 0, 0, 1].into(),
        session: 5,
        announcement: announcement.map(Arc::new),
    };
    Hello::new(offer, caller, &[b'$'; 48])
}

/// Greets, and returns the greeting.
fn greet(hello: &mut Hello) -> Greeting {
    let mut out = BytesMut::new();
    let step = hello.advance(&mut BytesMut::new(), &mut out).unwrap();
    assert!(matches!(step, Step::Read));
    assert_eq!(Header::read(&out).unwrap().seq, 0);
    Greeting::read(&out[HEADER_LEN..]).unwrap()
}

fn response() -> Response<'static> {
    Response {
        capabilities: Capabilities::OWN | Capabilities::COMPRESS,
        collation: 33,
        user: b"ann",
        answer: b"answer",
        database: b"shop",
        plugin: b"mysql_native_password",
        attributes: b"\x0c_client_name\x03lib\x0cprogram_name\x03app",
    }
}

fn packet(response: &Response<'_>, seq: u8) -> BytesMut {
    let mut out = BytesMut::new();
    response.write(seq, &mut out);
    out
}

/// The end, and the packet that told the client.
fn end(hello: &mut Hello, mut input: BytesMut) -> (Result<Login, Fault>, Vec<u8>) {
    let mut out = BytesMut::new();
    let end = match hello.advance(&mut input, &mut out) {
        Ok(Step::Done(login)) => Ok(login),
        Err(fault) => Err(fault),
        Ok(_) => panic!("not at an end"),
    };
    (end, out.to_vec())
}

fn refused(tls: TlsOffer, input: BytesMut) -> (Fault, Vec<u8>) {
    let mut hello = hello(tls, None);
    greet(&mut hello);
    let (end, out) = end(&mut hello, input);
    (end.unwrap_err(), out)
}

#[test]
fn a_client_is_greeted_and_read() {
    let mut hello = hello(TlsOffer::Unavailable, None);
    let greeting = greet(&mut hello);
    assert_eq!(greeting.pid, 5);
    assert_eq!(&*greeting.plugin, "caching_sha2_password");
    assert!(!greeting.scramble.contains(&b'$'));
    let (login, told) = end(&mut hello, packet(&response(), 1));
    let login = login.unwrap();
    assert!(told.is_empty());
    assert_eq!((&*login.user, &*login.database), ("ann", "shop"));
    assert_eq!((login.collation, &*login.application), (33, "app"));
    assert_eq!(login.take_answer(), Some(Secret::new("answer")));
    assert_eq!(login.take_answer(), None);
    // What is not offered is not agreed on.
    assert_eq!(login.capabilities, Capabilities::OWN);
    assert_eq!(login.sequence.peek(), 2);
}

#[test]
fn what_the_server_has_is_offered_as_far_as_sluice_has_it() {
    let all = Announcement {
        capabilities: Capabilities(u64::MAX),
        ..unheard()
    };
    let offered = |announcement| {
        let mut hello = hello(TlsOffer::Optional, announcement);
        let heard = greet(&mut hello).announcement;
        (heard.capabilities, heard.flavor)
    };
    let (mysql, flavor) = offered(Some(all.clone()));
    assert_eq!(flavor, Flavor::MySql);
    assert!(mysql.has(Capabilities::SSL | Capabilities::QUERY_ATTRIBUTES));
    assert!(mysql.has(Capabilities::LONG_PASSWORD));
    // What Sluice does by itself needs no server.
    assert!(mysql.has(Capabilities::COMPRESS | Capabilities::ZSTD_COMPRESSION));
    assert!(!mysql.has(Capabilities::MULTI_FACTOR_AUTHENTICATION));
    let (maria, flavor) = offered(Some(Announcement {
        flavor: Flavor::MariaDb,
        ..all
    }));
    assert_eq!(flavor, Flavor::MariaDb);
    assert!(maria.has(Capabilities::MARIADB_EXTENDED_METADATA));
    assert!(!maria.has(Capabilities::MARIADB_PROGRESS));
    let (unknown, _) = offered(None);
    assert!(!unknown.has(Capabilities::QUERY_ATTRIBUTES));
    assert!(unknown.has(Capabilities::DEPRECATE_EOF));
}

#[test]
fn tls_is_begun_and_everything_read_again() {
    let mut hello = hello(TlsOffer::Required, None);
    greet(&mut hello);
    let asking = Response {
        capabilities: Capabilities::OWN | Capabilities::SSL,
        ..Response::default()
    };
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    asking.write_ssl_request(1, &mut input);
    let step = hello.advance(&mut input, &mut out).unwrap();
    assert!(matches!(step, Step::UpgradeTls) && out.is_empty());
    hello.secured(&TlsFacts::default());
    let (login, _) = end(&mut hello, packet(&response(), 2));
    let login = login.unwrap();
    assert!(login.tls);
    assert_eq!(login.sequence.peek(), 3);
}

#[test]
fn plaintext_is_not_taken_for_the_inside_of_tls() {
    let asking = Response {
        capabilities: Capabilities::OWN | Capabilities::SSL,
        ..response()
    };
    // A whole response where only the request may stand.
    let (fault, _) = refused(TlsOffer::Optional, packet(&asking, 1));
    assert_eq!(fault.kind, FaultKind::ProtocolViolation);
    // What stands behind the request is left to the handshake.
    let mut hello = hello(TlsOffer::Optional, None);
    greet(&mut hello);
    let (mut behind, mut out) = (BytesMut::new(), BytesMut::new());
    asking.write_ssl_request(1, &mut behind);
    behind.extend_from_slice(b"a client's handshake");
    let step = hello.advance(&mut behind, &mut out).unwrap();
    assert!(matches!(step, Step::UpgradeTls) && out.is_empty());
    assert_eq!(&behind[..], b"a client's handshake");
    let mut unasked = BytesMut::new();
    asking.write_ssl_request(1, &mut unasked);
    let (fault, _) = refused(TlsOffer::Unavailable, unasked);
    assert_eq!(fault.kind, FaultKind::ProtocolViolation);
}

#[test]
fn a_plaintext_client_is_told_that_tls_is_required() {
    let (fault, told) = refused(TlsOffer::Required, packet(&response(), 1));
    assert_eq!(fault.kind, FaultKind::TlsRequired);
    // Its packet follows the client's.
    assert_eq!(&told[3..13], b"\x02\xff\x57\x0c#HY000");
}

#[test]
fn other_protocols_are_told_apart() {
    // A TLS handshake, HTTP, and MySQL 4.0.
    let mut old = BytesMut::new();
    put_packet(&mut old, 1, |out| {
        out.extend_from_slice(b"\x05\x24\0\0\0ann\0")
    });
    for (input, code) in [
        (BytesMut::from(&b"\x16\x03\x01\x02\0\x01\0"[..]), 1156_u16),
        (BytesMut::from(&b"GET / HTTP/1.1\r\n\r\n"[..]), 1156),
        (old, 1043),
    ] {
        let (_, told) = refused(TlsOffer::Optional, input);
        assert_eq!(told[5..7], code.to_le_bytes());
    }
}

#[test]
fn a_length_is_refused_before_its_bytes_come() {
    let header = Header {
        len: MAX_RESPONSE_LEN + 1,
        seq: 1,
    };
    let (fault, told) = refused(TlsOffer::Optional, BytesMut::from(&header.to_bytes()[..]));
    assert_eq!(fault.kind, FaultKind::ProtocolViolation);
    assert_eq!(told[5..7], 1153_u16.to_le_bytes());
}

#[test]
fn names_that_are_no_text_are_refused_and_such_attributes_forgotten() {
    let (fault, _) = refused(
        TlsOffer::Optional,
        packet(
            &Response {
                user: b"\xff",
                ..response()
            },
            1,
        ),
    );
    assert_eq!(fault.kind, FaultKind::ProtocolViolation);
    let mut hello = hello(TlsOffer::Optional, None);
    greet(&mut hello);
    let odd = Response {
        attributes: b"\x05a",
        ..response()
    };
    let (login, _) = end(&mut hello, packet(&odd, 1));
    let login = login.unwrap();
    assert!(login.attributes.is_empty() && login.application.is_empty());
}
