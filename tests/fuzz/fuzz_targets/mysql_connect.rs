//! A MySQL server's side of a login that Sluice makes, and of a probe.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluice::model::{Credential, Secret};
use sluice::protocol::mysql::capability::Capabilities;
use sluice::protocol::mysql::connect::Connect;
use sluice::protocol::mysql::greeting::{Greeting, unheard};
use sluice::protocol::mysql::login::Announcement;
use sluice::protocol::mysql::probe::Probe;
use sluice::protocol::{ConnectPlan, TlsWish};
use sluice_fuzz::{Cut, drive, packets};

/// A greeting that a login goes on from.
static GREETING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let greeting = Greeting {
        announcement: Announcement {
            capabilities: Capabilities::OWN
                | Capabilities::USUAL
                | Capabilities::LONG_PASSWORD
                | Capabilities::SSL,
            ..unheard()
        },
        pid: 7,
        scramble: *b"01234567890123456789",
        plugin: "caching_sha2_password".into(),
    };
    let mut out = Vec::new();
    greeting.write(&mut out);
    out
});

fuzz_target!(|data: &[u8]| {
    let Some(cut) = Cut::new(data) else { return };
    let choice = usize::from(cut.choice);
    let credential = match choice % 3 {
        0 => Credential::None,
        1 => Credential::Password(Secret::new("pencil")),
        _ => Credential::NativeKey(Secret::new([1; 20])),
    };
    let plan = ConnectPlan {
        user: "ann".into(),
        database: "".into(),
        variant: 0,
        credential,
        tls: [TlsWish::Never, TlsWish::Prefer, TlsWish::Require][choice / 3 % 3],
        ask_public_key: choice & 0x20 != 0,
    };
    let framed = packets(cut.stream, 2);
    let cut = if choice & 0x80 == 0 {
        cut
    } else {
        cut.with(&framed)
    };
    // A server waits for the answer to its greeting.
    let greeted = choice & 0x40 != 0;
    let greeting: Option<&[u8]> = greeted.then_some(&GREETING);
    let [whole, pieces] = cut.both().map(|pieces| {
        let pieces: Vec<&[u8]> = greeting.into_iter().chain(pieces).collect();
        (
            drive(Connect::new(plan.clone(), &[3; 48]), &pieces),
            drive(Probe::new(), &pieces),
        )
    });
    for (ending, _) in [&whole, &pieces] {
        if let Some(Ok(connected)) = &ending.end {
            assert!(plan.tls != TlsWish::Require || connected.tls);
            assert!(connected.tls == ending.tls);
        }
        let shown = ending.written.windows(6).any(|part| part == b"pencil");
        assert!(
            !shown || ending.tls,
            "the password goes out inside TLS only"
        );
    }
    if greeted {
        assert_eq!(format!("{:?}", whole.0), format!("{:?}", pieces.0));
        assert_eq!(format!("{:?}", whole.1), format!("{:?}", pieces.1));
    }
});
