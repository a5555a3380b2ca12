//! Metrics of pools: RDS Proxy's CloudWatch set under Prometheus names, and why connections end.
//!
//! Counters are updated where things happen, by handles cached per pool. Gauges are read from
//! the pools when somebody scrapes, so that lending costs nothing for them.

use std::sync::{Arc, Mutex, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

use super::lock;
use super::snapshot::{PoolSnapshot, TargetSnapshot};
use crate::model::PoolKey;

/// Why a server connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// It reached its lifetime.
    Lifetime,
    /// Nobody needed it.
    Idle,
    /// Another pool needed its slot more.
    GivenUp,
    /// Credentials, TLS or address have changed.
    Retired,
    /// The pool's size was lowered.
    Shrunk,
    /// The server ended it, or it broke, while nobody used it.
    ServerClosed,
    /// It was given back with a transaction or a request under way.
    Unclean,
    /// A rollback or reset failed or took too long.
    ResetFailed,
    /// It gave no sign of life when asked.
    PingFailed,
    /// The server broke the protocol.
    Breach,
    /// It could not be brought to the state of the client that borrowed it.
    Unfit,
    /// Its client kept it to the end, or an error made it unfit to be given back.
    Dropped,
    /// Sluice is shutting down.
    Shutdown,
}

impl CloseReason {
    /// Every reason, in declaration order.
    pub const ALL: [Self; 13] = [
        Self::Lifetime,
        Self::Idle,
        Self::GivenUp,
        Self::Retired,
        Self::Shrunk,
        Self::ServerClosed,
        Self::Unclean,
        Self::ResetFailed,
        Self::PingFailed,
        Self::Breach,
        Self::Unfit,
        Self::Dropped,
        Self::Shutdown,
    ];

    /// The name used in logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lifetime => "lifetime",
            Self::Idle => "idle",
            Self::GivenUp => "given_up",
            Self::Retired => "retired",
            Self::Shrunk => "shrunk",
            Self::ServerClosed => "server_closed",
            Self::Unclean => "unclean",
            Self::ResetFailed => "reset_failed",
            Self::PingFailed => "ping_failed",
            Self::Breach => "breach",
            Self::Unfit => "unfit",
            Self::Dropped => "dropped",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The metric families of all pools of all engines.
pub struct PoolMetrics {
    borrows: IntCounterVec,
    timeouts: IntCounterVec,
    shed: IntCounterVec,
    requests: IntCounterVec,
    succeeded: IntCounterVec,
    failed: IntCounterVec,
    closed: IntCounterVec,
    latency: HistogramVec,
    gauges: Gauges,
    sources: Mutex<Vec<Weak<dyn Source>>>,
}

/// Pools that can be asked for their counts.
pub(super) trait Source: Send + Sync {
    fn pools(&self) -> Vec<PoolSnapshot>;
    fn targets(&self) -> Vec<TargetSnapshot>;
}

struct Gauges {
    open: IntGaugeVec,
    borrowed: IntGaugeVec,
    idle: IntGaugeVec,
    opening: IntGaugeVec,
    waiting: IntGaugeVec,
    allowed: IntGaugeVec,
}

/// One pool's handles.
pub(super) struct PoolMeters {
    pub(super) borrows: IntCounter,
    pub(super) timeouts: IntCounter,
    pub(super) shed: IntCounter,
    pub(super) requests: IntCounter,
    pub(super) succeeded: IntCounter,
    pub(super) failed: IntCounter,
    pub(super) latency: Histogram,
    /// In the order of [`CloseReason::ALL`].
    closed: [IntCounter; CloseReason::ALL.len()],
}

impl PoolMeters {
    pub(super) fn closed(&self, reason: CloseReason) {
        if let Some(counter) = self.closed.get(reason as usize) {
            counter.inc();
        }
    }
}

const POOL_LABELS: [&str; 4] = ["target_group", "target", "user", "database"];
const CLOSED_LABELS: [&str; 5] = ["target_group", "target", "user", "database", "reason"];

/// Waits of a millisecond are a busy pool, of a second an exhausted one; the default borrow
/// timeout is two minutes.
const LATENCY_BUCKETS: [f64; 14] = [
    0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0,
];

impl PoolMetrics {
    /// Makes the families and registers them. Fails if a name is taken in `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Arc<Self>> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            prometheus::Result::Ok(vec)
        };
        let pools = |name: &str, help: &str| counter(name, help, &POOL_LABELS);
        let latency = HistogramVec::new(
            HistogramOpts::new(
                "sluice_database_connections_borrow_latency_seconds",
                "Time that borrowers waited for a server connection; those served at once are not counted.",
            )
            .buckets(LATENCY_BUCKETS.to_vec()),
            &POOL_LABELS,
        )?;
        registry.register(Box::new(latency.clone()))?;
        let metrics = Arc::new(Self {
            borrows: pools(
                "sluice_database_connection_borrows_total",
                "Requests for a server connection from the pool.",
            )?,
            timeouts: pools(
                "sluice_database_connection_borrow_timeouts_total",
                "Borrowers for whom nothing came free in time.",
            )?,
            shed: pools(
                "sluice_database_connection_borrows_shed_total",
                "Borrowers refused at once because too many waited.",
            )?,
            requests: pools(
                "sluice_database_connection_requests_total",
                "Server connections that were to be opened.",
            )?,
            succeeded: pools(
                "sluice_database_connections_setup_succeeded_total",
                "Server connections opened.",
            )?,
            failed: pools(
                "sluice_database_connections_setup_failed_total",
                "Server connections that could not be opened.",
            )?,
            closed: counter(
                "sluice_database_connections_closed_total",
                "Server connections closed.",
                &CLOSED_LABELS,
            )?,
            latency,
            gauges: Gauges::new()?,
            sources: Mutex::default(),
        });
        registry.register(Box::new(Scrape(Arc::clone(&metrics))))?;
        Ok(metrics)
    }

    /// Reads gauges from these pools from now on.
    pub(super) fn attach(&self, source: Weak<dyn Source>) {
        let mut sources = lock(&self.sources);
        sources.retain(|known| known.strong_count() > 0);
        sources.push(source);
    }

    /// One pool's handles.
    pub(super) fn meters(&self, key: &PoolKey) -> PoolMeters {
        let labels = labels(key);
        let [group, target, user, database] = labels;
        PoolMeters {
            borrows: self.borrows.with_label_values(&labels),
            timeouts: self.timeouts.with_label_values(&labels),
            shed: self.shed.with_label_values(&labels),
            requests: self.requests.with_label_values(&labels),
            succeeded: self.succeeded.with_label_values(&labels),
            failed: self.failed.with_label_values(&labels),
            latency: self.latency.with_label_values(&labels),
            closed: CloseReason::ALL.map(|reason| {
                let labels = [group, target, user, database, reason.as_str()];
                self.closed.with_label_values(&labels)
            }),
        }
    }

    /// Forgets a pool that is gone, so that users who come and go leave nothing behind.
    pub(super) fn forget(&self, key: &PoolKey) {
        let labels = labels(key);
        let [group, target, user, database] = labels;
        // A family without the labels has nothing to forget.
        for family in [
            &self.borrows,
            &self.timeouts,
            &self.shed,
            &self.requests,
            &self.succeeded,
            &self.failed,
        ] {
            let _ = family.remove_label_values(&labels);
        }
        let _ = self.latency.remove_label_values(&labels);
        for reason in CloseReason::ALL {
            let labels = [group, target, user, database, reason.as_str()];
            let _ = self.closed.remove_label_values(&labels);
        }
        for family in self.gauges.of_pools() {
            let _ = family.remove_label_values(&labels);
        }
    }

    fn refresh(&self) {
        let sources: Vec<_> = lock(&self.sources)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for family in self.gauges.of_pools() {
            family.reset();
        }
        for source in sources {
            for pool in source.pools() {
                self.gauges.add(&pool);
            }
            for target in source.targets() {
                let labels = [&*target.group, &*target.target];
                let gauge = self.gauges.allowed.with_label_values(&labels);
                // Without a limit the metric says so by a negative number.
                gauge.set(target.allowed.map_or(-1, i64::from));
            }
        }
    }
}

