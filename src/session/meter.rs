//! Counting for one client, from accept to close.
//!
//! The meter knows what it has put into gauges, and takes it out again when it is dropped, so
//! that no way out of a session can leave a gauge standing.

use std::sync::Arc;
use std::time::Duration;

use super::metrics::{ClientSide, ListenerMetrics, TargetMetrics};
use crate::model::{FaultKind, Pins};
use crate::telemetry::ShardedGauge;

/// Counts for one client. Whatever it holds up in gauges falls when it is dropped.
#[derive(Debug)]
pub struct ClientMeter {
    listener: Arc<ListenerMetrics>,
    target: Option<Arc<TargetMetrics>>,
    tls: bool,
    in_transaction: bool,
    pins: Pins,
}

impl ClientMeter {
    /// A client was accepted.
    pub fn new(listener: Arc<ListenerMetrics>) -> Self {
        listener.received.inc();
        listener.plain.connections.inc();
        Self {
            listener,
            target: None,
            tls: false,
            in_transaction: false,
            pins: Pins::NONE,
        }
    }

    /// The TLS handshake is done.
    pub fn encrypted(&mut self) {
        if !self.tls {
            self.side().connections.dec();
            self.tls = true;
            self.side().connections.inc();
        }
    }

    /// The client's login is complete.
    pub fn logged_in(&self) {
        self.side().setup_succeeded.inc();
    }

    /// The client was told an error of ours.
    pub fn fault(&self, kind: FaultKind) {
        if kind == FaultKind::AuthenticationFailed {
            self.listener.setup_failed_auth.inc();
        }
        self.listener.faults(kind).inc();
    }

    /// The client works with this target from now on.
    pub fn bound(&mut self, target: &Arc<TargetMetrics>) {
        if self
            .target
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, target))
        {
            return;
        }
        self.hold(false);
        self.target = Some(Arc::clone(target));
        self.hold(true);
    }

    /// The client sent `n` more requests.
    pub fn requests(&self, n: u64) {
        self.side().requests.add(n);
    }

    /// A request was answered: `whole` after the client sent it, `database` after it was passed
    /// on to the server.
    pub fn responded(&self, whole: Duration, database: Duration) {
        self.listener.response_latency.record(whole);
        if let Some(target) = &self.target {
            target.database_latency.record(database);
        }
    }

    /// Whether the client's server connection has an open transaction.
    pub fn transaction(&mut self, open: bool) {
        if open == self.in_transaction {
            return;
        }
        self.in_transaction = open;
        if let Some(target) = &self.target {
            step(&target.in_transaction, open);
        }
    }

    /// Why the client is pinned to its server connection; [`Pins::NONE`] if it is not, or holds
    /// none.
    pub fn pins(&mut self, pins: Pins) {
        if pins == self.pins {
            return;
        }
        self.listener.pins.change(self.pins, pins);
        if let Some(target) = &self.target
            && pins.is_empty() != self.pins.is_empty()
        {
            step(&target.session_pinned, !pins.is_empty());
        }
        self.pins = pins;
    }

    /// State was found that no statement had announced.
    pub fn found(&self, what: Pins) {
        self.listener.pins.found(what);
    }

    /// Takes up or gives up all that the client holds in its target's gauges.
    fn hold(&self, up: bool) {
        let Some(target) = &self.target else { return };
        if self.in_transaction {
            step(&target.in_transaction, up);
        }
        if !self.pins.is_empty() {
            step(&target.session_pinned, up);
        }
    }

    fn side(&self) -> &ClientSide {
        if self.tls {
            &self.listener.encrypted
        } else {
            &self.listener.plain
        }
    }
}

impl Drop for ClientMeter {
    fn drop(&mut self) {
        self.transaction(false);
        self.pins(Pins::NONE);
        self.side().connections.dec();
        self.listener.closed.inc();
    }
}

