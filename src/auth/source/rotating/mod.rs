//! A source over a store whose content changes under way: read when it is due, and at once when a
//! server refuses what was read.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::keyring::{Choice, Keyring, Stage};
use super::meter::SourceMeter;
use super::{Ask, Asked, CredentialSource, Offer, PasswordKeeper, SourceError};
use crate::model::{Credential, Secret};

/// Where the credentials of one source are kept.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads it. Cancel-safe.
    fn read(&self, depth: Depth) -> Asked<'_, Reading>;
}

impl Store for Box<dyn Store> {
    fn read(&self, depth: Depth) -> Asked<'_, Reading> {
        (**self).read(depth)
    }
}

/// How much is asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The credential in force: the usual question.
    Current,
    /// All that may be right: a server has refused one.
    All,
}

/// What a store has.
#[derive(Clone, Debug)]
pub enum Reading {
    /// The credential in force; if it is new, the former one is remembered as such.
    Current(Offer),
    /// All stages.
    All(Vec<(Stage, Offer)>),
}

/// How often a store is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// What was read before that is read again at the next occasion.
    pub max_age: Duration,
    /// Shortest time from one reading to the next, whatever the occasion.
    pub min_gap: Duration,
    /// A login may wait for a reading although something is known. Otherwise [`Rotating::keep_fresh`]
    /// reads beside it.
    pub at_login: bool,
}

/// The source.
#[derive(Debug)]
pub struct Rotating<S> {
    store: S,
    pace: Pace,
    meter: Arc<SourceMeter>,
    state: Mutex<State>,
    /// It will be read because of a client's doubt.
    doubted: AtomicBool,
    /// Held by the one that reads, so that many who wait cost one reading.
    reading: tokio::sync::Mutex<()>,
}

/// How many readings had begun when somebody asked.
#[derive(Clone, Copy, Debug)]
struct Asking(u64);

#[derive(Debug, Default)]
struct State {
    ring: Keyring,
    /// Readings begun so far.
    begun: u64,
    /// The number of the last that ended.
    ended: u64,
    /// When the last reading began, whatever became of it.
    tried: Option<Instant>,
    /// When the last began that succeeded.
    read: Option<Instant>,
    error: Option<SourceError>,
}

impl<S: Store> Rotating<S> {
    /// Over this store, not read yet.
    pub fn new(store: S, pace: Pace, meter: Arc<SourceMeter>) -> Self {
        Self {
            store,
            pace,
            meter,
            state: Mutex::default(),
            doubted: AtomicBool::new(false),
            reading: tokio::sync::Mutex::new(()),
        }
    }

    /// Reads the store, unless that was begun since `asked` by somebody else. Waits until it may
    /// be read again. Cancel-safe: the next one reads instead.
    async fn refresh(&self, depth: Depth, asked: Asking) {
        let _alone = self.reading.lock().await;
        if self.state().ended <= asked.0 {
            self.read(depth).await;
        }
    }

    /// Reads the store if what is known is older than it should be. Cancel-safe.
    pub async fn freshen(&self) {
        if self.is_stale() {
            let _alone = self.reading.lock().await;
            if self.is_stale() {
                // What logins do not wait for may take longer, and then knows the users that take turns.
                let depth = if self.pace.at_login {
                    Depth::Current
                } else {
                    Depth::All
                };
                self.read(depth).await;
            }
        }
    }

    /// Reads the store, if a login is to wait for that.
    async fn prepare(&self) {
        if self.pace.at_login || !self.is_known() {
            self.freshen().await;
        }
    }

    fn is_stale(&self) -> bool {
        let now = Instant::now();
        let fresh = |read: Instant| now < read + self.pace.max_age;
        !self.state().read.is_some_and(fresh)
    }

