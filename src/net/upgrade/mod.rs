//! The TLS handshake on a connected stream, in either role.

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::sync::Arc;
use std::task::Poll;

use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConnection;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::model::TlsFacts;
use crate::net::client_tls::ClientTls;
use crate::net::server_tls::ServerTls;
use crate::net::stream::{Inner, ServerSide, Stream};
use crate::net::tls::TlsError;

/// What rustls may hold for a peer that reads slowly, in bytes: two full records, so that one
/// system call still carries much, while a thousand slow clients cost 32 MB rather than 64.
const TLS_WRITE_BUFFER: usize = 32 * 1024;

impl Stream {
    /// Runs the server's side of a TLS handshake and goes on inside TLS. `early` has been received
    /// already: the beginning of the client's handshake. Whatever it is, nobody takes it for
    /// plaintext again.
    ///
    /// # Errors
    /// The stream is barred afterwards: neither direction passes bytes, so that nothing slips
    /// out in plaintext.
    ///
    /// Not cancel safe: dropped midway, the stream stays barred.
    pub async fn upgrade_server(
        &mut self,
        tls: &ServerTls,
        early: &[u8],
    ) -> Result<TlsFacts, TlsError> {
        let tcp = self.take_plain()?;
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
        let mut read = Ok(());
        let handshake = acceptor.accept_with(tcp, |session| {
            session.set_buffer_limit(Some(TLS_WRITE_BUFFER));
            read = read_early(session, early);
        });
        // Boxed: the handshake's state is large, and the caller's future lives on long after it.
        let mut handshake = Box::pin(handshake.into_fallible());
        if let Err(error) = read {
            // It would wait for more: the alert goes out, and the connection is closed.
            poll_fn(|cx| {
                let _wrote = handshake.as_mut().poll(cx);
                Poll::Ready(())
            })
            .await;
            return Err(error.into());
        }
        match handshake.await {
            Ok(stream) => {
                self.inner = Inner::Server(Box::new(ServerSide {
                    tls: stream,
                    end_point: tls.end_point.clone(),
                    fingerprint: tls.fingerprint,
                }));
                Ok(self.tls_facts().unwrap_or_default())
            }
            Err((error, tcp)) => {
                self.inner = Inner::Barred(Some(tcp));
                Err(error.into())
            }
        }
    }

    /// As [`upgrade_server`](Self::upgrade_server) for a client that began with TLS rather than
    /// asking for it, which must name a protocol by ALPN so that it cannot be a confused speaker
    /// of another one (PostgreSQL documentation, "SSL Session Encryption").
    pub async fn upgrade_server_direct(
        &mut self,
        tls: &ServerTls,
        early: &[u8],
    ) -> Result<TlsFacts, TlsError> {
        let facts = self.upgrade_server(tls, early).await?;
        if self.alpn().is_some() {
            return Ok(facts);
        }
        self.bar();
        Err(TlsError::AlpnMissing)
    }

    /// Runs the client's side of a TLS handshake and goes on inside TLS.
    ///
    /// `name` is sent by SNI (unless it is an address) and verified if the mode says so.
    ///
    /// # Errors
    /// As [`upgrade_server`](Self::upgrade_server).
    ///
    /// Not cancel safe: dropped midway, the stream stays barred.
    pub async fn upgrade_client(
        &mut self,
        tls: &ClientTls,
        name: ServerName<'static>,
    ) -> Result<TlsFacts, TlsError> {
        let tcp = self.take_plain()?;
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        let handshake = connector.connect_with(name, tcp, |session| {
            session.set_buffer_limit(Some(TLS_WRITE_BUFFER));
        });
        match Box::pin(handshake.into_fallible()).await {
            Ok(stream) => {
                self.inner = Inner::Client(Box::new(stream));
                Ok(self.tls_facts().unwrap_or_default())
            }
            Err((error, tcp)) => {
                self.inner = Inner::Barred(Some(tcp));
                Err(error.into())
            }
        }
    }

    /// Takes the socket out for a handshake and bars the stream meanwhile.
    fn take_plain(&mut self) -> Result<TcpStream, TlsError> {
        match mem::replace(&mut self.inner, Inner::Barred(None)) {
            Inner::Plain(tcp) => Ok(tcp),
            other => {
                self.inner = other;
                Err(TlsError::NotPlain)
            }
        }
    }

    fn bar(&mut self) {
        let tcp = match mem::replace(&mut self.inner, Inner::Barred(None)) {
            Inner::Plain(tcp) => Some(tcp),
            Inner::Server(side) => Some(side.tls.into_inner().0),
            Inner::Client(tls) => Some(tls.into_inner().0),
            // It is above TLS, so it never stands before a handshake.
            Inner::Coded(_) => None,
            Inner::Barred(tcp) => tcp,
        };
        self.inner = Inner::Barred(tcp);
    }
}

/// Hands over what came before the handshake began.
fn read_early(session: &mut ServerConnection, mut early: &[u8]) -> io::Result<()> {
    while !early.is_empty() && session.read_tls(&mut early)? > 0 {
        let read = session.process_new_packets();
        read.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
