//! What a replica refuses although it was sent there, and what becomes of a replica that is lost.

use super::{cluster_of_postgres, owner, routed, split, until_known};
use crate::support::{
    cluster,
    sluice::{Settings, Sluice, is_direct},
};

#[test]
fn what_a_replica_refuses_is_run_on_the_primary_and_counted() {
    if is_direct() {
        return;
    }
    let servers = cluster_of_postgres(1);
    let database = servers[0].database();
    let mut admin = owner(&database);
    // It is declared to be a read, and is none: the author's mistake.
    admin.succeed(
        "create table t (id int); \
         create function inner_write() returns int volatile language sql as 'insert into t values (1) returning 1'; \
         create function lies() returns int stable language plpgsql as 'begin return inner_write(); end'",
    );
    cluster::catch_up(&servers[0], &servers[1]);
    let proxy = Sluice::start(&split(
        Settings::for_server(servers[0].port),
        &[servers[1].port],
    ));
    let mut wire = proxy.connect(&database);
    until_known(|| drop(wire.value("select 1")), &proxy);
    for round in 1..=3 {
        assert_eq!(wire.value("select lies()"), "1");
        assert_eq!(admin.value("select count(*) from t"), round.to_string());
    }
    assert_eq!(proxy.metric("sluice_misrouted_reads_total", ""), 3.0);
    assert_eq!(routed(&proxy, "primary", "replica_refused"), 3);
    // An error that the primary has too is told once.
    let messages = wire.simple("select 1 / 0");
    assert_eq!(
        messages
            .iter()
            .filter(|message| message.tag == b'E')
            .count(),
        1
    );
    let messages = wire.simple("select * from nowhere");
    assert_eq!(
        messages
            .iter()
            .filter(|message| message.tag == b'E')
            .count(),
        1
    );
    assert_eq!(wire.value("select 7"), "7");
}

#[test]
fn a_replica_that_is_lost_is_not_missed() {
    if is_direct() {
        return;
    }
    let mut servers = cluster_of_postgres(1);
    let database = servers[0].database();
    cluster::catch_up(&servers[0], &servers[1]);
    let proxy = Sluice::start(&split(
        Settings::for_server(servers[0].port),
        &[servers[1].port],
    ));
    let mut wires: Vec<_> = (0..4).map(|_| proxy.connect(&database)).collect();
    until_known(|| drop(wires[0].value("select 1")), &proxy);
    for wire in &mut wires {
        assert_eq!(
            wire.value("select current_setting('port')"),
            servers[1].port.to_string()
        );
    }
    servers[1].kill();
    for wire in &mut wires {
        for _ in 0..5 {
            assert_eq!(
                wire.value("select current_setting('port')"),
                servers[0].port.to_string()
            );
        }
    }
}
