//! Tokens whose signature Sluice verifies itself.

use crate::support::{
    certs::Certs,
    iam::{ENDPOINT, Token, longest_session, signature},
    mysql::{self, Kind, login::Refused as MyRefused},
    postgres::{self, Database},
    sluice::{Settings, Sluice, is_direct},
    wait,
    wire::{Login, Refused, Wire},
};

const PORT: u16 = 5432;

fn start(change: impl FnOnce(Settings) -> Settings) -> (Database, Sluice) {
    let database = Database::new();
    let settings = signature(Settings::for_server(database.server_port), PORT);
    (database, Sluice::start(&change(settings)))
}

/// As `app`, who has a password on the server.
fn login(proxy: &Sluice, database: &Database, password: &str) -> Login {
    Login::new(proxy.port, &database.name, (postgres::APP.0, password))
        .tls(Certs::shared().client_config(None))
}

fn token() -> Token {
    Token {
        user: postgres::APP.0.into(),
        ..Token::at(PORT)
    }
}

fn told(refused: Refused) -> (String, String) {
    match refused {
        Refused::Error(message) => (message.sqlstate(), message.field(b'M')),
        Refused::Io(error) => panic!("{error}"),
    }
}

#[test]
fn a_good_token_lets_the_user_in() {
    if is_direct() {
        return;
    }
    let (database, proxy) = start(|settings| settings);
    for token in [token(), token().temporary()] {
        let login = login(&proxy, &database, &token.text());
        // A token may be used until it expires.
        for _ in 0..2 {
            let mut wire = Wire::connect(&login).unwrap();
            assert_eq!(wire.value("select session_user"), "app");
        }
    }
    let accepted = "method=\"iam_signature\",result=\"accepted\"";
    assert!(proxy.metric("sluice_token_verifications_total", accepted) >= 4.0);
    assert!(!proxy.log().contains("X-Amz"), "a token was logged");
}

#[test]
fn whatever_is_wrong_is_refused_and_the_log_says_why() {
    if is_direct() {
        return;
    }
    let (database, proxy) = start(|settings| settings);
    let other = |change: &dyn Fn(&mut Token)| {
        let mut token = token();
        change(&mut token);
        token.text()
    };
    let token = token().text();
    let mut altered = token.clone();
    altered.pop();
    altered.push(if token.ends_with('0') { '1' } else { '0' });
    let vague = "check token, user and database, and try again";
    let place = "the token is signed for another host or port; sign it for the database's endpoint";
    for (password, reason, hint) in [
        (altered, "bad_signature", vague),
        (other(&|t| t.secret.push('x')), "bad_signature", vague),
        (other(&|t| t.key = "AKIDOTHER".into()), "unknown_key", vague),
        (
            other(&|t| t.user = "other".into()),
            "wrong_user",
            "the token is for another user",
        ),
        (other(&|t| t.host = "localhost".into()), "wrong_host", place),
        (other(&|t| t.port = 3306), "wrong_port", place),
        (
            other(&|t| t.region = "eu-west-1".into()),
            "wrong_region",
            "the token is signed for another region",
        ),
        (other(&|t| t.age = 901), "expired", "the token has expired"),
        (
            other(&|t| t.age = -90),
            "not_yet_valid",
            "the token is not valid yet; check the clock",
        ),
        (
            "app secret".into(),
            "malformed",
            "the password is not a token",
        ),
        (String::new(), "malformed", "the password is not a token"),
        (
            format!("{token}&X-Amz-Date=1"),
            "malformed",
            "the password is not a token",
        ),
    ] {
        let refused = Wire::connect(&login(&proxy, &database, &password));
        let (code, message) = told(refused.err().expect("a refusal"));
        assert_eq!(code, "28P01", "{reason}");
        let right = format!("authentication failed for user \"app\": {hint}");
        assert_eq!(message, right, "{reason}");
        wait::until_true("the reason in the log", || {
            proxy.log().contains(&format!("reason=\"{reason}\""))
        });
        let counted = format!("result=\"refused\",reason=\"{reason}\"");
        assert!(
            proxy.metric("sluice_token_verifications_total", &counted) >= 1.0,
            "{reason}"
        );
    }
    assert!(!proxy.log().contains("X-Amz"), "a token was logged");
}

