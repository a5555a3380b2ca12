//! A model of what clients, Sluice's relay and PostgreSQL servers say to each other, without
//! sockets: the same requests are sent to a server of the model directly, and through the relay
//! under a schedule of any kind. A client must not see the difference.

pub mod case;
pub mod script;
pub mod server;
pub mod settings;
pub mod sql;
pub mod wire;
pub mod world;
