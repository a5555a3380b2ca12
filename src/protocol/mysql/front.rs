//! One client: what it asked for, what it has prepared, and what it has half sent.

use crate::protocol::hashing::OfProcess;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::capability::Capabilities;
use super::found::Found;
use super::login::{Assurance, Challenge, Flavor, Login, Sequence};
use super::rules;
use super::settings::Settings;
use super::statements::Held;
use super::status::Status;
use super::told::Tracking;
use super::unseen::Unseen;
use super::warnings::Warnings;
use crate::model::{Fault, FaultKind, Finding, PinReason, Pins, PoolMode};
use crate::protocol::{self, Errand, FrontSettings};
use crate::sql::mysql::verdict::TableName;
use crate::sql::mysql::{Mode, Touch, Touches, Verdict};

/// Sluice's books about one client.
#[derive(Debug)]
pub struct MyFront {
    /// The session's number, which is the connection's number to the client.
    pub(super) session: u64,
    pub(super) capabilities: Capabilities,
    pub(super) flavor: Flavor,
    /// The client's address.
    pub(super) peer: IpAddr,
    pub(super) tls: bool,
    /// The collation that it logged in with, by number.
    pub(super) collation: u16,
    /// The settings that the client's statements must run under.
    pub(super) settings: Arc<Settings>,
    /// Those that it logged in with.
    pub(super) login: Arc<Settings>,
    pub(super) multi_statements: bool,
    /// What the client wants to be told about its session.
    pub(super) tracking: Tracking,
    pub(super) statements: HashMap<u32, Held, OfProcess>,
    next_statement: u32,
    /// The number of the statement that the client has prepared last, 0 if that failed.
    pub(super) last_prepared: u32,
    /// The text that is being answered, and how many of its statements have been.
    pub(super) running: Option<Running>,
    pub(super) request: Request,
    /// Sequence numbers of the login, for its last packet.
    pub(super) sequence: Arc<Sequence>,
    /// What it has been challenged with last.
    pub(super) challenge: Arc<Challenge>,
    /// What that packet assures the client of.
    pub(super) assurance: Option<Assurance>,
    /// Sequence number of the next packet to the client.
    pub(super) next_seq: u8,
    /// Status as last told to the client.
    pub(super) status: Status,
    /// That of the session after its login.
    pub(super) first_status: Status,
    pub(super) last: Last,
    pub(super) unseen: Unseen,
    pub(super) errand: Option<Errand<u64>>,
    pub(super) requests: u64,
    pub(super) policy: Arc<FrontSettings>,
    pub(super) quit: bool,
    /// The server closes the connection because the client has asked it to (`COMMIT RELEASE`).
    pub(super) released: bool,
    /// The client logs in anew.
    pub(super) starts_over: bool,
    /// The server's error about a setting that could not be replayed: the whole packet.
    pub(super) replay_failed: Option<Box<Bytes>>,
    /// The error of a statement that could not be prepared for its execution: the whole packet.
    pub(super) prepare_failed: Option<Bytes>,
    pub(super) objects: Objects,
    /// How the servers read the texts of a session that has not chosen an `sql_mode`, once one has been met.
    pub(super) usual: Option<Mode>,
    /// A statement has been sent that may change functions, views and the like.
    altered: bool,
    /// A transaction of its own is lost, and the client has not ended it yet.
    pub(super) bereft: bool,
    pins: Pins,
    /// Those from before the command at hand.
    settled_pins: Pins,
    pin_cause: Option<Box<str>>,
}

/// The part of a request that is still to come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Bytes of the current packet that go on to the server as they come.
    pub passing: usize,
    /// Bytes of the current packet that are dropped as they come.
    pub dropping: usize,
    /// The payload goes on in the next packet, with the same fate.
    pub continues: bool,
    /// That fate is to be dropped.
    pub drops: bool,
    /// A statement is being prepared for the execution that waits.
    pub preparing: bool,
}

/// A text whose statements are being answered one by one.
#[derive(Debug)]
pub struct Running {
    /// What the text does.
    pub verdict: Arc<Verdict>,
    /// How many of its statements have been carried out.
    pub done: usize,
    /// It was prepared in another schema, to which the server goes and comes back, and says that something has
    /// changed.
    pub elsewhere: bool,
}

/// What later commands may ask about the last one.
#[derive(Debug, Default)]
pub struct Last {
    /// `LAST_INSERT_ID()`.
    pub insert_id: u64,
    /// It has to be asked for: the server connection may know a newer one.
    pub insert_id_open: bool,
    /// It was being asked for when the server connection broke: nobody knows it.
    pub insert_id_lost: bool,
    /// `ROW_COUNT()`.
    pub row_count: i64,
    /// `FOUND_ROWS()`.
    pub found: Found,
    /// What `SHOW WARNINGS` shows.
    pub warnings: Warnings,
    /// The error by which Sluice itself has answered, which no server connection knows.
    pub raised: Option<Box<Raised>>,
    /// The server connection that the last command went to, by Sluice's number.
    pub connection: u64,
    /// Sluice has asked the server connection something since.
    pub interrupted: bool,
    /// The server connection does not know this id: if it knows any, it is a newer one, or what
    /// [another client has left](super::back::MyBack::id_left).
    pub id_elsewhere: bool,
    /// The client has asked what nobody knew any more, and may do so again: it keeps its server
    /// connection from one command to the next.
    pub asks: bool,
}

