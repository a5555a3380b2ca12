//! Asking the server what a connection holds of its client.
//!
//! Statements only decide when to ask; the answer decides what pins. So a temporary table that was
//! dropped, committed away, rolled back or made by a function nobody can see into is told apart
//! without a model of any of it. The question goes out when the client's answer is complete and no
//! transaction is open; the client's next request waits behind it.
//!
//! # What cannot be asked
//! Settings by names that only functions know ([`question`] looks for such names in their source),
//! the seed of `random()`, values of sequences, loaded libraries. Statements that show these pin and
//! stay pinned; code that does them unseen leaves a connection that is reset before others get it.

use std::sync::Arc;

use crate::model::{Finding, PinPolicy, PinReason, Pins};

use super::back::PgBack;
use super::front::PgFront;
use super::listen::{self, Channels};
use super::owed::{Fate, Owed};
use super::rename;
use super::settings::Settings;

mod adopt;
pub(super) mod offenders;
mod question;

pub(super) use adopt::SettingRow;

/// How much there is to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Doubt {
    /// Nothing.
    #[default]
    None,
    /// What the connection holds.
    Holdings,
    /// That, and its settings: code of users has run.
    Everything,
}

/// What a client's books know about the need to ask.
// In this order: see `PgFront`.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Inspection {
    finding: Option<Box<Finding>>,
    /// Statements so far that may have run code of users.
    calls: u32,
    doubt: Doubt,
    /// The answer, while it comes.
    answer: Option<Box<Answer>>,
    /// The statement that caused the doubt, where state may have changed unseen.
    cause: Option<Box<str>>,
}

impl Inspection {
    /// A statement is about to run that is a reason to pin.
    pub(super) fn heed(&mut self, pins: Pins) {
        let doubt = if pins.contains(PinReason::CodeBlock) {
            Doubt::Everything
        } else if pins.common(ASKED).is_empty() {
            Doubt::None
        } else {
            Doubt::Holdings
        };
        self.doubt = self.doubt.max(doubt);
    }

    /// A statement may have given up what pins.
    pub(super) fn given_up(&mut self) {
        self.doubt = self.doubt.max(Doubt::Holdings);
    }

    /// A statement is about to run; true if what it leaves behind is to be compared with the books.
    pub(super) fn draws(&mut self, policy: &PinPolicy, client: u64, may_call: bool) -> bool {
        if !may_call && !policy.verify.is_all() {
            return false;
        }
        self.calls = self.calls.wrapping_add(1);
        // Clients do not draw in step.
        policy
            .verify
            .includes(u64::from(self.calls).wrapping_add(client << 20))
    }

    /// What the session's settings and other state are is to be compared with the books.
    pub(super) fn suspect(&mut self, cause: Option<Box<str>>) {
        self.doubt = Doubt::Everything;
        if cause.is_some() {
            self.cause = cause;
        }
    }

    /// The server connection is given up, and with it what was in doubt.
    pub(super) fn calm(&mut self) {
        self.doubt = Doubt::None;
        self.cause = None;
        self.answer = None;
    }

    /// A row of the answer; `None`: one that is too long.
    pub(super) fn row(&mut self, body: Option<&[u8]>) {
        if let Some(answer) = &mut self.answer {
            answer.row(body);
        }
    }

    /// A statement of the question is complete.
    pub(super) fn next_part(&mut self) {
        if let Some(answer) = &mut self.answer {
            answer.part += 1;
        }
    }

    /// The question was refused: nothing is learnt.
    pub(super) fn refused(&mut self) {
        if let Some(answer) = &mut self.answer {
            answer.failed = true;
        }
    }

    /// See [`protocol::Front::finding`](crate::protocol::Front::finding).
    pub(super) fn finding(&mut self) -> Option<Finding> {
        self.finding.take().map(|finding| *finding)
    }
}

/// See [`Engine::inspect`](crate::protocol::Engine::inspect).
pub fn inspect(front: &mut PgFront, back: &mut PgBack, request: &mut Vec<u8>) -> bool {
    let doubt = front.inspection.doubt;
    let pins = front.pins;
    if !pins.since(ASKED).is_empty() {
        return false;
    }
    front.inspection.doubt = Doubt::None;
    if doubt == Doubt::None || pins.is_empty() && doubt == Doubt::Holdings {
        return listen::advance(front, back, request);
    }
    let everything = doubt == Doubt::Everything;
    let sql = question::write(everything.then_some(&*back.settings), back.customs.as_ref());
    front.inspection.answer = Some(Box::new(Answer {
        everything,
        ..Answer::default()
    }));
    rename::query(&sql, request);
    // A simple query replaces the unnamed statement (PostgreSQL documentation, section 55.2.3).
    back.unnamed = None;
    back.debts.push(Owed::Query(Fate::Inspection));
    true
}

/// What the server has said so far.
#[derive(Debug, Default)]
struct Answer {
    everything: bool,
    failed: bool,
    /// Statements of the question that are complete.
    part: u8,
    holdings: Option<Holdings>,
    channels: Channels,
    settings: Vec<SettingRow>,
}

/// What a connection holds.
#[derive(Debug)]
struct Holdings {
    held: Pins,
    /// Statements that SQL prepared.
    from_sql: usize,
    /// Statements that the protocol prepared.
    prepared: usize,
    /// As `SHOW role` has it.
    role: Box<[u8]>,
}

