//! Scripted dialogues: logins in either role. They take bytes and return bytes; `net::drive`
//! does the waiting, the TLS handshake and the expensive computations.

use bytes::BytesMut;

use crate::model::{Secret, TlsFacts};

/// A dialogue that ends: the steps of one login, seen from one side.
pub trait Exchange: Send {
    /// What the dialogue yields.
    type Done: Send;
    /// Why it may fail.
    type Error: Send;

    /// Reads what can be read from `input` (consuming it), writes replies to `out`, and says what
    /// is needed next. `out` is to be sent before the step is taken, also when this fails.
    fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Step<Self::Done>, Self::Error>;

    /// Tells that the TLS handshake asked for by [`Step::UpgradeTls`] is done.
    fn secured(&mut self, facts: &TlsFacts);

    /// Hands over the result of [`Step::Compute`].
    fn computed(&mut self, result: Secret);
}

/// What an [`Exchange`] needs next.
pub enum Step<D> {
    /// More bytes from the peer.
    Read,
    /// A TLS handshake on the same connection. What a client has sent beyond this point is taken
    /// for the beginning of its handshake, and for nothing else: plaintext must never pass for
    /// part of the encrypted dialogue (CVE-2021-23214, CVE-2021-43766). A server that has sent
    /// anything is refused.
    UpgradeTls,
    /// The result of a computation too long for an I/O thread (a password hash).
    Compute(Costly),
    /// Nothing: the dialogue is over.
    Done(D),
}

impl<D> Step<D> {
    /// The same step with another outcome.
    pub fn map<T>(self, change: impl FnOnce(D) -> T) -> Step<T> {
        match self {
            Self::Read => Step::Read,
            Self::UpgradeTls => Step::UpgradeTls,
            Self::Compute(work) => Step::Compute(work),
            Self::Done(done) => Step::Done(change(done)),
        }
    }
}

/// A pure computation of milliseconds, to be run off the I/O threads.
pub struct Costly(Box<dyn FnOnce() -> Secret + Send>);

impl Costly {
    /// Wraps the computation.
    pub fn new(work: impl FnOnce() -> Secret + Send + 'static) -> Self {
        Self(Box::new(work))
    }

    /// Runs it, blocking the calling thread.
    pub fn run(self) -> Secret {
        (self.0)()
    }
}
