//! From an accepted socket to a client that may send its first request.

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use aws_lc_rs::rand;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::Hall;
use super::borrow::{Lent, borrow_at_once, borrow_in_turn, usual_aim};
use super::desk::{Desk, Route, Visitor};
use super::exchange::Client;
use super::handle::{Bell, Handle};
use super::meter::ClientMeter;
use super::pipe::Outbox;
use super::registry::{CancelGuard, Registry};
use super::relay::Relay;
use super::split::Split;
use super::tally::Tally;
use crate::model::{Fault, FaultKind, Proof, Role, TlsFacts};
use crate::net::{DriveError, Stream, TlsRole, begins_with_tls, drive_unsaid};
use crate::pool::{CloseReason, ServerConn};
use crate::protocol::{
    Attach, Back, Caller, Engine, Entropy, Front, HelloOffer, Login, Opening, ProofDemand, Script,
};

/// What came of a connection before it became a session.
pub(super) enum Arrival<E: Engine> {
    /// A session. Its cancel key is known as long as the guard lives.
    Session(Box<Relay<E>>, CancelGuard<E::CancelKey>),
    /// It asked for something that is done, or went away.
    Over,
}

/// Why a login failed.
#[derive(Debug)]
pub(super) enum LoginError {
    /// The client is to be told.
    Fault(Fault),
    /// The client has been told.
    Told(Fault),
    /// There is nobody to tell.
    Lost(String),
}

impl From<Fault> for LoginError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<DriveError<Fault>> for LoginError {
    fn from(error: DriveError<Fault>) -> Self {
        match error {
            DriveError::Exchange(fault) => Self::Told(fault),
            other => Self::Lost(other.to_string()),
        }
    }
}

/// The listener's side of a login.
pub(super) struct Door<'a, E: Engine> {
    pub(super) hall: &'a Arc<Hall<E>>,
    pub(super) desk: &'a Arc<dyn Desk<E>>,
    pub(super) handle: &'a Arc<Handle>,
}

/// What a client that logs in brings, which is its caller's until it is a session: so it can be told why it is none.
pub(super) struct Newcomer<E: Engine> {
    pub(super) stream: Option<Stream>,
    /// Who it says it is.
    pub(super) known: Option<Arc<E::Login>>,
    pub(super) meter: Option<ClientMeter>,
}

