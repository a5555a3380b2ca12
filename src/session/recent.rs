//! What sessions that agree share, kept for a moment longer than the last of them: where clients come one after the
//! other, each for a transaction, it is not made anew for each.

use std::sync::{Mutex, PoisonError};

/// The values made last.
#[derive(Debug)]
pub struct Recent<T>(Mutex<Vec<T>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Recent<T> {
    /// Keeps this value until the next [`Self::let_go`], if there are not too many already.
    pub fn keep(&self, value: T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST {
            kept.push(value);
        }
    }

    /// Lets go of all. To be called now and then.
    pub fn let_go(&self) {
        let kept = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        // Whatever they do when they go, they do not do it under the lock.
        drop(kept);
    }
}

/// Enough for many users and databases of short-lived clients; whoever invents more holds no memory by it.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{MOST, Recent};

    #[test]
    fn values_live_until_let_go_and_not_too_many() {
        let recent = Recent::default();
        let values: Vec<_> = (0..=MOST).map(Arc::new).collect();
        for value in &values {
            recent.keep(Arc::clone(value));
        }
        let kept = || values.iter().filter(|value| Arc::strong_count(value) > 1);
        assert_eq!(kept().count(), MOST);
        recent.let_go();
        assert_eq!(kept().count(), 0);
    }
}
