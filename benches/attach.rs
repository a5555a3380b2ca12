//! What it costs to bring a server connection to a client's state: nothing to replay, in the common
//! case; and a request's way through the books.

#![allow(clippy::expect_used, reason = "a bench may end where it cannot go on")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use sluice::model::{PinPolicy, PoolMode};
use sluice::protocol::postgres::Postgres;
use sluice::protocol::postgres::back::{LoggedIn, PgBack};
use sluice::protocol::postgres::front::PgFront;
use sluice::protocol::postgres::reported::Reported;
use sluice::protocol::postgres::settings::Settings;
use sluice::protocol::{Engine, FrontSettings, Script};

/// What drivers and object mappers ask for at startup.
const USUAL: [(&str, &[u8]); 4] = [
    ("application_name", b"shop"),
    ("datestyle", b"ISO"),
    ("search_path", b"shop, public"),
    ("timezone", b"UTC"),
];

fn client(settings: &[(&str, &[u8])]) -> PgFront {
    let policy = FrontSettings {
        pool_mode: PoolMode::Transaction,
        ignore_options: Arc::new([]),
        allow_options: None,
        max_client_statements: 100,
        max_server_statements: 100,
        max_statement_bytes: 1 << 20,
        pins: PinPolicy::default(),
    };
    let settings = Settings::from_pairs(settings.iter().copied());
    PgFront::new(settings, Arc::new(policy))
}

fn server() -> PgBack {
    PgBack::new(LoggedIn {
        reported: Reported::new(Vec::new()),
        pid: 7,
        cancel_key: Bytes::from_static(b"abcd"),
        tls: false,
    })
}

/// A message with this type and body.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// Sends a client's bytes and settles with the replies.
fn exchange(front: &mut PgFront, back: &mut PgBack, request: &[u8], replies: &[u8]) {
    let (mut script, mut own) = (Script::default(), Vec::new());
    let sent = Postgres::from_client(front, back, request, &mut script, &mut own);
    assert_eq!(sent.ok(), Some(request.len()));
    black_box(script.output_len());
    script.clear();
    let read = Postgres::from_server(front, back, replies, &mut script);
    assert_eq!(read.ok(), Some(replies.len()));
    black_box(script.output_len());
}

fn replayed() -> Vec<u8> {
    [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

/// Joins the two, and has the server confirm what is replayed.
fn join(front: &mut PgFront, back: &mut PgBack) {
    let (mut request, mut replies) = (Vec::new(), Vec::new());
    let attach = Postgres::attach(front, back, &mut request, &mut replies);
    let _ = black_box(attach);
    if !request.is_empty() {
        exchange(front, back, b"", &replayed());
    }
}

fn attach(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attach");
    let mut bench = |name: &str, mut clients: Vec<PgFront>| {
        let mut back = server();
        for front in &mut clients {
            join(front, &mut back);
        }
        let (count, mut turn) = (clients.len(), 0);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % count;
                if let Some(front) = clients.get_mut(turn) {
                    join(front, &mut back);
                }
            });
        });
    };
    bench("the same client", vec![client(&USUAL)]);
    bench("no settings", vec![client(&[]), client(&[])]);
    bench("equal settings", vec![client(&USUAL), client(&USUAL)]);
    bench(
        "other tenants",
        vec![
            client(&[("app.tenant", b"1")]),
            client(&[("app.tenant", b"2")]),
        ],
    );
    group.finish();
}

fn request(criterion: &mut Criterion) {
    let (mut front, mut back) = (client(&USUAL), server());
    join(&mut front, &mut back);
    let mut group = criterion.benchmark_group("request");
    let row = message(b'D', b"\0\x01\0\0\0\x011");
    let query = message(b'Q', b"SELECT name FROM users WHERE id = 1\0");
    let answer = [
        message(b'T', b"\0\0"),
        row.clone(),
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"I"),
    ];
    let answer = answer.concat();
    group.bench_function("simple", |bencher| {
        bencher.iter(|| exchange(&mut front, &mut back, &query, &answer));
    });
    let prepare = [
        message(b'P', b"s\0SELECT name FROM users WHERE id = $1\0\0\0"),
        message(b'S', b""),
    ];
    let prepared = [message(b'1', b""), message(b'Z', b"I")];
    exchange(&mut front, &mut back, &prepare.concat(), &prepared.concat());
    let run = [
        message(b'B', b"\0s\0\0\0\0\x01\0\0\0\x011\0\0"),
        message(b'D', b"P\0"),
        message(b'E', b"\0\0\0\0\0"),
        message(b'S', b""),
    ];
    let run = run.concat();
    let ran = [
        message(b'2', b""),
        message(b'T', b"\0\0"),
        row,
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"I"),
    ];
    let ran = ran.concat();
    group.bench_function("prepared", |bencher| {
        bencher.iter(|| exchange(&mut front, &mut back, &run, &ran));
    });
    group.finish();
}

criterion_group!(benches, attach, request);
criterion_main!(benches);