/// An error of Sluice's own.
#[derive(Debug)]
pub struct Raised {
    /// The error's number.
    pub code: u16,
    /// Its SQLSTATE.
    pub state: Box<str>,
    /// Its message.
    pub text: Box<str>,
}

/// Things on the server connection that later statements can take away again.
#[derive(Debug, Default)]
pub struct Objects {
    pub(super) temp_tables: HashSet<TableName>,
    pub(super) temp_unclear: bool,
    pub(super) handlers: HashSet<Box<str>>,
    pub(super) handler_unclear: bool,
    pub(super) prepared: HashSet<Box<str>>,
    pub(super) prepared_unclear: bool,
    /// Named locks, and how often they may be held at most.
    pub(super) locks: HashMap<Box<[u8]>, u64>,
    /// Named locks by names that the text does not give.
    pub(super) lock_unclear: bool,
    /// Locks of the locking service or of version tokens.
    pub(super) service_lock: bool,
    /// Modes are set for the next transaction alone.
    pub(super) next_transaction: bool,
    /// Savepoints of a transaction that no statement has begun yet, which the server does not tell of.
    pub(super) savepoints: Savepoints,
}

/// Savepoints without autocommit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Savepoints {
    /// None but in a transaction that the server tells of.
    #[default]
    None,
    /// Some, and the server tells of no transaction yet.
    Early,
    /// These, in a transaction that it tells of.
    Within,
}

impl MyFront {
    /// The books of a client that has logged in; `database` is the name that the server knows.
    pub fn new(login: &Login, database: &str, policy: Arc<FrontSettings>) -> Self {
        let settings = Settings::login(login.flavor, login.collation, login.capabilities, database);
        let mut pins = Pins::NONE;
        if policy.pool_mode == PoolMode::Session {
            pins.insert(PinReason::SessionMode);
        }
        Self {
            session: 0,
            capabilities: login.capabilities,
            flavor: login.flavor,
            peer: login.peer,
            tls: login.tls,
            collation: login.collation,
            login: Arc::clone(&settings),
            settings,
            multi_statements: login.capabilities.has(Capabilities::MULTI_STATEMENTS),
            tracking: Tracking::default(),
            statements: HashMap::default(),
            next_statement: 0,
            last_prepared: 0,
            running: None,
            request: Request::default(),
            sequence: Arc::clone(&login.sequence),
            challenge: Arc::clone(&login.challenge),
            assurance: Some(Arc::clone(&login.assurance)),
            next_seq: 0,
            status: Status::AUTOCOMMIT,
            first_status: Status::AUTOCOMMIT,
            last: Last {
                found: login.found,
                ..Last::default()
            },
            unseen: Unseen::default(),
            errand: None,
            requests: 0,
            policy,
            quit: false,
            released: false,
            starts_over: false,
            replay_failed: None,
            prepare_failed: None,
            objects: Objects::default(),
            usual: None,
            altered: false,
            bereft: false,
            pins,
            settled_pins: pins,
            pin_cause: None,
        }
    }

    /// In session mode the connection is the client's own.
    pub(super) fn owns_connection(&self) -> bool {
        self.policy.pool_mode == PoolMode::Session
    }

    /// Takes a statement up under a number of its own.
    pub(super) fn hold(&mut self, held: Held) -> u32 {
        // Four thousand million statements later the first are long closed.
        loop {
            self.next_statement = self.next_statement.wrapping_add(1);
            if self.next_statement != 0 && !self.statements.contains_key(&self.next_statement) {
                break;
            }
        }
        self.statements.insert(self.next_statement, held);
        self.last_prepared = self.next_statement;
        self.next_statement
    }

    /// Notes what a text about to be executed does.
    pub(super) fn affect(&mut self, verdict: &Verdict, cause: impl FnOnce() -> String) {
        self.altered |= verdict.touches.intersects(ALTERS);
        let share = self.policy.pins.verify;
        self.unseen.heed(verdict.touches, share, self.session);
        let before = self.pins;
        self.pin_for(verdict.touches);
        if self.pins != before {
            self.pin_cause = Some(cause().into());
        }
    }

    /// Pins for what these leave on a server connection.
    pub(super) fn pin_for(&mut self, touches: Touches) {
        for reason in rules::pins(touches).since(self.pins).iter() {
            self.pins.insert(reason);
        }
    }

