//! Laws that hold for any bytes and any split of them.

use bytes::BytesMut;
use proptest::prelude::{ProptestConfig, proptest};
use proptest::sample::Index;

use super::pair::{CLIENT_ENTROPY, Ending, Pair, SERVER_ENTROPY, Side, Tls};
use super::{METHODS, hashed, plain};
use crate::model::{AuthMethod, Fault, Proof, TlsFacts, Verifier};
use crate::protocol::postgres::connect::{Connect, Connected};
use crate::protocol::postgres::prove::Prove;
use crate::protocol::postgres::scram::derive_verifier;
use crate::protocol::{ConnectError, ConnectPlan, Exchange, TlsWish};

/// Cheap to check, so that many cases can be run.
fn cheap_scram(password: &str) -> Verifier {
    Verifier::Scram(derive_verifier(password.as_bytes(), b"0123456789abcdef", 1))
}

fn pair(method: Index, verifier: u8, right: bool, tls: bool) -> Pair {
    let stored = match verifier % 4 {
        0 => None,
        1 => Some(plain("pencil")),
        2 => Some(cheap_scram("pencil")),
        _ => Some(hashed("pencil")),
    };
    Pair {
        tls: tls.then(|| Tls::honest(Some(b"hash"), Some("ann"))),
        ..Pair::new(
            *method.get(&METHODS),
            stored,
            if right { "pencil" } else { "pen" },
        )
    }
}

/// How an exchange ended; `None`: it waits for more.
type Outcome<X> = Option<Result<<X as Exchange>::Done, <X as Exchange>::Error>>;

/// Feeds the pieces one after the other; what was written, and the end.
fn replay<X: Exchange>(exchange: X, pieces: &[&[u8]]) -> (Vec<u8>, Outcome<X>) {
    let mut side = Side::new(exchange);
    let facts = TlsFacts::default();
    let mut written = side.turn(Some(&facts));
    for piece in pieces {
        side.input.extend_from_slice(piece);
        written.extend_from_slice(&side.turn(Some(&facts)));
    }
    (written, side.end)
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

fn proof(end: Option<Result<Proof, Fault>>) -> Option<Result<Option<Vec<u8>>, Fault>> {
    let password = |proof: Proof| proof.password.map(|password| password.expose().to_vec());
    end.map(|end| end.map(password))
}

fn login(end: Option<Result<Connected, ConnectError>>) -> Option<Result<Connected, String>> {
    end.map(|end| end.map_err(|error| error.to_string()))
}

fn prove(pair: &Pair) -> Prove {
    Prove::new("ann".into(), pair.demand(), &SERVER_ENTROPY)
}

/// The client's side with TLS taken out of it, so that bytes can be cut anywhere.
fn connect(pair: &Pair) -> Connect {
    let plan = ConnectPlan {
        tls: TlsWish::Never,
        ..pair.plan()
    };
    Connect::new(plan, &CLIENT_ENTROPY)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn splits_change_nothing(
        method: Index, verifier: u8, right: bool, tls: bool, cuts: Vec<u8>,
    ) {
        let pair = pair(method, verifier, right, tls);
        let Ending { to_server, to_client, .. } = pair.run();
        let (written, end) = replay(prove(&pair), &[&to_server]);
        let bytes: Vec<_> = to_server.chunks(1).collect();
        let end = proof(end);
        for pieces in [cut(&to_server, &cuts), bytes] {
            let (again, other) = replay(prove(&pair), &pieces);
            assert_eq!(again, written);
            assert_eq!(proof(other), end);
        }
        if tls {
            return Ok(());
        }
        let to_client = to_client.strip_prefix(b"N").unwrap_or(&to_client);
        let (written, end) = replay(connect(&pair), &[to_client]);
        let bytes: Vec<_> = to_client.chunks(1).collect();
        let end = login(end);
        for pieces in [cut(to_client, &cuts), bytes] {
            let (again, other) = replay(connect(&pair), &pieces);
            assert_eq!(again, written);
            assert_eq!(login(other), end);
        }
    }

    #[test]
    fn a_client_that_sends_other_bytes_is_not_let_in(
        method: Index, verifier: u8, tls: bool, at: Index, value in 1_u8.., garbage: Vec<u8>,
    ) {
        let pair = pair(method, verifier, true, tls);
        let asks = !matches!(pair.method, AuthMethod::Trust | AuthMethod::Certificate);
        let (_, end) = replay(prove(&pair), &[&garbage]);
        assert!(!asks || !matches!(end, Some(Ok(_))));
        // One changed byte in an otherwise right login. Only the user name inside SCRAM, which
        // is empty, and the end of base64 texts could change without harm; neither does.
        let mut wire = pair.run().to_server;
        if asks && !wire.is_empty() {
            *at.get_mut(&mut wire) ^= value;
            let (_, end) = replay(prove(&pair), &[&wire]);
            assert!(!matches!(end, Some(Ok(_))), "{wire:?}");
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
        let pair = pair(method, verifier, true, false);
        let mut wire = pair.run().to_client;
        wire.remove(0);
        *at.get_mut(&mut wire) ^= value;
        replay(connect(&pair), &[&wire]);
    }

    #[test]
    fn framed_garbage_is_survived(kind: u8, code in 0_i32..14, body: Vec<u8>, any_kind: bool) {
        let mut wire = BytesMut::new();
        let kind = if any_kind { kind } else { b'R' };
        super::super::message::put(&mut wire, kind, |out| {
            out.extend_from_slice(&code.to_be_bytes());
            out.extend_from_slice(&body);
        });
        for method in METHODS {
            let pair = Pair::new(method, Some(plain("x")), "x");
            replay(connect(&pair), &[&wire]);
            wire[0] = b'p';
            let (_, end) = replay(prove(&pair), &[&wire]);
            let asks = !matches!(method, AuthMethod::Trust | AuthMethod::Certificate);
            assert!(!asks || !matches!(end, Some(Ok(_))));
            wire[0] = kind;
        }
    }
}
