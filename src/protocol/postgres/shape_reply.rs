//! RowDescription and NoData: what the client, and Sluice, learn of a statement's result.

use super::owed::{Fate, Owed};
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
    let names = matches!(reader.back.debts.first(), Some(Owed::Query(Fate::Chore)))
        && reader.back.chore.tabular;
    if (learns || names) && message.whole.is_none() && message.size() <= HOLD_LIMIT {
        return Ok(None);
    }
    if learns {
        learn(reader, message);
    }
    if names && message.kind == b'T' {
        let table = &mut reader.back.chore.table;
        message
            .body()
            .map(columns)
            .into_iter()
            .flatten()
            .for_each(|name| table.name(name));
    }
    reader.show_held();
    reader.back.again.shown();
    reader.may_answer(message, |owed| {
        matches!(owed, Owed::Describe(_) | Owed::Probe(_))
    })
}

/// The names in a RowDescription's body: after an Int16 count, of each column a name ended by a
/// zero byte and 18 bytes of facts.
fn columns(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let end = memchr::memchr(0, rest)?;
        let name = rest.get(..end)?;
        rest = rest.get(end + 1 + COLUMN_FACTS..)?;
        Some(name)
    })
}

/// Table, attribute, type, size, modifier, format (PostgreSQL documentation, section 55.7).
const COLUMN_FACTS: usize = 18;

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
