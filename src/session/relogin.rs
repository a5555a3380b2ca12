//! A client that logs in anew on the same connection, perhaps as another user: a new session as
//! far as state, user and pool are concerned, and the old one for those who list and cancel.

use bytes::{Buf, BytesMut};
use tracing::info;

use super::borrow::usual_aim;
use super::identity;
use super::login::{Door, LoginError, entropy, say};
use super::relay::{End, Relay};
use super::split::Split;
use crate::model::{Fault, FaultKind};
use crate::protocol::{Addressee, Engine, Login};

impl<E: Engine> Relay<E> {
    /// Takes the client through the login that it has asked for. Not cancel-safe: a login cut
    /// short ends the session.
    pub(super) async fn log_in_anew(&mut self) -> Result<(), End> {
        let (dealt, login) =
            E::relogin(&mut self.client.front, &self.client.inbox).map_err(End::Fault)?;
        self.client.inbox.advance(dealt);
        let limit = self.desk.options().login_timeout;
        let result = tokio::time::timeout(limit, self.take_through(&login)).await;
        let result = result.unwrap_or_else(|_| {
            let what = "login took longer than client_login_timeout";
            Err(LoginError::Fault(Fault::new(FaultKind::LoginTimeout, what)))
        });
        let (fault, told) = match result {
            Ok(()) => return Ok(()),
            Err(LoginError::Lost(_)) => return Err(End::ClientGone),
            Err(LoginError::Told(fault)) => (fault, true),
            Err(LoginError::Fault(fault)) => (fault, false),
        };
        // Who may try again and again could guess passwords, so the session ends.
        self.tally.meter.fault(fault.kind);
        info!(
            session = %self.handle.id,
            user = %login.user(),
            database = %login.database(),
            reason = %fault,
            "login failed"
        );
        if !told {
            let mut words = Vec::new();
            E::refuse(&fault, Addressee::Login(&login), &mut words);
            self.client.outbox.push(&words);
            let client = &mut self.client;
            let flush = std::future::poll_fn(|cx| client.outbox.poll(&mut client.stream, cx));
            // A client that does not listen misses it.
            let _ = tokio::time::timeout(super::LAST_WORDS, flush).await;
        }
        Err(End::Told("login failed"))
    }

    async fn take_through(&mut self, login: &E::Login) -> Result<(), LoginError> {
        let door = Door {
            hall: &self.hall,
            desk: &self.desk,
            handle: &self.handle,
        };
        let client = &mut self.client;
        let mut words = BytesMut::new();
        let (mut front, mut route, greeting) = door
            .enter(&mut client.stream, &mut client.inbox, &mut words, login)
            .await?;
        let key = E::cancel_key(login, self.handle.id.0, entropy()?);
        E::welcome(&mut front, &greeting, &key, &mut words);
        say(&mut client.stream, &words).await?;
        client.front = front;
        self.handle
            .identify(identity(login, &mut route, client.stream.is_tls()));
        self.tally.begun_anew();
        self.split = Split::of(&route).map(Box::new);
        self.aim = usual_aim(route.role);
        self.route = route;
        Ok(())
    }
}
