//! Buffers lent per thread, so that a connection that waits holds none.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;

/// Length of the scratch buffer in bytes.
pub const SCRATCH_LEN: usize = 64 * 1024;
/// Buffers kept per thread.
const KEPT: usize = 32;
/// Largest buffer kept, in bytes: one large result must not stay in memory for ever.
const KEPT_CAPACITY: usize = 64 * 1024;

/// Least room of a new one, in bytes. Thousands may hold one while they wait for a connection: close together, the
/// processor finds them sooner.
const LEAST_CAPACITY: usize = 128;

thread_local! {
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Lends this thread's buffer of [`SCRATCH_LEN`] bytes, with whatever it holds from before, to
/// `work`. Inside `work`, a second call gets another buffer, made for it.
pub fn with_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = SCRATCH
        .take()
        .unwrap_or_else(|| vec![0; SCRATCH_LEN].into_boxed_slice());
    let result = work(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

/// An empty buffer for bytes that wait a moment: one left from an earlier use if there is any, else a new one for
/// `len` bytes.
pub fn take_spare(len: usize) -> BytesMut {
    let spare = SPARE.with_borrow_mut(Vec::pop);
    spare.unwrap_or_else(|| BytesMut::with_capacity(len.max(LEAST_CAPACITY)))
}

/// Gives a buffer back for reuse on this thread; its contents are dropped. Buffers beyond 64 KB,
/// and too many of them, are freed.
pub fn give_spare(mut buffer: BytesMut) {
    buffer.clear();
    if buffer.capacity() == 0 || buffer.capacity() > KEPT_CAPACITY {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < KEPT {
            spare.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{
        KEPT, KEPT_CAPACITY, LEAST_CAPACITY, SCRATCH_LEN, give_spare, take_spare, with_scratch,
    };

    #[test]
    fn nested_loans_do_not_share_bytes() {
        with_scratch(|outer| {
            outer.fill(1);
            with_scratch(|inner| inner.fill(2));
            assert!(outer.iter().all(|byte| *byte == 1));
            assert_eq!(outer.len(), SCRATCH_LEN);
        });
    }

    #[test]
    fn the_same_buffer_is_lent_again() {
        let first = with_scratch(|buf| buf.as_ptr().addr());
        let second = with_scratch(|buf| buf.as_ptr().addr());
        assert_eq!(first, second);
    }

    #[test]
    fn a_spare_comes_back_empty_and_with_its_capacity() {
        let mut buffer = BytesMut::with_capacity(1000);
        buffer.extend_from_slice(b"secret");
        give_spare(buffer);
        let again = take_spare(0);
        assert!(again.is_empty());
        assert!(again.capacity() >= 1000);
        assert_eq!(take_spare(0).capacity(), LEAST_CAPACITY);
    }

    #[test]
    fn large_and_surplus_spares_are_freed() {
        give_spare(BytesMut::with_capacity(KEPT_CAPACITY + 1));
        assert_eq!(take_spare(0).capacity(), LEAST_CAPACITY);
        for _ in 0..KEPT + 5 {
            give_spare(BytesMut::with_capacity(10));
        }
        let kept = std::iter::repeat_with(|| take_spare(0))
            .take_while(|b| b.capacity() != LEAST_CAPACITY)
            .count();
        assert_eq!(kept, KEPT);
    }
}
