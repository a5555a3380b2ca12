//! Counting and timing one session's requests, a clock reading or two for each.

use std::sync::Arc;
use std::time::Instant;

use super::handle::{Handle, Phase};
use super::meter::ClientMeter;
use super::registry::Registry;
use crate::model::{PinReason, Pins, TxStatus};
use crate::protocol::Front;

/// What one session keeps for metrics, time limits and `/status`.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) meter: ClientMeter,
    handle: Arc<Handle>,
    registry: Arc<Registry>,
    /// When the request at hand came in; if `answered`, when the last one was.
    arrived: Option<Instant>,
    /// When it was passed on.
    passed_on: Option<Instant>,
    requests: u64,
    pins: Pins,
    /// Nothing has come since the last answer.
    answered: bool,
}

impl Tally {
    /// For a session that has just logged in.
    pub(super) fn new(meter: ClientMeter, handle: Arc<Handle>, registry: Arc<Registry>) -> Self {
        Self {
            meter,
            handle,
            registry,
            arrived: None,
            passed_on: None,
            requests: 0,
            pins: Pins::NONE,
            answered: false,
        }
    }

    /// The client has logged in anew: its requests are counted from the start.
    pub(super) fn begun_anew(&mut self) {
        self.requests = 0;
    }

    /// The session enters a phase.
    pub(super) fn enter(&self, phase: Phase) {
        self.handle.enter(phase, self.registry.now());
    }

    /// A request has come, and waits for a server connection; returns when it came.
    pub(super) fn arrived(&mut self) -> Instant {
        let now = Instant::now();
        self.arrived = Some(now);
        self.answered = false;
        self.passed_on = None;
        self.enter(Phase::Waiting);
        now
    }

    /// There was a server connection for it at once: it is passed on when it has come.
    pub(super) fn lent_at_once(&mut self) {
        self.passed_on = self.arrived;
    }

    /// A request goes to the server.
    pub(super) fn begun(&mut self) {
        self.passed_on.get_or_insert_with(Instant::now);
        if std::mem::take(&mut self.answered) {
            self.arrived = None;
        }
        self.enter(Phase::Active);
    }

    /// Everything sent has been answered.
    pub(super) fn settled(&mut self, tx: TxStatus, front: &impl Front) {
        if let Some(passed_on) = self.passed_on.take() {
            let now = Instant::now();
            let arrived = self.arrived.take().unwrap_or(passed_on);
            self.meter.responded(now - arrived, now - passed_on);
            (self.arrived, self.answered) = (Some(now), true);
        }
        self.handle.note_transaction(tx != TxStatus::Idle);
        self.enter(Phase::Held);
        self.meter.transaction(tx != TxStatus::Idle);
        let requests = front.requests();
        self.meter.requests(requests.saturating_sub(self.requests));
        self.requests = requests;
        self.handle.note_requests(requests);
    }

    /// When everything was answered, for whoever goes on at once: saves a reading of the clock.
    pub(super) fn answered(&self) -> Instant {
        let at = self.arrived.filter(|_| self.answered);
        at.unwrap_or_else(Instant::now)
    }

    /// The server connection is kept, though no transaction is open.
    pub(super) fn keeps(&mut self, front: &mut impl Front) {
        self.found(front);
        self.pins(front.pins(), front.pin_cause());
    }

    /// Tells of state that had changed unseen.
    pub(super) fn found(&mut self, front: &mut impl Front) {
        let Some(finding) = front.finding() else {
            return;
        };
        for reason in finding.what.iter() {
            tracing::warn!(
                session = %self.handle.id,
                reason = reason.as_str(),
                statement = finding.cause.as_deref().unwrap_or_default(),
                "session state had changed unseen"
            );
        }
        self.meter.found(finding.what);
    }

    /// The server connection has gone back.
    pub(super) fn released(&mut self, front: &mut impl Front) {
        self.found(front);
        self.meter.transaction(false);
        self.pins(Pins::NONE, None);
        self.enter(Phase::Idle);
    }

    /// Notes the session's pins, and logs which come and go.
    fn pins(&mut self, pins: Pins, cause: Option<&str>) {
        if pins == self.pins {
            return;
        }
        let new = pins.since(self.pins);
        for reason in new.iter().filter(|r| *r != PinReason::SessionMode) {
            tracing::info!(
                session = %self.handle.id,
                reason = reason.as_str(),
                statement = cause.unwrap_or_default(),
                "session pinned"
            );
        }
        let gone = self.pins.since(pins);
        let since = self.handle.pinned().map(|pinned| pinned.since);
        let age = since.and_then(|since| since.elapsed().ok());
        for reason in gone.iter().filter(|r| *r != PinReason::SessionMode) {
            tracing::info!(
                session = %self.handle.id,
                reason = reason.as_str(),
                pinned_ms = age.unwrap_or_default().as_millis(),
                "session unpinned"
            );
        }
        self.pins = pins;
        self.meter.pins(pins);
        self.handle.note_pins(pins, cause);
    }
}
