//! The tokens of MySQL and MariaDB, found in bytes without copying.
//!
//! Follows <https://dev.mysql.com/doc/refman/9.7/en/language-structure.html>,
//! <https://mariadb.com/kb/en/comment-syntax/> and, where those are silent, the servers' `lex_one_token` in
//! `sql_lex.cc`. The content of a version comment that this server would run is code. Any bytes are accepted in
//! linear time; what a server might read otherwise is noted in [`Doubt`], never an error.

mod blanks;
mod quoted;

pub use quoted::unescaped;

use super::mode::{ClientCharset, Flavor, Mode};
use crate::sql::fingerprint::{Form, Piece, Source, Trust};

/// What about the tokens so far may not be as the server sees it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Doubt {
    /// A string, comment or quoted identifier is not closed. The server refuses the statement in which
    /// it stands, but has run those before it.
    pub incomplete: bool,
    /// A token boundary depends on something unknown here.
    pub ambiguous: bool,
}

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Keyword or unquoted identifier.
    Word,
    /// `` `identifier` ``, or `"identifier"` under `ANSI_QUOTES`.
    Quoted,
    /// `'string'`, `N'string'` or, without `ANSI_QUOTES`, `"string"`.
    String,
    /// `$tag$string$tag$`
    DollarString,
    /// `x'1F'`, `0x1F`, `b'01'`, `0b01`
    Bits,
    /// A number without sign.
    Number,
    /// `@name` in any of its quotes, or the host of an account.
    Variable,
    /// `@@`; the name follows as words and dots.
    System,
    /// `:=`
    Assign,
    /// `=`
    Equals,
    /// `?`
    Placeholder,
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
    mode: Mode,
    doubt: Doubt,
    /// Within a version comment that is run.
    in_comment: bool,
    /// Right behind a dot that follows a name: what comes is a name too, even if it starts with a digit.
    name_next: bool,
}

impl<'a> Lexer<'a> {
    /// A lexer over `text`, which is complete: no more bytes follow.
    #[must_use]
    pub const fn new(text: &'a [u8], mode: Mode) -> Self {
        Self {
            text,
            at: 0,
            mode,
            doubt: Doubt {
                incomplete: false,
                ambiguous: false,
            },
            in_comment: false,
            name_next: false,
        }
    }

    /// The doubts about the tokens yielded so far and the blanks before them.
    #[must_use]
    pub const fn doubt(&self) -> Doubt {
        self.doubt
    }

    /// The mode in which it reads.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// This lexer, in the state in which it is, over the text before `end` only.
    pub(super) fn until(&self, end: usize) -> Self {
        let text = self.text.get(..end).unwrap_or(self.text);
        Self {
            text,
            ..self.clone()
        }
    }

