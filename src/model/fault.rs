//! All that a client may be told when something goes wrong.
//!
//! Operators read errors in the log; clients read a [`Fault`], which each engine turns into its
//! own error message and code. A fault never carries the text of an internal error.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// What went wrong, in words that hold for every engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Wrong credentials or an unknown user: deliberately the same.
    AuthenticationFailed,
    /// The listener takes no plaintext clients.
    TlsRequired,
    /// No such database is configured or allowed.
    UnknownDatabase,
    /// A limit on client connections is reached.
    TooManyClients,
    /// No server connection came free within the borrow timeout.
    BorrowTimeout,
    /// Too many clients wait already.
    Overloaded,
    /// The client broke the protocol.
    ProtocolViolation,
    /// The client asked for what Sluice does not do.
    Unsupported,
    /// The server cannot be reached or refuses the login.
    TargetUnavailable,
    /// The server connection broke while it worked for this client.
    ServerLost,
    /// A transaction was lost with its server connection, and so has been rolled back.
    TransactionLost,
    /// State of the session is where its next request cannot be carried out.
    Stranded,
    /// Sluice is shutting down.
    ShuttingDown,
    /// The client was idle for too long.
    IdleTimeout,
    /// The client took too long to log in.
    LoginTimeout,
    /// The client was idle inside a transaction for too long.
    IdleTransactionTimeout,
    /// The statement took longer than allowed.
    QueryTimeout,
    /// The user asked to cancel the request while it waited.
    Cancelled,
    /// An operator ended the session.
    Terminated,
    /// A startup option is refused by configuration.
    OptionRefused,
    /// A bug in Sluice.
    Internal,
}

/// An error for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    /// One sentence for the client: what happened and what to do.
    pub message: Cow<'static, str>,
    /// The server's own error message in wire form, sent instead of `message` where present.
    pub verbatim: Option<Bytes>,
}

impl Fault {
    /// A fault with a sentence of ours.
    pub fn new(kind: FaultKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            verbatim: None,
        }
    }

    /// A fault that passes on the error message a server sent, header included.
    pub fn verbatim(kind: FaultKind, wire: Bytes) -> Self {
        Self {
            kind,
            message: Cow::Borrowed("the server refused"),
            verbatim: Some(wire),
        }
    }

    /// The client broke the protocol; `message` says how.
    pub fn protocol(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(FaultKind::ProtocolViolation, message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
