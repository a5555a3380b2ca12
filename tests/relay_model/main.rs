//! What clients see through the relay is what they would see without it. The same model runs
//! under `cargo fuzz`: see `tests/fuzz`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    missing_docs,
    reason = "a test may fail"
)]

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::test_runner::{Config, RngSeed};

mod model;

use model::script::{ByName, Case, Client, Forget, Name, Op, Portal, Startup, Text};

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![
        4 => Just(Name::Unnamed),
        4 => Just(Name::A),
        2 => Just(Name::B),
        1 => Just(Name::Ours),
    ]
}

fn portal() -> impl Strategy<Value = Portal> {
    prop_oneof![4 => Just(Portal::Unnamed), 1 => Just(Portal::P)]
}

fn text() -> impl Strategy<Value = Text> {
    let plain = prop::sample::select(&[Text::One, Text::Two, Text::Three][..]);
    prop_oneof![3 => plain, 4 => prop::sample::select(&Text::ALL[..])]
}

fn seldom() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.15)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (name(), text()).prop_map(|(name, text)| Op::Parse(name, text)),
        8 => (portal(), name(), seldom()).prop_map(|(p, n, fails)| Op::Bind(p, n, fails)),
        2 => name().prop_map(Op::DescribeStatement),
        1 => portal().prop_map(Op::DescribePortal),
        6 => (portal(), seldom()).prop_map(|(portal, limited)| Op::Execute(portal, limited)),
        3 => name().prop_map(Op::CloseStatement),
        1 => portal().prop_map(Op::ClosePortal),
        1 => Just(Op::Flush),
        8 => Just(Op::Sync),
        4 => text().prop_map(Op::Query),
        1 => (text(), text()).prop_map(|(one, two)| Op::Queries(one, two)),
        2 => (
            prop::sample::select(&[ByName::Prepare, ByName::Execute, ByName::Deallocate][..]),
            name(),
        )
            .prop_map(|(what, name)| Op::ByName(what, name)),
        1 => prop_oneof![Just(Forget::DiscardAll), Just(Forget::DeallocateAll)]
            .prop_map(Op::Forget),
        1 => Just(Op::Call),
        2 => seldom().prop_map(Op::CopyData),
        2 => Just(Op::CopyDone),
        1 => Just(Op::CopyFail),
        4 => Just(Op::Wait),
    ]
}

fn client() -> impl Strategy<Value = Client> {
    let startup = prop::sample::select(
        &[
            Startup::Plain,
            Startup::Plain,
            Startup::Application,
            Startup::Path,
            Startup::Role,
        ][..],
    );
    let ops = prop::collection::vec(op(), 0..24);
    (startup, ops, prop::bool::weighted(0.1)).prop_map(|(startup, mut ops, leaves)| {
        if leaves {
            ops.push(Op::Leave);
        }
        Client { startup, ops }
    })
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop::bool::weighted(0.1),
        0_u8..4,
        0_u8..3,
        prop::collection::vec(client(), 1..4),
        prop::collection::vec(any::<(u8, u8)>(), 0..200),
    )
        .prop_map(|(session_mode, statements, servers, clients, turns)| Case {
            session_mode,
            statements,
            servers,
            clients,
            turns,
        })
}

/// As many cases as `PROPTEST_CASES` says, the same ones every time; `PROPTEST_RNG_SEED` asks for
/// others. What fails is made a test of its own, so that nothing is left behind in files.
fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok();
    Config {
        cases: cases.and_then(|cases| cases.parse().ok()).unwrap_or(3000),
        failure_persistence: None,
        rng_seed: match Config::default().rng_seed {
            RngSeed::Random => RngSeed::Fixed(SEED),
            asked => asked,
        },
        ..Config::default()
    }
}

/// Any number will do.
const SEED: u64 = 1;

proptest::proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_client_sees_what_a_direct_connection_shows(case in case()) {
        model::world::run(&case);
    }
}
