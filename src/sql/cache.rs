//! Verdicts by statement text, bounded in memory and shared by all sessions.
//!
//! A verdict depends on nothing but the text and, where a family has such, the mode in which the server
//! reads it, so entries never go stale. Texts are compared in full; the hash is seeded per cache, since
//! clients choose the texts.

use std::hash::Hash;
use std::sync::Arc;

use foldhash::quality::RandomState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, Weighter};

use super::skeleton::Skeleton;

/// Bounds of a [`VerdictCache`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheLimits {
    /// Memory for all entries, in bytes: texts, verdicts and an allowance for upkeep.
    pub total_bytes: u64,
    /// Texts longer than this, in bytes, are classified anew each time. They are rarely sent twice,
    /// since most are long for the constants in them.
    pub text_bytes: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            total_bytes: 16 * 1024 * 1024,
            text_bytes: 8 * 1024,
        }
    }
}

/// What can be cached: it says how much memory it keeps.
pub trait Weigh {
    /// Bytes this value keeps in memory, roughly.
    fn weight(&self) -> usize;
}

/// A concurrent cache from text, read in mode `M`, to verdict `V`.
pub struct VerdictCache<V, M = ()> {
    classify: Classify<V, M>,
    entries: Cache<Key<M>, Arc<V>, ByBytes, RandomState>,
    text_bytes: usize,
}

/// Makes a verdict. Called for texts that are not in the cache.
type Classify<V, M> = Box<dyn Fn(&[u8], M) -> V + Send + Sync>;

/// Bytes that the cache itself keeps for one entry: key, pointer, counters, slot in the hash table.
const ENTRY_BYTES: usize = 96;

/// What a common entry weighs, for the first allocation of the hash table.
const COMMON_ENTRY_BYTES: u64 = 512;

#[derive(PartialEq, Eq, Hash)]
struct Key<M> {
    mode: M,
    text: Box<[u8]>,
}

/// A key that is not kept. Fields are hashed in the order of those of [`Key`].
#[derive(Hash)]
struct Wanted<'a, M> {
    mode: M,
    text: &'a [u8],
}

impl<M: Hash + Eq> Equivalent<Key<M>> for Wanted<'_, M> {
    fn equivalent(&self, key: &Key<M>) -> bool {
        self.mode == key.mode && *self.text == *key.text
    }
}

#[derive(Clone)]
struct ByBytes;

impl<M, V: Weigh> Weighter<Key<M>, Arc<V>> for ByBytes {
    fn weight(&self, key: &Key<M>, verdict: &Arc<V>) -> u64 {
        let bytes = key.text.len() + verdict.weight() + ENTRY_BYTES;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl<V: Weigh, M: Copy + Eq + Hash> VerdictCache<V, M> {
    /// An empty cache in front of `classify`, which must depend on nothing but its arguments.
    #[must_use]
    pub fn new(
        classify: impl Fn(&[u8], M) -> V + Send + Sync + 'static,
        limits: CacheLimits,
    ) -> Self {
        let items = usize::try_from(limits.total_bytes / COMMON_ENTRY_BYTES).unwrap_or(usize::MAX);
        let entries = Cache::with(
            items,
            limits.total_bytes,
            ByBytes,
            RandomState::default(),
            DefaultLifecycle::default(),
        );
        Self {
            classify: Box::new(classify),
            entries,
            text_bytes: limits.text_bytes,
        }
    }

    /// The verdict on `text` read in `mode`, from the cache or made now.
    pub fn get(&self, text: &[u8], mode: M) -> Arc<V> {
        if text.len() > self.text_bytes {
            return Arc::new((self.classify)(text, mode));
        }
        if let Some(verdict) = self.entries.get(&Wanted { mode, text }) {
            return verdict;
        }
        let verdict = Arc::new((self.classify)(text, mode));
        let text = text.into();
        self.entries
            .insert(Key { mode, text }, Arc::clone(&verdict));
        verdict
    }

    /// The same; of queries that differ in their values alone, one is classified. Also true if the text has a
    /// [`Skeleton`].
    pub fn get_alike(&self, text: &[u8], mode: M) -> (Arc<V>, bool) {
        match Skeleton::default().of(text) {
            Some(skeleton) => (self.get(skeleton, mode), true),
            None => (self.get(text, mode), false),
        }
    }

    /// How many texts are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no text is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Memory in use, in bytes, by the measure of [`CacheLimits::total_bytes`].
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.weight()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{CacheLimits, VerdictCache};
    use crate::sql::postgres::classify;

    #[test]
    fn the_second_look_finds_the_same_verdict() {
        let cache = VerdictCache::new(|text, ()| classify(text), CacheLimits::default());
        assert!(cache.is_empty());
        let first = cache.get(b"set a = 1", ());
        assert!(Arc::ptr_eq(&first, &cache.get(b"set a = 1", ())));
        assert_eq!(*first, classify(b"set a = 1"));
        assert_ne!(first, cache.get(b"set a = 2", ()));
        assert_eq!(cache.len(), 2);
        assert!(cache.bytes() > 18);
    }

    #[test]
    fn queries_alike_share_a_verdict_and_others_do_not() {
        let cache = VerdictCache::new(|text, ()| classify(text), CacheLimits::default());
        let first = cache.get_alike(b"select a from t where b = 1", ());
        let second = cache.get_alike(b"select a from t where b = 22", ());
        assert!(Arc::ptr_eq(&first.0, &second.0) && first.1 && second.1);
        cache.get_alike(b"set a = 1", ());
        assert!(!cache.get_alike(b"set a = 2", ()).1);
        assert_eq!(cache.len(), 3);
    }

    #[test]
    fn long_texts_are_not_kept() {
        let limits = CacheLimits {
            text_bytes: 10,
            ..CacheLimits::default()
        };
        let cache = VerdictCache::new(|text, ()| classify(text), limits);
        let text = b"listen abcdefg";
        assert_eq!(cache.get(text, ()), cache.get(text, ()));
        assert!(cache.is_empty());
    }

    #[test]
    fn memory_stays_within_its_bound() {
        let limits = CacheLimits {
            total_bytes: 64 * 1024,
            text_bytes: 1024,
        };
        let cache = VerdictCache::new(|text, ()| classify(text), limits);
        for number in 0..5_000 {
            let text = format!("select {number}");
            assert!(cache.get(text.as_bytes(), ()).read_only_candidate());
        }
        assert!(cache.bytes() <= limits.total_bytes, "{}", cache.bytes());
        assert!(cache.len() > 10);
    }
}
