//! What is counted about the servers of groups.

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{AtomicF64, AtomicU64, GenericCounter, GenericGauge};
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use crate::model::{Role, Snapshot, TargetName, TargetState};

/// The metrics of all groups of the process.
#[derive(Clone, Debug)]
pub struct TopologyMetrics {
    reachable: GaugeVec,
    role: GaugeVec,
    state: GaugeVec,
    lag: GaugeVec,
    looks: IntCounterVec,
    available: GaugeVec,
    failover: HistogramVec,
    primaries: IntCounterVec,
}

impl TopologyMetrics {
    /// Declares them; once per registry.
    ///
    /// # Errors
    /// A name is taken.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        const TARGET: &[&str] = &["target_group", "target"];
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let vec = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let failover = HistogramVec::new(
            HistogramOpts::new(
                "sluice_failover_seconds",
                "From the first sign that a primary is gone until there is one again.",
            )
            .buckets(vec![
                0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
            ]),
            &["target_group"],
        )?;
        registry.register(Box::new(failover.clone()))?;
        Ok(Self {
            reachable: gauge(
                "sluice_target_reachable",
                "1 if the last look at the target succeeded.",
                TARGET,
            )?,
            role: gauge(
                "sluice_target_role",
                "1 for the role that the target has: primary or replica.",
                &["target_group", "target", "role"],
            )?,
            state: gauge(
                "sluice_target_state",
                "1 for the state that the target is in, in RDS Proxy's words.",
                &["target_group", "target", "state"],
            )?,
            lag: gauge(
                "sluice_target_lag_seconds",
                "How far the replica is behind.",
                TARGET,
            )?,
            looks: counter(
                "sluice_target_health_checks_total",
                "Looks at the target, by whether they succeeded.",
                &["target_group", "target", "result"],
            )?,
            available: gauge(
                "sluice_targets_available",
                "Targets of the group that may be used, by role.",
                &["target_group", "role"],
            )?,
            failover,
            primaries: counter(
                "sluice_primary_changes_total",
                "Times that the group got another primary.",
                &["target_group"],
            )?,
        })
    }

    /// The handles of one group.
    pub fn group(&self, name: &Arc<str>) -> GroupMetrics {
        GroupMetrics {
            all: self.clone(),
            group: Arc::clone(name),
            primary: None,
        }
    }
}

/// Handles for counting on one group.
#[derive(Debug)]
pub struct GroupMetrics {
    all: TopologyMetrics,
    group: Arc<str>,
    primary: Option<TargetName>,
}

impl GroupMetrics {
    /// A look has been made.
    pub(super) fn looked(&self, target: &TargetName, succeeded: bool) {
        let result = if succeeded { "ok" } else { "failed" };
        let looks: GenericCounter<AtomicU64> =
            self.all
                .looks
                .with_label_values(&[&self.group, target, result]);
        looks.inc();
        let reachable: GenericGauge<AtomicF64> =
            self.all.reachable.with_label_values(&[&self.group, target]);
        reachable.set(f64::from(u8::from(succeeded)));
    }

    /// How the group stands.
    pub(super) fn show(&mut self, snapshot: &Snapshot) {
        let flag = |on: bool| f64::from(u8::from(on));
        let mut available = [(Role::Primary, 0_u32), (Role::Replica, 0)];
        for member in &snapshot.members {
            let (group, target) = (&*self.group, &*member.name);
            for role in [Role::Primary, Role::Replica] {
                let gauge = self
                    .all
                    .role
                    .with_label_values(&[group, target, role.as_str()]);
                gauge.set(flag(member.role == Some(role)));
            }
            for state in TargetState::ALL {
                let gauge = self
                    .all
                    .state
                    .with_label_values(&[group, target, state.as_str()]);
                gauge.set(flag(member.state == state));
            }
            let lag = self.all.lag.with_label_values(&[group, target]);
            lag.set(member.lag.unwrap_or_default().as_secs_f64());
            if member.state == TargetState::Available {
                for (role, count) in &mut available {
                    *count += u32::from(member.role == Some(*role));
                }
            }
        }
        for (role, count) in available {
            let gauge = self
                .all
                .available
                .with_label_values(&[&*self.group, role.as_str()]);
            gauge.set(f64::from(count));
        }
        if snapshot.primary.is_some() && snapshot.primary != self.primary {
            if self.primary.is_some() {
                self.all.primaries.with_label_values(&[&*self.group]).inc();
            }
            self.primary.clone_from(&snapshot.primary);
        }
    }

    /// There is a primary again.
    pub(super) fn recovered(&self, after: Duration) {
        let failover = self.all.failover.with_label_values(&[&*self.group]);
        failover.observe(after.as_secs_f64());
    }

    /// A server has left.
    pub(super) fn forget(&self, target: &TargetName) {
        let labels: &[&str] = &[&self.group, target];
        // Series that were never there need no removal.
        let _ = self.all.reachable.remove_label_values(labels);
        let _ = self.all.lag.remove_label_values(labels);
        for role in [Role::Primary, Role::Replica] {
            let labels: &[&str] = &[&self.group, target, role.as_str()];
            let _ = self.all.role.remove_label_values(labels);
        }
        for state in TargetState::ALL {
            let labels: &[&str] = &[&self.group, target, state.as_str()];
            let _ = self.all.state.remove_label_values(labels);
        }
        for result in ["ok", "failed"] {
            let labels: &[&str] = &[&self.group, target, result];
            let _ = self.all.looks.remove_label_values(labels);
        }
    }
}
