//! What an operator does and sees while clients work: metrics, reload, drain.

use rustix::process::Signal;

use crate::support::{
    postgres::{self, Database},
    sluice::{Settings, Sluice, is_direct},
    wait,
    wire::{
        Login, Wire,
        backend::{column, error},
        frontend::query,
    },
};

#[test]
fn metrics_count_clients_requests_and_pins() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = Sluice::before(&database);
    let mut clients: Vec<Wire> = (0..5).map(|_| proxy.connect(&database)).collect();
    for client in &mut clients {
        for _ in 0..20 {
            client.succeed("select 1");
        }
    }
    clients[0].succeed("create temp table pinning ()");
    assert!(
        Wire::connect(&Login {
            password: "wrong".into(),
            ..proxy.login(&database)
        })
        .is_err()
    );
    // Counts are settled when a request ends, which its client may see first.
    wait::until_true("the count of requests", || {
        proxy.metric("sluice_query_requests_total", "") >= 101.0
    });
    assert_eq!(proxy.metric("sluice_query_requests_total", ""), 101.0);
    assert_eq!(
        proxy.metric("sluice_client_connections", "listener=\"test\""),
        5.0
    );
    assert_eq!(
        proxy.metric("sluice_client_connections_setup_succeeded_total", ""),
        5.0
    );
    assert_eq!(
        proxy.metric("sluice_client_connections_setup_failed_auth_total", ""),
        1.0
    );
    wait::until_true("the pin", || {
        proxy.metric("sluice_pins_total", "temp_object") == 1.0
    });
    assert_eq!(
        proxy.metric("sluice_database_connections_session_pinned", ""),
        1.0
    );
    let status = proxy.status();
    assert_eq!(status["clients"]["total"], 5);
    assert_eq!(status["clients"]["pinned"].as_array().unwrap().len(), 1);
    drop(clients);
    wait::until_true("the end of all sessions", || {
        proxy.metric("sluice_client_connections", "") == 0.0
    });
    wait::until_true("no pinned session", || {
        proxy.metric("sluice_database_connections_session_pinned", "") == 0.0
    });
}

#[test]
fn secrets_appear_neither_in_the_log_nor_on_any_page() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy =
        Sluice::start(&Settings::for_server(database.server_port).general("log_level", "trace"));
    let mut wire = proxy.connect(&database);
    wire.succeed("create temp table pinning (a text default 'sesame in a statement')");
    wire.simple("select 'sesame in a query' from nowhere");
    assert!(
        Wire::connect(&Login {
            password: "sesame typed wrong".into(),
            ..proxy.login(&database)
        })
        .is_err()
    );
    let told = [proxy.log(), proxy.get("/metrics").1, proxy.get("/status").1].concat();
    for secret in [
        postgres::APP.1,
        postgres::ADMIN.1,
        "sesame",
        "SCRAM-SHA-256$",
    ] {
        let place = told
            .find(secret)
            .map(|at| &told.as_bytes()[at.saturating_sub(200)..(at + 100).min(told.len())]);
        assert!(
            place.is_none(),
            "{secret} in {}",
            String::from_utf8_lossy(place.unwrap())
        );
    }
}

#[test]
fn a_term_signal_lets_transactions_finish_and_then_ends_the_proxy() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let mut proxy = Sluice::with_pool(&database, 4);
    let mut idle = proxy.connect(&database);
    let mut busy = proxy.connect(&database);
    busy.succeed("create table finished (id int)");
    busy.succeed("begin; insert into finished values (1)");
    proxy.signal(Signal::TERM);
    // The idle client is told to go, with the reason a server would give.
    assert_eq!(error(&idle.read_to_close()).as_deref(), Some("57P01"));
    wait::until_true("an end of new logins", || {
        Wire::connect(&proxy.login(&database)).is_err()
    });
    busy.succeed("insert into finished values (2)");
    let reply = busy.simple("commit");
    assert_eq!(error(&reply), None);
    busy.read_to_close();
    assert!(proxy.wait_end().success());
    assert_eq!(database.admin().value("select count(*) from finished"), "2");
}

