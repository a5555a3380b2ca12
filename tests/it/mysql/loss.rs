//! Clients that vanish, and what they leave for those after them.

use std::{thread, time::Duration};

use crate::support::{
    mysql::{Database, Kind, MySql, wire::Wire, wire::packets},
    sluice::{Settings, Sluice, is_direct},
    wait,
};

on_both!(
    a_client_that_vanishes_in_a_query_gets_it_cancelled,
    a_client_that_vanishes_in_a_transaction_has_it_rolled_back,
    a_client_that_says_goodbye_in_a_transaction_has_it_rolled_back,
    half_a_request_poisons_no_one,
    a_client_that_vanishes_from_a_large_result_stops_it,
    a_client_that_vanishes_while_waiting_gives_its_place_to_the_next,
    a_vanished_client_leaves_no_locks_settings_or_temporary_tables,
    a_client_that_vanishes_in_a_file_it_sends_leaves_a_clean_connection,
    many_clients_that_vanish_at_random_moments_leave_a_working_pool,
);

/// A proxy with one server connection.
fn narrow(kind: Kind) -> (Database, Sluice) {
    let database = Database::new(kind);
    let settings = Settings::for_mysql(database.server_port)
        .group("default_pool_size", 1)
        .group("connection_borrow_timeout", "20s");
    let proxy = Sluice::start(&settings);
    (database, proxy)
}

fn assert_next_client_works(proxy: &Sluice, database: &Database) {
    let mut next = proxy.connect(database);
    assert_eq!(
        next.value("select concat(database(), @@autocommit)"),
        format!("{}1", database.name)
    );
}

/// How many queries that contain `text` are running.
fn running(admin: &mut Wire, text: &str) -> String {
    let query = "select count(*) from information_schema.processlist where id <> connection_id() and info like";
    admin.value(&format!("{query} '%{text}%'"))
}

fn a_client_that_vanishes_in_a_query_gets_it_cancelled(kind: Kind) {
    if is_direct() {
        return;
    }
    let (database, proxy) = narrow(kind);
    let mut admin = MySql::shared(kind).admin();
    let mark = format!("vanished {}", database.name);
    let mut wire = proxy.connect(&database);
    wire.command(format!("\x03select sleep(60), '{mark}'").as_bytes())
        .unwrap();
    wait::until_true("the query to run", || running(&mut admin, &mark) == "1");
    wire.vanish();
    wait::until_true("the end of the query", || running(&mut admin, &mark) == "0");
    assert_next_client_works(&proxy, &database);
}

fn a_client_that_vanishes_in_a_transaction_has_it_rolled_back(kind: Kind) {
    let (database, proxy) = narrow(kind);
    let mut wire = proxy.connect(&database);
    wire.succeed("create table t (id int primary key)");
    wire.succeed("begin");
    wire.succeed("insert into t values (1)");
    wire.vanish();
    let mut admin = database.admin();
    admin.succeed("set innodb_lock_wait_timeout = 20");
    admin.succeed("insert into t values (1)");
    assert_eq!(admin.value("select count(*) from t"), "1");
    assert_next_client_works(&proxy, &database);
}

fn a_client_that_says_goodbye_in_a_transaction_has_it_rolled_back(kind: Kind) {
    let (database, proxy) = narrow(kind);
    let mut wire = proxy.connect(&database);
    wire.succeed("create table t (id int primary key)");
    wire.succeed("set autocommit = 0");
    wire.succeed("insert into t values (1)");
    wire.command(&[0x01]).unwrap();
    wire.read_to_close();
    let mut next = proxy.connect(&database);
    assert_eq!(next.value("select count(*) from t"), "0");
    assert_eq!(next.value("select @@autocommit"), "1");
}

fn half_a_request_poisons_no_one(kind: Kind) {
    let (database, proxy) = narrow(kind);
    proxy.connect(&database).succeed("create table t (id int)");
    let insert = packets(&mut 0, b"\x03insert into t values (1)");
    let long = packets(
        &mut 0,
        &[b"\x03select '", &vec![b'x'; 18_000_000][..]].concat(),
    );
    for (bytes, length) in [
        (&insert, 3),
        (&insert, 10),
        (&long, 1_000_000),
        (&long, 17_000_000),
    ] {
        let mut wire = proxy.connect(&database);
        wire.send(&bytes[..length]).unwrap();
        wire.vanish();
        assert_next_client_works(&proxy, &database);
    }
    assert_eq!(database.admin().value("select count(*) from t"), "0");
}