#[test]
fn a_policy_decides_who_may_be_whom() {
    if is_direct() {
        return;
    }
    let (database, proxy) = start(|settings| settings);
    // Denied by name, although the key may be anybody.
    let denied = Token {
        user: "postgres".into(),
        ..token()
    };
    let tls = Certs::shared().client_config(None);
    let as_postgres =
        Login::new(proxy.port, &database.name, ("postgres", &denied.text())).tls(tls.clone());
    let (_, told_denied) = told(Wire::connect(&as_postgres).err().unwrap());
    // A user who does not exist is allowed, and found out by the server alone.
    let (_, told_wrong) = told(
        Wire::connect(&login(
            &proxy,
            &database,
            &Token {
                secret: "x".into(),
                ..token()
            }
            .text(),
        ))
        .err()
        .unwrap(),
    );
    assert_eq!(told_denied.replace("postgres", "app"), told_wrong);
    wait::until_true("the reason in the log", || {
        proxy.log().contains("reason=\"refused_by_policy\"")
    });
}

#[test]
fn tokens_are_asked_for_inside_tls_only() {
    if is_direct() {
        return;
    }
    let (database, proxy) = start(|settings| settings);
    let mut login = login(&proxy, &database, &token().text());
    login.tls = None;
    let (code, message) = told(Wire::connect(&login).err().unwrap());
    assert_eq!(code, "28000");
    assert_eq!(
        message,
        "IAM authentication is allowed only with SSL connections."
    );
}

#[test]
fn the_longest_token_fits_and_no_longer_one() {
    if is_direct() {
        return;
    }
    let (database, proxy) = start(|settings| settings);
    let long = |more: &str| Token {
        session: Some(longest_session(PORT) + more),
        ..Token::at(PORT)
    };
    // Its key has another session token, which is found out at the end.
    for (token, reason) in [(long(""), "wrong_user"), (long("x"), "")] {
        let before = proxy.log().len();
        let refused = Wire::connect(&login(&proxy, &database, &token.text()));
        let (code, _) = told(refused.err().expect("a refusal"));
        if reason.is_empty() {
            assert_eq!(code, "08P01");
            continue;
        }
        assert_eq!(code, "28P01");
        wait::until_true("the reason in the log", || {
            proxy.log()[before..].contains(reason)
        });
    }
}

#[test]
fn too_many_failures_are_throttled_by_source_and_by_user() {
    if is_direct() {
        return;
    }
    let (database, proxy) = start(|settings| {
        settings.extra("[tokens]\nmax_failures_per_source = 3\nmax_failures_per_user = 5\n")
    });
    let wrong = login(
        &proxy,
        &database,
        &Token {
            secret: "x".into(),
            ..token()
        }
        .text(),
    );
    let good = login(&proxy, &database, &token().text());
    let from = |login: &Login, n: u8| {
        let source = std::net::Ipv4Addr::new(127, 0, 0, n).into();
        Wire::connect(&Login {
            source,
            ..login.clone()
        })
    };
    for _ in 0..4 {
        assert!(from(&wrong, 2).is_err());
    }
    let (_, message) = told(from(&good, 2).err().expect("throttled by its source"));
    assert!(
        message.ends_with("too many failed logins, try again later"),
        "{message}"
    );
    assert!(from(&good, 3).is_ok(), "another source of the same user");
    for n in 4..6 {
        assert!(from(&wrong, n).is_err());
    }
    let (_, message) = told(from(&good, 6).err().expect("throttled by its user"));
    assert!(
        message.ends_with("too many failed logins, try again later"),
        "{message}"
    );
    let other = Token {
        user: "other".into(),
        ..token()
    };
    let other = Login {
        user: "other".into(),
        password: other.text(),
        ..good.clone()
    };
    assert!(from(&other, 6).is_ok(), "another user");
    assert!(proxy.metric("sluice_token_throttled_total", "source") >= 1.0);
    assert!(proxy.metric("sluice_token_throttled_total", "user") >= 1.0);
    assert!(proxy.log().contains("too many tokens refused"));
}

