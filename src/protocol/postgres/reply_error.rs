//! ErrorResponse: which debts it cancels, and whose it is.
//!
//! After an error in the extended query protocol "the backend … reads and discards messages until
//! a Sync is reached" (PostgreSQL documentation, section 55.2.3). That includes simple queries.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::model::{PinReason, TxStatus};
use crate::protocol::{Breach, Refusal, ServerError};

use super::back::CopyIn;
use super::by_name::What;
use super::frame::HEADER_LEN;
use super::front::PgFront;
use super::message;
use super::owed::{Fate, Owed, Undo};
use super::reply::{HOLD_LIMIT, Message, Reader};
use super::shape;
use super::statements::{NAME_PREFIX, StatementKey};

/// Deals with an ErrorResponse; `None` if more of it must come first.
pub(super) fn read(
    reader: &mut Reader<'_>,
    message: &Message<'_>,
) -> Result<Option<usize>, Breach> {
    if message.whole.is_none() && message.size() <= HOLD_LIMIT {
        return Ok(None);
    }
    let error = message.whole.map(parse);
    let error = error.as_ref();
    if error.is_none_or(|error| error.fatal) {
        reader.back.closing = true;
        reader.back.offended = error.is_some_and(|error| error.error.code == PROTOCOL_VIOLATION);
    }
    reader.back.refused_write |= error.is_some_and(|error| error.error.code == READ_ONLY);
    reader.back.copy = CopyIn::None;
    if reader.client.is_some() {
        reader.back.refusal = error.and_then(|parsed| refusal(&parsed.error.code));
    }
    if reader.back.doubt
        && let Some(client) = &mut reader.client
    {
        client.front.pin(PinReason::ProtocolDoubt);
    }
    let fate = reader.back.debts.first().map_or(Fate::Client, Owed::fate);
    let extended = reader.back.debts.first().is_some_and(Owed::is_extended);
    if extended && message.whole.is_some_and(shape::is_refusal) {
        forget_stale_plan(reader);
        if send_again(reader) {
            reader.back.refusal = None;
            reader.back.held.clear();
            let dealt = reader.stream_for(message, Fate::Ours);
            skip_to_sync(reader);
            return Ok(Some(dealt));
        }
    }
    reader.show_held();
    let dealt = match fate {
        // The server ends the connection: that is for the client to know.
        Fate::Inspection | Fate::Move if reader.back.closing => show(reader, message),
        Fate::Inspection | Fate::Move => {
            let client = reader.client.as_mut();
            if let Some(front) = client.map(|client| &mut *client.front) {
                refused(front, fate);
            }
            reader.stream_for(message, fate)
        }
        // A statement that Sluice prepared anew for the client fails as the client's own.
        Fate::Client | Fate::Ours => fails(reader, message),
        Fate::Chore => {
            reader.back.chore.error = error.map(|parsed| parsed.error.clone());
            reader.stream_for(message, fate)
        }
        // As it should, unless the server goes away.
        Fate::Bereft => reader.stream_for(message, fate),
        Fate::Replay => {
            // What the connection's settings are is unknown now, and statements of the client
            // may follow already: neither side can go on.
            reader.back.closing = true;
            if let Some(client) = &mut reader.client {
                let wire = message.whole.map(Bytes::copy_from_slice);
                client.front.replay_failed = wire.map(Box::new);
            }
            reader.stream_for(message, fate)
        }
    };
    if extended {
        skip_to_sync(reader);
    }
    if error.is_some_and(|error| error.error.code == SYNTAX_ERROR) {
        forgive(reader);
    }
    Ok(Some(dealt))
}

/// Notes that a request of Sluice's own has failed, which changes nothing for the client.
fn refused(front: &mut PgFront, fate: Fate) {
    if fate == Fate::Inspection {
        return front.inspection.refused();
    }
    if let Some(listener) = &mut front.listener {
        listener.failed(front.settings.heard());
    }
}

/// A request of the client's has failed, or what Sluice has put before it.
fn fails(reader: &mut Reader<'_>, message: &Message<'_>) -> usize {
    if let Some(Owed::Recall(name)) = reader.back.debts.first() {
        if let Some(name) = name.clone() {
            reader.back.names.hold(&name, What::Unknown);
        }
        reader.back.instead = message.whole.map(Bytes::copy_from_slice);
        return reader.stream_for(message, Fate::Ours);
    }
    if reader.back.debts.is_ours() {
        reader.back.instead = message.whole.map(Bytes::copy_from_slice);
        return reader.stream_for(message, Fate::Ours);
    }
    if let Some(client) = &mut reader.client {
        client.front.settings.fail();
    }
    let instead = match reader.back.debts.first() {
        Some(Owed::Refused(ours)) => Some(ours.clone()),
        _ => reader.back.instead.take(),
    };
    let Some(instead) = instead else {
        return show(reader, message);
    };
    if let Some(client) = &mut reader.client {
        client.script.insert(&instead);
    }
    reader.stream_for(message, Fate::Ours)
}

