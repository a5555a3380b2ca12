use bytes::Bytes;
use proptest::prelude::proptest;

use super::client::{Binding, Client, Knowledge, MAX_ITERATIONS};
use super::server::{Lookup, Refusal, Server};
use super::{NONCE_LEN, attribute, client, derive_verifier, keys, prepared, salted_password};
use crate::model::{ScramKeys, ScramVerifier, Secret};

// RFC 7677 section 3.
const RFC_CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const RFC_SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const RFC_CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const RFC_SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const RFC_CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const RFC_SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
// The same user and salt as `pg_authid.rolpassword`.
const RFC_VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

const DECOY: [u8; 32] = [3; 32];
const NONCE: [u8; NONCE_LEN] = [1; NONCE_LEN];

fn rfc_verifier() -> ScramVerifier {
    ScramVerifier::parse(RFC_VERIFIER).unwrap()
}

fn rfc_server(lookup: Lookup) -> Server {
    let mut server = Server::with_nonce(lookup, None, RFC_SERVER_NONCE.to_owned());
    server.select(b"SCRAM-SHA-256").unwrap();
    server
}

#[test]
fn the_client_speaks_rfc_7677() {
    let knowledge = Knowledge::Password(Secret::new("pencil"));
    let mut client = Client::with_nonce(
        knowledge,
        Binding::None,
        "user",
        RFC_CLIENT_NONCE.to_owned(),
    );
    assert_eq!(client.first(), RFC_CLIENT_FIRST);
    assert!(client.last().is_none());
    let work = client
        .challenged(RFC_SERVER_FIRST.as_bytes())
        .unwrap()
        .unwrap();
    client.computed(&work.run());
    assert_eq!(client.last().unwrap(), RFC_CLIENT_FINAL);
    client.finished(RFC_SERVER_FINAL.as_bytes()).unwrap();
    let wrong = RFC_SERVER_FINAL.replace("v=6", "v=7");
    assert!(matches!(
        client.finished(wrong.as_bytes()),
        Err(client::Refusal::Impostor(_))
    ));
    assert!(client.finished(b"v=").is_err());
    assert!(client.finished(b"e=other-error").is_err());
}

#[test]
fn the_server_speaks_rfc_7677() {
    let mut server = rfc_server(Lookup::verifier(rfc_verifier()));
    assert_eq!(
        server.first(RFC_CLIENT_FIRST.as_bytes()).unwrap(),
        RFC_SERVER_FIRST
    );
    assert!(server.last(RFC_CLIENT_FINAL.as_bytes()).unwrap().is_none());
    let (last, revealed) = server.verdict().unwrap();
    assert_eq!(last, RFC_SERVER_FINAL);
    let salted = salted_password(b"pencil", &rfc_verifier().salt, 4096);
    assert_eq!(revealed.client_key, keys(&salted).client_key);
    assert_eq!(revealed.server_key, keys(&salted).server_key);
}

#[test]
fn the_derived_verifier_is_postgresqls() {
    let stored = rfc_verifier();
    let derived = derive_verifier(b"pencil", &stored.salt, 4096);
    assert_eq!(derived.stored_key, stored.stored_key);
    assert_eq!(derived.server_key, stored.server_key);
    assert_eq!(
        (derived.iterations, derived.salt),
        (stored.iterations, stored.salt)
    );
}

#[test]
fn passwords_are_prepared_as_postgresql_prepares_them() {
    let table: &[(&[u8], &[u8])] = &[
        (b"plain", b"plain"),
        ("I\u{ad}X".as_bytes(), b"IX"),
        ("\u{aa}".as_bytes(), b"a"),
        ("a\u{a0}b".as_bytes(), b"a b"),
        // Used as they are: control character, not UTF-8, nothing left.
        (b"\x07", b"\x07"),
        (b"\xff\xfe", b"\xff\xfe"),
        ("\u{ad}".as_bytes(), "\u{ad}".as_bytes()),
    ];
    for (password, expected) in table {
        assert_eq!(&*prepared(password), *expected, "{password:?}");
    }
}

/// Runs both sides against each other; the client's last message passes through `tamper`.
fn join(
    mut client: Client,
    mut server: Server,
    mechanism: &str,
    tamper: impl Fn(String) -> String,
) -> Result<ScramKeys, Refusal> {
    server.select(mechanism.as_bytes())?;
    let first = server.first(client.first().as_bytes())?.to_owned();
    if let Some(work) = client.challenged(first.as_bytes()).unwrap() {
        client.computed(&work.run());
    }
    let last = tamper(client.last().unwrap());
    if let Some(work) = server.last(last.as_bytes())? {
        server.computed(&work.run());
    }
    let (last, keys) = server.verdict()?;
    client.finished(last.as_bytes()).unwrap();
    Ok(keys)
}

