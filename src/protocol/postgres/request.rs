//! Reading what the client sends: note what will be owed, rename statements, prepare them where
//! they are not.
//!
//! Message formats and flow: PostgreSQL documentation, sections 55.2 and 55.7. Which messages may
//! be large: `SocketBackend` in the server's `tcop/postgres.c`.

use std::sync::Arc;

use crate::model::{Fault, PinReason, TxStatus};
use crate::protocol::{Script, Wants};
use crate::sql::postgres::plain;
use crate::sql::skeleton::Plain;
use crate::sql::statement::Verdict;

use super::back::{CopyIn, PgBack};
use super::behind_end::line_up_behind;
use super::bereft::{self, Loss};
use super::frame::{self, HEADER_LEN, Header};
use super::front::{Barrier, PgFront};
use super::line_up::{Way, line_up};
use super::owed::{Fate, Owed, Undo};
use super::put_in::{self, Mended};
use super::request_statement as statement;
use super::rules::{self, Effects};
use super::{join, rename, sequence};

/// What a client without server connection needs; also how many bytes need no server at all.
pub fn wants(
    front: &mut PgFront,
    input: &[u8],
    replies: &mut Vec<u8>,
) -> Result<(usize, Wants), Fault> {
    let mut at = 0;
    loop {
        let rest = input.get(at..).unwrap_or_default();
        if front.dropping > 0 {
            let n = front.dropping.min(rest.len());
            front.dropping -= n;
            at += n;
            if front.dropping > 0 {
                return Ok((at, Wants::More));
            }
            continue;
        }
        let Some(header) = checked_header(rest)? else {
            return Ok((at, Wants::More));
        };
        match header.kind {
            b'X' => {
                front.quit = true;
                return Ok((at, Wants::Quit));
            }
            // The server drops COPY messages that come after a failed COPY; so do we when its
            // connection is gone already. A Flush has nothing to flush.
            b'd' | b'c' | b'f' | b'H' => front.dropping = HEADER_LEN + header.len,
            b'S' if front.declined => {
                front.declined = false;
                bereft::ready(front, replies);
                front.dropping = HEADER_LEN + header.len;
            }
            _ if front.declined => front.dropping = HEADER_LEN + header.len,
            b'Q' | b'F' | b'P' | b'B' | b'D' | b'E' | b'C' if front.loss == Loss::Untold => {
                match bereft::news(front, header, rest) {
                    None => return Ok((at, Wants::More)),
                    Some(Some(fault)) => decline(front, &fault, rest, replies),
                    Some(None) => {}
                }
                front.loss = Loss::Told;
            }
            _ => {
                let enough = worth_a_server(header, front.policy.max_statement_bytes);
                let wants = if rest.len() < enough {
                    Wants::More
                } else {
                    Wants::Server
                };
                return Ok((at, wants));
            }
        }
    }
}

/// Answers the request at the front of `input` with an error, as a server would: a simple query
/// is over then, an extended one at its Sync.
pub fn decline(front: &mut PgFront, fault: &Fault, input: &[u8], replies: &mut Vec<u8>) {
    super::fault::write(fault, false, replies);
    match checked_header(input) {
        Ok(Some(header)) if matches!(header.kind, b'Q' | b'F') => {
            bereft::ready(front, replies);
            front.dropping = HEADER_LEN + header.len;
        }
        _ => front.declined = true,
    }
}

/// Reads client bytes for an attached server connection; returns how many were dealt with.
pub fn read(
    front: &mut PgFront,
    back: &mut PgBack,
    input: &[u8],
    script: &mut Script,
    replies: &mut Vec<u8>,
) -> Result<usize, Fault> {
    let foreseen = std::mem::take(&mut front.foreseen);
    let mut reader = Reader {
        front,
        back,
        script,
        replies,
        foreseen,
    };
    reader.restore_startup();
    let mut at = reader.continue_body(input);
    while let Some(rest) = input.get(at..)
        && !rest.is_empty()
        && reader.front.passing == 0
        && !reader.front.quit
        && !reader.waits()
    {
        let Some(header) = checked_header(rest)? else {
            break;
        };
        let total = HEADER_LEN + header.len;
        let message = Message {
            kind: header.kind,
            at,
            total,
            bytes: rest.get(..total.min(rest.len())).unwrap_or_default(),
            behind: rest.get(total..).unwrap_or_default(),
        };
        let Some(dealt) = reader.message(&message)? else {
            break;
        };
        let whole = message.is_whole();
        reader.back.again.note(message.kind, message.bytes, whole);
        at += dealt;
    }
    Ok(at)
}

