//! Sluice logs in with IAM tokens of its own, to servers that have somebody else's code judge them;
//! with clients that show tokens, too, no secret is anywhere.

use std::time::Duration;

use serde_json::json;

use super::bed::Load;
use crate::support::{
    aws::Moto,
    certs::Certs,
    iam::{self, Checker, ENDPOINT, REGION, Token, USER, delegate, signature},
    mysql,
    postgres::Database,
    sluice::{Settings, Sluice},
    wait,
    wire::{Login, Wire},
};

const PORT: u16 = 5432;

/// Under these Sluice logs in with tokens, made with the keys that the checker knows.
fn with_tokens(settings: Settings, port: u16, temporary: bool) -> Settings {
    let settings = settings
        .group("server_auth_method", "iam")
        .group("server_tls_mode", "verify-full")
        .group("server_tls_ca_file", Certs::shared().ca().to_str().unwrap())
        .group("server_lifetime", "1s")
        .group("server_lifetime_jitter", "1s")
        .target("iam_endpoint", format!("{ENDPOINT}:{port}"))
        .environment("AWS_EC2_METADATA_DISABLED", "true")
        .environment("AWS_SECRET_ACCESS_KEY", iam::SECRET);
    if temporary {
        return settings
            .environment("AWS_ACCESS_KEY_ID", "ASIDEXAMPLE")
            .environment("AWS_SESSION_TOKEN", iam::session());
    }
    settings.environment("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
}

fn login(proxy: &Sluice, password: &str) -> Login {
    Login::new(proxy.port, "postgres", (USER, password)).tls(Certs::shared().client_config(None))
}

/// Queries for some seconds, over server connections that live for one.
fn work(proxy: &Sluice, mut connect: impl FnMut() -> Box<dyn FnMut() -> String + Send>) {
    let mut load = Load::new();
    for _ in 0..3 {
        let mut ask = connect();
        load.add(move || match &*ask() {
            USER => Ok(()),
            other => Err(other.to_owned()),
        });
    }
    let logins = || proxy.metric("sluice_database_connections_setup_succeeded_total", "");
    wait::until_true("many logins", || logins() > 8.0);
    assert_eq!(load.end(), [""; 0]);
}

#[test]
fn a_postgresql_server_accepts_tokens_of_temporary_credentials() {
    let checker = Checker::start(PORT);
    let server = checker.postgres();
    let settings = with_tokens(Settings::for_server(server.port), PORT, true);
    let proxy = Sluice::start(&settings.user(USER, "password", "of the client"));
    work(&proxy, || {
        let mut wire = Wire::connect(&login(&proxy, "of the client")).unwrap();
        Box::new(move || wire.value("select session_user"))
    });
    let log = checker.log();
    assert!(
        log.len() > 8 && log.iter().all(|line| line == "iam_app accepted"),
        "{log:?}"
    );
    // One token was enough.
    let made = proxy.metric("sluice_credential_refreshes_total", "kind=\"iam\"");
    assert!((made - 1.0).abs() < f64::EPSILON, "{made}");
    let status = proxy.status();
    let source = &status["credentials"][0];
    assert_eq!(source["source"], json!(format!("{ENDPOINT}:{PORT}")));
    // A user of Sluice's configuration who has a password for the server is shown that.
    let app = Login::new(proxy.port, "postgres", ("app", "app secret"));
    let refused = Wire::connect(&app).err();
    assert!(
        refused.is_some(),
        "the password is the client's: the server asks for a token"
    );
    // The role loses its rights: no more logins, and nothing in the log that could be used.
    checker.revoke("ASIDEXAMPLE");
    wait::until_true("refusals", || {
        let _ =
            Wire::connect(&login(&proxy, "of the client")).map(|mut wire| wire.simple("select 1"));
        proxy.metric("sluice_credential_refusals_total", "kind=\"iam\"") >= 1.0
    });
    assert!(
        proxy.log().contains("server refused an IAM token"),
        "{}",
        proxy.log()
    );
    assert!(!proxy.log().contains("X-Amz-"), "{}", proxy.log());
    // They are not answered with a storm of new ones.
    assert!(proxy.metric("sluice_credential_refreshes_total", "kind=\"iam\"") < 3.0);
}

#[test]
fn a_mariadb_server_accepts_tokens() {
    let checker = Checker::start(3306);
    let (server, _service) = checker.mariadb();
    let settings = with_tokens(Settings::for_mysql(server.port), 3306, false);
    let proxy = Sluice::start(&settings.user(USER, "password", "of the client"));
    work(&proxy, || {
        let login = mysql::login::Login::new(proxy.port, "", (USER, "of the client")).with_tls();
        let mut wire = mysql::wire::Wire::connect(&login).unwrap();
        Box::new(move || wire.value("select substring_index(user(), '@', 1)"))
    });
    let log = checker.log();
    assert!(
        log.len() > 8 && log.iter().all(|line| line == "iam_app accepted"),
        "{log:?}"
    );
}

#[test]
fn with_tokens_on_both_sides_there_is_no_secret_anywhere() {
    let checker = Checker::start(PORT);
    let server = checker.postgres();
    let settings = delegate(Settings::for_server(server.port), PORT);
    let proxy = Sluice::start(&with_tokens(settings, PORT, true));
    work(&proxy, || {
        let token = Token::at(PORT).text();
        let mut wire = Wire::connect(&login(&proxy, &token)).unwrap();
        Box::new(move || wire.value("select session_user"))
    });
    // Those of Sluice open the pool's connections, long after the client's has been judged.
    let log = checker.log();
    assert!(log.iter().all(|line| line == "iam_app accepted"), "{log:?}");
    assert!(proxy.metric("sluice_credential_refreshes_total", "kind=\"iam\"") >= 1.0);
}

/// As RDS Proxy's standard mode with IAMAuth REQUIRED.
#[test]
fn clients_show_tokens_and_the_server_is_shown_a_secret() {
    let moto = Moto::start();
    let database = Database::new();
    let secret = moto.secret("iam-in", database.user, database.password);
    let settings = signature(Settings::for_server(database.server_port), PORT).user(
        USER,
        "server_secret_arn",
        &*secret.arn,
    );
    let proxy = Sluice::start(&moto.attach(settings));
    let token = Token::at(PORT).text();
    let as_token = Login {
        database: database.name.clone(),
        ..login(&proxy, &token)
    };
    let mut wire = Wire::connect(&as_token).unwrap();
    assert_eq!(wire.value("select session_user"), database.user);
    let other = Token {
        secret: "guessed".into(),
        ..Token::at(PORT)
    };
    let refused = Wire::connect(&Login {
        password: other.text(),
        ..as_token
    });
    assert_eq!(refused.err().unwrap().sqlstate(), "28P01");
    let _ = REGION;
    wait::until_within(Duration::from_secs(5), "the secret in the status", || {
        let status = proxy.status();
        (status["credentials"][0]["stage_in_use"] == json!("current")).then_some(())
    });
}
