//! One server connection: what it owes, and the state it holds.
//!
//! [`super::reply`] reads what the server sends, [`super::request`] what the client sends; both
//! keep their books here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Progress, TxStatus};
use crate::protocol::{self, Breach, Chore, Refusal, ServerError, Table};
use crate::sql::mysql::Mode;

use super::capability::Capabilities;
use super::chore;
use super::command;
use super::connect::Connected;
use super::grammar::Stage;
use super::login::{Announcement, Flavor};
use super::owed::{Debts, Fate, Owed};
use super::reply;
use super::settings::Settings;
use super::statements::ServerStatements;
use super::status::Status;
use super::unseen::Leftovers;

/// Sluice's books about one server connection.
#[derive(Debug)]
pub struct MyBack {
    pub(super) debts: Debts,
    /// The rest of a server packet that is under way.
    pub(super) body: Body,
    /// As last reported.
    pub(super) status: Status,
    /// An error has been reported, which tells nothing about the transaction.
    pub(super) status_unknown: bool,
    /// The client has switched session tracking itself: Sluice's own has to be switched on again.
    pub(super) untracked: bool,
    /// It has been reset by its client: the character sets are the server's own.
    pub(super) unnamed: bool,
    /// Sequence number of the next packet of a file that the server reads.
    pub(super) file_seq: u8,
    pub(super) closing: bool,
    /// It has said that it is read-only.
    pub(super) refused_write: bool,
    /// The server does not tell this user which user variables the connection holds.
    pub(super) blind: bool,
    /// Code of users has run, and nobody tells what it has left.
    pub(super) suspect: bool,
    /// A statement has left warnings or an error there, which later commands that are no statements do not take away,
    /// and on MariaDB not even all that are.
    pub(super) warned: bool,
    /// Sluice itself has had it run something between clients, which may have counted rows.
    pub(super) recounted: bool,
    /// What it may hold of others than its holder.
    pub(super) leftovers: Leftovers,
    /// Unique in this process.
    pub(super) number: u64,
    /// The session that has used it last.
    pub(super) holder: u64,
    /// Modes are set for the next transaction, or the one that is open.
    pub(super) modes: bool,
    /// It knows an id for `LAST_INSERT_ID()` that it was given for its holder.
    pub(super) id_left: bool,
    pub(super) dirty: bool,
    /// The settings in force, if every replay sent so far succeeds.
    pub(super) settings: Arc<Settings>,
    /// As after the login.
    pub(super) fresh: Arc<Settings>,
    pub(super) multi_statements: bool,
    pub(super) statements: ServerStatements,
    pub(super) chore: ChoreResult,
    /// Why it has refused a request of the client's that another server may answer.
    pub(super) refusal: Option<Refusal>,
    /// What was agreed on at login.
    pub(super) capabilities: Capabilities,
    pub(super) announcement: Arc<Announcement>,
    /// How the server reads the texts of a session that has not chosen an `sql_mode`.
    pub(super) usual: Mode,
    pid: u32,
}

/// The rest of a server packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Body {
    /// Bytes still to come.
    pub left: usize,
    /// They are for the client.
    pub pass: bool,
    /// The payload goes on in the next packet.
    pub continues: bool,
}

/// What came of the last chore.
#[derive(Debug, Default)]
pub struct ChoreResult {
    pub(super) error: Option<ServerError>,
    pub(super) value: Option<Vec<u8>>,
    /// Which value of the first row is wanted.
    pub(super) column: usize,
    /// All rows are wanted, not one value.
    pub(super) tabular: bool,
    pub(super) table: Table,
}

impl MyBack {
    /// A connection whose login is complete and whose server is ready for a command.
    pub fn new(login: Connected) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let fresh = Settings::fresh(login.announcement.flavor);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            debts: Debts::default(),
            body: Body::default(),
            status: login.status,
            status_unknown: false,
            untracked: false,
            unnamed: false,
            file_seq: 0,
            closing: false,
            refused_write: false,
            blind: false,
            suspect: false,
            warned: false,
            recounted: false,
            leftovers: Leftovers::default(),
            holder: 0,
            modes: false,
            id_left: false,
            dirty: false,
            settings: Arc::clone(&fresh),
            fresh,
            multi_statements: login.capabilities.has(Capabilities::MULTI_STATEMENTS),
            statements: ServerStatements::default(),
            chore: ChoreResult::default(),
            refusal: None,
            capabilities: login.capabilities,
            announcement: login.announcement,
            usual: login.usual,
            pid: login.pid,
        }
    }

    /// Which kind of server it is.
    pub(super) fn flavor(&self) -> Flavor {
        self.announcement.flavor
    }

    /// True if every command sent has been answered.
    pub(super) fn is_quiet(&self) -> bool {
        self.debts.is_empty() && self.body.left == 0 && !self.body.continues
    }

    /// True if no reply is under way but to settings that are replayed, and none has begun.
    pub(super) fn owes_replays_only(&self) -> bool {
        let mut owed = self.debts.iter();
        self.body.left == 0
            && !self.body.continues
            && owed.all(|owed| matches!(owed.fate, Fate::Replay | Fate::Raise))
    }

    /// True while the server reads a file of the client's.
    pub(super) fn reads_file(&self) -> bool {
        self.debts
            .front()
            .is_some_and(|owed| owed.stage == Stage::File && owed.is_clients())
    }

    /// Notes a command that has been sent.
    pub(super) fn owe(&mut self, owed: Owed) {
        self.debts.push_back(owed);
    }

    /// The server has returned to its state after login, but for what follows in the same write.
    pub(super) fn discarded(&mut self) {
        // Whether a text may hold several statements survives it.
        self.statements.clear();
        self.suspect = false;
        self.leftovers = Leftovers::default();
        self.id_left = false;
        self.modes = false;
    }
}

impl protocol::Back for MyBack {
    type Greeting = Status;

    fn progress(&self) -> Progress {
        Progress {
            settled: self.is_quiet() && !self.status_unknown && !self.untracked,
            tx: if self.status.has(Status::IN_TRANS) {
                TxStatus::Open
            } else {
                TxStatus::Idle
            },
            closing: self.closing,
        }
    }

    fn has_refused_write(&mut self) -> bool {
        std::mem::take(&mut self.refused_write)
    }

    fn is_dirty(&self) -> bool {
        self.dirty
    }

    fn has_settings(&self) -> bool {
        !Settings::same(&self.settings, &self.fresh)
    }

    fn soil(&mut self) {
        self.dirty = true;
    }

    fn greeting(&self) -> Status {
        self.status
    }

    fn request(&mut self, chore: Chore<'_>, out: &mut Vec<u8>) {
        chore::request(self, chore, out);
    }

    fn absorb(&mut self, input: &[u8]) -> Result<usize, Breach> {
        let dealt = reply::read(self, None, input)?;
        if self.is_quiet() {
            // No client's command is looked at here; a chore that fails leaves no transaction.
            self.status_unknown = false;
        }
        Ok(dealt)
    }

    fn farewell(&self, out: &mut Vec<u8>) {
        chore::put_command(out, command::QUIT, &[]);
    }

    fn refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    fn chore_error(&self) -> Option<&ServerError> {
        self.chore.error.as_ref()
    }

    fn chore_value(&self) -> Option<&[u8]> {
        self.chore.value.as_deref()
    }

    fn chore_table(&self) -> &Table {
        &self.chore.table
    }

    fn server_pid(&self) -> u32 {
        self.pid
    }
}
