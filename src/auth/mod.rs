//! Who may log in: where users come from, and what is stored about them.

mod mysql_hash;
pub mod options;
pub mod source;
pub mod store;
pub mod userlist;

pub use store::UserStore;
