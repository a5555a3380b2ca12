//! Servers that die, restart and fill up, and what their clients see of it.

use std::thread;

use crate::support::{
    mysql::{Database, Kind, MySql, wire::Wire},
    sluice::{Settings, Sluice, is_direct},
    wait,
};

on_both!(
    idle_clients_do_not_notice_a_restart_of_the_server,
    idle_clients_do_not_notice_a_crash_of_the_server,
    a_query_that_loses_its_server_is_told_so,
    killed_idle_server_connections_are_replaced_unseen,
    a_server_without_free_slots_serves_all_clients_over_the_connections_it_gave,
    a_server_that_is_down_refuses_clients_in_time_and_welcomes_them_after,
    a_client_waits_for_a_free_connection_no_longer_than_agreed,
);

/// A server of the test's own, a database on it, and a proxy that gives up on it quickly.
fn setting(kind: Kind, server: &[(&str, &str)], pool: i64) -> (MySql, Database, Sluice) {
    let mysql = MySql::private(kind, server);
    let database = mysql.database();
    let settings = Settings::for_mysql(mysql.port)
        .group("default_pool_size", pool)
        .group("connection_borrow_timeout", "10s")
        .group("server_login_retry", "100ms");
    let proxy = Sluice::start(&settings);
    (mysql, database, proxy)
}

fn after(kind: Kind, lose: &dyn Fn(&mut MySql)) {
    if is_direct() {
        return;
    }
    let (mut mysql, database, proxy) = setting(kind, &[], 3);
    let mut clients: Vec<_> = (0..6)
        .map(|number| {
            let mut wire = proxy.connect(&database);
            wire.succeed(&format!(
                "set @number = {number}, time_zone = '+0{number}:00'"
            ));
            let prepared = wire.prepare("select concat(?, @number, @@time_zone)");
            (wire, prepared.id)
        })
        .collect();
    lose(&mut mysql);
    mysql.start();
    for (number, (wire, id)) in clients.iter_mut().enumerate() {
        let replies = wire.execute(*id, &[Some("kept")]).unwrap();
        let shown = format!("{:?}", replies[0]);
        assert_eq!(replies[0].failure(), None, "{shown}");
        let row = wire.value("select concat(@number, @@time_zone)");
        assert_eq!(row, format!("{number}+0{number}:00"));
    }
}

fn idle_clients_do_not_notice_a_restart_of_the_server(kind: Kind) {
    after(kind, &|mysql| mysql.stop());
}

fn idle_clients_do_not_notice_a_crash_of_the_server(kind: Kind) {
    after(kind, &|mysql| mysql.kill());
}

fn a_query_that_loses_its_server_is_told_so(kind: Kind) {
    if is_direct() {
        return;
    }
    let (mut mysql, database, proxy) = setting(kind, &[], 3);
    let mut querying = proxy.connect(&database);
    let mut transacting = proxy.connect(&database);
    let mut idle = proxy.connect(&database);
    transacting.succeed("begin");
    let mut admin = mysql.admin();
    querying.command(b"\x03select sleep(60)").unwrap();
    let running =
        "select count(*) from information_schema.processlist where info = 'select sleep(60)'";
    wait::until_true("the query to run", || admin.value(running) == "1");
    mysql.kill();
    let failure = querying.read_reply().unwrap().failure().cloned();
    assert_eq!(failure.unwrap().code, 1053);
    // Said when the client next asks, and nothing of the transaction runs outside of it.
    assert_eq!(transacting.fail("do 0").code, 1053);
    mysql.start();
    assert_eq!(transacting.fail("do 0").code, 1053);
    transacting.succeed("rollback");
    assert_eq!(transacting.value("select 'still here'"), "still here");
    assert_eq!(idle.value("select 'still here'"), "still here");
}

fn killed_idle_server_connections_are_replaced_unseen(kind: Kind) {
    if is_direct() {
        return;
    }
    let (mysql, database, proxy) = setting(kind, &[], 3);
    let mut clients: Vec<Wire> = (0..6).map(|_| proxy.connect(&database)).collect();
    for client in &mut clients {
        client.succeed("set @a = 7");
    }
    let mut admin = mysql.admin();
    for _ in 0..3 {
        let listed = "select id from information_schema.processlist where user = 'app'";
        let killed = admin.column(listed);
        for id in &killed {
            // It may have gone by itself.
            let _ = admin.query(&format!("kill {id}"));
        }
        // KILL raises a flag. A connection is closed before it is off the list.
        wait::until_true("the killed connections are closed", || {
            let left = admin.column(listed);
            !left.iter().any(|id| killed.contains(id))
        });
        for client in &mut clients {
            assert_eq!(client.value("select @a"), "7");
        }
    }
}

fn a_server_without_free_slots_serves_all_clients_over_the_connections_it_gave(kind: Kind) {
    if is_direct() {
        return;
    }
    // One is an administrator's; the pool would like 20.
    let (_mysql, database, proxy) = setting(kind, &[("max_connections", "6")], 20);
    thread::scope(|scope| {
        for client in 0..12 {
            let (proxy, database) = (&proxy, &database);
            scope.spawn(move || {
                let mut wire = proxy.connect(database);
                for step in 0..10 {
                    let sum = wire.value(&format!("select {client} + {step} + sleep(0.005)"));
                    assert_eq!(sum, (client + step).to_string());
                }
            });
        }
    });
}

fn a_server_that_is_down_refuses_clients_in_time_and_welcomes_them_after(kind: Kind) {
    if is_direct() {
        return;
    }
    let mut mysql = MySql::private(kind, &[]);
    let database = mysql.database();
    let settings = Settings::for_mysql(mysql.port)
        .group("connection_borrow_timeout", "1s")
        .group("server_connect_timeout", "1s")
        .group("server_login_retry", "100ms");
    let proxy = Sluice::start(&settings);
    proxy.connect(&database).succeed("select 1");
    mysql.stop();
    let refused = match Wire::connect(&proxy.login(&database)) {
        Ok(mut wire) => wire
            .query("select 1")
            .map(|replies| replies[0].failure().cloned()),
        Err(_) => Ok(None),
    };
    assert!(!matches!(refused, Ok(Some(failure)) if failure.code == 0));
    mysql.start();
    wait::until("a client to be served", || {
        let mut wire = Wire::connect(&proxy.login(&database)).ok()?;
        wire.query("select 1").ok()?[0]
            .failure()
            .is_none()
            .then_some(())
    });
}

fn a_client_waits_for_a_free_connection_no_longer_than_agreed(kind: Kind) {
    if is_direct() {
        return;
    }
    let database = Database::new(kind);
    let settings = Settings::for_mysql(database.server_port)
        .group("default_pool_size", 1)
        .group("connection_borrow_timeout", "3s");
    let proxy = Sluice::start(&settings);
    let mut holder = proxy.connect(&database);
    let mut waiting = proxy.connect(&database);
    holder.succeed("begin");
    assert_eq!(waiting.fail("select 1").code, 9501);
    holder.succeed("commit");
    assert_eq!(waiting.value("select 1"), "1");
}
