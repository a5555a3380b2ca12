//! Listens, and accepts for as long as the process lives: no error of `accept` ends the loop.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::SetSockOpt;
use nix::{libc, setsockopt_impl, sockopt_impl};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::net::keepalive;
use crate::net::options::ListenOptions;
use crate::net::stream::Stream;
use crate::net::trouble::Trouble;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    name: Arc<str>,
    tcp: TcpListener,
    trouble: Mutex<Trouble>,
}

/// A client that has connected.
#[derive(Debug)]
pub struct Accepted {
    /// Its connection, options set.
    pub stream: Stream,
    /// Its address; an IPv4 client of an IPv6 socket shows its IPv4 address.
    pub peer: SocketAddr,
}

impl Listener {
    /// Binds the address of `options`. `[::]` takes IPv4 clients too, whatever the system's
    /// default (`net.ipv6.bindv6only`) says.
    ///
    /// # Errors
    /// What the system returns, for instance because the address is in use.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(name: Arc<str>, options: &ListenOptions) -> io::Result<Self> {
        let address = options.address;
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        // A restart must not wait until the connections of the last run have timed out.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Self::adopt(name, socket.into(), options)
    }

    /// Takes over a socket passed in by systemd, which has set its address and backlog.
    ///
    /// # Errors
    /// If the system does not take the socket or its options.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn adopt(
        name: Arc<str>,
        socket: std::net::TcpListener,
        options: &ListenOptions,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // Accepted sockets inherit the options (`tcp_create_openreq_child` in the kernel's
        // net/ipv4/tcp_minisocks.c): five system calls less for each client.
        keepalive::apply(&socket, &options.keepalive)?;
        if options.client_first {
            DeferAccept.set(&socket, &DEFERRED)?;
        }
        Ok(Self {
            name,
            tcp: TcpListener::from_std(socket)?,
            trouble: Mutex::default(),
        })
    }

    /// Name of the listener in configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Address bound, with the port the system chose if it was asked to.
    ///
    /// # Errors
    /// What the system returns.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Waits for the next client. Failures are logged, rarely, and waited out.
    ///
    /// Cancel safe: no client is lost.
    pub async fn accept(&self) -> Accepted {
        loop {
            match self.tcp.accept().await {
                Ok((tcp, peer)) => {
                    self.trouble().over();
                    return Accepted {
                        stream: Stream::plain(tcp),
                        peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
                    };
                }
                Err(error) => {
                    if let Some(pause) = self.note(&error) {
                        tokio::time::sleep(pause).await;
                    }
                }
            }
        }
    }

    /// Logs a failure if it is time to; returns how long to wait, if there is reason to.
    fn note(&self, error: &io::Error) -> Option<Duration> {
        let mut trouble = self.trouble();
        if let Some(failures) = trouble.note(Instant::now()) {
            tracing::warn!(listener = %self.name, %error, failures, "cannot accept clients");
        }
        (!concerns_one_client(error)).then(|| trouble.next_pause())
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

sockopt_impl!(
    /// `TCP_DEFER_ACCEPT` (`tcp(7)`): the kernel holds back who has connected and sent nothing yet. When a client has
    /// been accepted, its first message can be received at once, which is one wake-up less for each client. `PgBouncer`
    /// has it, too. Neither socket2 nor rustix knows it, and the standard library not yet.
    DeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    usize
);

/// In seconds, the shortest that the kernel knows. A client that says nothing is not known to us until then, and counts
/// towards no limit but the backlog.
const DEFERRED: usize = 1;

/// True if the client, or the network towards it, failed while it waited in the queue, so that
/// the next one may be accepted at once (`accept(2)`, "Error handling"). Anything else, such as
/// a lack of file descriptors, would fail again at once.
fn concerns_one_client(error: &io::Error) -> bool {
    const ONE_CLIENT: [Errno; 10] = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::INTR,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
    ];
    Errno::from_io_error(error).is_some_and(|errno| ONE_CLIENT.contains(&errno))
}

#[cfg(test)]
mod tests;
