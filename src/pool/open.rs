//! Where server connections come from, and why none may come.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use crate::auth::source::{CredentialSource, SourceError};
use crate::model::{Credential, Fault, FaultKind, PoolKey};
use crate::net::{DialError, DriveError, Stream};
use crate::protocol::{ConnectError, Engine, ServerError};

/// What a pool logs in with; user and database are in its key.
#[derive(Clone, Debug)]
pub enum ServerLogin {
    /// The server is shown the same each time.
    Fixed(Credential),
    /// Whatever is right at the time of a login, which may be under another name of the user.
    From(Arc<dyn CredentialSource>),
}

impl PartialEq for ServerLogin {
    /// True if servers are shown the same. Neither side is a peer's choice: both have been proven, or are configured.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fixed(one), Self::Fixed(other)) => one == other,
            (Self::From(one), Self::From(other)) => Arc::ptr_eq(one, other),
            (Self::Fixed(_), Self::From(_)) | (Self::From(_), Self::Fixed(_)) => false,
        }
    }
}

/// A connection just logged in.
pub struct Opened<E: Engine> {
    /// The byte stream.
    pub stream: Stream,
    /// The protocol's state.
    pub back: E::Back,
    /// Bytes received beyond the login.
    pub carry: BytesMut,
    /// Whom it is logged in as.
    pub user: Arc<str>,
}

/// A login under way.
pub type Opening<'a, E> = Pin<Box<dyn Future<Output = Result<Opened<E>, OpenError>> + Send + 'a>>;

/// Dials one target and logs in.
pub trait Open<E: Engine>: Send + Sync + 'static {
    /// Dials and logs in. Need not be cancel-safe beyond closing what it has opened.
    fn open<'a>(&'a self, key: &'a PoolKey, login: &'a ServerLogin) -> Opening<'a, E>;

    /// Longest time for [`Open::open`], and once more for the first statements after it.
    fn time_limit(&self) -> Duration;
}

/// Why a server connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The target was not reached, or this machine lacks something.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Dialling and login took too long.
    #[error("target did not complete the login within {0:?}")]
    TimedOut(Duration),
    /// The connection broke, or TLS was not agreed on.
    #[error("login broke off: {0}")]
    Broken(String),
    /// The login failed.
    #[error(transparent)]
    Login(ConnectError),
    /// There is nothing to log in with.
    #[error("no credentials for the server: {0}")]
    Source(#[from] SourceError),
    /// The operator's `init_query` failed.
    #[error("init_query failed: {0}")]
    Init(String),
}

impl From<DriveError<ConnectError>> for OpenError {
    fn from(error: DriveError<ConnectError>) -> Self {
        match error {
            DriveError::Exchange(error) => Self::Login(error),
            other => Self::Broken(other.to_string()),
        }
    }
}

/// Who has to do without new connections for a while after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// Nobody: this machine lacks something, which does not speak against the target.
    Local,
    /// The server has no connection left: as if a quota were used up.
    Full,
    /// The whole target.
    Target,
    /// The pool's own user, database or settings.
    Pool,
}

impl OpenError {
    pub(super) fn blame(&self) -> Blame {
        match self {
            Self::Dial(error) if error.is_local() => Blame::Local,
            Self::Login(ConnectError::Refused(error)) if is_full(error) => Blame::Full,
            Self::Dial(_) | Self::TimedOut(_) => Blame::Target,
            Self::Broken(_) | Self::Login(_) | Self::Source(_) | Self::Init(_) => Blame::Pool,
        }
    }

    /// True if the server did not believe what it was shown.
    pub(super) fn is_disbelief(&self) -> bool {
        matches!(self, Self::Login(ConnectError::Refused(error)) if disbelieves(error))
    }
}

/// Why nothing was lent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BorrowError {
    /// Nothing came free within the borrow timeout.
    #[error("no server connection came free within {0:?}")]
    Timeout(Duration),
    /// Too many wait already.
    #[error("too many clients wait for a server connection")]
    Overloaded,
    /// There is no connection, and none can be opened.
    #[error("no server connection: {0}")]
    Unavailable(Arc<OpenError>),
    /// The pools are closed.
    #[error("shutting down")]
    Closed,
}

impl BorrowError {
    /// True if the server is away, and another may take its place or it may be back soon.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(error) if error.may_pass())
    }

    /// True if the server did not believe what it was shown.
    pub fn is_disbelief(&self) -> bool {
        matches!(self, Self::Unavailable(error) if error.is_disbelief())
    }

    /// True if the server has not been willing to look at a token.
    pub fn is_unasked(&self) -> bool {
        matches!(self, Self::Unavailable(error)
            if matches!(**error, OpenError::Login(ConnectError::Unasked)))
    }

    /// What the client is told. A server's own words are passed on, as they name the client's
    /// own user and database; details of our side are not.
    pub fn fault(&self) -> Fault {
        match self {
            // RDS Proxy's words.
            Self::Timeout(_) => Fault::new(
                FaultKind::BorrowTimeout,
                "Timed-out waiting to acquire database connection.",
            ),
            Self::Overloaded => Fault::new(
                FaultKind::Overloaded,
                "Too many clients wait for a database connection already; try again later.",
            ),
            Self::Unavailable(error) => match error.as_ref() {
                OpenError::Login(ConnectError::Refused(refusal)) => {
                    Fault::verbatim(FaultKind::TargetUnavailable, refusal.wire.clone())
                }
                OpenError::Login(_) => Fault::new(
                    FaultKind::TargetUnavailable,
                    "The proxy could not log in to the database.",
                ),
                // As RDS Proxy has it.
                OpenError::Source(_) => Fault::new(
                    FaultKind::TargetUnavailable,
                    "The proxy has no credentials for the database. Check the credentials for this user and try again.",
                ),
                _ => Fault::new(
                    FaultKind::TargetUnavailable,
                    "The database cannot be reached.",
                ),
            },
            Self::Closed => Fault::new(FaultKind::ShuttingDown, "The proxy is shutting down."),
        }
    }
}

/// SQLSTATE 53300, `too_many_connections` (PostgreSQL documentation, appendix A); MySQL's
/// 1040, `ER_CON_COUNT_ERROR`, and 1203, `ER_TOO_MANY_USER_CONNECTIONS`. No code of the one is a
/// code of the other.
fn is_full(error: &ServerError) -> bool {
    ["53300", "1040", "1203"].contains(&error.code.as_str())
}

/// SQLSTATE 28P01, `invalid_password`, and 28000, `invalid_authorization_specification`, which
/// PostgreSQL answers where PAM or RDS refuses a token; MySQL's 1045, `ER_ACCESS_DENIED_ERROR`, and
/// 1698, `ER_ACCESS_DENIED_NO_PASSWORD_ERROR`.
fn disbelieves(error: &ServerError) -> bool {
    ["28P01", "28000", "1045", "1698"].contains(&error.code.as_str())
}
