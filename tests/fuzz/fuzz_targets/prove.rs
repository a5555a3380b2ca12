//! A client's proof of who it is, by each method. Bytes that a fuzzer finds prove nothing.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluice::model::{AuthMethod, Secret, TlsFacts, Verifier};
use sluice::protocol::ProofDemand;
use sluice::protocol::postgres::prove::Prove;
use sluice::protocol::postgres::scram::derive_verifier;
use sluice_fuzz::{Cut, drive};

const METHODS: [AuthMethod; 4] = [
    AuthMethod::Scram,
    AuthMethod::Password,
    AuthMethod::Md5,
    AuthMethod::Certificate,
];

static VERIFIERS: LazyLock<[Option<Verifier>; 4]> = LazyLock::new(|| {
    let password = b"0c9f3a1b77de4466a2f5";
    [
        None,
        Some(Verifier::Password(Secret::new(password))),
        Some(Verifier::Scram(derive_verifier(password, b"salt", 2))),
        Some(Verifier::Md5(Secret::new(
            "md50123456789abcdef0123456789abcdef",
        ))),
    ]
});

fuzz_target!(|data: &[u8]| {
    let Some(cut) = Cut::new(data) else { return };
    let choice = usize::from(cut.choice);
    let tls = TlsFacts {
        end_point: (choice & 0x40 != 0).then(|| b"certificate"[..].into()),
        ..TlsFacts::default()
    };
    let demand = ProofDemand {
        method: METHODS[choice % 4],
        verifier: VERIFIERS[choice / 4 % 4].clone(),
        tls: (choice & 0x80 != 0).then_some(tls),
        sealing_key: None,
        decoy_key: [7; 32],
    };
    let [whole, pieces] = cut.both().map(|pieces| {
        let prove = Prove::new("ann".into(), demand.clone(), &[9; 48]);
        drive(prove, &pieces)
    });
    assert!(
        !matches!(whole.end, Some(Ok(_))),
        "nobody knows the password"
    );
    assert_eq!(format!("{:?}", whole.end), format!("{:?}", pieces.end));
    assert_eq!(whole.written, pieces.written);
});