fn step(gauge: &ShardedGauge, up: bool) {
    if up {
        gauge.inc();
    } else {
        gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::ClientMeter;
    use crate::model::{FaultKind, PinReason, Pins};
    use crate::session::metrics::SessionMetrics;
    use crate::telemetry::MetricRegistry;

    /// The value of the sample whose name and labels are `name`.
    fn value(registry: &MetricRegistry, name: &str) -> f64 {
        let text = registry.text().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|rest| rest.strip_prefix(' '));
        value.expect(name).parse().unwrap()
    }

    fn pins(reasons: &[PinReason]) -> Pins {
        let mut pins = Pins::NONE;
        for reason in reasons {
            pins.insert(*reason);
        }
        pins
    }

    #[test]
    fn a_client_is_plain_until_its_handshake_and_gone_after_its_drop() {
        let registry = MetricRegistry::new().unwrap();
        let metrics = SessionMetrics::new(&registry).unwrap();
        let plain = "sluice_client_connections{listener=\"app\",tls=\"false\"}";
        let tls = "sluice_client_connections{listener=\"app\",tls=\"true\"}";
        let mut meter = ClientMeter::new(metrics.listener("app"));
        assert_eq!((value(&registry, plain), value(&registry, tls)), (1.0, 0.0));
        meter.encrypted();
        meter.encrypted();
        assert_eq!((value(&registry, plain), value(&registry, tls)), (0.0, 1.0));
        meter.logged_in();
        meter.requests(3);
        meter.fault(FaultKind::IdleTimeout);
        drop(meter);
        for (name, expected) in [
            (plain, 0.0),
            (tls, 0.0),
            (
                "sluice_client_connections_received_total{listener=\"app\"}",
                1.0,
            ),
            (
                "sluice_client_connections_closed_total{listener=\"app\"}",
                1.0,
            ),
            (
                "sluice_client_connections_setup_succeeded_total{listener=\"app\",tls=\"true\"}",
                1.0,
            ),
            (
                "sluice_client_connections_setup_failed_auth_total{listener=\"app\"}",
                0.0,
            ),
            (
                "sluice_query_requests_total{listener=\"app\",tls=\"true\"}",
                3.0,
            ),
            (
                "sluice_query_requests_total{listener=\"app\",tls=\"false\"}",
                0.0,
            ),
            (
                "sluice_client_faults_total{listener=\"app\",kind=\"idle_timeout\"}",
                1.0,
            ),
        ] {
            assert_eq!(value(&registry, name), expected, "{name}");
        }
    }

    #[test]
    fn what_a_client_holds_moves_with_its_target_and_ends_with_it() {
        let registry = MetricRegistry::new().unwrap();
        let metrics = SessionMetrics::new(&registry).unwrap();
        let mut meter = ClientMeter::new(metrics.listener("app"));
        meter.bound(&metrics.target("main", "db:1"));
        meter.transaction(true);
        meter.transaction(true);
        meter.pins(pins(&[PinReason::Setting]));
        meter.pins(pins(&[PinReason::Setting, PinReason::Listen]));
        meter.responded(Duration::from_millis(2), Duration::from_millis(1));
        meter.bound(&metrics.target("main", "db:2"));
        let gauges = |at: &str| {
            let of = |name| {
                value(
                    &registry,
                    &format!("{name}{{target_group=\"main\",target=\"{at}\"}}"),
                )
            };
            let name = "sluice_database_connections_";
            (
                of(format!("{name}in_transaction")),
                of(format!("{name}session_pinned")),
            )
        };
        assert_eq!((gauges("db:1"), gauges("db:2")), ((0.0, 0.0), (1.0, 1.0)));
        let listening = "sluice_sessions_pinned{reason=\"listen\"}";
        assert_eq!(value(&registry, listening), 1.0);
        meter.pins(pins(&[PinReason::Setting]));
        assert_eq!(value(&registry, listening), 0.0);
        assert_eq!(gauges("db:2"), (1.0, 1.0));
        let pinned_once = "sluice_pins_total{reason=\"setting\"}";
        assert_eq!(value(&registry, pinned_once), 1.0);
        drop(meter);
        assert_eq!(gauges("db:2"), (0.0, 0.0));
        assert_eq!(
            value(&registry, "sluice_sessions_pinned{reason=\"setting\"}"),
            0.0
        );
        let latency = "sluice_query_database_response_latency_seconds_count";
        let latency = format!("{latency}{{target_group=\"main\",target=\"db:1\"}}");
        assert_eq!(value(&registry, &latency), 1.0);
    }
}
