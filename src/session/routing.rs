//! What is counted of sessions whose reads go to replicas.

use std::sync::{Arc, OnceLock};

use crate::model::Role;
use crate::router::Reason;
use crate::telemetry::{Family, MetricRegistry, ShardedCounter};

/// The metrics of all such sessions of the process.
#[derive(Clone, Debug)]
pub struct RoutingMetrics {
    routed: Family<ShardedCounter>,
    refused: Family<ShardedCounter>,
    retried: Family<ShardedCounter>,
    shelves: Arc<ShelfMetrics>,
}

impl RoutingMetrics {
    /// Declares the metrics; once per registry.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(registry: &MetricRegistry) -> prometheus::Result<Self> {
        let counter = |name, help, labels| registry.family::<ShardedCounter>(name, help, labels);
        Ok(Self {
            routed: counter(
                "sluice_routed_requests_total",
                "Requests of sessions that split reads from writes, by the role of the server that they \
                 went to and the reason.",
                &["target_group", "role", "reason"],
            )?,
            refused: counter(
                "sluice_misrouted_reads_total",
                "Requests taken for reads that a replica has refused because they were none. They were run \
                 on the primary.",
                &["target_group"],
            )?,
            retried: counter(
                "sluice_retried_reads_total",
                "Reads that a replica has refused or not answered, and that were run on the primary.",
                &["target_group"],
            )?,
            shelves: Arc::new(ShelfMetrics {
                read: counter(
                    "sluice_catalogue_reads_total",
                    "Times that the functions and views of a database have been read, and were new.",
                    &[],
                )?
                .member(&[]),
                failed: counter(
                    "sluice_catalogue_failures_total",
                    "Times that they could not be read.",
                    &[],
                )?
                .member(&[]),
            }),
        })
    }

    /// The handles of all catalogues.
    pub fn shelves(&self) -> Arc<ShelfMetrics> {
        Arc::clone(&self.shelves)
    }

    /// The handles of the sessions of one group whose reads go to replicas.
    pub fn routes(&self, group: &str) -> Arc<RouteMetrics> {
        Arc::new(RouteMetrics {
            routed: Reason::all().map(|_| Default::default()).collect(),
            family: self.routed.clone(),
            refused: self.refused.member(&[group]),
            retried: self.retried.member(&[group]),
            group: group.into(),
        })
    }
}

/// What is counted about the sessions of one group whose reads go to replicas.
#[derive(Debug)]
pub struct RouteMetrics {
    /// By role and [`Reason::index`].
    routed: Box<[[OnceLock<Arc<ShardedCounter>>; 2]]>,
    family: Family<ShardedCounter>,
    refused: Arc<ShardedCounter>,
    retried: Arc<ShardedCounter>,
    group: Box<str>,
}

impl RouteMetrics {
    /// A request was routed.
    pub(super) fn routed(&self, role: Role, reason: Reason) {
        let place = usize::from(role == Role::Replica);
        let cell = self
            .routed
            .get(reason.index())
            .and_then(|both| both.get(place));
        if let Some(cell) = cell {
            let member = || {
                self.family
                    .member(&[&self.group, role.as_str(), reason.name()])
            };
            cell.get_or_init(member).inc();
        }
    }

    /// A replica has refused a request, and the primary is to have it. `read_only`: it was none for a replica.
    pub(super) fn refused(&self, read_only: bool) {
        self.retried.inc();
        if read_only {
            self.refused.inc();
        }
    }
}

/// Counts about the catalogues of databases, over all of them.
#[derive(Debug)]
pub struct ShelfMetrics {
    pub(super) read: Arc<ShardedCounter>,
    pub(super) failed: Arc<ShardedCounter>,
}
