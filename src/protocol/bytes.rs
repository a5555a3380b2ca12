//! Reading bytes that a peer chose, and writing messages whose length comes first.
//!
//! The reader never panics and never takes memory: whatever is not there is `None`. The writer
//! puts the length in afterwards, so that no message has to be measured beforehand.

use std::marker::PhantomData;

use bytes::BufMut;

/// Reads from the front of a slice numbers in network order, as PostgreSQL sends them.
pub type Reader<'a> = ByteReader<'a, Big>;

/// Reads from the front of a slice numbers of one byte order.
#[derive(Clone, Copy, Debug)]
pub struct ByteReader<'a, O> {
    left: &'a [u8],
    order: PhantomData<O>,
}

/// Network order: the most significant byte first.
#[derive(Clone, Copy, Debug)]
pub enum Big {}

/// The least significant byte first.
#[derive(Clone, Copy, Debug)]
pub enum Little {}

/// A byte order.
pub trait Order {
    /// A number's bytes, the most significant first.
    fn sorted<const N: usize>(bytes: [u8; N]) -> [u8; N];
}

impl Order for Big {
    fn sorted<const N: usize>(bytes: [u8; N]) -> [u8; N] {
        bytes
    }
}

impl Order for Little {
    fn sorted<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
        bytes.reverse();
        bytes
    }
}

impl<'a, O: Order> ByteReader<'a, O> {
    /// Begins at the front of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        let order = PhantomData;
        Self { left: bytes, order }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.left.split_at_checked(count)?;
        self.left = tail;
        Some(head)
    }

    /// The next `N` bytes as an array, as they stand.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.left.split_first_chunk::<N>()?;
        self.left = tail;
        Some(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// An unsigned 16-bit number.
    pub fn u16(&mut self) -> Option<u16> {
        self.number().map(u16::from_be_bytes)
    }

    /// A signed 16-bit number.
    pub fn i16(&mut self) -> Option<i16> {
        self.number().map(i16::from_be_bytes)
    }

    /// An unsigned 32-bit number.
    pub fn u32(&mut self) -> Option<u32> {
        self.number().map(u32::from_be_bytes)
    }

    /// A signed 32-bit number.
    pub fn i32(&mut self) -> Option<i32> {
        self.number().map(i32::from_be_bytes)
    }

    /// An unsigned 64-bit number.
    pub fn u64(&mut self) -> Option<u64> {
        self.number().map(u64::from_be_bytes)
    }

    /// A number's `N` bytes, the most significant first.
    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.array().map(O::sorted)
    }

    /// The bytes before the next zero byte, which is skipped. `None` if there is no zero byte.
    pub fn cstr(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(0, self.left)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }

    /// The next byte, which stays.
    pub const fn peek(&self) -> Option<u8> {
        self.left.first().copied()
    }

    /// All that has not been read, and leaves nothing.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    /// How many bytes have not been read.
    pub const fn len(&self) -> usize {
        self.left.len()
    }

    /// True if everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}

/// A growing buffer whose written part can be corrected: `BytesMut` and `Vec<u8>`.
pub trait Sink: BufMut + AsRef<[u8]> + AsMut<[u8]> {}

impl<B: BufMut + AsRef<[u8]> + AsMut<[u8]>> Sink for B {}

/// Appends a 32-bit big-endian length, then what `body` writes. The length counts itself and the
/// body, as in all PostgreSQL messages.
pub fn put_counted<B: Sink>(out: &mut B, body: impl FnOnce(&mut B)) {
    let start = out.as_ref().len();
    out.put_i32(0);
    body(out);
    let len = out.as_ref().len().saturating_sub(start);
    // We never write 2 GiB into one message; if we did, the peer refuses the length.
    let len = i32::try_from(len).unwrap_or(i32::MAX);
    let field = out.as_mut().get_mut(start..);
    if let Some(field) = field.and_then(|field| field.first_chunk_mut::<4>()) {
        *field = len.to_be_bytes();
    }
}

/// Appends `text` and a zero byte. A zero byte inside `text` ends it: it must never reach the
/// peer as the start of another field.
pub fn put_cstr<B: Sink>(out: &mut B, text: &[u8]) {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    out.put_slice(text.get(..end).unwrap_or_default());
    out.put_u8(0);
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::{any, proptest};

    use super::{Reader, put_counted, put_cstr};

    #[test]
    fn values_are_read_in_network_order() {
        let mut reader = Reader::new(&[1, 0xff, 0xfe, 0, 0, 1, 0, b'a', 0, b'x', b'y']);
        assert_eq!(reader.u8(), Some(1));
        assert_eq!(reader.i16(), Some(-2));
        assert_eq!(reader.i32(), Some(256));
        assert_eq!(reader.cstr(), Some(&b"a"[..]));
        assert_eq!(reader.len(), 2);
        assert_eq!(reader.u32(), None);
        assert_eq!(reader.rest(), b"xy");
        assert!(reader.is_empty());
    }

    #[test]
    fn what_is_not_there_is_not_skipped() {
        let mut reader = Reader::new(b"abc");
        assert_eq!(reader.cstr(), None);
        assert_eq!(reader.take(4), None);
        assert_eq!(reader.take(usize::MAX), None);
        assert_eq!(reader.take(3), Some(&b"abc"[..]));
        assert_eq!(reader.u8(), None);
    }

    #[test]
    fn a_length_counts_itself_and_the_body() {
        let mut out = BytesMut::from(&b"Q"[..]);
        put_counted(&mut out, |out| put_cstr(out, b"hi"));
        assert_eq!(&out[..], b"Q\0\0\0\x07hi\0");
        let mut out = Vec::new();
        put_counted(&mut out, |_| {});
        assert_eq!(out, [0, 0, 0, 4]);
    }

    #[test]
    fn a_zero_byte_cannot_smuggle_a_field() {
        let mut out = Vec::new();
        put_cstr(&mut out, b"user\0database\0other");
        assert_eq!(out, b"user\0");
    }

    proptest! {
        #[test]
        fn reading_takes_a_prefix(bytes: Vec<u8>, count in any::<usize>()) {
            let mut reader = Reader::new(&bytes);
            let taken = reader.take(count % 64).unwrap_or_default().len();
            assert_eq!(taken + reader.len(), bytes.len());
            let text = reader.cstr().map_or(0, |text| text.len() + 1);
            assert_eq!(taken + text + reader.len(), bytes.len());
        }
    }
}
