//! Who gets in, how, and what the session is told.

use crate::support::{
    certs::Certs,
    postgres::{self, Database},
    program::{client_of, run, succeed},
    sluice::{Settings, Sluice, is_direct},
    wire::{Login, Wire, frontend},
};

use std::{net::Ipv4Addr, time::Duration};

const LIMIT: Duration = Duration::from_secs(30);

fn start(change: impl FnOnce(Settings) -> Settings) -> (Database, Sluice) {
    let database = Database::new();
    let proxy = Sluice::start(&change(Settings::for_server(database.server_port)));
    (database, proxy)
}

fn refusal(login: &Login) -> String {
    Wire::connect(login).err().expect("a refusal").sqlstate()
}

fn user_seen(login: &Login) -> String {
    Wire::connect(login).unwrap().value("select session_user")
}

#[test]
fn every_password_method_towards_clients_works() {
    for method in ["scram-sha-256", "md5", "password"] {
        let (database, proxy) = start(|settings| settings.listener("auth_method", method));
        let tls = Certs::shared().client_config(None);
        let login = proxy.login(&database).tls(tls.clone());
        assert_eq!(user_seen(&login), "app", "{method}");
        assert_eq!(
            refusal(&Login {
                password: "wrong".into(),
                ..login
            }),
            "28P01",
            "{method}"
        );
        let other = Login::new(proxy.port, &database.name, postgres::OTHER).tls(tls);
        assert_eq!(user_seen(&other), "other", "{method}");
    }
}

#[test]
fn every_password_method_towards_servers_works() {
    let (database, proxy) = start(|settings| settings);
    for role in [postgres::APP, postgres::APP_MD5, postgres::APP_PLAIN] {
        let login = Login::new(proxy.port, &database.name, role);
        // Towards PostgreSQL itself this also tests the tests' own client.
        assert_eq!(user_seen(&login), role.0);
    }
}

#[test]
fn a_stored_verifier_lets_the_user_in_and_passes_through_to_the_server() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let verifier = database
        .admin()
        .value("select rolpassword from pg_authid where rolname = 'app'");
    assert!(verifier.starts_with("SCRAM-SHA-256$"), "{verifier}");
    let settings = Settings::for_server(database.server_port).user("app", "password", verifier);
    let proxy = Sluice::start(&settings);
    assert_eq!(user_seen(&proxy.login(&database)), "app");
    assert_eq!(
        refusal(&Login {
            password: "wrong".into(),
            ..proxy.login(&database)
        }),
        "28P01"
    );
}

#[test]
fn an_auth_query_finds_users_that_are_not_configured() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    database
        .admin()
        .succeed("create role late login password 'late secret'");
    let settings = Settings::for_server(database.server_port)
        .group(
            "auth_query",
            "SELECT usename, passwd FROM pg_shadow WHERE usename=$1",
        )
        .group("auth_user", postgres::ADMIN.0);
    let proxy = Sluice::start(&settings);
    let login = Login::new(proxy.port, &database.name, ("late", "late secret"));
    assert_eq!(user_seen(&login), "late");
    assert_eq!(
        refusal(&Login {
            password: "wrong".into(),
            ..login.clone()
        }),
        "28P01"
    );
    assert_eq!(
        refusal(&Login {
            user: "nobody".into(),
            ..login
        }),
        "28P01"
    );
    database.admin().succeed("drop role late");
}

#[test]
fn a_user_may_be_another_role_on_the_server() {
    if is_direct() {
        return;
    }
    let (database, proxy) = start(|settings| {
        settings
            .user("visitor", "password", "visitor secret")
            .user("visitor", "server_user", postgres::APP.0)
            .user("visitor", "server_password", postgres::APP.1)
    });
    let login = Login::new(proxy.port, &database.name, ("visitor", "visitor secret"));
    assert_eq!(user_seen(&login), "app");
}

#[test]
fn a_database_may_have_another_name_on_the_server() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let settings = Settings::for_server(database.server_port).database([
        ("name", "shown".into()),
        ("target_group", "main".into()),
        ("server_database", database.name.as_str().into()),
    ]);
    let proxy = Sluice::start(&settings);
    let mut wire = Wire::connect(&Login::new(proxy.port, "shown", postgres::APP)).unwrap();
    assert_eq!(wire.value("select current_database()"), database.name);
}

#[test]
fn an_unknown_database_is_3d000() {
    let (_database, proxy) = start(|settings| settings);
    assert_eq!(
        refusal(&Login::new(proxy.port, "no_such_database", postgres::APP)),
        "3D000"
    );
}

#[test]
fn required_tls_turns_plain_clients_away() {
    if is_direct() {
        return;
    }
    let (database, proxy) = start(|settings| settings.listener("require_tls", true));
    let plain = proxy.login(&database);
    assert!(
        refusal(&plain).starts_with("28") || refusal(&plain) == "08P01",
        "{}",
        refusal(&plain)
    );
    assert_eq!(
        user_seen(&plain.tls(Certs::shared().client_config(None))),
        "app"
    );
}

#[test]
fn a_listener_without_a_certificate_declines_tls() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = Sluice::start(&Settings::for_server(database.server_port).without_tls());
    let mut wire = Wire::open(proxy.port, Ipv4Addr::LOCALHOST.into()).unwrap();
    wire.send(&frontend::untagged(frontend::SSL_REQUEST, &[]))
        .unwrap();
    let mut answer = [0];
    wire.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N");
    // The client may go on without.
    wire.send(&frontend::startup(
        frontend::VERSION_3_0,
        &[("user", "app"), ("database", &database.name)],
    ))
    .unwrap();
    wire.finish_login(&proxy.login(&database)).unwrap();
    assert_eq!(wire.value("select 1"), "1");
}

