//! Both roles of a login against each other.

mod pair;
mod props;

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use pair::{Ending, Pair, Side};

use super::capability::Capabilities;
use super::frame::Header;
use super::greeting::unheard;
use super::login::{Announcement, Flavor};
use super::plugin::{ed25519, native, parsec, sha_crypt};
use crate::model::{
    AuthMethod, Credential, FaultKind, Parsec, SealingKey, Secret, ShaCrypt, TlsFacts, Verifier,
};
use crate::protocol::ConnectError;

const METHODS: [AuthMethod; 7] = [
    AuthMethod::Trust,
    AuthMethod::CachingSha2,
    AuthMethod::Native,
    AuthMethod::Ed25519,
    AuthMethod::Sha256,
    AuthMethod::Password,
    AuthMethod::Certificate,
];

fn plain(password: &str) -> Verifier {
    Verifier::Password(Secret::new(password))
}

fn double_sha1(password: &str) -> Verifier {
    let key = native::key(password.as_bytes());
    Verifier::Native(Secret::new(native::stored(key.expose())))
}

fn crypted(password: &str) -> Verifier {
    let salt = b"01234567890123456789";
    Verifier::ShaCrypt(ShaCrypt {
        rounds: 3,
        salt: salt[..].into(),
        hash: sha_crypt::crypt(password.as_bytes(), salt, 3),
    })
}

fn signed(password: &str) -> Verifier {
    Verifier::Ed25519(ed25519::public_key(password.as_bytes()))
}

fn derived(password: &str) -> Verifier {
    let seed = parsec::derive(password.as_bytes(), b"salt", 0);
    let key = Ed25519KeyPair::from_seed_unchecked(seed.expose()).unwrap();
    Verifier::Parsec(Parsec {
        factor: 0,
        salt: b"salt"[..].into(),
        key: key.public_key().as_ref().try_into().unwrap(),
    })
}

fn maria() -> Arc<Announcement> {
    Arc::new(Announcement {
        version: "11.8.2-MariaDB".into(),
        flavor: Flavor::MariaDb,
        capabilities: Capabilities::USUAL | Capabilities::MARIADB_EXTENDED_METADATA,
        ..unheard()
    })
}

fn tls_kinds() -> [Option<TlsFacts>; 3] {
    let named = TlsFacts {
        peer_common_name: Some("ann".into()),
        ..TlsFacts::default()
    };
    [None, Some(TlsFacts::default()), Some(named)]
}

/// The error number that the client reads, or `None` if it is in.
fn code(ending: &Ending) -> Option<&str> {
    match &ending.client {
        Ok(_) => None,
        Err(ConnectError::Refused(error)) => Some(&error.code),
        Err(error) => panic!("{error}"),
    }
}

/// What a client with the right password, or without, reads.
fn expected(
    method: AuthMethod,
    stored: &Verifier,
    tls: Option<&TlsFacts>,
) -> [Option<&'static str>; 2] {
    let named = tls.is_some_and(|tls| tls.peer_common_name.is_some());
    match method {
        AuthMethod::Trust => [None; 2],
        AuthMethod::Certificate if named => [None; 2],
        AuthMethod::Certificate => [Some("1045"); 2],
        AuthMethod::Sha256 | AuthMethod::Password if tls.is_none() => [Some("3159"); 2],
        AuthMethod::CachingSha2 | AuthMethod::Native | AuthMethod::Ed25519
            if tls.is_none() && matches!(stored, Verifier::ShaCrypt(_)) =>
        {
            [Some("3159"); 2]
        }
        _ => [None, Some("1045")],
    }
}

