//! MySQL and MariaDB: which server answers.

use super::{routed, split, until_known};
use crate::support::{
    cluster,
    mysql::{Database, Kind, MySql, wire::Wire},
    sluice::{Settings, Sluice, is_direct},
    wait,
};

/// Tells which server answers: its row differs from server to server.
const WHERE: &str = "select port from place";

struct Place {
    servers: Vec<MySql>,
    database: Database,
    proxy: Sluice,
}

impl Place {
    fn new(kind: Kind) -> Self {
        let servers = cluster::mysql(kind, 1);
        let database = servers[0].database();
        let mut admin = database.admin();
        admin.succeed("create table t (id int auto_increment primary key, v varchar(20))");
        admin.succeed("create table place (port int)");
        admin.succeed(&format!("insert into place values ({})", servers[0].port));
        admin.succeed("create function here() returns int reads sql data return @@port");
        admin.succeed("create function there() returns int deterministic return @@port");
        let proxy = Sluice::start(&split(
            Settings::for_mysql(servers[0].port),
            &[servers[1].port],
        ));
        let place = Self {
            servers,
            database,
            proxy,
        };
        place.follow(
            "select count(*) from information_schema.routines where routine_name = 'there'",
        );
        place.mark_replica(kind);
        let mut wire = place.proxy.connect(&place.database);
        until_known(|| drop(wire.value("select 1")), &place.proxy);
        place
    }

    /// Has the replica say who it is.
    fn mark_replica(&self, kind: Kind) {
        let mut replica = self.servers[1].admin();
        replica.succeed("set sql_log_bin = 0");
        if kind == Kind::MySql {
            replica.succeed("set global super_read_only = 0");
        }
        replica.succeed("set global read_only = 0");
        replica.succeed(&format!(
            "update `{}`.place set port = {}",
            self.database.name, self.servers[1].port
        ));
        replica.succeed("set global read_only = 1");
        if kind == Kind::MySql {
            replica.succeed("set global super_read_only = 1");
        }
    }

    /// Waits until the replica answers `1`.
    fn follow(&self, question: &str) {
        let mut replica = self.servers[1].admin();
        wait::until_true("the replica to follow", || replica.value(question) == "1");
    }
}

/// Stored code may keep its session where it runs.
fn stored_code(place: &Place, known: &impl Fn(&mut Wire)) {
    let [primary, replica] = [0, 1].map(|at| place.servers[at].port.to_string());
    let apart = |said: &str, asked: &str| {
        let mut wire = place.proxy.connect(&place.database);
        known(&mut wire);
        wire.succeed(said);
        wire.value(asked)
    };
    assert_eq!(apart("select 1", "select there()"), primary);
    assert_eq!(apart("select 1", "select here()"), primary);
    // MariaDB tells what such code has left behind; without its performance schema MySQL does not, and then the
    // primary runs it.
    let vouched = match place.servers[0].kind {
        Kind::MySql => &primary,
        Kind::MariaDb => &replica,
    };
    let hinted = "/* sluice: replica */ select there()";
    assert_eq!(apart("select 1", hinted), *vouched);
    let role = "set @sluice_role = 'replica'";
    assert_eq!(apart(role, "select there()"), *vouched);
}

fn reads_and_writes(kind: Kind) {
    let place = Place::new(kind);
    let (primary, replica) = (
        place.servers[0].port.to_string(),
        place.servers[1].port.to_string(),
    );
    let mut wire = place.proxy.connect(&place.database);
    // How its server reads texts is known from the first connection on, and a replica that has fallen
    // behind what the session has seen is not asked.
    let known = |wire: &mut Wire| {
        wait::until_true("reads to go to the replica", || {
            wire.value(WHERE) == replica
        });
    };
    known(&mut wire);
    stored_code(&place, &known);
    let hinted = format!("/* sluice: primary */ {WHERE}");
    assert_eq!(wire.value(&hinted), primary);
    wire.succeed("insert into t (v) values ('a')");
    assert_eq!(wire.value("select v from t"), "a");
    assert_eq!(wire.value("select last_insert_id()"), "1");
    // Transactions.
    wire.succeed("begin");
    assert_eq!(wire.value(WHERE), primary);
    wire.succeed("commit");
    known(&mut wire);
    wire.succeed("start transaction read only");
    assert_eq!(wire.value(WHERE), replica);
    wire.succeed("commit");
    wire.succeed("set transaction read only");
    wire.succeed("begin");
    assert_eq!(wire.value(WHERE), replica);
    wire.succeed("commit");
    wire.succeed("set autocommit = 0");
    assert_eq!(wire.value(WHERE), primary);
    wire.succeed("commit");
    wire.succeed("set autocommit = 1");
    known(&mut wire);
    // By the session's own choice.
    wire.succeed("set @sluice_role = 'primary'");
    assert_eq!(wire.value(WHERE), primary);
    wire.succeed("set @sluice_role = null");
    known(&mut wire);
    // Settings go along.
    wire.succeed("set @mine = 5");
    assert_eq!(wire.value("select @mine + 0"), "5");
    wire.succeed("set session group_concat_max_len = 5000");
    known(&mut wire);
    // Prepared statements.
    let here = wire.prepare("select port, ? from place");
    for _ in 0..3 {
        let replies = wire.execute(here.id, &[Some("x")]).unwrap();
        let text = format!("{replies:?}");
        assert!(!text.contains("Failure"), "{text}");
    }
    assert!(routed(&place.proxy, "replica", "read") >= 3);
    // A session that is pinned stays where its state is.
    wire.succeed("create temporary table kept (id int)");
    assert_eq!(wire.value(WHERE), primary);
    wire.succeed("drop temporary table kept");
    known(&mut wire);
    assert_eq!(place.proxy.metric("sluice_misrouted_reads_total", ""), 0.0);
}

#[test]
fn reads_of_mysql_go_to_a_replica_and_the_rest_to_the_primary() {
    if !is_direct() {
        reads_and_writes(Kind::MySql);
    }
}

#[test]
fn reads_of_mariadb_go_to_a_replica_and_the_rest_to_the_primary() {
    if !is_direct() {
        reads_and_writes(Kind::MariaDb);
    }
}
