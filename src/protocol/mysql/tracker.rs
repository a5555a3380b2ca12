//! What a server tells about changes of a session (MySQL protocol, "Session State Information").

use super::wire::Reader;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A session variable has this value now. `NULL` comes as the empty text.
    Variable(&'a [u8], &'a [u8]),
    /// The current schema; empty if there is none.
    Schema(&'a [u8]),
    /// Something has changed (true), which other entries may tell or not.
    StateChanged(bool),
    /// Identifiers of the transactions carried out.
    Gtids(&'a [u8]),
    /// The statements that bring another session's transaction to where this one's is; empty if there
    /// is nothing to bring.
    Characteristics(&'a [u8]),
    /// The state of the transaction.
    Transaction(TransactionState),
    /// What has no part in Sluice's model.
    Other,
}

/// The state of a transaction in eight letters (MySQL documentation, "Server Tracking of Client Session
/// State").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionState(pub [u8; 8]);

impl TransactionState {
    /// True if a transaction is open, explicitly or for autocommit is off.
    pub const fn is_open(self) -> bool {
        let [place, ..] = self.0;
        place != b'_'
    }

    /// True if tables are locked by `LOCK TABLES`.
    pub const fn has_locked_tables(self) -> bool {
        let [.., place] = self.0;
        place != b'_'
    }
}

/// An entry that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// The changes in the state information of an OK. After an entry that cannot be read there is none.
pub fn read(state: &[u8]) -> impl Iterator<Item = Result<Change<'_>, Unreadable>> {
    let mut reader = Reader::new(state);
    let mut pairs = Reader::new(&[]);
    std::iter::from_fn(move || {
        if reader.is_empty() && pairs.is_empty() {
            return None;
        }
        let change = next(&mut reader, &mut pairs);
        if change.is_none() {
            reader = Reader::new(&[]);
            pairs = reader;
        }
        Some(change.ok_or(Unreadable))
    })
}

fn next<'a>(reader: &mut Reader<'a>, pairs: &mut Reader<'a>) -> Option<Change<'a>> {
    if !pairs.is_empty() {
        return pair(pairs);
    }
    let kind = reader.lenenc()?;
    let mut data = Reader::new(reader.lenenc_bytes()?);
    Some(match kind {
        SYSTEM_VARIABLES => {
            *pairs = data;
            pair(pairs)?
        }
        SCHEMA => Change::Schema(data.lenenc_bytes()?),
        // The letter alone, without a length before it.
        STATE_CHANGE => Change::StateChanged(data.u8()? == b'1'),
        GTIDS => {
            // How they are written; 0 is the only way known.
            data.u8()?;
            Change::Gtids(data.lenenc_bytes()?)
        }
        CHARACTERISTICS => Change::Characteristics(data.lenenc_bytes()?),
        TRANSACTION_STATE => {
            let letters = data.lenenc_bytes()?;
            Change::Transaction(TransactionState(letters.try_into().ok()?))
        }
        _ => Change::Other,
    })
}

/// MariaDB may put several pairs of name and value into one entry.
fn pair<'a>(pairs: &mut Reader<'a>) -> Option<Change<'a>> {
    Some(Change::Variable(
        pairs.lenenc_bytes()?,
        pairs.lenenc_bytes()?,
    ))
}

/// Types of entries (MySQL protocol, `enum_session_state_type`).
const SYSTEM_VARIABLES: u64 = 0;
const SCHEMA: u64 = 1;
const STATE_CHANGE: u64 = 2;
const GTIDS: u64 = 3;
const CHARACTERISTICS: u64 = 4;
const TRANSACTION_STATE: u64 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::{Change, TransactionState, Unreadable, read};

    #[test]
    fn entries_as_servers_write_them() {
        let state = b"\x00\x0f\x0aautocommit\x03OFF\x01\x03\x02db\x02\x01\x31\x03\x04\x00\x02a:\
            \x05\x09\x08T_______\x04\x02\x01;\x09\x01x";
        let changes: Vec<_> = read(state).collect();
        assert_eq!(
            changes,
            [
                Ok(Change::Variable(b"autocommit", b"OFF")),
                Ok(Change::Schema(b"db")),
                Ok(Change::StateChanged(true)),
                Ok(Change::Gtids(b"a:")),
                Ok(Change::Transaction(TransactionState(*b"T_______"))),
                Ok(Change::Characteristics(b";")),
                Ok(Change::Other),
            ]
        );
    }

    #[test]
    fn one_entry_may_hold_several_variables() {
        let state = b"\x00\x08\x01a\x011\x01b\x012\x01\x01\x00";
        let changes: Vec<_> = read(state).map(Result::unwrap).collect();
        assert_eq!(
            changes,
            [
                Change::Variable(b"a", b"1"),
                Change::Variable(b"b", b"2"),
                Change::Schema(b""),
            ]
        );
    }

    #[test]
    fn the_letters_of_a_transaction() {
        assert!(TransactionState(*b"I_______").is_open());
        assert!(!TransactionState(*b"_______L").is_open());
        assert!(TransactionState(*b"_______L").has_locked_tables());
        assert!(!TransactionState(*b"________").has_locked_tables());
    }

    #[test]
    fn what_is_cut_short_is_said_once() {
        for cut in [
            &b"\x00"[..],
            b"\x00\x05\x01a",
            b"\x00\x02\x01a",
            b"\x05\x03\x02ab",
            b"\x00\x00",
            b"\x02\x00",
        ] {
            let changes: Vec<_> = read(cut).collect();
            assert_eq!(changes, [Err(Unreadable)], "{}", cut.escape_ascii());
        }
        assert_eq!(read(b"").count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(state: Vec<u8>) {
            let changes: Vec<_> = read(&state).collect();
            assert!(changes.len() <= state.len() + 1);
            let errors = changes.iter().filter(|change| change.is_err()).count();
            assert!(errors == 0 || changes.last() == Some(&Err(Unreadable)));
        }
    }
}