#[test]
fn every_method_lets_the_right_client_in_and_no_other() {
    for method in METHODS {
        for tls in tls_kinds() {
            for stored in [plain, double_sha1, crypted, signed, derived].map(|kind| kind("pencil"))
            {
                let [right, wrong] = expected(method, &stored, tls.as_ref());
                for announcement in [None, Some(maria())] {
                    let case = format!("{method:?} {tls:?} {stored:?} {announcement:?}");
                    for chunk in [1, 7, usize::MAX] {
                        let end = |stored: Option<Verifier>, password: &str| {
                            Pair {
                                tls: tls.clone(),
                                chunk,
                                announcement: announcement.clone(),
                                ..Pair::new(method, stored, password)
                            }
                            .run()
                        };
                        let good = end(Some(stored.clone()), "pencil");
                        assert_eq!(code(&good), right, "{case}");
                        assert_eq!(code(&end(Some(stored.clone()), "pen")), wrong, "{case}");
                        // Nobody is told what would be needed for a user that is not there.
                        let unknown = wrong.map(|wrong| match method {
                            AuthMethod::CachingSha2 | AuthMethod::Native | AuthMethod::Ed25519 => {
                                "1045"
                            }
                            _ => wrong,
                        });
                        assert_eq!(code(&end(None, "pencil")), unknown, "{case}");
                    }
                }
            }
        }
    }
}

#[test]
fn both_sides_learn_what_they_need() {
    let pair = Pair {
        announcement: Some(maria()),
        tls: Some(TlsFacts::default()),
        ..Pair::new(AuthMethod::CachingSha2, Some(plain("pencil")), "pencil")
    };
    let ending = pair.run();
    let (login, _) = ending.server.unwrap();
    assert_eq!((&*login.user, &*login.database), ("ann", ""));
    assert_eq!((&*login.application, login.tls), ("sluice", true));
    assert_eq!((login.collation, login.flavor), (45, Flavor::MariaDb));
    let connected = ending.client.unwrap();
    assert_eq!((connected.pid, connected.tls), (7, true));
    assert_eq!(&*connected.announcement.version, "11.8.2-MariaDB");
    assert!(!connected.capabilities.has(Capabilities::LONG_PASSWORD));
    assert_eq!(connected.capabilities, login.capabilities);
}

#[test]
fn what_a_client_reveals_opens_the_next_door() {
    let tls = Some(TlsFacts::default());
    for (method, stored) in [
        (AuthMethod::Native, double_sha1("pencil")),
        (AuthMethod::Password, crypted("pencil")),
        (AuthMethod::CachingSha2, crypted("pencil")),
    ] {
        let pair = Pair {
            tls: tls.clone(),
            ..Pair::new(method, Some(stored.clone()), "pencil")
        };
        let (_, proof) = pair.run().server.unwrap();
        assert!(proof.scram_keys.is_none());
        let credential = match (proof.native_key, proof.password) {
            (Some(key), None) => Credential::NativeKey(key),
            (None, Some(password)) => Credential::Password(password),
            other => panic!("{other:?}"),
        };
        let next = Pair { credential, ..pair };
        assert_eq!(code(&next.run()), None, "{method:?}");
    }
}

#[test]
fn a_token_is_shown_to_a_server_that_asks_for_it_in_the_clear() {
    for method in [AuthMethod::Iam, AuthMethod::Jwt, AuthMethod::Password] {
        for announcement in [None, Some(maria())] {
            let pair = Pair {
                credential: Credential::Token(Secret::new("pencil")),
                tls: Some(TlsFacts::default()),
                announcement,
                ..Pair::new(method, Some(plain("pencil")), "")
            };
            let ending = pair.run();
            assert!(ending.client.is_ok(), "{method:?}");
            let (_, proof) = ending.server.unwrap();
            let token = proof.token.map(|token| token.expose().to_vec());
            assert_eq!(token, method.is_token().then(|| b"pencil".to_vec()));
        }
    }
}

fn sealing_key() -> Arc<SealingKey> {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let public = BASE64.encode(public.as_ref());
    let public = format!("-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n");
    Arc::new(SealingKey {
        private: Secret::new(private.as_ref()),
        public: public.into_bytes().into(),
    })
}

