use bytes::BytesMut;
use proptest::prelude::{any, proptest};

use super::{Hello, Outcome};
use crate::model::{Fault, FaultKind, TlsFacts};
use crate::protocol::postgres::cancel::{self, CancelKey};
use crate::protocol::postgres::startup::{GSSENC_REQUEST, MAX_LEN, SSL_REQUEST, startup_message};
use crate::protocol::{Exchange, HelloOffer, Step, TlsOffer};

const OPTIONAL: HelloOffer = HelloOffer {
    tls: TlsOffer::Optional,
    direct_tls: false,
};

fn request(code: u32) -> Vec<u8> {
    [8_u32.to_be_bytes(), code.to_be_bytes()].concat()
}

fn startup() -> Vec<u8> {
    let mut out = BytesMut::new();
    startup_message("ann", "shop", &mut out);
    out.to_vec()
}

/// One thing that happened.
#[derive(Debug, PartialEq)]
enum Event {
    Out(Vec<u8>),
    Upgrade,
    Done(Outcome),
    Failed(Fault),
}

/// Feeds `pieces` one after the other, each once the exchange wants more; the TLS handshake
/// always succeeds.
fn run(offer: HelloOffer, pieces: &[&[u8]]) -> Vec<Event> {
    let mut hello = Hello::new(offer);
    let mut events = Vec::new();
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    let mut pieces = pieces.iter();
    loop {
        let step = hello.advance(&mut input, &mut out);
        if !out.is_empty() {
            match events.last_mut() {
                Some(Event::Out(bytes)) => bytes.extend_from_slice(&out),
                _ => events.push(Event::Out(out.to_vec())),
            }
            out.clear();
        }
        match step {
            Ok(Step::Read) => {
                let Some(piece) = pieces.next() else {
                    return events;
                };
                input.extend_from_slice(piece);
                continue;
            }
            Ok(Step::UpgradeTls) => {
                events.push(Event::Upgrade);
                assert!(input.is_empty());
                hello.secured(&TlsFacts::default());
                continue;
            }
            Ok(Step::Compute(_)) => panic!("an odd step"),
            Ok(Step::Done(outcome)) => events.push(Event::Done(outcome)),
            Err(fault) => events.push(Event::Failed(fault)),
        }
        return events;
    }
}

