//! Packets (MySQL protocol, "MySQL Packets"): three bytes of length, one of sequence number, and
//! the payload. A payload of the greatest length goes on in the next packet.

use bytes::{Buf, BytesMut};

use crate::protocol::bytes::Sink;

/// Bytes before the payload.
pub const HEADER_LEN: usize = 4;
/// Longest payload of one packet; one of this length is continued in another packet.
pub const MAX_PAYLOAD: usize = 0xFF_FFFF;

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of the payload.
    pub len: usize,
    /// Counts the packets of one command, in both directions together; wraps around.
    pub seq: u8,
}

impl Header {
    /// Reads a header; `None` if `bytes` has not all of it.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, seq] = *bytes.first_chunk::<HEADER_LEN>()?;
        let len = u32::from_le_bytes([a, b, c, 0]);
        Some(Self {
            len: usize::try_from(len).ok()?,
            seq,
        })
    }

    /// The header as it is sent.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        // The greatest length has 24 bits, and no header is made for more.
        let len = u32::try_from(self.len).unwrap_or(u32::MAX);
        let [a, b, c, _] = len.to_le_bytes();
        [a, b, c, self.seq]
    }

    /// Header and payload in bytes.
    pub const fn total(self) -> usize {
        HEADER_LEN + self.len
    }

    /// True if the payload goes on in the next packet.
    pub const fn continues(self) -> bool {
        self.len == MAX_PAYLOAD
    }
}

/// Takes the packet at the front of `input`, if all of it is there. A packet of more than `limit`
/// bytes of payload is an error, told from its header alone.
pub fn take_packet(
    input: &mut BytesMut,
    limit: usize,
) -> Result<Option<(Header, BytesMut)>, TooLong> {
    let Some(header) = Header::read(input) else {
        return Ok(None);
    };
    if header.len > limit {
        return Err(TooLong(header.len));
    }
    if input.len() < header.total() {
        return Ok(None);
    }
    input.advance(HEADER_LEN);
    Ok(Some((header, input.split_to(header.len))))
}

/// A payload is longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet of {0} bytes is too long")]
pub struct TooLong(pub usize);

/// Appends a payload that `body` writes, as one packet or, if it is too long for one, several.
/// Returns the sequence number of the packet that comes next.
pub fn put_packet<B: Sink>(out: &mut B, seq: u8, body: impl FnOnce(&mut B)) -> u8 {
    let start = out.as_ref().len();
    out.put_slice(&[0; HEADER_LEN]);
    body(out);
    let len = out.as_ref().len() - start - HEADER_LEN;
    if len >= MAX_PAYLOAD {
        return split(out, start, seq);
    }
    set_header(out, start, Header { len, seq });
    seq.wrapping_add(1)
}

fn set_header<B: Sink>(out: &mut B, at: usize, header: Header) {
    let place = out.as_mut().get_mut(at..);
    if let Some(place) = place.and_then(|place| place.first_chunk_mut::<HEADER_LEN>()) {
        *place = header.to_bytes();
    }
}

/// Puts headers between the parts of a long payload. Rare, so it may copy.
fn split<B: Sink>(out: &mut B, start: usize, mut seq: u8) -> u8 {
    let rest = out.as_ref().get(start + HEADER_LEN + MAX_PAYLOAD..);
    let rest = rest.unwrap_or_default().to_vec();
    set_header(
        out,
        start,
        Header {
            len: MAX_PAYLOAD,
            seq,
        },
    );
    // The first part keeps its place; the others are overwritten from behind it.
    let mut tail = Vec::with_capacity(rest.len() + 2 * HEADER_LEN);
    let mut left = &*rest;
    loop {
        seq = seq.wrapping_add(1);
        let (part, more) = left.split_at(left.len().min(MAX_PAYLOAD));
        let header = Header {
            len: part.len(),
            seq,
        };
        tail.extend_from_slice(&header.to_bytes());
        tail.extend_from_slice(part);
        left = more;
        if !header.continues() {
            break;
        }
    }
    let kept = rest.len();
    if let Some(place) = out.as_mut().get_mut(start + HEADER_LEN + MAX_PAYLOAD..)
        && let Some(head) = tail.get(..kept)
    {
        place.copy_from_slice(head);
    }
    out.put_slice(tail.get(kept..).unwrap_or_default());
    seq.wrapping_add(1)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{HEADER_LEN, Header, MAX_PAYLOAD, TooLong, put_packet, take_packet};

    #[test]
    fn a_packet_is_taken_when_it_is_whole() {
        let mut out = BytesMut::new();
        assert_eq!(
            put_packet(&mut out, 255, |out| out.extend_from_slice(b"abc")),
            0
        );
        assert_eq!(&out[..], b"\x03\0\0\xffabc");
        let mut part = BytesMut::from(&out[..6]);
        assert_eq!(take_packet(&mut part, 10), Ok(None));
        assert_eq!(take_packet(&mut out.clone(), 2), Err(TooLong(3)));
        let (header, payload) = take_packet(&mut out, 3).unwrap().unwrap();
        assert_eq!((header.seq, &payload[..]), (255, &b"abc"[..]));
        assert!(out.is_empty());
    }

    #[test]
    fn long_payloads_are_split_and_always_end_with_a_short_packet() {
        for len in [
            MAX_PAYLOAD - 1,
            MAX_PAYLOAD,
            MAX_PAYLOAD + 1,
            2 * MAX_PAYLOAD,
            2 * MAX_PAYLOAD + 5,
        ] {
            let payload: Vec<u8> = (0..=250_u8).cycle().take(len).collect();
            let mut out = b"before".to_vec();
            let next = put_packet(&mut out, 7, |out| out.extend_from_slice(&payload));
            let (mut at, mut seq, mut joined) = (6, 7, Vec::new());
            loop {
                let header = Header::read(&out[at..]).unwrap();
                assert_eq!(header.seq, seq);
                joined.extend_from_slice(&out[at + HEADER_LEN..at + header.total()]);
                at += header.total();
                seq += 1;
                if !header.continues() {
                    break;
                }
            }
            assert_eq!((at, seq), (out.len(), next));
            assert!(joined == payload, "{len}");
        }
    }
}
