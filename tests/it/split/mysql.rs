//! MySQL and MariaDB: which server answers.

use super::{routed, split, until_known};
use crate::support::{
    cluster,
    mysql::{Database, Kind, MySql},
    sluice::{Settings, Sluice, is_direct},
    wait,
};

/// A function declared to be a read that tells which server runs it.
const WHERE: &str = "select here()";

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
        let mut wire = place.proxy.connect(&place.database);
        until_known(|| drop(wire.value("select 1")), &place.proxy);
        place
    }

    /// Waits until the replica answers `1`.
    fn follow(&self, question: &str) {
        let mut replica = self.servers[1].admin();
        wait::until_true("the replica to follow", || replica.value(question) == "1");
    }
}

fn reads_and_writes(kind: Kind) {
    let place = Place::new(kind);
    let (primary, replica) = (
        place.servers[0].port.to_string(),
        place.servers[1].port.to_string(),
    );
    let mut wire = place.proxy.connect(&place.database);
    // How its server reads texts is known from the first connection on.
    wire.succeed("select 1");
    assert_eq!(wire.value(WHERE), replica);
    assert_eq!(wire.value("select there()"), primary);
    assert_eq!(wire.value("/* sluice: primary */ select here()"), primary);
    assert_eq!(wire.value("/* sluice: replica */ select there()"), replica);
    wire.succeed("insert into t (v) values ('a')");
    assert_eq!(wire.value("select v from t"), "a");
    assert_eq!(wire.value("select last_insert_id()"), "1");
    // Transactions.
    wire.succeed("begin");
    assert_eq!(wire.value(WHERE), primary);
    wire.succeed("commit");
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
    assert_eq!(wire.value(WHERE), replica);
    // By the session's own choice.
    wire.succeed("set @sluice_role = 'primary'");
    assert_eq!(wire.value(WHERE), primary);
    wire.succeed("set @sluice_role = 'replica'");
    assert_eq!(wire.value("select there()"), replica);
    wire.succeed("set @sluice_role = null");
    assert_eq!(wire.value("select there()"), primary);
    // Settings go along.
    wire.succeed("set @mine = 5");
    assert_eq!(wire.value("select @mine + 0"), "5");
    wire.succeed("set session group_concat_max_len = 5000");
    assert_eq!(wire.value(WHERE), replica);
    // Prepared statements.
    let here = wire.prepare("select here(), ?");
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
    assert_eq!(wire.value(WHERE), replica);
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
