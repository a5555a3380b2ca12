//! Tokens that the server judges, with somebody else's code.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    certs::Certs,
    iam::{Checker, TRUSTED, Token, USER, delegate},
    mysql,
    postgres::{ADMIN, Postgres},
    sluice::{Settings, Sluice, is_direct},
    wait,
    wire::{Login, Wire},
};

const PORT: u16 = 5432;

fn start(change: impl FnOnce(Settings) -> Settings) -> (Checker, Postgres, Sluice) {
    let checker = Checker::start(PORT);
    let server = checker.postgres();
    let settings = delegate(Settings::for_server(server.port), PORT);
    let proxy = Sluice::start(&change(settings));
    (checker, server, proxy)
}

fn login(proxy: &Sluice, password: &str) -> Login {
    Login::new(proxy.port, "postgres", (USER, password)).tls(Certs::shared().client_config(None))
}

fn backends(server: &Postgres) -> String {
    let query = "select count(*) from pg_stat_activity where usename = 'iam_app'";
    Wire::connect(&Login::new(server.port, "postgres", ADMIN))
        .unwrap()
        .value(query)
}

#[test]
fn the_server_decides_and_the_login_it_decides_by_serves_the_pool() {
    if is_direct() {
        return;
    }
    let (checker, server, proxy) = start(|settings| settings);
    let temporary = Token::at(PORT).temporary();
    for token in [Token::at(PORT), temporary] {
        let mut wire = Wire::connect(&login(&proxy, &token.text())).unwrap();
        assert_eq!(wire.value("select session_user"), USER);
    }
    // Each token was asked about once. The pool may have opened another connection with it, where
    // one was not back in time.
    assert_eq!(proxy.metric("sluice_token_cache_total", "miss"), 2.0);
    let before = checker.log();
    assert!((2..=4).contains(&before.len()), "{before:?}");
    assert!(before.iter().all(|line| line == "iam_app accepted"));
    assert_eq!(backends(&server), before.len().to_string());
    // A signature that only the server can tell to be wrong.
    let wrong = Token {
        secret: "guessed".into(),
        ..Token::at(PORT)
    };
    let refused = Wire::connect(&login(&proxy, &wrong.text()))
        .err()
        .expect("a refusal");
    assert_eq!(refused.sqlstate(), "28P01");
    let before = before.len();
    assert_eq!(checker.log()[before..], ["iam_app wrong signature"]);
    wait::until_true("the reason in the log", || {
        proxy.log().contains("reason=\"refused_by_database\"")
    });
    // A user whom the server does not know looks the same; one whom it would ask for a password too.
    for user in ["nobody", "app"] {
        let token = Token {
            user: user.into(),
            ..Token::at(PORT)
        };
        let stranger = Login {
            user: user.into(),
            ..login(&proxy, &token.text())
        };
        let again = Wire::connect(&stranger).err().expect("a refusal");
        assert_eq!(again.sqlstate(), "28P01", "{user}");
    }
    // What is wrong by itself is not shown to the server.
    for wrong in [
        Token {
            host: "localhost".into(),
            ..Token::at(PORT)
        },
        Token {
            user: "other".into(),
            ..Token::at(PORT)
        },
        Token {
            age: 900,
            ..Token::at(PORT)
        },
    ] {
        assert!(
            Wire::connect(&login(&proxy, &wrong.text())).is_err(),
            "{wrong:?}"
        );
    }
    assert_eq!(checker.log().len(), before + 1);
    // Invented users leave no pools behind.
    let pools = proxy.status()["pools"].to_string();
    assert!(pools.contains(USER) && !pools.contains("nobody"), "{pools}");
}

#[test]
fn a_server_that_does_not_ask_for_the_token_has_not_judged_it() {
    if is_direct() {
        return;
    }
    let (_checker, _server, proxy) = start(|settings| settings);
    // Anybody can sign such a token; the server would let the user in with any password.
    for (user, secret) in [(TRUSTED, "guessed"), ("app", "guessed")] {
        let forged = Token {
            user: user.into(),
            secret: secret.into(),
            ..Token::at(PORT)
        };
        let login = Login {
            user: user.into(),
            ..login(&proxy, &forged.text())
        };
        let refused = Wire::connect(&login).err().expect("a refusal");
        assert_eq!(refused.sqlstate(), "28P01", "{user}");
    }
    assert!(proxy.log().contains("reason=\"not_asked_for\""));
    let checker = Checker::start(3306);
    let (server, _service) = checker.mariadb();
    let proxy = Sluice::start(&delegate(Settings::for_mysql(server.port), 3306));
    let forged = Token {
        user: TRUSTED.into(),
        secret: "guessed".into(),
        ..Token::at(3306)
    };
    let login = mysql::login::Login::new(proxy.port, "", (TRUSTED, &forged.text())).with_tls();
    assert!(mysql::wire::Wire::connect(&login).is_err());
    assert!(proxy.log().contains("reason=\"not_asked_for\""));
}