/// One message of the input, perhaps not whole yet.
pub(super) struct Message<'a> {
    kind: u8,
    /// Where it starts in the input.
    pub(super) at: usize,
    /// Header and body in bytes.
    pub(super) total: usize,
    /// As much of it as has come, header included.
    pub(super) bytes: &'a [u8],
    /// What has come behind it.
    pub(super) behind: &'a [u8],
}

impl<'a> Message<'a> {
    /// True if the next message describes this portal.
    pub(super) fn is_described(&self, portal: &[u8]) -> bool {
        let next = self
            .behind
            .strip_prefix(b"D")
            .and_then(|next| next.get(4..));
        let name = next.and_then(|next| next.strip_prefix(b"P"));
        let rest = name.and_then(|name| name.strip_prefix(portal));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// True if all of it has come.
    pub(super) fn is_whole(&self) -> bool {
        self.bytes.len() == self.total
    }

    /// As much of the body as has come.
    pub(super) fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }
}

pub(super) struct Reader<'a> {
    pub(super) front: &'a mut PgFront,
    pub(super) back: &'a mut PgBack,
    pub(super) script: &'a mut Script,
    /// Bytes for the client, to be sent at once.
    pub(super) replies: &'a mut Vec<u8>,
    /// See [`PgFront::foreseen`].
    foreseen: u32,
}

