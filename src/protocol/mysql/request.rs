//! Reading what the client sends to an attached server connection: note what will be owed, and
//! prepare statements where they are not.
//!
//! One command at a time: the next is read when the last has been answered. Commands and their
//! formats: MySQL protocol, "Command Phase".

use bytes::Bytes;

use super::answer;
use super::attributes;
use super::back::MyBack;
use super::capability::Capabilities;
use super::chore::{put_command, put_query};
use super::command;
use super::frame::{HEADER_LEN, Header};
use super::front::{MyFront, Running};
use super::grammar::Shape;
use super::idle::{self, Local};
use super::login::Flavor;
use super::message::Err;
use super::owed::{Fate, Owed, Then};
use super::recall::{AFTER_NONE, Recall, raised, recall};
use super::rules;
use super::statements::{Draft, Statement};
use super::status::Status;
use super::{fault, inquire, prepared, relogin};
use crate::model::{Fault, PinReason};
use crate::protocol::Script;
use crate::sql::mysql::{Touch, Touches, Verdict, asks_for_schema, fingerprint};

/// Reads client bytes; returns how many were dealt with.
pub fn read(
    front: &mut MyFront,
    back: &mut MyBack,
    input: &[u8],
    script: &mut Script,
    replies: &mut Vec<u8>,
) -> Result<usize, Fault> {
    // The server is closing: it hears nothing more, and may just not be seen to have gone.
    front.quit |= front.released;
    let mut reader = RequestReader {
        front,
        back,
        script,
        replies,
    };
    let mut at = 0;
    while let Some(rest) = input.get(at..)
        && !rest.is_empty()
        && !reader.front.quit
    {
        let dealt = reader.piece(rest, at)?;
        if dealt == 0 {
            break;
        }
        at += dealt;
    }
    Ok(at)
}

/// One client's bytes on the way to a server.
pub(super) struct RequestReader<'a> {
    pub(super) front: &'a mut MyFront,
    pub(super) back: &'a mut MyBack,
    pub(super) script: &'a mut Script,
    pub(super) replies: &'a mut Vec<u8>,
}

/// One packet of the input, perhaps not whole yet.
#[derive(Clone, Copy)]
pub(super) struct Command<'a> {
    pub(super) header: Header,
    /// As much of the packet as has come, header included.
    pub(super) bytes: &'a [u8],
    /// Where it starts in the input.
    pub(super) at: usize,
}

impl<'a> Command<'a> {
    /// As much of the payload as has come.
    pub(super) fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// All of the payload, if it has come.
    pub(super) fn whole(&self) -> Option<&'a [u8]> {
        (self.bytes.len() == self.header.total()).then(|| self.payload())
    }
}

