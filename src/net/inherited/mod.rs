//! Listening sockets passed in by systemd (`sd_listen_fds(3)`), so that clients may connect while
//! Sluice restarts, and it may listen on ports it could not bind itself.

use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Socket, Type};

/// A socket passed in.
#[derive(Debug)]
pub struct Inherited {
    /// `FileDescriptorName=` of the socket unit; `unknown` where it has none.
    pub name: String,
    /// The socket.
    pub socket: TcpListener,
}

/// Takes over the sockets passed to this process, in order. Call it early: before that, nothing
/// else may open or close these descriptors. The second call yields none.
///
/// # Errors
/// If the environment variables are malformed, or a descriptor is not a listening TCP socket:
/// then the socket unit is wrong, and the operator must know.
pub fn take_inherited() -> io::Result<Vec<Inherited>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    // This also fails with EBADF if a descriptor is not open.
    let sockets: Vec<_> = sd_notify::listen_fds_with_names()?
        .map(|(fd, name)| (adopt(fd), name))
        .collect();
    sockets
        .into_iter()
        .map(|(socket, name)| match is_tcp_listener(&socket) {
            Ok(true) => Ok(Inherited {
                name,
                socket: socket.into(),
            }),
            Ok(false) | Err(_) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the socket {name:?} passed in is not a listening TCP socket"),
            )),
        })
        .collect()
}

fn adopt(fd: RawFd) -> Socket {
    // SAFETY: the service manager opened this descriptor for us alone and names it by
    // LISTEN_FDS; `sd_notify` has checked that LISTEN_PID is this process and that it is open.
    // `take_inherited` comes here once in the life of the process, so nobody else owns it.
    #[allow(unsafe_code)]
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    Socket::from(owned)
}

fn is_tcp_listener(socket: &Socket) -> io::Result<bool> {
    let is_ip = socket.local_addr()?.as_socket().is_some();
    Ok(is_ip && socket.r#type()? == Type::STREAM && socket.is_listener()?)
}

#[cfg(test)]
mod tests;
