//! Behaviours of the PostgreSQL side.

mod drivers;
