//! Commands about prepared statements: another number in them, and types of parameters where a
//! server connection has not seen them.

use std::ops::Range;
use std::sync::Arc;

use super::capability::Capabilities;
use super::wire::Reader;

/// Bytes of a command before the statement's number, and of that number.
pub const NUMBER: Range<usize> = 1..5;

/// The number in the payload of a command about a prepared statement.
pub fn number(payload: &[u8]) -> Option<u32> {
    let bytes = payload.get(NUMBER)?;
    bytes
        .first_chunk::<4>()
        .map(|bytes| u32::from_le_bytes(*bytes))
}

/// What stands in a `COM_STMT_EXECUTE` before the values (MySQL protocol).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// A cursor is asked for.
    pub cursor: bool,
    /// The types, if they stand there.
    pub types: Option<Arc<[u8]>>,
    /// Where the bits stand that say which values are NULL.
    pub nulls_at: Range<usize>,
    /// Where the byte that says so stands, if the statement has parameters.
    pub flag_at: Option<usize>,
    /// What stands there where types follow, up to them.
    pub flags: Flags,
}

/// The bytes that say that types follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    /// One byte of nothing else.
    Plain([u8; 1]),
    /// All flags of a bulk execution.
    Bulk([u8; 2]),
}

impl Flags {
    /// As they are written.
    pub const fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Bulk(bytes) => bytes,
        }
    }
}

/// Why an execution could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is not there yet.
    More,
    /// It is malformed.
    Malformed,
    /// It has too few parameters.
    TooFew,
}

impl Execution {
    /// Reads the front of a payload of `total` bytes, of which `payload` has come.
    pub fn read(
        payload: &[u8],
        total: usize,
        parameters: u16,
        capabilities: Capabilities,
    ) -> Result<Self, Unread> {
        let missing = if payload.len() < total {
            Unread::More
        } else {
            Unread::Malformed
        };
        let (execution, count) =
            Self::read_whole(payload, parameters, capabilities).ok_or(missing)?;
        if count < usize::from(parameters) {
            return Err(Unread::TooFew);
        }
        Ok(execution)
    }

    /// The same of a bulk execution (MariaDB protocol, `COM_STMT_BULK_EXECUTE`).
    pub fn read_bulk(payload: &[u8], total: usize, parameters: u16) -> Result<Self, Unread> {
        let missing = if payload.len() < total {
            Unread::More
        } else {
            Unread::Malformed
        };
        Self::read_whole_bulk(payload, parameters).ok_or(missing)
    }

    fn read_whole_bulk(payload: &[u8], parameters: u16) -> Option<Self> {
        let mut reader = Reader::new(payload);
        reader.take(NUMBER.end)?;
        let flags = reader.u16()?;
        let [low, high] = flags.to_le_bytes();
        let mut execution = Self {
            cursor: false,
            types: None,
            nulls_at: 0..0,
            flag_at: Some(NUMBER.end),
            flags: Flags::Bulk([low | SEND_TYPES, high]),
        };
        if low & SEND_TYPES != 0 {
            execution.types = Some(reader.take(2 * usize::from(parameters))?.into());
        }
        Some(execution)
    }

    /// Also the number of parameters, attributes included.
    fn read_whole(
        payload: &[u8],
        parameters: u16,
        capabilities: Capabilities,
    ) -> Option<(Self, usize)> {
        let mut reader = Reader::new(payload);
        reader.take(NUMBER.end)?;
        let flags = reader.u8()?;
        let _iterations = reader.u32()?;
        let mut execution = Self {
            cursor: flags & CURSOR != 0,
            types: None,
            nulls_at: 0..0,
            flag_at: None,
            flags: Flags::Plain([1]),
        };
        let named = capabilities.has(Capabilities::QUERY_ATTRIBUTES);
        // Where there are parameters the number stands there in any case, whatever the flag says.
        let counted = named && (parameters > 0 || flags & PARAMETER_COUNT_AVAILABLE != 0);
        let mut count = usize::from(parameters);
        if counted {
            count = usize::try_from(reader.lenenc()?).ok()?;
        }
        if count == 0 {
            return Some((execution, count));
        }
        reader.take(count.div_ceil(8))?;
        let flag_at = payload.len() - reader.len();
        execution.nulls_at = flag_at - count.div_ceil(8)..flag_at;
        // Drivers send 1; servers take whatever is not 0.
        let types_follow = reader.u8()? != 0;
        if types_follow {
            let from = payload.len() - reader.len();
            for _ in 0..count {
                reader.u16()?;
                if named {
                    reader.lenenc_bytes()?;
                }
            }
            let to = payload.len() - reader.len();
            execution.types = Some(payload.get(from..to)?.into());
        }
        // Attributes come with their types; types kept from before would not fit them.
        if !counted || count == usize::from(parameters) {
            execution.flag_at = Some(flag_at);
        }
        Some((execution, count))
    }
}

