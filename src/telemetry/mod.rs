//! See lib.rs.
pub mod options;
