//! A setting that is replaced while in use.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// A value built from files that may be built anew. Who holds the old one keeps it.
#[derive(Debug)]
pub struct Reloadable<T>(ArcSwap<T>);

impl<T> Reloadable<T> {
    /// Starts with `value`.
    pub fn new(value: T) -> Self {
        Self(ArcSwap::from_pointee(value))
    }

    /// The value for work that begins now.
    pub fn current(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Puts a new value in place.
    pub fn replace(&self, value: T) {
        self.0.store(Arc::new(value));
    }

    /// Builds the value anew and puts it in place.
    ///
    /// # Errors
    /// What `build` returns; the old value then stays.
    pub fn reload<E>(&self, build: impl FnOnce() -> Result<T, E>) -> Result<(), E> {
        self.replace(build()?);
        Ok(())
    }
}
