//! One client, from accept to close. Written once for all engines.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tracing::{debug, info};

use crate::model::{Fault, FaultKind};
use crate::net::Stream;
use crate::protocol::{Addressee, Engine, Front, Login};

mod borrow;
pub mod desk;
pub mod destination;
mod errand;
mod exchange;
mod farewell;
pub mod feed;
pub mod handle;
mod login;
pub mod meter;
pub mod metrics;
pub mod options;
mod pipe;
mod portion;
mod proof;
pub mod registry;
mod relay;
mod relogin;
pub mod roster;
pub mod routing;
pub mod shelf;
mod split;
mod steady;
mod tally;

use desk::{Desk, Route};
use errand::Errands;
use handle::{Identity, Limits};
use login::{Arrival, Door, LoggedIn, LoginError};
use meter::ClientMeter;
use registry::{CancelGuard, CancelKeys, Entry, TICK};
use relay::{End, Relay};
use split::Split;
use tally::Tally;

/// What all sessions of one listener share.
pub struct Hall<E: Engine> {
    /// Name of the listener, for the log.
    pub listener: Arc<str>,
    /// Cancel keys, over all listeners of the engine.
    pub keys: Arc<CancelKeys<E::CancelKey>>,
    /// Keys the decoys of unknown users; random, one for the life of the process.
    pub decoy_key: [u8; 32],
}

/// Serves one client until it is gone. `place` is held as long as the session lives. Not
/// cancel-safe: dropped, it closes the client's and a borrowed server connection.
pub async fn serve<E: Engine>(
    hall: Arc<Hall<E>>,
    desk: Arc<dyn Desk<E>>,
    stream: Stream,
    entry: Entry,
    meter: ClientMeter,
    place: impl Send,
) {
    let session = entry.handle.id;
    let mut stream = Some(stream);
    let mut known = None;
    let limit = desk.options().login_timeout;
    let door = Door {
        desk: &*desk,
        keys: &hall.keys,
        handle: &entry.handle,
        decoy_key: &hall.decoy_key,
    };
    let arrival = tokio::time::timeout(limit, Box::pin(door.admit(&mut stream, &mut known))).await;
    let arrival = arrival.unwrap_or_else(|_| {
        Err(LoginError::Fault(Fault::new(
            FaultKind::LoginTimeout,
            "login took longer than client_login_timeout",
        )))
    });
    match arrival {
        Ok(Arrival::Session(arrived)) => talk(&hall, desk, arrived, &entry, meter).await,
        Ok(Arrival::Over) => {}
        Err(LoginError::Lost(why)) => {
            debug!(%session, peer = %entry.handle.peer, why, "login ended")
        }
        Err(LoginError::Told(fault)) => {
            note_failure::<E>(&hall, &entry, &meter, known.as_deref(), &fault);
            if let Some(stream) = stream.take() {
                Box::pin(stream.close(LAST_WORDS)).await;
            }
        }
        Err(LoginError::Fault(fault)) => {
            note_failure::<E>(&hall, &entry, &meter, known.as_deref(), &fault);
            if let Some(stream) = stream.take() {
                let to = known
                    .as_deref()
                    .map_or(Addressee::Stranger, Addressee::Login);
                let words = last_words::<E>(&fault, to);
                Box::pin(tell(stream, words)).await;
            }
        }
    }
    drop(place);
}

/// Counts and logs a login that has failed.
fn note_failure<E: Engine>(
    hall: &Hall<E>,
    entry: &Entry,
    meter: &ClientMeter,
    login: Option<&E::Login>,
    fault: &Fault,
) {
    meter.fault(fault.kind);
    info!(
        session = %entry.handle.id,
        listener = %hall.listener,
        peer = %entry.handle.peer,
        user = login.map_or("", |login| &**login.user()),
        database = login.map_or("", |login| &**login.database()),
        reason = %fault,
        "login failed"
    );
}

