//! A MySQL client's proof of who it is, by each method. Bytes that a fuzzer finds prove nothing.
#![no_main]

use std::sync::{Arc, LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use sluice::model::{AuthMethod, Secret, ShaCrypt, TlsFacts, Verifier};
use sluice::protocol::ProofDemand;
use sluice::protocol::mysql::capability::Capabilities;
use sluice::protocol::mysql::found::Found;
use sluice::protocol::mysql::login::{Challenge, Flavor, Login, Sequence};
use sluice::protocol::mysql::plugin::{ed25519, native, sha_crypt};
use sluice::protocol::mysql::prove::Prove;
use sluice_fuzz::{Cut, drive, packets};

const METHODS: [AuthMethod; 6] = [
    AuthMethod::CachingSha2,
    AuthMethod::Native,
    AuthMethod::Ed25519,
    AuthMethod::Sha256,
    AuthMethod::Password,
    AuthMethod::Certificate,
];
const PLUGINS: [&str; 4] = [
    "caching_sha2_password",
    "mysql_native_password",
    "mysql_clear_password",
    "client_ed25519",
];

static VERIFIERS: LazyLock<[Option<Verifier>; 5]> = LazyLock::new(|| {
    let password = b"0c9f3a1b77de4466a2f5";
    let salt = b"01234567890123456789";
    [
        None,
        Some(Verifier::Password(Secret::new(password))),
        Some(Verifier::Native(Secret::new(native::stored(
            native::key(password).expose(),
        )))),
        Some(Verifier::ShaCrypt(ShaCrypt {
            rounds: 2,
            salt: salt[..].into(),
            hash: sha_crypt::crypt(password, salt, 2),
        })),
        Some(Verifier::Ed25519(ed25519::public_key(password))),
    ]
});

fn login(choice: usize, answer: &[u8]) -> Login {
    Login {
        user: "ann".into(),
        database: "".into(),
        capabilities: if choice & 1 == 0 {
            Capabilities::OWN
        } else {
            Capabilities::PROTOCOL_41
        },
        collation: 45,
        flavor: Flavor::MySql,
        peer: [127, 0, 0, 1].into(),
        tls: false,
        plugin: PLUGINS[choice % 4].into(),
        answer: Mutex::new(Some(Secret::new(answer))),
        challenge: Challenge::new(*b"01234567890123456789"),
        again: choice & 8 != 0,
        found: Found::default(),
        attributes: Arc::default(),
        application: "".into(),
        sequence: Arc::<Sequence>::default(),
        assurance: Arc::default(),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&second, data)) = data.split_first() else {
        return;
    };
    let Some(cut) = Cut::new(data) else { return };
    let (choice, second) = (usize::from(cut.choice), usize::from(second));
    let answer_len = (second / 4).min(cut.stream.len());
    let (answer, stream) = cut.stream.split_at(answer_len);
    let framed = packets(stream, 1);
    let cut = cut.with(if choice & 0x40 == 0 { stream } else { &framed });
    let demand = ProofDemand {
        method: METHODS[choice % 6],
        verifier: VERIFIERS[choice / 6 % 5].clone(),
        tls: (choice & 0x80 != 0).then(TlsFacts::default),
        sealing_key: None,
        decoy_key: [7; 32],
    };
    let [whole, pieces] = cut.both().map(|pieces| {
        let login = login(second, answer);
        login.sequence.follow(0);
        drive(Prove::new(&login, demand.clone(), &[9; 48]), &pieces)
    });
    assert!(
        !matches!(whole.end, Some(Ok(_))),
        "nobody knows the password"
    );
    assert_eq!(format!("{:?}", whole.end), format!("{:?}", pieces.end));
    assert_eq!(whole.written, pieces.written);
});
