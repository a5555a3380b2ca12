//! What the end of a reply means: for the client's books, and for Sluice's own questions.

use super::back::MyBack;
use super::effects;
use super::front::MyFront;
use super::message::{Err, Ok as OkPacket};
use super::owed::{Fate, Owed, Then};
use super::reply::{Packet, ReplyReader, Watcher, server_error};
use super::statements::{Draft, Held};
use super::status::Status;
use super::typing::Typing;
use super::unseen::Doubt;
use super::wire::Reader;
use crate::model::PinReason;
use crate::protocol::Refusal;

/// The reply to a preparation (MySQL protocol, `COM_STMT_PREPARE_OK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreparedReply {
    /// The server's number for the statement.
    pub number: u32,
    /// How many columns its result has.
    pub columns: u16,
    /// How many parameters it has.
    pub parameters: u16,
    /// How many warnings there are of it.
    pub warnings: u16,
}

impl PreparedReply {
    /// Reads it.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let _ok = reader.u8()?;
        Some(Self {
            number: reader.u32()?,
            columns: reader.u16()?,
            parameters: reader.u16()?,
            // Of the protocol before 4.1 there is nothing more.
            warnings: reader.u8().and_then(|_| reader.u16()).unwrap_or(0),
        })
    }
}

/// The client has its statement, under this number of Sluice's.
pub(super) fn hold(reader: &mut ReplyReader<'_>, reply: &PreparedReply) -> u32 {
    let Some(owed) = reader.back.debts.front_mut() else {
        return 0;
    };
    let Fate::Client(then) = &mut owed.fate else {
        return 0;
    };
    let Then::Prepared(draft) = std::mem::replace(then, Then::Nothing) else {
        return 0;
    };
    let Draft {
        statement,
        verdict,
        schemaless,
    } = *draft;
    let settings = std::sync::Arc::clone(&reader.back.settings);
    let key = (statement.id, settings.meaning());
    reader.back.statements.add(key, reply.number);
    let Some(watcher) = &mut reader.watcher else {
        return 0;
    };
    if reply.warnings > 0 {
        watcher.front.last.warnings.open();
    }
    if schemaless {
        watcher.front.pin(PinReason::SqlPrepare);
    }
    watcher.front.hold(Held {
        statement,
        settings,
        verdict,
        parameters: reply.parameters,
        types: None,
        typing: Typing::default(),
        root: None,
        failed: None,
        schemaless,
    })
}

/// The connection has prepared a statement of the client's, to be executed next.
pub(super) fn prepared_here(reader: &mut ReplyReader<'_>, reply: &PreparedReply) {
    let Some(Owed {
        fate: Fate::Prepare(key),
        ..
    }) = reader.back.debts.front()
    else {
        return;
    };
    let failed = |watcher: &Watcher<'_>| watcher.front.prepare_failed.is_some();
    if reader.watcher.as_ref().is_some_and(failed) {
        // Under whatever settings: not as the client has prepared it.
        reader.back.statements.discard(reply.number);
    } else {
        reader.back.statements.add(*key, reply.number);
    }
}

/// A result is complete.
pub(super) fn complete(reader: &mut ReplyReader<'_>, ok: &OkPacket<'_>) {
    let more = ok.status.has(Status::MORE_RESULTS);
    let rows = reader.back.debts.front().map_or(0, |owed| owed.rows);
    let with_rows = reader
        .back
        .debts
        .front()
        .is_some_and(|owed| owed.stage != super::grammar::Stage::First);
    if let Some(watcher) = &mut reader.watcher
        && reader.back.debts.front().is_some_and(Owed::is_clients)
    {
        effects::carried_out(
            watcher.front,
            reader.back,
            ok,
            with_rows.then_some(rows),
            more,
        );
    }
    if more {
        if let Some(owed) = reader.back.debts.front_mut() {
            owed.stage = super::grammar::Stage::First;
            owed.rows = 0;
        }
        return;
    }
    let Some(owed) = reader.pop() else {
        return;
    };
    match owed.fate {
        Fate::Client(then) => answered(reader, then),
        Fate::InsertId => {
            reader.back.id_left = false;
            if let Some(watcher) = &mut reader.watcher {
                watcher.front.last.insert_id_open = false;
                watcher.front.last.id_elsewhere = true;
            }
        }
        Fate::FoundRows => {}
        Fate::Warnings => {
            if let Some(watcher) = &mut reader.watcher {
                watcher.front.last.warnings.complete();
            }
        }
        Fate::UserVariables => {
            if let Some(watcher) = &mut reader.watcher
                && watcher.front.unseen.answered()
            {
                found(watcher.front, reader.back, PinReason::UserVariable);
            }
        }
        Fate::Replay
        | Fate::Raise
        | Fate::Detour
        | Fate::Prepare(_)
        | Fate::Probe
        | Fate::Chore => {}
    }
}

