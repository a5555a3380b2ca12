//! Both roles of a login against each other.

mod pair;
mod props;

use bytes::BytesMut;

use pair::{CLIENT_ENTROPY, Ending, Pair, Tls};

use super::connect::Connect;
use super::scram::derive_verifier;
use super::{frame, message};
use crate::model::{AuthMethod, Credential, FaultKind, Secret, TlsFacts, Verifier};
use crate::protocol::postgres::md5;
use crate::protocol::{ConnectError, Exchange, Step};

const METHODS: [AuthMethod; 5] = [
    AuthMethod::Trust,
    AuthMethod::Scram,
    AuthMethod::Password,
    AuthMethod::Md5,
    AuthMethod::Certificate,
];

fn plain(password: &str) -> Verifier {
    Verifier::Password(Secret::new(password))
}

fn scram(password: &str) -> Verifier {
    Verifier::Scram(derive_verifier(
        password.as_bytes(),
        b"0123456789abcdef",
        4096,
    ))
}

fn hashed(password: &str) -> Verifier {
    let hash = md5::stored(password.as_bytes(), "ann");
    Verifier::Md5(Secret::new([b"md5", hash.as_slice()].concat()))
}

fn tls_kinds() -> [Option<Tls>; 4] {
    [
        None,
        Some(Tls::honest(None, None)),
        Some(Tls::honest(Some(b"hash"), None)),
        Some(Tls::honest(Some(b"hash"), Some("ann"))),
    ]
}

fn run(
    method: AuthMethod,
    stored: Option<Verifier>,
    password: &str,
    tls: Option<Tls>,
    chunk: usize,
) -> Ending {
    Pair {
        tls,
        chunk,
        ..Pair::new(method, stored, password)
    }
    .run()
}