#[test]
fn passwords_are_sealed_where_there_is_no_tls() {
    let sealing_key = Some(sealing_key());
    for method in [AuthMethod::CachingSha2, AuthMethod::Sha256] {
        for stored in [plain("pencil"), crypted("pencil")] {
            for chunk in [1, usize::MAX] {
                let run = |password: &str| {
                    Pair {
                        sealing_key: sealing_key.clone(),
                        chunk,
                        ..Pair::new(method, Some(stored.clone()), password)
                    }
                    .run()
                };
                let right = run("pencil");
                assert_eq!(code(&right), None, "{method:?} {stored:?}");
                assert!(!right.to_server.windows(6).any(|part| part == b"pencil"));
                assert_eq!(code(&run("pen")), Some("1045"), "{method:?} {stored:?}");
            }
        }
        // The clear method has no seal.
        let clear = Pair {
            sealing_key: sealing_key.clone(),
            ..Pair::new(AuthMethod::Password, Some(plain("pencil")), "pencil")
        };
        assert_eq!(code(&clear.run()), Some("3159"));
    }
}

#[test]
fn garbage_under_the_seal_is_a_wrong_password() {
    let key = sealing_key();
    let demand = |password: &str| Pair {
        sealing_key: Some(Arc::clone(&key)),
        ..Pair::new(AuthMethod::Sha256, Some(plain("pencil")), password)
    };
    let mut wire = demand("pencil").run().to_server;
    // The sealed password is as long as the key.
    let mut at = 0;
    while let Some(header) = Header::read(&wire[at..]).filter(|header| header.len != 256) {
        at += header.total();
    }
    wire[at + 100] ^= 1;
    let mut side = Side::new(demand("pencil").serve());
    side.input.extend_from_slice(&wire);
    side.turn(&TlsFacts::default());
    let fault = side.end.unwrap().unwrap_err();
    assert_eq!(fault.kind, FaultKind::AuthenticationFailed);
}

/// Length of each packet, and the last packet whole: all that an attacker sees apart from numbers
/// that look random.
fn shape(ending: &Ending) -> (Vec<usize>, Vec<u8>) {
    let (mut lengths, mut rest) = (Vec::new(), &ending.to_client[..]);
    let mut last = rest;
    while let Some(header) = Header::read(rest) {
        lengths.push(header.len);
        (last, rest) = rest.split_at(header.total());
    }
    (lengths, last.to_vec())
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let kinds: [fn(&str) -> Verifier; 5] = [plain, double_sha1, crypted, signed, derived];
    for (method, kinds) in [
        (AuthMethod::CachingSha2, &kinds[..1]),
        (AuthMethod::Native, &kinds[..2]),
        (AuthMethod::Ed25519, &[plain, signed]),
        (AuthMethod::Sha256, &kinds[..]),
        (AuthMethod::Password, &kinds[..]),
    ] {
        for tls in tls_kinds() {
            let run = |stored: Option<Verifier>| {
                Pair {
                    tls: tls.clone(),
                    ..Pair::new(method, stored, "pen")
                }
                .run()
            };
            let unknown = run(None);
            for verifier in kinds {
                let wrong = run(Some(verifier("pencil")));
                assert_eq!(shape(&wrong), shape(&unknown), "{method:?}");
                let (wrong, unknown) = (&wrong.server, &unknown.server);
                assert_eq!(wrong.as_ref().unwrap_err(), unknown.as_ref().unwrap_err());
            }
        }
    }
}

#[test]
fn nobody_gets_in_without_a_password() {
    for method in [
        AuthMethod::CachingSha2,
        AuthMethod::Native,
        AuthMethod::Sha256,
    ] {
        for stored in [
            Some(plain("")),
            Some(double_sha1("")),
            Some(crypted("")),
            None,
        ] {
            let pair = Pair {
                credential: Credential::None,
                tls: Some(TlsFacts::default()),
                ..Pair::new(method, stored, "")
            };
            let ending = pair.run();
            assert_eq!(code(&ending), Some("1045"), "{method:?}");
            let fault = ending.server.unwrap_err();
            assert!(fault.message.ends_with("(using password: NO)"), "{fault}");
        }
    }
}
