//! What a client sends once it is in. Where it is cut does not matter; in session mode it passes
//! unchanged.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluice::model::{Fault, FaultKind, PinPolicy, PoolMode};
use sluice::protocol::postgres::Postgres;
use sluice::protocol::postgres::back::{LoggedIn, PgBack};
use sluice::protocol::postgres::front::PgFront;
use sluice::protocol::postgres::reported::Reported;
use sluice::protocol::postgres::settings::Settings;
use sluice::protocol::{Attach, Back, Engine, Front, FrontSettings, Script, Wants};
use sluice_fuzz::Cut;

fn sides(choice: u8) -> (PgFront, PgBack) {
    let session = choice & 1 != 0;
    let policy = FrontSettings {
        splits: false,
        pool_mode: if session {
            PoolMode::Session
        } else {
            PoolMode::Transaction
        },
        ignore_options: Arc::new([]),
        allow_options: None,
        max_client_statements: usize::from(choice >> 6),
        max_server_statements: 2,
        max_statement_bytes: if choice & 2 != 0 { 64 } else { 1 << 20 },
        pins: PinPolicy::default(),
    };
    let login = LoggedIn {
        reported: Reported::new(Vec::new()),
        pid: 7,
        cancel_key: Bytes::from_static(b"abcd"),
        tls: false,
    };
    (
        PgFront::new(Settings::none(), Arc::new(policy)),
        PgBack::new(login),
    )
}

/// Everything that can be seen of a run.
fn attached(choice: u8, pieces: &[&[u8]]) -> String {
    let (mut front, mut back) = sides(choice);
    let (mut to_server, mut replies, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    assert_eq!(
        Postgres::attach(&mut front, &mut back, &mut to_server, &mut replies),
        Attach::Ready
    );
    let (mut script, mut passed) = (Script::default(), Vec::new());
    let mut fault = None;
    for piece in pieces {
        kept.extend_from_slice(piece);
        script.clear();
        let dealt = Postgres::from_client(&mut front, &mut back, &kept, &mut script, &mut replies);
        for piece in script.pieces(&kept) {
            to_server.extend_from_slice(piece);
        }
        match dealt {
            Ok(dealt) => {
                assert!(dealt <= kept.len());
                assert!(!front.mid_request() || dealt == kept.len());
                passed.extend(kept.drain(..dealt));
            }
            Err(found) => {
                fault = Some(found);
                break;
            }
        }
    }
    if choice & 1 != 0 && fault.is_none() {
        assert_eq!(to_server, passed, "session mode changes nothing");
        assert!(replies.is_empty());
    }
    let progress = back.progress();
    // A fault ends the session: what was written before it in the same piece is not sent.
    let written = fault
        .is_none()
        .then_some((&to_server, &replies, &kept, progress));
    let pins = fault.is_none().then(|| front.pins());
    format!("{fault:?} {written:?} {pins:?} {}", front.has_quit())
}

/// Without a server connection. If none is ever to be had, nothing comes of requests but errors.
fn alone(choice: u8, pieces: &[&[u8]]) -> String {
    let (mut front, _) = sides(choice);
    let (mut replies, mut kept) = (Vec::new(), Vec::new());
    let none_free = Fault::new(FaultKind::BorrowTimeout, "none is free");
    let mut wants = None;
    for piece in pieces {
        kept.extend_from_slice(piece);
        wants = Some(Postgres::wants(&mut front, &kept, &mut replies));
        while let Some(Ok((dealt, found))) = wants {
            assert!(dealt <= kept.len());
            kept.drain(..dealt);
            if choice & 4 == 0 || found != Wants::Server {
                break;
            }
            Postgres::decline(&mut front, &none_free, &kept, &mut replies);
            wants = Some(Postgres::wants(&mut front, &kept, &mut replies));
        }
        if matches!(wants, Some(Err(_))) {
            break;
        }
    }
    let wants = wants.map(|wants| wants.map(|(_, found)| found));
    format!("{wants:?} {replies:?}")
}

fuzz_target!(|data: &[u8]| {
    let Some(cut) = Cut::new(data) else { return };
    let [whole, pieces] = cut.both().map(|pieces| attached(cut.choice, &pieces));
    // Whether a text above the limit is read depends on whether it came whole.
    if cut.choice & 2 == 0 {
        assert_eq!(whole, pieces);
        let [whole, pieces] = cut.both().map(|pieces| alone(cut.choice, &pieces));
        assert_eq!(whole, pieces);
    }
});