#[test]
fn a_client_certificate_is_a_login() {
    if is_direct() {
        return;
    }
    let certs = Certs::shared();
    let (database, proxy) = start(|settings| {
        settings
            .listener("auth_method", "cert")
            .listener("tls_client_cert", "required")
            .listener("tls_client_ca_file", certs.ca().to_str().unwrap())
    });
    let login = proxy.login(&database);
    assert_eq!(
        user_seen(&login.clone().tls(certs.client_config(Some("app")))),
        "app"
    );
    let intruder = Wire::connect(&login.clone().tls(certs.client_config(Some("intruder"))));
    assert!(
        intruder.is_err(),
        "another name's certificate let the client in"
    );
    let nobody = Wire::connect(&login.tls(certs.client_config(None)));
    assert!(nobody.is_err(), "no certificate let the client in");
}

#[test]
fn server_certificates_are_verified() {
    if is_direct() {
        return;
    }
    let certs = Certs::shared();
    let settings = |ca: &std::path::Path| {
        let ca = ca.to_str().unwrap().to_owned();
        move |settings: Settings| {
            settings
                .group("server_tls_mode", "verify-full")
                .group("server_tls_ca_file", ca)
                .group("connection_borrow_timeout", "2s")
        }
    };
    let (database, proxy) = start(settings(&certs.ca()));
    let look = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
    assert_eq!(proxy.connect(&database).value(look), "t");
    let (database, proxy) = start(settings(&certs.stranger_ca()));
    let refused = Wire::connect(&proxy.login(&database)).map(|mut wire| wire.simple("select 1"));
    if let Ok(reply) = refused {
        assert!(
            crate::support::wire::backend::error(&reply).is_some(),
            "a stranger's certificate was taken"
        );
    }
}

#[test]
fn clients_learn_the_settings_of_their_server() {
    let (database, proxy) = start(|settings| settings);
    let wire = Wire::connect(
        &proxy
            .login(&database)
            .parameter("application_name", "curious"),
    )
    .unwrap();
    let mut direct = database.admin();
    for name in [
        "server_version",
        "server_encoding",
        "integer_datetimes",
        "standard_conforming_strings",
        "DateStyle",
    ] {
        assert_eq!(wire.parameters[name], direct.parameters[name], "{name}");
    }
    assert_eq!(wire.parameters["application_name"], "curious");
    assert_eq!(wire.parameters["session_authorization"], "app");
    assert_eq!(wire.parameters["is_superuser"], "off");
    assert_eq!(direct.value("select 1"), "1");
}

#[test]
fn startup_options_reach_the_session() {
    let (database, proxy) = start(|settings| settings);
    let login = proxy
        .login(&database)
        .parameter(
            "options",
            "-c statement_timeout=12345 --work-mem=4321kB -c application_name=a\\ b",
        )
        .parameter("extra_float_digits", "0");
    let mut wire = Wire::connect(&login).unwrap();
    for _ in 0..2 {
        assert_eq!(wire.value("show statement_timeout"), "12345ms");
        assert_eq!(wire.value("show work_mem"), "4321kB");
        assert_eq!(wire.value("show application_name"), "a b");
        assert_eq!(wire.value("show extra_float_digits"), "0");
    }
    assert_ne!(
        proxy.connect(&database).value("show statement_timeout"),
        "12345ms"
    );
}

#[test]
fn a_setting_the_server_refuses_fails_its_own_client_alone() {
    let (database, proxy) = start(|settings| settings.group("default_pool_size", 1));
    for (name, value) in [
        ("work_mem", "a lot"),
        ("no_such_setting", "1"),
        ("TimeZone", "Nowhere/Land"),
    ] {
        let result =
            Wire::connect(&proxy.login(&database).parameter(name, value)).map(|mut wire| {
                let reply = wire.simple("select 1");
                crate::support::wire::backend::error(&reply)
            });
        // Told at login, as PostgreSQL does, or at the first query.
        match result {
            Err(refused) => assert!(
                ["22023", "42704"].contains(&refused.sqlstate().as_str()),
                "{}",
                refused.sqlstate()
            ),
            Ok(code) => assert!(code.is_some(), "{name} was swallowed"),
        }
        assert_eq!(proxy.connect(&database).value("select 'fine'"), "fine");
    }
}

#[test]
fn the_limit_of_clients_is_53300() {
    if is_direct() {
        return;
    }
    let (database, proxy) = start(|settings| settings.general("max_client_conn", 3));
    let mut clients: Vec<Wire> = (0..3).map(|_| proxy.connect(&database)).collect();
    assert_eq!(refusal(&proxy.login(&database)), "53300");
    assert_eq!(clients[0].value("select 1"), "1");
    clients.pop().unwrap().vanish();
    crate::support::wait::until_true("a free place", || {
        Wire::connect(&proxy.login(&database)).is_ok()
    });
}

#[test]
fn libpq_verifies_the_certificate_and_binds_scram_to_it() {
    let (database, proxy) = start(|settings| settings);
    let psql = |change: &[(&str, &str)]| {
        let mut command = client_of("psql", &database, proxy.port);
        command
            .args(["-XAtc", "select 'in'"])
            .envs(change.iter().copied());
        command
    };
    assert_eq!(succeed(psql(&[]), LIMIT), "in\n");
    let stranger = Certs::shared().stranger_ca();
    let refused = run(
        psql(&[("PGSSLROOTCERT", stranger.to_str().unwrap())]),
        LIMIT,
    );
    assert!(
        !refused.success && refused.stderr.contains("certificate verify failed"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        succeed(psql(&[("PGCHANNELBINDING", "require")]), LIMIT),
        "in\n"
    );
}
