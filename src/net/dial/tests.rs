use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::{DialError, DialStep, dial, is_local};
use crate::net::options::Keepalive;
use crate::net::testing::dial_options;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

async fn listening() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn a_server_is_reached_by_name_and_by_address() {
    let (listener, port) = listening().await;
    for host in ["127.0.0.1", "localhost"] {
        let mut stream = dial(&dial_options(host, port), soon()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        drop(accepted);
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        assert!(!stream.is_tls());
    }
}

#[tokio::test]
async fn socket_options_are_set() {
    let (_listener, port) = listening().await;
    let mut options = dial_options("127.0.0.1", port);
    options.keepalive = Keepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(15),
        count: 4,
        user_timeout: Duration::from_secs(30),
    };
    let stream = dial(&options, soon()).await.unwrap();
    let fd = stream.tcp().unwrap().as_fd();
    let socket = SockRef::from(&fd);
    assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), options.keepalive.idle);
    assert_eq!(
        socket.tcp_keepalive_interval().unwrap(),
        options.keepalive.interval
    );
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
    let timeout = socket.tcp_user_timeout().unwrap();
    assert_eq!(timeout, Some(options.keepalive.user_timeout));
}

#[tokio::test]
async fn a_closed_port_is_named_with_its_address() {
    let (listener, port) = listening().await;
    drop(listener);
    let error = dial(&dial_options("127.0.0.1", port), soon()).await;
    let Err(DialError::Connect { address, source }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(address, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_name_that_cannot_be_is_not_resolved() {
    // Too long for DNS (RFC 1035 section 2.3.4), so no resolver is asked.
    let error = dial(&dial_options(&"x".repeat(300), 5432), soon()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, DialError::Resolve { .. }), "{error}");
    assert!(!error.is_local());
}

/// A listener whose queue is full answers no more connection requests.
#[tokio::test]
async fn a_server_that_does_not_answer_times_out() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    let full = loop {
        let brief = Instant::now() + Duration::from_millis(300);
        match dial(&dial_options("127.0.0.1", address.port()), brief).await {
            Ok(stream) => queue.push(stream),
            Err(error) => break error,
        }
        assert!(queue.len() < 100, "the queue never fills");
    };
    let DialError::Timeout { during } = full else {
        panic!("{full}");
    };
    assert_eq!(during, DialStep::Connecting(address));
}

#[tokio::test]
async fn no_time_left_times_out_at_once() {
    let (_listener, port) = listening().await;
    let past = Instant::now();
    let error = dial(&dial_options("localhost", port), past).await;
    assert!(matches!(error, Err(DialError::Timeout { .. })), "{error:?}");
}

#[test]
fn want_of_local_resources_is_not_the_servers_fault() {
    for errno in [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::ADDRNOTAVAIL,
    ] {
        assert!(is_local(&errno.into()), "{errno}");
    }
    for errno in [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::TIMEDOUT] {
        assert!(!is_local(&errno.into()), "{errno}");
    }
    assert!(!is_local(&std::io::ErrorKind::NotFound.into()));
}
