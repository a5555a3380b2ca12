//! The protocol's numbers and strings (MySQL protocol, "Basic Data Types"): little-endian, and
//! lengths of one to nine bytes.

use crate::protocol::bytes::{ByteReader, Little, Sink};

/// Reads from the front of a slice. Never panics: whatever is not there is `None`.
pub type Reader<'a> = ByteReader<'a, Little>;

impl<'a> Reader<'a> {
    /// A number of three bytes.
    pub fn u24(&mut self) -> Option<u32> {
        let [a, b, c] = self.array()?;
        Some(u32::from_le_bytes([a, b, c, 0]))
    }

    /// A length-encoded number. The first bytes 0xFB (NULL) and 0xFF (an error) are none.
    pub fn lenenc(&mut self) -> Option<u64> {
        match self.u8()? {
            small @ ..=0xFA => Some(small.into()),
            0xFC => self.u16().map(Into::into),
            0xFD => self.u24().map(Into::into),
            0xFE => self.u64(),
            0xFB | 0xFF => None,
        }
    }

    /// A string with a length-encoded length before it.
    pub fn lenenc_bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.lenenc()?).ok()?;
        self.take(len)
    }
}

/// Appends a length-encoded number.
pub fn put_lenenc<B: Sink>(out: &mut B, value: u64) {
    let [a, b, c, ..] = value.to_le_bytes();
    match value {
        0..=0xFA => out.put_u8(a),
        0xFB..=0xFFFF => out.put_slice(&[0xFC, a, b]),
        0x1_0000..=0xFF_FFFF => out.put_slice(&[0xFD, a, b, c]),
        _ => {
            out.put_u8(0xFE);
            out.put_u64_le(value);
        }
    }
}

/// Appends a string with its length-encoded length before it.
pub fn put_lenenc_bytes<B: Sink>(out: &mut B, bytes: &[u8]) {
    // A `usize` has at most 64 bits on every supported machine.
    put_lenenc(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Reader, put_lenenc, put_lenenc_bytes};

    #[test]
    fn numbers_are_little_endian() {
        let mut reader = Reader::new(&[1, 2, 1, 3, 2, 1, 4, 3, 2, 1, 9, b'a', 0, b'x']);
        assert_eq!(reader.u8(), Some(1));
        assert_eq!(reader.u16(), Some(0x102));
        assert_eq!(reader.u24(), Some(0x0001_0203));
        assert_eq!(reader.u32(), Some(0x0102_0304));
        assert_eq!(reader.peek(), Some(9));
        assert_eq!(reader.u64(), None);
        assert_eq!(reader.cstr(), Some(&[9, b'a'][..]));
        assert_eq!(reader.cstr(), None);
        assert_eq!(reader.rest(), b"x");
    }

    #[test]
    fn null_and_error_are_no_lengths() {
        assert_eq!(Reader::new(&[0xFB, 0, 0]).lenenc(), None);
        assert_eq!(Reader::new(&[0xFF, 0, 0]).lenenc(), None);
        assert_eq!(Reader::new(&[0xFC, 0]).lenenc(), None);
        assert_eq!(Reader::new(&[5, 1, 2]).lenenc_bytes(), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: u64, small in 0_u64..0x2_0000, text: Vec<u8>) {
            let mut out = Vec::new();
            put_lenenc(&mut out, value);
            put_lenenc(&mut out, small);
            put_lenenc_bytes(&mut out, &text);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.lenenc(), Some(value));
            assert_eq!(reader.lenenc(), Some(small));
            assert_eq!(reader.lenenc_bytes(), Some(&text[..]));
            assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, count in any::<usize>()) {
            let mut reader = Reader::new(&bytes);
            let _ = (reader.lenenc_bytes(), reader.cstr(), reader.take(count));
            assert!(reader.len() <= bytes.len());
        }
    }
}
