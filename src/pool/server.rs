//! A server connection: stream, protocol state, and what the pool must know to lend it again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use super::metrics::CloseReason;
use super::open::Opened;
use super::slot::Slot;
use crate::net::{Stream, reactor};
use crate::protocol::{Back, Breach, Chore, Engine, Script, ServerError};

/// A server connection. Closed when dropped; dropping it frees its slot.
pub struct ServerConn<E: Engine> {
    /// The byte stream.
    pub stream: Stream,
    /// The protocol's state.
    pub back: E::Back,
    /// Bytes received that the engine has not dealt with. Empty while nobody has borrowed it.
    pub carry: BytesMut,
    /// Edits of one piece of input, in either direction. Here, and not with each client, as there are
    /// fewer connections than clients; reused, so that they allocate once.
    pub script: Script,
    /// Whom it is logged in as: of users that take turns, one.
    pub user: Arc<str>,
    /// When the login was complete.
    pub created: Instant,
    pub(super) terms: Terms,
    // Last: the slot is free once the stream is closed.
    pub(super) slot: Slot<E>,
}

/// What decides whether a connection may be lent again.
#[derive(Debug)]
pub(super) struct Terms {
    /// Age at which it ends.
    pub(super) expires: Option<Instant>,
    /// The target's epoch in which the login began.
    pub(super) epoch: u64,
    /// The store it lives in.
    pub(super) store: u64,
    /// The reactor that reports its socket; see [`reactor`](crate::net::reactor).
    pub(super) reactor: usize,
    /// Last lent or returned.
    pub(super) idle_since: Instant,
    /// How long it had been idle when it was last examined to be lent.
    pub(super) idle_for: Duration,
    /// What the last examination found.
    pub(super) verdict: Result<(), CloseReason>,
}

/// Why a chore failed. The connection is beyond use after all but `Refused`.
#[derive(Debug, thiserror::Error)]
pub enum ChoreError {
    /// The server answered with an error.
    #[error("server refused: {0}")]
    Refused(ServerError),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection broke.
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    /// The answer is no answer.
    #[error(transparent)]
    Breach(#[from] Breach),
    /// It was answered, but has not left the connection clean.
    #[error("connection is not clean afterwards")]
    Unclean,
}

impl<E: Engine> ServerConn<E> {
    pub(super) fn new(opened: Opened<E>, terms: Terms, slot: Slot<E>) -> Self {
        Self {
            stream: opened.stream,
            back: opened.back,
            carry: opened.carry,
            script: Script::default(),
            user: opened.user,
            created: Instant::now(),
            terms,
            slot,
        }
    }

    /// Runs one chore to its end, within `limit`. Not cancel-safe: a connection whose chore was
    /// dropped half-way must be closed.
    pub async fn run(&mut self, chore: Chore<'_>, limit: Duration) -> Result<(), ChoreError> {
        let work = run::<E>(&mut self.stream, &mut self.back, &mut self.carry, chore);
        within(limit, work).await
    }

    /// True if nobody may use it any more, whatever state of a session it holds.
    pub fn is_expelled(&self) -> bool {
        self.terms.epoch < self.slot.target().expelled()
    }

    /// How long nobody has used it.
    pub fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.terms.idle_since)
    }

    /// Looks without waiting whether the connection may be lent: alive, clean, neither too old
    /// nor out of date. Notices that came in the meantime are dealt with.
    pub(super) fn examine(&mut self, now: Instant) -> Result<(), CloseReason> {
        if !self.back.progress().is_idle() || self.back.is_dirty() {
            return Err(CloseReason::Unclean);
        }
        self.outdated(now)?;
        // Another thread's event loop may be anywhere in its round.
        let elsewhere = self.terms.reactor != reactor::here();
        let quiet = if elsewhere || self.idle_for(now) >= PEEK_AFTER {
            !self.stream.readable_now()
        } else {
            !self.stream.readable_by_reactor()
        };
        if quiet {
            return Ok(());
        }
        self.take_news()?;
        // What the event loop does not know of yet cannot be read now, and TLS may keep the rest
        // of a record to itself: doubt means closing.
        if self.stream.readable_now() {
            return Err(CloseReason::ServerClosed);
        }
        Ok(())
    }

    /// Whether its time is over.
    pub(super) fn outdated(&self, now: Instant) -> Result<(), CloseReason> {
        if self.terms.epoch != self.slot.target().epoch() {
            return Err(CloseReason::Retired);
        }
        if self.terms.expires.is_some_and(|end| end <= now) {
            return Err(CloseReason::Lifetime);
        }
        Ok(())
    }

    /// Reads what has come unasked for.
    fn take_news(&mut self) -> Result<(), CloseReason> {
        let mut context = Context::from_waker(Waker::noop());
        let mut piece = [0; 512];
        loop {
            let mut read = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.stream).poll_read(&mut context, &mut read) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    self.carry.extend_from_slice(read.filled());
                }
                Poll::Ready(_) => return Err(CloseReason::ServerClosed),
            }
            absorb::<E>(&mut self.back, &mut self.carry).map_err(|_| CloseReason::Breach)?;
            if !self.back.progress().is_idle() {
                return Err(CloseReason::ServerClosed);
            }
        }
        if self.carry.is_empty() {
            return Ok(());
        }
        Err(CloseReason::Breach)
    }
}

impl<E: Engine> Drop for ServerConn<E> {
    /// Takes leave of the server, where it waits for a request: a server that finds its client
    /// gone notes that as an error. What the socket does not take at once stays unsaid.
    fn drop(&mut self) {
        let progress = self.back.progress();
        if progress.settled && !progress.closing && self.carry.is_empty() {
            let mut words = Vec::new();
            self.back.farewell(&mut words);
            self.stream.leave(&words);
        }
    }
}

/// Sends a chore's request and reads until it is answered.
pub(super) async fn run<E: Engine>(
    stream: &mut Stream,
    back: &mut E::Back,
    carry: &mut BytesMut,
    chore: Chore<'_>,
) -> Result<(), ChoreError> {
    let mut request = Vec::new();
    back.request(chore, &mut request);
    stream.write_all(&request).await?;
    stream.flush().await?;
    loop {
        absorb::<E>(back, carry)?;
        if back.progress().settled {
            break;
        }
        if carry.len() > LONGEST_MESSAGE {
            return Err(Breach("an answer to the proxy's own request is too long").into());
        }
        if stream.read_buf(carry).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    match back.chore_error() {
        Some(error) => Err(ChoreError::Refused(error.clone())),
        None => Ok(()),
    }
}

/// Bounds a chore in time.
pub(super) async fn within(
    limit: Duration,
    work: impl Future<Output = Result<(), ChoreError>>,
) -> Result<(), ChoreError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(ChoreError::TimedOut(limit)),
    }
}

fn absorb<E: Engine>(back: &mut E::Back, carry: &mut BytesMut) -> Result<(), Breach> {
    while !carry.is_empty() {
        let taken = back.absorb(carry)?;
        if taken == 0 {
            break;
        }
        carry.advance(taken.min(carry.len()));
    }
    Ok(())
}

/// Idle for longer than this, a connection is looked at in the kernel before it is lent: one
/// system call is little beside such a pause, and the event loop may not have come round.
const PEEK_AFTER: Duration = Duration::from_millis(100);
/// Nothing that answers a chore comes near this many bytes: the longest is what a catalogue says.
const LONGEST_MESSAGE: usize = 9 * 1024 * 1024;
