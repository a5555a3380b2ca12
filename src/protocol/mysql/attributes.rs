//! Query attributes: named values that a client sends with a text or an execution (MySQL
//! protocol, `COM_QUERY` and `COM_STMT_EXECUTE`). Passed on as they come; read only to find what
//! stands behind them.

use super::wire::Reader;

/// The text in the payload of a `COM_QUERY`, behind the command byte and, where the connection has
/// them, the attributes. `None` if it cannot be found.
pub fn text(payload: &[u8], with_attributes: bool) -> Option<&[u8]> {
    let mut reader = Reader::new(payload);
    reader.u8()?;
    if !with_attributes {
        return Some(reader.rest());
    }
    let count = reader.lenenc()?;
    let _sets = reader.lenenc()?;
    if count > 0 {
        let count = usize::try_from(count).ok()?;
        let nulls = reader.take(count.div_ceil(8))?;
        // Types always stand with the attributes of a text.
        if reader.u8()? != 1 {
            return None;
        }
        let mut types = Vec::new();
        for _ in 0..count {
            types.push(reader.u16()?);
            reader.lenenc_bytes()?;
        }
        for (index, kind) in types.into_iter().enumerate() {
            let null = nulls
                .get(index / 8)
                .is_some_and(|byte| byte & (1 << (index % 8)) != 0);
            if !null {
                skip_value(&mut reader, kind)?;
            }
        }
    }
    Some(reader.rest())
}

/// Skips one value (MySQL protocol, "Binary Protocol Value"); `None` for types not known here.
fn skip_value(reader: &mut Reader<'_>, kind: u16) -> Option<()> {
    // The upper byte says whether it is unsigned.
    let [kind, _] = kind.to_le_bytes();
    match kind {
        // TINY, and BOOL
        1 | 244 => reader.take(1).map(drop),
        // SHORT, YEAR
        2 | 13 => reader.take(2).map(drop),
        // LONG, INT24, FLOAT
        3 | 9 | 4 => reader.take(4).map(drop),
        // LONGLONG, DOUBLE
        8 | 5 => reader.take(8).map(drop),
        // NULL
        6 => Some(()),
        // DATE, TIME, DATETIME, TIMESTAMP: a byte of length
        7 | 10 | 11 | 12 => {
            let len = reader.u8()?;
            reader.take(len.into()).map(drop)
        }
        // Decimals, strings, blobs, JSON, geometry, BIT
        0 | 15 | 16 | 242 | 245..=255 => reader.lenenc_bytes().map(drop),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::text;

    #[test]
    fn the_text_stands_behind_the_attributes() {
        assert_eq!(text(b"\x03select 1", false), Some(&b"select 1"[..]));
        assert_eq!(text(b"\x03\x00\x01select 1", true), Some(&b"select 1"[..]));
        // Two attributes: a string "a" = "xyz", and a NULL.
        let mut payload = b"\x03\x02\x01\x02\x01".to_vec();
        payload.extend_from_slice(b"\xfd\x00\x01a");
        payload.extend_from_slice(b"\x08\x00\x01b");
        payload.extend_from_slice(b"\x03xyzselect 1");
        assert_eq!(text(&payload, true), Some(&b"select 1"[..]));
        assert_eq!(text(b"\x03\x01\x01\x00\x01\x20\x00\x00x", true), None);
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(payload: Vec<u8>, with in any::<bool>()) {
            let found = text(&payload, with).map_or(0, <[u8]>::len);
            assert!(found <= payload.len());
        }
    }
}
