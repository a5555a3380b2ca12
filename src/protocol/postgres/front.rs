//! One client: what it asked for, what it has prepared, what it knows, and what it has half sent.

use crate::protocol::hashing::OfProcess;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use bytes::Bytes;

use crate::model::{Fault, FaultKind, Finding, PinReason, Pins, PoolMode};
use crate::protocol::{self, FrontSettings};
use crate::sql::statement::Verdict;

use super::bereft::Loss;
use super::by_name::Own;
use super::inspect::{Inspection, offenders};
use super::listen::{Board, Listener};
use super::reported::Reported;
use super::rules::Effects;
use super::sequence::{Population, Stay};
use super::settings::Settings;
use super::statements::{ELSEWHERE, NAME_PREFIX, Named, ServerStatements, Statement, StatementKey};
use super::track::Tracked;
use super::{message, rename};

/// Sluice's books about one client.
// In this order: what each request touches comes first, on five cache lines where this begins with one. Of thousands
// of clients none finds its books in the processor's caches.
#[derive(Debug)]
#[repr(C)]
pub struct PgFront {
    pub(super) policy: Arc<FrontSettings>,
    /// What it needs to listen over the shared connection, where that is wanted.
    pub(super) listener: Option<Listener>,
    /// The reported settings that it has been told.
    pub(super) reported: Arc<Reported>,
    /// Bytes of the current message that go on to the server as they come.
    pub(super) passing: usize,
    /// Bytes of the current message that are dropped as they come.
    pub(super) dropping: usize,
    pub(super) requests: u64,
    /// The Query of so many bytes at the front of the next input has been seen to be a plain read
    /// ([`Plain::Read`](crate::sql::skeleton::Plain::Read)) when it was asked what it demands; 0: nothing has.
    pub(super) foreseen: u32,
    pub(super) pins: Pins,
    /// Those from before the batch of requests at hand.
    settled_pins: Pins,
    /// What may advance a sequence has been sent, and not everything has been answered since.
    pub(super) advancing: bool,
    /// A request has been answered with an error of ours: it is dropped up to its Sync.
    pub(super) declined: bool,
    pub(super) quit: bool,
    /// Something under way may change settings that plans depend on.
    pub(super) changing: bool,
    /// A server has accepted the settings asked for at startup.
    pub(super) confirmed: bool,
    /// A statement of the batch has been carried out.
    pub(super) ran: bool,
    /// State whose reason to pin is filtered may be left behind.
    pub(super) untidy: bool,
    /// A statement has been sent that may change functions, views and the like.
    altered: bool,
    /// Requests wait until everything sent is answered: see [`Barrier`].
    pub(super) barrier: Barrier,
    /// A transaction of its own is lost, and the client has not ended it yet.
    pub(super) loss: Loss,
    /// Identifies what those settings are meanwhile; 0 if nobody has asked.
    pub(super) flux: u64,
    /// The server's error about a setting that could not be replayed.
    pub(super) replay_failed: Option<Box<Bytes>>,
    /// The settings that the client's statements must run under.
    pub(super) settings: Tracked,
    /// Open portals whose statements change what is known of the session.
    pub(super) portals: HashMap<Box<[u8]>, Arc<Verdict>, OfProcess>,
    pub(super) inspection: Inspection,
    pub(super) named: HashMap<Box<[u8]>, Named, OfProcess>,
    pub(super) unnamed: Unnamed,
    /// Statements prepared by SQL.
    pub(super) sql: Own,
    /// The statement that a portal was last bound to, if it has a name.
    pub(super) last_bound: LastBound,
    /// What it was told of them at login, under its startup options.
    pub(super) greeted: Arc<Reported>,
    /// Clients of the same user and database.
    pub(super) population: Population,
    /// Tells clients apart.
    pub(super) id: u64,
    /// The last in which it advanced a sequence.
    pub(super) stay: Stay,
    /// Unnamed statements so far.
    generations: u64,
    pub(super) pin_cause: Option<Box<str>>,
}

/// DISCARD ALL and DEALLOCATE take effect in the books when they complete. What the client has
/// sent behind them must not be in the books before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barrier {
    /// No such request is under way.
    None,
    /// One is, and ends with the Sync to come.
    AtSync,
    /// One is.
    Up,
}

