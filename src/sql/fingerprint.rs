//! A text with everything that may be secret taken out, for logs and counters.
//!
//! Constants and parameters become `?`, comments go, white space is folded, unquoted words are in
//! lower case. Where the text is in doubt it ends: what cannot be told from a constant is not shown.

use crate::sql::lexer::{Doubt, Kind, Lexer, Quoting, Token};

/// The longest fingerprint, in bytes, without the mark of an end cut off.
pub const LIMIT: usize = 400;

/// Shows that something was left out: the rest of the text, or of a list of constants.
const CUT: &str = "...";

/// The fingerprint of one text in PostgreSQL's SQL. Reads no further than the fingerprint reaches.
#[must_use]
pub fn fingerprint(text: &[u8]) -> String {
    print(Lexer::new(text, Quoting::Standard))
}

/// The fingerprint of what `source` yields.
pub(super) fn print<'a>(mut source: impl Source<'a>) -> String {
    let mut print = Print {
        out: String::new(),
        end: 0,
        last: None,
        hiding: Hiding::Boundary,
    };
    while let Some(piece) = source.piece() {
        if source.trust() != Trust::Full || print.out.len() >= LIMIT {
            print.cut();
            return print.out;
        }
        print.piece(&piece);
    }
    if source.trust() == Trust::Unfinished || print.out.len() > LIMIT {
        print.cut();
    }
    print.out
}

/// Where a fingerprint's pieces come from.
pub(super) trait Source<'a> {
    /// The next piece.
    fn piece(&mut self) -> Option<Piece<'a>>;
    /// Whether the pieces so far are as the server sees them.
    fn trust(&self) -> Trust;
}

/// How far pieces can be trusted to be as the server sees them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Entirely.
    Full,
    /// The server may see other pieces.
    Doubtful,
    /// Something is not closed.
    Unfinished,
}

/// A token, by the way in which it is shown.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub form: Form,
    /// Where it starts in the text.
    pub start: usize,
    /// All its bytes.
    pub bytes: &'a [u8],
}

/// How a token is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Not at all.
    Constant,
    /// Not at all, nor a word that follows it without a gap.
    Number,
    /// In lower case.
    Word,
    /// As it is.
    Other,
    /// As it is; ends a statement.
    Semicolon,
}

impl<'a> Source<'a> for Lexer<'a> {
    fn piece(&mut self) -> Option<Piece<'a>> {
        let Token { kind, start, bytes } = self.next()?;
        let form = match kind {
            Kind::Number | Kind::Parameter => Form::Number,
            Kind::String
            | Kind::EscapeString
            | Kind::BitString
            | Kind::UnicodeString
            | Kind::DollarString => Form::Constant,
            Kind::Word => Form::Word,
            Kind::Semicolon => Form::Semicolon,
            Kind::QuotedIdentifier
            | Kind::UnicodeIdentifier
            | Kind::Operator
            | Kind::Open
            | Kind::Close
            | Kind::Comma
            | Kind::Dot
            | Kind::Other => Form::Other,
        };
        Some(Piece { form, start, bytes })
    }

    fn trust(&self) -> Trust {
        match self.doubt() {
            Doubt {
                incomplete: true, ..
            } => Trust::Unfinished,
            doubt if doubt == Doubt::default() => Trust::Full,
            _ => Trust::Doubtful,
        }
    }
}

/// Whether the value of a `SET` is being left out; it is no constant if it is written as a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hiding {
    /// At the start of a statement.
    Boundary,
    /// Within a `SET`, before the value.
    Name,
    /// Within the value of a `SET`.
    Value,
    /// Within another statement.
    No,
}

struct Print {
    out: String,
    /// Where the last piece ended.
    end: usize,
    /// The form of the last piece.
    last: Option<Form>,
    hiding: Hiding,
}

impl Print {
    fn piece(&mut self, piece: &Piece<'_>) {
        let gap = piece.start > self.end;
        let last = self.last.replace(piece.form);
        self.end = piece.start + piece.bytes.len();
        let glued = last == Some(Form::Number) && !gap;
        if self.hides(piece) || (glued && piece.form == Form::Word) {
            // The tail of a number such as `0x1F` is part of the constant.
            return;
        }
        if gap && !self.out.is_empty() {
            self.out.push(' ');
        }
        match piece.form {
            Form::Constant | Form::Number => self.constant(),
            Form::Word => self.shown(&String::from_utf8_lossy(piece.bytes).to_ascii_lowercase()),
            Form::Other | Form::Semicolon => self.shown(&String::from_utf8_lossy(piece.bytes)),
        }
        if self.hiding == Hiding::Value {
            self.out.push_str(" ?");
        }
    }

