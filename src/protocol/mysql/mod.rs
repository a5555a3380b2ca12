//! The MySQL client/server protocol, of MySQL and MariaDB.
//!
//! Facts are cited from MySQL's source documentation (`dev.mysql.com/doc/dev/mysql-server`, page
//! "Client/Server Protocol", called "MySQL protocol" below) and from MariaDB's knowledge base
//! ("Client/Server Protocol", called "MariaDB protocol").

pub mod accept;
pub mod answer;
pub mod attributes;
pub mod back;
mod bereft;
pub mod capability;
pub mod catalogue;
pub mod chore;
pub mod collations;
pub mod command;
pub mod compress;
pub mod connect;
pub mod demand;
pub mod effects;
pub mod engine;
pub mod execute;
pub mod fault;
pub mod found;
pub mod frame;
pub mod front;
pub mod grammar;
pub mod greeting;
pub mod gtid;
pub mod idle;
pub mod inquire;
pub mod join;
pub mod login;
pub mod message;
pub mod observe;
pub mod orphan;
pub mod owed;
pub mod plugin;
pub mod prepared;
pub mod probe;
pub mod prove;
pub mod recall;
pub mod relogin;
pub mod reply;
pub mod request;
pub mod response;
pub mod roll;
pub mod rules;
pub mod settings;
pub mod settled;
pub mod statements;
pub mod status;
pub mod survey;
pub mod told;
pub mod tracker;
mod typing;
pub mod unseen;
pub mod warnings;
pub mod wire;

#[cfg(test)]
mod handshake;

pub use engine::Mysql;
