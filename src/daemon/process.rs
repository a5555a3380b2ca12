//! What the whole process shares, whatever its engines.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::source::SourceMetrics;
use crate::config::Plan;
use crate::config::plan::GeneralPlan;
use crate::net::inherited::Inherited;
use crate::net::limits::{Limits, Quotas};
use crate::pool::PoolMetrics;
use crate::session::metrics::SessionMetrics;
use crate::session::registry::Registry;
use crate::telemetry::MetricRegistry;
use crate::topology::TopologyMetrics;

use super::places::Places;
use super::tokens::TokenMetrics;
use super::vault::Vault;
use super::workers::Workers;

/// Shared by all engines and listeners.
pub(super) struct Process {
    pub(super) registry: MetricRegistry,
    pub(super) session_metrics: SessionMetrics,
    pub(super) pool_metrics: Arc<PoolMetrics>,
    pub(super) token_metrics: TokenMetrics,
    pub(super) sessions: Arc<Registry>,
    pub(super) limits: Arc<Limits>,
    pub(super) places: Arc<Places>,
    /// Where credentials come from.
    pub(super) vault: Arc<Vault>,
    pub(super) topology_metrics: TopologyMetrics,
    /// Who serves clients.
    pub(super) workers: Arc<Workers>,
    inherited: Mutex<Vec<Inherited>>,
}

impl Process {
    /// For a process that starts with this plan, these inherited sockets, and these threads.
    ///
    /// # Errors
    /// A metric is declared twice: a bug.
    pub(super) fn new(
        plan: &Plan,
        inherited: Vec<Inherited>,
        workers: Arc<Workers>,
    ) -> prometheus::Result<Self> {
        let registry = MetricRegistry::new()?;
        let sources = SourceMetrics::register(registry.prometheus())?;
        Ok(Self {
            session_metrics: SessionMetrics::new(&registry)?,
            pool_metrics: PoolMetrics::register(registry.prometheus())?,
            token_metrics: TokenMetrics::new(&registry)?,
            topology_metrics: TopologyMetrics::register(registry.prometheus())?,
            registry,
            places: Arc::default(),
            vault: Arc::new(Vault::new(plan, sources)),
            sessions: Arc::default(),
            limits: Limits::new(quotas(plan)),
            workers,
            inherited: Mutex::new(inherited),
        })
    }

    /// The socket that was passed in under this name, once.
    pub(super) fn take_inherited(&self, name: &str) -> Option<TcpListener> {
        let mut inherited = self
            .inherited
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let place = inherited.iter().position(|socket| &*socket.name == name)?;
        Some(inherited.swap_remove(place).socket)
    }
}

/// The limits on clients that a plan sets.
pub(super) fn quotas(plan: &Plan) -> Quotas {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let GeneralPlan {
        max_client_conn,
        max_client_conn_per_address,
        ..
    } = plan.general;
    Quotas {
        total: number(max_client_conn),
        per_address: number(max_client_conn_per_address),
        per_listener: plan
            .listeners
            .iter()
            .map(|l| (Arc::clone(&l.name), number(l.max_client_conn)))
            .collect(),
    }
}
