//! A connection to a client or a server: plain TCP or TLS, upgraded in place.
//!
//! It is small, because thousands of idle ones are held: the TLS state sits in a box of its own.
//! The handshake itself is in `upgrade`.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::rustls::CommonState;
use tokio_rustls::{client, server};

use crate::model::TlsFacts;
use crate::net::cert_facts;
use crate::net::coded::Coded;
use crate::net::scratch::with_scratch;
use crate::protocol::Codec;

/// A TCP connection, inside TLS or not.
///
/// Inside TLS, a write that is accepted may still wait in memory: flush after the last one.
/// The end of the TCP stream without TLS's `close_notify` reads as an ordinary end: many clients
/// leave so, and every database message carries its own length, so truncation is seen above.
pub struct Stream {
    pub(super) inner: Inner,
}

pub(super) enum Inner {
    Plain(TcpStream),
    Server(Box<ServerSide>),
    Client(Box<client::TlsStream<TcpStream>>),
    /// A layer of the protocol's own above one of these.
    Coded(Box<Coded>),
    /// A handshake is under way, or has failed: nothing more may pass in either direction, least
    /// of all in plaintext.
    Barred(Option<TcpStream>),
}

/// TLS in server role.
pub(super) struct ServerSide {
    pub(super) tls: server::TlsStream<TcpStream>,
    /// Channel binding data of the certificate that this handshake used.
    pub(super) end_point: Option<Bytes>,
    /// SHA-256 of that certificate.
    pub(super) fingerprint: Option<[u8; 32]>,
}

/// Runs one poll function on whichever stream is inside.
macro_rules! poll_inner {
    ($self:expr, $io:ident => $poll:expr) => {
        match &mut $self.inner {
            Inner::Plain(tcp) => {
                let $io = Pin::new(tcp);
                $poll
            }
            Inner::Server(side) => {
                let $io = Pin::new(&mut side.tls);
                $poll
            }
            Inner::Client(tls) => {
                let $io = Pin::new(tls.as_mut());
                $poll
            }
            Inner::Coded(coded) => {
                let $io = Pin::new(coded.as_mut());
                $poll
            }
            Inner::Barred(_) => Poll::Ready(Err(barred())),
        }
    };
}

impl Stream {
    /// Takes over a connected socket.
    pub fn plain(tcp: TcpStream) -> Self {
        Self {
            inner: Inner::Plain(tcp),
        }
    }

