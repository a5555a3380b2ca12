//! Servers that die, restart, fill up or never answer, and what their clients see of it.

use std::{thread, time::Duration};

use crate::support::{
    place,
    postgres::{self, Database, Postgres},
    sluice::{Settings, Sluice, is_direct},
    wait,
    wire::{
        Login, Refused, Wire,
        backend::{error, words},
        frontend::{parse, query, run_named, sync},
    },
};

/// A server of the test's own, a database on it, and a proxy that gives up on it quickly.
fn setting(server: &[(&str, &str)], pool: i64) -> (Postgres, Database, Sluice) {
    let postgres = Postgres::private(server);
    let database = postgres.database();
    let settings = Settings::for_server(postgres.port)
        .group("default_pool_size", pool)
        .group("connection_borrow_timeout", "10s")
        .group("server_login_retry", "100ms");
    let proxy = Sluice::start(&settings);
    (postgres, database, proxy)
}

/// Runs the query on this connection; an error, or the loss of the connection, is a failure.
fn try_query(wire: &mut Wire, sql: &str) -> Result<Vec<String>, String> {
    wire.send(&query(sql)).map_err(|error| error.to_string())?;
    let reply = wire.read_ready_or_close();
    match (
        error(&reply),
        reply.last().is_some_and(|last| last.tag == b'Z'),
    ) {
        (None, true) => Ok(crate::support::wire::backend::column(&reply)),
        (code, _) => Err(code.unwrap_or_else(|| "closed".into())),
    }
}

#[test]
fn idle_clients_do_not_notice_a_restart_of_the_server() {
    if is_direct() {
        return;
    }
    let (mut postgres, database, proxy) = setting(&[], 3);
    let mut clients: Vec<Wire> = (0..6).map(|_| proxy.connect(&database)).collect();
    for client in &mut clients {
        client.succeed("select 1");
        client.ask(&[parse("kept", "select 'kept'"), sync()].concat());
    }
    postgres.stop();
    postgres.start();
    for client in &mut clients {
        let reply = client.ask(&[run_named("kept", &[]), sync()].concat());
        assert_eq!(
            words(&reply),
            [
                "BindComplete",
                "Row(kept)",
                "Complete(SELECT 1)",
                "Ready(I)"
            ]
        );
    }
}

#[test]
fn idle_clients_do_not_notice_a_crash_of_the_server() {
    if is_direct() {
        return;
    }
    let (mut postgres, database, proxy) = setting(&[], 3);
    let mut clients: Vec<Wire> = (0..6).map(|_| proxy.connect(&database)).collect();
    for client in &mut clients {
        client.succeed("select 1");
    }
    postgres.kill();
    postgres.start();
    for client in &mut clients {
        assert_eq!(client.succeed("select 'alive'"), ["alive"]);
    }
}

#[test]
fn a_query_that_loses_its_server_is_told_so() {
    if is_direct() {
        return;
    }
    let (mut postgres, database, proxy) = setting(&[], 2);
    let (mut busy, mut idle) = (proxy.connect(&database), proxy.connect(&database));
    busy.succeed("begin");
    busy.send(&query("select pg_sleep(600)")).unwrap();
    let mut admin = database.admin();
    let active = "select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sleep%'";
    wait::until_true("the query to run", || admin.value(active) == "1");
    postgres.kill();
    let reply = busy.read_ready_or_close();
    let code = error(&reply).expect("an error");
    assert!(code.starts_with("08") || code.starts_with("57P"), "{code}");
    assert_ne!(
        reply.last().unwrap().word(),
        "Ready(T)",
        "the transaction is lost"
    );
    postgres.start();
    assert_eq!(try_query(&mut idle, "select 'alive'").unwrap(), ["alive"]);
    assert_eq!(proxy.connect(&database).value("select 'alive'"), "alive");
}

#[test]
fn an_idle_transaction_that_loses_its_server_is_told_so() {
    if is_direct() {
        return;
    }
    let (mut postgres, database, proxy) = setting(&[], 2);
    let mut wire = proxy.connect(&database);
    wire.succeed("begin; create table lost (id int)");
    postgres.kill();
    postgres.start();
    // Never may a statement of the lost transaction run outside of it.
    let refused = try_query(&mut wire, "create table half (id int)").unwrap_err();
    assert!(
        refused.starts_with("08") || refused.starts_with("57P") || refused == "closed",
        "{refused}"
    );
    assert_eq!(
        database
            .admin()
            .value("select count(*) from pg_class where relname in ('lost', 'half')"),
        "0"
    );
}

#[test]
fn a_terminated_server_process_costs_its_own_client_alone() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 2);
    let (mut victim, mut other) = (proxy.connect(&database), proxy.connect(&database));
    victim.succeed("begin");
    other.succeed("begin");
    let pid = victim.value("select pg_backend_pid()");
    assert_eq!(
        database
            .admin()
            .value(&format!("select pg_terminate_backend({pid}, 10000)")),
        "t"
    );
    assert!(
        ["57P01", "closed"].contains(&try_query(&mut victim, "select 1").unwrap_err().as_str())
    );
    assert_eq!(other.value("select 'untouched'"), "untouched");
    assert_eq!(
        words(&other.simple("commit")),
        ["Complete(COMMIT)", "Ready(I)"]
    );
    assert_eq!(proxy.connect(&database).value("select 'next'"), "next");
}

