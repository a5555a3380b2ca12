//! Reading what the server sends: settle debts, keep the books, decide what the client sees.
//!
//! Rows and COPY data are passed by their headers alone. Message formats and flow:
//! PostgreSQL documentation, sections 55.2 (flow) and 55.7 (formats).

use std::sync::Arc;

use crate::model::TxStatus;
use crate::protocol::{Breach, Script};

use super::back::{Body, CopyIn, PgBack, UNKNOWN};
use super::bereft::Loss;
use super::by_name::{self, What};
use super::frame::{self, HEADER_LEN};
use super::front::PgFront;
use super::owed::{Fate, Owed, Undo};
use super::rename;
use super::reported::Reported;
use super::track::ROLLED_BACK;
use super::{inspect, listen, reply_error, shape_reply, skim};

/// A client that watches, and the edits to what it will see.
pub struct Watcher<'a> {
    /// The client's books.
    pub front: &'a mut PgFront,
    /// What of the input it gets.
    pub script: &'a mut Script,
}

/// Reads server bytes; returns how many were dealt with.
pub fn read(back: &mut PgBack, client: Option<Watcher<'_>>, input: &[u8]) -> Result<usize, Breach> {
    let mut reader = Reader { back, client };
    let mut at = reader.continue_body(input);
    at += skim::skim(&mut reader, input, at);
    while let Some(rest) = input.get(at..)
        && !rest.is_empty()
        && reader.back.body.left == 0
        && !reader.has_failed()
    {
        let header = frame::header(rest, LONGEST_BODY).map_err(|_| Breach("bad message length"))?;
        let Some(header) = header else { break };
        let total = HEADER_LEN + header.len;
        let message = Message {
            kind: header.kind,
            at,
            total,
            whole: rest.get(..total),
            available: rest.len(),
        };
        let Some(dealt) = reader.message(&message)? else {
            break;
        };
        at += dealt;
    }
    Ok(at)
}

/// One message of the input, perhaps not whole yet.
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    /// Where it starts in the input.
    at: usize,
    /// Header and body.
    total: usize,
    /// All of it, where the input has that.
    pub(super) whole: Option<&'a [u8]>,
    /// How much of the input is left from `at`.
    available: usize,
}

impl<'a> Message<'a> {
    /// Header and body in bytes.
    pub(super) fn size(&self) -> usize {
        self.total
    }

    /// The body, where the message is whole.
    pub(super) fn body(&self) -> Option<&'a [u8]> {
        self.whole.and_then(|whole| whole.get(HEADER_LEN..))
    }
}

pub(super) struct Reader<'a> {
    pub(super) back: &'a mut PgBack,
    pub(super) client: Option<Watcher<'a>>,
}