fn client(binding: Binding) -> Client {
    Client::new(Knowledge::Password(Secret::new("pencil")), binding, &NONCE)
}

fn server(lookup: Lookup, end_point: Option<&'static [u8]>) -> Server {
    Server::new(lookup, end_point.map(Bytes::from_static), &[2; NONCE_LEN])
}

#[test]
fn revealed_keys_log_in_without_the_password() {
    let lookup = Lookup::verifier(rfc_verifier());
    let same = |last| last;
    let keys = join(
        client(Binding::None),
        server(lookup.clone(), None),
        "SCRAM-SHA-256",
        same,
    );
    let client = Client::new(Knowledge::Keys(keys.unwrap()), Binding::None, &NONCE);
    assert!(join(client, server(lookup, None), "SCRAM-SHA-256", same).is_ok());
}

#[test]
fn channel_binding_must_fit() {
    let lookup = Lookup::verifier(rfc_verifier());
    let ours: Option<&[u8]> = Some(b"ours");
    let bound = |data: &'static [u8]| Binding::EndPoint(Bytes::from_static(data));
    let plus = "SCRAM-SHA-256-PLUS";
    let plain = "SCRAM-SHA-256";
    let malformed = |result: Result<ScramKeys, Refusal>| {
        assert!(matches!(result, Err(Refusal::Malformed(_))), "{result:?}");
    };
    let run = |binding, end_point, mechanism| {
        join(
            client(binding),
            server(lookup.clone(), end_point),
            mechanism,
            |last| last,
        )
    };
    assert!(run(bound(b"ours"), ours, plus).is_ok());
    assert!(run(Binding::None, ours, plain).is_ok());
    assert!(run(Binding::Unoffered, None, plain).is_ok());
    // Another certificate: somebody ends TLS in between.
    assert_eq!(
        run(bound(b"theirs"), ours, plus).unwrap_err(),
        Refusal::Binding
    );
    // The offer was removed on the way.
    assert_eq!(
        run(Binding::Unoffered, ours, plain).unwrap_err(),
        Refusal::Binding
    );
    malformed(run(bound(b"ours"), None, plus));
    malformed(run(bound(b"ours"), ours, plain));
    malformed(run(Binding::None, ours, plus));
    malformed(run(Binding::None, ours, "SCRAM-SHA-1"));
}

#[test]
fn a_tampered_proof_is_denied() {
    let lookup = || Lookup::verifier(rfc_verifier());
    let run = |tamper: fn(String) -> String| {
        join(
            client(Binding::None),
            server(lookup(), None),
            "SCRAM-SHA-256",
            tamper,
        )
        .unwrap_err()
    };
    let denied = run(|last| {
        let (head, _) = last.rsplit_once(",p=").unwrap();
        format!("{head},p={}=", "A".repeat(43))
    });
    assert_eq!(denied, Refusal::Denied);
    assert_eq!(
        run(|last| last.replace("c=biws", "c=eSws")),
        Refusal::Binding
    );
    let tampers: [fn(String) -> String; 5] = [
        |last| last.replace(",r=", ",r=x"),
        |last| last.replace(",p=", ",p=AA"),
        |last| last.replace(",p=", ",q="),
        |last| last.replace("c=", "d="),
        |last| format!("{last},x=y"),
    ];
    for tamper in tampers {
        assert!(matches!(run(tamper), Refusal::Malformed(_)));
    }
    // An extension is signed like the rest: added on the way, it spoils the proof.
    assert_eq!(run(|last| last.replace(",p=", ",x=y,p=")), Refusal::Denied);
}

#[test]
fn unknown_users_look_like_users_with_a_password() {
    let first = b"n,,n=,r=abc";
    let shown = |lookup: Lookup| rfc_server(lookup).first(first).unwrap().to_owned();
    let unknown = shown(Lookup::unknown("ann", &DECOY));
    assert_eq!(unknown, shown(Lookup::unknown("ann", &DECOY)));
    assert_eq!(
        unknown,
        shown(Lookup::password(Secret::new("pencil"), "ann", &DECOY))
    );
    assert_ne!(unknown, shown(Lookup::unknown("bob", &DECOY)));
    assert_ne!(unknown, shown(Lookup::unknown("ann", &[4; 32])));
    assert!(unknown.ends_with(",i=4096"));
}

