//! The PostgreSQL frontend/backend protocol, version 3
//! (<https://www.postgresql.org/docs/current/protocol.html>).
//!
//! Two halves. Logins: [`accept`], [`prove`] and [`connect`] are exchanges that end. The relay:
//! `request` reads what clients send and `reply` what servers send; both keep their books in
//! [`front`] (one client) and [`back`] (one server connection).

pub mod accept;
pub mod back;
pub mod cancel;
pub mod cleartext;
pub mod connect;
pub mod engine;
pub mod fault;
pub mod frame;
pub mod front;
mod inspect;
mod join;
pub mod listen;
pub mod md5;
pub mod message;
mod owed;
pub mod prove;
pub mod rename;
mod reply;
mod reply_error;
pub mod reported;
mod request;
mod request_statement;
mod rules;
pub mod scram;
pub mod settings;
pub mod startup;
mod statements;
pub mod switches;
mod track;

#[cfg(test)]
mod handshake;
#[cfg(test)]
mod tests;

pub use engine::Postgres;
