//! A primary and its replicas, and a proxy before them.

use crate::support::{
    mysql::{self, Kind, MySql},
    postgres::{self, Postgres},
    sluice::Settings,
    wait,
};

/// What a server of PostgreSQL needs to have replicas.
const POSTGRES: &[(&str, &str)] = &[
    ("wal_level", "replica"),
    ("max_wal_senders", "10"),
    ("hot_standby", "on"),
    ("wal_keep_size", "256MB"),
    ("wal_receiver_status_interval", "1s"),
    ("wal_retrieve_retry_interval", "100ms"),
];

/// A primary of PostgreSQL, first, and replicas that stream from it.
pub fn postgres(replicas: usize) -> Vec<Postgres> {
    let primary = Postgres::private(POSTGRES);
    let mut servers = vec![primary];
    for _ in 0..replicas {
        let replica = servers[0].replica();
        servers.push(replica);
    }
    servers
}

/// A primary of MySQL or MariaDB, first, and replicas that follow it by GTIDs.
pub fn mysql(kind: Kind, replicas: usize) -> Vec<MySql> {
    let servers: Vec<MySql> = (0..=replicas)
        .map(|number| {
            let id = (number + 1).to_string();
            let mut settings = vec![
                ("server_id", &*id),
                ("log_bin", "binlog"),
                ("sync_binlog", "0"),
            ];
            match kind {
                Kind::MySql => settings.extend([
                    ("skip_log_bin", "0"),
                    ("gtid_mode", "ON"),
                    ("enforce_gtid_consistency", "ON"),
                    ("log_replica_updates", "ON"),
                ]),
                Kind::MariaDb => {
                    settings.extend([("log_slave_updates", "ON"), ("gtid_strict_mode", "ON")])
                }
            }
            MySql::private(kind, &settings)
        })
        .collect();
    for replica in &servers[1..] {
        replica.follow(&servers[0]);
    }
    servers
}

/// A proxy before servers of PostgreSQL that finds out who is what, quickly.
pub fn before_postgres(servers: &[Postgres]) -> Settings {
    let settings = Settings::for_server(servers[0].port).group("monitor_user", postgres::ADMIN.0);
    let settings = settings.user(postgres::OTHER.0, "target_role", "read_only");
    watched(settings, servers[1..].iter().map(|server| server.port))
}

/// The same before servers of MySQL or MariaDB.
pub fn before_mysql(servers: &[MySql]) -> Settings {
    let settings = Settings::for_mysql(servers[0].port).group("monitor_user", mysql::ADMIN.0);
    let settings = settings.user(mysql::OTHER.0, "target_role", "read_only");
    watched(settings, servers[1..].iter().map(|server| server.port))
}

fn watched(settings: Settings, others: impl Iterator<Item = u16>) -> Settings {
    let settings = settings
        .group("health_check_interval", "200ms")
        .group("failover_check_interval", "50ms")
        .group("health_check_timeout", "1s")
        .group("connection_borrow_timeout", "30s");
    others.fold(settings, |settings, port| settings.server(port, []))
}

/// Waits until a replica of PostgreSQL has replayed all that its primary has written.
pub fn catch_up(primary: &Postgres, replica: &Postgres) {
    let wanted = primary
        .admin("postgres")
        .value("select pg_current_wal_insert_lsn()");
    let mut admin = replica.admin("postgres");
    let question = format!("select pg_last_wal_replay_lsn() >= '{wanted}'::pg_lsn");
    wait::until_true("the replica to catch up", || admin.value(&question) == "t");
}
