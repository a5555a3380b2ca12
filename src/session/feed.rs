//! The connections over which clients are told what servers send unasked: one for each database
//! that somebody follows, beside the pools.
//!
//! It logs in as a user who follows something, since that needs no right beyond the login. It is
//! opened for the first who follows and closed some time after the last; if it is lost, it is
//! opened again, and those who follow are told that they may have missed something.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use aws_lc_rs::rand;
use bytes::{Buf, BytesMut};
use foldhash::fast::RandomState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::destination::Access;
use super::metrics::FeedMetrics;
use super::recent::Recent;
use crate::net::Stream;
use crate::pool::{OpenError, Opened, Pool};
use crate::protocol::{Engine, Feed};

/// Group and database.
type FeedKey = (Arc<str>, Arc<str>);

/// Those of one user that may be alive, the newest last.
type Accesses<E> = Vec<Weak<Access<E>>>;

/// What the last session of a user and database has held.
type Held<E> = (Arc<Access<E>>, Arc<Channel<E>>);

/// The feeds of one engine.
pub struct Feeds<E: Engine> {
    channels: Mutex<HashMap<FeedKey, Weak<Channel<E>>, RandomState>>,
    recent: Recent<Held<E>>,
    metrics: Arc<FeedMetrics>,
}

/// One database's feed, and who may open a connection for it. Ends soon after its last session.
pub struct Channel<E: Engine> {
    /// What is followed.
    pub feed: Arc<E::Feed>,
    /// By user; several where they came by several listeners, or configurations.
    accesses: Mutex<HashMap<Arc<str>, Accesses<E>, RandomState>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl<E: Engine> Feeds<E> {
    /// None yet.
    pub fn new(metrics: Arc<FeedMetrics>) -> Self {
        Self {
            channels: Mutex::default(),
            recent: Recent::default(),
            metrics,
        }
    }

    /// The feed of the database that `access` is for, which is that of its primary; from now on a
    /// connection may be opened as the access's user. To be called inside the runtime.
    pub fn channel(&self, access: &Arc<Access<E>>) -> Arc<Channel<E>> {
        let key = access.key();
        let place = (Arc::clone(&key.group), Arc::clone(&key.database));
        let mut channels = lock(&self.channels);
        let known = channels.get(&place).and_then(Weak::upgrade);
        let channel = known.unwrap_or_else(|| {
            channels.retain(|_, channel| channel.strong_count() > 0);
            let channel = self.start();
            channels.insert(place, Arc::downgrade(&channel));
            channel
        });
        drop(channels);
        let mut accesses = lock(&channel.accesses);
        let known = accesses.entry(Arc::clone(&key.user)).or_default();
        if known
            .iter()
            .all(|known| known.as_ptr() != Arc::as_ptr(access))
        {
            known.retain(|known| known.strong_count() > 0);
            known.push(Arc::downgrade(access));
            self.recent.keep((Arc::clone(access), Arc::clone(&channel)));
        }
        drop(accesses);
        channel
    }

    /// Lets go of accesses and feeds that no session holds any more. To be called each second or so: they are kept
    /// that much longer, for clients that come one after the other.
    pub fn let_go(&self) {
        self.recent.let_go();
    }

    fn start(&self) -> Arc<Channel<E>> {
        let channel: Arc<Channel<E>> = Arc::new(Channel {
            feed: Arc::new(E::feed(random())),
            accesses: Mutex::default(),
            task: Mutex::new(None),
        });
        let line: Line<E> = Line {
            feed: Arc::clone(&channel.feed),
            channel: Arc::downgrade(&channel),
            metrics: Arc::clone(&self.metrics),
        };
        *lock(&channel.task) = Some(tokio::spawn(line.run()));
        channel
    }
}

impl<E: Engine> Channel<E> {
    /// The newest access of this user that is alive.
    fn access(&self, user: &str) -> Option<Arc<Access<E>>> {
        let accesses = lock(&self.accesses);
        accesses.get(user)?.iter().rev().find_map(Weak::upgrade)
    }
}

impl<E: Engine> Drop for Channel<E> {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

/// The task that runs the connection of a feed.
struct Line<E: Engine> {
    feed: Arc<E::Feed>,
    channel: Weak<Channel<E>>,
    metrics: Arc<FeedMetrics>,
}

impl<E: Engine> Line<E> {
    async fn run(self) {
        let mut failures = 0;
        loop {
            let Some(pool) = self.wanted(failures).await else {
                return;
            };
            match pool.open_apart().await {
                Ok(mut opened) => {
                    failures = 0;
                    self.metrics.open.inc();
                    tracing::info!(pool = %pool.key(), "connection for notifications opened");
                    self.feed.opened();
                    let end = self.converse(&mut opened, &pool).await;
                    self.metrics.open.dec();
                    self.feed.lost();
                    match end {
                        Ok(()) => {
                            tracing::info!(pool = %pool.key(), "connection for notifications closed");
                        }
                        Err(why) => {
                            self.metrics.lost.inc();
                            tracing::warn!(
                                pool = %pool.key(),
                                why,
                                "connection for notifications lost; some may have been missed"
                            );
                        }
                    }
                }
                Err(error) => {
                    failures += 1;
                    warn_now_and_then(&pool, &error, failures);
                    sleep(pause(failures)).await;
                }
            }
        }
    }

