//! RowDescription and NoData: what the client, and Sluice, learn of a statement's result.

use super::owed::Owed;
use super::reply::{HOLD_LIMIT, Message, Reader};
use super::shape::{self, NO_ROWS, NOT_COMPARED};
use crate::protocol::Breach;

/// Deals with a RowDescription or NoData; `None` if more of it must come first.
pub(super) fn description(
    reader: &mut Reader<'_>,
    message: &Message<'_>,
) -> Result<Option<usize>, Breach> {
    let learns = matches!(
        reader.back.debts.first(),
        Some(Owed::Describe(Some(_)) | Owed::Probe(_))
    );
    if learns {
        if message.whole.is_none() && message.size() <= HOLD_LIMIT {
            return Ok(None);
        }
        learn(reader, message);
    }
    reader.show_held();
    reader.back.again.shown();
    reader.may_answer(message, |owed| {
        matches!(owed, Owed::Describe(_) | Owed::Probe(_))
    })
}

fn learn(reader: &mut Reader<'_>, message: &Message<'_>) {
    let shape = if message.kind == b'n' {
        NO_ROWS
    } else {
        let read = message.body().and_then(shape::of);
        read.unwrap_or(NOT_COMPARED)
    };
    let (key, name) = match reader.back.debts.first() {
        Some(Owed::Probe(key)) => (*key, None),
        Some(Owed::Describe(Some(described))) => (described.key, Some(&*described.name)),
        _ => return,
    };
    reader.back.statements.learn(key, shape);
    if let Some(name) = name
        && let Some(client) = &mut reader.client
        && let Some(named) = client.front.named.get_mut(name)
        && named.statement.id == key.0
    {
        named.shape = shape;
    }
}