fn a_client_that_vanishes_from_a_large_result_stops_it(kind: Kind) {
    if is_direct() {
        return;
    }
    let (database, proxy) = narrow(kind);
    let mut wire = proxy.connect(&database);
    wire.succeed("create table t (word varchar(1000))");
    wire.succeed("insert into t values (repeat('x', 1000))");
    for _ in 0..9 {
        wire.succeed("insert into t select * from t");
    }
    // 128 GB.
    wire.command(b"\x03select a.word from t a, t b, t c")
        .unwrap();
    wire.skip(5_000_000).unwrap();
    let mut admin = MySql::shared(kind).admin();
    let mark = "select a.word from t a";
    wire.vanish();
    wait::until_true("the end of the query", || running(&mut admin, mark) == "0");
    assert_next_client_works(&proxy, &database);
}

fn a_client_that_vanishes_while_waiting_gives_its_place_to_the_next(kind: Kind) {
    if is_direct() {
        return;
    }
    let (database, proxy) = narrow(kind);
    let mut holder = proxy.connect(&database);
    holder.succeed("create table t (id int)");
    let mut waiting: Vec<Wire> = (0..8).map(|_| proxy.connect(&database)).collect();
    holder.succeed("begin");
    for wire in &mut waiting {
        wire.command(b"\x03insert into t values (1)").unwrap();
    }
    let mut last = proxy.connect(&database);
    last.command(b"\x03select 'last'").unwrap();
    wait::until_true("all to wait", || {
        proxy.metric("sluice_database_connection_borrowers_waiting", "") >= 9.0
    });
    waiting.iter().for_each(|wire| wire.vanish());
    wait::until_true("the others to be gone", || {
        proxy.metric("sluice_database_connection_borrowers_waiting", "") <= 1.0
    });
    holder.succeed("commit");
    assert_eq!(last.read_reply().unwrap().first_column(), ["last"]);
    assert_eq!(holder.value("select count(*) from t"), "0");
}

fn a_vanished_client_leaves_no_locks_settings_or_temporary_tables(kind: Kind) {
    let (database, proxy) = narrow(kind);
    proxy.connect(&database).succeed("create table t (id int)");
    let mut wire = proxy.connect(&database);
    wire.succeed("set @mine = 1, sql_mode = 'ANSI_QUOTES', time_zone = '+03:00'");
    wire.succeed("set names latin1");
    wire.succeed(&format!("do get_lock('{}', 0)", database.name));
    wire.succeed("create temporary table mine (id int)");
    wire.succeed("lock tables t write");
    wire.vanish();
    let mut next = proxy.connect(&database);
    let row = next.value("select concat_ws(' ', @mine is null, @@sql_mode like '%ANSI_QUOTES%', @@time_zone, @@character_set_client)");
    assert_eq!(row, "1 0 +00:00 utf8mb4");
    assert_eq!(
        next.value(&format!("select get_lock('{}', 20)", database.name)),
        "1"
    );
    next.succeed("insert into t values (1)");
    assert_eq!(next.fail("select * from mine").code, 1146);
}

fn a_client_that_vanishes_in_a_file_it_sends_leaves_a_clean_connection(kind: Kind) {
    let (database, proxy) = narrow(kind);
    let mut wire = proxy.connect(&database);
    wire.succeed("create table t (id int) engine = innodb");
    wire.command(b"\x03load data local infile 'rows' into table t")
        .unwrap();
    let asked = wire.read_packet().unwrap();
    assert_eq!(asked.body, b"\xfbrows");
    wire.send_packet(b"1\n2\n3\n").unwrap();
    wire.vanish();
    assert_next_client_works(&proxy, &database);
}

fn many_clients_that_vanish_at_random_moments_leave_a_working_pool(kind: Kind) {
    let database = Database::new(kind);
    let proxy = Sluice::with_pool(&database, 3);
    proxy.connect(&database).succeed("create table t (id int)");
    thread::scope(|scope| {
        for client in 0..12_u64 {
            let (proxy, database) = (&proxy, &database);
            scope.spawn(move || {
                for step in 0..8 {
                    let mut wire = proxy.connect(database);
                    wire.succeed("set @a = 1");
                    wire.command(b"\x03begin").unwrap();
                    if step % 3 > 0 {
                        let _ = wire.read_packet();
                        let _ = wire.command(b"\x03insert into t values (1)");
                    }
                    thread::sleep(Duration::from_millis((client * 7 + step * 3) % 10));
                    wire.vanish();
                }
            });
        }
    });
    for _ in 0..6 {
        let mut wire = proxy.connect(&database);
        assert_eq!(
            wire.value("select concat(count(*), @a is null) from t"),
            "01"
        );
    }
}
