use std::env;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{Listener, concerns_one_client};
use crate::net::options::{Keepalive, ListenOptions};
use crate::net::testing::{dial_options, no_keepalive};
use crate::net::{DialError, dial};

fn options(address: &str, keepalive: Keepalive) -> ListenOptions {
    ListenOptions {
        address: address.parse().unwrap(),
        backlog: 16,
        client_first: false,
        keepalive,
    }
}

fn bind(address: &str) -> Listener {
    Listener::bind("app".into(), &options(address, no_keepalive())).unwrap()
}

#[tokio::test]
async fn clients_are_accepted_with_their_options_set() {
    let keepalive = Keepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(15),
        count: 4,
        user_timeout: Duration::from_secs(20),
    };
    let listener = Listener::bind("app".into(), &options("127.0.0.1:0", keepalive)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await;
    let accepted = listener.accept().await;
    assert_eq!(accepted.peer, client.unwrap().local_addr().unwrap());
    let fd = accepted.stream.tcp().unwrap().as_fd();
    let socket = SockRef::from(&fd);
    assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), keepalive.idle);
    assert_eq!(
        socket.tcp_user_timeout().unwrap(),
        Some(keepalive.user_timeout)
    );
}

#[tokio::test]
async fn clients_who_speak_first_are_accepted_when_they_have() {
    let options = ListenOptions {
        client_first: true,
        ..options("127.0.0.1:0", no_keepalive())
    };
    let listener = Listener::bind("app".into(), &options).unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    timeout(Duration::from_millis(200), listener.accept())
        .await
        .expect_err("it has said nothing");
    client.write_all(b"hello").await.unwrap();
    let accepted = listener.accept().await;
    // Without waiting.
    let mut word = [0; 5];
    let fd = accepted.stream.tcp().unwrap().as_fd();
    let flags = rustix::net::RecvFlags::DONTWAIT;
    assert_eq!(rustix::net::recv(fd, &mut word, flags).unwrap().0, 5);
    assert_eq!(&word, b"hello");
    // Who says nothing comes all the same, a little later.
    let silent = TcpStream::connect(listener.local_addr().unwrap()).await;
    let accepted = timeout(Duration::from_secs(10), listener.accept()).await;
    let peer = accepted.expect("it is accepted").peer;
    assert_eq!(peer, silent.unwrap().local_addr().unwrap());
}

#[tokio::test]
async fn an_ipv6_socket_for_all_addresses_takes_ipv4_clients_by_their_address() {
    let listener = bind("[::]:0");
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let accepted = listener.accept().await;
    assert_eq!(accepted.peer, client.local_addr().unwrap());
    let client = TcpStream::connect(("::1", port)).await.unwrap();
    let accepted = listener.accept().await;
    assert_eq!(accepted.peer, client.local_addr().unwrap());
}

#[tokio::test]
async fn an_address_can_be_bound_again_at_once_but_not_twice() {
    let first = bind("127.0.0.1:0");
    let address = first.local_addr().unwrap();
    let again = || Listener::bind("app".into(), &options(&address.to_string(), no_keepalive()));
    let error = again().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let client = TcpStream::connect(address).await.unwrap();
    let mut accepted = first.accept().await;
    accepted.stream.shutdown().await.unwrap();
    drop((accepted, first));
    // Our end has closed first, so the port now lingers in TIME-WAIT.
    drop(client);
    again().unwrap();
}

#[test]
fn failures_of_one_client_are_told_from_want_of_resources() {
    for errno in [Errno::CONNABORTED, Errno::PROTO, Errno::HOSTUNREACH] {
        assert!(concerns_one_client(&errno.into()), "{errno}");
    }
    for errno in [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::INVAL,
    ] {
        assert!(!concerns_one_client(&errno.into()), "{errno}");
    }
}

/// The limit on descriptors is the process's, so the test has one of its own.
#[test]
fn accepting_and_dialling_survive_a_lack_of_descriptors() {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "net::listener::tests::without_descriptors"])
        .args(["--ignored", "--nocapture"])
        .env("SLUICE_TEST_CHILD", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "run by the test above in a process of its own"]
async fn without_descriptors() {
    if env::var_os("SLUICE_TEST_CHILD").is_none() {
        return;
    }
    let listener = Arc::new(bind("127.0.0.1:0"));
    let address = listener.local_addr().unwrap();
    let mut waiting = std::net::TcpStream::connect(address).unwrap();
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(64);
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }

    let accepting = Arc::clone(&listener);
    let mut task = tokio::spawn(async move { accepting.accept().await });
    timeout(Duration::from_millis(200), &mut task)
        .await
        .expect_err("nobody can be accepted now");
    let pauses = listener.trouble().next_pause();
    assert!(pauses > Duration::from_millis(40), "it waits ever longer");
    assert!(pauses < Duration::from_secs(1));

    let error = dial_it(address).await.unwrap_err();
    assert!(matches!(error, DialError::Local(_)), "{error}");

    drop(hoard);
    let mut accepted = timeout(Duration::from_secs(5), task)
        .await
        .unwrap()
        .unwrap();
    accepted.stream.write_all(b"welcome").await.unwrap();
    drop(accepted);
    let mut greeting = String::new();
    std::io::Read::read_to_string(&mut waiting, &mut greeting).unwrap();
    assert_eq!(greeting, "welcome");

    let mut next = dial_it(address).await.unwrap();
    drop(listener.accept().await);
    assert_eq!(next.read(&mut [0]).await.unwrap(), 0);
}

async fn dial_it(address: SocketAddr) -> Result<crate::net::Stream, DialError> {
    let options = dial_options("127.0.0.1", address.port());
    dial(&options, Instant::now() + Duration::from_secs(5)).await
}
