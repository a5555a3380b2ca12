//! Judging the tokens of clients: the verifiers of [`crate::auth`], what they have to be told, and
//! what is remembered of their verdicts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use crate::auth::iam::Audience;
use crate::auth::iam::audience::region_of;
use crate::auth::jwt::publisher::{Publisher, PublisherError};
use crate::auth::jwt::{Issued, Issuer};
use crate::auth::options::{IamVerification, ListenerTokenOptions};
use crate::auth::source::ShownTokens;
use crate::auth::throttle::Throttle;
use crate::auth::verify::{Delegated, Signed};
use crate::auth::{Attempt, Refusal, TokenVerifier, Verdict};
use crate::config::plan::{GroupPlan, TokenPlan};
use crate::model::{AcceptedToken, AuthMethod, Fault, FaultKind};
use crate::topology::options::Seed;

mod memory;
mod metrics;

pub(super) use metrics::{Recall, TokenMetrics};

use memory::Memory;

/// Everything about tokens under one configuration.
#[derive(Debug)]
pub(super) struct Tokens {
    plan: TokenPlan,
    publishers: HashMap<Arc<str>, Publisher>,
    throttle: Arc<Throttle>,
    pub(super) memory: Arc<Memory>,
    pub(super) metrics: TokenMetrics,
    shown: Arc<Mutex<ShownByUser>>,
}

/// What clients have shown, by group and user.
type ShownByUser = HashMap<(Arc<str>, Arc<str>), Arc<ShownTokens>>;

/// How a token is verified; names the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Delegate,
    Signature,
    Jwt,
}

impl Way {
    pub(super) const fn of(method: AuthMethod, verification: IamVerification) -> Self {
        match (method, verification) {
            (AuthMethod::Iam, IamVerification::Delegate) => Self::Delegate,
            (AuthMethod::Iam, IamVerification::Signature) => Self::Signature,
            _ => Self::Jwt,
        }
    }

    /// Who judges; of IAM tokens.
    pub(super) const fn verification(self) -> IamVerification {
        match self {
            Self::Signature => IamVerification::Signature,
            Self::Delegate | Self::Jwt => IamVerification::Delegate,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Delegate => "iam_delegate",
            Self::Signature => "iam_signature",
            Self::Jwt => "jwt",
        }
    }
}

