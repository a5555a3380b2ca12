//! A connection of Sluice's own to a server, beside all pools and limits: to look at it, and to
//! give it orders.

use std::time::Duration;

use super::dialer::Dialer;
use super::open::{OpenError, Opened, ServerLogin};
use super::server::{self, ChoreError};
use crate::model::{LookFailure, PoolKey};
use crate::protocol::{Back, Chore, ConnectError, Engine};

/// Such a connection. Takes leave of the server when dropped.
pub struct Visit<E: Engine>(Opened<E>);

impl Dialer {
    /// Logs in at the server. Cancel-safe: dropped, the connection is closed.
    ///
    /// # Errors
    /// If that fails, or takes longer than the connect timeout.
    pub async fn visit<E: Engine>(
        &self,
        key: &PoolKey,
        login: &ServerLogin,
    ) -> Result<Visit<E>, OpenError> {
        let limit = self.connect_timeout();
        let opening = tokio::time::timeout(limit, self.login(key, login, None));
        opening
            .await
            .map_err(|_| OpenError::TimedOut(limit))?
            .map(Visit)
    }
}

impl<E: Engine> Visit<E> {
    /// Runs one chore to its end, within `limit`. Not cancel-safe: after that, and after any error
    /// but a refusal, the visit is over.
    ///
    /// # Errors
    /// If the server refuses, does not answer, or breaks the connection.
    pub async fn run(&mut self, chore: Chore<'_>, limit: Duration) -> Result<(), ChoreError> {
        let Opened {
            stream,
            back,
            carry,
            ..
        } = &mut self.0;
        server::within(limit, server::run::<E>(stream, back, carry, chore)).await
    }

    /// What is known about the connection.
    pub const fn back(&self) -> &E::Back {
        &self.0.back
    }
}

impl<E: Engine> Drop for Visit<E> {
    fn drop(&mut self) {
        let progress = self.0.back.progress();
        if progress.settled && !progress.closing {
            let mut words = Vec::new();
            self.0.back.farewell(&mut words);
            self.0.stream.leave(&words);
        }
    }
}

impl OpenError {
    /// What it says about a server that was only to be looked at.
    pub fn seen(&self) -> LookFailure {
        match self {
            Self::Dial(_) => LookFailure::Unreachable,
            // A server that names who may not come in is there, and works.
            Self::Login(ConnectError::Refused(_)) if !self.may_pass() => LookFailure::Refused,
            // It is Sluice that lacks something.
            Self::Source(_) => LookFailure::Refused,
            Self::Login(_) | Self::TimedOut(_) | Self::Broken(_) | Self::Init(_) => {
                LookFailure::Unusable
            }
        }
    }

    /// True if the server is away, comes up or goes down: another may take its place, or it may
    /// be back soon. False where the login itself is at fault.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Dial(_) | Self::TimedOut(_) | Self::Broken(_) => true,
            // SQLSTATE class 57, operator intervention: starting up, shutting down (PostgreSQL
            // documentation, appendix A). MySQL's 1053, `ER_SERVER_SHUTDOWN`, and 3032,
            // `ER_SERVER_OFFLINE_MODE`.
            Self::Login(ConnectError::Refused(error)) => {
                error.code.starts_with("57") || ["1053", "3032"].contains(&error.code.as_str())
            }
            Self::Login(_) | Self::Init(_) | Self::Source(_) => false,
        }
    }
}
