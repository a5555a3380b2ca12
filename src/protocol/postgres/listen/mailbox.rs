//! Notifications on their way to one client, from the shared connection's task to the session's.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;

use crate::model::{Fault, FaultKind};

/// What waits for one client.
#[derive(Debug)]
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
    /// Wakes the session.
    bell: Waker,
}

#[derive(Debug, Default)]
struct Inner {
    messages: VecDeque<Letter>,
    bytes: usize,
    /// More came than is kept.
    overflown: bool,
    /// The channels asked for last are listened to on the shared connection.
    ready: bool,
}

#[derive(Debug)]
struct Letter {
    /// Empty for what is not about a channel.
    channel: Bytes,
    wire: Bytes,
}

impl Mailbox {
    pub(super) fn new(bell: Waker) -> Self {
        Self {
            inner: Mutex::default(),
            bell,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No invariant spans a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message. One that no longer fits is lost, and the session will end for it.
    pub(super) fn put(&self, channel: Bytes, wire: Bytes) {
        let mut inner = self.lock();
        if inner.bytes + wire.len() > MOST_BYTES {
            inner.overflown = true;
        } else {
            inner.bytes += wire.len() + LETTER_BYTES;
            inner.messages.push_back(Letter { channel, wire });
        }
        drop(inner);
        self.bell.wake_by_ref();
    }

    /// Takes everything out.
    pub(super) fn take(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut inner = self.lock();
        for letter in inner.messages.drain(..) {
            out.extend_from_slice(&letter.wire);
        }
        inner.bytes = 0;
        if inner.messages.capacity() > KEEP_MESSAGES {
            inner.messages = VecDeque::new();
        }
        if inner.overflown {
            return Err(Fault::new(
                FaultKind::Overloaded,
                "terminating connection because too many notifications wait for it",
            ));
        }
        Ok(())
    }

    /// True if there is something to take.
    pub(super) fn is_full(&self) -> bool {
        let inner = self.lock();
        inner.overflown || !inner.messages.is_empty()
    }

    /// Drops what is about channels that are no longer listened to.
    pub(super) fn purge(&self, gone: impl Fn(&[u8]) -> bool) {
        let mut inner = self.lock();
        let mut freed = 0;
        inner.messages.retain(|letter| {
            let drop = !letter.channel.is_empty() && gone(&letter.channel);
            if drop {
                freed += letter.wire.len() + LETTER_BYTES;
            }
            !drop
        });
        inner.bytes = inner.bytes.saturating_sub(freed);
    }

    /// Notes whether the channels asked for are listened to; wakes the session if so.
    pub(super) fn set_ready(&self, ready: bool) {
        self.lock().ready = ready;
        if ready {
            self.bell.wake_by_ref();
        }
    }

    /// True if the channels asked for are listened to.
    pub(super) fn is_ready(&self) -> bool {
        self.lock().ready
    }
}

/// Most bytes that wait for one client. One that lets more pile up, in a transaction or because it
/// does not read, is disconnected: it must not believe that it has seen everything.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// What keeping a message costs besides its bytes.
const LETTER_BYTES: usize = size_of::<Letter>();

/// A longer queue is given back when it is empty.
const KEEP_MESSAGES: usize = 64;
