//! One client, from accept to close. Written once for all engines.

use std::pin::Pin;
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
mod obtain;
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

use borrow::usual_aim;
use desk::{Desk, Route};
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

/// A client that has logged in.
struct Guest<E: Engine> {
    relay: Box<Relay<E>>,
    /// Its cancel key is known as long as this lives.
    cancel: CancelGuard<E::CancelKey>,
    /// It is counted as long as this lives.
    _entry: Entry,
}

/// Serves one client until it is gone. `place` is held as long as the session lives. Not
/// cancel-safe: dropped, it closes the client's and a borrowed server connection.
///
/// Not an `async fn`, whose future would have room for the arguments, and boxed for the login: the
/// future of an idle client is small.
pub fn serve<E: Engine, P: Send>(
    hall: Arc<Hall<E>>,
    desk: Arc<dyn Desk<E>>,
    stream: Stream,
    entry: Entry,
    meter: ClientMeter,
    place: P,
) -> impl Future<Output = ()> + Send {
    let login = Box::pin(log_in(hall, desk, stream, entry, meter));
    async move {
        let Some(mut guest) = login.await else {
            return;
        };
        let end = guest.relay.run().await;
        guest.leave(end).await;
        drop(place);
    }
}

/// Takes a client through its login; `None` if that is all.
async fn log_in<E: Engine>(
    hall: Arc<Hall<E>>,
    desk: Arc<dyn Desk<E>>,
    stream: Stream,
    entry: Entry,
    meter: ClientMeter,
) -> Option<Guest<E>> {
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
    let arrival = tokio::time::timeout(limit, door.admit(&mut stream, &mut known)).await;
    let arrival = arrival.unwrap_or_else(|_| {
        Err(LoginError::Fault(Fault::new(
            FaultKind::LoginTimeout,
            "login took longer than client_login_timeout",
        )))
    });
    match arrival {
        Ok(Arrival::Session(arrived)) => {
            return Some(introduce(&hall, desk, *arrived, entry, meter));
        }
        Ok(Arrival::Over) => {}
        Err(LoginError::Lost(why)) => {
            debug!(%session, peer = %entry.handle.peer, why, "login ended")
        }
        Err(LoginError::Told(fault)) => {
            note_failure::<E>(&hall, &entry, &meter, known.as_deref(), &fault);
            if let Some(stream) = stream.take() {
                stream.close(LAST_WORDS).await;
            }
        }
        Err(LoginError::Fault(fault)) => {
            note_failure::<E>(&hall, &entry, &meter, known.as_deref(), &fault);
            if let Some(stream) = stream.take() {
                let to = known
                    .as_deref()
                    .map_or(Addressee::Stranger, Addressee::Login);
                let words = last_words::<E>(&fault, to);
                tell(stream, words).await;
            }
        }
    }
    None
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

impl<E: Engine> Guest<E> {
    /// Tells the client why its session has ended, and the log.
    fn leave(self, end: End) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // Boxed, as all that is rare.
        Box::pin(async move {
            let Self {
                relay,
                cancel,
                _entry,
            } = self;
            drop(cancel);
            let (session, requests) = (relay.handle.id, relay.client.front.requests());
            let log = relay.route.options.log_connections;
            let why = match end {
                End::ClientGone => "client left".into(),
                End::Told(why) => why.into(),
                End::Fault(fault) => {
                    relay.tally.meter.fault(fault.kind);
                    relay.end_with(&fault).await;
                    fault.message
                }
            };
            if log {
                info!(%session, reason = %why, requests, "client disconnected");
            }
        })
    }
}

/// Makes a session of a client that has logged in, and tells everybody.
fn introduce<E: Engine>(
    hall: &Arc<Hall<E>>,
    desk: Arc<dyn Desk<E>>,
    arrived: LoggedIn<E>,
    entry: Entry,
    mut meter: ClientMeter,
) -> Guest<E> {
    let LoggedIn {
        client,
        mut route,
        login,
        cancel,
    } = arrived;
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
        handle: Arc::clone(handle),
        hall: Arc::clone(hall),
        split,
        client,
        desk,
        tally,
        leaving: false,
        aim: usual_aim(route.role),
        route,
    };
    Guest {
        relay: Box::new(relay),
        cancel,
        _entry: entry,
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{ClientMeter, Desk, Entry, Hall, Relay, serve};
    use crate::net::Stream;
    use crate::protocol::Engine;
    use crate::protocol::mysql::Mysql;
    use crate::protocol::postgres::Postgres;

    type Service<E, F> = fn(Arc<Hall<E>>, Arc<dyn Desk<E>>, Stream, Entry, ClientMeter, ()) -> F;

    const fn size_of_future<E: Engine, F>(_: &Service<E, F>) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_client_is_small() {
        let relays = [size_of::<Relay<Postgres>>(), size_of::<Relay<Mysql>>()];
        // mio's checks of itself, in each socket.
        let checks = if cfg!(debug_assertions) { 16 } else { 0 };
        assert!(relays[0] <= 896 + checks, "{relays:?}");
        assert!(relays[1] <= 1136 + checks, "{relays:?}");
        let serving = size_of_future::<Postgres, _>(&(serve::<Postgres, ()> as _));
        assert!(serving <= 240, "{serving}");
    }
}
