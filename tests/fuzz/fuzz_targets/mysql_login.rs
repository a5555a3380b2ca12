//! MySQL's logins: a client's response to the greeting, its proof by each method, a server's side
//! of a login that Sluice makes, and what a server says to anybody.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sluice::model::{AuthMethod, Credential, Secret, TlsFacts, Verifier};
use sluice::protocol::mysql::Mysql;
use sluice::protocol::mysql::greeting::unheard;
use sluice::protocol::{
    Caller, ConnectPlan, Engine, HelloOffer, Opening, ProofDemand, TlsOffer, TlsWish,
};
use sluice_fuzz::{Cut, drive};

const METHODS: [AuthMethod; 6] = [
    AuthMethod::CachingSha2,
    AuthMethod::Native,
    AuthMethod::Ed25519,
    AuthMethod::Sha256,
    AuthMethod::Password,
    AuthMethod::Certificate,
];

fn hello(cut: Cut<'_>) -> Option<<Mysql as Engine>::Login> {
    let tls = [
        TlsOffer::Unavailable,
        TlsOffer::Optional,
        TlsOffer::Required,
    ];
    let offer = HelloOffer {
        tls: tls[usize::from(cut.choice / 4 % 3)],
        direct_tls: false,
    };
    let caller = || Caller {
        session: 7,
        announcement: (cut.choice & 0x80 != 0).then(|| Arc::new(unheard())),
    };
    let [whole, pieces] = cut
        .both()
        .map(|pieces| drive(Mysql::hello(offer, caller(), [5; 48]), &pieces));
    for ending in [&whole, &pieces] {
        if let Some(Ok(Opening::Login(login))) = &ending.end {
            assert!(offer.tls != TlsOffer::Required || login.tls);
            assert_eq!(login.tls, ending.tls);
        }
    }
    if !whole.tls && !pieces.tls && offer.tls == TlsOffer::Unavailable {
        assert_eq!(whole.written, pieces.written);
        assert_eq!(whole.left, pieces.left);
    }
    match whole.end {
        Some(Ok(Opening::Login(login))) => Some(login),
        _ => None,
    }
}

/// A client's response, and behind it what it says when it is asked again. Bytes that a fuzzer
/// finds prove nothing.
fn prove(cut: Cut<'_>) {
    for method in METHODS {
        let mut split = cut;
        let half = cut.stream.len() / 2;
        split.stream = &cut.stream[..half];
        let Some(login) = hello(split) else { return };
        let tls = login.tls.then(TlsFacts::default);
        let demand = ProofDemand {
            method,
            verifier: Some(Verifier::Password(Secret::new("0c9f3a1b77de4466a2f5"))),
            tls,
            sealing_key: None,
            decoy_key: [7; 32],
        };
        let ending = drive(
            Mysql::prove(&login, demand, [9; 48]),
            &[&cut.stream[half..]],
        );
        assert!(
            !matches!(ending.end, Some(Ok(_))),
            "nobody knows the password"
        );
    }
}

fn connect(cut: Cut<'_>) {
    let plan = ConnectPlan {
        user: "ann".into(),
        database: "shop".into(),
        variant: 0,
        credential: Credential::Password(Secret::new("pencil")),
        tls: [TlsWish::Never, TlsWish::Prefer, TlsWish::Require][usize::from(cut.choice / 4 % 3)],
    };
    let [whole, pieces] = cut
        .both()
        .map(|pieces| drive(Mysql::connect(plan.clone(), [3; 48]), &pieces));
    for ending in [&whole, &pieces] {
        assert!(!matches!(ending.end, Some(Ok(_))) || plan.tls != TlsWish::Require || ending.tls);
    }
    if plan.tls == TlsWish::Never {
        let said = |end: &Option<Result<_, sluice::protocol::ConnectError>>| match end {
            None => "more".to_owned(),
            Some(Ok(_)) => "in".to_owned(),
            Some(Err(error)) => error.to_string(),
        };
        assert_eq!(said(&whole.end), said(&pieces.end));
        assert_eq!((whole.written, whole.left), (pieces.written, pieces.left));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(cut) = Cut::new(data) else { return };
    match cut.choice % 4 {
        0 => drop(hello(cut)),
        1 => prove(cut),
        2 => connect(cut),
        _ => {
            let [whole, pieces] = cut.both().map(|pieces| drive(Mysql::probe(), &pieces));
            assert_eq!(format!("{:?}", whole.end), format!("{:?}", pieces.end));
        }
    }
});