impl RequestReader<'_> {
    /// Deals with the front of `rest`, which starts at `at` in the input; 0: not now.
    fn piece(&mut self, rest: &[u8], at: usize) -> Result<usize, Fault> {
        let request = &mut self.front.request;
        if request.passing > 0 {
            let n = request.passing.min(rest.len());
            request.passing -= n;
            self.script.pass(at..at + n);
            return Ok(n);
        }
        if request.dropping > 0 {
            let n = request.dropping.min(rest.len());
            request.dropping -= n;
            return Ok(n);
        }
        let Some(header) = Header::read(rest) else {
            return Ok(0);
        };
        if request.continues {
            return Ok(self.continuation(header, rest, at));
        }
        if self.back.reads_file() {
            return Ok(self.file(header, rest, at));
        }
        if !self.may_begin() {
            return Ok(0);
        }
        if header.seq != 0 {
            return Err(fault::out_of_order());
        }
        let bytes = rest.get(..header.total()).unwrap_or(rest);
        let command = Command { header, bytes, at };
        for number in self.back.statements.take_stale() {
            let number = number.to_le_bytes();
            self.script
                .insert_with(|out| put_command(out, command::STMT_CLOSE, &number));
        }
        if let Some(payload) = self.front.prepare_failed.take() {
            return Ok(self.not_prepared(command, payload));
        }
        let Some(kind) = command.payload().first().copied() else {
            return if header.len == 0 {
                Err(fault::malformed())
            } else {
                Ok(0)
            };
        };
        self.command(kind, command)
    }

    /// True if a command may be passed on now: behind another of the client's it may not, behind
    /// what brings the connection to the client's settings it may.
    fn may_begin(&self) -> bool {
        self.back.owes_replays_only()
            && !self.back.status_unknown
            && !self.back.untracked
            && self.front.errand.is_none()
    }

    /// The next packet of a long payload.
    fn continuation(&mut self, header: Header, rest: &[u8], at: usize) -> usize {
        let here = header.total().min(rest.len());
        let request = &mut self.front.request;
        request.continues = header.continues();
        if request.drops {
            request.dropping = header.total() - here;
        } else {
            request.passing = header.total() - here;
            self.script.pass(at..at + here);
        }
        here
    }

    /// Part of a file that the server has asked for; an empty packet is its end.
    fn file(&mut self, header: Header, rest: &[u8], at: usize) -> usize {
        let here = header.total().min(rest.len());
        self.front.request.passing = header.total() - here;
        // Numbers go on from those that each side has seen.
        let shift = self.back.debts.front().map_or(0, |owed| owed.shift);
        let seq = header.seq.wrapping_sub(shift);
        self.script.insert(&Header { seq, ..header }.to_bytes());
        self.script.pass(at + HEADER_LEN..at + here);
        self.back.file_seq = seq.wrapping_add(1);
        if header.len == 0
            && let Some(owed) = self.back.debts.front_mut()
        {
            owed.stage = super::grammar::Stage::First;
        }
        here
    }

    /// The statement that this command is about could not be prepared here.
    pub(super) fn not_prepared(&mut self, command: Command<'_>, payload: Bytes) -> usize {
        self.front.request.preparing = false;
        if command.payload().first() == Some(&command::STMT_SEND_LONG_DATA) {
            prepared::not_taken(self.front, command.payload(), payload);
            return self.drop_command(command);
        }
        self.front.begin();
        self.front.forget_last();
        if command.payload().first() == Some(&command::STMT_EXECUTE) {
            prepared::not_executed(self.front, command.payload());
        }
        if let Some(err) = Err::read(&payload) {
            let text = String::from_utf8_lossy(&err.message);
            let state = String::from_utf8_lossy(err.state);
            self.front.raise(err.code, &state, &text);
            let seq = command.header.seq.wrapping_add(1);
            self.front.next_seq = err.write(seq, self.replies);
        }
        self.drop_command(command)
    }

    /// Leaves a command out that has been answered, or needs no answer.
    pub(super) fn drop_command(&mut self, command: Command<'_>) -> usize {
        idle::drop_packet(self.front, command.header, command.bytes.len())
    }

    /// Passes a command on, as much of it as is there, and notes the reply that it will get.
    pub(super) fn pass(&mut self, command: Command<'_>, owed: Option<Owed>) -> usize {
        let here = command.bytes.len();
        self.script.pass(command.at..command.at + here);
        self.sent(command, owed)
    }

    /// The front of a command has been put into the script by the caller.
    pub(super) fn sent(&mut self, command: Command<'_>, owed: Option<Owed>) -> usize {
        let here = command.bytes.len();
        let request = &mut self.front.request;
        request.passing = command.header.total() - here;
        request.continues = command.header.continues();
        request.drops = false;
        request.preparing = false;
        self.front.next_seq = command.header.seq.wrapping_add(1);
        if let Some(owed) = owed {
            // Preparing and COM_STATISTICS leave what was known before.
            self.front.last.interrupted &= matches!(owed.shape, Shape::Prepared | Shape::Line);
            self.back.owe(owed);
        }
        here
    }

    fn command(&mut self, kind: u8, command: Command<'_>) -> Result<usize, Fault> {
        match kind {
            command::QUERY => Ok(self.query(command)),
            command::STMT_PREPARE => Ok(self.prepare(command)),
            command::STMT_EXECUTE => prepared::execute(self, command),
            command::STMT_BULK_EXECUTE if idle::may_bulk(self.front) => {
                prepared::execute(self, command)
            }
            command::STMT_SEND_LONG_DATA => prepared::long_data(self, command),
            command::STMT_RESET => prepared::reset(self, command),
            command::STMT_FETCH => prepared::fetch(self, command),
            command::STMT_CLOSE => prepared::close(self, command),
            command::INIT_DB => Ok(self.plain(command, Shape::Plain, Then::Nothing)),
            command::PING => Ok(self.plain(command, Shape::Plain, Then::Nothing)),
            command::REFRESH | command::DEBUG => {
                Ok(self.plain(command, Shape::Plain, Then::Nothing))
            }
            command::STATISTICS => Ok(self.plain(command, Shape::Line, Then::Nothing)),
            command::FIELD_LIST => Ok(self.field_list(command)),
            command::PROCESS_INFO => Ok(self.plain(command, Shape::Results, Then::Nothing)),
            command::SET_OPTION => Ok(self.set_option(command)),
            command::RESET_CONNECTION => Ok(self.reset_connection(command)),
            // What the server connection holds is the old session's: the new one gets another.
            command::CHANGE_USER if relogin::is_acceptable(command.header) => {
                self.front.starts_over = true;
                Ok(0)
            }
            _ => self.local(command),
        }
    }

    /// What Sluice deals with itself, or refuses.
    fn local(&mut self, command: Command<'_>) -> Result<usize, Fault> {
        if command.payload().first() != Some(&command::QUIT) && self.hears_warnings() {
            return Ok(0);
        }
        match idle::local(self.front, command.header, command.payload(), self.replies) {
            Local::More => Ok(0),
            Local::Done => Ok(self.drop_command(command)),
            Local::Quit => {
                self.front.quit = true;
                Ok(0)
            }
            // Every command that a server is needed for is known above.
            Local::Server | Local::Login => Err(fault::malformed()),
        }
    }

    /// A command without parts that Sluice must know. It is no statement: warnings of the last one last.
    fn plain(&mut self, command: Command<'_>, shape: Shape, then: Then) -> usize {
        self.front.begin();
        self.set_warnings_aside();
        self.front.running = None;
        self.pass(command, Some(Owed::new(Fate::Client(then), shape)))
    }

    fn field_list(&mut self, command: Command<'_>) -> usize {
        let dealt = self.plain(command, Shape::Rows, Then::Nothing);
        if self.front.flavor == Flavor::MySql {
            // It warns of being deprecated, and does not tell so. An error of Sluice's own stands before that on the
            // connection by now.
            self.front.last.raised = None;
            self.front.last.warnings.open_more();
            self.back.warned = true;
        }
        dealt
    }

    fn set_option(&mut self, command: Command<'_>) -> usize {
        let Some(payload) = command.whole() else {
            return 0;
        };
        // 0: on, 1: off (MySQL protocol, `enum_mysql_set_option`).
        let on = payload.get(1..3) == Some(&[0, 0]);
        self.plain(command, Shape::Plain, Then::MultiStatements(on))
    }

    fn reset_connection(&mut self, command: Command<'_>) -> usize {
        self.plain(command, Shape::Plain, Then::Reset)
    }

    fn query(&mut self, command: Command<'_>) -> usize {
        if command.header.len > self.front.policy.max_statement_bytes {
            return self.unread_query(command);
        }
        let Some(payload) = command.whole() else {
            return 0;
        };
        let named = self.front.capabilities.has(Capabilities::QUERY_ATTRIBUTES);
        let Some(text) = attributes::text(payload, named) else {
            return self.unread_query(command);
        };
        let mode = self.front.settings.mode(self.back.usual);
        let verdict = rules::verdict(text, mode);
        if let Some(first) = verdict.statements.first()
            && self.joins_warnings(first.touches)
        {
            return 0;
        }
        let (status, header) = (self.back.status, command.header);
        let recalled = recall(self.front, status, header, text, &verdict, self.replies);
        if recalled == Recall::Answered {
            return self.drop_command(command);
        }
        self.restore(&verdict);
        self.recalled(recalled);
        self.front.begin();
        // Later statements ask about those before them in the same text.
        let first = verdict.statements.first();
        if first.is_none_or(|first| !first.touches.intersects(ASKS_ABOUT_LAST)) {
            self.front.forget_last();
        }
        self.front.affect(&verdict, || fingerprint(text, mode));
        self.back.dirty |= self.front.holds_filtered();
        self.front.running = Some(Running {
            verdict,
            done: 0,
            elsewhere: false,
        });
        self.pass(
            command,
            Some(Owed::new(Fate::Client(Then::Script), Shape::Results)),
        )
    }

    /// A text that is too long to be read, or cannot be.
    fn unread_query(&mut self, command: Command<'_>) -> usize {
        self.front.begin();
        self.front.forget_last();
        self.front.running = None;
        self.front.pin(PinReason::OversizedStatement);
        self.pass(
            command,
            Some(Owed::new(Fate::Client(Then::Nothing), Shape::Results)),
        )
    }

    /// Brings back what the client's earlier commands have left for this one, where the server
    /// connection may have seen others meanwhile.
    pub(super) fn restore(&mut self, verdict: &Verdict) {
        // As long as it is in doubt what code of the client's has left here, it has not been given back.
        let doubtful = self.front.unseen.stays(self.back.number);
        let kept = doubtful || self.front.is_pinned() || self.back.status.has(Status::IN_TRANS);
        if self.front.last.id_elsewhere {
            self.restore_insert_id(verdict);
        }
        if verdict.touches.intersects(MENTIONS_VARIABLES) {
            let leftovers = &mut self.back.leftovers;
            let sql = leftovers.clear(&self.front.settings, verdict, kept);
            if !sql.is_empty() {
                self.run_before_bytes(&sql);
            }
        }
    }

    /// Has the server connection run what lets it answer a question about the client's last command.
    pub(super) fn recalled(&mut self, recalled: Recall) {
        let (sql, fate) = match recalled {
            Recall::After(sql) => (sql, Fate::Replay),
            Recall::Count(sql) => {
                self.front.last.found.elsewhere = false;
                return self.run_for(sql.as_bytes(), Fate::Replay);
            }
            Recall::Raise(sql) => (sql, Fate::Raise),
            Recall::Server | Recall::Answered => return,
        };
        self.ask_for_count();
        self.run_for(sql.as_bytes(), fate);
    }

    /// Before Sluice has the server connection run something that counts rows: asks it for what the client's own
    /// statements have counted, where only it knows.
    fn ask_for_count(&mut self) {
        if self.front.last.found.ask_before_others() {
            self.run_for(inquire::FOUND_ROWS, Fate::FoundRows);
        }
        self.front.last.found.elsewhere = true;
    }

    /// Has the server connection tell only of warnings that are new, where those of the last statement are kept.
    pub(super) fn set_warnings_aside(&mut self) {
        if self.raise_again() {
            return;
        }
        if self.back.warned && self.front.last.warnings.are_kept() {
            self.back.warned = false;
            self.ask_for_count();
            self.run_before(AFTER_NONE);
        }
    }

    /// Before Sluice answers a command that is no statement: has the server connection tell the warnings of the last that
    /// was, behind which the answer stands. True if they are yet to be waited for.
    pub(super) fn hears_warnings(&mut self) -> bool {
        // MySQL goes on from an error that Sluice itself has given.
        let raised = self.raise_again();
        let open = raised || self.front.last.warnings.is_open();
        self.front.request.preparing = open;
        if raised {
            self.front.last.raised = None;
        }
        if open {
            let mut request = Vec::new();
            inquire::ask_for_warnings(self.front, self.back, &mut request);
            self.script.insert(&request);
        }
        open
    }

    /// Before a statement that asks about them: has the server connection tell the warnings that stand behind those kept
    /// here. True if they are yet to be waited for.
    pub(super) fn joins_warnings(&mut self, touches: Touches) -> bool {
        touches.contains(Touch::Diagnostics)
            && self.front.last.warnings.are_parted()
            && self.hears_warnings()
    }

    /// Has a connection to MySQL know the error that the client has got from Sluice itself, if any, so that what a command
    /// that is no statement leaves stands behind it.
    fn raise_again(&mut self) -> bool {
        let raised = match self.front.flavor {
            Flavor::MySql => raised(self.front, Touches::of(Touch::Diagnostics)),
            Flavor::MariaDb => None,
        };
        let Some(sql) = raised else {
            return false;
        };
        self.back.warned = true;
        self.ask_for_count();
        self.run_for(sql.as_bytes(), Fate::Raise);
        true
    }

    /// Has the server connection know `LAST_INSERT_ID()` where it matters.
    fn restore_insert_id(&mut self, verdict: &Verdict) {
        let last = &mut self.front.last;
        let left = self.back.id_left;
        if !verdict.touches.intersects(KNOWS_LAST_ID) {
            // Whether the statement makes one is seen by there being one.
            if left && verdict.touches.contains(Touch::TableWrite) {
                self.back.id_left = false;
                self.run_before("SET last_insert_id = 0");
            }
            return;
        }
        if last.insert_id_lost {
            // Its error ends the session, which is better than a number that may be wrong.
            return self.run_before(LOST_INSERT_ID);
        }
        last.id_elsewhere = false;
        let id = last.insert_id;
        if left || id != 0 {
            let sql = if last.insert_id_open {
                let newer = format!("IF(@@last_insert_id = 0, {id}, @@last_insert_id)");
                format!("SET last_insert_id = CAST({newer} AS UNSIGNED)")
            } else {
                format!("SET last_insert_id = {id}")
            };
            self.run_before(&sql);
        }
        self.back.id_left |= id != 0;
    }

    /// Has the server connection run this for Sluice before the command at hand.
    pub(super) fn run_before(&mut self, sql: &str) {
        self.run_before_bytes(sql.as_bytes());
    }

    fn run_before_bytes(&mut self, sql: &[u8]) {
        self.run_for(sql, Fate::Replay);
    }

    fn run_for(&mut self, sql: &[u8], fate: Fate) {
        let capabilities = self.back.capabilities;
        self.script
            .insert_with(|out| put_query(out, capabilities, sql));
        self.back.owe(Owed::new(fate, Shape::Results));
    }

    fn prepare(&mut self, command: Command<'_>) -> usize {
        let limit = self.front.policy.max_statement_bytes;
        let rootless = self.front.settings.schema().is_none();
        let draft = if command.header.len > limit {
            self.front.pin(PinReason::OversizedStatement);
            Draft {
                statement: Statement::kept_elsewhere(),
                verdict: Verdict::unknown().into(),
                schemaless: rootless,
            }
        } else {
            let Some(payload) = command.whole() else {
                return 0;
            };
            let text = payload.get(1..).unwrap_or_default();
            let mode = self.front.settings.mode(self.back.usual);
            Draft {
                statement: Statement::of(text),
                verdict: rules::verdict(text, mode),
                schemaless: rootless && asks_for_schema(text, mode),
            }
        };
        self.front.begin();
        self.front.forget_last();
        self.front.running = None;
        self.front.last_prepared = 0;
        if draft.verdict.kills() {
            let seq = command.header.seq;
            // ER_UNSUPPORTED_PS
            answer::error(
                self.front,
                seq,
                1295,
                "HY000",
                NO_PREPARED_KILL,
                self.replies,
            );
            return self.drop_command(command);
        }
        if self.front.statements.len() >= self.front.policy.max_client_statements {
            let seq = command.header.seq;
            answer::error(
                self.front,
                seq,
                1461,
                "42000",
                TOO_MANY_STATEMENTS,
                self.replies,
            );
            return self.drop_command(command);
        }
        let then = Then::Prepared(Box::new(draft));
        self.pass(
            command,
            Some(Owed::new(Fate::Client(then), Shape::Prepared)),
        )
    }
}

/// What asks about the command before it.
const ASKS_ABOUT_LAST: Touches = Touches::of(Touch::Diagnostics).with(Touch::FoundRows);

/// What reads `LAST_INSERT_ID()`, or may change it without the reply's telling.
const KNOWS_LAST_ID: Touches = Touches::of(Touch::LastInsertIdRead)
    .with(Touch::LastInsertIdWrite)
    .with(Touch::Call)
    .with(Touch::Function)
    .with(Touch::SqlExecute)
    .with(Touch::Unknown);

/// What may read user variables.
const MENTIONS_VARIABLES: Touches =
    Touches::of(Touch::UserVariableRead).with(Touch::UserVariableUnknown);

const NO_PREPARED_KILL: &str = "KILL is not supported in the prepared statement protocol: the proxy's numbers mean nothing to the server";

/// As a server says (MySQL: `ER_MAX_PREPARED_STMT_COUNT_REACHED`).
const TOO_MANY_STATEMENTS: &str =
    "Can't create more than max_prepared_statements_per_client statements";

/// Raises an error in words of Sluice's own.
const LOST_INSERT_ID: &str = "SIGNAL SQLSTATE '08S01' SET MESSAGE_TEXT = \
    'LAST_INSERT_ID() was lost with the connection to the server'";