#[test]
fn a_drain_that_takes_too_long_is_cut_off() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let settings = Settings::for_server(database.server_port).general("shutdown_timeout", "300ms");
    let mut proxy = Sluice::start(&settings);
    let mut stubborn = proxy.connect(&database);
    stubborn.succeed("begin; create table unfinished (id int)");
    proxy.signal(Signal::TERM);
    proxy.wait_end();
    assert!(error(&stubborn.read_to_close()).is_none_or(|code| code == "57P01"));
    let mut admin = database.admin();
    wait::until_true("the rollback", || {
        admin.value("select count(*) from pg_class where relname = 'unfinished'") == "0"
    });
}

#[test]
fn a_reload_changes_users_and_limits_without_touching_sessions() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let settings = Settings::for_server(database.server_port);
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    wire.succeed("begin");
    let added = Login::new(proxy.port, &database.name, ("visitor", "visitor secret"));
    assert!(Wire::connect(&added).is_err());
    proxy.rewrite(
        &settings
            .clone()
            .user("visitor", "password", "visitor secret")
            .user("visitor", "server_user", postgres::APP.0)
            .user("visitor", "server_password", postgres::APP.1)
            .general("max_client_conn", 2),
    );
    proxy.signal(Signal::HUP);
    let mut visitor = wait::until("the new user's login", || Wire::connect(&added).ok());
    assert_eq!(visitor.value("select session_user"), "app");
    assert_eq!(
        Wire::connect(&proxy.login(&database))
            .err()
            .unwrap()
            .sqlstate(),
        "53300"
    );
    wire.succeed("select 1");
    wire.succeed("commit");
}

#[test]
fn a_reload_of_a_broken_file_changes_nothing() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let settings = Settings::for_server(database.server_port);
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    proxy.rewrite(&settings.group("no_such_key", 1));
    proxy.signal(Signal::HUP);
    wait::until_true("a complaint", || proxy.log().contains("no_such_key"));
    assert_eq!(wire.value("select 'unimpressed'"), "unimpressed");
    assert_eq!(proxy.connect(&database).value("select 'served'"), "served");
}

#[test]
fn session_mode_gives_each_client_a_connection_of_its_own() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let settings = Settings::for_server(database.server_port).group("pool_mode", "session");
    let proxy = Sluice::start(&settings);
    let (mut one, mut two) = (proxy.connect(&database), proxy.connect(&database));
    let pids: Vec<String> = (0..3)
        .map(|_| one.value("select pg_backend_pid()"))
        .collect();
    assert!(pids.iter().all(|pid| *pid == pids[0]));
    assert_ne!(two.value("select pg_backend_pid()"), pids[0]);
    one.succeed("set work_mem = '4321kB'");
    drop(one);
    assert_ne!(proxy.connect(&database).value("show work_mem"), "4321kB");
}

#[test]
fn timeouts_end_queries_transactions_and_idle_clients() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let settings = Settings::for_server(database.server_port)
        .group("default_pool_size", 1)
        .listener("idle_client_timeout", "2s")
        .listener("idle_transaction_timeout", "500ms")
        .listener("query_timeout", "500ms");
    let proxy = Sluice::start(&settings);
    let mut slow = proxy.connect(&database);
    slow.send(&query("select pg_sleep(600)")).unwrap();
    assert!(error(&slow.read_to_close()).is_some());
    let mut dreaming = proxy.connect(&database);
    dreaming.succeed("begin");
    assert!(error(&dreaming.read_to_close()).is_some());
    let mut idle = proxy.connect(&database);
    assert_eq!(idle.value("select 1"), "1");
    assert!(error(&idle.read_to_close()).is_some());
    let mut next = proxy.connect(&database);
    assert_eq!(column(&next.simple("select 'next'")), ["next"]);
}
