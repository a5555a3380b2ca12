//! What reading costs between the sockets: requests and replies of PostgreSQL, per message and per
//! byte, and joining a client to a server connection.
//!
//! One iteration is what one wake-up of a session does: one read's worth of bytes in, an edit list
//! out. What the other direction needs in between is not timed.

#![allow(clippy::expect_used, reason = "a bench may end where it cannot go on")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice::model::{PinPolicy, PoolMode};
use sluice::protocol::postgres::Postgres;
use sluice::protocol::postgres::back::{LoggedIn, PgBack};
use sluice::protocol::postgres::front::PgFront;
use sluice::protocol::postgres::reported::Reported;
use sluice::protocol::postgres::settings::Settings;
use sluice::protocol::{Attach, Back, Engine, FrontSettings, Script};

/// A client, its server connection, and the buffers of the session between them.
struct Link {
    front: PgFront,
    back: PgBack,
    script: Script,
    replies: Vec<u8>,
}

impl Link {
    fn new() -> Self {
        let login = LoggedIn {
            reported: Reported::new(Vec::new()),
            pid: 7,
            cancel_key: Bytes::from_static(b"abcd"),
            tls: false,
        };
        let mut link = Self {
            front: client(&[]),
            back: PgBack::new(login),
            script: Script::default(),
            replies: Vec::new(),
        };
        let (front, back) = (&mut link.front, &mut link.back);
        let attach = Postgres::attach(front, back, &mut Vec::new(), &mut link.replies);
        assert_eq!(attach, Attach::Ready);
        link
    }

    fn ask(&mut self, bytes: &[u8]) {
        self.script.clear();
        self.replies.clear();
        let (front, back) = (&mut self.front, &mut self.back);
        let dealt = Postgres::from_client(front, back, bytes, &mut self.script, &mut self.replies);
        assert_eq!(dealt.expect("good messages"), bytes.len());
        black_box(&self.script);
    }

    fn answer(&mut self, bytes: &[u8]) {
        self.script.clear();
        let dealt = Postgres::from_server(&mut self.front, &mut self.back, bytes, &mut self.script);
        assert_eq!(dealt.expect("good messages"), bytes.len());
        black_box(&self.script);
    }

    fn assert_idle(&self) {
        assert!(self.back.progress().is_idle(), "the dialogue is not over");
    }
}

/// The books of a client with these startup options.
fn client(options: &[(&str, &[u8])]) -> PgFront {
    let policy = FrontSettings {
        pool_mode: PoolMode::Transaction,
        splits: false,
        ignore_options: Arc::new([]),
        allow_options: None,
        max_client_statements: 100,
        max_server_statements: 100,
        max_statement_bytes: 1 << 20,
        pins: PinPolicy::default(),
    };
    let settings = Settings::from_pairs(options.iter().copied());
    PgFront::new(settings, Arc::new(policy))
}

/// A message: its type, its length, its body.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// A request, its reply, and how many messages each has.
struct Dialogue {
    request: (Vec<u8>, u64),
    reply: (Vec<u8>, u64),
}

/// `pgbench --select-only`.
fn simple() -> Dialogue {
    let request = message(
        b'Q',
        b"SELECT abalance FROM pgbench_accounts WHERE aid = 48151;\0",
    );
    let reply = [
        message(
            b'T',
            b"\0\x01abalance\0\0\0\x40\x01\0\x03\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
        ),
        message(b'D', b"\0\x01\0\0\0\x05-1623"),
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"I"),
    ];
    Dialogue {
        request: (request, 1),
        reply: (reply.concat(), 4),
    }
}

/// The same by a prepared statement.
fn prepared() -> Dialogue {
    let request = [
        message(b'B', b"\0P0_1\0\0\0\0\x01\0\0\0\x0548151\0\0"),
        message(b'D', b"P\0"),
        message(b'E', b"\0\0\0\0\0"),
        message(b'S', b""),
    ];
    let reply = [
        message(b'2', b""),
        message(
            b'T',
            b"\0\x01abalance\0\0\0\x40\x01\0\x03\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
        ),
        message(b'D', b"\0\x01\0\0\0\x05-1623"),
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"I"),
    ];
    Dialogue {
        request: (request.concat(), 4),
        reply: (reply.concat(), 5),
    }
}

/// Prepares the statement that [`prepared`] uses.
fn prepare(link: &mut Link) {
    let text = b"P0_1\0SELECT abalance FROM pgbench_accounts WHERE aid = $1;\0\0\0";
    link.ask(&[message(b'P', text), message(b'S', b"")].concat());
    link.answer(&[message(b'1', b""), message(b'Z', b"I")].concat());
    link.assert_idle();
}

