//! A latency histogram for paths that run once per request.
//!
//! Buckets are fixed, so that histograms of different processes can be added up, and dense
//! enough that a quantile read from them is off by a third at worst. Recording is a binary
//! search in a table that stays in cache and two relaxed atomic additions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::counters::Sharded;

/// Upper bounds of the buckets in nanoseconds, ascending; a last bucket takes all that is longer.
/// The least is about what a query on the same machine takes, the greatest is half of the
/// default borrow timeout.
pub const BOUNDS_NANOS: [u64; 31] = [
    50_000,
    75_000,
    100_000,
    150_000,
    200_000,
    300_000,
    400_000,
    500_000,
    750_000,
    1_000_000,
    1_500_000,
    2_000_000,
    3_000_000,
    4_000_000,
    5_000_000,
    7_500_000,
    10_000_000,
    15_000_000,
    20_000_000,
    30_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
];

/// Counts durations by bucket.
#[derive(Debug)]
pub struct LatencyHistogram {
    shards: Sharded<Shard>,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self {
            shards: Sharded::new(Shard::default),
        }
    }
}

impl LatencyHistogram {
    /// Counts one duration.
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let shard = self.shards.mine();
        let bucket = BOUNDS_NANOS.partition_point(|bound| *bound < nanos);
        let bucket = shard.buckets.get(bucket).unwrap_or(&shard.longer);
        bucket.fetch_add(1, Ordering::Relaxed);
        shard.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What has been counted so far.
    pub fn sum(&self) -> Recorded {
        let mut sum = Recorded::default();
        for shard in self.shards.iter() {
            for (total, bucket) in sum.buckets.iter_mut().zip(&shard.buckets) {
                *total += bucket.load(Ordering::Relaxed);
            }
            sum.longer += shard.longer.load(Ordering::Relaxed);
            let nanos = shard.sum_nanos.load(Ordering::Relaxed);
            sum.sum_nanos = sum.sum_nanos.wrapping_add(nanos);
        }
        sum
    }
}

/// What a [`LatencyHistogram`] has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Durations in each bucket alone, not cumulated.
    pub buckets: [u64; BOUNDS_NANOS.len()],
    /// Durations beyond the last bound.
    pub longer: u64,
    /// All durations together, in nanoseconds.
    pub sum_nanos: u64,
}

#[derive(Debug, Default)]
struct Shard {
    buckets: [AtomicU64; BOUNDS_NANOS.len()],
    longer: AtomicU64,
    sum_nanos: AtomicU64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BOUNDS_NANOS, LatencyHistogram};

    #[test]
    fn bounds_ascend() {
        assert!(BOUNDS_NANOS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let histogram = LatencyHistogram::default();
        histogram.record(Duration::from_nanos(50_000));
        histogram.record(Duration::from_nanos(50_001));
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_secs(60));
        histogram.record(Duration::from_secs(61));
        let sum = histogram.sum();
        assert_eq!(sum.buckets[..3], [2, 1, 0]);
        assert_eq!(sum.buckets[30], 1);
        assert_eq!(sum.longer, 1);
        assert_eq!(sum.sum_nanos, 100_001 + 121_000_000_000);
    }

    #[test]
    fn what_many_threads_record_adds_up() {
        let histogram = LatencyHistogram::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        histogram.record(Duration::from_micros(60));
                    }
                });
            }
        });
        assert_eq!(histogram.sum().buckets[1], 4000);
        assert_eq!(histogram.sum().sum_nanos, 4000 * 60_000);
    }
}
