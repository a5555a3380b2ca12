//! Socket options that every connection gets, accepted or dialled.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::net::options::Keepalive;

/// Longest time the kernel takes for keepalive, in seconds (`MAX_TCP_KEEPIDLE`, Linux
/// `include/net/tcp.h`).
const MAX_SECONDS: u64 = 32_767;
/// Most probes the kernel takes (`MAX_TCP_KEEPCNT`, same place).
const MAX_PROBES: u32 = 127;

/// Switches Nagle's algorithm off, for messages are written whole, and sets keepalive and
/// `TCP_USER_TIMEOUT`. Values beyond what the kernel takes are cut to fit.
///
/// # Errors
/// What the system returns, for instance because the peer has already reset the connection.
pub fn apply(socket: &impl AsFd, options: &Keepalive) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    let Keepalive {
        idle,
        interval,
        count,
        user_timeout,
    } = *options;
    if idle.is_zero() {
        socket.set_keepalive(false)?;
    } else {
        let probes = TcpKeepalive::new()
            .with_time(whole_seconds(idle))
            .with_interval(whole_seconds(interval))
            .with_retries(count.clamp(1, MAX_PROBES));
        socket.set_tcp_keepalive(&probes)?;
    }
    if !user_timeout.is_zero() {
        socket.set_tcp_user_timeout(Some(user_timeout.max(Duration::from_millis(1))))?;
    }
    Ok(())
}

/// The kernel counts keepalive times in seconds, from one on.
fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs().clamp(1, MAX_SECONDS))
}