#[test]
fn only_the_right_password_is_taken() {
    let run = |lookup| {
        join(
            client(Binding::None),
            server(lookup, None),
            "SCRAM-SHA-256",
            |l| l,
        )
    };
    assert!(run(Lookup::password(Secret::new("pencil"), "ann", &DECOY)).is_ok());
    let denied = [
        Lookup::password(Secret::new("pencils"), "ann", &DECOY),
        Lookup::password(Secret::new(""), "ann", &DECOY),
        Lookup::unknown("ann", &DECOY),
    ];
    for lookup in denied {
        assert_eq!(run(lookup).unwrap_err(), Refusal::Denied);
    }
}

#[test]
fn a_decoy_is_denied_even_where_the_proof_is_right() {
    let mut lookup = Lookup::unknown("ann", &DECOY);
    // Whoever guessed the decoy's keys still gets nothing.
    lookup = Lookup {
        key: Lookup::verifier(rfc_verifier()).key,
        ..lookup
    };
    let result = join(
        client(Binding::None),
        server(lookup, None),
        "SCRAM-SHA-256",
        |l| l,
    );
    assert_eq!(result.unwrap_err(), Refusal::Denied);
}

#[test]
fn a_verdict_before_the_end_is_no() {
    let mut server = rfc_server(Lookup::verifier(rfc_verifier()));
    assert_eq!(server.verdict().unwrap_err(), Refusal::Denied);
    server.first(RFC_CLIENT_FIRST.as_bytes()).unwrap();
    assert_eq!(server.verdict().unwrap_err(), Refusal::Denied);
}

#[test]
fn client_first_messages_are_checked() {
    for message in [
        "",
        "n",
        "n,,",
        "n,,r=abc",
        "n,,n=a",
        "n,,n=a,r=",
        "n,a=root,n=a,r=abc",
        "x,,n=a,r=abc",
        "n,,m=ext,n=a,r=abc",
        "p=tls-unique,,n=a,r=abc",
        "n,,n=a,r=\u{e9}",
        "n,,n=a,r=a b",
    ] {
        let mut server = rfc_server(Lookup::verifier(rfc_verifier()));
        let result = server.first(message.as_bytes());
        assert!(matches!(result, Err(Refusal::Malformed(_))), "{message}");
    }
}

#[test]
fn server_first_messages_are_checked() {
    let nonce = client(Binding::None).nonce;
    let many = MAX_ITERATIONS + 1;
    for message in [
        String::new(),
        format!("r={nonce}x"),
        format!("r={nonce}x,s=AA=="),
        format!("r={nonce}x,s=!,i=1"),
        format!("r={nonce}x,s=AA==,i=0"),
        format!("r={nonce}x,s=AA==,i=-1"),
        format!("r={nonce}x,s=AA==,i={many}"),
        format!("r={nonce}x,s=AA==,i=99999999999"),
        format!("m=ext,r={nonce}x,s=AA==,i=1"),
        "e=unknown-user".to_owned(),
    ] {
        let result = client(Binding::None).challenged(message.as_bytes());
        assert!(
            matches!(result, Err(client::Refusal::Malformed(_))),
            "{message}"
        );
    }
    for nonce in [nonce.clone(), format!("x{nonce}"), "x".to_owned()] {
        let message = format!("r={nonce},s=AA==,i=1");
        let result = client(Binding::None).challenged(message.as_bytes());
        assert!(
            matches!(result, Err(client::Refusal::Impostor(_))),
            "{message}"
        );
    }
    let most = format!("r={nonce}x,s=AA==,i={MAX_ITERATIONS}");
    assert!(client(Binding::None).challenged(most.as_bytes()).is_ok());
}

#[test]
fn attributes_are_taken_in_order() {
    let mut rest = Some("a=1,b=,c==");
    assert_eq!(attribute(&mut rest, 'b'), None);
    assert_eq!(attribute(&mut rest, 'a'), Some("1"));
    assert_eq!(attribute(&mut rest, 'b'), Some(""));
    assert_eq!(attribute(&mut rest, 'c'), Some("="));
    assert_eq!(attribute(&mut rest, 'd'), None);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, text: String) {
        for message in [&bytes[..], text.as_bytes()] {
            let mut server = rfc_server(Lookup::verifier(rfc_verifier()));
            let _ = server.first(message);
            let _ = server.last(message);
            assert!(server.verdict().is_err());
            let mut client = client(Binding::None);
            let _ = client.challenged(message);
            assert!(client.finished(message).is_err());
        }
    }
}
