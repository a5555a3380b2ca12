//! One server connection: what it owes, and the state it holds.
//!
//! [`super::reply`] reads what the server sends, [`super::request`] what the client sends; both
//! keep their books here.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{Progress, TxStatus};
use crate::protocol::{self, Breach, Chore, Refusal, ServerError, Table};

use super::again::Again;
use super::by_name::Names;
use super::front::PgFront;
use super::owed::{Debts, Fate, Owed};
use super::rename;
use super::replay;
use super::reply;
use super::reported::Reported;
use super::sequence::Remembered;
use super::settings::Settings;
use super::statements::ServerStatements;

/// Sluice's books about one server connection.
#[derive(Debug)]
pub struct PgBack {
    pub(super) debts: Debts,
    pub(super) tx: TxStatus,
    /// Extended-protocol messages went out since the last Sync: an implicit transaction may be
    /// open although the last ReadyForQuery said idle.
    pub(super) unsynced: bool,
    /// Something that ends a transaction went out since the last ReadyForQuery.
    pub(super) ends: bool,
    /// After an error, the server ignores everything up to a Sync that has not been sent yet.
    pub(super) skipping: bool,
    pub(super) copy: CopyIn,
    /// The exchange took a turn after which replies cannot be assigned with certainty.
    pub(super) doubt: bool,
    /// The rest of a server message that is under way.
    pub(super) body: Body,
    pub(super) closing: bool,
    /// It ends because the client has broken the protocol.
    pub(super) offended: bool,
    /// It has said that it is read-only.
    pub(super) refused_write: bool,
    pub(super) dirty: bool,
    /// The settings in force, if every replay sent so far succeeds.
    pub(super) settings: Arc<Settings>,
    /// Settings that this server has accepted as a whole.
    pub(super) accepted: Accepted,
    pub(super) reported: Arc<Reported>,
    pub(super) statements: ServerStatements,
    /// What it has prepared under names that clients have given.
    pub(super) names: Names,
    /// What it remembers of sequences.
    pub(super) remembered: Remembered,
    /// The batch at hand, should the server refuse a statement that it names.
    pub(super) again: Again,
    /// A ParameterDescription that waits for the rest of its answer.
    pub(super) held: Vec<u8>,
    /// An error that a direct connection would have reported instead of the next one.
    pub(super) instead: Option<Bytes>,
    /// Whose unnamed statement the server has: client and generation, or [`UNKNOWN`]; `None` if
    /// nobody's.
    pub(super) unnamed: Option<(u64, u64)>,
    pub(super) chore: ChoreResult,
    /// Why it has refused a request of the client's that another server may answer.
    pub(super) refusal: Option<Refusal>,
    /// Names of settings that functions of the database mention, once they have been asked for.
    pub(super) customs: Option<Vec<Box<str>>>,
    /// What was reported and set when nothing was under way last.
    pub(super) quiet: Quiet,
    pid: u32,
    cancel_key: Bytes,
    tls: bool,
}

/// The server may have anybody's unnamed statement: clients and generations count from 1.
pub(super) const UNKNOWN: Option<(u64, u64)> = Some((0, 0));

/// What the server may report without anybody having set it.
const REPORTED_BY_ITSELF: [&str; 1] = ["in_hot_standby"];

/// Whether the server reads COPY data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyIn {
    /// No.
    None,
    /// Yes, and the client has not ended it: Sync and Flush are ignored by the server.
    Reading,
    /// Yes, but the client has sent CopyDone or CopyFail.
    Ended,
}

/// A connection between two requests.
#[derive(Debug)]
pub(super) struct Quiet {
    reported: Arc<Reported>,
    settings: Arc<Settings>,
}

/// The rest of a server message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Body {
    /// Bytes still to come.
    pub left: usize,
    /// They are for the client.
    pub pass: bool,
}

/// A few settings that the server has accepted, by [`Settings::id`].
#[derive(Debug, Default)]
pub struct Accepted {
    ids: [u64; 8],
    next: usize,
}

impl Accepted {
    /// True if these have been accepted lately.
    pub(super) fn contains(&self, settings: &Settings) -> bool {
        self.ids.contains(&settings.id())
    }

