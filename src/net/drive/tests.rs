use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::ClientConnection;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{DriveError, TlsRole, begins_with_tls, drive, drive_unsaid};
use crate::model::{Secret, TlsFacts};
use crate::net::options::TlsMode;
use crate::net::testing::{Authority, client_tls, connected, server_tls};
use crate::net::{Stream, TlsError};
use crate::protocol::exchange::{Costly, Exchange, Step};

const HOST: &str = "proxy.example.com";
const CAP: usize = 64;

/// Reads commands of one byte each: `t` shakes hands, `h` computes a hash and sends it,
/// `e` says `no` and fails, `d` ends; `.` is ignored, and `w` waits for a second `w`.
#[derive(Default)]
struct Script {
    secured: Option<TlsFacts>,
    hash: Option<Secret>,
}

impl Exchange for Script {
    type Done = &'static str;
    type Error = &'static str;

    fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Step<&'static str>, &'static str> {
        if let Some(hash) = self.hash.take() {
            out.extend_from_slice(hash.expose());
        }
        loop {
            if input.first() == Some(&b'w') {
                let Some(end) = input.iter().skip(1).position(|byte| *byte == b'w') else {
                    return Ok(Step::Read);
                };
                input.advance(end + 2);
                continue;
            }
            if input.is_empty() {
                return Ok(Step::Read);
            }
            match input.get_u8() {
                b't' => {
                    out.extend_from_slice(b"S");
                    return Ok(Step::UpgradeTls);
                }
                b'h' => return Ok(Step::Compute(Costly::new(|| Secret::new(*b"hash")))),
                b'p' => return Ok(Step::Compute(Costly::new(|| panic!("lost")))),
                b'e' => {
                    out.extend_from_slice(b"no");
                    return Err("refused");
                }
                b'd' => {
                    out.extend_from_slice(b"bye");
                    return Ok(Step::Done("done"));
                }
                _ => {}
            }
        }
    }

    fn secured(&mut self, facts: &TlsFacts) {
        self.secured = Some(facts.clone());
    }

    fn computed(&mut self, result: Secret) {
        self.hash = Some(result);
    }
}

type Outcome = Result<&'static str, DriveError<&'static str>>;

/// Runs the script over what a client sends at once; returns the outcome, what is left of the
/// input, and what the client gets before the end.
async fn run(sent: &[u8], tls: &TlsRole) -> (Outcome, BytesMut, Vec<u8>) {
    let (mut server, mut client) = connected().await;
    client.write_all(sent).await.unwrap();
    client.shutdown().await.unwrap();
    let mut input = BytesMut::new();
    let mut script = Script::default();
    let outcome = drive(&mut server, &mut script, &mut input, tls, CAP).await;
    drop(server);
    let mut got = Vec::new();
    let _reset = client.read_to_end(&mut got).await;
    (outcome, input, got)
}

fn role() -> TlsRole {
    let ca = Authority::new("ca");
    TlsRole::Server(Arc::new(server_tls(&ca.server(HOST))))
}

#[tokio::test]
async fn a_dialogue_runs_to_its_end_and_leaves_what_follows() {
    let (outcome, left, got) = run(b"..h.dnext", &TlsRole::Unavailable).await;
    assert_eq!(outcome.unwrap(), "done");
    assert_eq!(&left[..], b"next");
    assert_eq!(got, b"hashbye");
}

#[tokio::test]
async fn what_is_said_last_may_wait_for_what_comes_next() {
    let (mut server, mut client) = connected().await;
    let (mut input, mut unsaid) = (BytesMut::from(&b"h.d"[..]), BytesMut::new());
    let (mut script, tls) = (Script::default(), TlsRole::Unavailable);
    let outcome = drive_unsaid(&mut server, &mut script, &mut input, &mut unsaid, &tls, CAP).await;
    assert_eq!(outcome.unwrap(), "done");
    assert_eq!(&unsaid[..], b"hashbye");
    drop(server);
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"", "it has been sent");
}

#[tokio::test]
async fn input_from_before_is_used_first() {
    let (mut server, _client) = connected().await;
    let mut input = BytesMut::from(&b".d"[..]);
    let mut script = Script::default();
    let tls = TlsRole::Unavailable;
    let outcome = drive(&mut server, &mut script, &mut input, &tls, CAP).await;
    assert_eq!(outcome.unwrap(), "done");
}

