//! One client, from accept to close. Written once for all engines.

use std::pin::{Pin, pin};
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
mod recent;
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
use handle::{Identity, Limits};
use login::{Arrival, Door, LoginError, Newcomer};
use meter::ClientMeter;
use registry::{CancelGuard, CancelKeys, Entry, TICK};
use relay::{End, Relay};

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
    // Written where it stays: `Box::pin` makes it first, and then moves it there, all its room for later included.
    let login = Box::write(Box::new_uninit(), log_in(hall, desk, stream, entry, meter));
    let login = Box::into_pin(login);
    async move {
        let Some(mut guest) = login.await else {
            return;
        };
        let end = guest.relay.run().await;
        if let Some(farewell) = guest.leave(end) {
            farewell.await;
        }
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
    let limit = desk.options().login_timeout;
    let mut newcomer = Newcomer {
        stream: Some(stream),
        known: None,
        meter: Some(meter),
    };
    let door = Door {
        hall: &hall,
        desk: &desk,
        handle: &entry.handle,
    };
    let arrival = {
        // Not moved into the time limit's future: it is large.
        let admit = pin!(door.admit(&mut newcomer, entry.registry()));
        tokio::time::timeout(limit, admit).await
    };
    let arrival = arrival.unwrap_or_else(|_| {
        Err(LoginError::Fault(Fault::new(
            FaultKind::LoginTimeout,
            "login took longer than client_login_timeout",
        )))
    });
    match arrival {
        Ok(Arrival::Session(relay, cancel)) => {
            return Some(introduce(relay, cancel, newcomer, entry));
        }
        Ok(Arrival::Over) => {}
        Err(LoginError::Lost(why)) => {
            debug!(%session, peer = %entry.handle.peer, why, "login ended")
        }
        Err(LoginError::Told(fault)) => {
            note_failure::<E>(&hall, &entry, &newcomer, &fault);
            if let Some(stream) = newcomer.stream.take() {
                stream.close(LAST_WORDS).await;
            }
        }
        Err(LoginError::Fault(fault)) => {
            note_failure::<E>(&hall, &entry, &newcomer, &fault);
            if let Some(stream) = newcomer.stream.take() {
                let known = newcomer.known.as_deref();
                let to = known.map_or(Addressee::Stranger, Addressee::Login);
                let words = last_words::<E>(&fault, to);
                tell(stream, words).await;
            }
        }
    }
    None
}

/// Counts and logs a login that has failed.
fn note_failure<E: Engine>(hall: &Hall<E>, entry: &Entry, newcomer: &Newcomer<E>, fault: &Fault) {
    if let Some(meter) = &newcomer.meter {
        meter.fault(fault.kind);
    }
    let login = newcomer.known.as_deref();
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
    /// Ends a session: what is left to do, where the client is still to be told why. Most leave by themselves, which
    /// costs no future.
    fn leave(self, end: End) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let why = match end {
            End::ClientGone => "client left",
            End::Told(why) => why,
            End::Fault(fault) => return Some(Box::pin(self.dismiss(fault))),
        };
        self.relay.log_end(why);
        None
    }

    /// Tells the client why its session ends, and the log.
    async fn dismiss(self, fault: Fault) {
        let Self {
            relay,
            cancel,
            _entry,
        } = self;
        drop(cancel);
        relay.tally.meter.fault(fault.kind);
        relay.log_end(&fault.message);
        relay.end_with(&fault).await;
    }
}

/// Tells everybody of a client that has logged in.
fn introduce<E: Engine>(
    mut relay: Box<Relay<E>>,
    cancel: CancelGuard<E::CancelKey>,
    newcomer: Newcomer<E>,
    entry: Entry,
) -> Guest<E> {
    let tls = relay.client.stream.is_tls();
    let meter = &mut relay.tally.meter;
    if tls {
        meter.encrypted();
    }
    meter.logged_in();
    if let Some(login) = newcomer.known {
        let handle = &entry.handle;
        handle.identify(identity(&*login, &mut relay.route, tls));
        if relay.route.options.log_connections {
            info!(
                session = %handle.id,
                listener = %relay.hall.listener,
                peer = %handle.peer,
                user = %login.user(),
                database = %login.database(),
                application = login.application(),
                tls,
                "client connected"
            );
        }
    }
    Guest {
        relay,
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

    /// Tells the log that the session has ended.
    fn log_end(&self, why: &str) {
        if self.route.options.log_connections {
            let (session, requests) = (self.handle.id, self.client.front.requests());
            info!(%session, reason = %why, requests, "client disconnected");
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
