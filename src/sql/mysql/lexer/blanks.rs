//! White space and comments, among them those whose content is code.

use super::super::mode::{ClientCharset, Flavor};
use super::{COMMENT, Lexer, SPACE, class};

/// MariaDB does not run the version comments of MySQL releases that it does not follow
/// (<https://mariadb.com/kb/en/comment-syntax/#executable-comment-syntax>).
const MYSQL_ONLY: std::ops::RangeInclusive<u32> = 50_700..=99_999;
/// Run by a Galera node in some states only.
const GALERA: u32 = 99_997;
/// From this version of MySQL on, six digits with a blank behind them are one version
/// (<https://dev.mysql.com/doc/refman/9.7/en/comments.html>).
const SIX_DIGITS: u32 = 80_000;

impl Lexer<'_> {
    /// Skips white space and comments. Returns the byte that comes then.
    #[inline]
    pub(super) fn skip_blanks(&mut self) -> Option<u8> {
        loop {
            let Some(byte) = self.peek(0) else {
                // A version comment that is not closed.
                self.doubt.incomplete |= self.in_comment;
                return None;
            };
            let class = class(byte);
            if class & SPACE != 0 {
                self.at += 1;
            } else if class & COMMENT == 0 || !self.skip_comment(byte) {
                return Some(byte);
            }
        }
    }

    fn skip_comment(&mut self, byte: u8) -> bool {
        match (byte, self.peek(1)) {
            (b'#', _) => self.skip_line(),
            (b'-', Some(b'-')) => return self.dashes(),
            (b'/', Some(b'*')) => self.block_comment(),
            (b'*', Some(b'/')) if self.in_comment => {
                self.in_comment = false;
                self.at += 2;
            }
            _ => return false,
        }
        true
    }

    /// Two dashes start a comment only if a blank, a control character or nothing follows.
    fn dashes(&mut self) -> bool {
        let starts = match self.peek(2) {
            None => true,
            Some(byte) if byte >= 0x80 => {
                self.doubt.ambiguous |= self.mode.charset != ClientCharset::Utf8;
                false
            }
            Some(byte) => byte == b' ' || byte.is_ascii_control(),
        };
        if starts {
            self.skip_line();
        }
        starts
    }

    /// A line comment ends with the line, and with a zero byte.
    fn skip_line(&mut self) {
        match memchr::memchr2(b'\n', 0, self.rest()) {
            Some(length) => self.at += length,
            None => self.end(),
        }
    }

    fn block_comment(&mut self) {
        match (self.peek(2), self.peek(3)) {
            (Some(b'!'), _) => self.version_comment(3, false),
            (Some(b'M'), Some(b'!')) if self.mode.flavor == Flavor::MariaDb => {
                self.version_comment(4, true);
            }
            (Some(b'+'), _) => {
                // Names in quotes are read by the servers when they look for the end of a hint.
                let start = self.at;
                self.skip_block();
                let hint = self.text.get(start..self.at).unwrap_or_default();
                self.doubt.ambiguous |= memchr::memchr3(b'\'', b'"', b'`', hint).is_some();
            }
            _ => self.skip_block(),
        }
    }

    /// Skips to the end of a comment within which none can start.
    fn skip_block(&mut self) {
        self.at += 2;
        self.skip_behind_end();
    }

    fn skip_behind_end(&mut self) {
        match memchr::memmem::find(self.rest(), b"*/") {
            Some(length) => self.at += length + 2,
            None => {
                self.end();
                self.doubt.incomplete = true;
            }
        }
    }

    /// A comment that some servers run: `/*! … */`, `/*!50110 … */` or `/*M! … */`, of which the mark has
    /// `mark` bytes.
    fn version_comment(&mut self, mark: usize, mariadb_only: bool) {
        self.at += mark;
        let digits = self
            .rest()
            .iter()
            .take(6)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let digits = match (digits, self.mode.flavor) {
            (0..=4, _) => return self.enter(),
            (6, Flavor::MySql) if class(self.peek(6).unwrap_or_default()) & SPACE == 0 => 5,
            (6, Flavor::MySql) if self.mode.version < SIX_DIGITS => {
                self.doubt.ambiguous = true;
                6
            }
            (digits, _) => digits,
        };
        let version = self
            .rest()
            .iter()
            .take(digits)
            .fold(0_u32, |sum, digit| sum * 10 + u32::from(digit & 0xf));
        let follows = match self.mode.flavor {
            Flavor::MySql => true,
            Flavor::MariaDb => {
                self.doubt.ambiguous |= version == GALERA;
                mariadb_only || !MYSQL_ONLY.contains(&version)
            }
        };
        if follows && version <= self.mode.version {
            self.at += digits;
            self.enter();
        } else {
            self.skip_version_comment();
        }
    }

    /// What follows is code, up to the end of the comment. Such comments do not nest: the first end
    /// closes both, and what the server makes of the second is an error.
    fn enter(&mut self) {
        self.doubt.ambiguous |= self.in_comment;
        self.in_comment = true;
    }

    /// Skips a version comment for other servers; plain comments within are skipped as such.
    fn skip_version_comment(&mut self) {
        loop {
            let Some(length) = memchr::memchr2(b'*', b'/', self.rest()) else {
                self.end();
                self.doubt.incomplete = true;
                return;
            };
            self.at += length;
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) => self.skip_block(),
                (Some(b'*'), Some(b'/')) => {
                    self.at += 2;
                    return;
                }
                _ => self.at += 1,
            }
        }
    }
}