impl Reader<'_> {
    fn continue_body(&mut self, input: &[u8]) -> usize {
        let dropped = self.front.dropping.min(input.len());
        self.front.dropping -= dropped;
        let passed = self.front.passing.min(input.len() - dropped);
        self.front.passing -= passed;
        self.script.pass(dropped..dropped + passed);
        dropped + passed
    }

    fn message(&mut self, message: &Message<'_>) -> Result<Option<usize>, Fault> {
        // What the server is going to skip needs no books (see `reply_error`).
        if self.back.skipping && !matches!(message.kind, b'S' | b'X') {
            return Ok(Some(self.pass(message)));
        }
        match message.kind {
            b'Q' => self.query(message),
            b'P' => statement::parse(self, message),
            b'B' => statement::bind(self, message),
            b'D' => statement::describe(self, message),
            b'C' => statement::close(self, message),
            b'E' => self.execute(message),
            b'S' => Ok(Some(self.sync(message))),
            b'H' => Ok(Some(self.pass(message))),
            b'd' => Ok(Some(self.pass(message))),
            b'c' | b'f' => {
                self.back.end_copy();
                Ok(Some(self.pass(message)))
            }
            b'F' => {
                self.front.requests += 1;
                self.back.unsynced = false;
                let dealt = self.pass(message);
                self.back.debts.push(Owed::Function);
                Ok(Some(dealt))
            }
            b'X' => {
                self.front.quit = true;
                Ok(None)
            }
            kind => Err(Fault::protocol(format!(
                "invalid frontend message type {kind}"
            ))),
        }
    }

    /// True if the next request must wait for the answers to those before it.
    fn waits(&mut self) -> bool {
        if self.front.barrier != Barrier::Up {
            return false;
        }
        if self.back.debts.is_empty() {
            self.front.barrier = Barrier::None;
            return false;
        }
        true
    }

    /// Within a transaction, a RESET has to be completed by settings of the startup.
    fn restore_startup(&mut self) {
        let settings = &self.front.settings;
        if self.back.tx != TxStatus::Open
            || Arc::ptr_eq(settings.wanted(), settings.actual())
            || !self.back.debts.is_empty()
            || self.front.passing > 0
            || self.back.copy != CopyIn::None
        {
            return;
        }
        let (front, back) = (&mut *self.front, &mut *self.back);
        self.script
            .insert_with(|out| join::reset_to_startup(front, back, out));
    }

    /// Query.
    fn query(&mut self, message: &Message<'_>) -> Result<Option<usize>, Fault> {
        let limit = self.front.policy.max_statement_bytes;
        if !message.is_whole() && message.total <= limit {
            return Ok(None);
        }
        if statement::names_in_doubt(self, message.body()) {
            return Ok(None);
        }
        if let Some(dealt) = self.execute_by_name(message) {
            return Ok(Some(dealt));
        }
        let failed = self.back.stays_failed();
        let effects = self.effects_of_query(message);
        let script = effects.script.clone();
        if script
            .as_deref()
            .is_some_and(|script| self.needs_barrier(script))
        {
            self.front.barrier = Barrier::Up;
        }
        if let Some(verdict) = &script
            && let Some(dealt) = statement::deallocate(self, message, verdict)
        {
            return Ok(Some(dealt));
        }
        let mut behind_end = Vec::new();
        if let Some(verdict) = &script {
            if failed {
                behind_end = line_up_behind(self, verdict);
            } else {
                line_up(self, verdict, Way::Simple);
            }
        }
        sequence::note(self, &effects, Way::Simple);
        if let Some(verdict) = &script
            && message.is_whole()
            && let Some((longer, mended)) = self.mended(message, verdict, &behind_end)
        {
            let dealt = self.pass_query_as(message, &longer, Owed::Mended(Box::new(mended)));
            return Ok(Some(dealt));
        }
        let owed = match script {
            Some(verdict) => Owed::Scripted(verdict, 0),
            None => Owed::Query(Fate::Client),
        };
        Ok(Some(self.pass_query(message, owed)))
    }

    /// The text with what its RESETs need put in, and `behind_end` behind its first statement, if
    /// anything.
    fn mended(
        &self,
        message: &Message<'_>,
        verdict: &Arc<Verdict>,
        behind_end: &[Vec<u8>],
    ) -> Option<(Vec<u8>, Mended)> {
        let text = message.body().strip_suffix(b"\0")?;
        let open = self.back.tx == TxStatus::Open;
        Mended::of(text, verdict, &self.front.settings, open, behind_end)
    }

    /// True if requests behind these statements must wait for their outcome.
    fn needs_barrier(&self, script: &Verdict) -> bool {
        let mut statements = script.statements.iter();
        rules::clears_the_table(script)
            || statements.any(|one| self.front.settings.returns_to_startup(one))
    }

    /// Notes that settings may not be what the books say, until everything is answered.
    pub(super) fn note_changes(&mut self, effects: &Effects) {
        self.back.ends |= effects.ends;
        let front = &mut *self.front;
        front.changing |=
            effects.script.is_some() || effects.ends && front.settings.is_uncommitted();
    }

    /// The unnamed statement ends on both sides, if the message that follows is carried out: a
    /// simple query replaces it (section 55.2.3).
    pub(super) fn end_unnamed(&mut self) {
        self.back.unnamed = None;
        if !self.back.debts.may_skip() {
            // One that never had any has no buffer.
            if self.front.unnamed.body.capacity() > 0 {
                self.front.clear_unnamed();
            }
            return;
        }
        let before = self.front.take_unnamed();
        self.back.debts.push(Owed::Note(Undo::Unnamed {
            generation: self.front.unnamed.generation,
            before: Some(Box::new(before)),
        }));
    }

    /// Passes on a query that is nothing but the EXECUTE of a statement that the protocol prepared.
    fn execute_by_name(&mut self, message: &Message<'_>) -> Option<usize> {
        if self.front.keeps_names() || !message.is_whole() {
            return None;
        }
        let text = message.body().strip_suffix(b"\0")?;
        let owed = statement::execute_by_name(self, text)?;
        Some(self.pass_query(message, owed))
    }

    fn pass_query(&mut self, message: &Message<'_>, owed: Owed) -> usize {
        self.begin_query();
        let dealt = self.pass(message);
        self.back.debts.push(owed);
        dealt
    }

    /// Passes another text on in place of a query's own.
    fn pass_query_as(&mut self, message: &Message<'_>, text: &[u8], owed: Owed) -> usize {
        self.begin_query();
        self.script.insert_with(|out| rename::query(text, out));
        self.back.debts.push(owed);
        message.total
    }

    fn begin_query(&mut self) {
        self.front.requests += 1;
        self.end_unnamed();
        self.back.unsynced = false;
    }

    /// Notes what a simple query will do, and returns it.
    fn effects_of_query(&mut self, message: &Message<'_>) -> Effects {
        if self.front.keeps_names() {
            return Effects::default();
        }
        if !message.is_whole() {
            self.front.pin(PinReason::Unclassified);
            return Effects::default();
        }
        let text = message.body();
        let text = text.strip_suffix(b"\0").unwrap_or(text);
        let effects = if message.at == 0 && u32::try_from(message.total) == Ok(self.foreseen) {
            debug_assert_eq!(plain(text), Some(Plain::Read));
            Effects::default()
        } else {
            rules::effects(text)
        };
        self.front.affect(&effects, || rules::fingerprint(text));
        self.note_changes(&effects);
        effects
    }

    fn execute(&mut self, message: &Message<'_>) -> Result<Option<usize>, Fault> {
        let mut script = None;
        if !self.front.portals.is_empty() {
            if !message.is_whole() {
                return Ok(None);
            }
            let portal = rename::split_cstr(message.body()).map(|(name, _)| name);
            script = portal.and_then(|name| self.front.portals.get(name).cloned());
        }
        if script
            .as_deref()
            .is_some_and(|script| self.needs_barrier(script))
        {
            self.front.barrier = Barrier::AtSync;
        }
        self.front.requests += 1;
        let clears = script.as_deref().is_some_and(rules::clears_the_table);
        let dealt = self.ask(message, Owed::Execute(script.clone()));
        if let Some(script) = &script {
            put_in::behind_execute(self, script);
        }
        if clears {
            // What follows in the same batch waits too, so the answer must not wait for its Sync.
            self.script.insert_with(rename::flush);
            self.front.barrier = Barrier::Up;
        }
        Ok(Some(dealt))
    }

    fn sync(&mut self, message: &Message<'_>) -> usize {
        let dealt = self.pass(message);
        if self.back.copy == CopyIn::Reading {
            // While the server reads COPY data it ignores Sync; but it may have found an error in
            // them and stopped reading.
            self.back.doubt = true;
        } else {
            self.back.skipping = false;
            self.back.unsynced = false;
            self.back.debts.push(Owed::Sync);
            if self.front.barrier == Barrier::AtSync {
                self.front.barrier = Barrier::Up;
            }
        }
        dealt
    }

    /// Passes an extended-protocol message on and notes what will be owed for it.
    pub(super) fn ask(&mut self, message: &Message<'_>, owed: Owed) -> usize {
        self.back.unsynced = true;
        self.back.debts.push(owed);
        self.pass(message)
    }

    /// Passes a message on as its bytes come.
    pub(super) fn pass(&mut self, message: &Message<'_>) -> usize {
        let now = message.bytes.len();
        self.script.pass(message.at..message.at + now);
        self.front.passing = message.total - now;
        now
    }

    /// Notes that Sluice answers a message itself, at once if nothing comes before it.
    pub(super) fn answer(&mut self, owed: Owed, reply: &[u8]) {
        self.back.unsynced = true;
        if self.back.debts.is_empty() && self.back.body.left == 0 {
            self.replies.extend_from_slice(reply);
        } else {
            self.back.debts.push(owed);
        }
    }
}

