//! What a borrowed replica gets of its client's requests: one unit at a time, and of a read no more than that
//! read. Its answer is held back until it is clear that the replica gives one, so that the primary can give it
//! otherwise.

use bytes::BytesMut;

use crate::model::Progress;
use crate::net::scratch::{give_spare, take_spare};
use crate::protocol::{Engine, Front, Refusal, Script};

/// The state of one borrow of a replica's connection.
#[derive(Debug)]
pub(super) struct Portion {
    /// Bytes of the unit at hand that have not been passed on.
    left: usize,
    /// Behind the unit at hand the connection will be at rest.
    rests: bool,
    /// What has been passed on of the first unit, should it have to be passed on again.
    sent: BytesMut,
    /// What the client is to be told once that is certain.
    held: BytesMut,
    /// Nothing has been told so far.
    holds: bool,
    refusal: Option<Refusal>,
    /// So much of the next unit has been looked at, and more must come.
    looked_at: usize,
}

/// What a replica's connection may get now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// So many bytes.
    Bytes(usize),
    /// The session keeps state there: its next unit has to be looked at first.
    Unseen,
}

impl Portion {
    /// A read of so many bytes, which stand at the front of the client's input.
    pub(super) fn of(len: usize) -> Self {
        Self {
            left: len,
            rests: true,
            sent: take_spare(0),
            held: take_spare(USUAL_ANSWER),
            holds: len <= MOST_KEPT,
            refusal: None,
            looked_at: 0,
        }
    }

    /// How much of `input` may be passed on now.
    pub(super) fn allowed<E: Engine>(
        &mut self,
        front: &E::Front,
        input: &[u8],
        progress: Progress,
    ) -> Allowed {
        if self.left == 0 {
            if self.holds || self.rests && !progress.settled {
                return Allowed::Bytes(0);
            }
            // Another unit may follow only while the session has to stay here. In a transaction it does not matter
            // what it is.
            if progress.is_idle() {
                let waits = front.pins().is_empty() || input.len() <= self.looked_at;
                return if waits {
                    Allowed::Bytes(0)
                } else {
                    Allowed::Unseen
                };
            }
            let Some(unit) = E::unit(front, input) else {
                return Allowed::Bytes(0);
            };
            (self.left, self.rests) = (unit.len, unit.rests);
        }
        Allowed::Bytes(self.left.min(input.len()))
    }

    /// The next unit may be passed on: it has so many bytes.
    pub(super) const fn admit(&mut self, len: usize) {
        (self.left, self.rests, self.looked_at) = (len, true, 0);
    }

    /// More of the next unit must come than these bytes.
    pub(super) const fn wait(&mut self, seen: usize) {
        self.looked_at = seen;
    }

    /// This has been passed on.
    pub(super) fn passed(&mut self, bytes: &[u8]) {
        self.left = self.left.saturating_sub(bytes.len());
        if self.holds {
            self.sent.extend_from_slice(bytes);
        }
    }

    /// True while the answer is held back.
    pub(super) const fn holds(&self) -> bool {
        self.holds
    }

    /// Something that the client is to be told, if all goes well.
    pub(super) fn hold(&mut self, piece: &[u8]) {
        self.held.extend_from_slice(piece);
    }

    /// The same for the pieces of a script over `input`.
    pub(super) fn hold_pieces(&mut self, script: &Script, input: &[u8]) {
        self.held.reserve(script.output_len());
        for piece in script.pieces(input) {
            self.hold(piece);
        }
    }

    /// The replica has refused, or not.
    pub(super) fn note(&mut self, refusal: Option<Refusal>) {
        self.refusal = self.refusal.or(refusal);
    }

    /// Why the primary is to have it, now that the connection is at rest.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal.filter(|_| self.holds)
    }

    /// What the client is to be told now, if it is clear that the replica answers. `settled`: it has done so.
    pub(super) fn release(&mut self, settled: bool) -> Option<BytesMut> {
        let clear = settled || self.refusal.is_none() && self.held.len() > MOST_HELD;
        if !self.holds || !clear {
            return None;
        }
        self.holds = false;
        give_spare(std::mem::take(&mut self.sent));
        Some(std::mem::take(&mut self.held))
    }

    /// What has to be passed on again, if it may be: nothing that was said of it has been told.
    pub(super) fn take_sent(&mut self) -> Option<BytesMut> {
        self.holds.then(|| std::mem::take(&mut self.sent))
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        give_spare(std::mem::take(&mut self.sent));
        give_spare(std::mem::take(&mut self.held));
    }
}

/// A longer request is not passed on again: its answer is told as it comes.
const MOST_KEPT: usize = 64 * 1024;
/// What most answers fit into.
const USUAL_ANSWER: usize = 1024;

/// Servers hold back more of an answer than this themselves (PostgreSQL 8 KB, MySQL 16 KB), so that nothing is
/// delayed.
const MOST_HELD: usize = 4 * 1024;
