//! Members as Amazon RDS lists them; its API is moto's, from its registry package.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use super::roles::group;
use crate::support::{
    cluster, place,
    postgres::{ADMIN, OTHER, Postgres},
    program::python,
    sluice::{Settings, Sluice, is_direct},
    wait,
};

/// A moto server that takes orders.
struct Moto {
    port: u16,
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Moto {
    fn start() -> Self {
        let mut child = Command::new(python())
            .arg(place::drivers().join("moto_rds.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        Self {
            port: line.trim().parse().expect("moto's port"),
            child,
            orders,
            answers,
        }
    }

    /// Calls an operation, which has to succeed.
    fn call(&mut self, operation: &str, arguments: &Value) -> Value {
        self.call_in("eu-central-1", operation, arguments)
    }

    fn call_in(&mut self, region: &str, operation: &str, arguments: &Value) -> Value {
        writeln!(self.orders, "{}", json!([region, operation, arguments])).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{operation} {arguments} failed"))
    }

    /// Makes an instance, perhaps of a cluster; where it is said to be.
    fn instance(&mut self, name: &str, more: &Value) -> String {
        let mut arguments = json!({
            "DBInstanceIdentifier": name,
            "DBInstanceClass": "db.t4g.medium",
            "Engine": "postgres",
        });
        let all = arguments.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        self.call("create_db_instance", &arguments);
        self.endpoint(name)
    }

    fn endpoint(&mut self, name: &str) -> String {
        self.endpoint_in("eu-central-1", name)
    }

    fn endpoint_in(&mut self, region: &str, name: &str) -> String {
        let asked = json!({ "DBInstanceIdentifier": name });
        let answer = self.call_in(region, "describe_db_instances", &asked);
        let endpoint = &answer["DBInstances"][0]["Endpoint"];
        format!(
            "{}:{}",
            endpoint["Address"].as_str().unwrap(),
            endpoint["Port"]
        )
    }

    /// A proxy whose members RDS lists.
    fn settings(&self, identifier: &str, addresses: toml::Table) -> Settings {
        Settings::for_server(1)
            .without_targets()
            .group("discovery", "rds")
            .group("rds_identifier", identifier)
            .group("discovery_interval", "200ms")
            .group("discovery_addresses", addresses)
            .group("monitor_user", ADMIN.0)
            .group("health_check_interval", "100ms")
            .user(OTHER.0, "target_role", "read_only")
            .environment(
                "AWS_ENDPOINT_URL",
                format!("http://127.0.0.1:{}", self.port),
            )
            .environment("AWS_REGION", "eu-central-1")
            .environment("AWS_EC2_METADATA_DISABLED", "true")
            .environment("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .environment("AWS_SECRET_ACCESS_KEY", "example")
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the proxy says of the servers, by the names that RDS gives them.
fn shown(proxy: &Sluice) -> Vec<(String, String)> {
    let group = group(proxy);
    let targets = group["targets"].as_array().unwrap();
    let mut shown: Vec<_> = targets
        .iter()
        .map(|target| {
            let name = target["target"].as_str().unwrap();
            let name = name.split('.').next().unwrap().to_owned();
            (
                name,
                format!(
                    "{} {}",
                    target["role"].as_str().unwrap_or("?"),
                    target["state"].as_str().unwrap()
                ),
            )
        })
        .collect();
    shown.sort();
    shown
}

fn until_shown(proxy: &Sluice, wanted: &[(&str, &str)]) {
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(name, what)| ((*name).to_owned(), (*what).to_owned()))
        .collect();
    wait::until_true(&format!("{wanted:?}"), || shown(proxy) == wanted);
}

fn at(addresses: &mut toml::Table, named: String, server: &Postgres) {
    addresses.insert(named, format!("127.0.0.1:{}", server.port).into());
}

/// What an instance needs that belongs to no cluster.
fn alone() -> Value {
    json!({ "MasterUsername": "u", "MasterUserPassword": "password1", "AllocatedStorage": 20 })
}

#[test]
fn an_instance_and_its_read_replicas_are_followed() {
    if is_direct() {
        return;
    }
    let mut servers = cluster::postgres(2);
    let database = servers[0].named_database("test_rds", OTHER);
    for replica in &servers[1..] {
        cluster::catch_up(&servers[0], replica);
    }
    let mut moto = Moto::start();
    let mut addresses = toml::Table::new();
    at(&mut addresses, moto.instance("main", &alone()), &servers[0]);
    let replica = |moto: &mut Moto, name: &str| {
        let asked = json!({ "DBInstanceIdentifier": name, "SourceDBInstanceIdentifier": "main" });
        moto.call("create_db_instance_read_replica", &asked);
        moto.endpoint(name)
    };
    at(&mut addresses, replica(&mut moto, "one"), &servers[1]);
    // Where the second will be, once there is one.
    let second = replica(&mut moto, "two");
    at(&mut addresses, second, &servers[2]);
    let gone = json!({ "DBInstanceIdentifier": "two", "SkipFinalSnapshot": true });
    moto.call("delete_db_instance", &gone);
    let proxy = Sluice::start(&moto.settings("main", addresses));
    until_shown(
        &proxy,
        &[("main", "primary AVAILABLE"), ("one", "replica AVAILABLE")],
    );
    let mut reader = proxy.connect(&database);
    assert_eq!(
        reader.value("select inet_server_port()"),
        servers[1].port.to_string()
    );
    replica(&mut moto, "two");
    until_shown(
        &proxy,
        &[
            ("main", "primary AVAILABLE"),
            ("one", "replica AVAILABLE"),
            ("two", "replica AVAILABLE"),
        ],
    );
    let gone = json!({ "DBInstanceIdentifier": "one", "SkipFinalSnapshot": true });
    moto.call("delete_db_instance", &gone);
    until_shown(
        &proxy,
        &[("main", "primary AVAILABLE"), ("two", "replica AVAILABLE")],
    );
    assert_eq!(
        reader.value("select inet_server_port()"),
        servers[2].port.to_string()
    );
    // The primary is lost and the replica promoted: what servers say is known before the list is.
    servers[0].kill();
    servers[2].admin("postgres").succeed("select pg_promote()");
    let owner = crate::support::wire::Login::new(proxy.port, "postgres", ADMIN);
    let mut writer = crate::support::wire::Wire::connect(&owner).unwrap();
    assert_eq!(
        writer.value("select inet_server_port()"),
        servers[2].port.to_string()
    );
}

#[test]
fn a_cluster_names_its_writer() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(1);
    cluster::catch_up(&servers[0], &servers[1]);
    let mut moto = Moto::start();
    moto.call(
        "create_db_cluster",
        &json!({
            "DBClusterIdentifier": "app",
            "Engine": "aurora-postgresql",
            "MasterUsername": "u",
            "MasterUserPassword": "password1",
        }),
    );
    let of = json!({ "DBClusterIdentifier": "app", "Engine": "aurora-postgresql" });
    let mut addresses = toml::Table::new();
    at(&mut addresses, moto.instance("writer", &of), &servers[0]);
    at(&mut addresses, moto.instance("reader", &of), &servers[1]);
    let proxy = Sluice::start(&moto.settings("app", addresses));
    until_shown(
        &proxy,
        &[
            ("reader", "replica AVAILABLE"),
            ("writer", "primary AVAILABLE"),
        ],
    );
    let gone = json!({ "DBInstanceIdentifier": "reader", "SkipFinalSnapshot": true });
    moto.call("delete_db_instance", &gone);
    until_shown(&proxy, &[("writer", "primary AVAILABLE")]);
    // An identifier that nobody knows is complained of, and what is known stays.
    let gone = json!({ "DBInstanceIdentifier": "writer", "SkipFinalSnapshot": true });
    moto.call("delete_db_instance", &gone);
    wait::until_true("a complaint", || {
        proxy.log().contains("discovery has found no server")
    });
    until_shown(&proxy, &[("writer", "primary AVAILABLE")]);
}

#[test]
fn a_replica_in_another_region_may_lag_more() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(2);
    for replica in &servers[1..] {
        cluster::catch_up(&servers[0], replica);
    }
    let mut moto = Moto::start();
    let mut addresses = toml::Table::new();
    let main = moto.instance("main", &alone());
    at(&mut addresses, main, &servers[0]);
    let near = json!({ "DBInstanceIdentifier": "near", "SourceDBInstanceIdentifier": "main" });
    moto.call("create_db_instance_read_replica", &near);
    let near = moto.endpoint("near");
    at(&mut addresses, near, &servers[1]);
    let far = json!({
        "DBInstanceIdentifier": "far",
        "SourceDBInstanceIdentifier": "arn:aws:rds:eu-central-1:123456789012:db:main",
    });
    moto.call_in("us-east-1", "create_db_instance_read_replica", &far);
    let far = moto.endpoint_in("us-east-1", "far");
    at(&mut addresses, far, &servers[2]);
    let proxy = Sluice::start(
        &moto
            .settings("main", addresses)
            .group("max_replica_lag", "1s"),
    );
    let all = |near: &str| {
        until_shown(
            &proxy,
            &[
                ("far", "replica AVAILABLE"),
                ("main", "primary AVAILABLE"),
                ("near", near),
            ],
        );
    };
    all("replica AVAILABLE");
    for replica in &servers[1..] {
        let mut admin = replica.admin("postgres");
        admin.succeed("select pg_wal_replay_pause()");
    }
    let mut admin = servers[0].admin("postgres");
    admin.succeed("create table t (id int)");
    // Neither has what the primary has; two seconds later only one of them is left out for it.
    all("replica UNAVAILABLE");
    std::thread::sleep(std::time::Duration::from_secs(2));
    all("replica UNAVAILABLE");
}

#[test]
fn a_failover_that_rds_carries_out_moves_the_writer() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(1);
    cluster::catch_up(&servers[0], &servers[1]);
    let mut moto = Moto::start();
    moto.call(
        "create_db_cluster",
        &json!({
            "DBClusterIdentifier": "app",
            "Engine": "aurora-postgresql",
            "MasterUsername": "u",
            "MasterUserPassword": "password1",
        }),
    );
    let of = json!({ "DBClusterIdentifier": "app", "Engine": "aurora-postgresql" });
    let mut addresses = toml::Table::new();
    for (name, server) in ["one", "two"].into_iter().zip(&servers) {
        at(&mut addresses, moto.instance(name, &of), server);
    }
    let proxy = Sluice::start(&moto.settings("app", addresses));
    until_shown(
        &proxy,
        &[("one", "primary AVAILABLE"), ("two", "replica AVAILABLE")],
    );
    let owner = crate::support::wire::Login::new(proxy.port, "postgres", ADMIN);
    let mut writer = crate::support::wire::Wire::connect(&owner).unwrap();
    writer.succeed("create table t (id int)");
    cluster::catch_up(&servers[0], &servers[1]);
    // The old writer goes on as one, as far as it knows: the list decides.
    servers[1].admin("postgres").succeed("select pg_promote()");
    moto.call(
        "failover_db_cluster",
        &json!({ "DBClusterIdentifier": "app", "TargetDBInstanceIdentifier": "two" }),
    );
    wait::until_true("the second to be the primary", || {
        shown(&proxy).contains(&("two".into(), "primary AVAILABLE".into()))
    });
    writer.succeed("insert into t values (1)");
    assert_eq!(
        writer.value("select inet_server_port()"),
        servers[1].port.to_string()
    );
}
