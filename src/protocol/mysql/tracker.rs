//! What a server tells about changes of a session (MySQL protocol, "Session State Information").

use super::login::Flavor;
use super::wire::Reader;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A session variable has this value now.
    Variable(&'a [u8], &'a [u8]),
    /// The current schema; empty if there is none.
    Schema(&'a [u8]),
    /// Something has changed, or nothing more.
    StateChanged(bool),
    /// What has no part in Sluice's model.
    Other,
}

/// An entry that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// The changes in the state information of an OK.
pub fn read(state: &[u8], _: Flavor) -> impl Iterator<Item = Result<Change<'_>, Unreadable>> {
    let mut reader = Reader::new(state);
    let mut pairs = Reader::new(&[]);
    std::iter::from_fn(move || {
        if !pairs.is_empty() {
            return Some(pair(&mut pairs));
        }
        if reader.is_empty() {
            return None;
        }
        let Some((kind, data)) = reader.u8().zip(reader.lenenc_bytes()) else {
            reader = Reader::new(&[]);
            return Some(Err(Unreadable));
        };
        let mut data = Reader::new(data);
        Some(match kind {
            0 => {
                pairs = data;
                pair(&mut pairs)
            }
            1 => data.lenenc_bytes().map(Change::Schema).ok_or(Unreadable),
            2 => data
                .lenenc_bytes()
                .map(|value| Change::StateChanged(value == b"1"))
                .ok_or(Unreadable),
            _ => Ok(Change::Other),
        })
    })
}

/// MariaDB may put several pairs of name and value into one entry.
fn pair<'a>(pairs: &mut Reader<'a>) -> Result<Change<'a>, Unreadable> {
    let pair = pairs.lenenc_bytes().zip(pairs.lenenc_bytes());
    if pair.is_none() {
        *pairs = Reader::new(&[]);
    }
    pair.map(|(name, value)| Change::Variable(name, value))
        .ok_or(Unreadable)
}