impl<E: Engine> Door<'_, E> {
    /// Takes one client through its login. Not cancel-safe: a login cut short ends the connection.
    pub(super) async fn admit(
        &self,
        newcomer: &mut Newcomer<E>,
        registry: &Arc<Registry>,
    ) -> Result<Arrival<E>, LoginError> {
        let Some(socket) = newcomer.stream.as_mut() else {
            return Ok(Arrival::Over);
        };
        // With room for what most clients say, and freed before they idle.
        let mut input = BytesMut::with_capacity(512);
        // And for what a server usually says.
        let mut words = BytesMut::with_capacity(768);
        let Some(login) = self.greet(socket, &mut input, &mut words).await? else {
            return Ok(Arrival::Over);
        };
        let login = &**newcomer.known.insert(Arc::new(login));
        let (mut front, route, greeting) =
            self.enter(socket, &mut input, &mut words, login).await?;
        let key = E::cancel_key(login, self.handle.id.0, entropy()?);
        let cancel = self
            .hall
            .keys
            .register(key.clone(), Arc::clone(self.handle));
        E::welcome(&mut front, &greeting, &key, &mut words);
        say(socket, &words).await?;
        let arrived = (newcomer.stream.take(), newcomer.meter.take());
        let (Some(mut stream), Some(meter)) = arrived else {
            return Ok(Arrival::Over);
        };
        if let Some(codec) = E::codec(login) {
            stream = stream.coded(codec, &input);
            input = BytesMut::new();
        }
        if input.is_empty() {
            input = BytesMut::new();
        }
        // Written where it stays: it is large.
        let relay = Box::write(
            Box::new_uninit(),
            Relay {
                handle: Arc::clone(self.handle),
                hall: Arc::clone(self.hall),
                split: Split::of(&route).map(Box::new),
                client: Client {
                    stream,
                    front,
                    inbox: input,
                    outbox: Outbox::default(),
                },
                desk: Arc::clone(self.desk),
                tally: Tally::new(meter, Arc::clone(self.handle), Arc::clone(registry)),
                leaving: false,
                aim: usual_aim(route.role),
                route,
            },
        );
        Ok(Arrival::Session(relay, cancel))
    }

    /// Has a client prove who it says it is, and finds out where it is served and what it is told
    /// there. Leaves in `words` what is to be sent before the welcome. Not cancel-safe.
    pub(super) async fn enter(
        &self,
        socket: &mut Stream,
        input: &mut BytesMut,
        words: &mut BytesMut,
        login: &E::Login,
    ) -> Result<(E::Front, Route<E>, E::Greeting), LoginError> {
        let facts = socket.tls_facts();
        let proof = self
            .prove(socket, input, words, login, facts.as_ref())
            .await?;
        let visitor = self.visitor(login, facts.as_ref());
        let found = self
            .desk
            .route(visitor, login, &proof)
            .and_then(|mut route| {
                let policy = Arc::clone(&route.options.front);
                let mut front = E::front(login, &route.database, policy)?;
                let bell = Waker::from(Arc::new(Bell(Arc::clone(self.handle))));
                let user = &route.destinations.access().key().user;
                E::tune(&mut front, &route.channel.feed, user, bell);
                Ok((remembered(&mut route, front.profile()), front, route))
            });
        // What ends the proof goes out with the welcome, where that follows at once.
        if !matches!(found, Ok((Some(_), ..))) {
            say(socket, words).await?;
            words.clear();
        }
        let (remembered, mut front, mut route) = found?;
        let greeting = match remembered {
            Some(greeting) => greeting,
            // Boxed, as it is rare: most find what earlier ones were told.
            None => Box::pin(greeting(&mut front, &mut route, self.handle)).await?,
        };
        Ok((front, route, greeting))
    }

    /// Up to the point where the client has said who it is. What it is told then may be left in `words`.
    async fn greet(
        &self,
        stream: &mut Stream,
        input: &mut BytesMut,
        words: &mut BytesMut,
    ) -> Result<Option<E::Login>, LoginError> {
        let mut direct_tls = false;
        if let Some(alpn) = E::DIRECT_TLS_ALPN
            && let Some(tls) = self.desk.tls()
            && begins_with_tls(stream, input, LOGIN_INPUT)
                .await
                .map_err(lost)?
        {
            let early = input.split();
            let upgraded = stream.upgrade_server_direct(&tls, &early).await;
            upgraded.map_err(lost)?;
            direct_tls = stream.alpn() == Some(alpn);
            if !direct_tls {
                return Err(LoginError::Lost("direct TLS for another protocol".into()));
            }
        }
        let offer = HelloOffer {
            tls: self.desk.tls_offer(),
            direct_tls,
        };
        let caller = Caller {
            session: self.handle.id.0,
            peer: self.handle.peer.ip(),
            announcement: self.desk.announcement(),
        };
        let mut hello = E::hello(offer, caller, entropy()?);
        let tls = self.tls_role();
        match drive_unsaid(stream, &mut hello, input, words, &tls, LOGIN_INPUT).await? {
            Opening::Login(login) => Ok(Some(login)),
            Opening::Cancel(key) => {
                let found = self.hall.keys.cancel(&key);
                tracing::debug!(found, "cancel request");
                Ok(None)
            }
        }
    }

    /// Leaves in `words` what the client is yet to be told of its proof.
    async fn prove(
        &self,
        stream: &mut Stream,
        input: &mut BytesMut,
        words: &mut BytesMut,
        login: &E::Login,
        facts: Option<&TlsFacts>,
    ) -> Result<Proof, LoginError> {
        let candidate = self.desk.candidate(self.visitor(login, facts)).await?;
        let method = candidate.method;
        let demand = ProofDemand {
            method,
            verifier: candidate.verifier,
            sealing_key: candidate.sealing_key,
            tls: facts.cloned(),
            decoy_key: self.hall.decoy_key,
        };
        let mut prove = E::prove(login, demand, entropy()?);
        let tls = self.tls_role();
        let proof = drive_unsaid(stream, &mut prove, input, words, &tls, LOGIN_INPUT).await;
        if let Err(DriveError::Exchange(fault)) = &proof
            && fault.kind == FaultKind::AuthenticationFailed
        {
            self.desk.disproved(login.user());
        }
        let proof = proof.map_err(LoginError::from)?;
        let Some(token) = proof.token else {
            return Ok(proof);
        };
        let visitor = self.visitor(login, facts);
        let judged = self.desk.judge(visitor, login, method, token);
        judged.await.map_err(LoginError::from)
    }

    fn tls_role(&self) -> TlsRole {
        let tls = self.desk.tls();
        tls.map_or(TlsRole::Unavailable, TlsRole::Server)
    }

    fn visitor<'a>(&self, login: &'a E::Login, tls: Option<&'a TlsFacts>) -> Visitor<'a> {
        Visitor {
            user: login.user(),
            database: login.database(),
            peer: self.handle.peer,
            tls,
            usual_method: E::usual_method(login),
        }
    }
}

