//! Limits on failed logins, by source and by user.
//!
//! Addresses and users are counted in a fixed number of buckets, chosen by a hash with a random
//! key: memory is bounded whoever knocks, and nobody can choose to share a bucket with another.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Counts failures, and says who must wait.
#[derive(Debug)]
pub struct Throttle {
    hasher: RandomState,
    sources: Option<Gauge>,
    users: Option<Gauge>,
}

/// Whose limit is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// That of the address.
    Source,
    /// That of the user.
    User,
}

impl Scope {
    /// For logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::User => "user",
        }
    }
}

type Bucket = u16;

#[derive(Debug)]
struct Gauge {
    limiter: DefaultKeyedRateLimiter<Bucket>,
    blocked: Mutex<HashMap<Bucket, Instant>>,
}

impl Throttle {
    /// So many failures a minute from one source, and of one user; 0: no limit.
    pub fn new(per_source: u32, per_user: u32) -> Self {
        Self {
            hasher: RandomState::new(),
            sources: NonZeroU32::new(per_source).map(Gauge::new),
            users: NonZeroU32::new(per_user).map(Gauge::new),
        }
    }

    /// Whether somebody has to wait at `now`, and for whose sake.
    pub fn blocked(&self, source: IpAddr, user: &str, now: Instant) -> Option<Scope> {
        let holds = |gauge: &Option<Gauge>, bucket| {
            let gauge = gauge.as_ref();
            gauge.is_some_and(|gauge| gauge.is_blocked(bucket, now))
        };
        if holds(&self.sources, self.bucket(network(source))) {
            return Some(Scope::Source);
        }
        holds(&self.users, self.bucket(user)).then_some(Scope::User)
    }

    /// Counts a failure; yields the limits that it has used up.
    pub fn failed(&self, source: IpAddr, user: &str, now: Instant) -> Vec<Scope> {
        let counts = [
            (Scope::Source, &self.sources, self.bucket(network(source))),
            (Scope::User, &self.users, self.bucket(user)),
        ];
        let used_up = counts.into_iter().filter(|(_, gauge, bucket)| {
            let gauge = gauge.as_ref();
            gauge.is_some_and(|gauge| gauge.count(*bucket, now))
        });
        used_up.map(|(scope, ..)| scope).collect()
    }

    fn bucket(&self, what: impl Hash) -> Bucket {
        let [low, high, ..] = self.hasher.hash_one(what).to_le_bytes();
        Bucket::from_le_bytes([low, high])
    }
}

impl Gauge {
    fn new(per_minute: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(per_minute)),
            blocked: Mutex::default(),
        }
    }

    fn is_blocked(&self, bucket: Bucket, now: Instant) -> bool {
        let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        blocked.get(&bucket).is_some_and(|until| *until > now)
    }

    /// True if the bucket is full from now on: the next one has to wait until the limiter would
    /// let another failure pass.
    fn count(&self, bucket: Bucket, now: Instant) -> bool {
        if self.limiter.check_key(&bucket).is_ok() {
            return false;
        }
        let wait = match self.limiter.check_key(&bucket) {
            Ok(()) => return false,
            Err(not_until) => not_until.wait_time_from(DefaultClock::default().now()),
        };
        let until = now + wait.max(SHORTEST_BLOCK);
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        blocked.retain(|_, until| *until > now);
        blocked.insert(bucket, until);
        true
    }
}

/// Of addresses of version 6, whoever has one has the whole network.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & NETWORK).into()),
        v4 => v4,
    }
}

/// The first 64 bits (RFC 6177).
const NETWORK: u128 = 0xFFFF_FFFF_FFFF_FFFF << 64;
/// Somebody who is over the limit waits for so long at least.
const SHORTEST_BLOCK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::{Duration, Instant};

    use super::{Scope, Throttle};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_and_a_user_have_to_wait() {
        let throttle = Throttle::new(3, 5);
        let now = Instant::now();
        for n in 0..3 {
            assert_eq!(throttle.failed(ip("10.0.0.1"), "ann", now), [], "{n}");
        }
        assert_eq!(throttle.blocked(ip("10.0.0.1"), "ann", now), None);
        assert_eq!(throttle.failed(ip("10.0.0.1"), "ann", now), [Scope::Source]);
        assert_eq!(
            throttle.blocked(ip("10.0.0.1"), "bob", now),
            Some(Scope::Source)
        );
        assert_eq!(throttle.blocked(ip("10.0.0.2"), "ann", now), None);
        assert_eq!(throttle.failed(ip("10.0.0.2"), "ann", now), []);
        assert_eq!(throttle.failed(ip("10.0.0.3"), "ann", now), [Scope::User]);
        assert_eq!(
            throttle.blocked(ip("10.0.0.4"), "ann", now),
            Some(Scope::User)
        );
        assert_eq!(throttle.blocked(ip("10.0.0.4"), "bob", now), None);
        let later = now + Duration::from_secs(60);
        assert_eq!(throttle.blocked(ip("10.0.0.1"), "ann", later), None);
    }

    #[test]
    fn a_network_of_version_6_is_one_source() {
        let throttle = Throttle::new(1, 0);
        let now = Instant::now();
        throttle.failed(ip("2001:db8::1"), "ann", now);
        throttle.failed(ip("2001:db8::2"), "ann", now);
        assert_eq!(
            throttle.blocked(ip("2001:db8::3"), "ann", now),
            Some(Scope::Source)
        );
        assert_eq!(throttle.blocked(ip("2001:db8:0:1::3"), "ann", now), None);
        throttle.failed(ip("::ffff:10.0.0.1"), "ann", now);
        throttle.failed(ip("10.0.0.1"), "ann", now);
        assert!(throttle.blocked(ip("10.0.0.1"), "ann", now).is_some());
        assert_eq!(throttle.blocked(ip("10.0.0.2"), "ann", now), None);
    }

    #[test]
    fn without_limits_nobody_waits() {
        let throttle = Throttle::new(0, 0);
        let now = Instant::now();
        for _ in 0..1000 {
            assert_eq!(throttle.failed(ip("10.0.0.1"), "ann", now), []);
        }
        assert_eq!(throttle.blocked(ip("10.0.0.1"), "ann", now), None);
    }
}
