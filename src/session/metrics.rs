//! What is counted about clients and their requests.
//!
//! The set is RDS Proxy's (CloudWatch metrics of Amazon RDS Proxy, user guide "Monitoring RDS
//! Proxy with CloudWatch"), with the reasons for pins and faults added, which RDS Proxy tells in
//! its log at best. Labels are resolved once, when a listener or a client's target is known;
//! counting is an atomic addition or two. Connections of the pools are counted by the pools.

use std::sync::Arc;

use super::routing::RoutingMetrics;
use crate::model::{FaultKind, PinReason, Pins};
use crate::telemetry::{Family, LatencyHistogram, MetricRegistry, ShardedCounter, ShardedGauge};

/// The metrics of all sessions of the process. Clones are the same.
#[derive(Clone, Debug)]
pub struct SessionMetrics {
    connections: Family<ShardedGauge>,
    received: Family<ShardedCounter>,
    closed: Family<ShardedCounter>,
    setup_succeeded: Family<ShardedCounter>,
    setup_failed_auth: Family<ShardedCounter>,
    faults: Family<ShardedCounter>,
    requests: Family<ShardedCounter>,
    response_latency: Family<LatencyHistogram>,
    database_latency: Family<LatencyHistogram>,
    in_transaction: Family<ShardedGauge>,
    session_pinned: Family<ShardedGauge>,
    pins: Arc<PinMetrics>,
    feeds: Arc<FeedMetrics>,
    routing: RoutingMetrics,
}

impl SessionMetrics {
    /// Declares the metrics; once per registry.
    ///
    /// # Errors
    /// A name is taken.
    pub fn new(registry: &MetricRegistry) -> prometheus::Result<Self> {
        const CLIENT: &[&str] = &["listener", "tls"];
        const LISTENER: &[&str] = &["listener"];
        const TARGET: &[&str] = &["target_group", "target"];
        let counter = |name, help, labels| registry.family::<ShardedCounter>(name, help, labels);
        let gauge = |name, help, labels| registry.family::<ShardedGauge>(name, help, labels);
        Ok(Self {
            connections: gauge(
                "sluice_client_connections",
                "Clients connected now.",
                CLIENT,
            )?,
            received: counter(
                "sluice_client_connections_received_total",
                "Client connections accepted.",
                LISTENER,
            )?,
            closed: counter(
                "sluice_client_connections_closed_total",
                "Client connections closed, by whichever side.",
                LISTENER,
            )?,
            setup_succeeded: counter(
                "sluice_client_connections_setup_succeeded_total",
                "Client logins that succeeded.",
                CLIENT,
            )?,
            setup_failed_auth: counter(
                "sluice_client_connections_setup_failed_auth_total",
                "Client logins refused because the client could not prove who it is.",
                LISTENER,
            )?,
            faults: counter(
                "sluice_client_faults_total",
                "Errors of Sluice's own that clients were told, by kind.",
                &["listener", "kind"],
            )?,
            requests: counter(
                "sluice_query_requests_total",
                "Requests received; several statements in one message are one request.",
                CLIENT,
            )?,
            response_latency: registry.family(
                "sluice_query_response_latency_seconds",
                "From a client's request to the end of its answer.",
                LISTENER,
            )?,
            database_latency: registry.family(
                "sluice_query_database_response_latency_seconds",
                "From passing a request on to the server to the end of its answer.",
                TARGET,
            )?,
            in_transaction: gauge(
                "sluice_database_connections_in_transaction",
                "Server connections with an open transaction.",
                TARGET,
            )?,
            session_pinned: gauge(
                "sluice_database_connections_session_pinned",
                "Server connections that one client keeps beyond the end of its transaction.",
                TARGET,
            )?,
            pins: Arc::new(PinMetrics::new(registry)?),
            feeds: Arc::new(FeedMetrics::new(registry)?),
            routing: RoutingMetrics::new(registry)?,
        })
    }

    /// What is counted of sessions whose reads go to replicas.
    pub const fn routing(&self) -> &RoutingMetrics {
        &self.routing
    }

    /// The handles of all feeds.
    pub fn feeds(&self) -> Arc<FeedMetrics> {
        Arc::clone(&self.feeds)
    }

    /// The handles of one listener.
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        let side = |tls| ClientSide {
            connections: self.connections.member(&[name, tls]),
            setup_succeeded: self.setup_succeeded.member(&[name, tls]),
            requests: self.requests.member(&[name, tls]),
        };
        Arc::new(ListenerMetrics {
            received: self.received.member(&[name]),
            closed: self.closed.member(&[name]),
            setup_failed_auth: self.setup_failed_auth.member(&[name]),
            response_latency: self.response_latency.member(&[name]),
            plain: side("false"),
            encrypted: side("true"),
            faults: self.faults.clone(),
            name: name.into(),
            pins: Arc::clone(&self.pins),
        })
    }

    /// The handles of one target, from the time when a client is bound to it.
    pub fn target(&self, group: &str, target: &str) -> Arc<TargetMetrics> {
        let labels = &[group, target];
        Arc::new(TargetMetrics {
            database_latency: self.database_latency.member(labels),
            in_transaction: self.in_transaction.member(labels),
            session_pinned: self.session_pinned.member(labels),
        })
    }
}

/// Counts about what servers send unasked, over all databases.
#[derive(Debug)]
pub struct FeedMetrics {
    pub(super) open: Arc<ShardedGauge>,
    pub(super) lost: Arc<ShardedCounter>,
    pub(super) delivered: Arc<ShardedCounter>,
}

