//! What is remembered of the database's verdicts, so that a token that a thousand clients share is
//! shown to it once.
//!
//! Tokens are not kept: a verdict is found by a keyed hash of the token and of everything that the
//! verdict depends on. The key is random and dies with the process.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::hmac;
use moka::Expiry;
use moka::future::Cache;

use super::{Recall, Trouble};
use crate::auth::Refusal;
use crate::auth::options::TokenOptions;
use crate::model::{PoolKey, Secret};

/// Names a token and what it was shown for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::daemon) struct Shown([u8; 32]);

/// The verdicts.
#[derive(Debug)]
pub(in crate::daemon) struct Memory {
    key: Option<hmac::Key>,
    /// Until when accepted tokens are valid.
    accepted: Cache<Shown, SystemTime>,
    refused: Cache<Shown, Refusal>,
    refused_for: Duration,
}

/// An accepted token is remembered until it expires, and no longer than is configured.
#[derive(Debug)]
struct Life(Duration);

impl Expiry<Shown, SystemTime> for Life {
    fn expire_after_create(&self, _: &Shown, until: &SystemTime, _: Instant) -> Option<Duration> {
        let left = until.duration_since(SystemTime::now()).unwrap_or_default();
        Some(left.min(self.0))
    }
}

impl Memory {
    /// Remembers nothing yet.
    pub(super) fn new(options: &TokenOptions) -> Self {
        let mut key = [0; 32];
        let filled = aws_lc_rs::rand::fill(&mut key).is_ok();
        Self {
            // Without randomness nothing is remembered.
            key: filled.then(|| hmac::Key::new(hmac::HMAC_SHA256, &key)),
            accepted: Cache::builder()
                .max_capacity(options.cache_size)
                .expire_after(Life(options.cache_ttl))
                .build(),
            refused: Cache::builder()
                .max_capacity(options.cache_size)
                .time_to_live(options.negative_cache_ttl)
                .build(),
            refused_for: options.negative_cache_ttl,
        }
    }

