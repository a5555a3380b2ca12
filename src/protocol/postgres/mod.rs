//! The PostgreSQL frontend/backend protocol, version 3
//! (<https://www.postgresql.org/docs/current/protocol.html>).
//!
//! Two halves. Logins: [`accept`], [`prove`] and [`connect`] are exchanges that end. The relay:
//! `request` reads what clients send and `reply` what servers send; both keep their books in
//! [`front`] (one client) and [`back`] (one server connection).

pub mod accept;
mod again;
pub mod back;
mod behind_end;
mod bereft;
mod bound;
mod by_name;
pub mod cancel;
pub mod catalogue;
pub mod cleartext;
pub mod connect;
mod demand;
pub mod engine;
pub mod fault;
pub mod frame;
pub mod front;
mod guc;
mod inspect;
mod join;
mod leaning;
mod line_up;
pub mod listen;
pub mod md5;
pub mod message;
mod orphan;
mod owed;
pub mod prove;
mod put_in;
pub mod rename;
mod replay;
mod reply;
mod reply_error;
pub mod reported;
mod request;
mod request_portal;
mod request_statement;
mod roll;
mod rules;
pub mod scram;
mod sequence;
pub mod settings;
mod shape;
mod shape_reply;
mod skim;
pub mod startup;
mod statements;
mod survey;
pub mod switches;
mod track;

#[cfg(test)]
mod handshake;
#[cfg(test)]
mod tests;

pub use engine::Postgres;
