//! Laws that hold for any bytes and any split of them.

use std::fmt::Debug;

use bytes::BytesMut;
use proptest::prelude::{ProptestConfig, proptest};
use proptest::sample::Index;

use super::pair::{CLIENT_ENTROPY, Ending, Pair, Serve, Side};
use super::{METHODS, crypted, double_sha1, maria, plain, signed};
use crate::model::{AuthMethod, TlsFacts};
use crate::protocol::mysql::connect::Connect;
use crate::protocol::mysql::frame::put_packet;
use crate::protocol::mysql::probe::Probe;
use crate::protocol::{ConnectPlan, Exchange, TlsWish};

fn pair(method: Index, verifier: u8, right: bool, tls: bool) -> Pair {
    let stored = match verifier % 5 {
        0 => None,
        1 => Some(plain("pencil")),
        2 => Some(double_sha1("pencil")),
        3 => Some(signed("pencil")),
        _ => Some(crypted("pencil")),
    };
    let password = if right { "pencil" } else { "pen" };
    Pair {
        tls: tls.then(TlsFacts::default),
        announcement: (verifier & 0x80 != 0).then(maria),
        ..Pair::new(*method.get(&METHODS), stored, password)
    }
}

/// What was written, and how it ended.
type Replay<X> = (
    Vec<u8>,
    Option<Result<<X as Exchange>::Done, <X as Exchange>::Error>>,
);

/// Feeds the pieces one after the other. TLS is not asked for, or ignored.
fn replay<X: Exchange>(exchange: X, pieces: &[&[u8]]) -> Replay<X> {
    let mut side = Side::new(exchange);
    let facts = TlsFacts::default();
    let mut written = side.turn(&facts);
    for piece in pieces {
        side.input.extend_from_slice(piece);
        written.extend_from_slice(&side.turn(&facts));
    }
    (written, side.end)
}

fn shown<X: Exchange<Done: Debug, Error: Debug>>((written, end): Replay<X>) -> String {
    format!("{written:?} {end:?}")
}

fn cut<'a>(mut rest: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, tail) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

/// The client's side with TLS taken out of it, so that bytes can be cut anywhere.
fn connect(pair: &Pair) -> Connect {
    let plan = ConnectPlan {
        tls: TlsWish::Never,
        ..pair.plan()
    };
    Connect::new(plan, &CLIENT_ENTROPY)
}

fn asks(pair: &Pair) -> bool {
    !matches!(pair.method, AuthMethod::Trust | AuthMethod::Certificate)
}

/// Where the packets of a wire end.
fn packets(mut wire: &[u8]) -> Vec<&[u8]> {
    let mut packets = Vec::new();
    while let Some(header) = super::Header::read(wire) {
        let (packet, rest) = wire.split_at(header.total().min(wire.len()));
        packets.push(packet);
        wire = rest;
    }
    packets
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn splits_change_nothing(method: Index, verifier: u8, right: bool, cuts: Vec<u8>) {
        let pair = pair(method, verifier, right, false);
        let Ending { to_server, to_client, .. } = pair.run();
        let whole = shown::<Serve>(replay(pair.serve(), &packets(&to_server)));
        let bytes: Vec<_> = to_server.chunks(1).collect();
        for pieces in [cut(&to_server, &cuts), bytes] {
            assert_eq!(shown::<Serve>(replay(pair.serve(), &pieces)), whole);
        }
        // A server that sends more than its greeting before it is answered is refused.
        let pieces = packets(&to_client);
        let whole = shown::<Connect>(replay(connect(&pair), &pieces));
        let greeting = pieces[0];
        let bytes: Vec<_> = to_client.chunks(1).collect();
        let mut split = cut(greeting, &cuts);
        split.extend(cut(&to_client[greeting.len()..], &cuts));
        for pieces in [split, bytes] {
            assert_eq!(shown::<Connect>(replay(connect(&pair), &pieces)), whole);
        }
    }

    #[test]
    fn a_client_that_sends_other_bytes_is_not_let_in(
        method: Index, verifier: u8, at: Index, value in 1_u8.., garbage: Vec<u8>,
    ) {
        let pair = pair(method, verifier, true, false);
        let (_, end) = replay(pair.serve(), &[&garbage]);
        assert!(!matches!(end, Some(Ok(_))));
        let mut wire = BytesMut::new();
        put_packet(&mut wire, 1, |out| out.extend_from_slice(&garbage));
        let (_, end) = replay(pair.serve(), &[&wire]);
        assert!(!asks(&pair) || !matches!(end, Some(Ok(_))));
        // One changed byte: it may be one that does not matter, such as the collation, but never
        // lets anybody in without a right answer.
        let mut wire = pair.run().to_server;
        if asks(&pair) && let Some(place) = wire.get_mut(at.index(2000)) {
            *place ^= value;
            let (_, end) = replay(pair.serve(), &[&wire]);
            if let Some(Ok((login, proof))) = end {
                assert!(pair.verifier.is_some(), "{login:?} {proof:?}");
            }
        }
    }

    #[test]
    fn a_server_may_send_anything(
        verifier: u8, tls: bool, at: Index, value in 1_u8.., method: Index, garbage: Vec<u8>,
        wish in 0_usize..3,
    ) {
        let plan = ConnectPlan {
            tls: [TlsWish::Never, TlsWish::Prefer, TlsWish::Require][wish],
            ..pair(method, verifier, true, tls).plan()
        };
        replay(Connect::new(plan, &CLIENT_ENTROPY), &[&garbage]);
        replay(Probe::new(), &[&garbage]);
        let pair = pair(method, verifier, true, false);
        let mut wire = pair.run().to_client;
        *at.get_mut(&mut wire) ^= value;
        replay(connect(&pair), &packets(&wire));
        replay(Probe::new(), &packets(&wire));
    }

    #[test]
    fn framed_garbage_is_survived(first: u8, body: Vec<u8>, any_first: bool, answers: Vec<Vec<u8>>) {
        let first = if any_first { first } else { [0, 1, 0xFE, 0xFF][usize::from(first % 4)] };
        for method in METHODS {
            let pair = Pair::new(method, Some(plain("x")), "x");
            let greeting = pair.run().to_client;
            let greeting = packets(&greeting)[0];
            let mut wire = BytesMut::new();
            put_packet(&mut wire, 2, |out| {
                out.extend_from_slice(&[first]);
                out.extend_from_slice(&body);
            });
            replay(connect(&pair), &[greeting, &wire]);
            // A right name and any answers to what follows.
            let mut unknown = Pair::new(method, None, "x");
            unknown.tls = Some(TlsFacts::default());
            let name = pair.run().to_server;
            let name = packets(&name)[0];
            let mut wire = name.to_vec();
            for (answer, seq) in answers.iter().zip((3..).step_by(2)) {
                put_packet(&mut wire, seq, |out| out.extend_from_slice(answer));
            }
            let (_, end) = replay(unknown.serve(), &[&wire]);
            assert!(!asks(&pair) || !matches!(end, Some(Ok(_))));
        }
    }
}
