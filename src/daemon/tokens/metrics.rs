//! What Prometheus is told of tokens.

use std::time::Duration;

use crate::auth::throttle::Scope;
use crate::telemetry::histogram::LatencyHistogram;
use crate::telemetry::{Family, MetricRegistry, ShardedCounter};

use super::{Trouble, Way};

/// Where a verdict of the database came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Recall {
    /// It was remembered.
    Hit,
    /// The database was asked.
    Miss,
    /// Another client with the same token was asking it.
    Shared,
}

/// Counters of the process.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct TokenMetrics {
    verified: Family<ShardedCounter>,
    recalled: Family<ShardedCounter>,
    throttled: Family<ShardedCounter>,
    took: Family<LatencyHistogram>,
}

impl TokenMetrics {
    /// Declares them.
    ///
    /// # Errors
    /// One is declared already: a bug.
    pub(in crate::daemon) fn new(registry: &MetricRegistry) -> prometheus::Result<Self> {
        Ok(Self {
            verified: registry.family(
                "sluice_token_verifications_total",
                "Tokens that clients have shown, by what came of them.",
                &["method", "result", "reason"],
            )?,
            recalled: registry.family(
                "sluice_token_cache_total",
                "Verdicts of databases on tokens: remembered (hit), asked for (miss), or asked for by another client at the same time (shared).",
                &["result"],
            )?,
            throttled: registry.family(
                "sluice_token_throttled_total",
                "Refused tokens beyond the limit of their source or user.",
                &["scope"],
            )?,
            took: registry.family(
                "sluice_token_verification_seconds",
                "Time that it took to judge a token.",
                &["method"],
            )?,
        })
    }

    pub(in crate::daemon) fn recalled(&self, recall: Recall) {
        let result = match recall {
            Recall::Hit => "hit",
            Recall::Miss => "miss",
            Recall::Shared => "shared",
        };
        self.recalled.member(&[result]).inc();
    }

    pub(super) fn throttled(&self, scope: Scope) {
        self.throttled.member(&[scope.as_str()]).inc();
    }

    pub(in crate::daemon) fn judged<T>(
        &self,
        way: Way,
        result: &Result<T, Trouble>,
        took: Duration,
    ) {
        let (outcome, reason) = match result {
            Ok(_) => ("accepted", ""),
            Err(Trouble::Refused(refusal)) => ("refused", refusal.code()),
            Err(Trouble::Fault(_)) => ("error", "unavailable"),
        };
        self.verified.member(&[way.as_str(), outcome, reason]).inc();
        self.took.member(&[way.as_str()]).record(took);
    }
}
