//! What is made of looks.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::Judge;
use crate::model::{LookFailure, Observation, Position, Role, Snapshot, StateReason, TargetState};
use crate::topology::options::{HealthOptions, Monitor, Seed, Source, TopologyOptions};

fn seed(name: &str) -> Seed {
    Seed {
        name: name.into(),
        host: name.into(),
        port: 1,
        verified_as: None,
        iam_endpoint: None,
        role: None,
        zone: None,
        other_region: false,
    }
}

fn options(names: &[&str]) -> TopologyOptions {
    TopologyOptions {
        seeds: names.iter().map(|name| seed(name)).collect(),
        health: HealthOptions {
            monitor: Some(Monitor {
                user: "watcher".into(),
                database: "".into(),
            }),
            interval: Duration::from_secs(1),
            failover_interval: Duration::from_millis(100),
            timeout: Duration::from_secs(1),
            failures: 2,
            successes: 2,
            max_lag: Duration::from_secs(5),
            max_lag_other_region: Duration::from_secs(30),
        },
        zone: None,
        source: Source::Configured,
    }
}

/// Positions of these tests are sets of letters.
fn compare(a: &Position, b: &Position) -> Option<Ordering> {
    let contains = |a: &Position, b: &Position| b.0.chars().all(|letter| a.0.contains(letter));
    match (contains(a, b), contains(b, a)) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Greater),
        (false, true) => Some(Ordering::Less),
        (false, false) => None,
    }
}

fn primary() -> Observation {
    Observation {
        role: Some(Role::Primary),
        capacity: Some(100),
        ..Observation::default()
    }
}

fn replica() -> Observation {
    Observation {
        role: Some(Role::Replica),
        streaming: Some(true),
        follows: true,
        ..primary()
    }
}

fn on_timeline(timeline: u64) -> Observation {
    Observation {
        timeline: Some(timeline),
        ..primary()
    }
}

fn having(position: &str) -> Observation {
    Observation {
        position: Some(Position(position.into())),
        ..primary()
    }
}

/// A judge and a clock.
struct Case {
    judge: Judge,
    now: Instant,
}

impl Case {
    fn new(options: TopologyOptions) -> Self {
        Self {
            judge: Judge::new(options, compare),
            now: Instant::now(),
        }
    }

    fn of(names: &[&str]) -> Self {
        Self::new(options(names))
    }

    fn sees(&mut self, name: &str, seen: Observation) -> Snapshot {
        self.judge.look(name, self.now, Ok(seen));
        self.judge.verdict(self.now)
    }

