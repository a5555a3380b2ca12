//! The thread that the SDK runs on.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

/// A thread with a runtime of its own; it ends with the last of what it was told to do once this
/// is dropped.
#[derive(Debug)]
pub struct Thread {
    runtime: Handle,
    _end: DropGuard,
}

impl Thread {
    /// Starts it.
    ///
    /// # Errors
    /// If the system has no thread or no event queue for it.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let end = CancellationToken::new();
        let ended = end.clone();
        let thread = std::thread::Builder::new().name("aws".into());
        thread.spawn(move || runtime.block_on(ended.cancelled()))?;
        Ok(Self {
            runtime: handle,
            _end: end.drop_guard(),
        })
    }

    /// Runs `work` there and waits for it; `None` if it panicked or the thread is gone.
    /// Cancel-safe: dropped, the work is dropped too.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let task = AbortOnDropHandle::new(self.runtime.spawn(work));
        task.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Thread;

    #[tokio::test]
    async fn work_that_blocks_holds_nobody_else_up() {
        let thread = Thread::start().unwrap();
        let here = std::thread::current().id();
        let slow = thread.run(async {
            std::thread::sleep(Duration::from_millis(300));
            std::thread::current().id()
        });
        let quick = tokio::time::sleep(Duration::from_millis(1));
        tokio::pin!(slow);
        tokio::select! {
            _ = &mut slow => panic!("it held up the caller's thread"),
            () = quick => {}
        }
        assert_ne!(slow.await.unwrap(), here);
    }

    #[tokio::test]
    async fn work_ends_with_its_waiter() {
        let thread = Thread::start().unwrap();
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let work = thread.run(async move {
            let _kept = sender;
            std::future::pending::<()>().await;
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(10), work)
                .await
                .is_err()
        );
        assert!(receiver.await.is_err(), "it was dropped");
    }
}
