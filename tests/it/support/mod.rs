//! What the tests stand on: servers, the proxy, certificates, programs, and a raw wire client.

pub mod aws;
pub mod certs;
pub mod cluster;
pub mod gate;
pub mod iam;
pub mod link;
pub mod mysql;
pub mod noise;
pub mod place;
pub mod postgres;
pub mod program;
pub mod server;
pub mod sluice;
pub mod wait;
pub mod wire;