    /// Whether the piece belongs to the value of a `SET`. Notes where one begins and ends.
    fn hides(&mut self, piece: &Piece<'_>) -> bool {
        let value = self.hiding == Hiding::Value;
        let is = |word: &[u8]| piece.form == Form::Word && piece.bytes.eq_ignore_ascii_case(word);
        self.hiding = match self.hiding {
            _ if piece.form == Form::Semicolon => Hiding::Boundary,
            Hiding::Boundary if is(b"set") => Hiding::Name,
            Hiding::Boundary => Hiding::No,
            Hiding::Name if matches!(piece.bytes, b"=" | b":=") || is(b"to") => Hiding::Value,
            hiding => hiding,
        };
        value && self.hiding == Hiding::Value
    }

    /// A constant; a list of them is shown as its first and the mark.
    fn constant(&mut self) {
        let list = self
            .out
            .trim_end()
            .strip_suffix(',')
            .unwrap_or_default()
            .trim_end();
        let length = if let Some(folded) = list.strip_suffix(CUT) {
            folded.strip_suffix("?, ").map(|_| list.len())
        } else {
            list.ends_with('?').then_some(list.len())
        };
        let Some(length) = length else {
            self.out.push('?');
            return;
        };
        let folded = list.ends_with(CUT);
        self.out.truncate(length);
        if !folded {
            self.out.push_str(", ");
            self.out.push_str(CUT);
        }
    }

    /// Shows text as it is, within the limit; line ends and the like would break a log's lines.
    fn shown(&mut self, text: &str) {
        for letter in text.chars() {
            if self.out.len() + letter.len_utf8() > LIMIT {
                return;
            }
            self.out
                .push(if letter.is_control() { ' ' } else { letter });
        }
    }

    fn cut(&mut self) {
        while self.out.len() > LIMIT {
            self.out.pop();
        }
        if !self.out.is_empty() {
            self.out.push(' ');
        }
        self.out.push_str(CUT);
    }
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, fingerprint};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(fingerprint(text.as_bytes()), expected);
    }

    #[test]
    fn constants_comments_and_spacing_are_folded() {
        check(
            "SELECT  *\n FROM T /* c */ WHERE a='x' AND b = 1.5e3 -- d",
            "select * from t where a=? and b = ?",
        );
        check(
            "select $1, E'a\\'b', X'1F', U&'x', $q$ secret $q$::text",
            "select ?, ...::text",
        );
        check("select \"Kept Name\" , n'x'", "select \"Kept Name\" , n?");
        check("select 0x1F + 1_000", "select ? + ?");
        check("select 'a'\n 'b' x", "select ? x");
        check("", "");
    }

    #[test]
    fn lists_of_constants_are_folded() {
        check("select a in (1, 2,3 , 'x')", "select a in (?, ...)");
        check("select f(1), g(2, b, 3)", "select f(?), g(?, b, ?)");
        check(
            "insert into t values (1,2),(3,4)",
            "insert into t values (?, ...),(?, ...)",
        );
    }

    #[test]
    fn values_of_set_are_constants_however_written() {
        check(
            "SET app.key TO hunter2, x; SET b = hunter3; select c = d",
            "set app.key to ?; set b = ?; select c = d",
        );
        check("update t set a = b", "update t set a = b");
    }

    #[test]
    fn doubt_ends_the_text() {
        check("select 'a\\'; secret --'", "select ...");
        check("select 1, 'secret", "select ?, ...");
        check("select \"secret", "select ...");
        check("select 1 /* secret", "select ? ...");
        check("select $secret", "select ...");
        check("select U&\"secret\" from t", "select ...");
        check("select $$secret", "select ...");
    }

    #[test]
    fn length_is_capped_and_lines_stay_whole() {
        check("select \"a\nb\"", "select \"a b\"");
        let long = fingerprint(format!("select {}", "x + ".repeat(1000)).as_bytes());
        assert!(long.len() <= LIMIT + 4 && long.ends_with("..."), "{long}");
        let word = fingerprint("ü".repeat(1000).as_bytes());
        assert!(word.len() <= LIMIT);
        assert_eq!(fingerprint(b"select \xff\xfe"), "select \u{fffd}\u{fffd}");
    }
}
