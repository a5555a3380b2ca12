//! A walk over the tokens of one statement, and what single tokens mean as names and values.

use super::lexer::{Kind, Lexer, Token, unescaped};
use super::mode::Mode;
use super::verdict::{Literal, LiteralKind, TableName};
use crate::sql::statement::Which;

/// The tokens of one statement with one token of look-ahead.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    lexer: Lexer<'a>,
    next: Option<Token<'a>>,
}

impl<'a> Cursor<'a> {
    /// Over what `lexer` has still to yield.
    pub(super) fn new(mut lexer: Lexer<'a>) -> Self {
        let next = lexer.next();
        Self { lexer, next }
    }

    /// The next token, left in place.
    pub(super) const fn peek(&self) -> Option<Token<'a>> {
        self.next
    }

    /// Takes the next token.
    pub(super) fn advance(&mut self) -> Option<Token<'a>> {
        std::mem::replace(&mut self.next, self.lexer.next())
    }

    /// Takes the next token if it is of this kind.
    pub(super) fn take(&mut self, kind: Kind) -> bool {
        self.take_if(|token| token.kind == kind)
    }

    /// Takes the next token if it is this unquoted word, given in lower case.
    pub(super) fn take_word(&mut self, word: &[u8]) -> bool {
        self.take_if(|token| token.is_word(word))
    }

    /// Takes the next token if it is one of these unquoted words.
    pub(super) fn take_any(&mut self, words: &[&[u8]]) -> bool {
        words.iter().any(|word| self.take_word(word))
    }

    /// Takes these words if all of them come next, otherwise none.
    pub(super) fn take_words(&mut self, words: &[&[u8]]) -> bool {
        let mut ahead = self.clone();
        let found = words.iter().all(|word| ahead.take_word(word));
        if found {
            *self = ahead;
        }
        found
    }

    fn take_if(&mut self, wanted: impl FnOnce(&Token<'a>) -> bool) -> bool {
        let found = self.next.as_ref().is_some_and(wanted);
        if found {
            self.advance();
        }
        found
    }

    /// Whether no token is left.
    pub(super) const fn at_end(&self) -> bool {
        self.next.is_none()
    }

    /// The mode in which the text is read.
    pub(super) const fn mode(&self) -> Mode {
        self.lexer.mode()
    }

    /// Takes one token as the name of something. Unclear if there is none, or one that is no certain name.
    pub(super) fn which(&mut self) -> Which {
        let name = self.advance().and_then(|token| name(&token));
        name.map_or(Which::Unclear, Which::One)
    }

    /// Takes `[schema.]table`.
    pub(super) fn table(&mut self) -> TableName {
        let part = |cursor: &mut Self| cursor.advance().and_then(|token| name(&token));
        let Some(first) = part(self) else {
            return TableName::Unclear;
        };
        if !self.take(Kind::Dot) {
            return TableName::Of {
                schema: None,
                table: first,
            };
        }
        part(self).map_or(TableName::Unclear, |table| TableName::Of {
            schema: Some(first),
            table,
        })
    }

    /// Takes a constant. The cursor is spent if there is none.
    pub(super) fn literal(&mut self) -> Option<Literal> {
        let token = self.advance()?;
        let sign = match (token.kind, token.bytes) {
            (Kind::Other, b"-" | b"+") => token.bytes,
            _ => return literal(&token, !self.mode().no_backslash_escapes),
        };
        let number = self.advance()?;
        (number.kind == Kind::Number).then(|| Literal {
            kind: LiteralKind::Number,
            text: [sign, number.bytes].concat().into(),
        })
    }
}

/// The name in a word or quoted identifier. `None` for any other token, and for what is not UTF-8.
pub(super) fn name(token: &Token<'_>) -> Option<Box<str>> {
    match token.kind {
        Kind::Word => Some(str::from_utf8(token.bytes).ok()?.into()),
        Kind::Quoted => {
            let bytes = unescaped(token.bytes, false)?;
            Some(String::from_utf8(bytes).ok()?.into())
        }
        _ => None,
    }
}

/// A constant, or a word in the place of one.
pub(super) fn literal(token: &Token<'_>, backslashes: bool) -> Option<Literal> {
    let (kind, text) = match token.kind {
        Kind::String => match token.bytes.strip_prefix(b"'") {
            None if !token.bytes.starts_with(b"\"") => (
                LiteralKind::National,
                unescaped(token.bytes.get(1..)?, backslashes)?.into(),
            ),
            _ => (
                LiteralKind::String,
                unescaped(token.bytes, backslashes)?.into(),
            ),
        },
        Kind::Number => (LiteralKind::Number, token.bytes.into()),
        Kind::Bits => (LiteralKind::Bits, token.bytes.into()),
        Kind::Word => (LiteralKind::Word, token.bytes.into()),
        _ => return None,
    };
    Some(Literal { kind, text })
}

/// The name in `@name`, in lower case as user variables are compared. `None` if comparing takes more than
/// that, and for a sign without name.
pub(super) fn variable(token: &Token<'_>, mode: Mode) -> Option<Box<str>> {
    let written = token.bytes.strip_prefix(b"@")?;
    let backslashes = !mode.no_backslash_escapes;
    let name = match written.first()? {
        b'\'' => unescaped(written, backslashes)?,
        b'"' => unescaped(written, backslashes && !mode.ansi_quotes)?,
        b'`' => unescaped(written, false)?,
        _ => written.to_vec(),
    };
    if !name.is_ascii() || name.is_empty() {
        return None;
    }
    Some(String::from_utf8(name).ok()?.to_ascii_lowercase().into())
}
