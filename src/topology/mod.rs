//! Which servers a target group has, and which of them is what.
//!
//! ```text
//! look (one task for each server) ─ sights ─▶ keeper (one for each group) ─ judge ─▶ Snapshot
//!                                    discover ─ members ─▶
//! ```
//!
//! Knows neither pools nor sessions: what a snapshot means to them is the business of whoever
//! implements [`keeper::Outside`].

pub mod discover;
pub mod events;
pub mod judge;
pub mod keeper;
pub mod look;
pub mod metrics;
pub mod options;
pub mod switchover;

pub use keeper::{Journal, Keeper, Outside};
pub use look::{Look, Looking};
pub use metrics::TopologyMetrics;