impl Gauges {
    fn new() -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), labels)
        };
        Ok(Self {
            open: gauge(
                "sluice_database_connections",
                "Open server connections.",
                &POOL_LABELS,
            )?,
            borrowed: gauge(
                "sluice_database_connections_currently_borrowed",
                "Server connections in use by clients or being reset.",
                &POOL_LABELS,
            )?,
            idle: gauge(
                "sluice_database_connections_idle",
                "Server connections free to be borrowed.",
                &POOL_LABELS,
            )?,
            opening: gauge(
                "sluice_database_connections_opening",
                "Server connections being dialled and logged in to.",
                &POOL_LABELS,
            )?,
            waiting: gauge(
                "sluice_database_connection_borrowers_waiting",
                "Clients waiting for a server connection.",
                &POOL_LABELS,
            )?,
            allowed: gauge(
                "sluice_max_database_connections_allowed",
                "Most server connections that all pools of the target may open; -1: no limit.",
                &["target_group", "target"],
            )?,
        })
    }

    fn of_pools(&self) -> [&IntGaugeVec; 5] {
        [
            &self.open,
            &self.borrowed,
            &self.idle,
            &self.opening,
            &self.waiting,
        ]
    }

    /// Several pools may have the same labels: connections that differ in what was agreed on at
    /// login.
    fn add(&self, pool: &PoolSnapshot) {
        let labels = labels(&pool.key);
        let counts = [
            pool.open,
            pool.borrowed,
            pool.idle,
            pool.opening,
            pool.waiting,
        ];
        for (family, count) in self.of_pools().into_iter().zip(counts) {
            family.with_label_values(&labels).add(i64::from(count));
        }
    }
}

/// Reads the gauges when somebody scrapes.
struct Scrape(Arc<PoolMetrics>);

impl Collector for Scrape {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = &self.0.gauges;
        let mut desc = gauges.allowed.desc();
        desc.extend(gauges.of_pools().into_iter().flat_map(Collector::desc));
        desc
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.refresh();
        let gauges = &self.0.gauges;
        let families = gauges.of_pools().into_iter().chain([&gauges.allowed]);
        families.flat_map(Collector::collect).collect()
    }
}

fn labels(key: &PoolKey) -> [&str; 4] {
    [&key.group, &key.target, &key.user, &key.database]
}
