//! PostgreSQL: which server answers.

use super::{cluster_of_postgres, owner, routed, routes, split, until_known};
use crate::support::{
    cluster,
    postgres::{Database, Postgres},
    sluice::{Settings, Sluice, is_direct},
    wire::{Wire, frontend as front},
};

/// The port of the server that answers, asked in a way that is a read.
const WHERE: &str = "select current_setting('port')";

struct Place {
    servers: Vec<Postgres>,
    database: Database,
    proxy: Sluice,
}

impl Place {
    fn new(settings: impl Fn(Settings) -> Settings) -> Self {
        let servers = cluster_of_postgres(1);
        let database = servers[0].database();
        cluster::catch_up(&servers[0], &servers[1]);
        let settings = settings(split(
            Settings::for_server(servers[0].port),
            &[servers[1].port],
        ));
        let proxy = Sluice::start(&settings.listener("replica_wait_timeout", "5s"));
        let place = Self {
            servers,
            database,
            proxy,
        };
        let mut wire = place.client();
        until_known(|| drop(wire.value("select 1")), &place.proxy);
        place
    }

    fn client(&self) -> Wire {
        self.proxy.connect(&self.database)
    }

    fn primary(&self) -> String {
        self.servers[0].port.to_string()
    }

    fn replica(&self) -> String {
        self.servers[1].port.to_string()
    }

    /// What has been done on the primary can be read on the replica, and is known to the proxy.
    fn settle(&self, wire: &mut Wire) {
        cluster::catch_up(&self.servers[0], &self.servers[1]);
        until_known(|| drop(wire.value("select 1")), &self.proxy);
    }
}

#[test]
fn reads_go_to_a_replica_and_the_rest_to_the_primary() {
    if is_direct() {
        return;
    }
    let place = Place::new(|settings| settings);
    let (primary, replica) = (place.primary(), place.replica());
    let mut wire = place.client();
    assert_eq!(wire.value(WHERE), replica, "{}", routes(&place.proxy));
    assert_eq!(
        wire.value("/* sluice: primary */ select current_setting('port')"),
        primary
    );
    // A transaction is one unit from its first statement on.
    wire.succeed("begin");
    assert_eq!(wire.value(WHERE), primary);
    wire.succeed("commit");
    wire.succeed("begin read only");
    assert_eq!(wire.value(WHERE), replica);
    assert_eq!(wire.value(WHERE), replica);
    wire.succeed("commit");
    assert_eq!(
        wire.value("begin read only; select current_setting('port')"),
        replica
    );
    wire.succeed("commit");
    // By the session's own choice.
    wire.succeed("set sluice.role = 'primary'");
    assert_eq!(wire.value(WHERE), primary);
    wire.succeed("set sluice.role = 'replica'");
    assert_eq!(wire.value(WHERE), replica);
    wire.succeed("reset sluice.role");
    // A session that is pinned stays where its state is.
    wire.succeed("create temp table kept (id int)");
    assert_eq!(wire.value(WHERE), primary);
    wire.succeed("discard all");
    assert_eq!(wire.value(WHERE), replica);
    // What a standby cannot do at all.
    wire.succeed("set default_transaction_isolation = serializable");
    assert_eq!(wire.value(WHERE), primary);
    assert!(routed(&place.proxy, "primary", "isolation") > 0);
    assert_eq!(place.proxy.metric("sluice_misrouted_reads_total", ""), 0.0);
}

#[test]
fn settings_and_prepared_statements_follow_the_session() {
    if is_direct() {
        return;
    }
    let place = Place::new(|settings| settings);
    let (primary, replica) = (place.primary(), place.replica());
    let mut wire = place.client();
    wire.succeed("set timezone to 'Asia/Tokyo'; set app.tenant to 'seven'");
    assert_eq!(
        wire.value("select current_setting('TimeZone') || current_setting('app.tenant') || current_setting('port')"),
        format!("Asia/Tokyoseven{replica}"),
    );
    let value = |messages: &[crate::support::wire::backend::Message]| {
        let row = messages
            .iter()
            .find(|message| message.tag == b'D')
            .expect("a row");
        String::from_utf8_lossy(&row.body[6..]).into_owned()
    };
    let prepare = [
        front::parse("where", WHERE),
        front::describe_statement("where"),
        front::sync(),
    ]
    .concat();
    wire.ask(&prepare);
    assert_eq!(
        value(&wire.ask(&[front::run_named("where", &[]), front::sync()].concat())),
        replica
    );
    // Within a transaction the same statement is prepared on the primary.
    wire.succeed("begin");
    assert_eq!(
        value(&wire.ask(&[front::run_named("where", &[]), front::sync()].concat())),
        primary
    );
    wire.succeed("rollback");
    assert_eq!(
        value(&wire.ask(&[front::run_unnamed(WHERE, &[]), front::sync()].concat())),
        replica
    );
    // By SQL.
    wire.succeed("prepare w as select current_setting('port')");
    assert_eq!(wire.value("execute w"), replica);
    wire.succeed("begin");
    assert_eq!(wire.value("execute w"), primary);
    wire.succeed("commit");
}

