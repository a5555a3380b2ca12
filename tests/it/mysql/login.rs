//! Who gets in, how, and by what Sluice logs in to servers.

use std::process::Command;
use std::time::Duration;

use crate::support::{
    certs::Certs,
    mysql::{
        APP, APP_SHA256, Database, Kind, MySql, OTHER,
        login::{Login, Refused},
        program,
        wire::Wire,
    },
    program::run,
    sluice::{Settings, Sluice, is_direct},
};

const LIMIT: Duration = Duration::from_secs(60);

on_both!(
    every_method_towards_clients_works,
    clients_choose_their_plugin_where_none_is_configured,
    every_plugin_towards_servers_works,
    a_stored_hash_lets_the_user_in_and_passes_through_to_the_server,
    an_auth_query_finds_users_that_are_not_configured,
    tls_can_be_required,
    a_client_certificate_is_a_login,
    the_command_line_clients_of_both_log_in,
);

fn start(kind: Kind, change: impl FnOnce(Settings) -> Settings) -> (Database, Sluice) {
    let database = Database::new(kind);
    let proxy = Sluice::start(&change(Settings::for_mysql(database.server_port)));
    (database, proxy)
}

fn user_seen(login: &Login) -> String {
    let shown = Wire::connect(login).map(|mut wire| wire.value("select user()"));
    let shown = shown.unwrap_or_else(|refused| panic!("{login:?}: {refused:?}"));
    shown.split('@').next().unwrap().to_owned()
}

fn code(login: &Login) -> u16 {
    match Wire::connect(login) {
        Ok(_) => panic!("{login:?} is in"),
        Err(Refused::Error(failure)) => failure.code,
        Err(other) => panic!("{login:?}: {other:?}"),
    }
}

fn wrong(login: &Login) -> Login {
    Login {
        password: "wrong".into(),
        ..login.clone()
    }
}

fn every_method_towards_clients_works(kind: Kind) {
    for (method, in_the_clear) in [
        ("caching_sha2_password", true),
        ("mysql_native_password", true),
        ("sha256_password", false),
        ("password", false),
    ] {
        let (database, proxy) = start(kind, |settings| settings.listener("auth_method", method));
        let login = proxy.login(&database);
        for plugin in [
            None,
            Some("mysql_native_password"),
            Some("caching_sha2_password"),
        ] {
            let login = Login {
                plugin: plugin.map(Into::into),
                ..login.clone()
            };
            assert_eq!(user_seen(&login), "app", "{method}");
            assert_eq!(code(&wrong(&login)), 1045, "{method}");
        }
        let plain = login.plain();
        if in_the_clear {
            assert_eq!(user_seen(&plain), "app", "{method}");
            assert_eq!(code(&wrong(&plain)), 1045, "{method}");
        } else {
            assert_eq!(code(&plain), 3159, "{method}");
        }
        let empty = Login {
            password: String::new(),
            ..proxy.login(&database)
        };
        assert_eq!(code(&empty), 1045, "{method}");
        let other = Login::new(proxy.port, &database.name, OTHER).with_tls();
        assert_eq!(user_seen(&other), "other", "{method}");
        let nobody = Login::new(proxy.port, &database.name, ("nobody", "secret"));
        assert_eq!(code(&nobody.with_tls()), 1045, "{method}");
    }
}

fn clients_choose_their_plugin_where_none_is_configured(kind: Kind) {
    let (database, proxy) = start(kind, |settings| settings);
    for plugin in ["caching_sha2_password", "mysql_native_password"] {
        for login in [proxy.login(&database), proxy.login(&database).plain()] {
            let login = login.plugin(plugin);
            assert_eq!(user_seen(&login), "app", "{plugin}");
            assert_eq!(code(&wrong(&login)), 1045, "{plugin}");
        }
    }
}

fn every_plugin_towards_servers_works(kind: Kind) {
    for tls in ["require", "disable"] {
        let (database, proxy) = start(kind, |settings| {
            settings
                .group("server_tls_mode", tls)
                .group("server_public_key_retrieval", true)
        });
        for (user, plugin) in kind.users() {
            // MariaDB gives out no key.
            let unusable = kind == Kind::MariaDb && *plugin == "caching_sha2_password";
            if tls == "disable" && unusable {
                continue;
            }
            let login = Login::new(proxy.port, &database.name, *user);
            assert_eq!(user_seen(&login), user.0, "{plugin} {tls}");
        }
    }
    if is_direct() || kind == Kind::MariaDb {
        return;
    }
    // Without leave to ask for the key, the password stays here.
    let (database, proxy) = start(kind, |settings| {
        settings.group("server_tls_mode", "disable")
    });
    let login = Login::new(proxy.port, &database.name, APP_SHA256);
    assert!(Wire::connect(&login).is_err());
    let login = Login::new(proxy.port, &database.name, APP);
    drop(Wire::connect(&login));
}

