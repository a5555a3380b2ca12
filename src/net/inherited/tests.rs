use std::env;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use super::take_inherited;

/// Runs the child test below with `socket` as descriptor 3, as systemd would.
fn run_child(socket: OwnedFd, names: &str) -> std::process::Output {
    let script = r#"export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@" 3<&0"#;
    Command::new("/bin/sh")
        .args(["-c", script])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "net::inherited::tests::child", "--ignored"])
        .arg("--nocapture")
        .env("LISTEN_FDNAMES", names)
        .stdin(Stdio::from(socket))
        .output()
        .unwrap()
}

#[test]
fn a_socket_passed_by_descriptor_accepts_clients() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let output = run_child(listener.into(), "app");
    assert!(output.status.success(), "{output:?}");
    let mut greeting = String::new();
    client.read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, "hello from app");
}

#[test]
fn a_descriptor_that_does_not_listen_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let output = run_child(client.into(), "app");
    assert!(!output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("not a listening TCP socket"), "{text}");
}

#[test]
#[ignore = "run by the tests above in a process of its own"]
fn child() {
    use std::io::Write;

    if env::var_os("LISTEN_FDS").is_none() {
        return;
    }
    let mut sockets = take_inherited().unwrap();
    assert_eq!(sockets.len(), 1);
    assert!(take_inherited().unwrap().is_empty());
    let inherited = sockets.remove(0);
    let (mut client, _) = inherited.socket.accept().unwrap();
    write!(client, "hello from {}", inherited.name).unwrap();
}
