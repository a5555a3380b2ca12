//! Behaviours of the PostgreSQL side.

mod bad_input;
mod cancelling;
mod copying;
mod drivers;
mod extended;
mod login;
mod loss;
mod prepared;
mod rust_drivers;
mod state;
mod tools;
