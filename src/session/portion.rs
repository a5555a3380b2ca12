//! What a borrowed replica gets of its client's requests: one unit at a time, and of a read no more than that
//! read. Its answer is held back until it is clear that the replica gives one, so that the primary can give it
//! otherwise.

use crate::model::Progress;
use crate::protocol::{Engine, Front, Refusal};

/// The state of one borrow of a replica's connection.
#[derive(Debug)]
pub(super) struct Portion {
    /// Bytes of the unit at hand that have not been passed on.
    left: usize,
    /// Behind the unit at hand the connection will be at rest.
    rests: bool,
    /// What has been passed on of the first unit, should it have to be passed on again.
    sent: Vec<u8>,
    /// What the client is to be told once that is certain.
    held: Vec<u8>,
    /// Nothing has been told so far.
    holds: bool,
    refusal: Option<Refusal>,
}

impl Portion {
    /// A read of so many bytes, which stand at the front of the client's input.
    pub(super) fn of(len: usize) -> Self {
        Self {
            left: len,
            rests: true,
            sent: Vec::new(),
            held: Vec::new(),
            holds: len <= MOST_KEPT,
            refusal: None,
        }
    }

    /// How much of `input` may be passed on now.
    pub(super) fn allowed<E: Engine>(
        &mut self,
        front: &E::Front,
        input: &[u8],
        progress: Progress,
    ) -> usize {
        if self.left == 0 {
            // Another unit may follow only while the session has to stay here; what it is does not matter then.
            let stays = !progress.is_idle() || !front.pins().is_empty();
            if self.holds || !stays || self.rests && !progress.settled {
                return 0;
            }
            let Some(unit) = E::unit(front, input) else {
                return 0;
            };
            (self.left, self.rests) = (unit.len, unit.rests);
        }
        self.left.min(input.len())
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

    /// The replica has refused, or not.
    pub(super) fn note(&mut self, refusal: Option<Refusal>) {
        self.refusal = self.refusal.or(refusal);
    }

    /// Why the primary is to have it, now that the connection is at rest.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal.filter(|_| self.holds)
    }

    /// What the client is to be told now, if it is clear that the replica answers. `settled`: it has done so.
    pub(super) fn release(&mut self, settled: bool) -> Option<Vec<u8>> {
        let clear = settled || self.refusal.is_none() && self.held.len() > MOST_HELD;
        if !self.holds || !clear {
            return None;
        }
        self.holds = false;
        self.sent = Vec::new();
        Some(std::mem::take(&mut self.held))
    }

    /// What has to be passed on again, if it may be: nothing that was said of it has been told.
    pub(super) fn take_sent(&mut self) -> Option<Vec<u8>> {
        self.holds.then(|| std::mem::take(&mut self.sent))
    }
}

/// A longer request is not passed on again: its answer is told as it comes.
const MOST_KEPT: usize = 64 * 1024;

/// Servers hold back more of an answer than this themselves (PostgreSQL 8 KB, MySQL 16 KB), so that nothing is
/// delayed.
const MOST_HELD: usize = 4 * 1024;
