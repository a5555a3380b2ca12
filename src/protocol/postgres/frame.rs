//! Where one message ends and the next begins: a type byte, then a length that counts itself
//! (<https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-MESSAGE-CONCEPTS>).
//!
//! A length is checked against the caller's limit before anything is kept or copied.

use bytes::BytesMut;

use crate::protocol::bytes::Reader;

/// Bytes of a message before its body: type and length.
pub const HEADER_LEN: usize = 5;

/// The head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type byte.
    pub kind: u8,
    /// Length of the body in bytes, without the header.
    pub len: usize,
}

impl Header {
    /// Length of the whole message in bytes, header included.
    pub const fn total(self) -> usize {
        self.len.saturating_add(HEADER_LEN)
    }
}

/// A length that is negative, does not count itself, or is above the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message of type {kind:#04x} has an invalid length of {len}")]
pub struct BadLength {
    /// The type byte.
    pub kind: u8,
    /// The length as sent.
    pub len: i32,
}

/// Reads the header at the front of `input`. `None`: more bytes are needed. `limit` is the
/// longest body taken, in bytes.
pub fn header(input: &[u8], limit: usize) -> Result<Option<Header>, BadLength> {
    let mut reader = Reader::new(input);
    let (Some(kind), Some(len)) = (reader.u8(), reader.i32()) else {
        return Ok(None);
    };
    let body = usize::try_from(len).ok().and_then(|n| n.checked_sub(4));
    match body {
        Some(body) if body <= limit => Ok(Some(Header { kind, len: body })),
        _ => Err(BadLength { kind, len }),
    }
}

/// A whole message, taken from the input.
#[derive(Debug)]
pub struct Message {
    /// The type byte.
    pub kind: u8,
    /// Header and body.
    pub wire: BytesMut,
}

impl Message {
    /// The body, without the header.
    pub fn body(&self) -> &[u8] {
        self.wire.get(HEADER_LEN..).unwrap_or_default()
    }
}

/// Takes the message at the front of `input`, if all of it has come. `limit` is the longest body
/// taken, in bytes.
pub fn take(input: &mut BytesMut, limit: usize) -> Result<Option<Message>, BadLength> {
    let Some(header) = header(input, limit)? else {
        return Ok(None);
    };
    if input.len() < header.total() {
        return Ok(None);
    }
    Ok(Some(Message {
        kind: header.kind,
        wire: input.split_to(header.total()),
    }))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::proptest;

    use super::{BadLength, HEADER_LEN, Header, header, take};

    #[test]
    fn a_header_needs_five_bytes() {
        assert_eq!(header(b"Q\0\0\0", 100), Ok(None));
        let head = Header { kind: b'Q', len: 3 };
        assert_eq!(header(b"Q\0\0\0\x07", 100), Ok(Some(head)));
        assert_eq!(head.total(), 8);
    }

    #[test]
    fn lengths_out_of_range_are_refused_at_the_header() {
        for (len, limit) in [
            (-1_i32, 100),
            (i32::MIN, 100),
            (0, 100),
            (3, 100),
            (105, 100),
            (i32::MAX, 100),
        ] {
            let mut wire = vec![b'p'];
            wire.extend_from_slice(&len.to_be_bytes());
            assert_eq!(header(&wire, limit), Err(BadLength { kind: b'p', len }));
            let mut input = BytesMut::from(&wire[..]);
            let capacity = input.capacity();
            assert!(take(&mut input, limit).is_err());
            assert_eq!(input.capacity(), capacity);
        }
        assert!(header(b"p\0\0\0\x68", 100).is_ok_and(|head| head.is_some()));
    }

    #[test]
    fn a_message_is_taken_when_it_is_whole() {
        let mut input = BytesMut::from(&b"Z\0\0\0\x05"[..]);
        assert!(take(&mut input, 10).unwrap().is_none());
        input.extend_from_slice(b"Imore");
        let message = take(&mut input, 10).unwrap().unwrap();
        assert_eq!((message.kind, message.body()), (b'Z', &b"I"[..]));
        assert_eq!(&input[..], b"more");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, limit in 0_usize..64) {
            let mut input = BytesMut::from(&bytes[..]);
            if let Ok(Some(message)) = take(&mut input, limit) {
                assert!(message.body().len() <= limit);
                assert_eq!(message.wire.len() + input.len(), bytes.len());
                assert!(message.wire.len() >= HEADER_LEN);
            } else {
                assert_eq!(&input[..], &bytes[..]);
            }
        }
    }
}
