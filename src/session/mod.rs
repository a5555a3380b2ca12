//! See lib.rs.
pub mod meter;
pub mod metrics;
pub mod options;