#[test]
fn a_thousand_clients_with_one_token_ask_once() {
    if is_direct() {
        return;
    }
    let (checker, _server, proxy) = start(|settings| settings);
    let login = login(&proxy, &Token::at(PORT).text());
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let mut wire = Wire::connect(&login).unwrap();
                    assert_eq!(wire.value("select 1"), "1");
                }
            });
        }
    });
    println!("200 logins with one token: {:?}", began.elapsed());
    // Besides the one that the verdict came from, the pool has opened others with the same token.
    let pool = checker.log();
    assert!(pool.len() <= 4, "{pool:?}");
    assert_eq!(proxy.metric("sluice_token_cache_total", "miss"), 1.0);
    let rest = proxy.metric("sluice_token_cache_total", "hit")
        + proxy.metric("sluice_token_cache_total", "shared");
    assert_eq!(rest, 199.0);
    println!(
        "{}",
        proxy
            .get("/metrics")
            .1
            .lines()
            .filter(|l| l.contains("token_verification_seconds_"))
            .take(40)
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn a_reload_forgets_neither_verdicts_nor_failures() {
    if is_direct() {
        return;
    }
    let settings = |settings: Settings| {
        settings
            .extra("[tokens]\nmax_failures_per_user = 3\n")
            .group("default_pool_size", 1)
    };
    let (checker, server, proxy) = start(settings);
    let reload = |number: usize| {
        proxy.signal(rustix::process::Signal::HUP);
        wait::until_true("the reload", || {
            proxy.log().matches("configuration reloaded").count() == number
        });
    };
    let token = Token::at(PORT).text();
    let mut wire = Wire::connect(&login(&proxy, &token)).unwrap();
    assert_eq!(wire.value("select 1"), "1");
    let asked = checker.log().len();
    reload(1);
    let mut again = Wire::connect(&login(&proxy, &token)).unwrap();
    assert_eq!(again.value("select session_user"), USER);
    assert_eq!(checker.log().len(), asked, "the database was asked again");
    assert_eq!(proxy.metric("sluice_token_cache_total", "miss"), 1.0);
    // What clients have shown opens connections still.
    Wire::connect(&Login::new(server.port, "postgres", ADMIN))
        .unwrap()
        .succeed(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'iam_app'",
        );
    wait::until_true("another connection", || {
        Wire::connect(&login(&proxy, &token)).is_ok_and(|mut wire| {
            let replies = wire.simple("select 1");
            crate::support::wire::backend::error(&replies).is_none()
        })
    });
    // Failures before and after it add up.
    let wrong = Token {
        region: "eu-west-1".into(),
        ..Token::at(PORT)
    };
    let fail = |times: usize| {
        for _ in 0..times {
            assert!(Wire::connect(&login(&proxy, &wrong.text())).is_err());
        }
    };
    fail(3);
    let throttled = || proxy.metric("sluice_token_throttled_total", "user");
    assert_eq!(throttled(), 0.0);
    reload(2);
    // By itself that is below the limit, with one to spare.
    fail(2);
    assert!(throttled() >= 1.0);
}

#[test]
fn a_revoked_key_is_refused_after_the_time_that_is_configured() {
    if is_direct() {
        return;
    }
    let (checker, _server, proxy) = start(|settings| {
        settings.extra("[tokens]\ncache_ttl = \"3s\"\nnegative_cache_ttl = \"1s\"\n")
    });
    let login = login(&proxy, &Token::at(PORT).text());
    assert!(Wire::connect(&login).is_ok());
    let accepted = Instant::now();
    checker.revoke("AKIDEXAMPLE");
    assert!(Wire::connect(&login).is_ok(), "still remembered");
    wait::until_true("the revocation", || Wire::connect(&login).is_err());
    let lag = accepted.elapsed();
    println!("revocation took effect after {lag:?}, with cache_ttl = 3s");
    assert!(
        lag > Duration::from_secs(2) && lag < Duration::from_secs(5),
        "{lag:?}"
    );
    // A refusal is remembered too, for a shorter time.
    let asked = checker.log().len();
    assert!(Wire::connect(&login).is_err());
    assert_eq!(checker.log().len(), asked);
    checker.revoke("nobody's");
    wait::until_true("the key's return", || Wire::connect(&login).is_ok());
}

#[test]
fn many_tokens_never_make_more_connections_than_the_pool_may_have() {
    if is_direct() {
        return;
    }
    let (checker, server, proxy) = start(|settings| settings.group("default_pool_size", 3));
    let most = std::sync::atomic::AtomicU32::new(0);
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let now = backends(&server).parse().unwrap();
                most.fetch_max(now, std::sync::atomic::Ordering::Relaxed);
            }
        });
        let clients: Vec<_> = (0..6)
            .map(|client| {
                let proxy = &proxy;
                scope.spawn(move || {
                    for n in 0..8 {
                        // Each its own.
                        let token = Token {
                            age: client * 100 + n * 12,
                            ..Token::at(PORT)
                        };
                        let mut wire = Wire::connect(&login(proxy, &token.text())).unwrap();
                        assert_eq!(wire.value("select session_user"), USER);
                    }
                })
            })
            .collect();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let most = most.into_inner();
    assert!(most <= 3, "{most} server connections at once");
    assert!(checker.log().len() >= 48, "{:?}", checker.log().len());
    assert!(checker.log().iter().all(|line| line == "iam_app accepted"));
}

