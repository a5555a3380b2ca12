//! Tokens in place of passwords.

mod delegate;
mod jwt;
mod programs;
mod signature;
mod storm;
