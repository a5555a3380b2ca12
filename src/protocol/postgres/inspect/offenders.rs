//! Statements that once turned out to have changed their session unseen. They are looked at every
//! time from then on, whoever runs them.
//!
//! One list for the whole process: a statement of the same form in another database is looked at
//! for nothing, which harms nobody.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;

/// True if there are any, so that a statement's form is worth working out.
pub(in crate::protocol::postgres) fn any() -> bool {
    ANY.load(Ordering::Relaxed)
}

/// True if the statement with this fingerprint is one.
pub(in crate::protocol::postgres) fn contains(fingerprint: &str) -> bool {
    let list = lock();
    list.forms.contains(&list.hasher.hash_one(fingerprint))
}

/// Adds the statement with this fingerprint, if there is room.
pub(super) fn add(fingerprint: &str) {
    let mut list = lock();
    if list.forms.len() < MOST {
        let form = list.hasher.hash_one(fingerprint);
        list.forms.insert(form);
        ANY.store(true, Ordering::Relaxed);
    }
}

static ANY: AtomicBool = AtomicBool::new(false);

#[derive(Default)]
struct List {
    hasher: RandomState,
    /// Hashes of fingerprints: one taken for another is looked at for nothing.
    forms: HashSet<u64>,
}

fn lock() -> MutexGuard<'static, List> {
    static LIST: LazyLock<Mutex<List>> = LazyLock::new(Mutex::default);
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Most statements that are remembered.
const MOST: usize = 1024;