#[test]
fn a_token_waits_for_a_busy_pool_and_a_wrong_one_leaves_it_as_it_was() {
    if is_direct() {
        return;
    }
    let (checker, server, proxy) = start(|settings| settings.group("default_pool_size", 1));
    let good = |age| {
        login(
            &proxy,
            &Token {
                age,
                ..Token::at(PORT)
            }
            .text(),
        )
    };
    let mut first = Wire::connect(&good(0)).unwrap();
    first.succeed("begin");
    thread::scope(|scope| {
        let second = scope.spawn(|| Wire::connect(&good(1)).unwrap().value("select 'in'"));
        thread::sleep(Duration::from_millis(300));
        assert!(!second.is_finished(), "there is no connection to try it on");
        assert_eq!(backends(&server), "1");
        first.succeed("commit");
        assert_eq!(second.join().unwrap(), "in");
    });
    assert_eq!(first.value("select 'still in'"), "still in");
    let wrong = Token {
        secret: "x".into(),
        ..Token::at(PORT)
    };
    assert!(Wire::connect(&login(&proxy, &wrong.text())).is_err());
    assert_eq!(first.value("select 'still in'"), "still in");
    assert_eq!(backends(&server), "1");
    let _ = checker;
}

#[test]
fn an_unreachable_server_is_no_refusal() {
    if is_direct() {
        return;
    }
    let (checker, mut server, proxy) =
        start(|settings| settings.group("connection_borrow_timeout", "2s"));
    let token = login(&proxy, &Token::at(PORT).text());
    server.stop();
    let refused = Wire::connect(&token).err().expect("a refusal");
    assert_eq!(refused.sqlstate(), "08001");
    let failed = "method=\"iam_delegate\",result=\"error\"";
    assert_eq!(
        proxy.metric("sluice_token_verifications_total", failed),
        1.0
    );
    assert_eq!(
        proxy.metric("sluice_token_verifications_total", "result=\"refused\""),
        0.0
    );
    server.start();
    wait::until_true("the server's return", || Wire::connect(&token).is_ok());
    assert!(checker.log().iter().all(|line| line == "iam_app accepted"));
}

#[test]
fn mariadb_judges_tokens_through_pam() {
    if is_direct() {
        return;
    }
    let checker = Checker::start(3306);
    let (server, _service) = checker.mariadb();
    let settings = delegate(Settings::for_mysql(server.port), 3306);
    let proxy = Sluice::start(&settings);
    let login = |token: &str| mysql::login::Login::new(proxy.port, "", (USER, token)).with_tls();
    // One token: signed in another second, it would be another.
    let token = Token::at(3306).text();
    for plugin in [None, Some("mysql_clear_password")] {
        let login = mysql::login::Login {
            plugin: plugin.map(Into::into),
            ..login(&token)
        };
        let mut wire = mysql::wire::Wire::connect(&login)
            .unwrap_or_else(|refused| panic!("{refused:?}\n{}", proxy.log()));
        assert_eq!(wire.value("select substring_index(user(), '@', 1)"), USER);
    }
    assert_eq!(proxy.metric("sluice_token_cache_total", "miss"), 1.0);
    let before = checker.log();
    assert!(before.iter().all(|line| line == "iam_app accepted"));
    let wrong = Token {
        secret: "guessed".into(),
        ..Token::at(3306)
    };
    assert!(mysql::wire::Wire::connect(&login(&wrong.text())).is_err());
    assert_eq!(checker.log()[before.len()..], ["iam_app wrong signature"]);
    assert!(proxy.log().contains("reason=\"refused_by_database\""));
}