/// A command of the client's has been carried out.
fn answered(reader: &mut ReplyReader<'_>, then: Then) {
    let Some(watcher) = &mut reader.watcher else {
        return;
    };
    let front = &mut *watcher.front;
    match then {
        Then::Nothing | Then::Prepared(_) => {}
        Then::Script => front.running = None,
        Then::MultiStatements(on) => {
            // The server's reply to this is an EOF, not an OK.
            front.last.row_count = -1;
            front.multi_statements = on;
            reader.back.multi_statements = on;
        }
        Then::Reset => {
            front.reset();
            reader.back.discarded();
            reader.back.untracked = true;
            reader.back.unnamed = true;
            // Character sets are the server's own now, whatever was asked for at login.
            reader.back.settings = reader.back.fresh.with_schema(front.settings.schema());
            reader.back.dirty = false;
        }
    }
}

/// A row of a reply to Sluice itself.
pub(super) fn row(reader: &mut ReplyReader<'_>, payload: &[u8]) {
    let Some(owed) = reader.back.debts.front() else {
        return;
    };
    let value = |column: usize| {
        let mut reader = Reader::new(payload);
        for _ in 0..column {
            if reader.peek() == Some(NULL) {
                reader.u8()?;
            } else {
                reader.lenenc_bytes()?;
            }
        }
        reader.lenenc_bytes()
    };
    match owed.fate {
        Fate::Chore if reader.back.chore.tabular => {
            reader.back.chore.table.row(values(payload));
        }
        Fate::Chore if owed.rows == 0 => {
            let wanted = value(reader.back.chore.column);
            reader.back.chore.value = wanted.map(<[u8]>::to_vec);
        }
        Fate::InsertId => {
            // Otherwise the client's last command has left it as it was.
            if let (Some(watcher), Some(id @ 1..)) = (&mut reader.watcher, number(value(0))) {
                watcher.front.last.insert_id = id;
            }
        }
        Fate::FoundRows => {
            if let (Some(watcher), Some(rows)) = (&mut reader.watcher, number(value(0))) {
                watcher.front.last.found.told(rows);
            }
        }
        Fate::Warnings => {
            if let Some(watcher) = &mut reader.watcher {
                watcher.front.last.warnings.keep(payload);
            }
        }
        Fate::UserVariables => {
            if let Some(watcher) = &mut reader.watcher {
                let front = &mut *watcher.front;
                front.unseen.row(payload, &front.settings);
            }
        }
        _ => {}
    }
}

/// The values of a row of text, as far as they are whole.
fn values(payload: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut reader = Reader::new(payload);
    std::iter::from_fn(move || {
        if reader.peek()? == NULL {
            reader.u8()?;
            return Some(None);
        }
        reader.lenenc_bytes().map(Some)
    })
}

/// The definition of a column of a reply to Sluice itself (MySQL protocol, "Column Definition").
pub(super) fn defined(reader: &mut ReplyReader<'_>, payload: &[u8]) {
    if !reader.back.chore.tabular {
        return;
    }
    let mut fields = Reader::new(payload);
    // Catalogue, schema, table and its own name come first.
    let name = (0..=4).map_while(|_| fields.lenenc_bytes()).nth(4);
    reader.back.chore.table.name(name.unwrap_or_default());
}

fn number(text: Option<&[u8]>) -> Option<u64> {
    std::str::from_utf8(text?).ok()?.parse().ok()
}

