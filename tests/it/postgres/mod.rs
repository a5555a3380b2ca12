//! Behaviours of the PostgreSQL side.

mod bad_input;
mod cancelling;
mod copying;
mod drivers;
mod extended;
mod login;
mod loss;
mod memory;
mod operation;
mod orm;
mod prepared;
mod rust_drivers;
mod scale;
mod server_loss;
mod state;
mod tools;
mod unpinning;
mod verifying;
