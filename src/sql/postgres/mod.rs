//! The verdict on a text in PostgreSQL's SQL, in one pass over its tokens.
//!
//! Splits the text as the server does, looks at the first word of each statement, and anywhere at
//! calls of known functions, temporary objects and words that write. Only statements that may change
//! tracked state are read a second time, by the module for their kind.
//!
//! # Why two readings
//!
//! A backslash before a quote ends a plain string or not, depending on `standard_conforming_strings`.
//! Such a text is read both ways. If one way it is unfinished, the server would refuse all of it, so
//! the other counts; if both are whole, they must agree, or the text is in doubt.

mod code;
mod cursor;
mod known;
mod modes;
mod names;
mod plain;
mod reading;
mod scan;
mod set;
mod set_config;
mod utility;
mod words;

pub use names::are_plain_names;
pub use plain::plain;
pub use reading::{is_builtin, reading, reading_of_prepare};
pub use words::path_has_temp_schema;

use smallvec::SmallVec;

use crate::sql::lexer::Quoting;
use crate::sql::statement::Verdict;
use scan::Scan;

/// The verdict on one text as a client sent it: a simple query, or the text of a `Parse`. Takes
/// linear time in its length.
#[must_use]
pub fn classify(text: &[u8]) -> Verdict {
    let (standard, doubt) = Scan::new(text, Quoting::Standard).run();
    if !doubt.quoting {
        return standard;
    }
    let (backslash, doubt) = Scan::new(text, Quoting::Backslash).run();
    agree(standard, backslash, doubt.ambiguous)
}

/// Where each statement of a text ends, its semicolon not included: one for each that the verdict on
/// the text has, if that is certain.
#[must_use]
pub fn ends(text: &[u8]) -> SmallVec<[usize; 4]> {
    Scan::new(text, Quoting::Standard).ends()
}

/// The verdict of both readings together.
fn agree(standard: Verdict, backslash: Verdict, backslash_ambiguous: bool) -> Verdict {
    let refused = !backslash.complete && !backslash_ambiguous;
    let mut verdict = standard;
    if !refused && verdict != backslash {
        verdict.touches.extend(backslash.touches);
        verdict.complete &= backslash.complete;
        verdict.doubt();
    }
    verdict
}

#[cfg(test)]
mod tests;
