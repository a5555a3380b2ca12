//! A walk over the tokens of one statement, and what single tokens mean as names and values.

use crate::sql::lexer::{Kind, Lexer, Quoting, Token};
use crate::sql::statement::{Literal, LiteralKind, Which};

/// Identifiers are cut at this length in bytes: `NAMEDATALEN` less the final zero, section 4.1.1.
const IDENTIFIER_LIMIT: usize = 63;

/// The tokens of one statement with one token of look-ahead.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    lexer: Lexer<'a>,
    next: Option<Token<'a>>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(statement: &'a [u8], quoting: Quoting) -> Self {
        let mut lexer = Lexer::new(statement, quoting);
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

    /// Takes the next token if it is this operator.
    pub(super) fn take_operator(&mut self, operator: &[u8]) -> bool {
        self.take_if(|token| token.kind == Kind::Operator && token.bytes == operator)
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

    /// Takes one token as the name of something. Unclear if there is none, or one that is no
    /// certain name.
    pub(super) fn which(&mut self) -> Which {
        let name = self.advance().and_then(|token| identifier(&token));
        name.map_or(Which::Unclear, Which::One)
    }
}

/// The name in a word or quoted identifier, folded as the server folds it (section 4.1.1). `None`
/// if folding depends on the server's encoding or the name would be cut, and for any other token.
pub(super) fn identifier(token: &Token<'_>) -> Option<Box<str>> {
    let name = match token.kind {
        // The server may fold letters beyond ASCII in single-byte encodings.
        Kind::Word if token.bytes.is_ascii() => {
            str::from_utf8(token.bytes).ok()?.to_ascii_lowercase()
        }
        Kind::QuotedIdentifier => unquoted(token.bytes, "\"")?,
        _ => return None,
    };
    (!name.is_empty() && name.len() <= IDENTIFIER_LIMIT).then(|| name.into())
}

/// The value of a constant string as a literal. `None` if it has backslashes (their meaning depends
/// on a setting), is continued over lines, is not UTF-8, or is no constant string.
pub(super) fn string(token: &Token<'_>) -> Option<Literal> {
    if token.bytes.contains(&b'\\') {
        return None;
    }
    let text: Box<str> = match token.kind {
        Kind::String => unquoted(token.bytes, "'")?.into(),
        Kind::EscapeString => unquoted(token.bytes.get(1..)?, "'")?.into(),
        Kind::DollarString => dollar_quoted(token.bytes)?.into(),
        _ => return None,
    };
    Some(Literal {
        text,
        kind: LiteralKind::String,
    })
}

/// Removes the quotes around a token and the doubling within. A quote that stands alone within ends
/// one part of a continued string: such a value is not read.
fn unquoted(token: &[u8], quote: &str) -> Option<String> {
    let inner = str::from_utf8(token)
        .ok()?
        .strip_prefix(quote)?
        .strip_suffix(quote)?;
    let mut value = String::with_capacity(inner.len());
    let mut parts = inner.split(quote);
    value.push_str(parts.next()?);
    while let Some(between) = parts.next() {
        if !between.is_empty() {
            return None;
        }
        value.push_str(quote);
        value.push_str(parts.next()?);
    }
    Some(value)
}

fn dollar_quoted(token: &[u8]) -> Option<&str> {
    let text = str::from_utf8(token).ok()?;
    let (tag, _) = text.strip_prefix('$')?.split_once('$')?;
    let body = text.get(tag.len() + 2..)?;
    body.strip_suffix('$')?.strip_suffix(tag)?.strip_suffix('$')
}
