//! See lib.rs.
pub mod admin;
