//! Pure: which of several credentials is shown to a server, and how often one that was refused.
//!
//! While a password rotates there is a moment when the store says the old one is in force and the
//! server takes the new one only, or the other way round. So all are kept that may be right:
//! tried is the one in force, then the one that worked last, then the coming, then the former.
//! What has been refused rests, longer each time, so that no account is locked by a proxy that
//! cannot stop: see [`REST`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Offer;

/// What a credential is to its store. In the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// In force (`AWSCURRENT`).
    Current,
    /// About to be in force (`AWSPENDING`).
    Pending,
    /// No longer in force (`AWSPREVIOUS`).
    Previous,
}

impl Stage {
    /// The name in logs and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Pending => "pending",
            Self::Previous => "previous",
        }
    }
}

/// The credentials of one source.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    keys: Vec<Key>,
    /// Version of the one that a server took last.
    good: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
struct Key {
    stage: Stage,
    offer: Offer,
    /// Refusals since it was taken last.
    refusals: u32,
    rests_until: Option<Instant>,
}

/// What can be shown.
#[derive(Clone, Debug)]
pub enum Choice<'a> {
    /// This.
    Offer(&'a Offer),
    /// Nothing before then: all have been refused lately.
    Rest(Instant),
    /// Nothing: all have been tried in this login, or there are none.
    Nothing,
}

impl Keyring {
    /// Puts other credentials in place of all; what is known of those that stay, stays. A version
    /// of two stages is kept under the first.
    pub fn put(&mut self, offers: impl IntoIterator<Item = (Stage, Offer)>) {
        let old = std::mem::take(&mut self.keys);
        let mut offers: Vec<_> = offers.into_iter().collect();
        offers.sort_by_key(|(stage, _)| *stage);
        for (stage, offer) in offers {
            if self
                .keys
                .iter()
                .any(|key| key.offer.version == offer.version)
            {
                continue;
            }
            let known = old.iter().find(|key| key.offer.version == offer.version);
            self.keys.push(Key {
                stage,
                offer,
                refusals: known.map_or(0, |key| key.refusals),
                rests_until: known.and_then(|key| key.rests_until),
            });
        }
    }

    /// The credential in force.
    pub fn current(&self) -> Option<&Offer> {
        self.of(Stage::Current)
    }

    /// The credential that has this user's name, that in force before others; if none has, the one
    /// in force.
    pub fn of_user(&self, user: &str) -> Option<&Offer> {
        let named = |key: &&Key| key.offer.user.as_deref() == Some(user);
        let own = self.keys.iter().filter(named).min_by_key(|key| key.stage);
        own.map(|key| &key.offer).or(self.current())
    }

    /// True if this user has a credential, but not the one in force.
    pub fn has_former(&self, user: &str) -> bool {
        let named = |offer: &Offer| offer.user.as_deref() == Some(user);
        let current = self.current().is_some_and(named);
        !current && self.keys.iter().any(|key| named(&key.offer))
    }

    /// The credential of a stage.
    pub fn of(&self, stage: Stage) -> Option<&Offer> {
        let key = self.keys.iter().find(|key| key.stage == stage);
        key.map(|key| &key.offer)
    }

    /// What to show to a server that has refused `refused` in this login; of that user, if `only`
    /// names one.
    pub fn choose(&self, refused: &[Offer], only: Option<&str>, now: Instant) -> Choice<'_> {
        let untried = |key: &&Key| {
            let tried = refused.iter().any(|r| r.version == key.offer.version);
            let fits = |user: &Arc<str>| only.is_none_or(|only| *only == **user);
            !tried && key.offer.user.as_ref().is_none_or(fits)
        };
        let untried: Vec<_> = self.keys.iter().filter(untried).collect();
        let rested = untried
            .iter()
            .filter(|key| key.rests_until.is_none_or(|until| until <= now));
        // Among those not in force, what worked last goes first.
        let order = |key: &&&Key| {
            let good = self.good.as_ref() == Some(&key.offer.version);
            (key.stage != Stage::Current, !good, key.stage)
        };
        if let Some(key) = rested.min_by_key(order) {
            return Choice::Offer(&key.offer);
        }
        let rests = untried.iter().filter_map(|key| key.rests_until);
        rests.min().map_or(Choice::Nothing, Choice::Rest)
    }

    /// A server has refused one. True if it took that the last time: it has changed its mind.
    pub fn refused(&mut self, version: &str, now: Instant) -> bool {
        let worked = self.good.as_deref() == Some(version);
        if worked {
            self.good = None;
            // The server has changed its mind, perhaps in favour of another.
            for key in &mut self.keys {
                key.rests_until = None;
            }
        }
        let found = self
            .keys
            .iter_mut()
            .find(|key| *key.offer.version == *version);
        let Some(key) = found else {
            return worked;
        };
        // Of several logins at once that showed the same, one counts.
        if key.rests_until.is_some_and(|until| until > now) {
            return worked;
        }
        let rest = REST * 2_u32.saturating_pow(key.refusals.min(MOST_DOUBLINGS));
        key.refusals = key.refusals.saturating_add(1);
        key.rests_until = now.checked_add(rest.min(LONGEST_REST));
        worked
    }

    /// A server has taken one. True if it is another than the last time.
    pub fn accepted(&mut self, version: &Arc<str>) -> bool {
        let found = self
            .keys
            .iter_mut()
            .find(|key| key.offer.version == *version);
        let Some(key) = found else {
            return false;
        };
        key.refusals = 0;
        key.rests_until = None;
        let changed = self.good.as_ref() != Some(version);
        self.good = Some(Arc::clone(version));
        changed
    }

    /// The stage of the one that a server took last.
    pub fn in_use(&self) -> Option<Stage> {
        let good = self.good.as_ref()?;
        let key = self.keys.iter().find(|key| key.offer.version == *good)?;
        Some(key.stage)
    }

    /// True if a server took another than the one in force: a rotation is under way.
    pub fn is_rotating(&self) -> bool {
        self.in_use().is_some_and(|stage| stage != Stage::Current)
    }

    /// Names of the users of all stages, each once.
    pub fn users(&self) -> Vec<&Arc<str>> {
        let mut users: Vec<_> = self
            .keys
            .iter()
            .filter_map(|key| key.offer.user.as_ref())
            .collect();
        users.sort();
        users.dedup();
        users
    }
}

/// After its first refusal a credential rests this long, after each further one twice as long.
const REST: Duration = Duration::from_secs(1);
/// A server whose account was unlocked, or whose rules were mended, is found out after this.
const LONGEST_REST: Duration = Duration::from_secs(60);
const MOST_DOUBLINGS: u32 = 6;

#[cfg(test)]
mod tests;
