//! Pure: percent-encoding as Signature Version 4 wants it (RFC 3986, section 2).

/// Decodes strictly: nothing but unreserved characters and complete escapes. A plus sign stands
/// for itself. `None` if anything else is there, or the result is not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            // Some generators leave these as they are.
            b'/' | b'+' | b'=' | b':' | b'@' | b',' | b'!' | b'*' | b'\'' | b'(' | b')' => {
                out.push(byte);
            }
            _ if is_unreserved(byte) => out.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}

/// Encodes everything but unreserved characters, with capital letters.
pub fn encode(text: &str) -> String {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or('0');
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{decode, encode};

    #[test]
    fn only_complete_escapes_are_decoded() {
        assert_eq!(decode("a%2Fb%2f+c").as_deref(), Some("a/b/+c"));
        for text in [
            "%", "%2", "%zz", "a b", "a&b", "a?b", "a#b", "%ff", "é", "a\0",
        ] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in any::<String>()) {
            prop_assert_eq!(decode(&encode(&text)), Some(text));
        }
    }
}
