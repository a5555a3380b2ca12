//! What a server sends. Where it is cut does not matter, and replies to a client's own simple
//! queries pass unchanged.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluice::model::{PinPolicy, PoolMode};
use sluice::protocol::postgres::Postgres;
use sluice::protocol::postgres::back::{LoggedIn, PgBack};
use sluice::protocol::postgres::front::PgFront;
use sluice::protocol::postgres::reported::Reported;
use sluice::protocol::postgres::settings::Settings;
use sluice::protocol::{Back, Chore, Engine, Front, FrontSettings, Script};
use sluice_fuzz::Cut;

const REQUESTS: [&[u8]; 8] = [
    b"",
    b"Q\0\0\0\x0dselect 1\0",
    b"Q\0\0\0\x0dselect 1\0Q\0\0\0\x0dselect 2\0",
    b"P\0\0\0\x10\0select 1\0\0\0B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04",
    b"P\0\0\0\x11a\0select 1\0\0\0C\0\0\0\x07Sa\0P\0\0\0\x11b\0select 1\0\0\0S\0\0\0\x04D\0\0\0\x07Sb\0S\0\0\0\x04",
    b"P\0\0\0\x19\0copy t from stdin\0\0\0B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04d\0\0\0\x05xc\0\0\0\x04S\0\0\0\x04",
    b"Q\0\0\0\x16set search_path=a\0F\0\0\0\x0e\0\0\0\x01\0\0\0\0\0\0",
    b"P\0\0\0\x0d\0begin\0\0\0B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0H\0\0\0\x04",
];

fn sides(request: &[u8]) -> (PgFront, PgBack) {
    let policy = FrontSettings {
        pool_mode: PoolMode::Transaction,
splits: false,
        ignore_options: Arc::new([]),
        allow_options: None,
        max_client_statements: 10,
        max_server_statements: 2,
        max_statement_bytes: 1 << 20,
        pins: PinPolicy::default(),
    };
    let login = LoggedIn {
        reported: Reported::new(Vec::new()),
        pid: 7,
        cancel_key: Bytes::from_static(b"abcd"),
        tls: false,
    };
    let mut front = PgFront::new(Settings::none(), Arc::new(policy));
    let mut back = PgBack::new(login);
    let (mut script, mut replies) = (Script::default(), Vec::new());
    let dealt = Postgres::from_client(&mut front, &mut back, request, &mut script, &mut replies);
    assert!(dealt.is_ok_and(|dealt| dealt <= request.len()));
    (front, back)
}

fn attached(choice: u8, pieces: &[&[u8]]) -> String {
    let which = usize::from(choice % 8);
    let (mut front, mut back) = sides(REQUESTS[which]);
    let (mut shown, mut kept, mut passed) = (Vec::new(), Vec::new(), Vec::new());
    let mut script = Script::default();
    let mut breach = None;
    for piece in pieces {
        kept.extend_from_slice(piece);
        script.clear();
        match Postgres::from_server(&mut front, &mut back, &kept, &mut script) {
            Ok(dealt) => {
                assert!(dealt <= kept.len());
                for piece in script.pieces(&kept) {
                    shown.extend_from_slice(piece);
                }
                passed.extend(kept.drain(..dealt));
            }
            Err(found) => {
                breach = Some(found);
                break;
            }
        }
    }
    if which < 3 && breach.is_none() {
        assert_eq!(shown, passed);
    }
    let failure = front.failure();
    let seen = breach
        .is_none()
        .then_some((shown, kept, back.progress(), front.pins(), failure));
    format!("{breach:?} {seen:?}")
}

fn alone(choice: u8, pieces: &[&[u8]]) -> String {
    let (_, mut back) = sides(REQUESTS[usize::from(choice / 8 % 8)]);
    let mut out = Vec::new();
    match choice / 64 {
        0 => {}
        1 => back.request(Chore::Rollback, &mut out),
        2 => back.request(Chore::Reset, &mut out),
        _ => back.request(Chore::Query("select 1"), &mut out),
    }
    let mut kept = Vec::new();
    let mut breach = None;
    for piece in pieces {
        kept.extend_from_slice(piece);
        match back.absorb(&kept) {
            Ok(dealt) => {
                assert!(dealt <= kept.len());
                kept.drain(..dealt);
            }
            Err(found) => {
                breach = Some(found);
                break;
            }
        }
    }
    let error = back.chore_error().map(|error| error.to_string());
    let seen = (kept, back.progress(), back.chore_value(), error);
    format!("{breach:?} {:?}", breach.is_none().then_some(seen))
}

fuzz_target!(|data: &[u8]| {
    let Some(cut) = Cut::new(data) else { return };
    let [whole, pieces] = cut.both().map(|pieces| attached(cut.choice, &pieces));
    assert_eq!(whole, pieces);
    let [whole, pieces] = cut.both().map(|pieces| alone(cut.choice, &pieces));
    assert_eq!(whole, pieces);
});