/// SQLSTATE that the client reads, or `None` if it is in.
fn code(ending: &Ending) -> Option<&str> {
    match &ending.client {
        Ok(_) => None,
        Err(ConnectError::Refused(error)) => Some(&error.code),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_method_lets_the_right_client_in_and_no_other() {
    for method in METHODS {
        for tls in tls_kinds() {
            for stored in [plain, scram, hashed].map(|verifier| verifier("pencil")) {
                let unsafe_password = method == AuthMethod::Password && tls.is_none();
                let no_name = tls
                    .as_ref()
                    .is_none_or(|tls| tls.server.peer_common_name.is_none());
                let hash_for_scram =
                    method == AuthMethod::Scram && matches!(stored, Verifier::Md5(_));
                let right = match method {
                    AuthMethod::Certificate if no_name => Some("28P01"),
                    _ if unsafe_password => Some("28000"),
                    _ if hash_for_scram => Some("28P01"),
                    _ => None,
                };
                let wrong = match method {
                    AuthMethod::Trust | AuthMethod::Certificate => right,
                    _ if unsafe_password => Some("28000"),
                    _ => Some("28P01"),
                };
                let case = format!("{method:?} {tls:?} {stored:?}");
                for chunk in [1, 7, usize::MAX] {
                    let end = |stored: Option<Verifier>, password: &str| {
                        run(method, stored, password, tls.clone(), chunk)
                    };
                    assert_eq!(code(&end(Some(stored.clone()), "pencil")), right, "{case}");
                    assert_eq!(code(&end(Some(stored.clone()), "pen")), wrong, "{case}");
                    assert_eq!(code(&end(None, "pencil")), wrong, "{case}");
                }
            }
        }
    }
}

#[test]
fn both_sides_learn_what_they_need() {
    let tls = Some(Tls::honest(Some(b"hash"), None));
    let ending = run(AuthMethod::Scram, Some(scram("pencil")), "pencil", tls, 3);
    let (startup, proof) = ending.server.unwrap();
    assert_eq!((&*startup.user, &*startup.database), ("ann", "shop"));
    assert!(startup.tls && proof.scram_keys.is_some());
    let connected = ending.client.unwrap();
    let names: Vec<_> = connected
        .parameters
        .iter()
        .map(|(name, _)| &**name)
        .collect();
    assert_eq!(names, ["server_version", "TimeZone"]);
    assert_eq!((connected.pid, connected.cancel_key.len()), (8, 4));
    assert!(connected.tls);
    assert!(!format!("{connected:?}").contains("34"));
}

#[test]
fn the_password_is_left_behind_by_the_cleartext_method_only() {
    for method in METHODS {
        let tls = Some(Tls::honest(None, Some("ann")));
        let ending = run(method, Some(plain("pencil")), "pencil", tls, usize::MAX);
        let (_, proof) = ending.server.unwrap();
        let password = proof.password.map(|password| password.expose().to_vec());
        let expected = (method == AuthMethod::Password).then(|| b"pencil".to_vec());
        assert_eq!(password, expected);
        assert_eq!(proof.scram_keys.is_some(), method == AuthMethod::Scram);
    }
}

#[test]
fn a_token_is_shown_to_a_server_that_asks_for_it_in_the_clear() {
    for method in [AuthMethod::Iam, AuthMethod::Jwt, AuthMethod::Password] {
        let pair = Pair {
            credential: Credential::Token(Secret::new("pencil")),
            tls: Some(Tls::honest(Some(b"hash"), None)),
            ..Pair::new(method, Some(plain("pencil")), "")
        };
        let ending = pair.run();
        assert!(ending.client.is_ok(), "{method:?}");
        let (_, proof) = ending.server.unwrap();
        let token = proof.token.map(|token| token.expose().to_vec());
        assert_eq!(token, method.is_token().then(|| b"pencil".to_vec()));
    }
}

#[test]
fn a_token_is_not_shown_to_a_server_that_asks_for_something_else_or_nothing() {
    let mut scram = Vec::new();
    message::authentication_sasl(&mut scram, &["SCRAM-SHA-256"]);
    let (mut nothing, mut md5, mut clear) = (Vec::new(), Vec::new(), Vec::new());
    message::authentication_ok(&mut nothing);
    message::authentication_md5(&mut md5, [1; 4]);
    message::authentication_cleartext(&mut clear);
    for (request, tls) in [
        (&nothing, true),
        (&scram, true),
        (&md5, true),
        (&clear, false),
    ] {
        let mut pair = Pair::new(AuthMethod::Iam, None, "");
        pair.credential = Credential::Token(Secret::new("pencil"));
        let mut connect = Connect::new(pair.plan(), &CLIENT_ENTROPY);
        let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
        assert!(matches!(
            connect.advance(&mut input, &mut out),
            Ok(Step::Read)
        ));
        input.extend_from_slice(if tls { b"S" } else { b"N" });
        if tls {
            assert!(matches!(
                connect.advance(&mut input, &mut out),
                Ok(Step::UpgradeTls)
            ));
            connect.secured(&TlsFacts::default());
        }
        input.extend_from_slice(request);
        let failed = loop {
            match connect.advance(&mut input, &mut out) {
                Ok(Step::Read) if input.is_empty() => panic!("{request:?} is answered"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(matches!(failed, ConnectError::Unasked), tls, "{failed}");
        assert!(!out.windows(6).any(|bytes| bytes == b"pencil"));
    }
}

#[test]
fn keys_revealed_by_a_client_open_the_next_door() {
    let stored = scram("pencil");
    for tls in tls_kinds() {
        let ending = run(
            AuthMethod::Scram,
            Some(stored.clone()),
            "pencil",
            tls.clone(),
            9,
        );
        let (_, proof) = ending.server.unwrap();
        let pair = Pair {
            credential: Credential::ScramKeys(proof.scram_keys.unwrap()),
            tls,
            ..Pair::new(AuthMethod::Scram, Some(stored.clone()), "")
        };
        assert_eq!(code(&pair.run()), None);
        // They fit no other password, and no other method.
        let other = Pair {
            verifier: Some(scram("other")),
            ..pair.clone()
        };
        assert_eq!(code(&other.run()), Some("28P01"));
    }
}

/// Kind and length of each message, and the last message whole: all that an attacker sees apart
/// from numbers that look random.
fn shape(ending: &Ending) -> (Vec<(u8, usize)>, Vec<u8>) {
    let mut kinds = Vec::new();
    let mut rest = &ending.to_client[..];
    let mut last = rest;
    // Before TLS there is one byte that is no message.
    rest = rest.strip_prefix(b"N").unwrap_or(rest);
    while let Some(header) = frame::header(rest, usize::MAX).unwrap() {
        kinds.push((header.kind, header.len));
        (last, rest) = rest.split_at(header.total());
    }
    (kinds, last.to_vec())
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    for method in [AuthMethod::Scram, AuthMethod::Password, AuthMethod::Md5] {
        for tls in tls_kinds() {
            let verifiers = match method {
                AuthMethod::Md5 => vec![plain("pencil"), hashed("pencil")],
                _ => vec![plain("pencil"), scram("pencil"), hashed("pencil")],
            };
            let unknown = run(method, None, "pen", tls.clone(), usize::MAX);
            let expected = shape(&unknown);
            assert!(expected.0.len() >= 2 || tls.is_none());
            for stored in verifiers {
                let wrong = run(method, Some(stored), "pen", tls.clone(), usize::MAX);
                assert_eq!(shape(&wrong), expected, "{method:?}");
                let (wrong, unknown) = (&wrong.server, &unknown.server);
                assert_eq!(wrong.as_ref().unwrap_err(), unknown.as_ref().unwrap_err());
            }
        }
    }
}

#[test]
fn somebody_in_between_is_noticed() {
    let mut tls = Tls::honest(Some(b"real"), None);
    tls.client.end_point = Some(bytes::Bytes::from_static(b"fake"));
    let ending = run(
        AuthMethod::Scram,
        Some(scram("pencil")),
        "pencil",
        Some(tls.clone()),
        5,
    );
    let fault = ending.server.unwrap_err();
    assert_eq!(fault.kind, FaultKind::AuthenticationFailed);
    assert_eq!(fault.message, "SCRAM channel binding check failed");
    // One that claims to have no certificate hash, so that binding is not offered, is told by the
    // client's `y`, once the message reaches the real server.
    let offered = Pair {
        tls: Some(Tls::honest(Some(b"real"), None)),
        ..Pair::new(AuthMethod::Scram, Some(scram("pencil")), "pencil")
    };
    let stripped = Pair {
        tls: Some(Tls {
            server: Tls::honest(None, None).server,
            ..Tls::honest(Some(b"real"), None)
        }),
        ..offered.clone()
    };
    let first = stripped.run().to_server;
    let mut prove = pair::Side::new(super::prove::Prove::new(
        "ann".into(),
        offered.demand(),
        &pair::SERVER_ENTROPY,
    ));
    prove.input.extend_from_slice(&first);
    prove.turn(None);
    let fault = prove.end.unwrap().unwrap_err();
    assert_eq!(fault.message, "SCRAM channel binding check failed");
}
