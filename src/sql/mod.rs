//! What one SQL text may do to the session that runs it.
//!
//! Decides from the text alone, by tokens: no sessions, no wire, no catalogue. A state change that is missed leaks
//! one client's state to the next, so whatever cannot be read with certainty comes out as [`touches::Touch::Unknown`].
//! State changed inside user-defined functions, triggers and rules cannot be seen here.

pub mod cache;
mod closed;
pub mod fingerprint;
pub mod lexer;
pub mod mysql;
pub mod postgres;
pub mod reading;
pub mod skeleton;
pub mod statement;
pub mod touches;