impl Reader<'_> {
    /// True if the client's settings could not be brought here: it must not see what its
    /// statements have done under others.
    fn has_failed(&self) -> bool {
        let client = self.client.as_ref();
        client.is_some_and(|client| client.front.replay_failed.is_some())
    }

    /// Deals with the rest of a message whose header came earlier.
    fn continue_body(&mut self, input: &[u8]) -> usize {
        let body = self.back.body;
        let n = body.left.min(input.len());
        if body.pass {
            self.pass(0, n);
        }
        self.back.body.left = body.left - n;
        if n > 0 && n == body.left {
            self.pay_fakes();
        }
        n
    }

    /// Deals with one message; `None` if more of it must come first.
    fn message(&mut self, message: &Message<'_>) -> Result<Option<usize>, Breach> {
        match message.kind {
            // DataRow, CopyData: by far the most, so first.
            b'D' | b'd' => self.rows(message),
            b'N' | b'S' | b'A' => self.unsolicited(message),
            b'Z' => self.ready(message),
            b'E' => reply_error::read(self, message),
            b'C' => self.complete(message),
            b'G' | b'H' | b'W' => self.copy_starts(message),
            b'c' => self.stream(message),
            b't' => self.parameter_types(message),
            b'1' => self.answers(message, |owed| matches!(owed, Owed::Parse(..))),
            b'2' => self.answers_shown(message, |owed| {
                matches!(owed, Owed::Bind(_) | Owed::Inner(b'2'))
            }),
            b'3' => self.answers(message, |owed| matches!(owed, Owed::Close(_))),
            b's' => {
                // Rows have come, and with them whatever their functions have set.
                self.follow(b"");
                self.answers(message, |owed| matches!(owed, Owed::Execute(_)))
            }
            // Under a simple Query these two do not end what is owed.
            b'I' => self.may_answer(message, |owed| matches!(owed, Owed::Execute(_))),
            b'T' | b'n' => shape_reply::description(self, message),
            b'V' => self.stream(message),
            _ => Err(Breach("unknown message type")),
        }
    }

    /// Passes a message on as its bytes come.
    pub(super) fn stream(&mut self, message: &Message<'_>) -> Result<Option<usize>, Breach> {
        let fate = match self.back.debts.first() {
            Some(owed) => owed.fate(),
            None if self.back.doubt => Fate::Client,
            None => return Err(Breach("a reply that nothing asked for")),
        };
        Ok(Some(self.stream_for(message, fate)))
    }

    pub(super) fn stream_for(&mut self, message: &Message<'_>, fate: Fate) -> usize {
        let now = message.total.min(message.available);
        let pass = fate == Fate::Client;
        if pass {
            self.pass(message.at, message.at + now);
        }
        self.back.body = Body {
            left: message.total - now,
            pass,
        };
        now
    }

    fn rows(&mut self, message: &Message<'_>) -> Result<Option<usize>, Breach> {
        if let Some(Owed::Query(Fate::Inspection)) = self.back.debts.first()
            && message.kind == b'D'
        {
            return self.inspected(message);
        }
        if let Some(Owed::Query(Fate::Chore)) = self.back.debts.first()
            && message.kind == b'D'
        {
            let Some(body) = message.body() else {
                // A chore asks for single short values; a long one is of no use.
                return if message.total > CHORE_ROW_LIMIT {
                    self.stream(message)
                } else {
                    Ok(None)
                };
            };
            if self.back.chore.tabular {
                self.back.chore.table.row(values(body));
            } else if self.back.chore.value.is_none() {
                self.back.chore.value = first_column(body).map(<[u8]>::to_vec);
            }
            return Ok(Some(message.total));
        }
        self.stream(message)
    }

    /// A row of what the server says about the connection itself.
    fn inspected(&mut self, message: &Message<'_>) -> Result<Option<usize>, Breach> {
        if message.whole.is_none() && message.total <= CHORE_ROW_LIMIT {
            return Ok(None);
        }
        if let Some(client) = &mut self.client {
            client.front.inspection.row(message.body());
        }
        self.stream(message)
    }

    /// A message that ends the first debt, which must be of the right kind.
    fn answers(
        &mut self,
        message: &Message<'_>,
        fits: impl Fn(&Owed) -> bool,
    ) -> Result<Option<usize>, Breach> {
        let Some(owed) = self.back.debts.first() else {
            return self.stream(message);
        };
        if !fits(owed) {
            return Err(Breach("a reply out of order"));
        }
        let dealt = self.stream_for(message, owed.fate());
        self.back.debts.pop();
        // A reply of ours must not overtake the rest of this one.
        if self.back.body.left == 0 {
            self.pay_fakes();
        }
        Ok(Some(dealt))
    }

    /// The same for a message that shows the client that its batch is being carried out.
    fn answers_shown(
        &mut self,
        message: &Message<'_>,
        fits: impl Fn(&Owed) -> bool,
    ) -> Result<Option<usize>, Breach> {
        self.back.again.shown();
        self.answers(message, fits)
    }

    /// ParameterDescription: the error that may follow decides whether the client sees it.
    fn parameter_types(&mut self, message: &Message<'_>) -> Result<Option<usize>, Breach> {
        if !matches!(self.back.debts.first(), Some(Owed::Describe(Some(_)))) {
            return self.stream(message);
        }
        match message.whole {
            None if message.total <= HOLD_LIMIT => Ok(None),
            None => self.stream(message),
            Some(whole) => {
                self.back.held.extend_from_slice(whole);
                Ok(Some(message.total))
            }
        }
    }

    /// Shows the client what was held back.
    pub(super) fn show_held(&mut self) {
        let held = std::mem::take(&mut self.back.held);
        if let Some(client) = &mut self.client {
            client.script.insert(&held);
        }
    }

    /// A message that ends the first debt if that is of the right kind.
    pub(super) fn may_answer(
        &mut self,
        message: &Message<'_>,
        fits: impl Fn(&Owed) -> bool,
    ) -> Result<Option<usize>, Breach> {
        if self.back.debts.first().is_some_and(&fits) {
            return self.answers(message, fits);
        }
        self.stream(message)
    }

    /// CommandComplete.
    fn complete(&mut self, message: &Message<'_>) -> Result<Option<usize>, Breach> {
        let Some(body) = message.body() else {
            return Ok(None);
        };
        let fate = self.back.debts.first().map(Owed::fate);
        if fate == Some(Fate::Move) {
            return self.stream(message);
        }
        if fate == Some(Fate::Inspection) {
            if let Some(client) = &mut self.client {
                client.front.inspection.next_part();
            }
            return self.stream(message);
        }
        if self.back.copy != CopyIn::None {
            // It has read everything up to CopyDone, Syncs sent ahead included.
            self.back.copy = CopyIn::None;
            self.back.doubt = false;
        }
        // These end what other sessions' statements are remembered by.
        if body == b"DISCARD ALL\0" {
            self.discarded(fate);
        } else if body == b"DEALLOCATE ALL\0" {
            self.back.statements.clear();
            self.back.names.clear();
            if let Some(client) = &mut self.client {
                client.front.statements_gone();
            }
        }
        if matches!(self.back.debts.first(), Some(Owed::Inner(_))) {
            return self.answers(message, |owed| matches!(owed, Owed::Inner(b'C')));
        }
        match self.back.debts.first_mut() {
            Some(Owed::Mended(mended)) if mended.is_within() => {
                if mended.completed_within() {
                    self.restored(false);
                }
                return Ok(Some(self.stream_for(message, Fate::Ours)));
            }
            Some(Owed::Restored { lasts }) => {
                let lasts = *lasts;
                self.restored(lasts);
                return self.answers(message, |_| true);
            }
            _ => {}
        }
        self.follow(body);
        if matches!(self.back.debts.first(), Some(Owed::Mended(_))) {
            // One of ours may come next, but this was the client's.
            return Ok(Some(self.stream_for(message, Fate::Client)));
        }
        if matches!(self.back.debts.first(), Some(Owed::Execute(_))) {
            return self.answers(message, |_| true);
        }
        self.stream(message)
    }

    /// What the client asked for at startup is in force again, behind its RESET. `lasts`: whatever
    /// becomes of what follows.
    fn restored(&mut self, lasts: bool) {
        if let Some(client) = &mut self.client {
            let settings = &mut client.front.settings;
            settings.applied(false);
            if lasts {
                settings.commit();
            }
            self.back.follow(client.front);
        }
    }

    /// Brings what is known of the session up to date with a statement that is complete.
    fn follow(&mut self, tag: &[u8]) {
        let Some(client) = &mut self.client else {
            // Nobody follows what a lost client's statement has set.
            let owed = self.back.debts.first();
            self.back.dirty |= owed.is_some_and(|owed| owed.fate() == Fate::Client);
            return;
        };
        let (front, back) = (&mut *client.front, &mut *self.back);
        front.ran = true;
        if inspect::gives_up(tag) {
            front.inspection.given_up();
        }
        match back.debts.first_mut() {
            Some(Owed::Scripted(verdict, done)) => {
                let verdict = Arc::clone(verdict);
                if let Some(statement) = verdict.statements.get(*done) {
                    *done += 1;
                    front.settings.complete(statement, tag);
                    by_name::complete(front, back, statement);
                }
            }
            Some(Owed::Mended(mended)) => {
                let (verdict, done) = mended.completed();
                if let Some(statement) = verdict.statements.get(done) {
                    front.settings.complete(statement, tag);
                    by_name::complete(front, back, statement);
                }
            }
            Some(Owed::Execute(Some(verdict))) => {
                let verdict = Arc::clone(verdict);
                for statement in &verdict.statements {
                    front.settings.complete(statement, tag);
                    by_name::complete(front, back, statement);
                }
            }
            Some(Owed::Deallocate(gone)) => {
                back.statements.forget(gone.key);
                front.named.remove(&gone.name);
            }
            Some(Owed::Query(Fate::Client) | Owed::Execute(None)) if tag == ROLLED_BACK => {
                front.settings.roll_back();
            }
            _ => return,
        }
        back.follow(front);
    }

    fn discarded(&mut self, fate: Option<Fate>) {
        self.back.discarded();
        if fate == Some(Fate::Client)
            && let Some(client) = &mut self.client
        {
            // RESET returns a direct connection to its startup options, but this one to none:
            // they are replayed before the client's next request.
            client.front.discarded();
        }
    }

    fn copy_starts(&mut self, message: &Message<'_>) -> Result<Option<usize>, Breach> {
        if message.whole.is_none() && message.total <= HOLD_LIMIT {
            return Ok(None);
        }
        if message.kind != b'H' {
            // Syncs that the client sent ahead will be read, and ignored, as part of the COPY.
            // If it fails before it reads, they count after all: nobody can tell.
            let ahead = self.back.debts.begin_copy();
            self.back.doubt |= ahead.syncs;
            // Then none of them has ended the implicit transaction.
            self.back.unsynced |= ahead.syncs && self.back.debts.has_extended();
            self.back.copy = if ahead.ended {
                CopyIn::Ended
            } else {
                CopyIn::Reading
            };
        }
        self.stream(message)
    }

    /// ReadyForQuery.
    fn ready(&mut self, message: &Message<'_>) -> Result<Option<usize>, Breach> {
        let Some(body) = message.body() else {
            return Ok(None);
        };
        self.back.tx = match body {
            b"I" => TxStatus::Idle,
            b"T" => TxStatus::Open,
            b"E" => TxStatus::Failed,
            _ => return Err(Breach("unknown transaction state")),
        };
        self.back.copy = CopyIn::None;
        self.back.ends = false;
        let fate = match self.back.debts.first() {
            Some(owed) if !owed.is_extended() => {
                let fate = owed.fate();
                self.back.debts.pop();
                fate
            }
            // The answer to a Sync that the books took for part of a COPY.
            _ if self.back.doubt => Fate::Client,
            _ => return Err(Breach("ready before everything was answered")),
        };
        match fate {
            Fate::Client if self.back.again.is_due() => {}
            Fate::Client => {
                if let Some(Watcher { front, script }) = &mut self.client {
                    script.insert_with(|out| front.learn_startup(out));
                }
                self.pass(message.at, message.at + message.total);
                self.back.instead = None;
                self.idle();
            }
            Fate::Replay => {
                self.back.accepted.note(&self.back.settings);
                self.tell_news();
                self.back.rest();
            }
            Fate::Inspection => {
                if let Some(client) = &mut self.client {
                    inspect::conclude(client.front, self.back);
                }
                self.back.rest();
            }
            Fate::Move => {
                if let Some(client) = &mut self.client {
                    listen::answered(client.front, self.back);
                }
            }
            Fate::Ours | Fate::Bereft => {}
            Fate::Chore => {
                self.back.rest();
            }
        }
        self.pay_fakes();
        Ok(Some(message.total))
    }

    /// Settles what the end of a transaction does to what is known of the session.
    fn idle(&mut self) {
        if self.back.debts.is_empty()
            && let Some(client) = &mut self.client
        {
            client.front.settle();
            self.back.again.settle();
        }
        if self.back.tx != TxStatus::Failed
            && let Some(client) = &mut self.client
        {
            client.front.loss = Loss::None;
        }
        if self.back.tx != TxStatus::Idle {
            return;
        }
        if let Some(client) = &mut self.client {
            client.front.settings.idle();
            if !client.front.portals.is_empty() {
                client.front.portals.clear();
            }
            self.back.follow(client.front);
            let PgFront {
                listener, settings, ..
            } = &mut *client.front;
            if let Some(listener) = listener {
                listener.settle(settings.heard());
            }
            if self.back.rest() {
                client.front.inspection.suspect(None);
            }
            self.back.dirty |= std::mem::take(&mut client.front.untidy);
        }
    }

    /// NoticeResponse, ParameterStatus, NotificationResponse: at any time, for whoever is there.
    fn unsolicited(&mut self, message: &Message<'_>) -> Result<Option<usize>, Breach> {
        if message.whole.is_none() && message.total <= HOLD_LIMIT {
            return Ok(None);
        }
        let mut fate = self.back.debts.first().map_or(Fate::Client, Owed::fate);
        if message.kind == b'A' {
            // Whatever Sluice does meanwhile, it is for the one who listens.
            fate = if self.is_news(message.whole) {
                Fate::Client
            } else {
                Fate::Ours
            };
        }
        if message.kind == b'S' {
            let Some((name, value)) = message.body().and_then(name_and_value) else {
                return Err(Breach("malformed ParameterStatus"));
            };
            self.back.reported = self.back.reported.with(name, value);
            if fate == Fate::Client
                && let Some(client) = &mut self.client
            {
                let front = &mut *client.front;
                if front.is_back_at_startup(name) {
                    // See `learn_startup`.
                    return Ok(Some(self.stream_for(message, Fate::Ours)));
                }
                front.reported = front.reported.with(name, value);
                if Reported::same(&front.reported, &self.back.reported) {
                    front.reported = Arc::clone(&self.back.reported);
                }
            }
        }
        Ok(Some(self.stream_for(message, fate)))
    }

    /// True if the client has not heard of a notification, and will not, in another way.
    fn is_news(&mut self, whole: Option<&[u8]>) -> bool {
        let Some(Watcher { front, .. }) = &mut self.client else {
            return true;
        };
        match (&mut front.listener, whole) {
            (Some(listener), Some(whole)) => listener.is_for_client(whole, front.settings.heard()),
            _ => true,
        }
    }

    /// Tells the client which reported settings differ on this connection from what it knows.
    fn tell_news(&mut self) {
        let Some(client) = &mut self.client else {
            return;
        };
        let Watcher { front, script } = client;
        front.confirmed = true;
        script.insert_with(|out| front.learn(&self.back.reported, out));
    }

    /// Sends the replies of Sluice's own whose turn has come.
    pub(super) fn pay_fakes(&mut self) {
        while let Some(owed) = self.back.debts.first() {
            let reply: &[u8] = match owed {
                Owed::FakeParse(_) => rename::PARSE_COMPLETE,
                Owed::FakeClose(_) => rename::CLOSE_COMPLETE,
                Owed::Note(_) | Owed::CopyEnd => b"",
                _ => return,
            };
            self.back.debts.pop();
            if let Some(client) = &mut self.client {
                client.script.insert(reply);
            }
        }
    }

    /// Takes back what a message would have done. `failed`: it is what failed, rather than
    /// skipped for an earlier failure.
    pub(super) fn undo(&mut self, undo: Undo, failed: bool) {
        let back = &mut *self.back;
        match &undo {
            Undo::Named(key, _) | Undo::Prepared(key) => back.statements.forget(*key),
            Undo::Unnamed { .. } | Undo::UnnamedHere => back.unnamed = UNKNOWN,
            _ => {}
        }
        match undo {
            Undo::Stale(name) => return back.statements.close_later(name),
            Undo::Held(name) => return back.names.hold(&name, What::Unknown),
            _ => {}
        }
        let Some(front) = self.client.as_mut().map(|client| &mut *client.front) else {
            return;
        };
        match undo {
            Undo::Named(_, name) | Undo::Name(name) => {
                front.named.remove(&name);
            }
            Undo::Restore(name, statement) => {
                front.named.insert(name, statement);
            }
            Undo::RestoreSql(name, statement) => {
                front.sql.insert(name, statement);
            }
            Undo::Unnamed { generation, before } => {
                let before = before.filter(|_| !failed).map(|before| *before);
                let before = before.unwrap_or_default();
                if front.unnamed.generation == generation {
                    front.unnamed = before;
                } else {
                    back.debts.replace_unnamed(generation, before);
                }
            }
            _ => {}
        }
    }

    /// Passes a range of the input to the client, if there is one.
    pub(super) fn pass(&mut self, from: usize, to: usize) {
        if let Some(client) = &mut self.client {
            client.script.pass(from..to);
        }
    }
}

/// The first value of a DataRow's body: Int16 count, then Int32 length and bytes each.
fn first_column(body: &[u8]) -> Option<&[u8]> {
    let (_, rest) = body.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(i32::from_be_bytes(*length)).ok()?)
}

/// The values of a DataRow's body, as far as they are whole; a length of -1 is a null.
fn values(body: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = body.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            rest = after;
            return Some(None);
        };
        let (value, after) = after.split_at_checked(length)?;
        rest = after;
        Some(Some(value))
    })
}

/// Two strings, each ended by a zero byte, and nothing else.
fn name_and_value(body: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr::memchr(0, body)?;
    let name = std::str::from_utf8(body.get(..end)?).ok()?;
    let value = body.get(end + 1..)?.strip_suffix(b"\0")?;
    Some((name, value))
}

/// Messages up to this size are read whole before they are dealt with, where their end matters.
pub(super) const HOLD_LIMIT: usize = 64 * 1024;

/// A longer row cannot be the answer to a chore. The longest is what a catalogue says.
const CHORE_ROW_LIMIT: usize = 8 * 1024 * 1024;

/// No message of a server is longer: an Int32 counts its bytes.
pub(super) const LONGEST_BODY: usize = 0x7fff_ffff;