    fn misses(&mut self, name: &str) -> Snapshot {
        self.judge
            .look(name, self.now, Err(LookFailure::Unreachable));
        self.judge.verdict(self.now)
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn primary(&mut self) -> Option<String> {
        let snapshot = self.judge.verdict(self.now);
        snapshot.primary.map(|name| name.to_string())
    }

    fn state(&mut self, name: &str) -> (TargetState, Option<StateReason>) {
        let snapshot = self.judge.verdict(self.now);
        let member = snapshot.member(name).unwrap();
        (member.state, member.reason)
    }
}

const AVAILABLE: (TargetState, Option<StateReason>) = (TargetState::Available, None);

#[test]
fn who_says_that_it_is_primary_is() {
    let mut case = Case::of(&["a", "b"]);
    assert_eq!(case.primary(), None);
    assert_eq!(case.state("a").0, TargetState::Registering);
    case.sees("b", replica());
    assert_eq!(case.primary(), None);
    case.sees("a", primary());
    assert_eq!(case.primary().as_deref(), Some("a"));
    assert_eq!((case.state("a"), case.state("b")), (AVAILABLE, AVAILABLE));
    assert!(!case.judge.is_uneasy());
}

#[test]
fn one_failed_look_changes_nothing_and_two_do() {
    let mut case = Case::of(&["a", "b"]);
    case.sees("a", primary());
    case.sees("b", replica());
    case.misses("a");
    assert_eq!(case.primary().as_deref(), Some("a"));
    assert!(case.judge.is_uneasy(), "worth another look soon");
    case.misses("a");
    assert_eq!(case.primary(), None);
    let gone = (TargetState::Unavailable, Some(StateReason::Unreachable));
    assert_eq!((case.state("a"), case.state("b")), (gone, AVAILABLE));
    case.sees("a", primary());
    assert_eq!(case.primary(), None, "once may be chance");
    case.sees("a", primary());
    assert_eq!(case.primary().as_deref(), Some("a"));
}

#[test]
fn a_promotion_counts_at_once_where_the_old_primary_does_not_answer() {
    let mut case = Case::of(&["a", "b"]);
    case.sees("a", primary());
    case.sees("b", replica());
    case.misses("a");
    case.sees("b", primary());
    assert_eq!(case.primary().as_deref(), Some("b"));
}

#[test]
fn of_two_primaries_the_newer_timeline_leads() {
    let mut case = Case::of(&["a", "b"]);
    case.sees("a", on_timeline(1));
    case.sees("b", replica());
    case.sees("b", on_timeline(2));
    assert_eq!(case.primary().as_deref(), Some("b"));
    assert_eq!(
        case.state("a"),
        (TargetState::Unavailable, Some(StateReason::Promoted))
    );
    // And when the newer is gone, the older is still not believed.
    case.misses("b");
    case.misses("b");
    assert_eq!(case.primary(), None);
    case.sees("a", on_timeline(1));
    assert_eq!(case.primary(), None);
    case.sees("a", on_timeline(3));
    assert_eq!(case.primary().as_deref(), Some("a"));
}

#[test]
fn two_promotions_to_the_same_timeline_leave_no_primary() {
    let mut case = Case::of(&["a", "b", "c"]);
    case.sees("a", on_timeline(1));
    case.sees("b", replica());
    case.sees("c", replica());
    case.misses("a");
    case.misses("a");
    case.sees("b", on_timeline(2));
    assert_eq!(case.primary().as_deref(), Some("b"));
    case.sees("c", on_timeline(2));
    assert_eq!(case.primary(), None);
    assert!(case.judge.is_disputed());
    case.sees("c", replica());
    assert_eq!(case.primary().as_deref(), Some("b"));
    assert!(!case.judge.is_disputed());
}

#[test]
fn without_timelines_the_fuller_history_leads() {
    let mut case = Case::of(&["a", "b"]);
    case.sees("a", having("xy"));
    case.sees(
        "b",
        Observation {
            role: Some(Role::Replica),
            ..having("xy")
        },
    );
    case.sees("b", having("xyz"));
    assert_eq!(case.primary().as_deref(), Some("b"));
    // Each has what the other lacks, and b was promoted while a led.
    let mut case = Case::of(&["a", "b"]);
    case.sees("a", having("xyw"));
    case.sees(
        "b",
        Observation {
            role: Some(Role::Replica),
            ..having("xy")
        },
    );
    case.sees("b", having("xyz"));
    assert_eq!(case.primary(), None);
    assert!(case.judge.is_disputed());
}

#[test]
fn who_comes_back_does_not_unseat_who_leads() {
    let mut case = Case::of(&["a", "b"]);
    case.sees("a", having("xyw"));
    case.sees(
        "b",
        Observation {
            role: Some(Role::Replica),
            ..having("xy")
        },
    );
    case.misses("a");
    case.misses("a");
    case.sees("b", having("xyz"));
    assert_eq!(case.primary().as_deref(), Some("b"));
    for _ in 0..3 {
        case.sees("a", having("xyw"));
        assert_eq!(case.primary().as_deref(), Some("b"));
    }
    assert_eq!(
        case.state("a"),
        (TargetState::Unavailable, Some(StateReason::Promoted))
    );
}

#[test]
fn at_the_start_two_equal_claims_are_refused() {
    let mut case = Case::of(&["a", "b"]);
    case.judge.look("a", case.now, Ok(having("x")));
    case.judge.look("b", case.now, Ok(having("y")));
    assert_eq!(case.primary(), None);
    assert!(case.judge.is_disputed());
}

#[test]
fn a_writer_that_discovery_names_leads() {
    let mut case = Case::of(&["a", "b"]);
    let seeds = vec![seed("a"), seed("b")];
    case.judge.set_members(seeds, Some("b".into()));
    case.judge.look("a", case.now, Ok(having("x")));
    case.judge.look("b", case.now, Ok(having("y")));
    assert_eq!(case.primary().as_deref(), Some("b"));
}

#[test]
fn a_server_of_another_history_is_not_used() {
    let of = |lineage: &str, seen: Observation| Observation {
        lineage: Some(lineage.into()),
        ..seen
    };
    let mut case = Case::of(&["a", "b", "c"]);
    case.sees("a", of("1", primary()));
    case.sees("b", of("2", replica()));
    case.sees("c", of("2", primary()));
    assert_eq!(case.primary().as_deref(), Some("a"));
    let invalid = StateReason::InvalidReplicationState;
    assert_eq!(case.state("b"), (TargetState::Unavailable, Some(invalid)));
}

#[test]
fn a_replica_that_lags_leaves_and_comes_back() {
    let lagging = |seconds| Observation {
        lag: Some(Duration::from_secs(seconds)),
        ..replica()
    };
    let mut case = Case::of(&["a", "b"]);
    case.sees("a", primary());
    case.sees("b", lagging(5));
    assert_eq!(case.state("b"), AVAILABLE);
    case.sees("b", lagging(6));
    let invalid = StateReason::InvalidReplicationState;
    assert_eq!(case.state("b"), (TargetState::Unavailable, Some(invalid)));
    case.sees("b", lagging(5));
    assert_eq!(case.state("b").0, TargetState::Unavailable);
    case.sees("b", lagging(4));
    assert_eq!(case.state("b"), AVAILABLE);
}

#[test]
fn a_replica_in_another_region_may_lag_more() {
    let mut options = options(&["a", "b"]);
    options.seeds[1].other_region = true;
    let mut case = Case::new(options);
    case.sees("a", primary());
    case.sees(
        "b",
        Observation {
            lag: Some(Duration::from_secs(29)),
            ..replica()
        },
    );
    assert_eq!(case.state("b"), AVAILABLE);
    case.sees(
        "b",
        Observation {
            lag: Some(Duration::from_secs(31)),
            ..replica()
        },
    );
    assert_eq!(case.state("b").0, TargetState::Unavailable);
}

#[test]
fn lag_is_seen_by_what_is_missing_even_if_the_replica_says_none() {
    let at = |progress, seen: Observation| Observation {
        progress: Some(progress),
        ..seen
    };
    let mut case = Case::of(&["a", "b"]);
    case.sees("a", at(1, primary()));
    case.sees("b", at(1, replica()));
    for progress in 2..10 {
        case.pass(1);
        case.sees("a", at(progress, primary()));
        case.sees(
            "b",
            at(
                1,
                Observation {
                    lag: Some(Duration::ZERO),
                    ..replica()
                },
            ),
        );
    }
    let snapshot = case.judge.verdict(case.now);
    let lag = snapshot.member("b").unwrap().lag;
    assert_eq!(lag, Some(Duration::from_secs(7)), "since 2 was written");
    assert_eq!(case.state("b").0, TargetState::Unavailable);
    // An old time of the last transaction is no lag, where nothing is missing.
    case.sees(
        "b",
        at(
            9,
            Observation {
                lag: Some(Duration::from_secs(99)),
                ..replica()
            },
        ),
    );
    assert_eq!(case.state("b"), AVAILABLE);
}

#[test]
fn a_monitor_that_may_not_log_in_does_not_ban_a_server_that_was_well() {
    let mut case = Case::of(&["a"]);
    case.sees("a", primary());
    for _ in 0..5 {
        case.judge.look("a", case.now, Err(LookFailure::Refused));
    }
    assert_eq!(case.primary().as_deref(), Some("a"));
}

#[test]
fn without_a_monitor_the_configuration_is_believed() {
    let mut options = options(&["a", "b"]);
    options.health.monitor = None;
    options.seeds[0].role = Some(Role::Primary);
    options.seeds[1].role = Some(Role::Replica);
    let mut case = Case::new(options);
    assert_eq!(case.primary().as_deref(), Some("a"));
    case.sees("b", Observation::default());
    assert_eq!(case.state("b"), AVAILABLE);
    case.misses("a");
    case.misses("a");
    assert_eq!(case.primary().as_deref(), Some("a"));
}

#[test]
fn members_come_and_go() {
    let mut case = Case::of(&["a", "b"]);
    case.sees("a", primary());
    case.sees("b", replica());
    case.judge.set_members(vec![seed("a"), seed("c")], None);
    assert_eq!(
        case.primary().as_deref(),
        Some("a"),
        "what is known is kept"
    );
    assert_eq!(case.state("c").0, TargetState::Registering);
    case.judge.set_members(vec![seed("c")], None);
    assert_eq!(case.primary(), None);
}

/// Anything that may be seen of a server.
fn anything() -> impl Strategy<Value = Result<Observation, LookFailure>> {
    let seen = (
        prop::option::of(prop_oneof![Just(Role::Primary), Just(Role::Replica)]),
        prop::option::of(1_u64..4),
        prop::option::of("[xyz]{0,3}"),
        prop::option::of(0_u64..20),
        any::<bool>(),
    )
        .prop_map(|(role, timeline, position, progress, follows)| {
            Ok(Observation {
                role,
                timeline,
                position: position.map(|text| Position(text.as_str().into())),
                progress,
                follows,
                streaming: Some(follows),
                ..Observation::default()
            })
        });
    prop_oneof![
        8 => seen,
        2 => prop_oneof![
            Just(Err(LookFailure::Unreachable)),
            Just(Err(LookFailure::Unusable)),
            Just(Err(LookFailure::Refused)),
        ],
    ]
}

proptest! {
    #[test]
    fn whatever_is_seen_the_primary_claims_to_be_one_and_is_alone(
        looks in prop::collection::vec((0_usize..3, anything()), 1..60),
    ) {
        let names = ["a", "b", "c"];
        let mut case = Case::of(&names);
        let mut newest = 0;
        let mut last: Vec<Option<Observation>> = vec![None; 3];
        for (server, seen) in looks {
            case.pass(1);
            if let Ok(seen) = &seen {
                last[server] = Some(seen.clone());
            }
            case.judge.look(names[server], case.now, seen);
            let snapshot = case.judge.verdict(case.now);
            let Some(primary) = &snapshot.primary else { continue };
            let index = names.iter().position(|name| *name == &**primary).unwrap();
            let seen = last[index].clone().unwrap();
            prop_assert_eq!(seen.role, Some(Role::Primary));
            prop_assert_eq!(snapshot.member(primary).unwrap().state, TargetState::Available);
            // The history of the group never goes back.
            if let Some(timeline) = seen.timeline {
                prop_assert!(timeline >= newest);
                newest = timeline;
            }
            // No other primary may be used.
            let others = snapshot.members.iter().filter(|member| member.name != *primary);
            for other in others {
                let usable = other.state == TargetState::Available;
                prop_assert!(!usable || other.role == Some(Role::Replica));
            }
        }
    }

    #[test]
    fn looking_twice_changes_nothing(
        looks in prop::collection::vec((0_usize..3, anything()), 1..30),
    ) {
        let names = ["a", "b", "c"];
        let mut case = Case::of(&names);
        for (server, seen) in looks {
            case.judge.look(names[server], case.now, seen);
            let first = case.judge.verdict(case.now);
            prop_assert_eq!(case.judge.verdict(case.now), first);
        }
    }
}