    /// These have been accepted.
    pub(super) fn note(&mut self, settings: &Settings) {
        if self.contains(settings) {
            return;
        }
        if let Some(slot) = self.ids.get_mut(self.next % 8) {
            *slot = settings.id();
        }
        self.next = self.next.wrapping_add(1);
    }
}

/// What came of the last chore.
#[derive(Debug, Default)]
pub struct ChoreResult {
    pub(super) error: Option<ServerError>,
    pub(super) value: Option<Vec<u8>>,
    /// All rows are wanted, not one value.
    pub(super) tabular: bool,
    pub(super) table: Table,
}

impl PgBack {
    /// A connection whose login is complete and whose server is ready for a query.
    pub fn new(login: LoggedIn) -> Self {
        Self {
            debts: Debts::default(),
            tx: TxStatus::Idle,
            unsynced: false,
            ends: false,
            skipping: false,
            copy: CopyIn::None,
            doubt: false,
            body: Body::default(),
            closing: false,
            offended: false,
            refused_write: false,
            dirty: false,
            settings: Settings::none(),
            accepted: Accepted::default(),
            quiet: Quiet {
                reported: Arc::clone(&login.reported),
                settings: Settings::none(),
            },
            customs: None,
            reported: login.reported,
            statements: ServerStatements::default(),
            names: Names::default(),
            remembered: Remembered::default(),
            again: Again::default(),
            held: Vec::new(),
            instead: None,
            unnamed: None,
            chore: ChoreResult::default(),
            refusal: None,
            pid: login.pid,
            cancel_key: login.cancel_key,
            tls: login.tls,
        }
    }

    /// The key to cancel this connection's work with: process number, secret, and whether the
    /// connection uses TLS. `None` if the server gave none.
    pub fn cancel_key(&self) -> Option<(u32, &[u8], bool)> {
        (!self.cancel_key.is_empty()).then_some((self.pid, &*self.cancel_key, self.tls))
    }

    /// True if what is sent now meets a transaction that has failed.
    pub(super) fn stays_failed(&self) -> bool {
        self.tx == TxStatus::Failed && !self.ends
    }

    /// The client's statements have changed the settings of the connection as they have changed
    /// the client's.
    pub(super) fn follow(&mut self, front: &PgFront) {
        if !Arc::ptr_eq(&self.settings, front.settings.actual()) {
            self.settings = Arc::clone(front.settings.actual());
        }
    }

    /// Notes what is reported and set, now that nothing is under way; true if the reports have
    /// changed though no statement is known to have set anything.
    pub(super) fn rest(&mut self) -> bool {
        let Quiet { reported, settings } = &mut self.quiet;
        let silent = Settings::same(settings, &self.settings);
        if !Arc::ptr_eq(settings, &self.settings) {
            *settings = Arc::clone(&self.settings);
        }
        if Arc::ptr_eq(reported, &self.reported) {
            return false;
        }
        let changed = self
            .reported
            .news_to(reported)
            .any(|(name, _)| !REPORTED_BY_ITSELF.contains(&name));
        *reported = Arc::clone(&self.reported);
        changed && silent
    }

    /// CopyDone or CopyFail goes to the server.
    pub(super) fn end_copy(&mut self) {
        if self.copy == CopyIn::Reading {
            self.copy = CopyIn::Ended;
        } else if !self.debts.is_empty() {
            self.debts.push(Owed::CopyEnd);
        }
    }

    /// Ends what a vanished client has left half done, so that a query can follow.
    fn end_exchange(&mut self, out: &mut Vec<u8>) {
        // A COPY may begin before the server reads this; it ignores the message otherwise.
        if self.copy == CopyIn::Reading || !self.debts.is_empty() {
            rename::copy_fail(b"the client has gone", out);
            self.end_copy();
        }
        // Queries behind an extended message are skipped with it if it fails.
        if self.unsynced || self.skipping || self.debts.has_extended() {
            // A Sync alone would commit the implicit transaction; with an error before it, it
            // rolls back.
            rename::nonsense(out);
            if !self.skipping {
                self.debts.push(Owed::Describe(None));
            }
            rename::sync(out);
            self.debts.push(Owed::Sync);
            self.unsynced = false;
            self.skipping = false;
        }
    }