#[test]
fn terminated_idle_server_processes_are_replaced_unseen() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 4);
    let mut clients: Vec<Wire> = (0..8).map(|_| proxy.connect(&database)).collect();
    let mut admin = database.admin();
    for _ in 0..5 {
        for client in &mut clients {
            assert_eq!(client.value("select 'served'"), "served");
        }
        admin.succeed(&format!(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{}' and pid <> pg_backend_pid()",
            database.name
        ));
    }
}

#[test]
fn a_server_without_free_slots_serves_all_clients_over_the_connections_it_gave() {
    if is_direct() {
        return;
    }
    // Superusers keep 3 of the 6; the pool would like 20.
    let (_postgres, database, proxy) = setting(&[("max_connections", "6")], 20);
    thread::scope(|scope| {
        for client in 0..12 {
            let (proxy, database) = (&proxy, &database);
            scope.spawn(move || {
                let mut wire = proxy.connect(database);
                for step in 0..10 {
                    let sum = wire.value(&format!("select {client} + {step} from pg_sleep(0.005)"));
                    assert_eq!(sum, (client + step).to_string());
                }
            });
        }
    });
}

#[test]
fn a_server_that_is_down_refuses_clients_in_time_and_welcomes_them_after() {
    if is_direct() {
        return;
    }
    let mut postgres = Postgres::private(&[]);
    let database = postgres.database();
    let settings = Settings::for_server(postgres.port)
        .group("connection_borrow_timeout", "1s")
        .group("server_connect_timeout", "1s")
        .group("server_login_retry", "100ms");
    let proxy = Sluice::start(&settings);
    proxy.connect(&database).succeed("select 1");
    postgres.stop();
    let outcome = match Wire::connect(&proxy.login(&database)) {
        Ok(mut wire) => try_query(&mut wire, "select 1").unwrap_err(),
        Err(Refused::Error(message)) => message.sqlstate(),
        Err(Refused::Io(error)) => panic!("no word but {error}"),
    };
    assert!(
        ["08", "53", "57"]
            .iter()
            .any(|class| outcome.starts_with(class)),
        "{outcome}"
    );
    postgres.start();
    wait::until_true("service after the server's return", || {
        Wire::connect(&proxy.login(&database))
            .is_ok_and(|mut wire| try_query(&mut wire, "select 1").is_ok())
    });
}

#[test]
fn a_server_that_never_answers_is_given_up_on() {
    if is_direct() {
        return;
    }
    // A socket whose connections nobody accepts: the kernel shakes hands, then silence.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = Settings::for_server(silent.local_addr().unwrap().port())
        .group("connection_borrow_timeout", "2s")
        .group("server_connect_timeout", "500ms");
    let proxy = Sluice::start(&settings);
    let login = Login::new(proxy.port, "postgres", postgres::APP);
    let outcome = match Wire::connect(&login) {
        Ok(mut wire) => try_query(&mut wire, "select 1").unwrap_err(),
        Err(refused) => refused.sqlstate(),
    };
    assert!(
        ["08", "53", "57"]
            .iter()
            .any(|class| outcome.starts_with(class)),
        "{outcome}"
    );
}

#[test]
fn a_missing_database_harms_no_other() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 2);
    let mut wire = proxy.connect(&database);
    for _ in 0..5 {
        let missing = Login::new(proxy.port, "no_such_database", postgres::APP);
        assert_eq!(Wire::connect(&missing).err().unwrap().sqlstate(), "3D000");
        assert_eq!(wire.value("select 'fine'"), "fine");
    }
}

#[test]
fn a_password_changed_on_the_server_alone_fails_new_server_connections_with_a_reason() {
    if is_direct() {
        return;
    }
    let (postgres, database, proxy) = setting(&[], 2);
    proxy.connect(&database).succeed("select 1");
    postgres
        .admin("postgres")
        .succeed("alter role app password 'changed'");
    let mut admin = postgres.admin(&database.name);
    admin.succeed(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = 'app'",
    );
    wait::until_true("the reason in the log", || {
        let _ =
            Wire::connect(&proxy.login(&database)).map(|mut wire| try_query(&mut wire, "select 1"));
        proxy.log().contains("28P01")
    });
    assert!(place::is_alive(proxy.pid()));
}

#[test]
fn a_client_waits_for_a_free_connection_no_longer_than_agreed() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let settings = Settings::for_server(database.server_port)
        .group("default_pool_size", 1)
        .group("connection_borrow_timeout", "300ms");
    let proxy = Sluice::start(&settings);
    let (mut holder, mut waiting) = (proxy.connect(&database), proxy.connect(&database));
    holder.succeed("begin");
    let began = std::time::Instant::now();
    let refused = try_query(&mut waiting, "select 1").unwrap_err();
    assert!(
        ["53300", "57014", "08006"].contains(&refused.as_str()),
        "{refused}"
    );
    assert!(began.elapsed() >= Duration::from_millis(300));
    holder.succeed("commit");
    assert_eq!(proxy.connect(&database).value("select 1"), "1");
}
