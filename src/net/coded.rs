//! A stream below a layer of the protocol's own: compression agreed on at login.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::Stream;
use crate::protocol::Codec;

/// Encodes what is written to a stream and decodes what is read from it.
pub(super) struct Coded {
    below: Stream,
    codec: Box<dyn Codec>,
    /// Read and not decoded: at most one read, and nothing while the peer is silent.
    inbox: BytesMut,
    /// Encoded and not written: at most one piece.
    outbox: Vec<u8>,
    /// How much of it has been written.
    written: usize,
}

impl Coded {
    pub(super) fn new(below: Stream, codec: Box<dyn Codec>, early: &[u8]) -> Self {
        Self {
            below,
            codec,
            inbox: early.into(),
            outbox: Vec::new(),
            written: 0,
        }
    }

    pub(super) fn below(&self) -> &Stream {
        &self.below
    }

    pub(super) fn below_mut(&mut self) -> &mut Stream {
        &mut self.below
    }

    /// Decodes into `buf` what has been read; true if that has filled any of it.
    fn decode(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<bool> {
        let before = buf.filled().len();
        let decoded = self
            .codec
            .decode(&self.inbox, buf.initialize_unfilled())
            .map_err(|garbled| io::Error::new(io::ErrorKind::InvalidData, garbled))?;
        self.inbox.advance(decoded.consumed.min(self.inbox.len()));
        buf.set_filled(before + decoded.produced);
        if self.inbox.is_empty() {
            self.inbox = BytesMut::new();
        }
        Ok(decoded.produced > 0)
    }

    /// Writes what is encoded; ready when nothing is left.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.outbox.get(self.written..)
            && !rest.is_empty()
        {
            match ready!(self.below.poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        self.outbox = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Coded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let coded = self.get_mut();
        loop {
            // Also with nothing read: the codec may have had no room for all it knew.
            if coded.decode(buf)? {
                return Poll::Ready(Ok(()));
            }
            let mut piece = [0; PIECE];
            let mut read = ReadBuf::new(&mut piece);
            ready!(coded.below.poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            coded.inbox.extend_from_slice(read.filled());
        }
    }
}

impl AsyncWrite for Coded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let coded = self.get_mut();
        ready!(coded.poll_drain(cx))?;
        let piece = buf.get(..buf.len().min(PIECE_OUT)).unwrap_or_default();
        coded.codec.encode(piece, &mut coded.outbox);
        // What the socket does not take now goes with the next write or flush.
        if let Poll::Ready(sent) = coded.poll_drain(cx) {
            sent?;
        }
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let coded = self.get_mut();
        ready!(coded.poll_drain(cx))?;
        coded.below.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let coded = self.get_mut();
        ready!(coded.poll_drain(cx))?;
        coded.below.poll_shutdown(cx)
    }
}

/// What is read at once.
const PIECE: usize = 8 * 1024;
/// What is encoded at once.
const PIECE_OUT: usize = 64 * 1024;