/// The client's unnamed statement.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Unnamed {
    /// Parse message after the name; empty if there is none.
    pub(super) body: Vec<u8>,
    /// Another one with every Parse.
    pub(super) generation: u64,
    pub(super) effects: Effects,
}

/// Which statement the last portal runs.
#[derive(Debug, Default)]
pub(super) struct LastBound {
    /// It is the unnamed one.
    pub(super) unnamed: bool,
    pub(super) key: Option<StatementKey>,
    /// Kept from Bind to Bind, so that nothing is allocated.
    pub(super) name: Vec<u8>,
}

impl PgFront {
    /// The client is one of these.
    #[must_use]
    pub(super) fn among(mut self, population: Population) -> Self {
        self.population = population;
        self
    }

    /// The session remembers no value of a sequence.
    pub(super) fn sequences_gone(&mut self) {
        self.stay = 0;
        self.pins.remove(PinReason::Sequence);
    }

    /// The named statement of the protocol that the client calls so.
    pub(super) fn statement(&self, name: &[u8]) -> Option<Arc<Statement>> {
        let named = self.named.get(name)?;
        Some(Arc::clone(&named.statement))
    }

    /// The books of a client that has logged in and asked for these settings.
    pub fn new(settings: Arc<Settings>, policy: Arc<FrontSettings>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut pins = Pins::NONE;
        if policy.pool_mode == PoolMode::Session {
            pins.insert(PinReason::SessionMode);
        }
        let confirmed = Settings::same(&settings, &Settings::none());
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            settings: Tracked::new(settings),
            reported: Reported::none(),
            greeted: Reported::none(),
            named: HashMap::default(),
            population: Population::default(),
            stay: 0,
            advancing: false,
            sql: Own::default(),
            unnamed: Unnamed::default(),
            generations: 0,
            last_bound: LastBound::default(),
            portals: HashMap::default(),
            passing: 0,
            foreseen: 0,
            dropping: 0,
            declined: false,
            barrier: Barrier::None,
            requests: 0,
            policy,
            quit: false,
            changing: false,
            flux: 0,
            confirmed,
            replay_failed: None,
            loss: Loss::None,
            pins,
            settled_pins: pins,
            ran: false,
            pin_cause: None,
            inspection: Inspection::default(),
            listener: None,
            untidy: false,
            altered: false,
        }
    }

    /// The batch that has been passed on is to be passed on once more.
    pub(super) fn forget_batch(&mut self) {
        self.barrier = Barrier::None;
        self.settings.idle();
        self.settle();
    }

    /// The client has no unnamed statement any more. Keeps a small buffer, since the next Parse
    /// comes soon.
    pub(super) fn clear_unnamed(&mut self) {
        let mut body = std::mem::take(&mut self.unnamed.body);
        body.clear();
        if body.capacity() > KEEP_UNNAMED {
            body = Vec::new();
        }
        self.renew_unnamed(body);
    }

    /// The same; returns the one that there was.
    pub(super) fn take_unnamed(&mut self) -> Unnamed {
        self.renew_unnamed(Vec::new())
    }

    fn renew_unnamed(&mut self, body: Vec<u8>) -> Unnamed {
        self.generations += 1;
        let next = Unnamed {
            body,
            generation: self.generations,
            effects: Effects::default(),
        };
        std::mem::replace(&mut self.unnamed, next)
    }

    /// In session mode the connection is the client's own, and so are the names on it.
    pub(super) fn keeps_names(&self) -> bool {
        self.policy.pool_mode == PoolMode::Session
    }

    /// The client has as many prepared statements as it may take along.
    pub(super) fn holds_most(&self) -> bool {
        self.named.len() + self.sql.len() >= self.policy.max_client_statements
    }

    /// Notes what a text about to be executed does.
    pub(super) fn affect(&mut self, effects: &Effects, cause: impl FnOnce() -> String) {
        self.altered |= effects.alters;
        let policy = self.policy.pins;
        let mut drawn = self.inspection.draws(&policy, self.id, effects.may_call);
        let mut cause = Cause::Later(cause);
        if !drawn && effects.may_call && offenders::any() {
            drawn = offenders::contains(cause.text());
        }
        if effects.pins.is_empty() && !drawn {
            if effects.gives_up && !self.pins.is_empty() {
                self.inspection.given_up();
            }
            return;
        }
        let is_new = self.hold(effects.pins);
        if !is_new && !drawn {
            return;
        }
        let cause: Box<str> = cause.text().into();
        if drawn {
            self.inspection.suspect(Some(cause.clone()));
        }
        if is_new {
            self.pin_cause = Some(cause);
        }
    }

    /// See [`Engine::tune`](crate::protocol::Engine::tune).
    pub(super) fn tune(&mut self, board: Arc<Board>, user: Arc<str>, bell: Waker) {
        if self.policy.pins.share_feeds && !self.keeps_names() {
            self.listener = Some(Listener::new(board, user, bell));
        }
    }

    /// Pins for these reasons, if they are not filtered.
    pub(super) fn affect_for(&mut self, pins: Pins, cause: impl FnOnce() -> String) {
        if !pins.is_empty() && self.hold(pins) {
            self.pin_cause = Some(cause().into());
        }
    }

    /// Takes up reasons to pin; true if some are new.
    fn hold(&mut self, reasons: Pins) -> bool {
        let filtered = self.policy.pins.filtered;
        let pins = reasons.since(filtered);
        // What others have left of sequences is discarded when it matters.
        let untidy = reasons.common(filtered);
        self.untidy |= !untidy.since(Pins::of(&[PinReason::Sequence])).is_empty();
        self.inspection.heed(pins);
        let is_new = !pins.since(self.pins).is_empty();
        self.pins = self.pins.union(pins);
        is_new
    }

    /// The server has said what pins.
    pub(super) fn set_pins(&mut self, pins: Pins) {
        self.pins = pins;
        self.settled_pins = pins;
        if pins.is_empty() {
            self.pin_cause = None;
        }
    }

    /// See [`Engine::renounce`](crate::protocol::Engine::renounce).
    pub(super) fn renounce(&mut self) {
        self.inspection.calm();
        self.set_pins(Pins::NONE);
    }

    /// Everything sent has been answered.
    pub(super) fn settle(&mut self) {
        self.settled_pins = self.pins;
        self.advancing = false;
        self.ran = false;
        self.changing = false;
        self.flux = 0;
    }

    /// The batch at hand has done nothing.
    pub(super) fn forgive(&mut self) {
        if !self.ran {
            self.pins = self.settled_pins;
        }
    }

    /// Pins for a reason that lies in the protocol rather than in a text.
    pub(super) fn pin(&mut self, reason: PinReason) {
        self.pins.insert(reason);
    }

    /// The client's named statements exist no more.
    pub(super) fn statements_gone(&mut self) {
        self.named.clear();
        self.sql.clear();
        self.pins.remove(PinReason::SqlPrepare);
    }

    /// The client has run DISCARD ALL: what it undoes, a direct connection would have lost too
    /// (PostgreSQL documentation, DISCARD).
    pub(super) fn discarded(&mut self) {
        self.settings.discard();
        self.statements_gone();
        self.sequences_gone();
        for reason in UNDONE_BY_DISCARD {
            self.pins.remove(reason);
        }
    }

    /// Writes the reported settings that the client does not know yet.
    pub(super) fn learn(&mut self, news: &Arc<Reported>, out: &mut Vec<u8>) {
        if Reported::same(&self.reported, news) {
            return;
        }
        for (name, value) in news.news_to(&self.reported) {
            // To a client of several servers it says nothing.
            if self.policy.splits && name == "in_hot_standby" {
                continue;
            }
            message::parameter_status(out, name, value);
        }
        self.reported = Arc::clone(news);
    }

    /// True if a RESET has returned this reported setting to a startup option of the client's,
    /// which the server connection does not know as such: what it reports is not what holds.
    pub(super) fn is_back_at_startup(&self, name: &str) -> bool {
        let settings = &self.settings;
        if Arc::ptr_eq(settings.wanted(), settings.actual()) {
            return false;
        }
        let name = name.to_ascii_lowercase();
        let startup = settings.startup().value(&name);
        startup.is_some()
            && settings.wanted().value(&name) == startup
            && settings.actual().value(&name) != startup
    }

    /// Writes which settings a RESET has returned to startup options, as the login reported them.
    pub(super) fn learn_startup(&mut self, out: &mut Vec<u8>) {
        if Arc::ptr_eq(self.settings.wanted(), self.settings.actual()) {
            return;
        }
        let greeted = Arc::clone(&self.greeted);
        for (name, value) in greeted.news_to(&Arc::clone(&self.reported)) {
            if self.is_back_at_startup(name) {
                message::parameter_status(out, name, value);
                self.reported = self.reported.with(name, value);
            }
        }
    }

    /// An ErrorResponse in which Sluice's names of statements are replaced by the client's, if it
    /// holds any. `taken`: the one it is about, where that is known.
    pub(super) fn with_own_names(
        &self,
        whole: &[u8],
        taken: Option<&[u8]>,
        statements: &ServerStatements,
    ) -> Option<Vec<u8>> {
        let start = memchr::memmem::find(whole, NAME_PREFIX)?;
        if whole.get(..start)?.ends_with(ELSEWHERE) {
            // The client's own name, which looks like one of ours.
            let kept_away = [ELSEWHERE, NAME_PREFIX].concat();
            return rename::replaced(whole, &kept_away, NAME_PREFIX);
        }
        let rest = whole.get(start..)?;
        let digits = rest
            .get(NAME_PREFIX.len()..)?
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let name = rest.get(..NAME_PREFIX.len() + digits)?;
        if let Some(own) = taken {
            return rename::replaced(whole, name, own);
        }
        let id = statements.statement_of(name)?;
        let (own, _) = self.named.iter().find(|(_, n)| n.statement.id == id)?;
        rename::replaced(whole, name, own)
    }
}