    /// Moves the socket to the reactor of the runtime entered: for a connection that goes on in a
    /// task of another thread. Costs four system calls, and the first poll afterwards waits for the
    /// reactor to report.
    ///
    /// # Errors
    /// What the system returns. Nothing has changed then: it goes on where it was, at the cost of
    /// waking one thread from another.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn move_here(&mut self) -> io::Result<()> {
        let tcp = self.tcp_mut().ok_or_else(barred)?;
        // A second descriptor: the layers above hold the socket, and have no room for its absence.
        let twin = tcp.as_fd().try_clone_to_owned()?;
        *tcp = TcpStream::from_std(twin.into())?;
        Ok(())
    }

    /// Reads into `buf`; ready with nothing read means the peer has closed. On plain sockets one
    /// wake costs one `recv`, unless it fills `buf`.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match poll_inner!(self, io => io.poll_read(cx, buf)) {
            Poll::Ready(Err(error)) if self.is_tls() && is_abrupt_end(&error) => {
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }

    /// Writes some of `buf`; returns how much was taken.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        poll_inner!(self, io => io.poll_write(cx, buf))
    }

    /// Writes some of the slices, in order, by one call; returns how many bytes were taken.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_inner!(self, io => io.poll_write_vectored(cx, bufs))
    }

    /// Sends what TLS holds in memory. Free on plain sockets.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_inner!(self, io => io.poll_flush(cx))
    }

    /// Says goodbye: `close_notify` inside TLS, then the end of our direction.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Inner::Barred(Some(tcp)) = &mut self.inner {
            return Pin::new(tcp).poll_shutdown(cx);
        }
        poll_inner!(self, io => io.poll_shutdown(cx))
    }

    /// Address of the peer.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().ok_or_else(barred)?.peer_addr()
    }

    /// Our own address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().ok_or_else(barred)?.local_addr()
    }

    /// True inside TLS, in either role.
    pub fn is_tls(&self) -> bool {
        match &self.inner {
            Inner::Server(_) | Inner::Client(_) => true,
            Inner::Coded(coded) => coded.below().is_tls(),
            Inner::Plain(_) | Inner::Barred(_) => false,
        }
    }

    /// True if what has been written may wait in memory until a flush.
    pub fn holds_output(&self) -> bool {
        !matches!(self.inner, Inner::Plain(_))
    }

    /// The same connection with a layer of the protocol's own. `early`: what has been read already,
    /// in that layer's form.
    #[must_use]
    pub fn coded(self, codec: Box<dyn Codec>, early: &[u8]) -> Self {
        Self {
            inner: Inner::Coded(Box::new(Coded::new(self, codec, early))),
        }
    }

    /// What the handshake showed; `None` outside TLS. Reads the certificate anew at each call.
    pub fn tls_facts(&self) -> Option<TlsFacts> {
        match &self.inner {
            Inner::Plain(_) | Inner::Barred(_) => None,
            Inner::Coded(coded) => coded.below().tls_facts(),
            Inner::Server(side) => Some(TlsFacts {
                peer_common_name: first_peer_certificate(self.tls_state()?)
                    .and_then(cert_facts::common_name),
                end_point: side.end_point.clone(),
                fingerprint: side.fingerprint,
            }),
            Inner::Client(_) => Some(TlsFacts {
                peer_common_name: None,
                end_point: first_peer_certificate(self.tls_state()?)
                    .and_then(cert_facts::end_point),
                fingerprint: None,
            }),
        }
    }

    /// `TLSv1.2` or `TLSv1.3`, as PostgreSQL's `pg_stat_ssl` names them; `None` outside TLS.
    pub fn tls_version(&self) -> Option<&'static str> {
        use tokio_rustls::rustls::ProtocolVersion;
        match self.tls_state()?.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            _ => None,
        }
    }

    /// The cipher suite, by IANA's name as far as TLS 1.2 goes; `None` outside TLS.
    pub fn tls_cipher(&self) -> Option<&'static str> {
        self.tls_state()?
            .negotiated_cipher_suite()?
            .suite()
            .as_str()
    }

    /// The protocol agreed on by ALPN (RFC 7301), if any.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.tls_state()?.alpn_protocol()
    }

    /// True if this TLS session was resumed from an earlier one.
    pub fn tls_resumed(&self) -> bool {
        use tokio_rustls::rustls::HandshakeKind;
        self.tls_state()
            .is_some_and(|state| state.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// True if a read would not wait, be it for bytes, the end, or an error. Costs a system call
    /// and is exact at this moment for plain sockets. Inside TLS it may also be true for
    /// something that yields no bytes of ours, such as a session ticket.
    pub fn readable_now(&self) -> bool {
        if self.has_plaintext() {
            return true;
        }
        let Some(tcp) = self.tcp() else {
            return true;
        };
        match peek(tcp) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// As [`readable_now`](Self::readable_now), but where the reactor has reported nothing since
    /// the last read, it is believed: no system call, and bytes that arrived in this very turn
    /// of the runtime may be missed.
    pub fn readable_by_reactor(&self) -> bool {
        if self.has_plaintext() {
            return true;
        }
        let Some(tcp) = self.tcp() else {
            return true;
        };
        match tcp.try_io(Interest::READABLE, || peek(tcp)) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Writes a last message as far as that goes without waiting, and ends our direction. The
    /// caller then drops the stream.
    pub fn leave(&mut self, words: &[u8]) {
        let mut context = Context::from_waker(Waker::noop());
        if matches!(self.poll_write(&mut context, words), Poll::Ready(Ok(n)) if n == words.len()) {
            // What does not go out now is lost, like the words themselves.
            let _ = self.poll_shutdown(&mut context);
        }
    }

    /// Ends the connection so that what was written last still arrives: closing a socket with
    /// unread input makes the kernel reset it, and the peer then loses our parting message. So
    /// input is read and dropped until the peer closes too, at most for `patience` and
    /// [`LINGER_BYTES`].
    ///
    /// Not cancel safe: dropped midway, the connection closes at once.
    pub async fn close(mut self, patience: Duration) {
        let farewell = async {
            if self.shutdown().await.is_err() {
                return;
            }
            // Below TLS, since nobody will read what it says.
            let Some(tcp) = self.tcp() else {
                return;
            };
            let mut dropped = 0;
            while dropped < LINGER_BYTES && tcp.readable().await.is_ok() {
                // Into a buffer that the future has no room for: idle sessions have room for it.
                match with_scratch(|sink| tcp.try_read(sink)) {
                    Ok(0) => return,
                    Ok(n) => dropped += n,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        // Out of patience is an ordinary outcome: the socket closes either way.
        let _elapsed = tokio::time::timeout(patience, farewell).await;
    }

    /// The socket below, in whatever state; `None` only while a handshake holds it.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match &self.inner {
            Inner::Plain(tcp) => Some(tcp),
            Inner::Server(side) => Some(side.tls.get_ref().0),
            Inner::Client(tls) => Some(tls.get_ref().0),
            Inner::Coded(coded) => coded.below().tcp(),
            Inner::Barred(tcp) => tcp.as_ref(),
        }
    }

    fn tcp_mut(&mut self) -> Option<&mut TcpStream> {
        match &mut self.inner {
            Inner::Plain(tcp) => Some(tcp),
            Inner::Server(side) => Some(side.tls.get_mut().0),
            Inner::Client(tls) => Some(tls.get_mut().0),
            Inner::Coded(coded) => coded.below_mut().tcp_mut(),
            Inner::Barred(tcp) => tcp.as_mut(),
        }
    }

    fn tls_state(&self) -> Option<&CommonState> {
        match &self.inner {
            Inner::Plain(_) | Inner::Barred(_) => None,
            Inner::Server(side) => Some(side.tls.get_ref().1),
            Inner::Client(tls) => Some(tls.get_ref().1),
            Inner::Coded(coded) => coded.below().tls_state(),
        }
    }

    /// After the handshake rustls stops wanting input only while decrypted bytes (or the end of
    /// the session) wait to be read.
    fn has_plaintext(&self) -> bool {
        self.tls_state().is_some_and(|state| !state.wants_read())
    }
}

/// How much unread input [`Stream::close`] drops before it gives up, in bytes.
pub const LINGER_BYTES: usize = 256 * 1024;

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Stream::poll_read(self.get_mut(), cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_write(self.get_mut(), cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_write_vectored(self.get_mut(), cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_shutdown(self.get_mut(), cx)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer", &self.peer_addr().ok())
            .field("tls", &self.is_tls())
            .finish()
    }
}

fn first_peer_certificate(state: &CommonState) -> Option<&[u8]> {
    Some(state.peer_certificates()?.first()?.as_ref())
}

fn peek(tcp: &TcpStream) -> io::Result<usize> {
    let mut byte = [0_u8; 1];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let (_, len) = rustix::net::recv(tcp, &mut byte, flags)?;
    Ok(len)
}

/// rustls reports a TCP stream that ends without `close_notify` by this kind.
fn is_abrupt_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

fn barred() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "the TLS handshake is unfinished or has failed",
    )
}

#[cfg(test)]
mod tests {
    use super::Stream;

    #[test]
    fn a_stream_is_small() {
        assert!(size_of::<Stream>() <= 48, "{}", size_of::<Stream>());
    }
}
