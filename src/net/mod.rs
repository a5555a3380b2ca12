//! Sockets and TLS; here tokio begins.
//!
//! Listening, dialling, upgrading a connection to TLS in place, and running a scripted
//! dialogue over it. What the bytes mean is decided in `protocol`; who may connect, in `auth`.

pub mod cert_facts;
pub mod certs;
pub mod client_tls;
mod coded;
pub mod dial;
pub mod drive;
pub mod inherited;
pub mod keepalive;
pub mod limits;
pub mod listener;
pub mod options;
pub mod reactor;
pub mod reloadable;
pub mod scratch;
pub mod server_tls;
pub mod stream;
pub mod tls;
pub mod trouble;
pub mod upgrade;

pub use client_tls::ClientTls;
pub use dial::{DialError, dial};
pub use drive::{DriveError, TlsRole, begins_with_tls, drive, drive_unsaid};
pub use inherited::{Inherited, take_inherited};
pub use limits::{Admission, LimitReached, Limits, Quotas};
pub use listener::{Accepted, Listener};
pub use reloadable::Reloadable;
pub use server_tls::ServerTls;
pub use stream::Stream;
pub use tls::{TlsError, TlsSetupError};

#[cfg(test)]
pub(crate) mod testing;
