//! The bodies of routines, triggers and events, whose statements end in semicolons of their own
//! (<https://dev.mysql.com/doc/refman/9.7/en/sql-compound-statements.html>).
//!
//! Only a body in `BEGIN … END` is followed. Where the count of what is open might go wrong it does so by
//! closing early, and what comes behind a body is always in doubt.

use smallvec::SmallVec;

use super::lexer::{Kind, Token};

/// Bodies nested deeper than this are not followed.
const DEEPEST: usize = 64;

/// Something that ends in `END`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Begin,
    If,
    Case,
    /// `CASE` within an expression.
    Expression,
    Loop,
    /// `WHILE … DO` and MariaDB's `FOR … DO`
    While,
    Repeat,
}

/// Where we are with regard to a body.
#[derive(Default)]
pub(super) struct Body {
    open: SmallVec<[Block; 8]>,
    state: State,
    /// What comes now starts a statement of the body.
    boundary: bool,
    /// Within `DECLARE`, where a block may follow the conditions of a handler.
    declares: bool,
    /// `END` came last: the word that says what ended is none that opens.
    ended: bool,
    /// A compound statement stands where it is not followed, or blocks are too deep.
    pub(super) lost: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// In front of a body.
    #[default]
    Header,
    Inside,
    Behind,
}

impl Body {
    /// Whether a semicolon now ends the whole statement.
    pub(super) const fn is_outside(&self) -> bool {
        !matches!(self.state, State::Inside) && !self.lost
    }

    /// Whether a body was seen to its end.
    pub(super) const fn is_behind(&self) -> bool {
        matches!(self.state, State::Behind)
    }

    /// Whether the body is whole if the text ends here.
    pub(super) const fn is_closed(&self) -> bool {
        !matches!(self.state, State::Inside)
    }

    /// Takes the next token of the statement; `depth` counts the parentheses open around it.
    pub(super) fn token(&mut self, token: &Token<'_>, before: &Token<'_>, depth: usize) {
        match self.state {
            State::Header if depth == 0 => self.header(token, before),
            State::Inside => self.inside(token, before),
            State::Header | State::Behind => {}
        }
    }

    fn header(&mut self, token: &Token<'_>, before: &Token<'_>) {
        if before.kind == Kind::Dot || before.kind == Kind::Equals {
            return;
        }
        if token.is_word(b"begin") {
            self.state = State::Inside;
            self.push(Block::Begin);
        } else if before.is_word(b"if") {
            self.lost |= !token.is_word(b"not") && !token.is_word(b"exists");
        } else {
            let compound: [&[u8]; 4] = [b"case", b"loop", b"while", b"repeat"];
            self.lost |= compound.into_iter().any(|word| token.is_word(word));
        }
    }

    fn inside(&mut self, token: &Token<'_>, before: &Token<'_>) {
        let boundary = std::mem::take(&mut self.boundary);
        let ended = std::mem::take(&mut self.ended);
        match token.kind {
            Kind::Semicolon => {
                self.boundary = true;
                self.declares = false;
            }
            // Behind a label.
            Kind::Other if token.bytes == b":" => self.boundary = true,
            Kind::Word if before.kind != Kind::Dot => self.word(token, boundary, ended),
            _ => {}
        }
    }

    fn word(&mut self, token: &Token<'_>, boundary: bool, ended: bool) {
        let is = |word: &[u8]| token.is_word(word);
        if is(b"end") {
            self.open.pop();
            self.ended = true;
            if self.open.is_empty() {
                self.state = State::Behind;
            }
        } else if ended {
            // What ended, or a label.
        } else if is(b"begin") && (boundary || self.declares) {
            self.push(Block::Begin);
        } else if is(b"case") {
            self.push(if boundary {
                Block::Case
            } else {
                Block::Expression
            });
        } else if is(b"then") || is(b"else") {
            self.boundary = matches!(self.open.last(), Some(Block::If | Block::Case));
        } else if is(b"do") {
            self.boundary = matches!(self.open.last(), Some(Block::While));
        } else if boundary {
            match token.bytes.len() {
                2 if is(b"if") => self.push(Block::If),
                3 if is(b"for") => self.push(Block::While),
                4 if is(b"loop") => self.push(Block::Loop),
                5 if is(b"while") => self.push(Block::While),
                6 if is(b"repeat") => self.push(Block::Repeat),
                7 => self.declares = is(b"declare"),
                _ => {}
            }
        }
    }

    fn push(&mut self, block: Block) {
        self.lost |= self.open.len() >= DEEPEST;
        if !self.lost {
            self.open.push(block);
        }
        self.boundary = matches!(block, Block::Begin | Block::Loop | Block::Repeat);
    }
}
