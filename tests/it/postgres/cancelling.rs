//! Cancel requests hit the query they are meant for, or nothing.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use crate::support::{
    certs::Certs,
    postgres::Database,
    sluice::{Sluice, is_direct},
    wait,
    wire::{
        Wire,
        backend::{column, error, words},
        cancel,
        frontend::{query, run_unnamed, sync},
    },
};

/// Waits until the server runs a query that starts like this.
fn wait_running(admin: &mut Wire, database: &Database, start: &str) {
    wait::until_true(start, || count_running(admin, database, start) == "1");
}

fn count_running(admin: &mut Wire, database: &Database, start: &str) -> String {
    admin.value(&format!(
        "select count(*) from pg_stat_activity where datname = '{}' and state = 'active' and query like '{start}%'",
        database.name
    ))
}

#[test]
fn a_running_query_is_cancelled_and_the_session_goes_on() {
    let database = Database::new();
    let (proxy, mut admin) = (Sluice::with_pool(&database, 1), database.admin());
    let mut wire = proxy.connect(&database);
    for request in [
        query("select pg_sleep(600)"),
        [run_unnamed("select pg_sleep(600)", &[]), sync()].concat(),
    ] {
        wire.send(&request).unwrap();
        wait_running(&mut admin, &database, "select pg_sleep");
        cancel(proxy.port, &wire.key);
        assert_eq!(error(&wire.read_ready()).unwrap(), "57014");
        assert_eq!(wire.value("select 'on'"), "on");
    }
}

#[test]
fn a_query_is_cancelled_inside_a_transaction_and_of_a_session_with_state() {
    let database = Database::new();
    let (proxy, mut admin) = (Sluice::with_pool(&database, 2), database.admin());
    let mut wire = proxy.connect(&database);
    wire.succeed("create temp table kept as select 'kept' as word");
    wire.succeed("begin");
    wire.send(&query("select pg_sleep(600)")).unwrap();
    wait_running(&mut admin, &database, "select pg_sleep");
    cancel(proxy.port, &wire.key);
    assert_eq!(words(&wire.read_ready()).last().unwrap(), "Ready(E)");
    wire.succeed("rollback");
    assert_eq!(wire.value("select word from kept"), "kept");
}

#[test]
fn a_client_with_tls_is_cancelled() {
    let database = Database::new();
    let (proxy, mut admin) = (Sluice::with_pool(&database, 1), database.admin());
    let login = proxy
        .login(&database)
        .tls(Certs::shared().client_config(None));
    let mut wire = Wire::connect(&login).unwrap();
    wire.send(&query("select pg_sleep(600)")).unwrap();
    wait_running(&mut admin, &database, "select pg_sleep");
    cancel(proxy.port, &wire.key);
    assert_eq!(error(&wire.read_ready()).unwrap(), "57014");
}

#[test]
fn an_unknown_or_wrong_cancel_key_cancels_nothing() {
    let database = Database::new();
    let (proxy, mut admin) = (Sluice::with_pool(&database, 1), database.admin());
    let mut wire = proxy.connect(&database);
    wire.send(&query("select pg_sleep(600)")).unwrap();
    wait_running(&mut admin, &database, "select pg_sleep");
    let (pid, secret) = wire.key.clone();
    let mut wrong = secret.clone();
    wrong[0] ^= 1;
    cancel(proxy.port, &(pid, wrong));
    cancel(proxy.port, &(pid.wrapping_add(1), secret.clone()));
    cancel(proxy.port, &(0, vec![0; 4]));
    // Keys of lengths that no server gives.
    for length in [0, 1, 3, 257] {
        let mut attacker = Wire::open(proxy.port, std::net::Ipv4Addr::LOCALHOST.into()).unwrap();
        let request = crate::support::wire::frontend::cancel_request(pid, &vec![7; length]);
        attacker.send(&request).unwrap();
        attacker.read_to_close();
    }
    assert_eq!(count_running(&mut admin, &database, "select pg_sleep"), "1");
    cancel(proxy.port, &(pid, secret));
    assert_eq!(error(&wire.read_ready()).unwrap(), "57014");
}

#[test]
fn a_cancel_request_for_an_idle_client_is_ignored() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let (mut idle, mut other) = (proxy.connect(&database), proxy.connect(&database));
    idle.succeed("select 1");
    // The one server connection now works for another client.
    other
        .send(&query("select pg_sleep(0.3), 'undisturbed'"))
        .unwrap();
    let mut admin = database.admin();
    wait_running(&mut admin, &database, "select pg_sleep");
    cancel(proxy.port, &idle.key);
    assert_eq!(error(&other.read_ready()), None);
    assert_eq!(idle.value("select 'still here'"), "still here");
    drop(idle);
    let mut next = proxy.connect(&database);
    assert_eq!(next.value("select 'fine'"), "fine");
}

#[test]
fn a_client_that_waits_for_a_server_connection_can_be_cancelled() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let (mut holder, mut waiting) = (proxy.connect(&database), proxy.connect(&database));
    holder.succeed("begin");
    waiting.send(&query("select 'never run'")).unwrap();
    // The request may arrive before the query does: a cancel of an idle client is lost, so repeat it.
    wait::until_true("the cancellation of a waiting client", || {
        cancel(proxy.port, &waiting.key);
        waiting.has_input()
    });
    let reply = waiting.read_ready();
    assert_eq!(words(&reply), ["Error(57014)", "Ready(I)"]);
    assert!(!waiting.has_input());
    holder.succeed("commit");
    assert_eq!(waiting.value("select 'on'"), "on");
}

#[test]
fn every_client_has_a_key_of_its_own() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let clients: Vec<Wire> = (0..50).map(|_| proxy.connect(&database)).collect();
    let keys: std::collections::HashSet<_> =
        clients.iter().map(|client| client.key.clone()).collect();
    assert_eq!(keys.len(), clients.len());
    assert!(
        keys.iter().all(|(_, secret)| secret.len() == 4),
        "protocol 3.0 has keys of four bytes"
    );
}

#[test]
fn a_storm_of_cancels_never_hits_the_query_of_another_client() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 2);
    let mut target = proxy.connect(&database);
    let key = target.key.clone();
    let (stop, cancelled) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        for client in 0..6 {
            let (proxy, database, stop) = (&proxy, &database, &stop);
            scope.spawn(move || {
                let mut wire = proxy.connect(database);
                while !stop.load(Ordering::Relaxed) {
                    let reply = wire.simple(&format!("select {client} from pg_sleep(0.001)"));
                    let failure = error(&reply);
                    if failure.is_some() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    assert_eq!(failure, None, "a bystander was hit");
                    assert_eq!(column(&reply), [client.to_string()]);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    cancel(proxy.port, &key);
                }
            });
        }
        for _ in 0..400 {
            let reply = target.simple("select pg_sleep(0.002)");
            match error(&reply).as_deref() {
                None => {}
                Some("57014") => _ = cancelled.fetch_add(1, Ordering::Relaxed),
                Some(code) => panic!("{code}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(
        cancelled.load(Ordering::Relaxed) > 0,
        "no cancel ever hit its target"
    );
}
