//! Who may log in: where users come from, what is stored about them, and what their tokens prove.

pub mod iam;
pub mod jwt;
mod mysql_hash;
pub mod options;
pub mod refusal;
pub mod source;
pub mod store;
pub mod throttle;
pub mod userlist;
pub mod verify;

pub use refusal::Refusal;
pub use store::UserStore;
pub use verify::{Attempt, TokenVerifier, Verdict};
