//! The endpoint over loopback, spoken to in raw HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::commands::CommandError;
use super::bounded::{MAX_CONNECTIONS, READ_BUDGET};
use super::{Admin, DEADLINE, Readiness, serve_within};
use crate::telemetry::MetricRegistry;

const PHASES: [Readiness; 4] = [
    Readiness::Starting,
    Readiness::NoTarget,
    Readiness::Ready,
    Readiness::Draining,
];

struct Endpoint {
    address: SocketAddr,
    phase: Arc<AtomicUsize>,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Endpoint {
    async fn start() -> Self {
        Self::start_within(DEADLINE).await
    }

    async fn start_within(deadline: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let phase = Arc::new(AtomicUsize::new(0));
        let shown = Arc::clone(&phase);
        let admin = Admin {
            metrics: MetricRegistry::new().unwrap(),
            readiness: Arc::new(move || PHASES[shown.load(Ordering::Relaxed)]),
            status: Arc::new(|| json!({"pools": [{"server_connections": 3}]})),
            explain: Arc::new(|question| match &*question.sql {
                "" => Err(CommandError::Mistaken("nothing".into())),
                sql => Ok(json!({ "sql": sql })),
            }),
            commands: Some(Arc::new(|verb, words| {
                Box::pin(async move {
                    match words.to.as_deref() {
                        Some("nowhere") => Err(CommandError::Mistaken("no such place".into())),
                        Some("too late") => Err(CommandError::Failed("in time".into())),
                        to => Ok(json!({ "verb": format!("{verb:?}"), "to": to })),
                    }
                })
            })),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve_within(deadline, listener, admin, stop.clone()));
        Self {
            address,
            phase,
            stop,
            task,
        }
    }

    /// Sends `request` and reads to the end.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is as good an end as any.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.exchange(request.as_bytes()).await
    }
}

#[tokio::test]
async fn metrics_come_in_the_text_format() {
    let answer = Endpoint::start().await.get("/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let headers = answer.to_ascii_lowercase();
    assert!(headers.contains("\r\ncontent-type: text/plain; version=0.0.4\r\n"));
    assert!(headers.contains("\r\nconnection: close\r\n"));
    assert!(answer.contains("\nsluice_build_info{"), "{answer}");
}

#[tokio::test]
async fn readiness_follows_the_process_and_says_why() {
    let endpoint = Endpoint::start().await;
    for (phase, code, reason) in [
        (0, "503", "starting\n"),
        (1, "503", "no target reachable\n"),
        (2, "200", "ready\n"),
        (3, "503", "draining\n"),
    ] {
        endpoint.phase.store(phase, Ordering::Relaxed);
        let answer = endpoint.get("/readyz").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{reason}")), "{answer}");
        let alive = endpoint.get("/livez").await;
        assert!(alive.starts_with("HTTP/1.1 200 ") && alive.ends_with("\r\n\r\nok\n"));
    }
}

#[tokio::test]
async fn status_is_json() {
    let answer = Endpoint::start().await.get("/status").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.to_ascii_lowercase()
            .contains("content-type: application/json")
    );
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["pools"][0]["server_connections"], 3);
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let endpoint = Endpoint::start().await;
    assert!(endpoint.get("/").await.starts_with("HTTP/1.1 404 "));
    let post = b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    assert!(endpoint.exchange(post).await.starts_with("HTTP/1.1 405 "));
    assert!(
        !endpoint
            .exchange(b"\x16\x03\x01\r\n\r\n")
            .await
            .contains(" 200 ")
    );
}

#[tokio::test]
async fn a_request_beyond_the_budget_is_cut_off() {
    let endpoint = Endpoint::start().await;
    let head = |pad: usize| {
        let pad = "x".repeat(pad);
        format!("GET /livez HTTP/1.1\r\nHost: x\r\nPad: {pad}\r\n\r\n")
    };
    let fits = endpoint.exchange(head(READ_BUDGET / 2).as_bytes()).await;
    assert!(fits.starts_with("HTTP/1.1 200 "), "{fits}");
    let over = endpoint.exchange(head(READ_BUDGET).as_bytes()).await;
    assert!(!over.contains(" 200 "), "{over}");
}

#[tokio::test]
async fn clients_that_say_nothing_are_dropped_and_make_room() {
    let deadline = Duration::from_millis(500);
    let endpoint = Endpoint::start_within(deadline).await;
    let begun = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        silent.push(TcpStream::connect(endpoint.address).await.unwrap());
    }
    assert!(endpoint.get("/livez").await.contains(" 200 "));
    assert!(
        begun.elapsed() >= deadline,
        "answered with every slot taken"
    );
    for mut stream in silent {
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn it_ends_when_told() {
    let endpoint = Endpoint::start().await;
    let _silent = TcpStream::connect(endpoint.address).await.unwrap();
    assert!(endpoint.get("/livez").await.contains(" 200 "));
    endpoint.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), endpoint.task).await;
    ended.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(endpoint.address).await.is_err());
}

#[tokio::test]
async fn orders_are_json_by_post() {
    let endpoint = Endpoint::start().await;
    let send = async |path: &str, kind: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        endpoint.exchange(request.as_bytes()).await
    };
    let json = "application/json";
    let answer = send("/switchover", json, "{\"to\": \"db:1\"}").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.contains("\"Switchover\"") && answer.contains("\"db:1\""),
        "{answer}"
    );
    for (path, kind, body, status) in [
        // What a page in a browser can send without leave.
        ("/pause", "text/plain", "{}", 415),
        ("/pause", "application/x-www-form-urlencoded", "{}", 415),
        ("/pause", json, "{", 400),
        ("/pause", json, "{\"unknown\": 1}", 422),
        ("/switchover", json, "{\"to\": \"nowhere\"}", 400),
        ("/switchover", json, "{\"to\": \"too late\"}", 409),
        ("/status", json, "{}", 405),
    ] {
        let answer = send(path, kind, body).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{path} {body}: {answer}");
    }
    let answer = endpoint.get("/resume").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}
