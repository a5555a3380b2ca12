use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::net::options::TlsMode;
use crate::net::testing::{Authority, client_tls, connected, server_tls, shake};
use crate::net::tls::TlsError;
use crate::net::{Stream, dial};

const HOST: &str = "proxy.example.com";

async fn inside_tls() -> (Stream, Stream) {
    let ca = Authority::new("ca");
    let server = server_tls(&ca.server(HOST));
    let shaken = shake(&server, &client_tls(TlsMode::Require, None), HOST).await;
    (shaken.server.unwrap(), shaken.client.unwrap())
}

#[tokio::test]
async fn bytes_pass_both_ways_plain_and_inside_tls() {
    for (mut server, mut client) in [connected().await, inside_tls().await] {
        let large = vec![7_u8; 300_000];
        let send = async {
            client.write_all(&large).await.unwrap();
            client.flush().await.unwrap();
        };
        let mut received = vec![0; large.len()];
        let receive = async { server.read_exact(&mut received).await.unwrap() };
        tokio::join!(send, receive);
        assert_eq!(received, large);

        let slices = [IoSlice::new(b"one "), IoSlice::new(b"two")];
        let written = poll_fn(|cx| server.poll_write_vectored(cx, &slices)).await;
        assert_eq!(written.unwrap(), 7);
        server.flush().await.unwrap();
        let mut answer = [0; 7];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"one two");
    }
}

#[tokio::test]
async fn the_end_of_the_stream_reads_as_the_end_with_and_without_goodbye() {
    for polite in [true, false] {
        for (mut server, mut client) in [connected().await, inside_tls().await] {
            // A ticket left unread would make the client's kernel reset the connection.
            server.write_all(b"x").await.unwrap();
            server.flush().await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'x');
            client.write_all(b"last").await.unwrap();
            client.flush().await.unwrap();
            if polite {
                client.shutdown().await.unwrap();
            }
            drop(client);
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"last");
        }
    }
}

#[tokio::test]
async fn readiness_is_seen_without_reading() {
    for (mut server, mut client) in [connected().await, inside_tls().await] {
        // A session ticket may lie in the client's socket; it is dealt with here.
        server.write_all(b"x").await.unwrap();
        server.flush().await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'x');
        assert!(!client.readable_now());
        assert!(!client.readable_by_reactor());

        server.write_all(b"ab").await.unwrap();
        server.flush().await.unwrap();
        while !client.readable_by_reactor() {
            tokio::task::yield_now().await;
        }
        assert!(client.readable_now());
        assert_eq!(client.read_u8().await.unwrap(), b'a');
        assert!(
            client.readable_now(),
            "one byte is left, in memory or below"
        );
        assert_eq!(client.read_u8().await.unwrap(), b'b');
        assert!(!client.readable_now());

        drop(server);
        while !client.readable_by_reactor() {
            tokio::task::yield_now().await;
        }
        assert!(client.readable_now(), "the end counts");
    }
}

#[tokio::test]
async fn a_failed_handshake_bars_the_stream_and_tells_the_peer() {
    let (mut server, mut client) = connected().await;
    let ca = Authority::new("ca");
    let tls = server_tls(&ca.server(HOST));
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = server.upgrade_server(&tls, &[]).await.unwrap_err();
    assert!(matches!(error, TlsError::NotTls(_)), "{error:?}");
    assert!(server.peer_addr().is_ok());
    let kind = |result: std::io::Result<usize>| result.unwrap_err().kind();
    assert_eq!(kind(server.write(b"x").await), ErrorKind::NotConnected);
    assert_eq!(kind(server.read(&mut [0]).await), ErrorKind::NotConnected);
    let again = server.upgrade_server(&tls, &[]).await.unwrap_err();
    assert!(matches!(again, TlsError::NotPlain));
    client.write_all(b"more that is never read").await.unwrap();
    let (mut alert, patience) = (Vec::new(), Duration::from_secs(5));
    let reading = async {
        client.read_to_end(&mut alert).await.unwrap();
        drop(client);
    };
    tokio::join!(server.close(patience), reading);
    // A fatal alert: record type 21 (RFC 8446 section 5.1).
    assert_eq!(alert[0], 21);
}

#[tokio::test]
async fn a_handshake_dropped_midway_leaves_no_way_to_write_plaintext() {
    let (mut server, _client) = connected().await;
    let ca = Authority::new("ca");
    let tls = server_tls(&ca.server(HOST));
    let patience = Duration::from_millis(5);
    let handshake = tokio::time::timeout(patience, server.upgrade_server(&tls, &[])).await;
    assert!(handshake.is_err());
    assert!(server.write_all(b"x").await.is_err());
    assert!(server.peer_addr().is_err());
    assert!(!server.is_tls());
}

#[tokio::test]
async fn a_parting_message_survives_unread_input() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = crate::net::testing::dial_options("127.0.0.1", port);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let mut client = dial(&options, deadline).await.unwrap();
    let mut server = Stream::plain(listener.accept().await.unwrap().0);
    client.write_all(&[1; 10_000]).await.unwrap();
    server.write_all(b"too many clients").await.unwrap();
    let closing = tokio::spawn(server.close(Duration::from_secs(5)));
    // The client is slow to read: a careless close would be over by now, and have reset.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert!(!closing.is_finished());
    let mut farewell = String::new();
    client.read_to_string(&mut farewell).await.unwrap();
    assert_eq!(farewell, "too many clients");
    drop(client);
    closing.await.unwrap();
}
