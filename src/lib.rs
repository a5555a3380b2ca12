//! Sluice.

pub mod auth;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod model;
pub mod net;
pub mod pool;
pub mod protocol;
pub mod session;
pub mod sql;
pub mod telemetry;
