//! What a session asks about users, databases and pools. The answers come from configuration,
//! by whoever builds the daemon; a reload replaces the desk, not the sessions.

use std::any::Any;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use super::destination::Destinations;
use super::feed::Channel;
use super::options::SessionOptions;
use super::routing::RouteMetrics;
use super::shelf::Shelf;
use crate::model::{
    AuthMethod, Fault, PoolKey, Proof, SealingKey, Secret, TargetRole, TlsFacts, Verifier,
};
use crate::net::ServerTls;
use crate::protocol::{Engine, TlsOffer};

/// A listener's knowledge, at the time when a client comes.
pub trait Desk<E: Engine>: Send + Sync + 'static {
    /// Whether TLS may or must be used.
    fn tls_offer(&self) -> TlsOffer;
    /// The certificate and settings to use with it.
    fn tls(&self) -> Option<Arc<ServerTls>>;
    /// What the server behind the listener says to anybody; `None` if it has not been heard, or
    /// there are several.
    fn announcement(&self) -> Option<E::Announcement>;
    /// Limits of the sessions of this listener.
    fn options(&self) -> Arc<SessionOptions>;
    /// How the client must prove who it is. An unknown user is not an error here: it gets a
    /// candidate without verifier, so that the refusal looks and lasts as for a wrong password.
    fn candidate<'a>(&'a self, visitor: Visitor<'a>) -> Answer<'a, Candidate>;
    /// Judges a token that a client has shown, and answers with what may be shown to the server on
    /// its behalf. Not an error that tells a user who does not exist from a token that is wrong.
    fn judge<'a>(
        &'a self,
        visitor: Visitor<'a>,
        login: &'a E::Login,
        method: AuthMethod,
        token: Secret,
    ) -> Answer<'a, Proof>;
    /// A client has failed to prove that it is this user. Returns at once.
    fn disproved(&self, user: &Arc<str>);
    /// Where a client that has proven its name is served.
    fn route(
        &self,
        visitor: Visitor<'_>,
        login: &E::Login,
        proof: &Proof,
    ) -> Result<Route<E>, Fault>;
}

/// An answer that may take a query to the database.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

/// Who is at the desk.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// The user name that the client gave.
    pub user: &'a Arc<str>,
    /// The database that it asked for.
    pub database: &'a Arc<str>,
    /// Its address.
    pub peer: SocketAddr,
    /// Facts of its TLS session, if it has one.
    pub tls: Option<&'a TlsFacts>,
    /// How it proves who it is where nothing else is configured.
    pub usual_method: AuthMethod,
}

/// How a client must prove who it is.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The method.
    pub method: AuthMethod,
    /// What its proof is checked against; `None` for a user who does not exist.
    pub verifier: Option<Verifier>,
    /// What it may seal its password with where there is no TLS.
    pub sealing_key: Option<Arc<SealingKey>>,
}

/// Where a client is served.
// In this order: what each request touches comes first.
#[repr(C)]
pub struct Route<E: Engine> {
    /// The servers, and its pools there.
    pub destinations: Destinations<E>,
    /// Which of them its statements may go to.
    pub role: TargetRole,
    /// Name that the server knows the database by.
    pub database: Arc<str>,
    /// Limits and policy, the user's and database's own included.
    pub options: Arc<SessionOptions>,
    /// What is known of its database's functions and views, and what is counted, if its reads go to replicas.
    pub split: Option<(Arc<Shelf<E>>, Arc<RouteMetrics>)>,
    /// What the servers of its database send unasked.
    pub channel: Arc<Channel<E>>,
    /// Held while the session lives: its places under the limits of its user and database.
    pub places: Box<dyn Any + Send + Sync>,
}

impl<E: Engine> Route<E> {
    /// The pool that serves it at this moment, for those who look on: without a primary, it has
    /// the group's name for a server.
    pub fn shown_pool(&mut self) -> PoolKey {
        if let Some(way) = self.destinations.primary() {
            return way.pool.key().clone();
        }
        let key = self.destinations.access().key();
        PoolKey {
            target: Arc::clone(&key.group),
            ..key.clone()
        }
    }
}
