//! Signals, the service manager, and the two ways to stop: SIGTERM lets transactions end, SIGINT
//! and SIGQUIT do not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Daemon;
use crate::config::Plan;
use crate::session::handle::Signal;

/// The signals of the process.
pub(super) struct Signals {
    hangup: UnixSignal,
    terminate: UnixSignal,
    interrupt: UnixSignal,
    quit: UnixSignal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Read the configuration again.
    Reload,
    /// Stop when transactions have ended.
    Drain,
    /// Stop.
    Fast,
}

impl Signals {
    /// From now on signals are orders.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next order. Cancel-safe.
    pub(super) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.hangup.recv() => Order::Reload,
            _ = self.terminate.recv() => Order::Drain,
            _ = self.interrupt.recv() => Order::Fast,
            _ = self.quit.recv() => Order::Fast,
        }
    }

    /// Waits for an order to stop at once; a second SIGTERM is one.
    async fn until_fast(&mut self) {
        while self.next().await == Order::Reload {}
    }
}

impl Daemon {
    /// Takes no new clients, ends idle ones, and waits for the others' transactions until the
    /// deadline or an order to hurry.
    pub(super) async fn drain(
        self: &Arc<Self>,
        signals: &mut Signals,
        stop_listening: &CancellationToken,
    ) {
        self.draining.store(true, Ordering::Release);
        notify(&[NotifyState::Stopping]);
        stop_listening.cancel();
        let limit = self.plan.load().general.shutdown_timeout;
        let sessions = &self.process.sessions;
        info!(clients = sessions.len(), timeout = ?limit, "draining");
        sessions.raise_all(Signal::Drain);
        tokio::select! {
            () = sessions.until_empty() => info!("drained"),
            () = tokio::time::sleep(limit) => {
                warn!(clients = sessions.len(), "shutdown_timeout is over; ending the rest");
            }
            () = signals.until_fast() => {
                warn!(clients = sessions.len(), "told to hurry; ending the rest");
            }
        }
    }

    /// Ends all sessions now, then closes the pools.
    pub(super) async fn end_sessions(&self) {
        notify(&[NotifyState::Stopping]);
        let sessions = &self.process.sessions;
        sessions.raise_all(Signal::Kill);
        // They tell their clients and clean up after them; who takes longer is cut off.
        let _ = tokio::time::timeout(PARTING, sessions.until_empty()).await;
        let left = self.postgres.pools().close(PARTING).await;
        if left > 0 {
            warn!(server_connections = left, "closed without waiting for them");
        }
    }
}

/// Tells the service manager that the program is ready.
pub(super) fn notify_ready() {
    notify(&[NotifyState::Ready]);
}

/// Tells the service manager that the configuration is being read again.
pub(super) fn notify_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager cannot be told");
    }
}

/// Raises the limit on open files as far as the system lets us, and warns where the configured
/// clients do not fit: one for each client, one for each server connection, and some.
pub(super) fn raise_file_limit(plan: &Plan) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "the limit on open files cannot be raised");
    }
    let needed = u64::try_from(plan.general.max_client_conn).unwrap_or(u64::MAX);
    let needed = needed.saturating_add(SPARE_FILES);
    if let Some(open_files) = limit.maximum.filter(|most| *most < needed) {
        warn!(
            open_files,
            needed, "max_client_conn does not fit the limit on open files"
        );
    }
}

/// How long sessions and pools may take to end when they are told to.
const PARTING: Duration = Duration::from_secs(3);

/// Open files besides those of clients.
const SPARE_FILES: u64 = 500;
