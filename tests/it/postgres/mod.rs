//! Behaviours of the PostgreSQL side.

mod copying;
mod drivers;
mod extended;
mod prepared;