#[tokio::test]
async fn a_refusal_reaches_the_peer() {
    let (outcome, _, got) = run(b".e", &TlsRole::Unavailable).await;
    assert!(matches!(outcome, Err(DriveError::Exchange("refused"))));
    assert_eq!(got, b"no");
}

#[tokio::test]
async fn the_end_of_the_stream_and_endless_messages_end_the_dialogue() {
    let (outcome, ..) = run(b"...", &TlsRole::Unavailable).await;
    assert!(matches!(outcome, Err(DriveError::Closed)));
    let mut endless = vec![b'w'];
    endless.resize(10 * CAP, b'.');
    let (outcome, left, _) = run(&endless, &TlsRole::Unavailable).await;
    assert!(matches!(outcome, Err(DriveError::InputTooLong(CAP))));
    assert_eq!(left.len(), CAP);
}

#[tokio::test]
async fn consumed_input_does_not_count_against_the_cap() {
    let mut long = vec![b'.'; 10 * CAP];
    long.push(b'd');
    let (outcome, ..) = run(&long, &TlsRole::Unavailable).await;
    assert_eq!(outcome.unwrap(), "done");
}

#[tokio::test]
async fn plaintext_before_the_handshake_is_refused() {
    let (outcome, left, got) = run(b"t.d and more", &role()).await;
    assert!(matches!(outcome, Err(DriveError::Tls(TlsError::NotTls(_)))));
    // An alert (RFC 8446 section 5.1) follows the answer; nothing is left to be read again.
    assert_eq!((left.len(), got.first_chunk()), (0, Some(b"S\x15")));
    let ca = Authority::new("ca");
    let tls = Arc::new(client_tls(TlsMode::VerifyFull, Some(ca.file())));
    let name = ServerName::try_from(HOST).unwrap();
    let (outcome, left, _) = run(b"t.", &TlsRole::Client { tls, name }).await;
    assert!(matches!(outcome, Err(DriveError::BytesBeforeTls)));
    assert_eq!(&left[..], b".");
}

#[tokio::test]
async fn a_client_need_not_wait_to_begin_its_handshake() {
    use std::io::{Read, Write};
    let ca = Authority::new("ca");
    let role = TlsRole::Server(Arc::new(server_tls(&ca.server(HOST))));
    let config = client_tls(TlsMode::VerifyFull, Some(ca.file())).config;
    // With its request none, a part or all of its handshake arrives.
    for early in [0, 100, usize::MAX] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut tcp = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = listener.accept().unwrap().0;
        accepted.set_nonblocking(true).unwrap();
        let mut server = Stream::plain(tokio::net::TcpStream::from_std(accepted).unwrap());
        let name = ServerName::try_from(HOST).unwrap();
        let mut session = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let mut hello = Vec::new();
        session.write_tls(&mut hello).unwrap();
        let after = hello.split_off(early.min(hello.len()));
        let mut input = BytesMut::from(&b"t"[..]);
        input.extend_from_slice(&hello);
        let talking = tokio::task::spawn_blocking(move || {
            tcp.write_all(&after).unwrap();
            let mut got = [0; 4];
            tcp.read_exact(&mut got[..1]).unwrap();
            let mut tls = tokio_rustls::rustls::Stream::new(&mut session, &mut tcp);
            tls.write_all(b"d").unwrap();
            tls.read_exact(&mut got[1..]).unwrap();
            got
        });
        let mut script = Script::default();
        let outcome = drive(&mut server, &mut script, &mut input, &role, CAP).await;
        assert_eq!(outcome.unwrap(), "done");
        assert_eq!(talking.await.unwrap(), *b"Sbye");
    }
}

#[tokio::test]
async fn a_lost_computation_and_missing_tls_are_errors() {
    let (outcome, ..) = run(b"p", &TlsRole::Unavailable).await;
    assert!(matches!(outcome, Err(DriveError::ComputeFailed)));
    let (outcome, ..) = run(b"t", &TlsRole::Unavailable).await;
    assert!(matches!(outcome, Err(DriveError::TlsUnavailable)));
}

