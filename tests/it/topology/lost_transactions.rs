//! Transactions that are lost with their server: to the client they have failed, and its session goes on.

use super::roles::until_state;
use crate::support::{
    cluster,
    gate::Gate,
    mysql::{self, Kind},
    postgres::{ADMIN, Database, Postgres},
    sluice::{Settings, Sluice, is_direct},
    wait,
    wire::{
        Wire,
        backend::{Message, error, words},
        frontend::{parse, query, run_named, run_unnamed, sync},
    },
};

struct Place {
    servers: Vec<Postgres>,
    database: Database,
    gate: Gate,
    proxy: Sluice,
}

impl Place {
    /// The way to the primary is cut without a word.
    fn new() -> Self {
        let servers = cluster::postgres(1);
        let database = servers[0].database();
        let gate = Gate::before(servers[0].port);
        let settings = Settings::for_server(gate.port)
            .group("monitor_user", ADMIN.0)
            .group("health_check_interval", "200ms")
            .group("failover_check_interval", "50ms")
            .group("health_check_timeout", "1s")
            .group("connection_borrow_timeout", "30s")
            .group("default_pool_size", 8)
            .server(servers[1].port, []);
        let proxy = Sluice::start(&settings);
        let mut wire = proxy.connect(&database);
        wire.succeed("create table t (id int primary key)");
        cluster::catch_up(&servers[0], &servers[1]);
        until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
        Self {
            servers,
            database,
            gate,
            proxy,
        }
    }

    fn fail_over(&self) {
        self.gate.close();
        self.servers[1]
            .admin("postgres")
            .succeed("select pg_promote()");
    }

    fn client(&self) -> Wire {
        self.proxy.connect(&self.database)
    }

    fn new_primary(&self) -> String {
        self.servers[1].port.to_string()
    }
}

/// The SQLSTATE of an answer, and the state of the transaction behind it.
fn outcome(messages: &[Message]) -> (Option<String>, String) {
    (
        error(messages),
        words(messages).last().cloned().unwrap_or_default(),
    )
}

/// The text ends the failed transaction by a rollback, as its tag says.
fn ends(wire: &mut Wire, text: &str) {
    let messages = wire.simple(text);
    assert_eq!(outcome(&messages), (None, "Ready(I)".into()));
    let tag = messages.iter().find(|message| message.tag == b'C').unwrap();
    assert_eq!(tag.body, b"ROLLBACK\0");
}

fn failed(code: &str) -> (Option<String>, String) {
    (Some(code.into()), "Ready(E)".into())
}

/// A client in a transaction that has written something and changed a setting.
fn open_transaction(place: &Place, number: usize) -> Wire {
    let mut wire = place.client();
    wire.succeed(&format!("set application_name = 'client {number}'"));
    wire.ask(&[parse("back", "rollback"), parse("one", "select 1"), sync()].concat());
    wire.succeed("begin");
    wire.succeed(&format!("insert into t values ({number})"));
    wire.succeed("set application_name = 'lost'");
    wire
}

