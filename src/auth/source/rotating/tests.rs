//! On a paused clock, over a store that a test fills.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Depth, Pace, Reading, Rotating, Store};
use crate::auth::source::keyring::Stage;
use crate::auth::source::{
    Ask, Asked, CredentialSource, Offer, PasswordKeeper, SourceError, SourceMetrics,
};
use crate::model::{Credential, Secret};

/// What the store has, by stage.
type Content = Vec<(Stage, Offer)>;

#[derive(Debug, Default)]
struct Shelf {
    content: Mutex<Content>,
    failures: Mutex<VecDeque<&'static str>>,
    reads: AtomicU32,
}

impl Store for Arc<Shelf> {
    fn read(&self, depth: Depth) -> Asked<'_, Reading> {
        Box::pin(async move {
            self.reads.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Some(failure) = self.failures.lock().unwrap().pop_front() {
                return Err(SourceError::new(failure));
            }
            let content = self.content.lock().unwrap().clone();
            match depth {
                Depth::All => Ok(Reading::All(content)),
                Depth::Current => {
                    let current = content
                        .into_iter()
                        .find(|(stage, _)| *stage == Stage::Current);
                    let current = current.ok_or_else(|| SourceError::new("nothing is in force"))?;
                    Ok(Reading::Current(current.1))
                }
            }
        })
    }
}

impl Shelf {
    fn set(&self, content: &[(Stage, &str)]) {
        *self.content.lock().unwrap() = content.iter().map(|(s, v)| (*s, offer(v))).collect();
    }

    fn reads(&self) -> u32 {
        self.reads.load(Ordering::SeqCst)
    }
}

fn offer(version: &str) -> Offer {
    Offer {
        user: Some(version.trim_end_matches(char::is_numeric).into()),
        credential: Credential::Password(Secret::new(version)),
        version: version.into(),
        verified_only: false,
    }
}

const PACE: Pace = Pace {
    max_age: Duration::from_secs(300),
    min_gap: Duration::from_secs(1),
    at_login: true,
};

fn setting(content: &[(Stage, &str)]) -> (Arc<Shelf>, Arc<Rotating<Arc<Shelf>>>) {
    let shelf = Arc::new(Shelf::default());
    shelf.set(content);
    let metrics = SourceMetrics::register(&prometheus::Registry::new()).unwrap();
    let source = Rotating::new(Arc::clone(&shelf), PACE, metrics.meter("test", "shelf"));
    (shelf, Arc::new(source))
}

async fn ask(
    source: &Rotating<Arc<Shelf>>,
    refused: &[Offer],
) -> Result<Option<Arc<str>>, SourceError> {
    let user = "pool".into();
    let ask = Ask {
        endpoint: ("db", 5432),
        user: &user,
        only: None,
        refused,
    };
    let offered = source.offer(ask).await?;
    Ok(offered.map(|offer| offer.version))
}

