//! A connection to whoever listens, plain or TLS, on which a test says any bytes.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::Arc,
};

use bytes::{Buf, BytesMut};
use sluice::protocol::{Codec, codec::Decoded};
use socket2::{Domain, Socket, Type};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use crate::support::wait::PATIENCE;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection without a protocol.
pub struct Link {
    stream: Stream,
    /// Between the stream and what is said.
    codec: Option<Box<dyn Codec>>,
    /// Received and not yet decoded.
    encoded: BytesMut,
    /// Received and not yet looked at.
    received: BytesMut,
}

impl Link {
    /// A TCP connection on which nothing has been said. Reads give up after the tests' patience.
    pub fn open(port: u16, source: IpAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if source != IpAddr::V4(Ipv4Addr::LOCALHOST) {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: Stream::Plain(stream),
            codec: None,
            encoded: BytesMut::new(),
            received: BytesMut::new(),
        })
    }

    /// Speaks TLS from here on, with a peer whose name has to be `localhost`.
    pub fn upgrade(&mut self, config: Arc<ClientConfig>) -> io::Result<()> {
        let tcp = self.tcp().try_clone()?;
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = Box::new(StreamOwned::new(session, tcp));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        self.stream = Stream::Tls(stream);
        Ok(())
    }

    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    /// Speaks by this codec from here on.
    pub fn encode(&mut self, codec: Box<dyn Codec>) {
        self.codec = Some(codec);
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut encoded = Vec::new();
        let bytes = match &mut self.codec {
            Some(codec) => {
                codec.encode(bytes, &mut encoded);
                &encoded
            }
            None => bytes,
        };
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    /// Whether bytes wait to be read, without waiting for them.
    pub fn has_input(&mut self) -> bool {
        if !self.received.is_empty() {
            return true;
        }
        self.tcp().set_nonblocking(true).unwrap();
        let seen = self.fill();
        self.tcp().set_nonblocking(false).unwrap();
        match seen {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                false
            }
        }
    }

    /// Reads and forgets about `count` bytes.
    pub fn skip(&mut self, count: usize) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            if self.received.is_empty() {
                self.fill()?;
            }
            let taken = left.min(self.received.len());
            self.received.advance(taken);
            left -= taken;
        }
        Ok(())
    }

    /// Closes without a word, as a client that crashed.
    pub fn vanish(&self) {
        let _ = self.tcp().shutdown(Shutdown::Both);
    }

    /// Reads exactly that many bytes.
    pub fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        while self.received.len() < buffer.len() {
            self.fill()?;
        }
        buffer.copy_from_slice(&self.received[..buffer.len()]);
        self.received.advance(buffer.len());
        Ok(())
    }

    /// All that comes until the peer closes, in whichever way.
    pub fn read_rest(&mut self) -> Vec<u8> {
        loop {
            if let Err(error) = self.fill() {
                assert!(is_close(&error), "{error} instead of the end");
                return self.received.split().to_vec();
            }
        }
    }

    /// At least one more byte into `received`.
    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 65_536];
        let count = match &mut self.stream {
            Stream::Plain(tcp) => tcp.read(&mut chunk)?,
            Stream::Tls(tls) => tls.read(&mut chunk)?,
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(codec) = &mut self.codec else {
            self.received.extend_from_slice(&chunk[..count]);
            return Ok(());
        };
        self.encoded.extend_from_slice(&chunk[..count]);
        let mut plain = [0; 65_536];
        loop {
            let step = codec.decode(&self.encoded, &mut plain).unwrap();
            self.encoded.advance(step.consumed);
            self.received.extend_from_slice(&plain[..step.produced]);
            if step == Decoded::default() {
                return Ok(());
            }
        }
    }
}

/// Whether an error says that the peer has closed the connection, in whichever way.
pub fn is_close(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        UnexpectedEof | ConnectionReset | BrokenPipe | ConnectionAborted
    )
}