fn fault(offer: HelloOffer, pieces: &[&[u8]]) -> Fault {
    match run(offer, pieces).pop() {
        Some(Event::Failed(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tls_is_answered_and_then_used() {
    let events = run(OPTIONAL, &[&request(SSL_REQUEST), &startup()]);
    assert_eq!(events[..2], [Event::Out(b"S".to_vec()), Event::Upgrade]);
    let Event::Done(Outcome::Login(startup)) = &events[2] else {
        panic!("{events:?}");
    };
    assert!(startup.tls);
}

#[test]
fn without_certificate_the_answer_is_no() {
    let offer = HelloOffer {
        tls: TlsOffer::Unavailable,
        ..OPTIONAL
    };
    for order in [[SSL_REQUEST, GSSENC_REQUEST], [GSSENC_REQUEST, SSL_REQUEST]] {
        let events = run(offer, &[&request(order[0]), &request(order[1]), &startup()]);
        assert_eq!(events[0], Event::Out(b"NN".to_vec()));
        assert!(matches!(&events[1], Event::Done(Outcome::Login(s)) if !s.tls));
    }
}

#[test]
fn gss_is_declined_before_tls() {
    let events = run(
        OPTIONAL,
        &[&request(GSSENC_REQUEST), &request(SSL_REQUEST), &startup()],
    );
    assert_eq!(events[..2], [Event::Out(b"NS".to_vec()), Event::Upgrade]);
}

#[test]
fn requests_are_not_repeated() {
    let (tls, gss) = (request(SSL_REQUEST), request(GSSENC_REQUEST));
    let no_tls = HelloOffer {
        tls: TlsOffer::Unavailable,
        ..OPTIONAL
    };
    let direct = HelloOffer {
        direct_tls: true,
        ..OPTIONAL
    };
    let cases: &[(HelloOffer, &[&[u8]])] = &[
        (no_tls, &[&tls, &tls]),
        (no_tls, &[&gss, &gss]),
        (OPTIONAL, &[&tls, &tls]),
        (OPTIONAL, &[&tls, &gss]),
        (direct, &[&tls]),
        (direct, &[&gss]),
    ];
    for (offer, pieces) in cases {
        assert_eq!(fault(*offer, pieces).kind, FaultKind::ProtocolViolation);
    }
}

#[test]
fn bytes_sent_before_the_handshake_are_refused() {
    let smuggled = [request(SSL_REQUEST), startup()].concat();
    let events = run(OPTIONAL, &[&smuggled]);
    assert!(
        matches!(&events[..], [Event::Failed(fault)] if fault.kind == FaultKind::ProtocolViolation)
    );
}

#[test]
fn required_tls_is_required() {
    let offer = HelloOffer {
        tls: TlsOffer::Required,
        ..OPTIONAL
    };
    assert_eq!(fault(offer, &[&startup()]).kind, FaultKind::TlsRequired);
    let events = run(offer, &[&request(SSL_REQUEST), &startup()]);
    assert!(matches!(events.last(), Some(Event::Done(_))));
    let offer = HelloOffer {
        direct_tls: true,
        ..offer
    };
    assert!(matches!(&run(offer, &[&startup()])[..], [Event::Done(Outcome::Login(s))] if s.tls));
}

#[test]
fn a_cancel_request_names_its_key() {
    for minor in [0, 2] {
        let key = CancelKey::new(3, minor, &[5; 48]);
        let wire = cancel::request(key.pid(), key.secret());
        let events = run(OPTIONAL, &[&wire]);
        assert_eq!(events, [Event::Done(Outcome::Cancel(key))]);
    }
    let short = cancel::request(1, &[]);
    assert_eq!(
        fault(OPTIONAL, &[&short]).kind,
        FaultKind::ProtocolViolation
    );
    let long = cancel::request(1, &[0; 257]);
    assert_eq!(fault(OPTIONAL, &[&long]).kind, FaultKind::ProtocolViolation);
}

#[test]
fn other_protocols_are_told_so() {
    let http = fault(OPTIONAL, &[b"GET / HTTP/1.1\r\n"]);
    assert!(http.message.contains("HTTP"));
    let tls = fault(OPTIONAL, &[b"\x16\x03\x01\x02\x00"]);
    assert!(tls.message.contains("TLS handshake"));
    assert_eq!(
        fault(OPTIONAL, &[b"\xff"]).kind,
        FaultKind::ProtocolViolation
    );
}

#[test]
fn lengths_are_refused_before_the_message_has_come() {
    let over = u32::try_from(MAX_LEN).unwrap() + 5;
    for len in [0, 4, 7, over, 0x00ff_ffff] {
        let mut hello = Hello::new(OPTIONAL);
        let mut input = BytesMut::from(&len.to_be_bytes()[..]);
        let capacity = input.capacity();
        let mut out = BytesMut::new();
        assert!(hello.advance(&mut input, &mut out).is_err(), "{len}");
        assert_eq!((input.capacity(), out.capacity()), (capacity, 0));
    }
    let mut input = BytesMut::from(&(over - 1).to_be_bytes()[..]);
    let step = Hello::new(OPTIONAL).advance(&mut input, &mut BytesMut::new());
    assert!(matches!(step, Ok(Step::Read)));
}

#[test]
fn what_follows_the_startup_message_is_left() {
    let mut input = BytesMut::from(&[&startup()[..], b"p..."].concat()[..]);
    let step = Hello::new(OPTIONAL).advance(&mut input, &mut BytesMut::new());
    assert!(matches!(step, Ok(Step::Done(_))));
    assert_eq!(&input[..], b"p...");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, body: Vec<u8>, code in 0_usize..5) {
        run(OPTIONAL, &[&bytes]);
        let codes = [SSL_REQUEST, GSSENC_REQUEST, SSL_REQUEST - 1, 3 << 16, (3 << 16) | 2];
        let len = u32::try_from(body.len() + 8).unwrap();
        let mut wire = len.to_be_bytes().to_vec();
        wire.extend_from_slice(&codes[code].to_be_bytes());
        wire.extend_from_slice(&body);
        run(OPTIONAL, &[&wire]);
    }

    #[test]
    fn splits_change_nothing(cuts: Vec<u8>, garbage in any::<bool>()) {
        let offer = HelloOffer { tls: TlsOffer::Unavailable, ..OPTIONAL };
        let mut wire = [request(GSSENC_REQUEST), request(SSL_REQUEST), startup()].concat();
        if garbage {
            wire.truncate(wire.len() - 2);
            wire.extend_from_slice(b"xx");
        }
        let whole = run(offer, &[&wire]);
        let mut pieces = Vec::new();
        let mut rest = &wire[..];
        for cut in cuts {
            let (piece, tail) = rest.split_at(usize::from(cut % 16).min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        pieces.push(rest);
        assert_eq!(run(offer, &pieces), whole);
        let bytes: Vec<_> = wire.chunks(1).collect();
        assert_eq!(run(offer, &bytes), whole);
    }
}
