//! Moving bytes between a socket and an engine, without waiting and without keeping buffers
//! longer than bytes are in them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::Stream;
use crate::protocol::Script;

/// Output that the socket would not take yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: BytesMut,
    /// The stream holds bytes of its own that a flush would send (TLS).
    unflushed: bool,
}

impl Outbox {
    /// True if everything has been handed to the system.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.unflushed
    }

    /// Adds bytes, to be written at the next [`Outbox::poll`].
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes what it can; ready when everything is written, pending if the socket is full.
    pub(super) fn poll(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, &self.bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    self.bytes.advance(n);
                    self.unflushed = stream.holds_output();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.bytes.capacity() > 0 {
            self.bytes = BytesMut::new();
        }
        if self.unflushed {
            match Pin::new(stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the pieces of a script over `input`, keeping what the socket does not take.
    // One copy for both directions: see `poll_read`.
    #[inline(never)]
    pub(super) fn send(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        script: &Script,
        input: &[u8],
    ) -> io::Result<()> {
        match script.only_piece(input) {
            Some(piece) => self.send_bytes(stream, cx, piece),
            None => self.send_pieces(stream, cx, script, input),
        }
    }

    /// The same for bytes that are in one place.
    pub(super) fn send_bytes(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        piece: &[u8],
    ) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        if !self.bytes.is_empty() {
            self.push(piece);
            return self.poll_now(stream, cx);
        }
        let sent = match Pin::new(&mut *stream).poll_write(cx, piece) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        if sent == piece.len() && !stream.holds_output() {
            return Ok(());
        }
        self.unflushed |= stream.holds_output();
        self.push(piece.get(sent..).unwrap_or_default());
        self.poll_now(stream, cx)
    }

    fn send_pieces(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        script: &Script,
        input: &[u8],
    ) -> io::Result<()> {
        if script.is_empty() {
            return Ok(());
        }
        if self.bytes.is_empty() {
            let pieces: SmallVec<[&[u8]; 8]> = script.pieces(input).collect();
            // Small pieces cost less to copy together than to hand over one by one.
            let mut sent = if script.output_len() <= COPY_LIMIT {
                0
            } else {
                let slices: SmallVec<[IoSlice<'_>; 8]> =
                    pieces.iter().map(|piece| IoSlice::new(piece)).collect();
                match Pin::new(&mut *stream).poll_write_vectored(cx, &slices) {
                    Poll::Ready(sent) => {
                        self.unflushed |= stream.holds_output();
                        sent?
                    }
                    Poll::Pending => 0,
                }
            };
            for piece in pieces {
                let skip = sent.min(piece.len());
                sent -= skip;
                self.push(piece.get(skip..).unwrap_or_default());
            }
        } else {
            for piece in script.pieces(input) {
                self.push(piece);
            }
        }
        self.poll_now(stream, cx)
    }

    /// Writes what it can.
    fn poll_now(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> io::Result<()> {
        match self.poll(stream, cx) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }
}

/// Reads what the socket has into `buffer`. `Ready(0)` is the end of the stream.
// One copy for all who read: between two reads the system's code runs, and code that was pushed out of
// the processor's cache meanwhile costs more than a call.
#[inline(never)]
pub(super) fn poll_read(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    match Pin::new(stream).poll_read(cx, &mut buffer) {
        Poll::Ready(Ok(())) => Poll::Ready(Ok(buffer.filled().len())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending => Poll::Pending,
    }
}

/// Scripts whose output is at most this long are copied into one buffer to be written at once.
const COPY_LIMIT: usize = 16 * 1024;
