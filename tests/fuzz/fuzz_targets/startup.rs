//! A client's first messages, up to the one that says who it is.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use sluice::model::Fault;
use sluice::protocol::postgres::Postgres;
use sluice::protocol::{Caller, Engine, HelloOffer, Opening, TlsOffer};
use sluice_fuzz::{Cut, Ending, drive};

const CALLER: Caller<()> = Caller {
    peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
    session: 7,
    announcement: None,
};

fn summary(ending: &Ending<Opening<Postgres>, Fault>) -> String {
    match &ending.end {
        None => "more".to_owned(),
        Some(Err(fault)) => format!("{fault:?}"),
        Some(Ok(Opening::Cancel(key))) => {
            format!("{} {:?} {}", key.pid(), key.secret(), ending.left)
        }
        Some(Ok(Opening::Login(login))) => format!("{login:?} {}", ending.left),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(cut) = Cut::new(data) else { return };
    let tls = [
        TlsOffer::Unavailable,
        TlsOffer::Optional,
        TlsOffer::Required,
    ];
    let offer = HelloOffer {
        tls: tls[usize::from(cut.choice % 3)],
        direct_tls: cut.choice & 0x80 != 0,
    };
    let [whole, pieces] = cut
        .both()
        .map(|pieces| drive(Postgres::hello(offer, CALLER, [0; 48]), &pieces));
    for ending in [&whole, &pieces] {
        if let Some(Ok(Opening::Login(login))) = &ending.end {
            assert!(!login.user.is_empty() && !login.database.is_empty());
            assert!(offer.tls != TlsOffer::Required || offer.direct_tls || ending.tls);
            let mut names: Vec<_> = login.settings.iter().map(|(name, _)| name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), login.settings.len(), "a setting comes twice");
        }
    }
    // Where TLS begins, it matters what came in one piece with the request.
    if !whole.tls && !pieces.tls && offer.tls == TlsOffer::Unavailable {
        assert_eq!(summary(&whole), summary(&pieces));
        assert_eq!(whole.written, pieces.written);
    }
});
