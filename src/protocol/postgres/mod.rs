//! The PostgreSQL frontend/backend protocol, version 3
//! (<https://www.postgresql.org/docs/current/protocol.html>).

pub mod accept;
pub mod cancel;
pub mod cleartext;
pub mod connect;
pub mod fault;
pub mod frame;
pub mod md5;
pub mod message;
pub mod prove;
pub mod scram;
pub mod startup;
pub mod switches;

#[cfg(test)]
mod handshake;