    /// The server has returned to the state after login, except for its open transaction.
    pub(super) fn discarded(&mut self) {
        self.settings = Settings::none();
        self.statements.clear();
        self.names.clear();
        self.remembered.clear();
        // Neither DISCARD nor DEALLOCATE is about it.
        self.unnamed = UNKNOWN;
        self.dirty = false;
    }
}

/// What a finished login yields.
#[derive(Debug)]
pub struct LoggedIn {
    /// ParameterStatus values.
    pub reported: Arc<Reported>,
    /// Process number of the server process.
    pub pid: u32,
    /// Secret of BackendKeyData; empty if none was sent.
    pub cancel_key: Bytes,
    /// The connection uses TLS.
    pub tls: bool,
}

impl protocol::Back for PgBack {
    type Greeting = Arc<Reported>;

    fn progress(&self) -> Progress {
        Progress {
            settled: self.debts.is_empty()
                && self.body.left == 0
                && !self.unsynced
                && !self.skipping
                && !self.doubt
                && self.copy == CopyIn::None,
            tx: self.tx,
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
        !Settings::same(&self.settings, &Settings::none())
    }

    fn soil(&mut self) {
        self.dirty = true;
    }

    fn greeting(&self) -> Self::Greeting {
        Arc::clone(&self.reported)
    }

    fn request(&mut self, chore: Chore<'_>, out: &mut Vec<u8>) {
        self.chore = ChoreResult::default();
        if matches!(chore, Chore::Rollback) {
            self.end_exchange(out);
            // What the lost client's statements have set, and the rollback unset, nobody follows.
            self.dirty = true;
        }
        let (account, cancel, reached);
        let sql = match chore {
            Chore::Position => POSITION,
            Chore::Reached { position, .. } => {
                reached = reached_query(position);
                &*reached
            }
            Chore::Cancel(pid) => {
                cancel = format!("SELECT pg_cancel_backend({pid})");
                &*cancel
            }
            Chore::Account { query, user } => {
                account = account_query(query, user);
                &*account
            }
            Chore::Rollback => "ROLLBACK",
            // Everything but the open transaction: DISCARD refuses to run inside one.
            Chore::Reset => "DISCARD ALL",
            // An empty query is answered by EmptyQueryResponse and costs no snapshot.
            Chore::Ping => "",
            Chore::Init(sql) | Chore::Query(sql) => sql,
            Chore::Table(sql) => {
                self.chore.tabular = true;
                sql
            }
            Chore::Capacity => CAPACITY,
        };
        rename::query(sql.as_bytes(), out);
        // A simple query replaces the unnamed statement (section 55.2.3), whoever it was of.
        self.unnamed = None;
        self.debts.push(Owed::Query(Fate::Chore));
    }

    fn absorb(&mut self, input: &[u8]) -> Result<usize, Breach> {
        reply::read(self, None, input)
    }

    fn farewell(&self, out: &mut Vec<u8>) {
        rename::terminate(out);
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

/// The operator's query with the user as a string constant, which no name can break out of, and
/// the second of its two columns.
fn account_query(query: &str, user: &str) -> String {
    let mut name = Vec::new();
    // A zero byte would end the query, and no role name holds one.
    replay::write_literal(user.replace('\0', "").as_bytes(), &mut name);
    let query = query.trim().trim_end_matches(';');
    let query = query.replace("$1", &String::from_utf8_lossy(&name));
    format!("SELECT password FROM ({query}) AS account(name, password)")
}

/// Whether a standby has replayed up to a position. The server cannot wait for it.
fn reached_query(position: &str) -> String {
    let mut literal = Vec::new();
    replay::write_literal(position.as_bytes(), &mut literal);
    let literal = String::from_utf8_lossy(&literal);
    format!(
        "SELECT CASE WHEN pg_catalog.pg_last_wal_replay_lsn() >= {literal}::pg_catalog.pg_lsn THEN 1 ELSE 0 END"
    )
}

/// Behind the commit record of everything that a client has been told is committed, whether it has been flushed or
/// not. A standby has no such position, and says so by an error.
const POSITION: &str = "SELECT pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text";

/// `reserved_connections` exists since PostgreSQL 16.
const CAPACITY: &str = "SELECT current_setting('max_connections')::int \
     - current_setting('superuser_reserved_connections')::int \
     - coalesce(current_setting('reserved_connections', true)::int, 0)";
