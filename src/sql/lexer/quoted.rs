//! Strings, quoted identifiers and dollar quotes: where they end, and when that is not certain.
//!
//! The one thing that moves a boundary is a run of backslashes before a quote. It depends on the kind of string, on
//! [`Quoting`], and, if a byte with the high bit set precedes the run, on the client's encoding: in SJIS, BIG5, GBK,
//! GB18030, UHC and JOHAB the second byte of a character can be a backslash (but never a quote or a dollar sign).

use super::{DIGIT, Kind, Lexer, Quoting, SPACE, WORD, WORD_START, class};

/// What escapes a quote within a string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// Nothing: two strings in a row instead (`B''`, `X''`).
    Nothing,
    /// A second quote (`U&''`).
    Doubling,
    /// A second quote or, by the server's setting, a backslash (`''`).
    Setting,
    /// A second quote or a backslash (`E''`).
    Backslash,
}

impl Lexer<'_> {
    /// `'…'`, section 4.1.2.1.
    pub(super) fn string(&mut self) -> Kind {
        self.skip_string(1, Escape::Setting);
        Kind::String
    }

    /// `E'…'`, section 4.1.2.2.
    pub(super) fn escape_string(&mut self) -> Kind {
        self.skip_string(2, Escape::Backslash);
        Kind::EscapeString
    }

    /// `B'…'` and `X'…'`, section 4.1.2.5.
    pub(super) fn bit_string(&mut self) -> Kind {
        self.skip_string(2, Escape::Nothing);
        Kind::BitString
    }

    /// `U&'…'`, section 4.1.2.3. Refused by the server while `standard_conforming_strings` is off.
    pub(super) fn unicode_string(&mut self) -> Kind {
        self.skip_string(3, Escape::Doubling);
        Kind::UnicodeString
    }

    /// `"…"`, section 4.1.1.
    pub(super) fn quoted_identifier(&mut self) -> Kind {
        self.skip_identifier(1);
        Kind::QuotedIdentifier
    }

    /// `U&"…"`, section 4.1.1. The name is not decoded, so what it calls is not known.
    pub(super) fn unicode_identifier(&mut self) -> Kind {
        self.skip_identifier(3);
        self.doubt.ambiguous = true;
        Kind::UnicodeIdentifier
    }

    fn skip_identifier(&mut self, opening: usize) {
        self.at += opening;
        loop {
            let Some(length) = memchr::memchr(b'"', self.rest()) else {
                self.end();
                self.doubt.incomplete = true;
                return;
            };
            self.at += length + 1;
            if self.peek(0) != Some(b'"') {
                return;
            }
            self.at += 1;
        }
    }

    fn skip_string(&mut self, opening: usize, escape: Escape) {
        self.at += opening;
        loop {
            let found = match escape {
                Escape::Nothing | Escape::Doubling => memchr::memchr(b'\'', self.rest()),
                Escape::Setting | Escape::Backslash => memchr::memchr2(b'\'', b'\\', self.rest()),
            };
            let Some(length) = found else {
                self.end();
                self.doubt.incomplete = true;
                return;
            };
            self.at += length;
            if self.peek(0) == Some(b'\\') {
                self.skip_backslashes(escape);
                continue;
            }
            self.at += 1;
            if self.peek(0) == Some(b'\'') && escape != Escape::Nothing {
                self.at += 1;
            } else if !self.skip_to_continuation() {
                return;
            }
        }
    }

    /// Skips a run of backslashes, and the quote after it if they escape that.
    fn skip_backslashes(&mut self, escape: Escape) {
        let wide = self
            .at
            .checked_sub(1)
            .and_then(|before| self.text.get(before))
            .is_some_and(|byte| *byte >= 0x80);
        let rest = self.rest();
        let run = rest
            .iter()
            .position(|byte| *byte != b'\\')
            .unwrap_or(rest.len());
        self.at += run;
        if self.peek(0) != Some(b'\'') {
            return;
        }
        let odd = run % 2 == 1;
        let escapes = match (escape, self.quoting) {
            (Escape::Backslash, _) => true,
            (Escape::Setting, quoting) => {
                self.doubt.quoting |= odd || wide;
                quoting == Quoting::Backslash
            }
            (Escape::Nothing | Escape::Doubling, _) => false,
        };
        if escapes {
            self.doubt.ambiguous |= wide;
            self.at += usize::from(odd);
        }
    }

    /// A string goes on if the next token is a plain quote with a line end before it; only white space and line
    /// comments may stand between (section 4.1.2.1, `quotecontinue` in `scan.l`).
    fn skip_to_continuation(&mut self) -> bool {
        let closed = self.at;
        let mut line_end = false;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\n' | b'\r' => {
                    line_end = true;
                    self.at += 1;
                }
                _ if class(byte) & SPACE != 0 => self.at += 1,
                b'-' if self.peek(1) == Some(b'-') => self.skip_line_comment(),
                b'\'' if line_end => {
                    self.at += 1;
                    return true;
                }
                _ => break,
            }
        }
        self.at = closed;
        false
    }

    /// `$1` (section 4.1.2.8 on) or `$tag$…$tag$` (section 4.1.2.4).
    pub(super) fn dollar(&mut self) -> Kind {
        let start = self.at;
        self.at += 1;
        match self.peek(0) {
            Some(byte) if class(byte) & DIGIT != 0 => {
                self.skip_class(DIGIT);
                return Kind::Parameter;
            }
            Some(byte) if class(byte) & WORD_START != 0 => self.skip_tag(),
            _ => {}
        }
        if self.peek(0) != Some(b'$') {
            // No SQL, or a tag whose bytes a client-only encoding turns into letters.
            self.at = start + 1;
            self.doubt.ambiguous = true;
            return Kind::Other;
        }
        self.at += 1;
        let tag = self.text.get(start..self.at).unwrap_or_default();
        match memchr::memmem::find(self.rest(), tag) {
            Some(length) => self.at += length + tag.len(),
            None => {
                self.end();
                self.doubt.incomplete = true;
            }
        }
        Kind::DollarString
    }

    /// Letters, digits and underscores: a word without dollar signs.
    fn skip_tag(&mut self) {
        let rest = self.rest();
        let length = rest
            .iter()
            .position(|byte| *byte == b'$' || class(*byte) & WORD == 0);
        self.at += length.unwrap_or(rest.len());
    }
}