/// What the server keeps about a user's password.
fn stored(kind: Kind, user: &str) -> String {
    let column = match kind {
        Kind::MySql => "concat('0x', hex(authentication_string))",
        Kind::MariaDb => "authentication_string",
    };
    let query = format!("select {column} from mysql.user where user = '{user}'");
    MySql::shared(kind).admin().value(&query)
}

fn a_stored_hash_lets_the_user_in_and_passes_through_to_the_server(kind: Kind) {
    if is_direct() {
        return;
    }
    let (database, proxy) = start(kind, |settings| {
        settings.user("app", "password", stored(kind, "app"))
    });
    let login = proxy.login(&database);
    let plain = login.clone().plain();
    if kind == Kind::MySql {
        // Only the password itself can be checked against such a hash.
        assert_eq!(code(&plain), 3159);
    }
    assert_eq!(user_seen(&login), "app");
    assert_eq!(code(&wrong(&login)), 1045);
    // It has been proven once, which is good for challenges, as on MySQL's own servers.
    assert_eq!(user_seen(&plain), "app");
    assert!(Wire::connect(&wrong(&plain)).is_err());
}

fn an_auth_query_finds_users_that_are_not_configured(kind: Kind) {
    if is_direct() {
        return;
    }
    let database = Database::new(kind);
    let user = format!("late_{}", database.name);
    let plugin = match kind {
        Kind::MySql => "with caching_sha2_password by 'late secret'",
        Kind::MariaDb => "via mysql_native_password using password('late secret')",
    };
    let mut admin = database.admin();
    admin.succeed(&format!("create user {user}@'%' identified {plugin}"));
    admin.succeed(&format!("grant all on {}.* to {user}@'%'", database.name));
    let settings = Settings::for_mysql(database.server_port)
        .group(
            "auth_query",
            "SELECT user, authentication_string FROM mysql.user WHERE user = $1",
        )
        .group("auth_user", "root")
        .group("auth_database", "mysql");
    let proxy = Sluice::start(&settings);
    let login = Login::new(proxy.port, &database.name, (&user, "late secret")).with_tls();
    assert_eq!(user_seen(&login), user);
    assert_eq!(code(&wrong(&login)), 1045);
    for odd in ["nobody", "o'brien", "a\\"] {
        let odd = Login::new(proxy.port, &database.name, (odd, "secret")).with_tls();
        assert_eq!(code(&odd), 1045);
    }
    admin.succeed(&format!("drop user {user}@'%'"));
}

fn tls_can_be_required(kind: Kind) {
    if is_direct() {
        return;
    }
    let (database, proxy) = start(kind, |settings| settings.listener("require_tls", true));
    assert_eq!(code(&proxy.login(&database).plain()), 3159);
    assert_eq!(user_seen(&proxy.login(&database)), "app");
}

fn a_client_certificate_is_a_login(kind: Kind) {
    if is_direct() {
        return;
    }
    let certs = Certs::shared();
    let (database, proxy) = start(kind, |settings| {
        settings
            .listener("auth_method", "cert")
            .listener("tls_client_cert", "optional")
            .listener("tls_client_ca_file", certs.ca().to_str().unwrap())
    });
    let login = proxy.login(&database);
    assert_eq!(
        user_seen(&login.clone().tls(certs.client_config(Some("app")))),
        "app"
    );
    let other = login.clone().tls(certs.client_config(Some("intruder")));
    assert_eq!(code(&other), 1045);
    assert_eq!(code(&login), 1045);
}

fn the_command_line_clients_of_both_log_in(kind: Kind) {
    let (database, proxy) = start(kind, |settings| settings);
    let certs = Certs::shared();
    for (name, verify) in [
        ("mysql", "--ssl-mode=VERIFY_IDENTITY"),
        ("mariadb", "--ssl-verify-server-cert"),
    ] {
        // MySQL's own client cannot log in to MariaDB: it has no mysql_native_password any more.
        if is_direct() && (name, kind) == ("mysql", Kind::MariaDb) {
            continue;
        }
        let ask = |password: &str| {
            let mut client = Command::new(program(name));
            client
                .arg("--no-defaults")
                .arg(verify)
                .arg(format!("--ssl-ca={}", certs.ca().display()))
                .args(["--protocol=tcp", "--host=localhost", "--user=app"])
                .arg(format!("--port={}", proxy.port))
                .arg(format!("--password={password}"))
                .args(["--skip-column-names", "--batch"])
                .arg("--execute=select user(), database()")
                .arg(&database.name);
            run(client, LIMIT)
        };
        let right = ask(database.password);
        let expected = format!("app@127.0.0.1\t{}\n", database.name);
        assert!(right.success, "{name}: {}", right.stderr);
        assert_eq!(right.stdout, expected, "{name}");
        let refused = ask("wrong");
        assert!(
            refused.stderr.contains("ERROR 1045 (28000)"),
            "{name}: {}",
            refused.stderr
        );
    }
}
