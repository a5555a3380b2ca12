//! Which of the process's reactors this thread runs.
//!
//! Each thread that serves clients has a runtime of its own, and so a reactor (tokio's event loop on
//! epoll). A socket that becomes ready is reported by the reactor it is registered with, and costs
//! least where the task that waits for it runs on the same thread. So whoever keeps sockets for
//! later use keeps them by reactor, and moves one ([`Stream::move_here`](super::Stream::move_here))
//! only where another thread has to have it.

use std::cell::Cell;

thread_local! {
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// Number of the reactor that this thread runs; 0 for threads that have not said.
pub fn here() -> usize {
    HERE.get()
}

/// Where, among `count` things for one reactor each, that of `reactor` stands; the first's for reactors
/// that have none.
pub fn place(reactor: usize, count: usize) -> usize {
    if reactor < count { reactor } else { 0 }
}

/// This thread runs reactor `number` from now on.
pub fn run_here(number: usize) {
    HERE.set(number);
}
