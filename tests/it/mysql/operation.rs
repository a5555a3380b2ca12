//! Limits, drain and reload.

use rustix::process::Signal;

use crate::support::{
    mysql::{self, Database, Kind, login::Login, wire::Wire},
    sluice::{Settings, Sluice, is_direct},
    wait,
};

on_both!(
    a_term_signal_lets_transactions_finish_and_then_ends_the_proxy,
    a_reload_changes_users_and_limits_without_touching_sessions,
    secrets_appear_neither_in_the_log_nor_on_any_page,
    session_mode_gives_each_client_a_connection_of_its_own,
);

fn a_term_signal_lets_transactions_finish_and_then_ends_the_proxy(kind: Kind) {
    if is_direct() {
        return;
    }
    let database = Database::new(kind);
    let mut proxy = Sluice::with_pool(&database, 4);
    let mut idle = proxy.connect(&database);
    let mut busy = proxy.connect(&database);
    busy.succeed("create table finished (id int)");
    busy.succeed("begin");
    busy.succeed("insert into finished values (1)");
    proxy.signal(Signal::TERM);
    // The idle client is told to go, if by anything by an error.
    idle.sequence = 0;
    let told = idle.read_rest();
    assert!(told.get(4).is_none_or(|kind| *kind == 0xff), "{told:?}");
    wait::until_true("an end of new logins", || {
        Wire::connect(&proxy.login(&database)).is_err()
    });
    busy.succeed("insert into finished values (2)");
    busy.succeed("commit");
    busy.read_rest();
    assert!(proxy.wait_end().success());
    assert_eq!(database.admin().value("select count(*) from finished"), "2");
}

fn a_reload_changes_users_and_limits_without_touching_sessions(kind: Kind) {
    if is_direct() {
        return;
    }
    let database = Database::new(kind);
    let settings = Settings::for_mysql(database.server_port);
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    wire.succeed("begin");
    let visitor = ("visitor", "visitor secret");
    let added = Login::new(proxy.port, &database.name, visitor).with_tls();
    assert_eq!(Wire::connect(&added).err().unwrap().code(), 1045);
    proxy.rewrite(
        &settings
            .clone()
            .user("visitor", "password", "visitor secret")
            .user("visitor", "server_user", mysql::APP.0)
            .user("visitor", "server_password", mysql::APP.1)
            .general("max_client_conn", 2),
    );
    proxy.signal(Signal::HUP);
    let mut visitor = wait::until("the new user's login", || Wire::connect(&added).ok());
    assert_eq!(visitor.value("select user()"), "app@127.0.0.1");
    let refused = Wire::connect(&proxy.login(&database)).err().unwrap();
    assert_eq!(refused.code(), 1040);
    wire.succeed("select 1");
    wire.succeed("commit");
}

fn secrets_appear_neither_in_the_log_nor_on_any_page(kind: Kind) {
    if is_direct() {
        return;
    }
    let database = Database::new(kind);
    let settings = Settings::for_mysql(database.server_port).general("log_level", "debug");
    let proxy = Sluice::start(&settings);
    for (user, _) in kind.users().iter().take(2) {
        let login = Login::new(proxy.port, &database.name, *user).with_tls();
        let mut wire = Wire::connect(&login).unwrap();
        wire.succeed("set @a = 'told in confidence'");
        wire.fail("select 'told in confidence' from nowhere");
    }
    let mut said = proxy.log();
    for page in ["/metrics", "/status", "/readyz"] {
        said.push_str(&proxy.get(page).1);
    }
    for secret in [" secret", "told in confidence"] {
        assert!(!said.contains(secret), "{said}");
    }
}

fn session_mode_gives_each_client_a_connection_of_its_own(kind: Kind) {
    if is_direct() {
        return;
    }
    let database = Database::new(kind);
    let settings = Settings::for_mysql(database.server_port)
        .group("pool_mode", "session")
        .group("default_pool_size", 3);
    let proxy = Sluice::start(&settings);
    let mut clients: Vec<Wire> = (0..3).map(|_| proxy.connect(&database)).collect();
    for client in &mut clients {
        client.succeed("create temporary table mine (id int)");
    }
    for client in &mut clients {
        client.succeed("insert into mine values (1)");
        assert_eq!(client.value("select count(*) from mine"), "1");
    }
    drop(clients);
    for _ in 0..3 {
        assert_eq!(
            proxy.connect(&database).fail("select * from mine").code,
            1146
        );
    }
}