/// How long `first` takes over all iterations, with `then` after each, untimed. Timed in groups:
/// reading the clock takes longer than reading a message.
fn timed(rounds: u64, link: &mut Link, dialogue: &Dialogue, replies: bool) -> Duration {
    const GROUP: u64 = 32;
    let (request, reply) = (&dialogue.request.0, &dialogue.reply.0);
    let mut total = Duration::ZERO;
    let mut left = rounds;
    while left > 0 {
        let group = left.min(GROUP);
        let began = Instant::now();
        for _ in 0..group {
            link.ask(black_box(request));
        }
        let asked = began.elapsed();
        let began = Instant::now();
        for _ in 0..group {
            link.answer(black_box(reply));
        }
        total += if replies { began.elapsed() } else { asked };
        link.assert_idle();
        left -= group;
    }
    total
}

fn dialogues(criterion: &mut Criterion) {
    let mut link = Link::new();
    prepare(&mut link);
    for (direction, replies) in [("from_client", false), ("from_server", true)] {
        let mut group = criterion.benchmark_group(direction);
        for (name, dialogue) in [("simple", simple()), ("prepared", prepared())] {
            let (bytes, messages) = if replies {
                &dialogue.reply
            } else {
                &dialogue.request
            };
            group.throughput(Throughput::ElementsAndBytes {
                elements: *messages,
                bytes: u64::try_from(bytes.len()).expect("a short dialogue"),
            });
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|rounds| timed(rounds, &mut link, &dialogue, replies));
            });
        }
        group.finish();
    }
}

/// Rows of a result, at most 64 KB at a time, as they are read from a socket.
fn result(criterion: &mut Criterion) {
    const READ: usize = 64 * 1024;
    let mut group = criterion.benchmark_group("from_server");
    for (name, width) in [
        ("rows of 50 B", 50),
        ("rows of 1 KB", 1 << 10),
        ("rows of 1 MB", 1 << 20),
    ] {
        let mut link = Link::new();
        link.ask(&simple().request.0);
        let row = message(b'D', &vec![b'x'; width]);
        let rows = (READ / row.len()).max(1);
        let bytes = row.repeat(rows);
        group.throughput(Throughput::ElementsAndBytes {
            elements: u64::try_from(rows).expect("few rows"),
            bytes: u64::try_from(bytes.len()).expect("little"),
        });
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for read in bytes.chunks(READ) {
                    link.answer(black_box(read));
                }
            });
        });
    }
    group.finish();
}

/// Joining: where the settings agree, and where clients with other settings take turns, so that
/// each time they are replayed and the server's word on them is read.
fn attach(criterion: &mut Criterion) {
    let mut link = Link::new();
    let mut group = criterion.benchmark_group("attach");
    group.bench_function("same settings", |bencher| {
        bencher.iter(|| {
            let (front, back) = (&mut link.front, &mut link.back);
            let attach = Postgres::attach(front, back, &mut Vec::new(), &mut link.replies);
            assert_eq!(black_box(attach), Attach::Ready);
        });
    });
    let options: [(&str, &[u8]); 4] = [
        ("application_name", b"shop"),
        ("datestyle", b"ISO"),
        ("search_path", b"shop, public"),
        ("timezone", b"UTC"),
    ];
    let confirmed = [
        message(
            b'T',
            b"\0\x01set_config\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
        ),
        message(b'D', b"\0\x01\0\0\0\x04shop"),
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"I"),
    ]
    .concat();
    let mut others = ["shop", "desk"].map(|name| client(&[("application_name", name.as_bytes())]));
    let mut request = Vec::new();
    let mut equals = [client(&options), client(&options)];
    group.bench_function("equal settings", |bencher| {
        for front in &mut equals {
            let attach = Postgres::attach(front, &mut link.back, &mut request, &mut link.replies);
            if attach == Attach::Wait {
                link.answer(&confirmed);
            }
        }
        bencher.iter(|| {
            equals.swap(0, 1);
            let [front, _] = &mut equals;
            let attach =
                Postgres::attach(front, &mut link.back, &mut Vec::new(), &mut link.replies);
            assert_eq!(black_box(attach), Attach::Ready);
        });
    });
    group.bench_function("other settings", |bencher| {
        bencher.iter(|| {
            others.swap(0, 1);
            std::mem::swap(&mut link.front, &mut others[0]);
            request.clear();
            let (front, back) = (&mut link.front, &mut link.back);
            let attach = Postgres::attach(front, back, &mut request, &mut link.replies);
            // The first time, what a client asked for at startup is to be confirmed.
            assert!(!black_box(&request).is_empty() && attach != Attach::Unfit);
            link.answer(&confirmed);
            link.assert_idle();
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = dialogues, result, attach
}
criterion_main!(benches);