#[test]
fn a_transaction_that_is_lost_has_failed_and_a_rollback_ends_it() {
    if is_direct() {
        return;
    }
    let place = Place::new();
    let mut wires: [Wire; 5] = std::array::from_fn(|number| open_transaction(&place, number));
    let [idle, rolls_back, commits, extended, broken] = &mut wires;
    assert!(error(&broken.simple("select nothing")).is_some());
    place.fail_over();
    wait::until_true("the connections to be lost", || {
        place.proxy.log().matches("server connection lost").count() == 5
    });
    // Whatever comes first is told, and nothing of it runs.
    assert_eq!(
        outcome(&idle.simple("insert into t values (10)")),
        failed("08006")
    );
    assert_eq!(
        outcome(&idle.simple("insert into t values (11)")),
        failed("25P02")
    );
    let batch = [run_unnamed("insert into t values (12)", &[]), sync()].concat();
    assert_eq!(outcome(&idle.ask(&batch)), failed("25P02"));
    assert_eq!(
        outcome(&idle.simple("rollback to savepoint s")),
        failed("3B001")
    );
    ends(idle, "rollback");
    // A rollback is what it takes.
    ends(rolls_back, "rollback");
    // A commit comes too late, and then is a rollback.
    assert_eq!(outcome(&commits.simple("commit")), failed("08006"));
    ends(commits, "commit");
    // By the extended protocol.
    let batch = [run_named("one", &[]), sync()].concat();
    assert_eq!(outcome(&extended.ask(&batch)), failed("08006"));
    assert_eq!(outcome(&extended.ask(&batch)), failed("25P02"));
    let back = extended.ask(&[run_named("back", &[]), sync()].concat());
    assert_eq!(outcome(&back), (None, "Ready(I)".into()));
    // One that had failed before.
    assert_eq!(outcome(&broken.simple("select 1")), failed("08006"));
    broken.succeed("rollback");
    for (number, wire) in wires.iter_mut().enumerate() {
        assert_eq!(
            wire.value("show application_name"),
            format!("client {number}")
        );
        assert_eq!(wire.value("select inet_server_port()"), place.new_primary());
        let one = wire.ask(&[run_named("one", &[]), sync()].concat());
        assert_eq!(outcome(&one), (None, "Ready(I)".into()));
    }
    assert_eq!(wires[0].value("select count(*) from t"), "0");
}

#[test]
fn a_statement_in_flight_fails_its_transaction_unless_it_may_have_ended_it() {
    if is_direct() {
        return;
    }
    let place = Place::new();
    let mut reads = place.client();
    let mut extended = place.client();
    let mut commits = place.client();
    for wire in [&mut reads, &mut extended, &mut commits] {
        wire.succeed("begin");
    }
    reads.send(&query("select pg_sleep(600)")).unwrap();
    extended
        .send(&[run_unnamed("select pg_sleep(600)", &[]), sync()].concat())
        .unwrap();
    commits
        .send(&query("select pg_sleep(600); commit"))
        .unwrap();
    wait::until_true("all to run", || {
        let running = "select count(*) from pg_stat_activity where state = 'active' \
                       and query like 'select pg_sleep%'";
        place.servers[0].admin("postgres").value(running) == "3"
    });
    place.fail_over();
    assert_eq!(outcome(&reads.read_ready()), failed("08006"));
    assert_eq!(outcome(&extended.read_ready()), failed("08006"));
    for wire in [&mut reads, &mut extended] {
        assert_eq!(
            outcome(&wire.simple("insert into t values (1)")),
            failed("25P02")
        );
        ends(wire, "rollback");
        wire.succeed("begin; insert into t values (2); rollback");
    }
    // Of this one nobody knows what has become.
    let last = commits.read_to_close();
    assert_eq!(error(&last).as_deref(), Some("08006"));
    assert_ne!(last.last().unwrap().tag, b'Z');
    assert_eq!(reads.value("select count(*) from t"), "0");
}