impl Answer {
    fn row(&mut self, body: Option<&[u8]>) {
        let Some(values) = body.and_then(values) else {
            self.failed = true;
            return;
        };
        match self.part {
            0 => match Holdings::read(&values) {
                Some(holdings) => self.holdings = Some(holdings),
                None => self.failed = true,
            },
            1 => {
                let channel = values.first().copied().flatten().unwrap_or_default();
                self.channels.insert(channel.into());
            }
            _ => match SettingRow::read(&values) {
                Some(row) => self.settings.push(row),
                None => self.failed = true,
            },
        }
    }
}

impl Holdings {
    fn read(values: &[Option<&[u8]>]) -> Option<Self> {
        let [temp, cursor, lock, from_sql, prepared, role] = values else {
            return None;
        };
        let held = [
            (temp, PinReason::TempObject),
            (cursor, PinReason::HeldCursor),
            (lock, PinReason::AdvisoryLock),
        ];
        let held = held
            .into_iter()
            .filter(|(value, _)| **value != Some(b"f"))
            .map(|(_, reason)| reason)
            .collect();
        let number = |value: &Option<&[u8]>| std::str::from_utf8((*value)?).ok()?.parse().ok();
        Some(Self {
            held,
            from_sql: number(from_sql)?,
            prepared: number(prepared)?,
            role: (*role)?.into(),
        })
    }
}

/// Brings the books up to date with the answer, which is complete.
pub(super) fn conclude(front: &mut PgFront, back: &mut PgBack) {
    let cause = front.inspection.cause.take();
    let Some(answer) = front.inspection.answer.take() else {
        return;
    };
    let Answer {
        everything,
        failed: false,
        holdings: Some(holdings),
        channels,
        settings,
        ..
    } = *answer
    else {
        // What was believed before is believed still.
        return;
    };
    let mut held = holdings.held;
    if holdings.from_sql > back.names.prepared_by_sql() {
        // Some that cannot be prepared again elsewhere.
        held.insert(PinReason::SqlPrepare);
    }
    if !channels.is_empty() {
        held.insert(PinReason::Listen);
    }
    listen::found(front, channels);
    let asked = if everything { ASKED } else { HELD };
    let mut found = held.since(front.pins);
    if everything {
        // What it cannot be asked for is not left to the next client.
        back.dirty |= front.pins.contains(PinReason::CodeBlock);
        let role = front.settings.actual().value("role").map(adopt::text);
        if role.as_deref().unwrap_or(b"none") != &*holdings.role {
            held.insert(PinReason::Role);
            found.insert(PinReason::Role);
        }
        if holdings.prepared < back.statements.len() {
            back.statements.clear();
            found.insert(PinReason::SqlPrepare);
        }
        if adopt_settings(front, back, settings) {
            found.insert(PinReason::Setting);
        }
    }
    let filtered = front.policy.pins.filtered;
    back.dirty |= !held.common(filtered).is_empty();
    front.set_pins(front.pins.since(asked).union(held.since(filtered)));
    if !found.is_empty() {
        if let Some(cause) = &cause {
            offenders::add(cause);
        }
        if front.pins.common(found) != Pins::NONE && front.pin_cause.is_none() {
            front.pin_cause.clone_from(&cause);
        }
        front.inspection.finding = Some(Box::new(Finding { what: found, cause }));
    }
}

/// Takes the server's word for the session's settings; true if they had changed unseen.
fn adopt_settings(front: &mut PgFront, back: &mut PgBack, rows: Vec<SettingRow>) -> bool {
    if back.customs.is_none() {
        back.customs = Some(adopt::discovered(&rows));
    }
    let believed = Arc::clone(front.settings.actual());
    if !Settings::same(front.settings.wanted(), &believed) {
        // A replay is due, of which the server does not know yet.
        return false;
    }
    let (actual, changed) = adopt::reconcile(&believed, &rows);
    if !Settings::same(&actual, &believed) {
        front.settings.adopt(Arc::clone(&actual));
        back.settings = actual;
    }
    changed
}

/// The values of a DataRow's body: Int16 count, then Int32 length, -1 for null, and bytes each
/// (PostgreSQL documentation, section 55.7).
fn values(body: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let count = u16::from_be_bytes(*count);
    let mut values = Vec::new();
    for _ in 0..count {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        rest = tail;
        if length < 0 {
            values.push(None);
            continue;
        }
        let (value, tail) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        values.push(Some(value));
        rest = tail;
    }
    Some(values)
}

/// True if a command tag says that something is gone that may have pinned.
pub(super) fn gives_up(tag: &[u8]) -> bool {
    let words: [&[u8]; 3] = [b"DROP ", b"CLOSE ", b"DISCARD "];
    words.iter().any(|word| tag.starts_with(word))
}

/// What a look at the connection shows.
const HELD: Pins = Pins::of(&[
    PinReason::TempObject,
    PinReason::HeldCursor,
    PinReason::AdvisoryLock,
    PinReason::Listen,
    PinReason::SqlPrepare,
]);

/// What a look at the connection and its settings settles.
const ASKED: Pins = Pins::of(&[
    PinReason::TempObject,
    PinReason::HeldCursor,
    PinReason::AdvisoryLock,
    PinReason::Listen,
    PinReason::SqlPrepare,
    PinReason::CodeBlock,
]);

#[cfg(test)]
mod tests;
