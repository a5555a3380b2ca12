//! Counters and gauges for paths that run once per message.
//!
//! A plain atomic that every core writes to travels between the cores' caches at each update.
//! These are spread over shards, each on cache lines of its own; a thread writes to the shard it
//! was given first, and the shards are summed when somebody scrapes. An update is one relaxed
//! atomic addition. A sum taken while others write may miss their latest updates, never invent.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

/// Counts events; only grows.
#[derive(Debug)]
pub struct ShardedCounter {
    shards: Sharded<AtomicU64>,
}

impl Default for ShardedCounter {
    fn default() -> Self {
        Self {
            shards: Sharded::new(AtomicU64::default),
        }
    }
}

impl ShardedCounter {
    /// Counts one event.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `n` events.
    pub fn add(&self, n: u64) {
        self.shards.mine().fetch_add(n, Ordering::Relaxed);
    }

    /// All events so far.
    pub fn sum(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.load(Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }
}

/// Counts things that come and go. What one thread adds, another may take away: a shard alone
/// may be negative.
#[derive(Debug)]
pub struct ShardedGauge {
    shards: Sharded<AtomicI64>,
}

impl Default for ShardedGauge {
    fn default() -> Self {
        Self {
            shards: Sharded::new(AtomicI64::default),
        }
    }
}

impl ShardedGauge {
    /// One more.
    pub fn inc(&self) {
        self.shards.mine().fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn dec(&self) {
        self.shards.mine().fetch_sub(1, Ordering::Relaxed);
    }

    /// One more, until the guard is dropped.
    pub fn guard(self: &Arc<Self>) -> GaugeGuard {
        self.inc();
        GaugeGuard(Arc::clone(self))
    }

    /// How many there are.
    pub fn sum(&self) -> i64 {
        self.shards
            .iter()
            .map(|shard| shard.load(Ordering::Relaxed))
            .fold(0, i64::wrapping_add)
    }
}

/// Holds a [`ShardedGauge`] up by one.
#[derive(Debug)]
pub struct GaugeGuard(Arc<ShardedGauge>);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// One `T` for each shard, each on cache lines of its own.
#[derive(Debug)]
pub struct Sharded<T> {
    first: Padded<T>,
    /// `rest.len() == shard_count() - 1`, a number of the form 2^n - 1.
    rest: Box<[Padded<T>]>,
}

impl<T> Sharded<T> {
    /// Makes as many as the machine has use for.
    pub fn new(make: impl Fn() -> T) -> Self {
        Self {
            first: Padded(make()),
            rest: (1..shard_count()).map(|_| Padded(make())).collect(),
        }
    }

    /// The calling thread's own, or shared with few others.
    pub fn mine(&self) -> &T {
        let index = thread_shard() & self.rest.len();
        // `index` 0 wraps around to a number that `rest` does not have.
        let padded = self.rest.get(index.wrapping_sub(1));
        &padded.unwrap_or(&self.first).0
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first)
            .chain(&self.rest)
            .map(|padded| &padded.0)
    }
}

/// Two lines of 64 bytes: the neighbour line is fetched along by many processors.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

/// Shards beyond this cost more memory than they save time.
const MAX_SHARDS: usize = 32;

/// The number of cores, rounded up to a power of two.
fn shard_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        cores.next_power_of_two().min(MAX_SHARDS)
    })
}

/// Numbers threads in the order of their first update.
fn thread_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    MINE.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            mine.set(Some(number));
            number
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Sharded, ShardedCounter, ShardedGauge, shard_count};

    #[test]
    fn what_many_threads_count_adds_up() {
        let counter = ShardedCounter::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counter.inc();
                    }
                    counter.add(5);
                });
            }
        });
        assert_eq!(counter.sum(), 8 * 1005);
    }

    #[test]
    fn a_guard_dropped_on_another_thread_still_lowers_the_gauge() {
        let gauge = Arc::new(ShardedGauge::default());
        let guards: Vec<_> = (0..3).map(|_| gauge.guard()).collect();
        assert_eq!(gauge.sum(), 3);
        std::thread::spawn(move || drop(guards)).join().unwrap();
        assert_eq!(gauge.sum(), 0);
    }

    #[test]
    fn a_thread_keeps_its_shard_and_every_shard_is_used() {
        let sharded = Sharded::new(|| 0_u8);
        let address = |shard: &u8| std::ptr::from_ref(shard).addr();
        assert_eq!(address(sharded.mine()), address(sharded.mine()));
        assert_eq!(sharded.iter().count(), shard_count());

        // Thread numbers are handed out in turn, but other tests take some of them too.
        let mut seen = std::collections::HashSet::new();
        while seen.len() < shard_count() {
            std::thread::scope(|scope| {
                seen.insert(scope.spawn(|| address(sharded.mine())).join().unwrap());
            });
        }
    }

    #[test]
    fn shards_share_no_cache_line() {
        let sharded = Sharded::new(|| 0_u8);
        let lines: std::collections::HashSet<_> = sharded
            .iter()
            .map(|shard| std::ptr::from_ref(shard).addr() / 128)
            .collect();
        assert_eq!(lines.len(), sharded.iter().count());
    }
}