/// A reply has ended with an error.
pub(super) fn failed(reader: &mut ReplyReader<'_>, packet: &Packet<'_>, err: &Err<'_>) {
    let Some(owed) = reader.pop() else {
        return;
    };
    let wire = || server_error(packet, err).wire;
    if reader.watcher.is_some() && !matches!(owed.fate, Fate::Raise) {
        reader.back.refusal = refusal(err.code);
    }
    match owed.fate {
        Fate::Chore => {
            if reader.back.chore.error.is_none() {
                reader.back.chore.error = Some(server_error(packet, err));
            }
        }
        Fate::Replay | Fate::Probe | Fate::InsertId | Fate::FoundRows | Fate::Warnings => {
            if let Some(watcher) = &mut reader.watcher {
                let failed = &mut watcher.front.replay_failed;
                failed.get_or_insert_with(|| Box::new(wire()));
            }
        }
        Fate::Raise => {}
        Fate::UserVariables => {
            let blind = tells_nobody(err.code);
            reader.back.blind |= blind;
            if let Some(watcher) = &mut reader.watcher {
                if blind {
                    unanswered(watcher.front, reader.back);
                } else {
                    // Interrupted, or too much for a limit of the session's: what has been heard so far is no answer.
                    watcher.front.unseen.cut_short();
                    found(watcher.front, reader.back, PinReason::UserVariable);
                }
            }
        }
        Fate::Detour | Fate::Prepare(_) => {
            if let Some(watcher) = &mut reader.watcher {
                let payload = || bytes::Bytes::copy_from_slice(packet.payload);
                watcher.front.prepare_failed.get_or_insert_with(payload);
            }
        }
        Fate::Client(_) => {
            if let Some(watcher) = &mut reader.watcher {
                let failure = effects::Failure {
                    begun: owed.stage != super::grammar::Stage::First,
                    code: Some(err.code),
                };
                effects::failed(watcher.front, reader.back, failure);
            }
        }
    }
}

/// Why a server refuses what another may answer (MySQL Server Error Message Reference): it only takes reads; it
/// leaves; names or rights that are not there yet.
fn refusal(code: u16) -> Option<Refusal> {
    match code {
        // ER_OPTION_PREVENTS_STATEMENT, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE
        1290 | 1792 | 1836 => Some(Refusal::ReadOnly),
        1044 | 1049 | 1053 | 1054 | 1142 | 1143 | 1146 | 1205 | 1213 | 1305 | 1356 | 1370
        | 1412 | 1927 | 3169 => Some(Refusal::Elsewhere),
        _ => None,
    }
}

/// Why a server does not tell this user which user variables there are, today or tomorrow (MySQL Server Error Message
/// Reference): missing rights, or a server that has no such table or function.
const fn tells_nobody(code: u16) -> bool {
    matches!(
        code,
        1044 | 1045 | 1049 | 1064 | 1109 | 1142 | 1143 | 1146 | 1227 | 1305 | 1356 | 1370
    )
}

/// The connection may hold what another client must not see.
pub(super) fn found(front: &mut MyFront, back: &mut MyBack, reason: PinReason) {
    front.pin(reason);
    back.dirty |= front.holds_filtered();
}

/// Nobody tells what code of users has left.
pub(super) fn unanswered(front: &mut MyFront, back: &mut MyBack) {
    back.suspect = true;
    if front.unseen.settle() == Doubt::Routines {
        found(front, back, PinReason::CodeBlock);
    }
}

/// A value that is NULL, in a row of a text's result.
const NULL: u8 = 0xFB;

#[cfg(test)]
mod tests {
    use super::PreparedReply;

    #[test]
    fn a_reply_to_a_preparation_is_read() {
        let payload = [0, 7, 0, 0, 0, 2, 0, 3, 0, 0, 1, 0];
        let reply = PreparedReply::read(&payload).unwrap();
        assert_eq!((reply.number, reply.columns, reply.parameters), (7, 2, 3));
        assert_eq!(reply.warnings, 1);
        assert_eq!(PreparedReply::read(&payload[..8]), None);
    }
}