/// Why a client is not let in.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// Its token is not good enough.
    Refused(Refusal),
    /// Nobody can say.
    Fault(Fault),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Tokens {
    /// For this plan. What was remembered under the one before goes on, as far as it was under the same options.
    /// Reads the certificates that the plan names: blocks.
    pub(super) fn new(
        plan: &TokenPlan,
        metrics: &TokenMetrics,
        before: Option<&Self>,
    ) -> Result<Self, (Arc<str>, PublisherError)> {
        let publishers = plan.issuers.iter().map(|issuer| {
            let publisher = Publisher::new(Arc::clone(issuer));
            let publisher = publisher.map_err(|error| (Arc::clone(&issuer.name), error))?;
            Ok((Arc::clone(&issuer.name), publisher))
        });
        let options = &plan.options;
        let same = before.filter(|before| before.plan.options == *options);
        let (throttle, memory) = match same {
            Some(before) => (Arc::clone(&before.throttle), Arc::clone(&before.memory)),
            None => {
                let (source, user) = (
                    options.max_failures_per_source,
                    options.max_failures_per_user,
                );
                let throttle = Throttle::new(source, user);
                (Arc::new(throttle), Arc::new(Memory::new(options)))
            }
        };
        Ok(Self {
            publishers: publishers.collect::<Result<_, _>>()?,
            throttle,
            memory,
            plan: plan.clone(),
            metrics: metrics.clone(),
            shown: before.map_or_else(Arc::default, |before| Arc::clone(&before.shown)),
        })
    }

    /// Refuses those whose tokens have been refused too often.
    pub(super) fn let_try(&self, source: IpAddr, user: &str) -> Result<(), Refusal> {
        match self.throttle.blocked(source, user, Instant::now()) {
            None => Ok(()),
            Some(_) => Err(Refusal::Throttled),
        }
    }

    /// Notes that a token was refused.
    pub(super) fn failed(&self, source: IpAddr, user: &str) {
        for scope in self.throttle.failed(source, user, Instant::now()) {
            self.metrics.throttled(scope);
            let scope = scope.as_str();
            tracing::warn!(%source, %user, scope, "too many tokens refused: others are refused unseen");
        }
    }

    /// What opens connections for the user of a token that a server of the group has accepted:
    /// this token, and others of the same user.
    pub(super) fn shown(&self, group: &Arc<str>, token: &AcceptedToken) -> Arc<ShownTokens> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::clone(group), Arc::clone(&token.user));
        if !shown.contains_key(&key) {
            // No pool uses them any more.
            shown.retain(|_, tokens| Arc::strong_count(tokens) > 1);
        }
        let tokens = Arc::clone(shown.entry(key).or_default());
        drop(shown);
        tokens.add(token);
        tokens
    }

    /// Whom IAM tokens for this group must be signed for.
    fn audience(
        &self,
        listener: &ListenerTokenOptions,
        group: &GroupPlan,
    ) -> Result<Audience, Fault> {
        let seeds = &group.topology.seeds;
        let told = || seeds.iter().find_map(|seed| region_of(seed.signed_for().0));
        let configured = listener.region.as_ref().or(group.iam_region.as_ref());
        let region = configured.map(|region| &**region).or_else(told);
        let region = region.ok_or_else(|| {
            tracing::error!(group = %group.name, "iam_region is not configured");
            Fault::new(
                FaultKind::Internal,
                "the region of the database is not known",
            )
        })?;
        let skew = self.plan.options.clock_skew;
        if listener.hosts.is_empty() {
            let hosts = seeds.iter().map(Seed::signed_for);
            return Ok(Audience::new(hosts, region, skew));
        }
        let hosts = listener.hosts.iter().map(|(host, port)| (host, *port));
        Ok(Audience::new(hosts, region, skew))
    }

    /// What an IAM token is worth.
    pub(super) fn iam(
        &self,
        listener: &ListenerTokenOptions,
        group: &GroupPlan,
        verification: IamVerification,
        attempt: Attempt<'_>,
    ) -> Result<Verdict, Trouble> {
        let audience = self.audience(listener, group)?;
        let now = SystemTime::now();
        let verdict = match verification {
            IamVerification::Delegate => Delegated { audience }.verify(attempt, now),
            IamVerification::Signature => {
                let signed = Signed {
                    audience,
                    keys: self.plan.keys.clone(),
                    resource: Arc::clone(&listener.resource),
                };
                signed.verify(attempt, now)
            }
        };
        Ok(verdict?)
    }

    /// What a JSON Web Token is worth. Its issuer's keys are fetched where they are too old, or the
    /// token names one that is not among them. Cancel-safe.
    pub(super) async fn jwt(
        &self,
        listener: &ListenerTokenOptions,
        attempt: Attempt<'_>,
    ) -> Result<(), Trouble> {
        let issued = self.issued(listener);
        let name = &issued.issuer_of(attempt)?.options.name;
        let publisher = self.publishers.get(name).ok_or(Refusal::WrongIssuer)?;
        publisher.refresh(false).await;
        for unknown in [true, false] {
            let verdict = self.issued(listener).verify(attempt, SystemTime::now())?;
            match verdict {
                Verdict::Accepted { .. } => return Ok(()),
                Verdict::AskIssuer if unknown && publisher.refresh(true).await => {}
                Verdict::AskIssuer if !publisher.has_keys() => {
                    return Err(Refusal::KeysUnavailable.into());
                }
                Verdict::AskIssuer | Verdict::AskDatabase { .. } => break,
            }
        }
        Err(Refusal::UnknownKey.into())
    }

    fn issued(&self, listener: &ListenerTokenOptions) -> Issued {
        let names = &listener.issuers;
        let taken = |name: &Arc<str>| names.is_empty() || names.contains(name);
        let publishers = self.publishers.values();
        let taken = publishers.filter(|publisher| taken(&publisher.options().name));
        Issued {
            issuers: taken
                .map(|publisher| Issuer {
                    options: Arc::clone(publisher.options()),
                    keys: publisher.keys(),
                })
                .collect(),
        }
    }
}
