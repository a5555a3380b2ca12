//! What serverless functions do: thousands come at once, each asks one thing and leaves.
//!
//! `SLUICE_TEST_STORM_SECONDS` makes the steady part longer than ten seconds.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{net::TcpSocket, runtime::Runtime, task::JoinSet};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::support::{
    certs::Certs,
    iam::{Checker, Token, USER, delegate, signature},
    place,
    postgres::{ADMIN, Postgres},
    sluice::{Settings, Sluice, is_direct},
    wire::{Login, Wire},
};

const PORT: u16 = 5432;
const CLIENTS: u32 = 3_000;
const A_SECOND: u32 = 100;
const MOST_CONNECTIONS: u32 = 50;

/// One function: connects with TLS and its token, asks, leaves. Yields how long connecting took.
async fn visit(port: u16, number: u32, user: &str, token: String) -> Result<Duration, String> {
    let began = Instant::now();
    let socket = TcpSocket::new_v4().map_err(|e| e.to_string())?;
    let source = Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number % 200).unwrap());
    socket
        .bind(SocketAddr::new(IpAddr::V4(source), 0))
        .map_err(|e| e.to_string())?;
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let stream = socket.connect(address).await.map_err(|e| e.to_string())?;
    // A client of its own: nothing is resumed.
    let mut tls = MakeRustlsConnect::new(tokio_rustls::rustls::ClientConfig::clone(
        &Certs::shared().client_config(None),
    ));
    let tls = MakeTlsConnect::<tokio::net::TcpStream>::make_tls_connect(&mut tls, "localhost")
        .map_err(|e| e.to_string())?;
    let mut config = tokio_postgres::Config::new();
    config
        .user(user)
        .password(token)
        .dbname("postgres")
        .ssl_mode(tokio_postgres::config::SslMode::Require);
    let told = |e: tokio_postgres::Error| {
        e.as_db_error()
            .map_or_else(|| format!("{e:?}"), ToString::to_string)
    };
    let (client, connection) = config.connect_raw(stream, tls).await.map_err(told)?;
    let took = began.elapsed();
    let connection = tokio::spawn(connection);
    let row = client
        .query_one("select session_user::text", &[])
        .await
        .map_err(told)?;
    assert_eq!(row.get::<_, String>(0), user);
    drop(client);
    connection.await.map_err(|e| e.to_string())?.map_err(told)?;
    Ok(took)
}

/// The most server connections of a user that there were while `work` ran.
fn watched<T>(server_port: u16, user: &str, work: impl FnOnce() -> T) -> (T, u32) {
    let (done, most) = (AtomicBool::new(false), AtomicU32::new(0));
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            let mut admin = Wire::connect(&Login::new(server_port, "postgres", ADMIN)).unwrap();
            let query = format!("select count(*) from pg_stat_activity where usename = '{user}'");
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(admin.value(&query).parse().unwrap(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    });
    (result, most.into_inner())
}

struct Storm {
    port: u16,
    user: &'static str,
    /// The token of a client by its number.
    token: Box<dyn Fn(u32) -> String>,
}

impl Storm {
    /// Clients that come at these times.
    fn run(&self, clients: u32, pause: Duration) -> Vec<Duration> {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let mut visits = JoinSet::new();
            let began = tokio::time::Instant::now();
            for number in 0..clients {
                tokio::time::sleep_until(began + pause * number).await;
                visits.spawn(visit(self.port, number, self.user, (self.token)(number)));
            }
            let mut took = Vec::new();
            let mut failed = Vec::new();
            while let Some(visit) = visits.join_next().await {
                match visit.unwrap() {
                    Ok(time) => took.push(time),
                    Err(why) => failed.push(why),
                }
            }
            assert!(
                failed.is_empty(),
                "{} of {clients} failed, the first with {}",
                failed.len(),
                failed[0]
            );
            took.sort_unstable();
            took
        })
    }

    fn tell(what: &str, took: &[Duration], wall: Duration) {
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        println!(
            "{what}: {} clients in {wall:.1?}; connecting took p50 {:.1?}, p99 {:.1?}, at most {:.1?}",
            took.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }

    fn weather(&self, name: &str, server_port: u16) {
        let began = Instant::now();
        let (took, most) = watched(server_port, self.user, || {
            self.run(CLIENTS, Duration::from_micros(700))
        });
        Self::tell(&format!("{name}, storm"), &took, began.elapsed());
        println!("{name}, storm: {most} server connections");
        assert!(most <= MOST_CONNECTIONS, "{most} server connections");
        let seconds = std::env::var("SLUICE_TEST_STORM_SECONDS").map_or(10, |s| s.parse().unwrap());
        let began = Instant::now();
        let pause = Duration::from_secs(1) / A_SECOND;
        let (took, most) = watched(server_port, self.user, || {
            self.run(A_SECOND * seconds, pause)
        });
        Self::tell(
            &format!("{name}, {A_SECOND} a second"),
            &took,
            began.elapsed(),
        );
        println!("{name}, {A_SECOND} a second: {most} server connections");
        assert!(most <= MOST_CONNECTIONS, "{most} server connections");
    }
}

fn settings(settings: Settings) -> Settings {
    settings
        .group("default_pool_size", i64::from(MOST_CONNECTIONS))
        .general("max_client_conn", 10_000)
        .general("log_connections", false)
        .listener("backlog", 4096)
}

#[test]
fn a_storm_of_functions_each_with_a_token_of_its_own_meets_no_error() {
    if is_direct() {
        return;
    }
    place::raise_open_files(u64::from(CLIENTS) * 2);
    let server = Postgres::private(&[]);
    let proxy = Sluice::start(&signature(
        settings(Settings::for_server(server.port)),
        PORT,
    ));
    let storm = Storm {
        port: proxy.port,
        user: "app",
        token: Box::new(|number| {
            let token = Token {
                user: "app".into(),
                age: i64::from(number % 600),
                ..Token::at(PORT)
            };
            if number % 2 == 0 {
                token.text()
            } else {
                token.temporary().text()
            }
        }),
    };
    storm.weather("signature", server.port);
}

#[test]
fn a_storm_of_functions_whose_tokens_the_server_judges_meets_no_error() {
    if is_direct() {
        return;
    }
    place::raise_open_files(u64::from(CLIENTS) * 2);
    let checker = Checker::start(PORT);
    let server = checker.postgres();
    let proxy = Sluice::start(&delegate(settings(Settings::for_server(server.port)), PORT));
    // Functions that start in the same second with the same role sign the same token.
    let tokens: Arc<[String]> = (0..30)
        .map(|age| {
            Token {
                age,
                ..Token::at(PORT)
            }
            .temporary()
            .text()
        })
        .collect();
    let storm = Storm {
        port: proxy.port,
        user: USER,
        token: Box::new(move |number| tokens[number as usize % tokens.len()].clone()),
    };
    storm.weather("delegate", server.port);
    println!("the server was asked {} times", checker.log().len());
    println!(
        "verdicts: {}",
        proxy
            .get("/metrics")
            .1
            .lines()
            .filter(|l| l.starts_with("sluice_token_cache"))
            .collect::<Vec<_>>()
            .join(", ")
    );
}
