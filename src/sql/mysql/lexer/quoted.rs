//! Strings and quoted identifiers: where they end, and what they say.

use super::{Kind, Lexer};

impl Lexer<'_> {
    /// A string whose opening, up to and with its quote, has `opening` bytes
    /// (<https://dev.mysql.com/doc/refman/9.7/en/string-literals.html>).
    pub(super) fn string(&mut self, opening: usize, quote: u8) -> Kind {
        self.at += opening;
        let backslash = if self.mode.no_backslash_escapes {
            quote
        } else {
            b'\\'
        };
        loop {
            let Some(length) = memchr::memchr2(quote, backslash, self.rest()) else {
                self.unclosed();
                break;
            };
            self.at += length;
            if self.peek(0) == Some(quote) {
                self.at += 1;
                if self.peek(0) != Some(quote) {
                    break;
                }
                self.at += 1;
            } else if self.peek(1).is_some() {
                self.at += 2;
            } else {
                self.unclosed();
                break;
            }
        }
        Kind::String
    }

    /// A quoted identifier, its quote behind `opening` bytes. Only doubling gets a quote into it.
    pub(super) fn quoted(&mut self, opening: usize, quote: u8) -> Kind {
        self.at += opening + 1;
        loop {
            let Some(length) = memchr::memchr(quote, self.rest()) else {
                self.unclosed();
                break;
            };
            self.at += length + 1;
            if self.peek(0) != Some(quote) {
                break;
            }
            self.at += 1;
        }
        Kind::Quoted
    }

    /// `x'1F'` and `b'01'`: no escapes, and nothing but digits, or the server refuses it.
    pub(super) fn bits(&mut self) -> Kind {
        self.at += 2;
        match memchr::memchr(b'\'', self.rest()) {
            Some(length) => {
                let digits = self.rest().get(..length).unwrap_or_default();
                self.doubt.ambiguous |= !digits.iter().all(u8::is_ascii_hexdigit);
                self.at += length + 1;
            }
            None => self.unclosed(),
        }
        Kind::Bits
    }

    fn unclosed(&mut self) {
        self.end();
        self.doubt.incomplete = true;
    }
}

/// What a string says: the bytes of a token in quotes, these removed and escapes resolved. `None` if it
/// is not closed.
pub fn unescaped(token: &[u8], backslashes: bool) -> Option<Vec<u8>> {
    let (&quote, rest) = token.split_first()?;
    let (&last, inner) = rest.split_last()?;
    if last != quote {
        return None;
    }
    let mut said = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == quote {
            // Doubled, or it would have ended the token.
            bytes.next()?;
            said.push(quote);
        } else if byte == b'\\' && backslashes {
            match bytes.next()? {
                b'0' => said.push(0),
                b'b' => said.push(8),
                b'n' => said.push(b'\n'),
                b'r' => said.push(b'\r'),
                b't' => said.push(b'\t'),
                b'Z' => said.push(26),
                // For patterns: the backslash stays.
                escaped @ (b'%' | b'_') => said.extend_from_slice(&[b'\\', escaped]),
                escaped => said.push(escaped),
            }
        } else {
            said.push(byte);
        }
    }
    Some(said)
}