#[test]
fn a_pipeline_goes_to_one_server_as_a_whole() {
    if is_direct() {
        return;
    }
    let place = Place::new(|settings| settings);
    let mut admin = owner(&place.database);
    admin.succeed("create table t (id int)");
    let mut wire = place.client();
    place.settle(&mut wire);
    let rows = |messages: &[crate::support::wire::backend::Message]| {
        let rows = messages.iter().filter(|message| message.tag == b'D');
        rows.map(|row| String::from_utf8_lossy(&row.body[6..]).into_owned())
            .collect::<Vec<_>>()
    };
    let (read, write) = (
        front::run_unnamed(WHERE, &[]),
        front::run_unnamed("insert into t values (1)", &[]),
    );
    let both = [read.clone(), write.clone(), read.clone(), front::sync()].concat();
    assert_eq!(rows(&wire.ask(&both)), [place.primary(), place.primary()]);
    let reads = [read.clone(), read.clone(), front::sync()].concat();
    assert_eq!(rows(&wire.ask(&reads)), [place.replica(), place.replica()]);
    // Requests behind one another, sent at once: a replica gets no more than what it may answer.
    let mut several = [
        front::query(WHERE),
        front::query("insert into t values (2)"),
        front::query(WHERE),
    ]
    .concat();
    several.extend([read, front::sync(), write, front::sync()].concat());
    wire.send(&several).unwrap();
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.extend(rows(&wire.read_ready()));
    }
    // What stood behind the write when it went to the primary went along.
    assert_eq!(seen, [place.replica(), place.primary(), place.primary()]);
    // A read-only transaction that ends in the midst of what was sent at once.
    let texts = [
        "begin read only",
        WHERE,
        "commit",
        "insert into t values (3)",
        WHERE,
    ];
    let several: Vec<u8> = texts.iter().flat_map(|text| front::query(text)).collect();
    wire.send(&several).unwrap();
    let mut seen = Vec::new();
    for _ in texts {
        let messages = wire.read_ready();
        assert!(
            messages.iter().all(|message| message.tag != b'E'),
            "{messages:?}"
        );
        seen.extend(rows(&messages));
    }
    assert_eq!(seen, [place.replica(), place.primary()]);
    assert_eq!(admin.value("select count(*) from t"), "4");
    assert_eq!(place.proxy.metric("sluice_retried_reads_total", ""), 0.0);
}

#[test]
fn functions_and_views_are_known_by_the_databases_own_catalogue() {
    if is_direct() {
        return;
    }
    let place = Place::new(|settings| settings);
    let (primary, replica) = (place.primary(), place.replica());
    let mut wire = place.client();
    wire.succeed(
        "create function here() returns text stable language sql as 'select current_setting(''port'')'; \
         create function there() returns text volatile language sql as 'select current_setting(''port'')'; \
         create view calm as select here() as port; create view lively as select there() as port",
    );
    place.settle(&mut wire);
    assert_eq!(wire.value("select here()"), replica);
    assert_eq!(wire.value("select there()"), primary);
    assert_eq!(wire.value("select port from calm"), replica);
    assert_eq!(wire.value("select port from lively"), primary);
    assert_eq!(wire.value("/* sluice: replica */ select there()"), replica);
    // A statement that changes one is heeded at once.
    wire.succeed("alter function here() volatile");
    assert_eq!(wire.value("select here()"), primary);
    place.settle(&mut wire);
    assert_eq!(wire.value("select here()"), primary);
    assert_eq!(wire.value("select port from calm"), primary);
}
