//! The PostgreSQL frontend/backend protocol, version 3
//! (<https://www.postgresql.org/docs/current/protocol.html>).

pub mod back;
pub mod engine;
pub mod fault;
pub mod frame;
pub mod front;
pub mod message;
mod owed;
pub mod rename;
mod reply;
mod reply_error;
pub mod reported;
mod request;
mod request_statement;
mod rules;
pub mod settings;
pub mod startup;
mod statements;
#[cfg(test)]
mod tests;