    /// A lexer that yields `token`, the last one that this has yielded, and what follows.
    pub(super) fn back_to(&self, token: &Token<'a>) -> Self {
        Self {
            at: token.start,
            doubt: Doubt::default(),
            name_next: false,
            ..self.clone()
        }
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

    fn class_at(&self, ahead: usize) -> u8 {
        self.peek(ahead).map_or(0, class)
    }

    #[inline]
    fn kind(&mut self, byte: u8) -> Kind {
        let class = class(byte);
        if class & WORD != 0 && self.name_next {
            self.name_next = false;
            self.skip_name();
            return Kind::Word;
        }
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
        match byte {
            b'\'' => self.string(1, b'\''),
            b'"' if !self.mode.ansi_quotes => self.string(1, b'"'),
            b'"' | b'`' => self.quoted(0, byte),
            b'$' => self.dollar(),
            b'@' => self.at_sign(),
            b'.' => self.dot(),
            b':' if self.peek(1) == Some(b'=') => {
                self.at += 2;
                Kind::Assign
            }
            _ => {
                self.doubt.ambiguous |= byte == 0;
                self.at += 1;
                Kind::Other
            }
        }
    }

    /// A word, or a string with a one-letter prefix.
    #[inline]
    fn word(&mut self, first: u8) -> Kind {
        if self.peek(1) == Some(b'\'') {
            match first | 0x20 {
                b'n' => return self.string(2, b'\''),
                b'x' | b'b' => return self.bits(),
                _ => {}
            }
        }
        self.skip_name();
        Kind::Word
    }

    /// Skips letters, digits, underscores and dollar signs. In character sets of one byte some of the
    /// bytes beyond ASCII are blanks or signs.
    #[inline]
    fn skip_name(&mut self) {
        let rest = self.rest();
        let mut high = 0;
        let length = rest.iter().position(|byte| {
            high |= byte & 0x80;
            class(*byte) & WORD == 0
        });
        self.at += length.unwrap_or(rest.len());
        if high != 0 && self.mode.charset != ClientCharset::Utf8 {
            self.doubt.ambiguous = true;
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.rest();
        let length = rest.iter().position(|byte| !wanted(*byte));
        self.at += length.unwrap_or(rest.len());
    }

    fn skip_digits(&mut self) {
        self.skip_while(|byte| byte.is_ascii_digit());
    }

    /// A number, or a name that starts with a digit (`MY_LEX_NUMBER_IDENT`).
    fn number(&mut self) -> Kind {
        if let (Some(b'0'), Some(letter @ (b'x' | b'b'))) = (self.peek(0), self.peek(1)) {
            let start = self.at;
            self.at += 2;
            if letter == b'x' {
                self.skip_while(|byte| byte.is_ascii_hexdigit());
            } else {
                self.skip_while(|byte| matches!(byte, b'0' | b'1'));
            }
            if self.at > start + 2 && self.class_at(0) & WORD == 0 {
                return Kind::Bits;
            }
            self.skip_name();
            return Kind::Word;
        }
        self.skip_digits();
        match self.peek(0) {
            Some(b'.') => self.fraction(),
            Some(b'e' | b'E') if self.exponent() => Kind::Number,
            Some(byte) if class(byte) & WORD != 0 => {
                self.skip_name();
                Kind::Word
            }
            _ => Kind::Number,
        }
    }

    /// From the point on.
    fn fraction(&mut self) -> Kind {
        self.at += 1;
        self.skip_digits();
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            self.exponent();
        }
        Kind::Number
    }

    /// Skips an exponent, if that is what comes.
    fn exponent(&mut self) -> bool {
        let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
        let found = self.class_at(1 + sign) & DIGIT != 0;
        if found {
            self.at += 1 + sign;
            self.skip_digits();
        }
        found
    }

    /// A dot, or a number that starts with one. Right between names it is the former.
    fn dot(&mut self) -> Kind {
        let before = self.at.checked_sub(1).and_then(|at| self.text.get(at));
        let named = before.is_some_and(|byte| class(*byte) & WORD != 0);
        if !named && self.class_at(1) & DIGIT != 0 {
            return self.fraction();
        }
        self.at += 1;
        self.name_next = named;
        Kind::Dot
    }

    /// `@name`, `@@`, or the sign alone.
    fn at_sign(&mut self) -> Kind {
        match self.peek(1) {
            Some(b'@') => {
                self.at += 2;
                return Kind::System;
            }
            Some(b'\'') => {
                self.string(2, b'\'');
            }
            Some(b'"') if !self.mode.ansi_quotes => {
                self.string(2, b'"');
            }
            Some(quote @ (b'`' | b'"')) => {
                self.quoted(1, quote);
            }
            _ => {
                self.at += 1;
                self.skip_while(|byte| class(byte) & WORD != 0 && byte < 0x80 || byte == b'.');
                // Whether a letter beyond ASCII belongs to it is a matter of the character set.
                self.doubt.ambiguous |= self.peek(0).is_some_and(|byte| byte >= 0x80);
            }
        }
        Kind::Variable
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    // As with the other family's lexer: left to itself the compiler passes tokens through memory.
    #[inline(always)]
    fn next(&mut self) -> Option<Token<'a>> {
        let before = self.at;
        let byte = self.skip_blanks()?;
        let start = self.at;
        self.name_next &= before == start;
        let kind = self.kind(byte);
        let bytes = self.text.get(start..self.at).unwrap_or_default();
        Some(Token { kind, start, bytes })
    }
}

impl<'a> Source<'a> for Lexer<'a> {
    fn piece(&mut self) -> Option<Piece<'a>> {
        let Token { kind, start, bytes } = self.next()?;
        let form = match kind {
            Kind::Number | Kind::Bits => Form::Number,
            Kind::String | Kind::DollarString | Kind::Placeholder => Form::Constant,
            Kind::Word => Form::Word,
            Kind::Semicolon => Form::Semicolon,
            Kind::Quoted
            | Kind::Variable
            | Kind::System
            | Kind::Assign
            | Kind::Equals
            | Kind::Open
            | Kind::Close
            | Kind::Comma
            | Kind::Dot
            | Kind::Other => Form::Other,
        };
        Some(Piece { form, start, bytes })
    }

    fn trust(&self) -> Trust {
        match self.doubt {
            Doubt {
                incomplete: true, ..
            } => Trust::Unfinished,
            Doubt {
                ambiguous: true, ..
            } => Trust::Doubtful,
            Doubt { .. } => Trust::Full,
        }
    }
}

