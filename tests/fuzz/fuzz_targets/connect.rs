//! A server's side of a login that Sluice makes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::model::{Credential, ScramKeys, Secret};
use sluice::protocol::postgres::connect::Connect;
use sluice::protocol::{ConnectPlan, TlsWish};
use sluice_fuzz::{Cut, drive};

fuzz_target!(|data: &[u8]| {
    let Some(cut) = Cut::new(data) else { return };
    let keys = ScramKeys {
        client_key: Secret::new([1; 32]),
        server_key: Secret::new([2; 32]),
    };
    let credential = match cut.choice % 3 {
        0 => Credential::None,
        1 => Credential::Password(Secret::new("pencil")),
        _ => Credential::ScramKeys(keys),
    };
    let plan = ConnectPlan {
        user: "ann".into(),
        database: "shop".into(),
        variant: 0,
        credential,
        tls: [TlsWish::Never, TlsWish::Prefer, TlsWish::Require][usize::from(cut.choice / 3 % 3)],
        ask_public_key: false,
    };
    let [whole, pieces] = cut
        .both()
        .map(|pieces| drive(Connect::new(plan.clone(), &[3; 48]), &pieces));
    for ending in [&whole, &pieces] {
        if let Some(Ok(connected)) = &ending.end {
            assert!(plan.tls != TlsWish::Require || connected.tls);
            assert!(connected.tls == ending.tls);
        }
    }
    if !whole.tls && !pieces.tls {
        // What comes in one piece with the answer to a request for TLS matters.
        if plan.tls == TlsWish::Never {
            assert_eq!(format!("{:?}", whole.end), format!("{:?}", pieces.end));
            assert_eq!((whole.written, whole.left), (pieces.written, pieces.left));
        }
    }
});
