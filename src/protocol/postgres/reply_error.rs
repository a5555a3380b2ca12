//! ErrorResponse: which debts it cancels, and whose it is.
//!
//! After an error in the extended query protocol "the backend … reads and discards messages until
//! a Sync is reached" (PostgreSQL documentation, section 55.2.3). That includes simple queries.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::model::PinReason;
use crate::protocol::{Breach, ServerError};

use super::back::CopyIn;
use super::frame::HEADER_LEN;
use super::front::PgFront;
use super::message;
use super::owed::{Fate, Owed, Undo};
use super::reply::{HOLD_LIMIT, Message, Reader};
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
    }
    reader.back.copy = CopyIn::None;
    if reader.back.doubt
        && let Some(client) = &mut reader.client
    {
        client.front.pin(PinReason::ProtocolDoubt);
    }
    let fate = reader.back.debts.first().map_or(Fate::Client, Owed::fate);
    let extended = reader.back.debts.first().is_some_and(Owed::is_extended);
    if extended {
        forget_stale_plan(reader, error);
    }
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
        Fate::Client | Fate::Ours => {
            if let Some(client) = &mut reader.client {
                client.front.settings.fail();
            }
            match reader.back.debts.first() {
                Some(Owed::Refused(ours)) => {
                    let ours = ours.clone();
                    if let Some(client) = &mut reader.client {
                        client.script.insert(&ours);
                    }
                    reader.stream_for(message, Fate::Ours)
                }
                _ => show(reader, message),
            }
        }
        Fate::Chore => {
            reader.back.chore.error = error.map(|parsed| parsed.error.clone());
            reader.stream_for(message, fate)
        }
        Fate::Replay => {
            // What the connection's settings are is unknown now, and statements of the client
            // may follow already: neither side can go on.
            reader.back.closing = true;
            if let Some(client) = &mut reader.client {
                client.front.replay_failed = message.whole.map(Bytes::copy_from_slice);
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

/// Cancels what the server will not answer any more. What messages would have done is taken back
/// in the opposite order.
fn skip_to_sync(reader: &mut Reader<'_>) {
    let mut undos: SmallVec<[Undo; 4]> = SmallVec::new();
    while let Some(owed) = reader.back.debts.first() {
        if matches!(owed, Owed::Sync) {
            break;
        }
        undos.push(match reader.back.debts.pop() {
            Some(Owed::Parse(_, undo) | Owed::FakeParse(undo) | Owed::FakeClose(undo)) => undo,
            Some(Owed::Note(undo)) => undo,
            _ => Undo::Nothing,
        });
    }
    reader.back.skipping = reader.back.debts.is_empty();
    // The first is what failed; the others were skipped.
    for (place, undo) in undos.into_iter().enumerate().rev() {
        reader.undo(undo, place == 0);
    }
}

/// After a change of the tables, a cached plan may be refused for good: the statement is
/// prepared anew when it is next used.
fn forget_stale_plan(reader: &mut Reader<'_>, error: Option<&Parsed>) {
    let key: Option<StatementKey> = match reader.back.debts.first() {
        Some(Owed::Bind(key)) => *key,
        _ => None,
    };
    // FEATURE_NOT_SUPPORTED, raised by RevalidateCachedQuery in plancache.c.
    if let Some(key) = key
        && error.is_some_and(|error| error.error.code == "0A000")
    {
        reader.back.statements.drop_later(key);
    }
}

/// A text that the server could not even parse has done nothing: what it was pinned for does not
/// hold, unless something else of the batch was carried out, or is still to be.
fn forgive(reader: &mut Reader<'_>) {
    let alone = match reader.back.debts.first() {
        None => true,
        Some(Owed::Sync | Owed::Query(Fate::Client) | Owed::Scripted(..)) => {
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
    if let Some(whole) = message.whole
        && memchr::memmem::find(whole, NAME_PREFIX).is_some()
        && let Some(client) = &mut reader.client
        && let Some(renamed) = {
            let taken = match reader.back.debts.first() {
                Some(Owed::Parse(_, Undo::Taken(name))) => Some(&**name),
                _ => None,
            };
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