/// Logs in to a server that takes one version; what was tried.
async fn log_in(source: &Rotating<Arc<Shelf>>, taken: &str) -> (Vec<String>, bool) {
    let mut refused = Vec::new();
    loop {
        let tried = |refused: &[Offer]| refused.iter().map(|o| o.version.to_string()).collect();
        let Ok(Some(version)) = ask(source, &refused).await else {
            return (tried(&refused), false);
        };
        refused.push(offer(&version));
        if &*version == taken {
            source.accepted(&offer(&version));
            return (tried(&refused), true);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_read_once_while_it_is_fresh_however_many_ask() {
    let (shelf, source) = setting(&[(Stage::Current, "app1")]);
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let source = Arc::clone(&source);
            tokio::spawn(async move { ask(&source, &[]).await.unwrap().unwrap() })
        })
        .collect();
    for task in asked {
        assert_eq!(&*task.await.unwrap(), "app1");
    }
    assert_eq!(shelf.reads(), 1);
    tokio::time::sleep(Duration::from_secs(301)).await;
    ask(&source, &[]).await.unwrap();
    assert_eq!(shelf.reads(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_gap_of_a_rotation_of_one_user_is_bridged() {
    let (shelf, source) = setting(&[(Stage::Current, "app1")]);
    assert_eq!(log_in(&source, "app1").await, (vec!["app1".into()], true));
    // The server has the new password; the store has it as pending.
    shelf.set(&[(Stage::Current, "app1"), (Stage::Pending, "app2")]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (tried, done) = log_in(&source, "app2").await;
    assert!(done, "{tried:?}");
    assert_eq!(tried, ["app1", "app2"]);
    // The next login knows.
    assert_eq!(log_in(&source, "app2").await, (vec!["app2".into()], true));
    // It is promoted; nothing is refused any more.
    shelf.set(&[(Stage::Previous, "app1"), (Stage::Current, "app2")]);
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert_eq!(log_in(&source, "app2").await, (vec!["app2".into()], true));
}

#[tokio::test(start_paused = true)]
async fn clients_of_one_user_prove_the_password_in_force_also_while_it_rotates() {
    let (shelf, source) = setting(&[(Stage::Current, "app1")]);
    log_in(&source, "app1").await;
    shelf.set(&[(Stage::Current, "app1"), (Stage::Pending, "app2")]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    log_in(&source, "app2").await;
    assert_eq!(source.password("app").await.unwrap().expose(), b"app1");
    // Servers have told that there is something new, so the promotion is noticed at once.
    shelf.set(&[(Stage::Previous, "app1"), (Stage::Current, "app2")]);
    assert_eq!(source.password("app").await.unwrap().expose(), b"app2");
    let reads = shelf.reads();
    assert_eq!(source.password("app").await.unwrap().expose(), b"app2");
    assert_eq!(shelf.reads(), reads);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_ahead_of_the_server_is_borne_with() {
    let (shelf, source) = setting(&[(Stage::Current, "app1")]);
    log_in(&source, "app1").await;
    shelf.set(&[(Stage::Previous, "app1"), (Stage::Current, "app2")]);
    tokio::time::sleep(Duration::from_secs(400)).await;
    let (tried, done) = log_in(&source, "app1").await;
    assert!(done && tried == ["app2", "app1"], "{tried:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_changes_its_mind_during_a_login_is_followed() {
    let (shelf, source) = setting(&[(Stage::Current, "app2"), (Stage::Previous, "app1")]);
    // The store is ahead of the server.
    assert!(log_in(&source, "app1").await.1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    // The new one is tried again; then the server changes, and refuses the old one.
    let new = offer(&ask(&source, &[]).await.unwrap().unwrap());
    let old = offer(
        &ask(&source, std::slice::from_ref(&new))
            .await
            .unwrap()
            .unwrap(),
    );
    assert_eq!((&*new.version, &*old.version), ("app2", "app1"));
    let again = ask(&source, &[new, old]).await.unwrap();
    assert_eq!(again.as_deref(), Some("app2"));
    assert!(shelf.reads() >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_just_after_a_reading_is_waited_for() {
    let (shelf, source) = setting(&[(Stage::Current, "app1")]);
    log_in(&source, "app1").await;
    shelf.set(&[(Stage::Previous, "app1"), (Stage::Current, "app2")]);
    // A second has not passed since it was read.
    assert_eq!(
        log_in(&source, "app2").await,
        (vec!["app1".into(), "app2".into()], true)
    );
    assert_eq!(shelf.reads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_refused_logins_are_few_readings_and_few_tries() {
    let (shelf, source) = setting(&[(Stage::Current, "app1"), (Stage::Previous, "app0")]);
    let mut tries = 0;
    // A second apart, as a pool tries that goes on being refused.
    for _ in 0..600 {
        tries += log_in(&source, "nothing").await.0.len();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(tries <= 2 * 16, "{tries}");
    assert!(shelf.reads() <= 640, "{}", shelf.reads());
    // What is new is tried at once.
    shelf.set(&[(Stage::Current, "app2")]);
    let (tried, done) = log_in(&source, "app2").await;
    assert!(done && tried.last().unwrap() == "app2", "{tried:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_outlives_a_store_that_cannot_be_read() {
    let (shelf, source) = setting(&[(Stage::Current, "app1")]);
    shelf.failures.lock().unwrap().push_back("not now");
    assert_eq!(ask(&source, &[]).await.unwrap_err().to_string(), "not now");
    assert_eq!(&*ask(&source, &[]).await.unwrap().unwrap(), "app1");
    tokio::time::sleep(Duration::from_secs(400)).await;
    shelf.failures.lock().unwrap().push_back("not now");
    assert_eq!(&*ask(&source, &[]).await.unwrap().unwrap(), "app1");
}

#[tokio::test(start_paused = true)]
async fn logins_do_not_wait_for_a_store_far_away() {
    let shelf = Arc::new(Shelf::default());
    shelf.set(&[(Stage::Current, "app1")]);
    let metrics = SourceMetrics::register(&prometheus::Registry::new()).unwrap();
    let pace = Pace {
        at_login: false,
        ..PACE
    };
    let source = Rotating::new(Arc::clone(&shelf), pace, metrics.meter("test", "shelf"));
    let source = Arc::new(source);
    tokio::spawn(Rotating::keep_fresh(Arc::downgrade(&source)));
    ask(&source, &[]).await.unwrap();
    assert_eq!(shelf.reads(), 1);
    tokio::time::sleep(Duration::from_secs(299)).await;
    shelf.set(&[(Stage::Current, "app2")]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let began = tokio::time::Instant::now();
    ask(&source, &[]).await.unwrap();
    assert!(began.elapsed().is_zero());
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(&*ask(&source, &[]).await.unwrap().unwrap(), "app2");
    assert_eq!(shelf.reads(), 2);
    let weak = Arc::downgrade(&source);
    drop(source);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(weak.upgrade().is_none(), "it does not keep itself");
}

#[tokio::test(start_paused = true)]
async fn alternating_users_are_two_names_of_one_source() {
    let (shelf, source) = setting(&[(Stage::Current, "app1")]);
    log_in(&source, "app1").await;
    shelf.set(&[(Stage::Previous, "app1"), (Stage::Current, "app_clone2")]);
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert_eq!(log_in(&source, "app_clone2").await.0, ["app_clone2"]);
    assert_eq!(source.users(), ["app".into(), "app_clone".into()]);
    // A client may still come with the former name and its password.
    for (user, password) in [
        ("app", "app1"),
        ("app_clone", "app_clone2"),
        ("alias", "app_clone2"),
    ] {
        let kept = source.password(user).await.unwrap();
        assert_eq!(kept.expose(), password.as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_wrong_password_has_the_store_read_now_and_then() {
    let (shelf, source) = setting(&[(Stage::Current, "app1")]);
    assert_eq!(source.password("app").await.unwrap().expose(), b"app1");
    shelf.set(&[(Stage::Current, "app2")]);
    for _ in 0..100 {
        source.doubt();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(source.password("app").await.unwrap().expose(), b"app2");
    assert!((2..=4).contains(&shelf.reads()), "{}", shelf.reads());
}