    /// Waits until somebody follows; the pool whose user the connection is to be opened as.
    async fn wanted(&self, turn: usize) -> Option<Arc<Pool<E>>> {
        loop {
            let user = poll_fn(|cx| {
                self.feed.listen(cx.waker());
                self.feed.follower(turn).map_or(Poll::Pending, Poll::Ready)
            })
            .await;
            let channel = self.channel.upgrade()?;
            let access = channel.access(&user);
            if let Some(way) = access.and_then(|access| access.primary()) {
                return Some(Arc::clone(&way.pool));
            }
            drop(channel);
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Serves the feed until nobody follows any more; an error is why the connection is lost.
    async fn converse(&self, opened: &mut Opened<E>, pool: &Arc<Pool<E>>) -> Result<(), String> {
        let Opened { stream, carry, .. } = opened;
        let epoch = pool.epoch();
        let mut ticks = interval(LOOK_AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut alone_since = None;
        loop {
            self.hear(carry)?;
            let request = tokio::select! {
                read = stream.read_buf(carry) => match read {
                    Ok(0) => return Err("the server closed it".into()),
                    Ok(_) => continue,
                    Err(error) => return Err(error.to_string()),
                },
                request = self.request() => request,
                _ = ticks.tick() => {
                    if pool.epoch() != epoch {
                        return Err("the primary, its address or credentials have changed".into());
                    }
                    if self.feed.follower(0).is_some() {
                        alone_since = None;
                    } else if alone_since.get_or_insert_with(Instant::now).elapsed() > LINGER {
                        return Ok(());
                    }
                    continue;
                }
            };
            send(stream, &request).await?;
        }
    }

    /// Waits for a request that is due. Cancel-safe: it is written at once or not at all.
    async fn request(&self) -> Vec<u8> {
        poll_fn(|cx| {
            self.feed.listen(cx.waker());
            let mut request = Vec::new();
            self.feed.speak(&mut request);
            if request.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(request)
            }
        })
        .await
    }

    fn hear(&self, carry: &mut BytesMut) -> Result<(), String> {
        if carry.is_empty() {
            return Ok(());
        }
        let dealt = self.feed.hear(carry).map_err(|breach| breach.to_string())?;
        carry.advance(dealt.min(carry.len()));
        self.metrics.delivered.add(self.feed.delivered());
        Ok(())
    }
}

async fn send(stream: &mut Stream, request: &[u8]) -> Result<(), String> {
    let sent = async {
        stream.write_all(request).await?;
        stream.flush().await
    };
    sent.await
        .map_err(|error: std::io::Error| error.to_string())
}

/// The first failure of a row, and then fewer and fewer.
fn warn_now_and_then<E: Engine>(pool: &Pool<E>, error: &OpenError, failures: usize) {
    if failures.is_power_of_two() {
        tracing::warn!(
            pool = %pool.key(),
            %error,
            failures,
            "connection for notifications could not be opened; who listens keeps a connection"
        );
    }
}

fn pause(failures: usize) -> Duration {
    let doublings = u32::try_from(failures).unwrap_or(u32::MAX).min(5);
    FIRST_PAUSE * 2_u32.pow(doublings)
}

/// A number that no other process has, as good as certainly. Without randomness nobody could have
/// logged in.
fn random() -> u64 {
    let mut bytes = [0; 8];
    let _ = rand::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// After a failure; doubled with each, up to 3.2 s.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Between looks at whether the connection is still wanted, and right.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Nobody having followed anything for this long, the connection is closed.
const LINGER: Duration = Duration::from_secs(30);
