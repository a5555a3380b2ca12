use std::sync::{Arc, Mutex};

use bytes::BytesMut;

use super::super::capability::Capabilities;
use super::super::found::Found;
use super::super::frame::{Header, put_packet};
use super::super::login::{Challenge, Flavor, Login, SCRAMBLE_LEN};
use super::super::plugin::{native, sha2};
use super::{Prove, SWITCH, usual_method};
use crate::model::{AuthMethod, Fault, FaultKind, Proof, Secret, Verifier};
use crate::protocol::{Exchange, ProofDemand, Step};

const GREETED: [u8; SCRAMBLE_LEN] = *b"01234567890123456789";

/// A client that was greeted, has named `plugin`, and sent `answer` with it.
fn login(flavor: Flavor, plugin: &str, answer: &[u8]) -> Login {
    let login = Login {
        user: "ann".into(),
        database: "".into(),
        capabilities: Capabilities::OWN,
        collation: 45,
        flavor,
        peer: [127, 0, 0, 1].into(),
        tls: false,
        plugin: plugin.into(),
        answer: Mutex::new(Some(Secret::new(answer))),
        challenge: Challenge::new(GREETED),
        again: false,
        found: Found::default(),
        attributes: Arc::default(),
        application: "".into(),
        sequence: Arc::default(),
        assurance: Arc::default(),
    };
    login.sequence.follow(1);
    login
}

fn prove(login: &Login, method: AuthMethod) -> Prove {
    let demand = ProofDemand {
        method,
        verifier: Some(Verifier::Password(Secret::new("pencil"))),
        tls: None,
        sealing_key: None,
        decoy_key: [1; 32],
    };
    Prove::new(login, demand, &[b'x'; 48])
}

fn turn(prove: &mut Prove, input: &[u8]) -> (Result<Option<Proof>, Fault>, BytesMut) {
    let (mut input, mut out) = (BytesMut::from(input), BytesMut::new());
    let end = match prove.advance(&mut input, &mut out) {
        Ok(Step::Done(proof)) => Ok(Some(proof)),
        Ok(Step::Read) => Ok(None),
        Ok(_) => panic!("an odd step"),
        Err(fault) => Err(fault),
    };
    (end, out)
}

#[test]
fn the_clients_choice_is_usual_where_it_is_as_good() {
    for (plugin, mysql, maria) in [
        (
            "caching_sha2_password",
            AuthMethod::CachingSha2,
            AuthMethod::CachingSha2,
        ),
        (
            "mysql_native_password",
            AuthMethod::Native,
            AuthMethod::Native,
        ),
        ("client_ed25519", AuthMethod::Ed25519, AuthMethod::Ed25519),
        (
            "mysql_clear_password",
            AuthMethod::CachingSha2,
            AuthMethod::Native,
        ),
        ("", AuthMethod::CachingSha2, AuthMethod::Native),
    ] {
        let usual = |flavor| usual_method(&login(flavor, plugin, b""));
        assert_eq!(usual(Flavor::MySql), mysql, "{plugin}");
        assert_eq!(usual(Flavor::MariaDb), maria, "{plugin}");
    }
}

#[test]
fn the_answer_to_the_greeting_is_enough_where_it_is_of_the_right_plugin() {
    let key = native::key(b"pencil");
    let answer = native::answer(key.expose(), &GREETED).unwrap();
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let login = login(flavor, "mysql_native_password", &answer);
        let (end, out) = turn(&mut prove(&login, AuthMethod::Native), b"");
        assert!(end.unwrap().unwrap().native_key.is_some() && out.is_empty());
    }
}

#[test]
fn a_client_that_does_not_know_the_greeted_plugin_gets_a_challenge_of_its_own() {
    // It has sent nothing with its name, which is no empty password.
    let login = login(Flavor::MariaDb, "caching_sha2_password", b"");
    let mut prove = prove(&login, AuthMethod::CachingSha2);
    let (end, out) = turn(&mut prove, b"");
    assert!(end.unwrap().is_none());
    let request = out.strip_prefix(&[44, 0, 0, 2, SWITCH]).unwrap();
    let scramble = request
        .strip_prefix(b"caching_sha2_password\0")
        .and_then(|rest| rest.strip_suffix(b"\0"))
        .unwrap();
    assert!(scramble.len() == SCRAMBLE_LEN && scramble != GREETED);
    let mut answer = BytesMut::new();
    put_packet(&mut answer, 3, |out| {
        out.extend_from_slice(&sha2::answer(b"pencil", scramble));
    });
    let (end, out) = turn(&mut prove, &answer);
    assert!(end.unwrap().is_some());
    assert_eq!(&out[..], [2, 0, 0, 4, 1, 3]);
    assert_eq!(login.sequence.peek(), 5);
    assert_eq!(login.challenge.last()[..], *scramble);
}

#[test]
fn a_client_that_logs_in_anew_answers_its_last_challenge() {
    let key = native::key(b"pencil");
    let again = |answer: &[u8]| Login {
        again: true,
        ..login(Flavor::MariaDb, "mysql_native_password", answer)
    };
    let right = again(&native::answer(key.expose(), &GREETED).unwrap());
    let (end, _) = turn(&mut prove(&right, AuthMethod::Native), b"");
    assert!(end.unwrap().is_some());
    let wrong = again(&native::answer(key.expose(), b"98765432109876543210").unwrap());
    let (end, _) = turn(&mut prove(&wrong, AuthMethod::Native), b"");
    assert_eq!(end.unwrap_err().kind, FaultKind::AuthenticationFailed);
    // Some clients do not read another one where they are told to switch.
    let switched = again(b"");
    let (end, out) = turn(&mut prove(&switched, AuthMethod::CachingSha2), b"");
    assert!(end.unwrap().is_none());
    let switch = [&b"caching_sha2_password\0"[..], &GREETED, b"\0"].concat();
    assert!(out.ends_with(&switch));
}

#[test]
fn an_empty_password_is_refused_where_the_plugin_is_the_greeted_one() {
    let login = login(Flavor::MySql, "caching_sha2_password", b"");
    let (end, out) = turn(&mut prove(&login, AuthMethod::CachingSha2), b"");
    let fault = end.unwrap_err();
    assert_eq!(fault.kind, FaultKind::AuthenticationFailed);
    assert_eq!(Header::read(&out).unwrap().seq, 2);
}

#[test]
fn a_client_that_cannot_switch_is_told() {
    let mut login = login(Flavor::MySql, "mysql_native_password", b"x");
    login.capabilities = Capabilities::PROTOCOL_41;
    let (end, out) = turn(&mut prove(&login, AuthMethod::CachingSha2), b"");
    assert_eq!(end.unwrap_err().kind, FaultKind::Unsupported);
    assert_eq!(out[5..7], 1251_u16.to_le_bytes());
}

#[test]
fn answers_come_in_order_and_are_not_too_long() {
    let login = login(Flavor::MySql, "", b"");
    for (wire, answered) in [(&b"\x01\0\0\x04x"[..], 3), (b"\x02\x40\0\x03", 4)] {
        let mut prove = prove(&login, AuthMethod::Native);
        login.sequence.follow(1);
        let (end, _) = turn(&mut prove, b"");
        assert!(end.unwrap().is_none());
        let (end, out) = turn(&mut prove, wire);
        assert_eq!(end.unwrap_err().kind, FaultKind::ProtocolViolation);
        assert_eq!(Header::read(&out).unwrap().seq, answered);
    }
}
