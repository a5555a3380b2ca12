//! Behaviours of the PostgreSQL side.

mod bad_input;
mod cancelling;
mod copying;
mod drivers;
mod extended;
mod listening;
mod login;
mod loss;
mod memory;
mod operation;
mod orm;
mod prepared;
mod roles;
mod rust_drivers;
mod scale;
mod sequences;
mod server_loss;
mod sql_prepared;
mod stale_plans;
mod state;
mod tenants;
mod tools;
mod unpinning;
mod verifying;