const fn single(byte: u8) -> Kind {
    match byte {
        b';' => Kind::Semicolon,
        b'(' => Kind::Open,
        b')' => Kind::Close,
        b',' => Kind::Comma,
        b'=' => Kind::Equals,
        b'?' => Kind::Placeholder,
        _ => Kind::Other,
    }
}

const SPACE: u8 = 1;
const WORD_START: u8 = 2;
const WORD: u8 = 4;
const DIGIT: u8 = 8;
/// Bytes that may start a comment, or end one whose content is code.
const COMMENT: u8 = 16;
/// Bytes that are a token by themselves.
const SINGLE: u8 = 32;

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(0)
}

/// The classes of each byte, after `init_state_maps` in `sql_chars.cc`.
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
            b'-' | b'/' | b'#' | b'*' => COMMENT,
            b'(' | b')' | b',' | b';' | b'=' | b'?' | b'+' | b'<' | b'>' | b'!' | b'&' | b'|'
            | b'%' | b'^' | b'~' => SINGLE,
            _ => 0,
        };
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    classes
};

/// Dollar quotes came with version 8.1 of MySQL, as far as its releases tell; before 8.0 a dollar sign
/// was a letter like any other, as it is to MariaDB.
const DOLLAR_QUOTES: u32 = 80_100;
const DOLLAR_LETTERS: u32 = 80_000;

impl Lexer<'_> {
    /// `$tag$…$tag$`, or a name that starts with a dollar sign. A quote that is not closed is refused by
    /// servers that know it, so reading it as a name, as the others do, loses nothing.
    fn dollar(&mut self) -> Kind {
        let rest = self.rest().get(1..).unwrap_or_default();
        let tag = rest
            .iter()
            .position(|byte| *byte == b'$' || class(*byte) & WORD == 0)
            .filter(|length| rest.get(*length) == Some(&b'$'));
        let quoted = tag.and_then(|length| {
            let tag = self.rest().get(..length + 2)?;
            let body = self.rest().get(length + 2..)?;
            Some(memchr::memmem::find(body, tag)? + 2 * tag.len())
        });
        match quoted {
            Some(length)
                if self.mode.flavor == Flavor::MySql && self.mode.version >= DOLLAR_LETTERS =>
            {
                self.doubt.ambiguous |= self.mode.version < DOLLAR_QUOTES;
                self.at += length;
                Kind::DollarString
            }
            _ => {
                self.skip_name();
                Kind::Word
            }
        }
    }
}

#[cfg(test)]
mod tests;