/// `CURSOR_TYPE_READ_ONLY`, `CURSOR_TYPE_FOR_UPDATE`, `CURSOR_TYPE_SCROLLABLE`.
const CURSOR: u8 = 0b0000_0111;
/// `SEND_TYPES_TO_SERVER` (MariaDB protocol, `COM_STMT_BULK_EXECUTE`).
const SEND_TYPES: u8 = 128;
/// `PARAMETER_COUNT_AVAILABLE`: attributes may stand behind the parameters.
const PARAMETER_COUNT_AVAILABLE: u8 = 0b0000_1000;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Execution, Unread, number};
    use crate::protocol::mysql::capability::Capabilities;

    const PLAIN: Capabilities = Capabilities(0);

    #[test]
    fn types_of_a_bulk_stand_behind_its_flags() {
        let payload = b"\xfa\x07\0\0\0\xc0\x01\x03\0\xfd\0\x00\x05";
        let bulk = Execution::read_bulk(payload, payload.len(), 2).unwrap();
        assert_eq!(bulk.types.as_deref(), Some(&b"\x03\0\xfd\0"[..]));
        let without = b"\xfa\x07\0\0\0\x40\x01\x00\x05";
        let bulk = Execution::read_bulk(without, without.len(), 2).unwrap();
        assert_eq!((bulk.types, bulk.flag_at), (None, Some(5)));
        assert_eq!(bulk.flags.bytes(), b"\xc0\x01");
        for len in 0..7 {
            let short = |total| Execution::read_bulk(&without[..len], total, 2);
            assert_eq!(short(9), Err(Unread::More));
            assert_eq!(short(len), Err(Unread::Malformed));
        }
    }

    #[test]
    fn types_are_found_where_they_stand() {
        let mut payload = b"\x17\x07\0\0\0\x01\x01\0\0\0".to_vec();
        assert_eq!(number(&payload), Some(7));
        let none = Execution::read(&payload, payload.len(), 0, PLAIN).unwrap();
        assert!(none.cursor && none.types.is_none() && none.flag_at.is_none());
        assert_eq!(Execution::read(&payload, 99, 2, PLAIN), Err(Unread::More));
        payload.extend_from_slice(b"\x02\x01\x08\x00\x0f\x00values");
        let both = Execution::read(&payload, payload.len(), 2, PLAIN).unwrap();
        assert_eq!(both.types.as_deref(), Some(&b"\x08\x00\x0f\x00"[..]));
        assert_eq!(both.flag_at, Some(11));
    }

    #[test]
    fn names_stand_between_types_where_attributes_are_known() {
        let mut payload = b"\x17\x07\0\0\0\x08\x01\0\0\0\x02\x00\x01".to_vec();
        payload.extend_from_slice(b"\x08\x00\x00\x0f\x00\x01nv");
        let execution =
            Execution::read(&payload, payload.len(), 1, Capabilities::QUERY_ATTRIBUTES).unwrap();
        assert_eq!(
            execution.types.as_deref(),
            Some(&b"\x08\x00\x00\x0f\x00\x01n"[..])
        );
        assert_eq!(execution.flag_at, None);
    }

    #[test]
    fn whatever_is_not_0_says_that_types_follow() {
        // A client that knows of attributes and does not count: its flag and types are taken for others.
        let payload = b"\x17\x07\0\0\0\0\x01\0\0\0\x02\x01\x08\0\x06\0\x70\x11\x01\0\0\0\0\0";
        let named = Capabilities::QUERY_ATTRIBUTES;
        let execution = Execution::read(payload, payload.len(), 2, named).unwrap();
        let types = &b"\0\x06\0\x70\x11\x01\0"[..];
        assert_eq!(execution.types.as_deref(), Some(types));
        assert_eq!(execution.nulls_at, 11..12);
    }

    #[test]
    fn the_number_of_parameters_needs_no_flag() {
        // As the Python driver of MySQL sends it.
        let payload = b"\x17\x07\0\0\0\0\x01\0\0\0\x01\x00\x01\x08\x00\x00value";
        let read = |parameters| {
            let named = Capabilities::QUERY_ATTRIBUTES;
            Execution::read(payload, payload.len(), parameters, named)
        };
        let execution = read(1).unwrap();
        assert_eq!(execution.types.as_deref(), Some(&b"\x08\x00\x00"[..]));
        assert_eq!(execution.flag_at, Some(12));
        assert_eq!(read(2), Err(Unread::TooFew));
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(payload: Vec<u8>, parameters: u16, bits in any::<u64>()) {
            let _ = number(&payload);
            let _ = Execution::read(&payload, payload.len(), parameters, Capabilities(bits));
        }
    }
}
