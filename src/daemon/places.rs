//! How many clients one user, or one database, may have at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;

/// Counts clients by user and by database.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<Claim, u32, RandomState>>);

/// Whose place it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Claim {
    /// A user, by the name that clients give.
    User(Arc<str>),
    /// A database, by the name that clients give.
    Database(Arc<str>),
}

impl Places {
    /// Takes a place if fewer than `limit` are taken; 0: no limit, nothing is counted.
    pub(super) fn take(
        self: &Arc<Self>,
        claim: Claim,
        limit: usize,
    ) -> Result<Option<Place>, Claim> {
        if limit == 0 {
            return Ok(None);
        }
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(claim.clone()).or_default();
        if usize::try_from(*count).unwrap_or(usize::MAX) >= limit {
            return Err(claim);
        }
        *count += 1;
        Ok(Some(Place {
            places: Arc::clone(self),
            claim,
        }))
    }
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    claim: Claim,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.claim) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.claim);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Claim, Places};

    #[test]
    fn a_dropped_place_can_be_taken_again() {
        let places = Arc::new(Places::default());
        let claim = || Claim::User("a".into());
        let first = places.take(claim(), 1).unwrap();
        assert!(places.take(claim(), 1).is_err());
        assert!(
            places
                .take(Claim::Database("a".into()), 1)
                .unwrap()
                .is_some()
        );
        drop(first);
        assert!(places.take(claim(), 1).unwrap().is_some());
        assert!(places.take(claim(), 0).unwrap().is_none());
    }
}
