//! Reaches a server by TCP: resolve, connect, set options. TLS and login follow by `drive`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustix::io::Errno;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use crate::net::keepalive;
use crate::net::options::DialOptions;
use crate::net::stream::Stream;

/// Why a server was not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host name has no address, or the resolver failed.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The name.
        host: Arc<str>,
        /// What the resolver said.
        source: io::Error,
    },
    /// The last address tried did not take the connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Time ran out.
    #[error("timed out {during}")]
    Timeout {
        /// What was being done.
        during: DialStep,
    },
    /// This machine lacks something (file descriptors, ports, memory). It says nothing about the
    /// server.
    #[error("out of local resources: {0}")]
    Local(io::Error),
}

impl DialError {
    /// True if the fault lies with this machine, so the server must not be called dead.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }
}

/// What a dial was doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialStep {
    /// Resolving this name.
    Resolving(Arc<str>),
    /// Connecting to this address.
    Connecting(SocketAddr),
}

impl std::fmt::Display for DialStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Resolving(host) => write!(f, "resolving {host}"),
            Self::Connecting(address) => write!(f, "connecting to {address}"),
        }
    }
}

/// Connects to the server of `options`, which is resolved anew; its addresses are tried in the
/// order given by the resolver. Each attempt gets an equal share of the time that is left until
/// `deadline`, so that one address that swallows packets cannot use it up.
///
/// The caller sets `deadline` from `connect_timeout`, as TLS and login count against it too.
///
/// # Errors
/// The failure of the last address tried, or of this machine as soon as it shows.
///
/// Cancel safe: a connection half made is dropped.
pub async fn dial(options: &DialOptions, deadline: Instant) -> Result<Stream, DialError> {
    let addresses = resolve(options, deadline).await?;
    let mut last = None;
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / left;
        if share.is_zero() {
            let during = DialStep::Connecting(*address);
            return Err(last.unwrap_or(DialError::Timeout { during }));
        }
        match timeout_at(now + share, connect(*address, options)).await {
            Ok(Ok(tcp)) => return Ok(Stream::plain(tcp)),
            Ok(Err(source)) if is_local(&source) => return Err(DialError::Local(source)),
            Ok(Err(source)) => {
                last = Some(DialError::Connect {
                    address: *address,
                    source,
                });
            }
            Err(_elapsed) => {
                let during = DialStep::Connecting(*address);
                last = Some(DialError::Timeout { during });
            }
        }
        if let Some(error) = &last {
            tracing::debug!(%error, host = %options.host, "an address of the server failed");
        }
    }
    Err(last.unwrap_or_else(|| DialError::Resolve {
        host: Arc::clone(&options.host),
        source: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
    }))
}

async fn resolve(options: &DialOptions, deadline: Instant) -> Result<Vec<SocketAddr>, DialError> {
    let host = &options.host;
    match timeout_at(deadline, lookup_host((&**host, options.port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(source)) if is_local(&source) => Err(DialError::Local(source)),
        Ok(Err(source)) => Err(DialError::Resolve {
            host: Arc::clone(host),
            source,
        }),
        Err(_elapsed) => Err(DialError::Timeout {
            during: DialStep::Resolving(Arc::clone(host)),
        }),
    }
}

async fn connect(address: SocketAddr, options: &DialOptions) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Before connecting, so that TCP_USER_TIMEOUT holds for the connection request as well.
    keepalive::apply(&socket, &options.keepalive)?;
    let tcp = socket.connect(address).await?;
    // Nobody listens on a port of this machine, and the kernel picked that very port for our
    // end: TCP then connects the socket to itself (simultaneous open, RFC 9293 section 3.5).
    if tcp.local_addr()? == tcp.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(tcp)
}

/// True for errors of `socket`, `connect` and the resolver that this machine is to blame for.
pub(super) fn is_local(error: &io::Error) -> bool {
    const LOCAL: [Errno; 5] = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL, // all local ports towards that address are in use
    ];
    Errno::from_io_error(error).is_some_and(|errno| LOCAL.contains(&errno))
}

#[cfg(test)]
mod tests;
