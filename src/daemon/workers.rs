//! The threads that serve clients: each with a runtime, and so a reactor, of its own.
//!
//! The main thread is one of them; it also accepts, and runs what the process does besides. A client
//! stays with the thread that it was given to.
//!
//! # Why not one runtime that shares its work
//! There a task wakes wherever a thread is free, and finds its memory in another core's cache. Apart,
//! threads meet in the pools alone (see [`pool`](crate::pool)), each with a store and a line of waiters of its
//! own; README tells what that costs. And one acceptor instead of a listening socket for each thread
//! (`SO_REUSEPORT`), because the kernel deals clients out by a hash, whatever each thread has already: a
//! few long-lived clients end on one thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::net::{Stream, reactor};

/// Runs `main` on the calling thread and clients on `threads` threads, this one among them, until
/// `main` is done. What still runs then has `patience` to end.
///
/// # Errors
/// If the system gives no threads or no reactor.
pub(super) fn run<T, F: Future<Output = T>>(
    threads: usize,
    patience: Duration,
    main: impl FnOnce(Arc<Workers>) -> F,
) -> io::Result<T> {
    let runtime = runtime()?;
    let stop = CancellationToken::new();
    let mut workers = vec![Worker::new(runtime.handle())];
    let mut running = Vec::new();
    for number in 1..threads {
        let (worker, thread) = start(number, patience, &stop)?;
        workers.push(worker);
        running.push(thread);
    }
    let workers = Arc::new(Workers(workers));
    let result = runtime.block_on(main(workers));
    stop.cancel();
    runtime.shutdown_timeout(patience);
    for thread in running {
        // One that has panicked has said so.
        let _ = thread.join();
    }
    Ok(result)
}

fn start(
    number: usize,
    patience: Duration,
    stop: &CancellationToken,
) -> io::Result<(Worker, JoinHandle<()>)> {
    let runtime = runtime()?;
    let worker = Worker::new(runtime.handle());
    let stop = stop.clone();
    let thread = std::thread::Builder::new().name(format!("worker-{number}"));
    let thread = thread.spawn(move || {
        reactor::run_here(number);
        runtime.block_on(stop.cancelled());
        runtime.shutdown_timeout(patience);
    })?;
    Ok((worker, thread))
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_io_events_per_tick(EVENTS)
        .build()
}

/// So many events of sockets are taken up at a time. A server connection that has answered goes to who waits for it
/// as soon as these have been seen to: of many, hundreds were new requests, which it then lay idle behind.
const EVENTS: usize = 32;

/// The threads that clients are given to.
pub(super) struct Workers(Vec<Worker>);

struct Worker {
    runtime: Handle,
    clients: Arc<AtomicUsize>,
}

/// Counts a client among those of its thread, while it lives.
pub(super) struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    fn new(runtime: &Handle) -> Self {
        Self {
            runtime: runtime.clone(),
            clients: Arc::default(),
        }
    }
}

impl Workers {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Gives an accepted client to the thread that has the fewest, where `serve` makes the task that
    /// serves it. The task has to keep the seat.
    ///
    /// # Errors
    /// If the thread's reactor does not take the socket.
    pub(super) fn employ<F>(
        &self,
        mut stream: Stream,
        serve: impl FnOnce(Stream, Seat) -> F,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let clients = |(_, worker): &(usize, &Worker)| worker.clients.load(Ordering::Relaxed);
        let Some((number, worker)) = self.0.iter().enumerate().min_by_key(clients) else {
            return Err(io::Error::other("there are no threads"));
        };
        if number != reactor::here() {
            let _entered = worker.runtime.enter();
            stream.move_here()?;
        }
        worker.clients.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(Arc::clone(&worker.clients));
        worker.runtime.spawn(serve(stream, seat));
        Ok(())
    }
}
