//! What is known of each database's functions and views: read from the primary, kept for all sessions that
//! split reads from writes, and read again now and then and after statements that may have changed it.
//!
//! It is read over a connection of its own, as a user who has logged in, so that no client's settings are in
//! force. Until it has been read, and while it is known to be out of date, nothing counts as a read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::destination::Access;
use super::metrics::SessionMetrics;
use super::roster::Roster;
use super::routing::{RouteMetrics, ShelfMetrics};
use crate::protocol::{Back, Chore, Engine};

/// Group, database, and the user where that matters.
type Key = (Arc<str>, Arc<str>, Arc<str>);

/// The shelves of one engine.
pub struct Shelves<E: Engine> {
    shelves: Mutex<HashMap<Key, Kept<E>, RandomState>>,
    /// What is counted of sessions that come for shelves, by target group.
    routes: Mutex<HashMap<Arc<str>, Arc<RouteMetrics>, RandomState>>,
    metrics: SessionMetrics,
}

/// A shelf outlives its sessions for a while, since others come soon.
struct Kept<E: Engine> {
    shelf: Arc<Shelf<E>>,
    /// When a session came for it last.
    used: Instant,
}

/// A shelf, and whose it is.
pub struct KnownShelf<E: Engine> {
    /// The database.
    pub database: Arc<str>,
    /// The user, where that matters; else empty.
    pub user: Arc<str>,
    /// What is known.
    pub shelf: Arc<Shelf<E>>,
}

/// What is known of one database. Its task ends when nobody holds it.
pub struct Shelf<E: Engine> {
    /// What is known, and [`Roster::alterations`] when it was asked for.
    known: ArcSwapOption<(u64, Arc<E::Readings>)>,
    roster: Arc<Roster>,
    /// How long what is known may go on being known: of the configuration that a session last came with.
    interval: Mutex<Duration>,
    news: Arc<Notify>,
    accesses: Mutex<Vec<Weak<Access<E>>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl<E: Engine> Shelves<E> {
    /// None yet.
    pub fn new(metrics: SessionMetrics) -> Self {
        Self {
            shelves: Mutex::default(),
            routes: Mutex::default(),
            metrics,
        }
    }

    /// What is counted of the sessions of a target group whose reads go to replicas.
    pub fn routes(&self, group: &Arc<str>) -> Arc<RouteMetrics> {
        let mut routes = lock(&self.routes);
        let known = routes.entry(Arc::clone(group));
        Arc::clone(known.or_insert_with(|| self.metrics.routing().routes(group)))
    }

    /// Shelves of a group; of this database and user only, if given.
    pub fn known(
        &self,
        group: &str,
        database: Option<&str>,
        user: Option<&str>,
    ) -> Vec<KnownShelf<E>> {
        let shelves = lock(&self.shelves);
        let is = |wanted: Option<&str>, name: &str| wanted.is_none_or(|wanted| wanted == name);
        let found = shelves.iter().filter(|((of, named, by), _)| {
            **of == *group && is(database, named) && (by.is_empty() || is(user, by))
        });
        found
            .map(|((_, database, user), kept)| KnownShelf {
                database: Arc::clone(database),
                user: Arc::clone(user),
                shelf: Arc::clone(&kept.shelf),
            })
            .collect()
    }

    /// The shelf of the database that `access` is for, which is read anew every `interval`. To be called inside the
    /// runtime.
    pub fn shelf(&self, access: &Arc<Access<E>>, interval: Duration) -> Arc<Shelf<E>> {
        let key = access.key();
        let user = if E::CATALOGUE_BY_USER {
            Arc::clone(&key.user)
        } else {
            Arc::from("")
        };
        let place = (Arc::clone(&key.group), Arc::clone(&key.database), user);
        let shelf = self.kept(place, access.roster());
        let before = std::mem::replace(&mut *lock(&shelf.interval), interval);
        if before != interval {
            shelf.news.notify_one();
        }
        let mut accesses = lock(&shelf.accesses);
        let held = accesses
            .iter()
            .any(|held| held.as_ptr() == Arc::as_ptr(access));
        if !held {
            accesses.retain(|held| held.strong_count() > 0);
            accesses.push(Arc::downgrade(access));
        }
        drop(accesses);
        // Whoever comes after a pause finds nothing.
        let _ = shelf.readings();
        shelf
    }

    /// The shelf of this key, whose group's servers are these.
    fn kept(&self, place: Key, roster: &Arc<Roster>) -> Arc<Shelf<E>> {
        let now = Instant::now();
        let mut shelves = lock(&self.shelves);
        if !shelves.contains_key(&place) {
            shelves.retain(|_, kept| {
                Arc::strong_count(&kept.shelf) > 1 || now.duration_since(kept.used) < LINGER
            });
        }
        let start = || Kept {
            shelf: Shelf::start(Arc::clone(roster), self.metrics.routing().shelves()),
            used: now,
        };
        let kept = shelves.entry(place).or_insert_with(start);
        // The group was taken out of the configuration and has come back.
        if !Arc::ptr_eq(&kept.shelf.roster, roster) {
            *kept = start();
        }
        kept.used = now;
        Arc::clone(&kept.shelf)
    }
}

impl<E: Engine> Shelf<E> {
    fn start(roster: Arc<Roster>, metrics: Arc<ShelfMetrics>) -> Arc<Self> {
        let shelf = Arc::new(Self {
            known: ArcSwapOption::empty(),
            roster,
            interval: Mutex::default(),
            news: Arc::default(),
            accesses: Mutex::default(),
            task: Mutex::new(None),
        });
        let librarian = Librarian {
            news: Arc::clone(&shelf.news),
            shelf: Arc::downgrade(&shelf),
            metrics,
        };
        *lock(&shelf.task) = Some(tokio::spawn(librarian.run()));
        shelf
    }

