//! The verdict on a text in the SQL of MySQL or MariaDB, in one pass over its tokens.
//!
//! Splits the text as the server does, looks at the first word of each statement, and anywhere at calls of known
//! functions, variables and words that write. Only statements that may change tracked state are read a second
//! time, by the module for their kind. How a text is read depends on the session: see [`Mode`].
//!
//! # What the text cannot tell
//!
//! What routines, triggers and prepared statements do; what a `SET` to an expression sets. The servers' own
//! trackers report most of it, and what they say goes before what is read here.

mod body;
mod calls;
mod cursor;
mod effect;
mod kill;
pub mod lexer;
pub mod mode;
mod natives;
mod prepare;
mod reading;
mod scan;
mod set;
pub mod touch;
mod transaction;
pub mod variables;
pub mod verdict;
mod words;

pub use mode::{ClientCharset, Flavor, Mode};
pub use reading::{is_system_schema, reading};
pub use touch::{Touch, Touches};
pub use verdict::Verdict;

use crate::sql::fingerprint;
use lexer::{Kind, Lexer};
use scan::Scan;
use verdict::Assignment;

/// The verdict on one text as a client sent it: a query, or the text of a statement to prepare. Takes linear
/// time in its length.
///
/// In doubt is a text whose earlier statements change how the later ones are read, or whether the server tells
/// what they change.
#[must_use]
pub fn classify(text: &[u8], mode: Mode) -> Verdict {
    if mode.charset == ClientCharset::Treacherous && !text.is_ascii() {
        return Verdict::unknown();
    }
    if mode.oracle {
        let plain = Mode {
            oracle: false,
            ..mode
        };
        // In any grammar, and with a number that a server would take for another's.
        return match classify(text, plain) {
            kill if kill.kills() => kill,
            _ => Verdict::unknown(),
        };
    }
    // As the server does before it begins (`dispatch_command` in `sql_parse.cc`).
    let end = text
        .iter()
        .rposition(|byte| !matches!(byte, b';' | b' ' | b'\t'..=b'\r'))
        .map_or(0, |last| last + 1);
    let mut verdict = Scan::new(&Lexer::new(text, mode), end).run();
    if let [earlier @ .., _] = &*verdict.statements {
        let read = |byte: &u8| matches!(byte, b'"' | b'\\') || !byte.is_ascii();
        let untold = earlier
            .iter()
            .any(|statement| statement.touches.contains(Touch::SetTracker));
        if untold || earlier.iter().any(changes_reading) && text.iter().any(read) {
            verdict.doubt();
        }
    }
    verdict
}

/// Whether a text calls `DATABASE()` or `SCHEMA()`, or cannot be read with certainty.
#[must_use]
pub fn asks_for_schema(text: &[u8], mode: Mode) -> bool {
    if mode.oracle || mode.charset == ClientCharset::Treacherous && !text.is_ascii() {
        return true;
    }
    let mut lexer = Lexer::new(text, mode);
    let mut named = false;
    for token in lexer.by_ref() {
        if named && token.kind == Kind::Open {
            return true;
        }
        named = match token.kind {
            Kind::Word => token.is_word(b"database") || token.is_word(b"schema"),
            Kind::Quoted => cursor::name(&token).is_some_and(|name| {
                name.eq_ignore_ascii_case("database") || name.eq_ignore_ascii_case("schema")
            }),
            _ => false,
        };
    }
    let doubt = lexer.doubt();
    doubt.incomplete || doubt.ambiguous
}

/// Whether the statements behind this one in the same text may be read in another mode than it.
fn changes_reading(statement: &verdict::Statement) -> bool {
    let names = statement
        .assignments()
        .iter()
        .any(|assignment| match assignment {
            Assignment::Session { name, .. } => {
                matches!(&**name, "sql_mode" | "character_set_client")
            }
            Assignment::Names { .. } | Assignment::CharacterSet { .. } => true,
            Assignment::User { .. }
            | Assignment::Global { .. }
            | Assignment::NextTransaction { .. } => false,
        });
    // Routines give back the mode that they run in.
    names || statement.touches.contains(Touch::SqlExecute)
}

/// The text with everything that may be secret taken out, for logs and counters; see
/// [`fingerprint`](mod@crate::sql::fingerprint).
#[must_use]
pub fn fingerprint(text: &[u8], mode: Mode) -> String {
    if mode.charset == ClientCharset::Treacherous && !text.is_ascii() {
        return "...".into();
    }
    fingerprint::print(Lexer::new(text, mode))
}

#[cfg(test)]
mod tests;
