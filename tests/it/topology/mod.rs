//! Target groups of several servers: who is primary, where sessions go, what they see when a
//! server is lost.

mod discovery;
mod failover;
mod faults;
mod load;
mod lost_transactions;
mod programs;
mod rds;
mod roles;
mod switchover;