#[test]
fn a_client_that_waits_while_there_is_no_server_stays_in_its_failed_transaction() {
    if is_direct() {
        return;
    }
    let place = Place::new();
    let mut wire = place.client();
    wire.succeed("begin");
    wire.succeed("insert into t values (1)");
    place.gate.close();
    wait::until_true("the connection to be lost", || {
        place.proxy.log().contains("server connection lost")
    });
    assert_eq!(outcome(&wire.simple("select 1")), failed("08006"));
    // This waits for a primary.
    wire.send(&query("insert into t values (2)")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    place.servers[1]
        .admin("postgres")
        .succeed("select pg_promote()");
    assert_eq!(outcome(&wire.read_ready()), failed("25P02"));
    wire.succeed("rollback");
    assert_eq!(wire.value("select count(*) from t"), "0");
}

/// A client whose transaction sleeps at this server; later, what it was told.
fn asleep(
    mut wire: mysql::wire::Wire,
    server: &mysql::MySql,
) -> std::thread::JoinHandle<(mysql::wire::Wire, mysql::message::Failure)> {
    let sleeping = std::thread::spawn(move || {
        wire.succeed("begin");
        let failure = wire.fail("select sleep(600)");
        (wire, failure)
    });
    let running =
        "select count(*) from information_schema.processlist where info = 'select sleep(600)'";
    wait::until_true("it to sleep", || server.admin().value(running) == "1");
    sleeping
}

fn lost_by_mysql(kind: Kind) {
    let servers = cluster::mysql(kind, 1);
    let database = servers[0].database();
    let gate = Gate::before(servers[0].port);
    let settings = Settings::for_mysql(gate.port)
        .group("monitor_user", mysql::ADMIN.0)
        .group("health_check_interval", "200ms")
        .group("failover_check_interval", "50ms")
        .group("health_check_timeout", "1s")
        .group("connection_borrow_timeout", "30s")
        .server(servers[1].port, []);
    let proxy = Sluice::start(&settings);
    let mut first = proxy.connect(&database);
    first.succeed("create table t (id int primary key) engine = innodb");
    let tables = format!(
        "select count(*) from information_schema.tables where table_schema = '{}'",
        database.name
    );
    wait::until_true("the replica to follow", || {
        servers[1].admin().value(&tables) == "1"
    });
    until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    let mut wires: Vec<_> = (0..3).map(|_| proxy.connect(&database)).collect();
    let insert = wires[0].prepare("insert into t values (?)").id;
    let back = wires[0].prepare("rollback").id;
    for (number, wire) in wires.iter_mut().enumerate() {
        wire.succeed(&format!("set @mine = {number}"));
        wire.succeed("begin");
        wire.succeed(&format!("insert into t values ({number})"));
    }
    let sleeping = asleep(proxy.connect(&database), &servers[0]);
    gate.close();
    wait::until_true("the connections to be lost", || {
        proxy.log().matches("server connection lost").count() == 4
    });
    servers[1].promote();
    let (mut slept, failure) = sleeping.join().unwrap();
    assert_eq!(failure.code, 1053);
    assert_eq!(slept.fail("insert into t values (20)").code, 1053);
    slept.succeed("rollback");
    // Nothing runs before the transaction is ended, however it is sent.
    assert_eq!(wires[0].fail("insert into t values (10)").code, 1053);
    assert_eq!(wires[0].fail("begin").code, 1053);
    let replies = wires[0].execute(insert, &[Some("11")]).unwrap();
    assert_eq!(replies[0].failure().map(|failure| failure.code), Some(1053));
    assert_eq!(
        wires[0].fail("rollback; insert into t values (12)").code,
        1053
    );
    let replies = wires[0].execute(back, &[]).unwrap();
    assert!(replies[0].failure().is_none());
    wires[1].succeed("rollback");
    assert_eq!(wires[2].fail("commit").code, 1053);
    for (number, wire) in wires.iter_mut().enumerate() {
        assert_eq!(wire.value("select @mine"), number.to_string());
        assert_eq!(wire.value("select @@port"), servers[1].port.to_string());
        assert_eq!(wire.value("select count(*) from t"), "0");
    }
    wires[0].succeed("begin");
    let replies = wires[0].execute(insert, &[Some("13")]).unwrap();
    assert!(replies[0].failure().is_none());
    wires[0].succeed("commit");
    assert_eq!(slept.value("select id from t"), "13");
}

#[test]
fn a_transaction_that_mysql_has_lost_lets_nothing_run_before_its_rollback() {
    if !is_direct() {
        lost_by_mysql(Kind::MySql);
    }
}

#[test]
fn a_transaction_that_mariadb_has_lost_lets_nothing_run_before_its_rollback() {
    if !is_direct() {
        lost_by_mysql(Kind::MariaDb);
    }
}