impl FeedMetrics {
    fn new(registry: &MetricRegistry) -> prometheus::Result<Self> {
        let open = registry.family::<ShardedGauge>(
            "sluice_notification_connections",
            "Connections open now over which clients are told of notifications, one for each \
             database that somebody listens in.",
            &[],
        )?;
        let lost = registry.family::<ShardedCounter>(
            "sluice_notification_connections_lost_total",
            "Times that such a connection was lost; it is opened again, and who listens is told.",
            &[],
        )?;
        let delivered = registry.family::<ShardedCounter>(
            "sluice_notifications_total",
            "Notifications handed to clients from such connections.",
            &[],
        )?;
        Ok(Self {
            open: open.member(&[]),
            lost: lost.member(&[]),
            delivered: delivered.member(&[]),
        })
    }
}

/// Handles for counting on one listener.
#[derive(Debug)]
pub struct ListenerMetrics {
    pub(super) received: Arc<ShardedCounter>,
    pub(super) closed: Arc<ShardedCounter>,
    pub(super) setup_failed_auth: Arc<ShardedCounter>,
    pub(super) response_latency: Arc<LatencyHistogram>,
    pub(super) plain: ClientSide,
    pub(super) encrypted: ClientSide,
    faults: Family<ShardedCounter>,
    name: Arc<str>,
    pub(super) pins: Arc<PinMetrics>,
}

impl ListenerMetrics {
    /// The counter of faults of a kind. Looked up each time: a fault ends more than it costs.
    pub(super) fn faults(&self, kind: FaultKind) -> Arc<ShardedCounter> {
        self.faults.member(&[&self.name, fault_label(kind)])
    }
}

/// Handles for counting on one target.
#[derive(Debug)]
pub struct TargetMetrics {
    pub(super) database_latency: Arc<LatencyHistogram>,
    pub(super) in_transaction: Arc<ShardedGauge>,
    pub(super) session_pinned: Arc<ShardedGauge>,
}

/// Handles that differ with the client's encryption.
#[derive(Debug)]
pub(super) struct ClientSide {
    pub(super) connections: Arc<ShardedGauge>,
    pub(super) setup_succeeded: Arc<ShardedCounter>,
    pub(super) requests: Arc<ShardedCounter>,
}

/// Handles for counting pins, over all listeners.
#[derive(Debug)]
pub(super) struct PinMetrics {
    /// In the order of [`PinReason::ALL`].
    by_reason: Vec<PinSeries>,
    found: Family<ShardedCounter>,
}

#[derive(Debug)]
struct PinSeries {
    pinned: Arc<ShardedCounter>,
    unpinned: Arc<ShardedCounter>,
    now: Arc<ShardedGauge>,
}

impl PinMetrics {
    fn new(registry: &MetricRegistry) -> prometheus::Result<Self> {
        let total = registry.family::<ShardedCounter>(
            "sluice_pins_total",
            "Times that a session was pinned to its server connection, by reason.",
            &["reason"],
        )?;
        let gone = registry.family::<ShardedCounter>(
            "sluice_unpins_total",
            "Times that a reason to pin a session ended, its disconnection included, by reason.",
            &["reason"],
        )?;
        let found = registry.family::<ShardedCounter>(
            "sluice_session_state_findings_total",
            "Times that a server connection held state that no statement had announced, by the \
             reason for which it pins.",
            &["reason"],
        )?;
        let now = registry.family::<ShardedGauge>(
            "sluice_sessions_pinned",
            "Sessions that are pinned to their server connection now; \
             one with several reasons counts under each.",
            &["reason"],
        )?;
        let handles = |reason: PinReason| {
            let reason = &[reason.as_str()];
            PinSeries {
                pinned: total.member(reason),
                unpinned: gone.member(reason),
                now: now.member(reason),
            }
        };
        Ok(Self {
            by_reason: PinReason::ALL.into_iter().map(handles).collect(),
            found,
        })
    }

    /// Counts the change of one session's pins.
    pub(super) fn change(&self, before: Pins, after: Pins) {
        for (reason, series) in PinReason::ALL.into_iter().zip(&self.by_reason) {
            match (before.contains(reason), after.contains(reason)) {
                (false, true) => {
                    series.pinned.inc();
                    series.now.inc();
                }
                (true, false) => {
                    series.unpinned.inc();
                    series.now.dec();
                }
                _ => {}
            }
        }
    }

    /// Counts state that was found unannounced.
    pub(super) fn found(&self, what: Pins) {
        for reason in what.iter() {
            self.found.member(&[reason.as_str()]).inc();
        }
    }
}

/// The label of a kind.
const fn fault_label(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::AuthenticationFailed => "authentication_failed",
        FaultKind::TlsRequired => "tls_required",
        FaultKind::UnknownDatabase => "unknown_database",
        FaultKind::TooManyClients => "too_many_clients",
        FaultKind::BorrowTimeout => "borrow_timeout",
        FaultKind::Overloaded => "overloaded",
        FaultKind::ProtocolViolation => "protocol_violation",
        FaultKind::Unsupported => "unsupported",
        FaultKind::TargetUnavailable => "target_unavailable",
        FaultKind::ServerLost => "server_lost",
        FaultKind::TransactionLost => "transaction_lost",
        FaultKind::Stranded => "stranded",
        FaultKind::ShuttingDown => "shutting_down",
        FaultKind::IdleTimeout => "idle_timeout",
        FaultKind::LoginTimeout => "login_timeout",
        FaultKind::IdleTransactionTimeout => "idle_transaction_timeout",
        FaultKind::QueryTimeout => "query_timeout",
        FaultKind::Cancelled => "cancelled",
        FaultKind::Terminated => "terminated",
        FaultKind::OptionRefused => "option_refused",
        FaultKind::Internal => "internal",
    }
}