#[test]
fn one_user_of_a_listener_may_use_tokens_and_the_others_passwords() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let settings = Settings::for_server(database.server_port)
        .user("app", "auth_method", "iam")
        .user("app", "iam_verification", "signature")
        .listener("iam_region", "eu-central-1")
        .listener("iam_hosts", vec![format!("{ENDPOINT}:{PORT}")])
        .extra(&crate::support::iam::keys(
            "arn:aws:rds-db:*:123456789012:dbuser:prx-test/app",
        ));
    let proxy = Sluice::start(&settings);
    let mut wire = Wire::connect(&login(&proxy, &database, &token().text())).unwrap();
    assert_eq!(wire.value("select session_user"), "app");
    assert!(Wire::connect(&login(&proxy, &database, postgres::APP.1)).is_err());
    let other = Login::new(proxy.port, &database.name, postgres::OTHER);
    assert_eq!(
        Wire::connect(&other).unwrap().value("select session_user"),
        "other"
    );
}

fn mysql_clients(kind: Kind) {
    if is_direct() {
        return;
    }
    let database = mysql::Database::new(kind);
    let settings = signature(Settings::for_mysql(database.server_port), 3306);
    let proxy = Sluice::start(&settings);
    let token = Token {
        user: "app".into(),
        ..Token::at(3306)
    };
    let login = mysql::login::Login {
        password: token.clone().temporary().text(),
        ..proxy.login(&database)
    };
    for plugin in [
        None,
        Some("mysql_clear_password"),
        Some("mysql_native_password"),
    ] {
        let login = mysql::login::Login {
            plugin: plugin.map(Into::into),
            ..login.clone()
        };
        let mut wire = mysql::wire::Wire::connect(&login)
            .unwrap_or_else(|refused| panic!("{plugin:?}: {refused:?}"));
        assert_eq!(wire.value("select substring_index(user(), '@', 1)"), "app");
    }
    let code = |login: &mysql::login::Login| match mysql::wire::Wire::connect(login) {
        Err(MyRefused::Error(failure)) => (failure.code, failure.message),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("{login:?} is in"),
    };
    let plain = code(&login.clone().plain());
    assert_eq!(
        plain,
        (
            3159,
            "IAM authentication is allowed only with SSL connections.".into()
        )
    );
    let expired = Token {
        age: 901,
        ..token.clone()
    };
    let expired = mysql::login::Login {
        password: expired.text(),
        ..login.clone()
    };
    let told = "authentication failed for user \"app\": the token has expired";
    assert_eq!(code(&expired), (1045, told.into()));
    // As long as can be, in the answer to the switch and in the very first packet.
    for plugin in [None, Some("mysql_clear_password")] {
        let long = Token {
            session: Some(longest_session(3306)),
            ..Token::at(3306)
        };
        let long = mysql::login::Login {
            password: long.text(),
            plugin: plugin.map(Into::into),
            ..login.clone()
        };
        let told = "authentication failed for user \"app\": the token is for another user";
        assert_eq!(code(&long), (1045, told.into()));
    }
}

#[test]
fn clients_of_mysql_send_tokens_in_the_clear_inside_tls() {
    mysql_clients(Kind::MySql);
}

#[test]
fn clients_of_mariadb_send_tokens_in_the_clear_inside_tls() {
    mysql_clients(Kind::MariaDb);
}
