//! Portals: what executing one will do, and of what shape its result is.

use std::sync::Arc;

use super::front::{LastBound, PgFront};
use super::owed::{Described, Owed};
use super::request::{Message, Reader};
use super::request_statement::{Resolved, text_of};
use super::rules::{self, Effects};
use super::statements::{Named, ServerName, StatementKey};
use super::{bound, rename};
use crate::model::{PinReason, Pins, TxStatus};
use crate::sql::statement::Verdict;

/// Whether the statement's result has the shape that the client was told of.
pub(super) enum Fits {
    Yes,
    No,
    /// The server has been asked.
    Unknown,
}

/// Compares what the client was told of the result with what it is on this connection. `described`:
/// the client asks about the portal anyway.
pub(super) fn fits(
    reader: &mut Reader<'_>,
    name: &[u8],
    server_name: &ServerName,
    key: StatementKey,
    described: bool,
) -> Fits {
    let told = reader.front.named.get(name).map_or(0, |named| named.shape);
    // In a failed transaction, that is what the server will say.
    if told == 0 || described || reader.back.tx == TxStatus::Failed {
        reader.back.again.begin();
        return Fits::Yes;
    }
    match reader.back.statements.shape(key) {
        0 => {}
        here if here == told => return Fits::Yes,
        _ => return Fits::No,
    }
    if reader.back.statements.ask(key) {
        reader.script.insert_with(|out| {
            rename::about_statement(b'D', server_name, out);
            rename::flush(out);
        });
        reader.back.unsynced = true;
        reader.back.debts.push(Owed::Probe(key));
    }
    Fits::Unknown
}

/// Remembers which statement the portal runs.
pub(super) fn note_bound(front: &mut PgFront, portal: &[u8], name: &[u8], resolved: &Resolved) {
    let bound = &mut front.last_bound;
    bound.unnamed = portal.is_empty();
    bound.key = match resolved {
        Resolved::Renamed(_, key) => *key,
        Resolved::AsItIs => None,
    };
    bound.name.clear();
    if bound.key.is_some() {
        bound.name.extend_from_slice(name);
    }
}

/// What the description of a portal is of, where the books do not have that yet.
pub(super) fn describe_portal(
    reader: &Reader<'_>,
    message: &Message<'_>,
) -> Option<Box<Described>> {
    let LastBound { unnamed, key, name } = &reader.front.last_bound;
    let key = (*key).filter(|_| *unnamed && message.body() == b"P\0")?;
    let told = reader.front.named.get(&**name)?.shape;
    if told != 0 && told == reader.back.statements.shape(key) {
        return None;
    }
    let name = name.as_slice().into();
    Some(Box::new(Described { key, name }))
}

/// What executing the portal will do; `None` if more of the Bind must come to tell.
pub(super) fn bound_effects(
    reader: &mut Reader<'_>,
    message: &Message<'_>,
    portal: &[u8],
    name: &[u8],
) -> Option<Effects> {
    let front = &*reader.front;
    let (effects, parse) = match front.named.get(name) {
        Some(Named { statement, .. }) => (&statement.effects, &*statement.body),
        None if name.is_empty() => (&front.unnamed.effects, &*front.unnamed.body),
        None => return Some(Effects::default()),
    };
    let mut effects = effects.clone();
    let Some(script) = effects.script.as_ref().filter(|_| effects.bound) else {
        return Some(effects);
    };
    let names = portal.len() + 1 + name.len() + 1;
    if !message.is_whole() && message.total <= BOUND_LIMIT {
        return None;
    }
    let rest = message.body().get(names..).filter(|_| message.is_whole());
    let reason = match rest.and_then(|rest| bound::resolve(script, parse, rest)) {
        Some(bound) => {
            effects.script = Some(bound.verdict);
            bound.opens_temp_schema.then_some(PinReason::TempObject)
        }
        None => rules::sets_session_by_parameter(script).then_some(PinReason::Setting),
    };
    if let Some(reason) = reason {
        let cause = rules::fingerprint(text_of(parse));
        reader.front.affect_for(Pins::of(&[reason]), || cause);
    }
    Some(effects)
}

/// Notes what executing the portal will do, where that must be followed.
pub(super) fn open_portal(front: &mut PgFront, portal: &[u8], script: Option<Arc<Verdict>>) {
    match script {
        Some(script) => {
            front.portals.insert(portal.into(), script);
        }
        None if front.portals.is_empty() => {}
        None => {
            front.portals.remove(portal);
        }
    }
}

/// A Bind whose values must be known is read whole up to this size in bytes.
const BOUND_LIMIT: usize = 64 * 1024;
