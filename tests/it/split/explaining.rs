//! `sluice explain-route --live`: what a running proxy says of a statement, and what it then does.

use std::process::Command;

use super::{cluster_of_postgres, owner, split, until_known};
use crate::support::{
    cluster,
    mysql::Kind,
    sluice::{Settings, Sluice, is_direct, program},
    wait,
};

fn explain(proxy: &Sluice, more: &[&str], sql: &str) -> Result<String, String> {
    let output = Command::new(program())
        .args(["explain-route", "--live", "--config"])
        .arg(proxy.config_file())
        .args(more)
        .arg(sql)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

#[test]
fn a_running_proxy_explains_by_what_it_knows() {
    if is_direct() {
        return;
    }
    let servers = cluster_of_postgres(1);
    let database = servers[0].database();
    owner(&database).succeed(
        "create function pure() returns int stable language sql as 'select 1'; \
         create function writes() returns int volatile language sql as 'select 1'",
    );
    cluster::catch_up(&servers[0], &servers[1]);
    let proxy = Sluice::start(&split(
        Settings::for_server(servers[0].port),
        &[servers[1].port],
    ));
    let (primary, replica) = (
        format!("127.0.0.1:{}", servers[0].port),
        format!("127.0.0.1:{}", servers[1].port),
    );
    // Nobody has come yet.
    let told = explain(&proxy, &[], "select pure()").unwrap();
    assert!(told.contains("reason: no_catalogue ("), "{told}");
    assert!(told.contains("note: no client has come"), "{told}");
    let mut wire = proxy.connect(&database);
    until_known(|| drop(wire.value("select 1")), &proxy);
    let told = explain(&proxy, &["--database", &database.name], "select pure()").unwrap();
    assert_eq!(
        told,
        format!("route: replica\ntarget: {replica}\nreason: read (it only reads)\n")
    );
    let told = explain(&proxy, &[], "select writes()").unwrap();
    assert_eq!(
        told,
        format!(
            "route: primary\ntarget: {primary}\n\
             reason: volatile_function (it calls a function that is not a mere read: writes)\n"
        )
    );
    let told = explain(&proxy, &[], "execute p").unwrap();
    assert_eq!(told, "route: that of the statement prepared as \"p\"\n");
    let error = explain(&proxy, &["--target-group", "none"], "select 1").unwrap_err();
    assert!(
        error.contains("there is no target group \"none\""),
        "{error}"
    );
}

#[test]
fn it_names_the_primary_where_no_replica_is_well() {
    if is_direct() {
        return;
    }
    for kind in [Kind::MySql, Kind::MariaDb] {
        let mut servers = cluster::mysql(kind, 1);
        let database = servers[0].database();
        let settings = cluster::before_mysql(&servers).listener("target_role", "split");
        let proxy = Sluice::start(&settings);
        let mut wire = proxy.connect(&database);
        until_known(|| drop(wire.value("select 1")), &proxy);
        let route = |sql| explain(&proxy, &[], sql).unwrap();
        let replica = format!("target: 127.0.0.1:{}", servers[1].port);
        let told = route("select 1");
        assert!(
            told.contains("route: replica") && told.contains(&replica),
            "{told}"
        );
        let told = route("select * from t for update");
        assert!(
            told.contains("route: primary") && told.contains("reason: lock ("),
            "{told}"
        );
        servers[1].kill();
        let primary = format!("target: 127.0.0.1:{}", servers[0].port);
        wait::until_true("the replica to be left out", || {
            let told = route("select 1");
            told.contains(&primary) && told.contains("reason: no_replica (")
        });
    }
}