/// What the server tells at login to a client with these settings: as remembered, or as a server
/// connection says that has been brought to them.
async fn greeting<E: Engine>(
    front: &mut E::Front,
    route: &mut Route<E>,
    handle: &Handle,
) -> Result<E::Greeting, LoginError> {
    let profile = front.profile();
    if let Some(greeting) = remembered(route, profile) {
        return Ok(greeting);
    }
    let limit = route.options.login_timeout;
    let (mut server, way) = loop {
        let Lent {
            mut server, way, ..
        } = borrow(route, handle).await?;
        let settled = tokio::time::timeout(limit, settle::<E>(front, server.conn())).await;
        if settled.map_err(|_| silent())?? {
            break (server, way);
        }
        server.close(CloseReason::Unfit);
    };
    let greeting = server.conn().back.greeting();
    way.pool.remember_greeting(profile, greeting.clone());
    server.give_back();
    Ok(greeting)
}

/// The greeting remembered for clients of this profile, where they will be served.
fn remembered<E: Engine>(route: &mut Route<E>, profile: u64) -> Option<E::Greeting> {
    match usual_aim(route.role) {
        Role::Primary => route.destinations.primary()?.pool.greeting(profile),
        Role::Replica => route.destinations.replica()?.pool.greeting(profile),
    }
}

async fn borrow<E: Engine>(route: &mut Route<E>, handle: &Handle) -> Result<Lent<E>, LoginError> {
    let aim = usual_aim(route.role);
    if let Some(lent) = borrow_at_once(route, aim) {
        return Ok(lent);
    }
    let patience = |cx: &mut Context<'_>| {
        handle.listen(cx.waker());
        Poll::<Infallible>::Pending
    };
    let start = Instant::now();
    let lent = borrow_in_turn(&mut route.destinations, aim, start, patience).await;
    lent.map_err(|missed| LoginError::Fault(missed.fault()))
}

/// Brings a server connection to the client's settings and waits for the server's word on them;
/// false if it cannot be brought to them.
async fn settle<E: Engine>(
    front: &mut E::Front,
    conn: &mut ServerConn<E>,
) -> Result<bool, LoginError> {
    let mut request = Vec::new();
    // What the client is told comes from the greeting instead.
    let mut replies = Vec::new();
    if E::attach(front, &mut conn.back, &mut request, &mut replies) == Attach::Unfit {
        return Ok(false);
    }
    conn.stream.write_all(&request).await.map_err(lost)?;
    conn.stream.flush().await.map_err(lost)?;
    let mut script = Script::default();
    while !conn.back.progress().settled {
        if conn.stream.read_buf(&mut conn.carry).await.map_err(lost)? == 0 {
            return Err(server_closed());
        }
        script.clear();
        let dealt = E::from_server(front, &mut conn.back, &conn.carry, &mut script)
            .map_err(|breach| LoginError::Lost(breach.to_string()))?;
        let _ = conn.carry.split_to(dealt.min(conn.carry.len()));
        if let Some(fault) = front.failure() {
            return Err(LoginError::Fault(fault));
        }
    }
    Ok(true)
}

fn silent() -> LoginError {
    let what = "the server does not answer";
    LoginError::Fault(Fault::new(FaultKind::TargetUnavailable, what))
}

/// Writes `words` to a client, if there are any.
pub(super) async fn say(stream: &mut Stream, words: &[u8]) -> Result<(), LoginError> {
    if words.is_empty() {
        return Ok(());
    }
    stream.write_all(words).await.map_err(lost)?;
    stream.flush().await.map_err(lost)
}

fn server_closed() -> LoginError {
    LoginError::Fault(Fault::new(
        FaultKind::TargetUnavailable,
        "the server closed the connection",
    ))
}

fn lost(error: impl ToString) -> LoginError {
    LoginError::Lost(error.to_string())
}

/// Fresh randomness. Drawn for several logins at once, since most of what a draw costs does not
/// depend on how much is drawn; what has been handed out is wiped.
pub(super) fn entropy() -> Result<Entropy, Fault> {
    thread_local! {
        static DRAWN: RefCell<(usize, [Entropy; DRAWS])> = const { RefCell::new((0, [[0; 48]; DRAWS])) };
    }
    DRAWN.with_borrow_mut(|(left, drawn)| {
        if *left == 0 {
            rand::fill(drawn.as_flattened_mut())
                .map_err(|_| Fault::new(FaultKind::Internal, "no randomness is to be had"))?;
            *left = DRAWS;
        }
        *left -= 1;
        match drawn.get_mut(*left) {
            Some(next) => Ok(std::mem::replace(next, [0; 48])),
            None => Err(Fault::new(FaultKind::Internal, "no randomness is left")),
        }
    })
}

/// How much randomness is drawn at once, in shares of one login's step.
const DRAWS: usize = 24;

/// Bytes of a login that may wait to be read: the longest message, a token sent as a password,
/// with room for what an eager client sends behind it.
const LOGIN_INPUT: usize = 64 * 1024;
