//! What a login costs beside the sockets, on both sides, less the hashing of passwords: verifiers
//! and keys are at hand, as they are for every login but the first.

#![allow(
    clippy::unreachable,
    clippy::expect_used,
    reason = "a bench may end where it cannot go on"
)]

use std::hint::black_box;
use std::time::Duration;

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use sluice::model::{AuthMethod, Credential, ScramVerifier, Verifier};
use sluice::protocol::postgres::Postgres;
use sluice::protocol::postgres::scram::{derive_verifier, keys, salted_password};
use sluice::protocol::{
    Caller, ConnectPlan, Engine, Exchange, HelloOffer, Login, Opening, ProofDemand, Step, TlsOffer,
    TlsWish,
};

const SALT: &[u8] = b"sixteen bytes of";
const ITERATIONS: u32 = 4096;

/// What both sides know.
struct Known {
    verifier: ScramVerifier,
    plan: ConnectPlan,
    login: <Postgres as Engine>::Login,
}

impl Known {
    fn new() -> Self {
        Self {
            verifier: derive_verifier(b"pencil", SALT, ITERATIONS),
            plan: ConnectPlan {
                user: "app".into(),
                database: "shop".into(),
                variant: 0,
                credential: Credential::ScramKeys(keys(&salted_password(
                    b"pencil", SALT, ITERATIONS,
                ))),
                tls: TlsWish::Never,
                ask_public_key: false,
            },
            login: hello(&startup()),
        }
    }

    fn server(&self) -> <Postgres as Engine>::Prove {
        let demand = ProofDemand {
            method: AuthMethod::Scram,
            verifier: Some(Verifier::Scram(self.verifier.clone())),
            tls: None,
            sealing_key: None,
            decoy_key: [1; 32],
        };
        Postgres::prove(&self.login, demand, [2; 48])
    }

    fn client(&self) -> <Postgres as Engine>::Connect {
        Postgres::connect(self.plan.clone(), [3; 48])
    }

    /// The dialogue of the two, which is the same each time: what each side writes, turn by turn,
    /// the client first.
    fn dialogue(&self) -> Vec<BytesMut> {
        let (mut client, mut server) = (self.client(), self.server());
        let mut turns = Vec::new();
        let mut heard = BytesMut::new();
        loop {
            let mut said = BytesMut::new();
            let step = client
                .advance(&mut heard, &mut said)
                .expect("an honest server");
            assert!(matches!(step, Step::Read), "the client needs no more");
            // What begins it is read by another exchange.
            let mut input = if turns.is_empty() {
                BytesMut::new()
            } else {
                said.clone()
            };
            turns.push(said);
            heard = BytesMut::new();
            let step = server
                .advance(&mut input, &mut heard)
                .expect("an honest client");
            turns.push(heard.clone());
            if let Step::Done(_) = step {
                // Then comes what a server says at the end of a login.
                let welcome = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x16server_version\x0018\0Z\0\0\0\x05I";
                turns.last_mut().expect("a turn").extend_from_slice(welcome);
                return turns;
            }
        }
    }
}

/// Runs one side to its end over the recorded words of the other.
fn run<'a, X: Exchange>(mut side: X, words: impl Iterator<Item = &'a BytesMut>) -> X::Done {
    let mut out = BytesMut::new();
    let mut input = BytesMut::new();
    for heard in words {
        input.extend_from_slice(heard);
        out.clear();
        match side.advance(&mut input, &mut out) {
            Ok(Step::Read) => {}
            Ok(Step::Done(done)) => return done,
            Ok(Step::Compute(_)) => unreachable!("there is nothing to hash"),
            Ok(Step::UpgradeTls) | Err(_) => unreachable!("the other side is honest"),
        }
    }
    unreachable!("the other side says all that is needed")
}

/// What `psql` sends first.
fn startup() -> Vec<u8> {
    let body =
        b"\0\x03\0\0user\0app\0database\0shop\0application_name\0psql\0client_encoding\0UTF8\0\0";
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&length.to_be_bytes()[..], body].concat()
}

fn hello(startup: &[u8]) -> <Postgres as Engine>::Login {
    let offer = HelloOffer {
        tls: TlsOffer::Optional,
        direct_tls: false,
    };
    let caller = Caller {
        peer: [127, 0, 0, 1].into(),
        session: 1,
        announcement: None,
    };
    let mut hello = Postgres::hello(offer, caller, [4; 48]);
    let (mut input, mut out) = (BytesMut::from(startup), BytesMut::new());
    match hello.advance(&mut input, &mut out) {
        Ok(Step::Done(Opening::Login(login))) => login,
        _ => unreachable!("a good startup message"),
    }
}

fn logins(criterion: &mut Criterion) {
    let startup = startup();
    assert_eq!(&**hello(&startup).user(), "app");
    criterion.bench_function("startup", |bencher| {
        bencher.iter(|| hello(black_box(&startup)))
    });
    let known = Known::new();
    let turns = known.dialogue();
    let mut group = criterion.benchmark_group("scram");
    // A server begins when it has read the startup message.
    let nothing = BytesMut::new();
    group.bench_function("server", |bencher| {
        let words = || std::iter::once(&nothing).chain(turns.iter().skip(2).step_by(2));
        bencher.iter(|| run(known.server(), words()));
    });
    group.bench_function("client", |bencher| {
        let words = || std::iter::once(&nothing).chain(turns.iter().skip(1).step_by(2));
        bencher.iter(|| run(known.client(), words()));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = logins
}
criterion_main!(benches);