impl protocol::Front for PgFront {
    fn pins(&self) -> Pins {
        self.pins
    }

    fn pin_cause(&self) -> Option<&str> {
        self.pin_cause.as_deref()
    }

    fn finding(&mut self) -> Option<Finding> {
        self.inspection.finding()
    }

    fn news(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match &self.listener {
            Some(listener) => listener.news(out),
            None => Ok(()),
        }
    }

    fn mid_request(&self) -> bool {
        self.passing > 0
    }

    fn profile(&self) -> u64 {
        self.settings.wanted().id()
    }

    fn requests(&self) -> u64 {
        self.requests
    }

    fn outlives_reset(&self) -> bool {
        NOT_UNDONE_BY_DISCARD
            .into_iter()
            .any(|reason| self.pins.contains(reason))
    }

    fn starts_over(&self) -> bool {
        false
    }

    fn has_quit(&self) -> bool {
        self.quit
    }

    fn altered(&mut self) -> bool {
        std::mem::take(&mut self.altered)
    }

    fn failure(&mut self) -> Option<Fault> {
        self.replay_failed
            .take()
            .map(|wire| Fault::verbatim(FaultKind::ServerLost, *wire))
    }
}

/// A statement's text without its literals, worked out when it is first needed.
enum Cause<F: FnOnce() -> String> {
    Later(F),
    Known(String),
    /// Only while it is worked out.
    Nothing,
}

impl<F: FnOnce() -> String> Cause<F> {
    fn text(&mut self) -> &str {
        if let Self::Later(_) = self
            && let Self::Later(work) = std::mem::replace(self, Self::Nothing)
        {
            *self = Self::Known(work());
        }
        match self {
            Self::Known(text) => text,
            Self::Later(_) | Self::Nothing => "",
        }
    }
}

/// An unnamed statement's buffer above this many bytes is given back when it is cleared.
const KEEP_UNNAMED: usize = 4096;

/// The reasons that `DISCARD ALL` removes.
const UNDONE_BY_DISCARD: [PinReason; 11] = [
    PinReason::Setting,
    PinReason::Role,
    PinReason::TempObject,
    PinReason::HeldCursor,
    PinReason::Listen,
    PinReason::AdvisoryLock,
    PinReason::Sequence,
    PinReason::SqlPrepare,
    PinReason::CodeBlock,
    PinReason::Unclassified,
    PinReason::OversizedStatement,
];

/// The reasons that it does not.
const NOT_UNDONE_BY_DISCARD: [PinReason; 4] = [
    PinReason::Load,
    PinReason::ExternalConnection,
    PinReason::RandomSeed,
    PinReason::ProtocolDoubt,
];
