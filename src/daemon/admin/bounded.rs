//! Connections that cannot cost much: each has a deadline and a budget of bytes to send us, and
//! only so many are open at once. Since a connection serves one request without body, no honest
//! client meets a bound.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Request line, headers and whatever else a client sends, in bytes.
pub const READ_BUDGET: usize = 16 * 1024;

/// Connections open at once; more wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 64;

/// A listener whose connections are bounded.
#[derive(Debug)]
pub struct BoundedListener {
    inner: TcpListener,
    deadline: Duration,
    slots: Arc<Semaphore>,
}

impl BoundedListener {
    /// Takes over a listening socket. `deadline` is from accept to close.
    pub fn new(inner: TcpListener, deadline: Duration) -> Self {
        Self {
            inner,
            deadline,
            slots: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }
}

impl Listener for BoundedListener {
    type Io = Bounded;
    type Addr = SocketAddr;

    /// Cancel safe: what is dropped has accepted nothing.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // The semaphore is never closed; without a slot there would be no bound, but a listener
        // that stops for good would be worse.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.inner).await;
        let bounded = Bounded {
            stream,
            deadline: Box::pin(tokio::time::sleep(self.deadline)),
            budget: READ_BUDGET,
            _slot: slot,
        };
        (bounded, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// A connection with a deadline and a budget.
#[derive(Debug)]
pub struct Bounded {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    budget: usize,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Bounded {
    /// Fails once the deadline has passed, and wakes the task when it passes.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        let Some(left) = self.budget.checked_sub(read) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        };
        self.budget = left;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
