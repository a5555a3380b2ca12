//! A batch that is sent a second time, unseen by the client.
//!
//! After a change of tables, a server refuses a statement that was prepared before it if its result
//! would have other columns. Where the client is about to be told the columns anyway, or never has
//! been, no transaction is open, and nothing of the batch has been done or shown, the statement is
//! prepared anew and the client's messages are read once more.

use super::back::PgBack;
use super::front::PgFront;
use super::request;
use crate::model::TxStatus;
use crate::protocol::Script;

/// The client's messages since the first one that names a statement.
#[derive(Debug, Default)]
pub struct Again {
    stage: Stage,
    bytes: Vec<u8>,
    /// It has been sent a second time, and is not answered yet.
    tried: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The batch has done nothing so far.
    #[default]
    Ready,
    /// It is being written down.
    On,
    /// It cannot be sent a second time.
    Off,
    /// It has been sent, Sync included.
    Sent,
    /// It is to be sent again once the server is ready.
    Due,
}

impl Again {
    /// The message at hand names a statement that the server may refuse.
    pub fn begin(&mut self) {
        if matches!(self.stage, Stage::Ready | Stage::Sent) {
            self.bytes.clear();
            self.stage = Stage::On;
        }
    }

    /// A message has been dealt with; `whole` if all of it is in `bytes`.
    pub fn note(&mut self, kind: u8, bytes: &[u8], whole: bool) {
        if self.stage == Stage::On {
            if !whole || self.bytes.len() + bytes.len() > LIMIT {
                self.stage = Stage::Off;
            } else {
                self.bytes.extend_from_slice(bytes);
            }
        }
        self.stage = match (kind, self.stage) {
            (b'S', Stage::On) => Stage::Sent,
            (b'S' | b'Q', _) => Stage::Ready,
            // Something runs that cannot be taken back unseen.
            (b'B' | b'E' | b'F', Stage::Ready | Stage::Sent) => Stage::Off,
            (_, Stage::Sent) => Stage::Ready,
            (_, stage) => stage,
        };
    }

    /// Something has been shown.
    pub fn shown(&mut self) {
        match self.stage {
            Stage::On => self.stage = Stage::Off,
            Stage::Sent => self.stage = Stage::Ready,
            _ => {}
        }
    }

    /// Everything is answered.
    pub fn settle(&mut self) {
        self.tried = false;
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
    }

    /// The batch has been refused as a whole; true if it will be sent again.
    pub fn ask(&mut self) -> bool {
        let may = self.stage == Stage::Sent && !std::mem::replace(&mut self.tried, true);
        if may {
            self.stage = Stage::Due;
        }
        may
    }

    /// True if it is to be sent again.
    pub fn is_due(&self) -> bool {
        self.stage == Stage::Due
    }
}

/// Sends the batch again, if it is to be.
pub fn send(front: &mut PgFront, back: &mut PgBack, out: &mut Vec<u8>) {
    if !back.again.is_due() || !back.debts.is_empty() || back.tx != TxStatus::Idle {
        return;
    }
    back.again.stage = Stage::Ready;
    let bytes = std::mem::take(&mut back.again.bytes);
    let (mut script, mut replies) = (Script::default(), Vec::new());
    // That was said of other bytes.
    front.foreseen = 0;
    // It has been read before. Its first message has an answer of the server's, behind which any
    // of ours wait: `replies` stays empty.
    if request::read(front, back, &bytes, &mut script, &mut replies).is_ok() {
        for piece in script.pieces(&bytes) {
            out.extend_from_slice(piece);
        }
    }
}

/// The longest batch in bytes that may be sent again.
const LIMIT: usize = 16 * 1024;

/// A buffer above this many bytes is given back when it is not needed.
const KEEP: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::Again;

    fn batch(again: &mut Again) {
        again.begin();
        for kind in [b'B', b'D', b'E', b'S'] {
            again.note(kind, &[kind], true);
        }
    }

    #[test]
    fn a_batch_is_sent_again_once() {
        let mut again = Again::default();
        batch(&mut again);
        assert_eq!(again.bytes, b"BDES");
        assert!(again.ask() && again.is_due());
        again.stage = super::Stage::Ready;
        batch(&mut again);
        assert!(!again.ask());
        again.settle();
        assert!(again.ask());
    }

    #[test]
    fn what_has_been_done_or_shown_is_not_repeated() {
        let mut again = Again::default();
        batch(&mut again);
        again.shown();
        assert!(!again.ask());
        // Something ran before in the batch.
        again.note(b'B', b"B", true);
        again.begin();
        again.note(b'B', b"B", true);
        again.note(b'S', b"S", true);
        assert!(!again.ask());
        // Something was sent behind it.
        batch(&mut again);
        again.note(b'P', b"P", true);
        assert!(!again.ask());
        // It is too long.
        again.note(b'S', b"S", true);
        again.begin();
        again.note(b'B', &[0; 20_000], true);
        again.note(b'S', b"S", true);
        assert!(!again.ask());
    }
}
