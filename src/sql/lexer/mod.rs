//! PostgreSQL's tokens, found in bytes without copying.
//!
//! Follows <https://www.postgresql.org/docs/current/sql-syntax-lexical.html> and, where that is silent, the server's
//! `scan.l`. Any bytes are accepted in linear time; what a server might read otherwise (unterminated or
//! backslash-dependent strings, bytes of client-only encodings) is noted in [`Doubt`], never an error.

mod quoted;

use std::ops::BitOr;

/// How the server reads backslashes in plain strings, `standard_conforming_strings` (section 4.1.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quoting {
    /// On, the default: a backslash is a character like any other.
    Standard,
    /// Off: a backslash escapes the next character.
    Backslash,
}

/// What about the tokens so far may not be as the server sees it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Doubt {
    /// A string, comment or quoted identifier is not closed.
    pub incomplete: bool,
    /// A token boundary depends on something unknown here, such as the client's encoding.
    pub ambiguous: bool,
    /// A plain string ends elsewhere under the other [`Quoting`].
    pub quoting: bool,
}

impl BitOr for Doubt {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            incomplete: self.incomplete | other.incomplete,
            ambiguous: self.ambiguous | other.ambiguous,
            quoting: self.quoting | other.quoting,
        }
    }
}

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Keyword or unquoted identifier.
    Word,
    /// `"identifier"`
    QuotedIdentifier,
    /// `U&"identifier"`; its escapes are not decoded.
    UnicodeIdentifier,
    /// `'string'`, continuations on further lines included.
    String,
    /// `E'string'`
    EscapeString,
    /// `B'01'` or `X'1F'`
    BitString,
    /// `U&'string'`
    UnicodeString,
    /// `$tag$string$tag$`
    DollarString,
    /// A number without sign.
    Number,
    /// `$1`
    Parameter,
    /// Any operator, such as `=`.
    Operator,
    /// `;`
    Semicolon,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// `.`
    Dot,
    /// Any other single byte.
    Other,
}

/// One token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Where it starts in the text.
    pub start: usize,
    /// All its bytes, quotes included.
    pub bytes: &'a [u8],
}

impl Token<'_> {
    /// Where it ends in the text.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.start + self.bytes.len()
    }

    /// Whether it is the unquoted word `word`, given in lower case.
    #[must_use]
    pub const fn is_word(&self, word: &[u8]) -> bool {
        matches!(self.kind, Kind::Word) && self.bytes.eq_ignore_ascii_case(word)
    }
}

/// Yields the tokens of a text; white space and comments are left out.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    quoting: Quoting,
    doubt: Doubt,
}

impl<'a> Lexer<'a> {
    /// A lexer over `text`, which is complete: no more bytes follow.
    #[must_use]
    pub const fn new(text: &'a [u8], quoting: Quoting) -> Self {
        Self {
            text,
            at: 0,
            quoting,
            doubt: Doubt {
                incomplete: false,
                ambiguous: false,
                quoting: false,
            },
        }
    }