    /// Pins for a reason that lies in the protocol rather than in a text.
    pub(super) fn pin(&mut self, reason: PinReason) {
        self.pins.insert(reason);
    }

    /// The state that a reason stands for is gone.
    pub(super) fn unpin(&mut self, reason: PinReason) {
        self.pins.remove(reason);
        self.settled_pins.remove(reason);
    }

    pub(super) fn is_pinned(&self) -> bool {
        !protocol::Front::pins(self).is_empty()
    }

    /// True if something is on the server connection for which the configuration does not let the
    /// client keep it.
    pub(super) fn holds_filtered(&self) -> bool {
        self.pins != protocol::Front::pins(self)
    }

    /// What the configuration does not let the client keep has gone with its last server
    /// connection.
    pub(super) fn lose_filtered(&mut self) {
        self.pins = protocol::Front::pins(self);
        self.settled_pins = self.settled_pins.since(self.policy.pins.filtered);
    }

    /// Pins without that of the pool mode: what lies on the server connection.
    pub(super) fn is_pinned_for(&self, reason: PinReason) -> bool {
        self.pins.contains(reason)
    }

    /// See [`Engine::renounce`](protocol::Engine::renounce).
    pub(super) fn renounce(&mut self) {
        self.unseen = Unseen::default();
        self.objects = Objects::default();
        self.pins = Pins::NONE;
        self.settled_pins = Pins::NONE;
        self.pin_cause = None;
    }

    /// A new command begins.
    pub(super) fn begin(&mut self) {
        self.settled_pins = self.pins;
        self.requests += 1;
    }

    /// What the last command has left to be asked about is gone with this one.
    pub(super) fn forget_last(&mut self) {
        self.last.warnings.clear();
        self.last.raised = None;
        self.unpin(PinReason::Diagnostics);
    }

    /// The command is answered by an error of Sluice's own.
    pub(super) fn raise(&mut self, code: u16, state: &str, text: &str) {
        self.last.row_count = -1;
        self.last.interrupted = true;
        self.last.warnings.clear();
        self.last.raised = Some(Box::new(Raised {
            code,
            state: state.into(),
            text: text.into(),
        }));
    }

    /// The command's only statement has failed: it has left nothing behind.
    pub(super) fn forgive(&mut self, reasons: &[PinReason]) {
        for reason in reasons {
            if !self.settled_pins.contains(*reason) {
                self.pins.remove(*reason);
            }
        }
    }

    /// The session is as after its login (`COM_RESET_CONNECTION`).
    pub(super) fn reset(&mut self) {
        self.settings = self.login.with_schema(self.settings.schema());
        self.statements.clear();
        self.running = None;
        self.bereft = false;
        self.status = self.first_status;
        // Servers go on with the number of rows counted last.
        self.last = Last {
            found: self.last.found,
            connection: self.last.connection,
            ..Last::default()
        };
        self.unseen = Unseen::default();
        self.objects = Objects::default();
        self.tracking = Tracking::default();
        let mut pins = Pins::NONE;
        if self.owns_connection() {
            pins.insert(PinReason::SessionMode);
        }
        for reason in NOT_UNDONE_BY_RESET {
            if self.pins.contains(reason) {
                pins.insert(reason);
            }
        }
        self.pins = pins;
        self.settled_pins = pins;
    }
}

impl protocol::Front for MyFront {
    fn pins(&self) -> Pins {
        self.pins.since(self.policy.pins.filtered)
    }

    fn pin_cause(&self) -> Option<&str> {
        self.pin_cause.as_deref()
    }

    // What the server's trackers find is a reason like any other.
    fn news(&mut self, _: &mut Vec<u8>) -> Result<(), Fault> {
        Ok(())
    }

    fn finding(&mut self) -> Option<Finding> {
        None
    }

    fn mid_request(&self) -> bool {
        self.request.passing > 0
            || self.request.preparing
            || (self.request.continues && !self.request.drops)
    }

    fn profile(&self) -> u64 {
        self.settings.id()
    }

    fn requests(&self) -> u64 {
        self.requests
    }

    fn outlives_reset(&self) -> bool {
        NOT_UNDONE_BY_RESET
            .into_iter()
            .any(|reason| self.pins.contains(reason))
    }

    fn starts_over(&self) -> bool {
        self.starts_over
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

/// What may change functions and views.
const ALTERS: Touches = Touches::of(Touch::SchemaObjects)
    .with(Touch::DropDatabase)
    .with(Touch::Unknown);

/// What `COM_RESET_CONNECTION` does not promise to undo (MySQL Reference Manual, "Resetting the
/// Connection State").
const NOT_UNDONE_BY_RESET: [PinReason; 3] = [
    PinReason::Role,
    PinReason::Unclassified,
    PinReason::ProtocolDoubt,
];
