//! Integration tests: the real binary between real clients and real servers, on this machine alone.
//!
//! `support` starts throwaway servers and the proxy and holds wire clients that can say anything;
//! the other modules are the behaviours. With `SLUICE_TEST_DIRECT=1` clients connect to the server
//! itself: what a test claims about the protocol has to hold there too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking, and its peers are its own"
)]

mod credentials;
mod demo;
mod differential;
mod iam;
mod mysql;
mod postgres;
mod split;
mod support;
mod topology;