/// Cancels what the server will not answer any more. What messages would have done is taken back
/// in the opposite order.
fn skip_to_sync(reader: &mut Reader<'_>) {
    let mut undos: SmallVec<[Undo; 4]> = SmallVec::new();
    while let Some(owed) = reader.back.debts.first() {
        if matches!(owed, Owed::Sync | Owed::InnerSync) {
            break;
        }
        undos.push(match reader.back.debts.pop() {
            Some(Owed::Parse(_, undo) | Owed::FakeParse(undo) | Owed::FakeClose(undo)) => undo,
            Some(Owed::Note(undo)) => undo,
            Some(Owed::Probe(key)) => {
                // Nobody is being asked any more.
                reader.back.statements.learn(key, 0);
                Undo::Nothing
            }
            _ => Undo::Nothing,
        });
    }
    reader.back.skipping = reader.back.debts.is_empty();
    // The first is what failed; the others were skipped.
    for (place, undo) in undos.into_iter().enumerate().rev() {
        reader.undo(undo, place == 0);
    }
}

/// After a change of the tables, a cached plan is refused for good: the statement is prepared anew
/// when it is next used.
fn forget_stale_plan(reader: &mut Reader<'_>) {
    let key: Option<StatementKey> = match reader.back.debts.first() {
        Some(Owed::Bind(key)) => *key,
        Some(Owed::Describe(Some(described))) => Some(described.key),
        Some(Owed::Probe(key)) => Some(*key),
        _ => None,
    };
    if let Some(key) = key {
        reader.back.statements.drop_later(key);
    }
}

/// True if the batch that has been refused is sent again: nothing is behind it, and no transaction
/// is open.
fn send_again(reader: &mut Reader<'_>) -> bool {
    reader.client.is_some()
        && reader.back.tx == TxStatus::Idle
        && reader.back.debts.ends_with_its_only_sync()
        && reader.back.again.ask()
}

/// A text that the server could not even parse has done nothing: what it was pinned for does not
/// hold, unless something else of the batch was carried out, or is still to be.
fn forgive(reader: &mut Reader<'_>) {
    let alone = match reader.back.debts.first() {
        None => true,
        Some(Owed::Sync | Owed::Query(Fate::Client) | Owed::Scripted(..) | Owed::Mended(_)) => {
            reader.back.debts.is_single()
        }
        Some(_) => false,
    };
    if alone && let Some(client) = &mut reader.client {
        client.front.forgive();
    }
}

/// Shows the error to the client, with the client's own name of a statement in it.
fn show(reader: &mut Reader<'_>, message: &Message<'_>) -> usize {
    if let Some(Owed::Mended(mended)) = reader.back.debts.first()
        && let Some(whole) = message.whole
        && let Some(own) = mended.with_own_place(whole)
        && let Some(client) = &mut reader.client
    {
        client.script.insert(&own);
        return message.size();
    }
    if let Some(whole) = message.whole
        && memchr::memmem::find(whole, NAME_PREFIX).is_some()
        && let Some(client) = &mut reader.client
        && let Some(renamed) = {
            let taken = match reader.back.debts.first() {
                Some(Owed::Parse(_, Undo::Taken(name))) => Some(name.to_vec()),
                Some(Owed::Bind(Some(key))) if client.front.last_bound.key == Some(*key) => {
                    Some(client.front.last_bound.name.clone())
                }
                _ => None,
            };
            let taken = taken.as_deref();
            client
                .front
                .with_own_names(whole, taken, &reader.back.statements)
        }
    {
        client.script.insert(&renamed);
        return message.size();
    }
    reader.stream_for(message, Fate::Client)
}

/// Why a server refuses what another may answer (PostgreSQL documentation, appendix A): it only takes reads;
/// conflicts with recovery, shutdown, lack of resources or of abilities; names that are not there yet.
fn refusal(code: &str) -> Option<Refusal> {
    let elsewhere = [
        "0A000", "40001", "40P01", "55000", "57P01", "57P02", "57P03", "57P04", "57P05",
    ];
    let classes = ["08", "3D", "3F", "42", "53", "58", "XX"];
    if code == READ_ONLY {
        return Some(Refusal::ReadOnly);
    }
    let other = elsewhere.contains(&code) || classes.iter().any(|class| code.starts_with(class));
    other.then_some(Refusal::Elsewhere)
}

/// `read_only_sql_transaction` (PostgreSQL documentation, appendix A).
const READ_ONLY: &str = "25006";

/// `protocol_violation` (PostgreSQL documentation, appendix A).
const PROTOCOL_VIOLATION: &str = "08P01";

/// `syntax_error` (PostgreSQL documentation, appendix A).
const SYNTAX_ERROR: &str = "42601";

struct Parsed {
    fatal: bool,
    error: ServerError,
}

fn parse(whole: &[u8]) -> Parsed {
    let body = whole.get(HEADER_LEN..).unwrap_or_default();
    Parsed {
        fatal: matches!(&*message::error_fields(body).severity, "FATAL" | "PANIC"),
        error: message::server_error(Bytes::copy_from_slice(whole)),
    }
}
