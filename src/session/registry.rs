//! All sessions of the process: to list them, to sweep them for time limits, to cancel by key,
//! to drain.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::handle::{Handle, Signal};
use crate::model::SessionId;

/// One tick of the sweep clock. Limits of sessions are kept with this precision, by one timer
/// for all.
pub const TICK: Duration = Duration::from_millis(100);

/// All sessions.
#[derive(Debug)]
pub struct Registry {
    next: AtomicU64,
    now: AtomicU32,
    live: AtomicUsize,
    shards: [Mutex<Shard>; SHARDS],
    emptied: Notify,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(1),
            now: AtomicU32::new(0),
            live: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
            emptied: Notify::new(),
        }
    }
}

impl Registry {
    /// Takes a new session up. It leaves when the entry is dropped.
    pub fn enter(self: &Arc<Self>, peer: SocketAddr) -> Entry {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let handle = Arc::new(Handle::new(SessionId(id), peer, self.now()));
        self.live.fetch_add(1, Ordering::AcqRel);
        self.shard(id).insert(id, Arc::clone(&handle));
        Entry {
            registry: Arc::clone(self),
            handle,
        }
    }

    /// The tick of the sweep clock.
    pub fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `look` with each session.
    pub fn each(&self, mut look: impl FnMut(&Arc<Handle>)) {
        for shard in &self.shards {
            for handle in lock(shard).values() {
                look(handle);
            }
        }
    }

    /// Raises a signal in every session.
    pub fn raise_all(&self, signal: Signal) {
        self.each(|handle| handle.raise(signal));
    }

    /// Waits until there are no sessions. Cancel-safe.
    pub async fn until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Advances the clock and enforces the limits, for ever. Cancel-safe.
    pub async fn sweep(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tick.tick().await;
            let now = self.now.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            // All sessions at once, each second; more precise limits would cost what they save.
            if now.is_multiple_of(SWEEP_EVERY) {
                self.each(|handle| enforce(handle, now));
            }
        }
    }

    fn shard(&self, id: u64) -> MutexGuard<'_, Shard> {
        let index = usize::try_from(id).unwrap_or_default() % SHARDS;
        self.shards
            .get(index)
            .map_or_else(|| lock(&self.shards[0]), lock)
    }
}

fn enforce(handle: &Handle, now: u32) {
    if let Some((limit, signal)) = handle.limit()
        && now.wrapping_sub(handle.phase_since()) > limit
    {
        handle.raise(signal);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session's place in the registry, while it lives.
#[derive(Debug)]
pub struct Entry {
    registry: Arc<Registry>,
    /// The session as others see it.
    pub handle: Arc<Handle>,
}

impl Entry {
    /// The registry.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let id = self.handle.id.0;
        self.registry.shard(id).remove(&id);
        if self.registry.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.registry.emptied.notify_waiters();
        }
    }
}

/// Which session a cancel key stands for. Looked up in constant time; a key is as secret as its
/// random part, and comparing hashes of it leaks nothing useful about it.
#[derive(Debug)]
pub struct CancelKeys<K> {
    keys: Mutex<HashMap<K, Arc<Handle>, RandomState>>,
}

impl<K> Default for CancelKeys<K> {
    fn default() -> Self {
        Self {
            keys: Mutex::new(HashMap::default()),
        }
    }
}

impl<K: Clone + Eq + Hash> CancelKeys<K> {
    /// From now on the key stands for the session, until the guard is dropped.
    pub fn register(self: &Arc<Self>, key: K, handle: Arc<Handle>) -> CancelGuard<K> {
        lock(&self.keys).insert(key.clone(), handle);
        CancelGuard {
            keys: Arc::clone(self),
            key,
        }
    }

    /// Asks the session that the key stands for to cancel its request; false if there is none.
    pub fn cancel(&self, key: &K) -> bool {
        let Some(handle) = self.session(key) else {
            return false;
        };
        handle.raise(Signal::Cancel);
        true
    }

    /// The session that the key stands for.
    pub(super) fn session(&self, key: &K) -> Option<Arc<Handle>> {
        lock(&self.keys).get(key).cloned()
    }
}

/// Keeps a cancel key valid.
#[derive(Debug)]
pub struct CancelGuard<K: Eq + Hash> {
    keys: Arc<CancelKeys<K>>,
    key: K,
}

impl<K: Eq + Hash> Drop for CancelGuard<K> {
    fn drop(&mut self) {
        lock(&self.keys.keys).remove(&self.key);
    }
}

type Shard = HashMap<u64, Arc<Handle>, RandomState>;

const SHARDS: usize = 16;

/// Ticks between two looks at all sessions.
const SWEEP_EVERY: u32 = 5;
