//! Watching a relayed stream: what of it passes, what is left out, what is put in.

use std::ops::Range;

use smallvec::SmallVec;

/// The edit list for one piece of input. Ranges that are not passed are left out.
///
/// Built by an engine while it reads headers, carried out by `session::relay`, which writes the
/// passed ranges straight from the read buffer. Reused from piece to piece, so that the common
/// case allocates nothing.
#[derive(Debug, Default)]
pub struct Script {
    ops: SmallVec<[Op; 8]>,
    inserted: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Op {
    Pass(Range<usize>),
    Insert(Range<usize>),
}

impl Script {
    /// Forgets everything, keeping the memory unless an insertion was unusually large.
    pub fn clear(&mut self) {
        self.ops.clear();
        self.inserted.clear();
        if self.inserted.capacity() > KEEP_INSERTED {
            self.inserted = Vec::new();
        }
    }

    /// Passes `range` of the input on unchanged. Ranges must ascend and not overlap.
    pub fn pass(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if let Some(Op::Pass(last)) = self.ops.last_mut()
            && last.end == range.start
        {
            last.end = range.end;
            return;
        }
        self.ops.push(Op::Pass(range));
    }

    /// Puts bytes in at this point. The closure appends to the buffer it is given.
    pub fn insert_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let start = self.inserted.len();
        let result = write(&mut self.inserted);
        let end = self.inserted.len();
        if end > start {
            if let Some(Op::Insert(last)) = self.ops.last_mut() {
                last.end = end;
            } else {
                self.ops.push(Op::Insert(start..end));
            }
        }
        result
    }

    /// Puts bytes in at this point.
    pub fn insert(&mut self, bytes: &[u8]) {
        self.insert_with(|buffer| buffer.extend_from_slice(bytes));
    }

    /// True if nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The pieces to write, in order. A range outside `input` yields an empty piece.
    pub fn pieces<'a>(&'a self, input: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.ops.iter().map(move |op| self.piece(op, input))
    }

    /// The piece to write, where it is just one.
    pub fn only_piece<'a>(&'a self, input: &'a [u8]) -> Option<&'a [u8]> {
        match &*self.ops {
            [op] => Some(self.piece(op, input)),
            _ => None,
        }
    }

    fn piece<'a>(&'a self, op: &Op, input: &'a [u8]) -> &'a [u8] {
        let piece = match op {
            Op::Pass(range) => input.get(range.clone()),
            Op::Insert(range) => self.inserted.get(range.clone()),
        };
        piece.unwrap_or_default()
    }

    /// How many bytes the pieces hold together.
    pub fn output_len(&self) -> usize {
        self.ops
            .iter()
            .map(|op| match op {
                Op::Pass(range) | Op::Insert(range) => range.len(),
            })
            .sum()
    }
}

/// An insertion buffer above this many bytes is given back to the allocator.
const KEEP_INSERTED: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::Script;

    #[test]
    fn adjacent_passes_become_one_piece() {
        let mut script = Script::default();
        script.pass(0..2);
        script.pass(2..4);
        script.insert(b"XY");
        script.pass(5..6);
        let pieces: Vec<_> = script.pieces(b"abcdef").collect();
        assert_eq!(pieces, [&b"abcd"[..], b"XY", b"f"]);
        assert_eq!(script.output_len(), 7);
        assert_eq!(script.only_piece(b"abcdef"), None);
        script.clear();
        assert_eq!(script.only_piece(b"abcdef"), None);
        script.pass(1..3);
        assert_eq!(script.only_piece(b"abcdef"), Some(&b"bc"[..]));
    }
}
