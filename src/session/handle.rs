//! What others may see of a session, and how they reach it.
//!
//! A session's task owns everything; others raise a signal and wake it. So a request to cancel
//! can never reach the query of somebody who got the server connection later.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Wake, Waker};
use std::time::SystemTime;

use atomic_waker::AtomicWaker;

use crate::model::{Pins, PoolKey, SessionId};

/// A session as seen from outside.
// In this order: what each request touches comes first, on one cache line with the counts of the `Arc`.
#[derive(Debug)]
#[repr(C)]
pub struct Handle {
    /// Wakes the session's task, as long as that is the one that listened first.
    task: OnceLock<Waker>,
    signals: AtomicU32,
    /// Tick of the sweep clock at which the phase began.
    phase_since: AtomicU32,
    requests: AtomicU64,
    phase: AtomicU8,
    /// Its server connection has an open transaction.
    in_transaction: AtomicBool,
    /// Unique in this process.
    pub id: SessionId,
    /// The client's address.
    pub peer: SocketAddr,
    /// When it was accepted.
    pub since: SystemTime,
    identity: Mutex<Option<Arc<Identity>>>,
    pinned: Mutex<Option<Box<Pinned>>>,
    /// Whoever else listens.
    waker: AtomicWaker,
}

/// Who the client is, known after its login.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The user name that the client gave.
    pub user: Arc<str>,
    /// The database that it asked for.
    pub database: Arc<str>,
    /// The name that it gave itself.
    pub application: Arc<str>,
    /// The pool that serves it.
    pub pool: PoolKey,
    /// Its connection uses TLS.
    pub tls: bool,
    /// Limits of its listener, in ticks of the sweep clock; zero: none.
    pub limits: Limits,
}

/// How long a session may stay in a phase, in ticks of the sweep clock; zero: for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Without transaction, the client silent.
    pub idle: u32,
    /// In a transaction, the client silent.
    pub idle_transaction: u32,
    /// Between a request and the end of its answer.
    pub query: u32,
}

/// Why and since when a session keeps its server connection.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// The reasons.
    pub pins: Pins,
    /// When the first of them arose.
    pub since: SystemTime,
    /// The statement behind the newest, literals removed.
    pub cause: Option<Box<str>>,
}

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Logging in.
    Login,
    /// No request, no transaction.
    Idle,
    /// Waiting for a server connection.
    Waiting,
    /// A request is being answered.
    Active,
    /// In a transaction, or pinned; no request.
    Held,
}

impl Phase {
    /// The name used in `/status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Held => "held",
        }
    }

    const fn from_u8(n: u8) -> Self {
        match n {
            0 => Self::Login,
            1 => Self::Idle,
            2 => Self::Waiting,
            3 => Self::Active,
            _ => Self::Held,
        }
    }
}

/// A request to a session's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Signal {
    /// Cancel the running request.
    Cancel = 1,
    /// The client was idle for too long.
    Idle = 2,
    /// The client was idle in a transaction for too long.
    IdleTransaction = 4,
    /// The request takes too long.
    Query = 8,
    /// End when no transaction is open.
    Drain = 16,
    /// End now.
    Kill = 32,
    /// Something is to be told that the client has not asked for.
    News = 64,
    /// A server is not any more what sessions took it for.
    Moved = 128,
}

/// Tells a session's task that there is news.
#[derive(Debug)]
pub(super) struct Bell(pub(super) Arc<Handle>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.raise(Signal::News);
    }
}

impl Handle {
    /// A session that is logging in.
    pub fn new(id: SessionId, peer: SocketAddr, now: u32) -> Self {
        Self {
            task: OnceLock::new(),
            signals: AtomicU32::new(0),
            phase_since: AtomicU32::new(now),
            requests: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Login as u8),
            in_transaction: AtomicBool::new(false),
            id,
            peer,
            since: SystemTime::now(),
            identity: Mutex::new(None),
            pinned: Mutex::new(None),
            waker: AtomicWaker::new(),
        }
    }

    /// Raises a signal and wakes the session's task.
    pub fn raise(&self, signal: Signal) {
        self.signals.fetch_or(signal as u32, Ordering::AcqRel);
        // Either this finds who listens, or who listens finds the signal.
        fence(Ordering::SeqCst);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
        self.waker.wake();
    }

    /// Makes signals wake the task behind `waker`; to be called before they are looked at. A task that has
    /// listened before costs no more than a look at who it is: a session is one task from its login on.
    pub(super) fn listen(&self, waker: &Waker) {
        match self.task.get() {
            Some(task) if task.will_wake(waker) => {}
            None if self.task.set(waker.clone()).is_ok() => fence(Ordering::SeqCst),
            _ => self.waker.register(waker),
        }
    }

    /// True if any signal is raised.
    pub(super) fn has_signals(&self) -> bool {
        self.signals.load(Ordering::Acquire) != 0
    }

    /// Takes a signal down; true if it was raised.
    pub(super) fn take(&self, signal: Signal) -> bool {
        let bit = signal as u32;
        self.signals.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// The session enters a phase at this tick.
    pub(super) fn enter(&self, phase: Phase, now: u32) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.phase_since.store(now, Ordering::Relaxed);
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        Phase::from_u8(self.phase.load(Ordering::Relaxed))
    }

    /// Since which tick.
    pub fn phase_since(&self) -> u32 {
        self.phase_since.load(Ordering::Relaxed)
    }

    /// The client has logged in, perhaps not for the first time.
    pub(super) fn identify(&self, identity: Identity) {
        *lock(&self.identity) = Some(Arc::new(identity));
    }

    /// Who the client is, once it has logged in.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        lock(&self.identity).clone()
    }

    /// Notes the session's pins; the rest of what is shown about them is made here.
    pub(super) fn note_pins(&self, pins: Pins, cause: Option<&str>) {
        let mut pinned = lock(&self.pinned);
        if pins.is_empty() {
            *pinned = None;
            return;
        }
        let since = pinned.as_ref().map_or_else(SystemTime::now, |p| p.since);
        *pinned = Some(Box::new(Pinned {
            pins,
            since,
            cause: cause.map(Into::into),
        }));
    }

    /// Why it keeps its server connection, if it does.
    pub fn pinned(&self) -> Option<Pinned> {
        lock(&self.pinned).as_deref().cloned()
    }

    /// Notes how many requests the client has sent.
    pub(super) fn note_requests(&self, requests: u64) {
        self.requests.store(requests, Ordering::Relaxed);
    }

    /// How many requests the client has sent.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Notes whether a transaction is open.
    pub(super) fn note_transaction(&self, open: bool) {
        self.in_transaction.store(open, Ordering::Relaxed);
    }

    /// True if it keeps a server connection that does nothing, outside a transaction.
    pub fn rests_on_a_connection(&self) -> bool {
        self.phase() == Phase::Held && !self.in_transaction.load(Ordering::Relaxed)
    }

    /// The limit that applies in the present phase, with the signal it raises.
    pub(super) fn limit(&self) -> Option<(u32, Signal)> {
        let limits = lock(&self.identity).as_ref()?.limits;
        let (limit, signal) = match self.phase() {
            Phase::Idle => (limits.idle, Signal::Idle),
            Phase::Held => (limits.idle_transaction, Signal::IdleTransaction),
            Phase::Active => (limits.query, Signal::Query),
            Phase::Login | Phase::Waiting => return None,
        };
        (limit > 0).then_some((limit, signal))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