#[tokio::test]
async fn in_client_role_the_handshake_is_the_clients() {
    let (mut server, mut client) = connected().await;
    let TlsRole::Server(server_tls) = role() else {
        panic!("the role of a server");
    };
    let talk = async {
        assert_eq!(server.read_u8().await.unwrap(), b'S');
        server.upgrade_server(&server_tls, &[]).await.unwrap();
        server.write_all(b"dleft").await.unwrap();
        server.flush().await.unwrap();
        server
    };
    let tls = Arc::new(client_tls(TlsMode::Require, None));
    let name = tls.name_for(HOST).unwrap();
    let role = TlsRole::Client { tls, name };
    let (mut script, mut input) = (Script::default(), BytesMut::from(&b"t"[..]));
    let driving = drive(&mut client, &mut script, &mut input, &role, CAP);
    let (outcome, server) = tokio::join!(driving, talk);
    assert_eq!(outcome.unwrap(), "done");
    assert_eq!(&input[..], b"left");
    assert_eq!(script.secured.unwrap().end_point, server_tls.end_point);
    assert!(client.is_tls() && server.is_tls());
}

#[tokio::test]
async fn after_the_handshake_the_dialogue_goes_on_inside_tls() {
    let (mut server, mut client) = connected().await;
    let tls = role();
    let task = tokio::spawn(async move {
        let (mut script, mut input) = (Script::default(), BytesMut::new());
        let outcome = drive(&mut server, &mut script, &mut input, &tls, CAP).await;
        (outcome.unwrap(), script.secured.unwrap(), server)
    });
    client.write_all(b"t").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'S');
    let tls = client_tls(TlsMode::Require, None);
    let name = tls.name_for(HOST).unwrap();
    let facts = client.upgrade_client(&tls, name).await.unwrap();
    client.write_all(b"hd").await.unwrap();
    let mut answer = [0; 7];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hashbye");
    let (done, secured, server) = task.await.unwrap();
    assert_eq!(done, "done");
    assert!(server.is_tls() && secured.end_point.is_some());
    assert_eq!(secured.end_point, facts.end_point);
}

#[tokio::test]
async fn a_failed_handshake_is_reported_as_such() {
    let (mut server, mut client) = connected().await;
    let tls = role();
    let (mut script, mut input) = (Script::default(), BytesMut::new());
    let talk = async {
        client.write_all(b"t").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'S');
        client.write_all(b"not a handshake").await.unwrap();
        client
    };
    let driving = drive(&mut server, &mut script, &mut input, &tls, CAP);
    let (outcome, _client) = tokio::join!(driving, talk);
    let error = outcome.unwrap_err();
    assert!(matches!(error, DriveError::Tls(TlsError::NotTls(_))));
    assert!(script.secured.is_none());
}

#[tokio::test]
async fn direct_tls_is_told_from_other_first_bytes_which_are_kept() {
    for (first, expected) in [(22_u8, true), (0, false), (b'Q', false)] {
        let (mut server, mut client) = connected().await;
        client.write_all(&[first, 1]).await.unwrap();
        let mut input = BytesMut::new();
        let found = begins_with_tls(&mut server, &mut input, CAP).await;
        assert_eq!(found.unwrap(), expected);
        assert_eq!(&input[..], [first, 1]);
    }
    let (mut server, client): (Stream, Stream) = connected().await;
    drop(client);
    let mut input = BytesMut::new();
    let found = begins_with_tls(&mut server, &mut input, CAP).await;
    assert!(!found.unwrap() && input.is_empty());
}

/// On one thread, a computation must not keep other tasks waiting.
#[tokio::test]
async fn computations_run_beside_other_work() {
    static RELEASED: AtomicBool = AtomicBool::new(false);
    let waiting = super::compute(Costly::new(|| {
        while !RELEASED.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        Secret::new(*b"end")
    }));
    let other = async { RELEASED.store(true, Ordering::SeqCst) };
    let (result, ()) = tokio::join!(waiting, other);
    assert_eq!(result.unwrap().expose(), b"end");
}

/// A session's task is as large as the largest thing it ever awaits, and keeps that size for life.
#[tokio::test]
async fn the_future_of_a_dialogue_is_small() {
    let (mut server, _client) = connected().await;
    let (mut script, mut input) = (Script::default(), BytesMut::new());
    let tls = TlsRole::Unavailable;
    let future = drive(&mut server, &mut script, &mut input, &tls, CAP);
    let size = size_of_val(&future);
    assert!(size <= 512, "{size}");
}
