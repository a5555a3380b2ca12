//! Credentials towards servers that change: asked for at each login, and again where the server
//! refuses one.
//!
//! A source may know several at once: while a password is rotated, for some seconds nobody can
//! say whether the server still takes the old one or takes the new one already. [`Keyring`] is
//! the policy of which is shown when; where they come from differs: [`FileStore`] here, tokens
//! and Secrets Manager in `aws`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::model::{Credential, Secret};

pub mod file;
pub mod keyring;
pub mod meter;
pub mod rotating;
pub mod shown;
pub mod tokens;

pub use file::FileStore;
pub use keyring::Keyring;
pub use meter::{SourceMeter, SourceMetrics, SourceStatus};
pub use rotating::{Depth, Pace, Reading, Rotating, Store};
pub use shown::ShownTokens;

/// Something to log in with.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The user to log in as; `None`: the pool's.
    pub user: Option<Arc<str>>,
    /// What to show.
    pub credential: Credential,
    /// Which of its source's it is; nothing that needs to be kept secret.
    pub version: Arc<str>,
    /// It may be shown to nobody but a server whose certificate has been verified in full.
    pub verified_only: bool,
}

/// Who asks a source.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Name and port of the server as its owner knows it: what tokens are signed for.
    pub endpoint: (&'a str, u16),
    /// The pool's user.
    pub user: &'a Arc<str>,
    /// It must be this user of those that take turns: that of the connection to be cancelled.
    pub only: Option<&'a str>,
    /// What the server has refused in this login, in order.
    pub refused: &'a [Offer],
}

/// A source over a file or a secret.
pub type KeptSource = Rotating<Box<dyn Store>>;

/// Why a source has nothing to offer. Shows no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub Arc<str>);

impl SourceError {
    /// An error that says this.
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string().into())
    }
}

/// An answer that may take a while.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send + 'a>>;

/// Where what Sluice shows to servers comes from. Shared by all pools that use it.
pub trait CredentialSource: fmt::Debug + Send + Sync {
    /// What to log in with; `None` if all that there is has been refused in this login, and the
    /// refusal is to be told. Cancel-safe.
    fn offer<'a>(&'a self, ask: Ask<'a>) -> Asked<'a, Option<Offer>>;

    /// The server has taken it.
    fn accepted(&self, offer: &Offer);
}

/// A source whose passwords are those of clients too.
pub trait PasswordKeeper: CredentialSource {
    /// The password of that user, if several users take turns, else the one in force. Cancel-safe.
    fn password<'a>(&'a self, user: &'a str) -> Asked<'a, Secret>;

    /// Has it read again, after a pause if that was done lately: a client has named a user or shown
    /// a password that is not known, and there may be a newer one. Returns at once.
    fn doubt(self: &Arc<Self>);
}
