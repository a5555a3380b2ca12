use std::time::{Duration, Instant};

use super::{Choice, Keyring, Stage};
use crate::auth::source::Offer;
use crate::model::{Credential, Secret};

fn offer(version: &str) -> Offer {
    Offer {
        user: Some("app".into()),
        credential: Credential::Password(Secret::new(version)),
        version: version.into(),
        verified_only: false,
    }
}

fn ring(stages: &[(Stage, &str)]) -> Keyring {
    let mut ring = Keyring::default();
    ring.put(
        stages
            .iter()
            .map(|(stage, version)| (*stage, offer(version))),
    );
    ring
}

fn chosen(ring: &Keyring, refused: &[&str], now: Instant) -> Option<String> {
    let refused: Vec<_> = refused.iter().map(|version| offer(version)).collect();
    match ring.choose(&refused, None, now) {
        Choice::Offer(offer) => Some(offer.version.to_string()),
        Choice::Rest(_) | Choice::Nothing => None,
    }
}

const ALL: [(Stage, &str); 3] = [
    (Stage::Previous, "old"),
    (Stage::Pending, "new"),
    (Stage::Current, "now"),
];

#[test]
fn what_is_in_force_is_tried_first_then_the_coming_then_the_former() {
    let (ring, now) = (ring(&ALL), Instant::now());
    assert_eq!(chosen(&ring, &[], now).unwrap(), "now");
    assert_eq!(chosen(&ring, &["now"], now).unwrap(), "new");
    assert_eq!(chosen(&ring, &["now", "new"], now).unwrap(), "old");
    assert!(chosen(&ring, &["now", "new", "old"], now).is_none());
}

#[test]
fn while_the_one_in_force_rests_the_one_that_works_is_shown() {
    let (mut ring, now) = (ring(&ALL), Instant::now());
    ring.refused("now", now);
    assert!(ring.accepted(&"old".into()));
    assert!(!ring.accepted(&"old".into()));
    assert_eq!(chosen(&ring, &[], now).unwrap(), "old");
    assert_eq!(ring.in_use(), Some(Stage::Previous));
    // It is given another chance now and then.
    let later = now + Duration::from_secs(1);
    assert_eq!(chosen(&ring, &[], later).unwrap(), "now");
    ring.refused("now", later);
    assert_eq!(
        chosen(&ring, &[], later + Duration::from_secs(1)).unwrap(),
        "old"
    );
    assert_eq!(
        chosen(&ring, &[], later + Duration::from_secs(2)).unwrap(),
        "now"
    );
}

#[test]
fn what_is_always_refused_is_shown_ever_more_seldom() {
    let mut ring = ring(&[(Stage::Current, "now")]);
    let start = Instant::now();
    let mut tries = 0;
    for second in 0..600 {
        let now = start + Duration::from_secs(second);
        if chosen(&ring, &[], now).is_some() {
            tries += 1;
            // Several logins at once are one refusal.
            ring.refused("now", now);
            ring.refused("now", now);
        }
    }
    // 0, 1, 3, 7, 15, 31, 63, then once a minute.
    assert_eq!(tries, 15);
    let Choice::Rest(until) = ring.choose(&[], None, start + Duration::from_secs(600)) else {
        panic!();
    };
    assert!(until > start + Duration::from_secs(600));
}

#[test]
fn a_new_version_is_shown_at_once_and_a_promoted_one_keeps_its_standing() {
    let (mut ring, now) = (ring(&[(Stage::Current, "a")]), Instant::now());
    ring.refused("a", now);
    assert!(chosen(&ring, &[], now).is_none());
    ring.put([(Stage::Current, offer("a")), (Stage::Pending, offer("b"))]);
    assert_eq!(chosen(&ring, &[], now).unwrap(), "b");
    ring.accepted(&"b".into());
    ring.put([(Stage::Previous, offer("a")), (Stage::Current, offer("b"))]);
    assert_eq!(chosen(&ring, &[], now).unwrap(), "b");
    assert_eq!(ring.in_use(), Some(Stage::Current));
    assert!(chosen(&ring, &["b"], now).is_none(), "it still rests");
}

#[test]
fn a_version_of_two_stages_is_kept_once() {
    let ring = ring(&[(Stage::Pending, "a"), (Stage::Current, "a")]);
    assert_eq!(ring.current().unwrap().version, "a".into());
    assert!(ring.of(Stage::Pending).is_none());
    assert_eq!(ring.users(), [&"app".into()]);
}

#[test]
fn an_empty_ring_has_nothing() {
    let ring = Keyring::default();
    assert!(matches!(
        ring.choose(&[], None, Instant::now()),
        Choice::Nothing
    ));
    assert!(ring.current().is_none() && ring.in_use().is_none());
}

#[test]
fn when_the_one_that_worked_is_refused_the_others_need_not_rest() {
    let (mut ring, now) = (ring(&ALL), Instant::now());
    ring.refused("now", now);
    ring.refused("new", now);
    ring.accepted(&"old".into());
    assert_eq!(chosen(&ring, &[], now).unwrap(), "old");
    ring.refused("old", now);
    assert_eq!(chosen(&ring, &["old"], now).unwrap(), "now");
    assert_eq!(chosen(&ring, &["old", "now"], now).unwrap(), "new");
}