    /// The doubts about the tokens yielded so far and the blanks before them.
    #[must_use]
    pub const fn doubt(&self) -> Doubt {
        self.doubt
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn end(&mut self) {
        self.at = self.text.len();
    }

    /// Skips white space and comments (sections 4.1 and 4.1.5). Returns the byte that comes then.
    #[inline]
    fn skip_blanks(&mut self) -> Option<u8> {
        loop {
            let byte = self.peek(0)?;
            let class = class(byte);
            if class & SPACE != 0 {
                self.at += 1;
            } else if class & OPERATOR == 0 || !self.skip_comment(byte) {
                return Some(byte);
            }
        }
    }

    fn skip_comment(&mut self, byte: u8) -> bool {
        match (byte, self.peek(1)) {
            (b'-', Some(b'-')) => self.skip_line_comment(),
            (b'/', Some(b'*')) => self.skip_block_comment(),
            _ => return false,
        }
        true
    }

    fn skip_line_comment(&mut self) {
        match memchr::memchr2(b'\n', b'\r', self.rest()) {
            Some(length) => self.at += length,
            None => self.end(),
        }
    }

    /// Skips a block comment; they nest.
    fn skip_block_comment(&mut self) {
        self.at += 2;
        let mut depth = 1_usize;
        while depth > 0 {
            let Some(length) = memchr::memchr2(b'*', b'/', self.rest()) else {
                self.end();
                self.doubt.incomplete = true;
                return;
            };
            self.at += length;
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
    }

    #[inline]
    fn kind(&mut self, byte: u8) -> Kind {
        let class = class(byte);
        if class & WORD_START != 0 {
            self.word(byte)
        } else if class & SINGLE != 0 {
            self.at += 1;
            single(byte)
        } else {
            self.rarer(byte, class)
        }
    }

    fn rarer(&mut self, byte: u8, class: u8) -> Kind {
        if class & DIGIT != 0 {
            return self.number();
        }
        if class & OPERATOR != 0 {
            return self.operator();
        }
        match byte {
            b'\'' => self.string(),
            b'"' => self.quoted_identifier(),
            b'$' => self.dollar(),
            b'.' if self.digit_at(1) => self.number(),
            _ => {
                // The server's text ends at a zero byte.
                self.doubt.ambiguous |= byte == 0;
                self.at += 1;
                single(byte)
            }
        }
    }

    fn digit_at(&self, ahead: usize) -> bool {
        self.peek(ahead)
            .is_some_and(|byte| class(byte) & DIGIT != 0)
    }

    /// A word, or a string or identifier with a one-letter prefix. `N'…'` is the word `N` and a
    /// plain string.
    #[inline]
    fn word(&mut self, first: u8) -> Kind {
        let prefixes = match self.peek(1) {
            Some(b'\'') => matches!(first | 0x20, b'e' | b'b' | b'x'),
            Some(b'&') => first | 0x20 == b'u' && matches!(self.peek(2), Some(b'\'' | b'"')),
            _ => false,
        };
        if prefixes {
            return self.prefixed(first);
        }
        self.skip_class(WORD);
        Kind::Word
    }

    fn prefixed(&mut self, first: u8) -> Kind {
        match (first | 0x20, self.peek(2)) {
            (b'e', _) => self.escape_string(),
            (b'u', Some(b'"')) => self.unicode_identifier(),
            (b'u', _) => self.unicode_string(),
            _ => self.bit_string(),
        }
    }

    #[inline]
    fn skip_class(&mut self, mask: u8) {
        let rest = self.rest();
        self.at += rest
            .iter()
            .position(|byte| class(*byte) & mask == 0)
            .unwrap_or(rest.len());
    }

    /// Digits, fraction, exponent (section 4.1.2.6). Letters that follow start a word, as servers before 15 read
    /// them; newer ones refuse the text, save for forms like `0x1F` and `1_000`, in which nothing can hide.
    fn number(&mut self) -> Kind {
        self.skip_class(DIGIT);
        if self.peek(0) == Some(b'.') {
            self.at += 1;
            self.skip_class(DIGIT);
        }
        if self.peek(0).is_some_and(|byte| byte | 0x20 == b'e') {
            let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            if self.digit_at(1 + sign) {
                self.at += 1 + sign;
                self.skip_class(DIGIT);
            }
        }
        Kind::Number
    }

    /// Operator characters up to the start of a comment. An operator ends in a sign only if it has
    /// one of the characters that SQL itself does not use: `=-` is two (section 4.1.3). Signs in a row
    /// are left in one piece, unlike in the server, to look at each byte but twice.
    fn operator(&mut self) -> Kind {
        let start = self.at;
        let (mut special, mut core) = (0, 0);
        while let Some(byte) = self.peek(0) {
            let class = class(byte);
            if class & OPERATOR == 0
                || matches!(
                    (byte, self.peek(1)),
                    (b'-', Some(b'-')) | (b'/', Some(b'*'))
                )
            {
                break;
            }
            self.at += 1;
            special |= class & SPECIAL;
            if !matches!(byte, b'+' | b'-') {
                core = self.at;
            }
        }
        if special == 0 && core > start {
            self.at = core;
        }
        Kind::Operator
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    // Left to itself the compiler passes tokens through memory, at a third of the whole cost.
    #[inline(always)]
    fn next(&mut self) -> Option<Token<'a>> {
        let byte = self.skip_blanks()?;
        let start = self.at;
        let kind = self.kind(byte);
        let bytes = self.text.get(start..self.at).unwrap_or_default();
        Some(Token { kind, start, bytes })
    }
}

const fn single(byte: u8) -> Kind {
    match byte {
        b';' => Kind::Semicolon,
        b'(' => Kind::Open,
        b')' => Kind::Close,
        b',' => Kind::Comma,
        b'.' => Kind::Dot,
        _ => Kind::Other,
    }
}

const SPACE: u8 = 1;
const WORD_START: u8 = 2;
const WORD: u8 = 4;
const DIGIT: u8 = 8;
const OPERATOR: u8 = 16;
/// Operator characters that let an operator end in a sign.
const SPECIAL: u8 = 32;
/// Bytes that are a token by themselves.
const SINGLE: u8 = 64;

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(0)
}

/// The classes of each byte: section 4.1.1 for words (any byte with the high bit set is a letter to the server),
/// 4.1.3 for operators, `scan.l` for white space.
#[expect(
    clippy::indexing_slicing,
    reason = "built when compiled, where an index out of bounds is an error"
)]
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => SPACE,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..=0xff => WORD_START | WORD,
            b'0'..=b'9' => DIGIT | WORD,
            b'$' => WORD,
            b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' => OPERATOR,
            b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'|' | b'`' | b'?' => {
                OPERATOR | SPECIAL
            }
            b'(' | b')' | b',' | b';' => SINGLE,
            _ => 0,
        };
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests;
