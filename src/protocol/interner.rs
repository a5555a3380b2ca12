//! Equal things kept once for all sessions, as long as anybody holds them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use foldhash::fast::RandomState;

/// Values by the bytes that define them.
#[derive(Debug)]
pub struct Interner<T> {
    shelf: Mutex<Shelf<T>>,
}

#[derive(Debug)]
struct Shelf<T> {
    values: HashMap<Bytes, Weak<T>, RandomState>,
    /// Dead entries are looked for when there are so many entries.
    sweep_at: usize,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            shelf: Mutex::new(Shelf {
                values: HashMap::default(),
                sweep_at: FIRST_SWEEP,
            }),
        }
    }
}

impl<T> Interner<T> {
    /// The value that `bytes` define, made by `make` if nobody holds it; `make` gets a copy of the
    /// bytes that may be shared.
    pub fn get(&self, bytes: &[u8], make: impl FnOnce(Bytes) -> T) -> Arc<T> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = shelf.values.get(bytes).and_then(Weak::upgrade) {
            return value;
        }
        if shelf.values.len() >= shelf.sweep_at {
            shelf.values.retain(|_, value| value.strong_count() > 0);
            shelf.sweep_at = (shelf.values.len() * 2).max(FIRST_SWEEP);
        }
        let bytes = Bytes::copy_from_slice(bytes);
        let value = Arc::new(make(bytes.clone()));
        shelf.values.insert(bytes, Arc::downgrade(&value));
        value
    }
}

const FIRST_SWEEP: usize = 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{FIRST_SWEEP, Interner};

    #[test]
    fn equal_bytes_are_one_value() {
        let interner = Interner::default();
        let one = interner.get(b"a", |_| 1);
        assert!(Arc::ptr_eq(
            &one,
            &interner.get(b"a", |_| panic!("made twice"))
        ));
        drop(one);
        assert_eq!(*interner.get(b"a", |_| 2), 2);
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let interner = Interner::default();
        for n in 0..10 * FIRST_SWEEP {
            interner.get(n.to_string().as_bytes(), |bytes| bytes.len());
        }
        assert!(interner.shelf.lock().unwrap().values.len() <= FIRST_SWEEP);
    }
}