    /// The name of a token that is shown for the user, database and target of a pool.
    pub(in crate::daemon) fn shown(
        &self,
        token: &Secret,
        user: &str,
        pool: &PoolKey,
    ) -> Option<Shown> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        let parts = [
            token.expose(),
            user.as_bytes(),
            pool.user.as_bytes(),
            pool.database.as_bytes(),
            pool.group.as_bytes(),
            pool.target.as_bytes(),
        ];
        for part in parts {
            // With its length, so that no two lists look alike.
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            context.update(part);
        }
        let tag = context.sign();
        tag.as_ref().try_into().ok().map(Shown)
    }

    /// True if the database has accepted the token a short while ago. Cancel-safe.
    pub(in crate::daemon) async fn knows(&self, shown: &Shown) -> bool {
        let until = self.accepted.get(shown).await;
        until.is_some_and(|until| until > SystemTime::now())
    }

    /// Asks the database by `ask`, which yields until when the token is valid; or takes part in the
    /// answer to somebody who has asked the same just now, or was refused. Cancel-safe: if the one
    /// who asks leaves, another asks.
    pub(in crate::daemon) async fn ask(
        &self,
        shown: Shown,
        ask: impl Future<Output = Result<SystemTime, Trouble>>,
    ) -> (Recall, Result<SystemTime, Trouble>) {
        if let Some(refusal) = self.refused.get(&shown).await {
            return (Recall::Hit, Err(Trouble::Refused(refusal)));
        }
        let asked = AtomicBool::new(false);
        let asking = async {
            asked.store(true, Ordering::Relaxed);
            ask.await
        };
        let answer = self.accepted.try_get_with_by_ref(&shown, asking).await;
        let recall = if asked.load(Ordering::Relaxed) {
            Recall::Miss
        } else {
            Recall::Shared
        };
        let answer = answer.map_err(|trouble: Arc<Trouble>| Trouble::clone(&trouble));
        if let (Recall::Miss, Err(Trouble::Refused(refusal))) = (recall, &answer)
            && !self.refused_for.is_zero()
        {
            self.refused.insert(shown, *refusal).await;
        }
        (recall, answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, SystemTime};

    use super::{Memory, Shown};
    use crate::auth::Refusal;
    use crate::auth::options::TokenOptions;
    use crate::daemon::tokens::{Recall, Trouble};
    use crate::model::{PoolKey, Secret};

    fn memory(cache_ttl: Duration) -> Memory {
        Memory::new(&TokenOptions {
            clock_skew: Duration::ZERO,
            cache_ttl,
            negative_cache_ttl: Duration::from_secs(60),
            cache_size: 100,
            max_failures_per_source: 0,
            max_failures_per_user: 0,
        })
    }

    fn pool(user: &str, database: &str, target: &str) -> PoolKey {
        PoolKey {
            group: "main".into(),
            target: target.into(),
            user: user.into(),
            database: database.into(),
            variant: 0,
        }
    }

    fn shown(memory: &Memory, token: &str) -> Shown {
        let token = Secret::new(token);
        memory
            .shown(&token, "ann", &pool("ann", "shop", "db:1"))
            .unwrap()
    }

    fn soon() -> SystemTime {
        SystemTime::now() + Duration::from_secs(600)
    }

    #[tokio::test]
    async fn many_who_ask_the_same_ask_once() {
        let memory = memory(Duration::from_secs(60));
        let asked = AtomicU32::new(0);
        let one = || {
            let shown = shown(&memory, "token");
            let (memory, asked) = (&memory, &asked);
            async move {
                let ask = async {
                    asked.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    Ok(soon())
                };
                memory.ask(shown, ask).await
            }
        };
        let ((first, a), (second, b), (third, c)) = tokio::join!(one(), one(), one());
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        assert_eq!(
            [first, second, third],
            [Recall::Miss, Recall::Shared, Recall::Shared]
        );
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(memory.knows(&shown(&memory, "token")).await);
        assert!(!memory.knows(&shown(&memory, "tokem")).await);
    }

    #[tokio::test]
    async fn what_expires_is_not_remembered_longer() {
        for (ttl, until) in [
            (Duration::ZERO, soon()),
            (Duration::from_secs(60), SystemTime::now()),
        ] {
            let memory = memory(ttl);
            let shown = shown(&memory, "token");
            let (_, answer) = memory.ask(shown.clone(), async { Ok(until) }).await;
            assert!(answer.is_ok());
            assert!(!memory.knows(&shown).await, "{ttl:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_remembered_and_trouble_is_not() {
        let memory = memory(Duration::from_secs(60));
        let shown = shown(&memory, "token");
        let fault = crate::model::Fault::new(crate::model::FaultKind::TargetUnavailable, "away");
        let fault = Trouble::Fault(fault);
        let (_, answer) = memory.ask(shown.clone(), async { Err(fault) }).await;
        assert!(matches!(answer, Err(Trouble::Fault(_))));
        let refused = Trouble::Refused(Refusal::RefusedByDatabase);
        let (recall, _) = memory.ask(shown.clone(), async { Err(refused) }).await;
        assert_eq!(recall, Recall::Miss);
        let (recall, answer) = memory.ask(shown, async { Ok(soon()) }).await;
        assert_eq!(recall, Recall::Hit);
        assert!(matches!(
            answer,
            Err(Trouble::Refused(Refusal::RefusedByDatabase))
        ));
    }

    #[test]
    fn a_verdict_is_for_one_user_database_and_target() {
        let memory = memory(Duration::ZERO);
        let token = Secret::new("token");
        let all = [
            memory.shown(&token, "ann", &pool("ann", "shop", "db:1")),
            memory.shown(&token, "bob", &pool("ann", "shop", "db:1")),
            memory.shown(&token, "ann", &pool("bob", "shop", "db:1")),
            memory.shown(&token, "ann", &pool("ann", "stock", "db:1")),
            memory.shown(&token, "ann", &pool("ann", "shop", "db:2")),
            memory.shown(&token, "ann", &pool("anns", "hop", "db:1")),
            memory.shown(&Secret::new("tokenann"), "", &pool("ann", "shop", "db:1")),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
