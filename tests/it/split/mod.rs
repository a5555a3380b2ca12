//! Sessions whose reads go to replicas.

mod catalogue;
mod explaining;
mod leftovers;
mod mysql;
mod postgres;
mod read_only;
mod reference;
mod refused;
mod staleness;

use crate::support::{
    cluster,
    postgres::{Database, Postgres},
    sluice::{Settings, Sluice},
    wait,
    wire::Wire,
};

/// A proxy before a primary, first, and replicas, whose roles the configuration tells.
fn split(settings: Settings, replicas: &[u16]) -> Settings {
    let settings = settings
        .target("role", "primary")
        .listener("target_role", "split")
        .general("log_level", "info,sluice::session=debug");
    replicas.iter().fold(settings, |settings, port| {
        settings.server(*port, [("role", "replica".into())])
    })
}

/// A primary of PostgreSQL whose commits are flushed before they are answered, and replicas.
fn cluster_of_postgres(replicas: usize) -> Vec<Postgres> {
    let servers = cluster::postgres(replicas);
    let mut admin = servers[0].admin("postgres");
    admin.succeed("alter system set synchronous_commit = on");
    admin.succeed("select pg_reload_conf()");
    servers
}

/// A connection of the database's owner to its server, beside any proxy.
fn owner(database: &Database) -> Wire {
    Wire::connect(&database.login(database.server_port)).expect("a login of the owner's")
}

/// Requests that were routed for this reason.
fn routed(proxy: &Sluice, role: &str, reason: &str) -> u64 {
    let wanted = [format!("role=\"{role}\""), format!("reason=\"{reason}\"")];
    let all = routes(proxy);
    all.lines()
        .filter(|line| wanted.iter().all(|label| line.contains(label)))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
        .sum()
}

/// All that the proxy has counted by role and reason.
fn routes(proxy: &Sluice) -> String {
    let (_, metrics) = proxy.get("/metrics");
    let lines = metrics.lines();
    let lines: Vec<_> = lines
        .filter(|line| line.starts_with("sluice_routed_requests_total{"))
        .collect();
    lines.join("\n")
}

/// Waits until the proxy has read what the database says of its functions and views.
fn until_known(mut read: impl FnMut(), proxy: &Sluice) {
    wait::until_true("a read at a replica", || {
        let before = routed(proxy, "replica", "read");
        read();
        routed(proxy, "replica", "read") > before
    });
}