/// How many bytes of a message must have come before it gets a server connection, so that a
/// client that stalls in the middle of a short request holds none.
fn worth_a_server(header: Header, max_statement: usize) -> usize {
    let total = HEADER_LEN + header.len;
    let held_whole = matches!(header.kind, b'Q' | b'P') && total <= max_statement;
    if held_whole {
        total
    } else {
        total.min(WORTH_A_SERVER)
    }
}

fn checked_header(input: &[u8]) -> Result<Option<Header>, Fault> {
    let header = frame::header(input, LARGE_MESSAGE)
        .map_err(|_| Fault::protocol("invalid message length"))?;
    let Some(header) = header else {
        return Ok(None);
    };
    let limit = match header.kind {
        b'Q' | b'P' | b'B' | b'd' | b'F' => LARGE_MESSAGE,
        b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f' => SMALL_MESSAGE,
        kind => {
            return Err(Fault::protocol(format!(
                "invalid frontend message type {kind}"
            )));
        }
    };
    if header.len > limit {
        return Err(Fault::protocol("invalid message length"));
    }
    Ok(Some(header))
}

/// `PQ_LARGE_MESSAGE_LIMIT`, MaxAllocSize less one, in the server's `libpq/libpq.h`.
const LARGE_MESSAGE: usize = 0x3fff_fffe;

/// `PQ_SMALL_MESSAGE_LIMIT` in the server's `libpq/libpq.h`.
const SMALL_MESSAGE: usize = 10_000;

/// This much of a message that is streamed suffices.
const WORTH_A_SERVER: usize = 8 * 1024;