    /// Reads the store as soon as it may be read. To be called by one at a time.
    async fn read(&self, depth: Depth) {
        let tried = self.state().tried;
        if let Some(tried) = tried {
            tokio::time::sleep_until(tried + self.pace.min_gap).await;
        }
        let began = Instant::now();
        let number = self.state().begin(began);
        let result = self.store.read(depth).await;
        let mut state = self.state();
        state.ended = number;
        match result {
            Ok(reading) => {
                let new = state.take(reading);
                (state.read, state.error) = (Some(began), None);
                self.meter.refreshed();
                if let Some(version) = new {
                    tracing::info!(
                        kind = self.meter.kind(), source = %self.meter.name(), %version,
                        "credentials read"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(
                    kind = self.meter.kind(), source = %self.meter.name(), %error,
                    "credentials could not be read"
                );
                self.meter.failed(&error);
                state.error = Some(error);
            }
        }
    }

    /// Reads the store whenever that is due, for as long as anybody else holds the source.
    pub async fn keep_fresh(source: std::sync::Weak<Self>) {
        loop {
            let Some(held) = source.upgrade() else {
                return;
            };
            held.freshen().await;
            let pause = if held.is_known() {
                held.pace.max_age / 2
            } else {
                UNTIL_KNOWN
            };
            drop(held);
            tokio::time::sleep(pause).await;
        }
    }

    /// Names of the users of all stages.
    pub fn users(&self) -> Vec<Arc<str>> {
        self.state().ring.users().into_iter().cloned().collect()
    }

    /// True once it has been read.
    pub fn is_known(&self) -> bool {
        self.state().read.is_some()
    }

    /// True once it has been read, or could not be.
    pub fn is_tried(&self) -> bool {
        self.state().ended > 0
    }

    /// Reads it if nobody has tried that before. Cancel-safe.
    pub async fn try_once(&self) {
        self.refresh(Depth::All, Asking(0)).await;
    }

    /// Whether a login that was refused waits for a reading: not where one was made just now, and
    /// something is left to try.
    fn should_look(&self, ask: &Ask<'_>, now: Instant) -> bool {
        let state = self.state();
        let soon = state
            .tried
            .is_some_and(|tried| now < tried + self.pace.min_gap);
        !soon
            || !matches!(
                state.ring.choose(ask.refused, ask.only, now.into_std()),
                Choice::Offer(_)
            )
    }

    fn choose(&self, ask: &Ask<'_>) -> Result<Option<Offer>, SourceError> {
        let state = self.state();
        let now = Instant::now().into_std();
        match (state.ring.choose(ask.refused, ask.only, now), &state.error) {
            (Choice::Offer(offer), _) => Ok(Some(offer.clone())),
            // The server's own words say more.
            (_, _) if !ask.refused.is_empty() => Ok(None),
            (Choice::Rest(until), _) => {
                let left = until.saturating_duration_since(now).as_millis();
                Err(SourceError::new(format_args!(
                    "{} {}: the server has refused all that is known; it is shown again in {left} ms",
                    self.meter.kind(),
                    self.meter.name(),
                )))
            }
            (_, Some(error)) => Err(error.clone()),
            (_, None) => Err(SourceError::new("there are no credentials")),
        }
    }

    fn asking(&self) -> Asking {
        Asking(self.state().begun)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, now: Instant) -> u64 {
        self.tried = Some(now);
        self.begun += 1;
        self.begun
    }

    /// Returns the version in force, if it is another than before.
    fn take(&mut self, reading: Reading) -> Option<Arc<str>> {
        let before = self.ring.current().cloned();
        match reading {
            Reading::All(offers) => self.ring.put(offers),
            Reading::Current(offer) => {
                let same = before.as_ref().is_some_and(|b| b.version == offer.version);
                if !same {
                    let former = before.clone().map(|former| (Stage::Previous, former));
                    self.ring
                        .put(former.into_iter().chain([(Stage::Current, offer)]));
                }
            }
        }
        let version = |offer: &Offer| Arc::clone(&offer.version);
        let now = self.ring.current().map(version);
        now.filter(|now| before.as_ref().map(version).as_ref() != Some(now))
    }
}

impl<S: Store> CredentialSource for Rotating<S> {
    fn offer<'a>(&'a self, mut ask: Ask<'a>) -> Asked<'a, Option<Offer>> {
        Box::pin(async move {
            let (began, asked) = (Instant::now(), self.asking());
            match ask.refused.last() {
                None => {
                    self.prepare().await;
                    // If all rest, there may be something newer.
                    if self.choose(&ask).is_err() && self.is_known() {
                        self.refresh(Depth::All, asked).await;
                    }
                }
                Some(refused) => {
                    let now = began.into_std();
                    if self.state().ring.refused(&refused.version, now) {
                        // What was refused before it, in this login, may be right by now.
                        ask.refused = std::slice::from_ref(refused);
                    }
                    self.meter.refused();
                    tracing::warn!(
                        kind = self.meter.kind(), source = %self.meter.name(), version = %refused.version,
                        "server refused credentials; looking for newer ones"
                    );
                    if self.should_look(&ask, began) {
                        self.refresh(Depth::All, asked).await;
                    }
                }
            }
            self.choose(&ask)
        })
    }

    fn accepted(&self, offer: &Offer) {
        let mut state = self.state();
        if state.ring.accepted(&offer.version) {
            let stage = state.ring.in_use().map_or("unknown", Stage::as_str);
            self.meter.in_use(&offer.version, stage);
            tracing::info!(
                kind = self.meter.kind(), source = %self.meter.name(), version = %offer.version, stage,
                "server takes credentials"
            );
        }
    }
}

impl<S: Store> PasswordKeeper for Rotating<S> {
    fn password<'a>(&'a self, user: &'a str) -> Asked<'a, Secret> {
        Box::pin(async move {
            let asked = self.asking();
            self.prepare().await;
            // Two users take turns, and it may be this one's again; or the one password that servers
            // take already may be in force now.
            let unsure = {
                let ring = &self.state().ring;
                ring.has_former(user) || ring.is_rotating()
            };
            if unsure {
                self.refresh(Depth::All, asked).await;
            }
            let state = self.state();
            match (state.ring.of_user(user), &state.error) {
                (Some(offer), _) => match &offer.credential {
                    Credential::Password(password) => Ok(password.clone()),
                    _ => Err(SourceError::new("it has no password")),
                },
                (None, Some(error)) => Err(error.clone()),
                (None, None) => Err(SourceError::new("there are no credentials")),
            }
        })
    }

    fn doubt(self: &Arc<Self>) {
        if self.doubted.swap(true, Ordering::AcqRel) {
            return;
        }
        let source = Arc::clone(self);
        tokio::spawn(async move {
            let asked = source.asking();
            // Not with the lock: servers' refusals wait for nobody's guesses.
            let tried = source.state().tried;
            if let Some(tried) = tried {
                tokio::time::sleep_until(tried + source.pace.min_gap * DOUBT).await;
            }
            source.doubted.store(false, Ordering::Release);
            source.refresh(Depth::All, asked).await;
        });
    }
}

/// Between two attempts to read a store for the first time.
const UNTIL_KNOWN: Duration = Duration::from_secs(5);
/// Anybody may name users and passwords that do not exist, so they have a store read more seldom
/// than servers do, by this factor.
const DOUBT: u32 = 5;

#[cfg(test)]
mod tests;