    /// What is known; `None`: nothing, or nothing that is up to date. Then it is about to be read.
    pub fn readings(&self) -> Option<Arc<E::Readings>> {
        let current = self.current();
        if current.is_none() {
            self.news.notify_one();
        }
        current
    }

    fn current(&self) -> Option<Arc<E::Readings>> {
        let known = self.known.load();
        let current = known
            .as_ref()
            .filter(|known| known.0 == self.roster.alterations());
        current.map(|known| Arc::clone(&known.1))
    }

    /// What was known last, be it out of date.
    pub fn last_readings(&self) -> Option<Arc<E::Readings>> {
        let known = self.known.load();
        known.as_ref().map(|known| Arc::clone(&known.1))
    }

    fn access(&self) -> Option<Arc<Access<E>>> {
        lock(&self.accesses).iter().find_map(Weak::upgrade)
    }
}

impl<E: Engine> Drop for Shelf<E> {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

/// The task that keeps a shelf up to date.
struct Librarian<E: Engine> {
    shelf: Weak<Shelf<E>>,
    news: Arc<Notify>,
    metrics: Arc<ShelfMetrics>,
}

impl<E: Engine> Librarian<E> {
    async fn run(self) {
        let mut last: Option<Vec<u8>> = None;
        let mut failures = 0_u32;
        // When it was read last.
        let mut asked: Option<Instant> = None;
        loop {
            let Some(shelf) = self.shelf.upgrade() else {
                return;
            };
            // So long it is not seen what has changed outside, whether somebody is there or not.
            let due = asked.map(|asked| asked + *lock(&shelf.interval));
            let due = due.filter(|due| Instant::now() < *due);
            // Word may have been left while it was being read.
            let wanted = due.is_none() || shelf.current().is_none();
            let Some(access) = shelf.access().filter(|_| wanted) else {
                if due.is_none() {
                    shelf.known.store(None);
                }
                drop(shelf);
                self.news(due).await;
                continue;
            };
            let before = shelf.roster.alterations();
            drop(shelf);
            let began = Instant::now();
            let answer = read(access).await;
            let Some(shelf) = self.shelf.upgrade() else {
                return;
            };
            let result = match answer {
                Ok(answer) => self.put(&shelf, before, answer, &mut last).await,
                Err(why) => Err(why),
            };
            drop(shelf);
            match result {
                Ok(()) => {
                    (failures, asked) = (0, Some(began));
                    sleep(BREATH).await;
                }
                Err(why) => {
                    failures = failures.saturating_add(1);
                    self.failed(&why, failures);
                    // However many ask for it meanwhile.
                    sleep(FIRST_PAUSE * 2_u32.pow(failures.min(6))).await;
                }
            }
        }
    }

    /// Waits until somebody finds nothing, or what is out of date; not longer than until `due`, if given.
    async fn news(&self, due: Option<Instant>) {
        match due {
            Some(due) => drop(timeout_at(due, self.news.notified()).await),
            None => self.news.notified().await,
        }
    }

    fn failed(&self, why: &str, failures: u32) {
        self.metrics.failed.inc();
        if failures.is_power_of_two() {
            tracing::warn!(
                why,
                failures,
                "functions and views could not be read; reads go to the primary"
            );
        }
    }

    /// Puts what was read on the shelf; `before`: the alterations when it was asked for.
    async fn put(
        &self,
        shelf: &Arc<Shelf<E>>,
        before: u64,
        answer: Vec<u8>,
        last: &mut Option<Vec<u8>>,
    ) -> Result<(), String> {
        let known = shelf.known.load_full();
        if let Some(known) = known.filter(|_| last.as_ref() == Some(&answer)) {
            // The verdicts that have been made hold.
            shelf
                .known
                .store(Some(Arc::new((before, Arc::clone(&known.1)))));
            return Ok(());
        }
        let began = Instant::now();
        let text = answer.clone();
        // Views are parsed: milliseconds, where there are many.
        let parsed = tokio::task::spawn_blocking(move || E::readings(&text).map(Arc::new)).await;
        let Ok(Some(readings)) = parsed else {
            shelf.known.store(None);
            return Err("the answer cannot be read".into());
        };
        shelf.known.store(Some(Arc::new((before, readings))));
        *last = Some(answer);
        self.metrics.read.inc();
        tracing::debug!(took = ?began.elapsed(), "functions and views read");
        Ok(())
    }
}

/// The catalogue of the database that `access` is for, as its primary tells it.
async fn read<E: Engine>(access: Arc<Access<E>>) -> Result<Vec<u8>, String> {
    let way = access.primary().ok_or("there is no primary")?;
    let opened = way.pool.open_apart().await;
    let mut opened = opened.map_err(|error| error.to_string())?;
    let asked = opened.run(Chore::Query(E::CATALOGUE), LIMIT).await;
    asked.map_err(|error| error.to_string())?;
    let answer = opened.back.chore_value().map(<[u8]>::to_vec);
    opened.leave();
    answer.ok_or_else(|| "the server has answered nothing".into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A shelf that no session has come for since this long is put away.
const LINGER: Duration = Duration::from_secs(600);

/// Longest that reading may take.
const LIMIT: Duration = Duration::from_secs(30);

/// After a failure; doubled with each, up to half a minute.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Between two readings at least, so that a migration does not cause one for each of its statements.
const BREATH: Duration = Duration::from_millis(20);