/// The part after the login.
async fn talk<E: Engine>(
    hall: &Arc<Hall<E>>,
    desk: Arc<dyn Desk<E>>,
    arrived: Box<LoggedIn<E>>,
    entry: &Entry,
    meter: ClientMeter,
) {
    let (mut relay, cancel) = introduce(hall, desk, arrived, entry, meter);
    let end = relay.run().await;
    drop(cancel);
    let requests = relay.client.front.requests();
    let log = relay.route.options.log_connections;
    let why = match end {
        End::ClientGone => "client left".into(),
        End::Told(why) => why.into(),
        End::Fault(fault) => {
            relay.tally.meter.fault(fault.kind);
            // Boxed, as all that is rare: the future of an idle client stays small.
            Box::pin(relay.end_with(&fault)).await;
            fault.message
        }
    };
    if log {
        info!(
            session = %entry.handle.id,
            reason = %why,
            requests,
            "client disconnected"
        );
    }
}

/// Makes a session of a client that has logged in, and tells everybody. Not part of the future
/// above, which would keep room for every step of it.
#[expect(
    clippy::boxed_local,
    reason = "it comes boxed, so that the caller's future has no room for it"
)]
fn introduce<E: Engine>(
    hall: &Arc<Hall<E>>,
    desk: Arc<dyn Desk<E>>,
    arrived: Box<LoggedIn<E>>,
    entry: &Entry,
    mut meter: ClientMeter,
) -> (Box<Relay<E>>, CancelGuard<E::CancelKey>) {
    let LoggedIn {
        client,
        mut route,
        login,
        cancel,
    } = *arrived;
    let options = Arc::clone(&route.options);
    let handle = &entry.handle;
    let tls = client.stream.is_tls();
    if tls {
        meter.encrypted();
    }
    handle.identify(identity(&*login, &mut route, tls));
    meter.logged_in();
    if options.log_connections {
        info!(
            session = %handle.id,
            listener = %hall.listener,
            peer = %handle.peer,
            user = %login.user(),
            database = %login.database(),
            application = login.application(),
            tls,
            "client connected"
        );
    }
    let split = Split::of(&route).map(Box::new);
    let tally = Tally::new(meter, Arc::clone(handle), Arc::clone(entry.registry()));
    let relay = Relay {
        client,
        route,
        handle: Arc::clone(handle),
        tally,
        errands: Errands {
            keys: Arc::clone(&hall.keys),
            own: Arc::clone(handle),
        },
        hall: Arc::clone(hall),
        desk,
        leaving: false,
        split,
    };
    (Box::new(relay), cancel)
}

impl<E: Engine> Relay<E> {
    /// Sends what is still to be sent, and the error.
    async fn end_with(self, fault: &Fault) {
        let mut client = self.client;
        let words = last_words::<E>(fault, Addressee::Session(&client.front));
        let flush = std::future::poll_fn(|cx| client.outbox.poll(&mut client.stream, cx));
        if let Ok(Ok(())) = tokio::time::timeout(LAST_WORDS, flush).await {
            tell(client.stream, words).await;
        }
    }
}

/// The error that a client is told before its connection is closed.
pub fn last_words<E: Engine>(fault: &Fault, to: Addressee<'_, E>) -> Vec<u8> {
    let mut words = Vec::new();
    E::refuse(fault, to, &mut words);
    words
}

/// Sends its last words to a client and closes its connection. A client that does not listen
/// misses them. Not cancel-safe: dropped, it closes at once.
pub async fn tell(mut stream: Stream, words: Vec<u8>) {
    let sent = tokio::time::timeout(LAST_WORDS, async {
        stream.write_all(&words).await?;
        stream.flush().await
    });
    if let Ok(Ok(())) = sent.await {
        stream.close(LAST_WORDS).await;
    }
}

/// Who a client is, and where it is served.
fn identity<E: Engine>(login: &E::Login, route: &mut Route<E>, tls: bool) -> Identity {
    let pool = route.shown_pool();
    let options = &route.options;
    Identity {
        user: Arc::clone(login.user()),
        database: Arc::clone(login.database()),
        application: login.application().into(),
        pool,
        tls,
        limits: Limits {
            idle: ticks(options.idle_client_timeout),
            idle_transaction: ticks(options.idle_transaction_timeout),
            query: ticks(options.query_timeout),
        },
    }
}

/// A time limit in ticks of the sweep clock, rounded up; zero stays zero.
fn ticks(limit: Duration) -> u32 {
    let ticks = limit.as_millis().div_ceil(TICK.as_millis());
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// How long a client may take to receive the error that ends its session.
const LAST_WORDS: Duration = Duration::from_secs(2);
