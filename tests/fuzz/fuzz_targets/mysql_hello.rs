//! A MySQL client's first messages, up to the one that says who it is.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sluice::model::Fault;
use sluice::protocol::mysql::accept::Hello;
use sluice::protocol::mysql::capability::Capabilities;
use sluice::protocol::mysql::login::{Announcement, Flavor, Login};
use sluice::protocol::{Caller, HelloOffer, TlsOffer};
use sluice_fuzz::{Cut, Early, Ending, drive_where, packets};

fn hello(choice: u8) -> Hello {
    let tls = [
        TlsOffer::Unavailable,
        TlsOffer::Optional,
        TlsOffer::Required,
    ];
    let offer = HelloOffer {
        tls: tls[usize::from(choice % 3)],
        direct_tls: false,
    };
    let announcement = (choice & 0x40 != 0).then(|| {
        Arc::new(Announcement {
            version: "11.8.2-MariaDB".into(),
            flavor: Flavor::MariaDb,
            capabilities: Capabilities(u64::MAX).without(Capabilities::LONG_PASSWORD),
            collation: 45,
        })
    });
    let caller = Caller {
        peer: [127, 0, 0, 1].into(),
        session: 7,
        announcement,
    };
    Hello::new(offer, caller, &[0; 48])
}

fn summary(ending: &Ending<Login, Fault>) -> String {
    format!("{:?} {:?} {}", ending.end, ending.written, ending.left)
}

fuzz_target!(|data: &[u8]| {
    let Some(cut) = Cut::new(data) else { return };
    let framed = packets(cut.stream, 1);
    let cut = if cut.choice & 0x80 == 0 {
        cut
    } else {
        cut.with(&framed)
    };
    let [whole, pieces] = cut
        .both()
        .map(|pieces| drive_where(hello(cut.choice), &pieces, Early::Handshake));
    for ending in [&whole, &pieces] {
        match &ending.end {
            Some(Ok(login)) => {
                assert!(cut.choice % 3 != 2 || ending.tls);
                assert_eq!(login.tls, ending.tls);
                // What is not offered nobody has.
                let offered = Capabilities::OWN.with(Capabilities::SHARED);
                let more = login.capabilities.without(offered.with(Capabilities::SSL));
                assert_eq!(more, Capabilities(0));
            }
            // It has told the client, in a packet behind the greeting.
            Some(Err(_)) => assert!(ending.written.len() > 80),
            None => {}
        }
    }
    // Where TLS begins, it matters what came in one piece with the request.
    if cut.choice % 3 == 0 {
        assert_eq!(summary(&whole), summary(&pieces));
    }
});
