//! Which server a request goes to: pure decisions, by what the request asks for and by what the session has
//! written and read.
//!
//! # Why positions are asked for late
//!
//! A session that has worked on the primary may have written there. How far the primary has come is asked only
//! when such a session wants to read from a replica: a position taken after a write has been answered lies behind
//! the write, and sessions that never read from replicas pay nothing. A replica that has replayed up to that
//! position shows everything that the session may have seen anywhere: no replica is ahead of its primary. So
//! the same proof lets a session move from one replica to another.

mod memory;
mod reason;
mod stay;

pub use memory::{Memory, Plan, Proof};
pub use reason::Reason;
pub use stay::{Stay, stay, strands};
