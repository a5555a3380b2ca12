//! A primary that is changed on purpose, and traffic that is held.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::roles::{group, until_state};
use crate::support::{
    cluster,
    mysql::Kind,
    postgres::Postgres,
    sluice::{Settings, Sluice, is_direct},
    wait,
};

/// Gives an order by the command line; what it says.
fn order(proxy: &Sluice, words: &[&str]) -> Result<serde_json::Value, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .arg(words[0])
        .arg("--config")
        .arg(proxy.config_file())
        .args(&words[1..])
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn orders_are_obeyed_only_where_they_are_allowed_and_make_sense() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(1);
    let settings = cluster::before_postgres(&servers);
    let deaf = Sluice::start(&settings);
    let refused = order(&deaf, &["pause"]).unwrap_err();
    assert!(refused.contains("admin_commands"), "{refused}");
    let proxy = Sluice::start(&settings.general("admin_commands", true));
    until_state(&proxy, servers[0].port, "primary", "AVAILABLE");
    until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    for (words, complaint) in [
        (&["pause", "--target-group", "other"][..], "no target group"),
        (
            &["switchover", "--to", "127.0.0.1:1"],
            "is not a target of the group",
        ),
        (&["switchover", "--to-group", "green"], "no target group"),
    ] {
        let refused = order(&proxy, words).unwrap_err();
        assert!(refused.contains(complaint), "{refused}");
    }
    let primary = format!("127.0.0.1:{}", servers[0].port);
    let refused = order(&proxy, &["switchover", "--to", &primary]).unwrap_err();
    assert!(refused.contains("is the primary already"), "{refused}");
}

#[test]
fn a_pause_holds_new_transactions_and_lets_running_ones_end() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(0);
    let database = servers[0].database();
    let settings = cluster::before_postgres(&servers).general("admin_commands", true);
    let proxy = Sluice::start(&settings);
    let mut running = proxy.connect(&database);
    let mut held = proxy.connect(&database);
    held.succeed("select 1");
    running.succeed("begin");
    let paused = order(&proxy, &["pause", "--deadline", "200ms"]).unwrap();
    assert_eq!(paused["still_at_work"], 1);
    assert_eq!(group(&proxy)["paused"], true);
    let waiting = thread::spawn(move || {
        held.succeed("select 'held'");
        Instant::now()
    });
    running.succeed("select 'goes on'");
    thread::sleep(Duration::from_millis(300));
    running.succeed("commit");
    let paused = order(&proxy, &["pause"]).unwrap();
    assert_eq!(paused["still_at_work"], 0);
    assert!(!waiting.is_finished());
    let released = Instant::now();
    assert_eq!(order(&proxy, &["resume"]).unwrap()["paused"], false);
    assert!(waiting.join().unwrap() > released);
}

/// Whoever waits for a replica's connection when traffic is held does not get it.
#[test]
fn a_pause_holds_reads_that_wait_for_a_replica() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(1);
    let database = servers[0].database();
    cluster::catch_up(&servers[0], &servers[1]);
    let settings = cluster::before_postgres(&servers)
        .listener("target_role", "split")
        .group("default_pool_size", 1)
        .general("admin_commands", true);
    let proxy = Sluice::start(&settings);
    until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
    let [mut running, mut held] = [0; 2].map(|_| proxy.connect(&database));
    // Both have read there: what follows is known to be a read.
    for wire in [&mut running, &mut held] {
        wait::until_true("a read at the replica", || {
            wire.value("select current_setting('port')") == servers[1].port.to_string()
        });
    }
    running.succeed("begin read only");
    let waiting = thread::spawn(move || {
        held.succeed("select 'held'");
        Instant::now()
    });
    wait::until_true("a read in line", || {
        proxy.metric("sluice_database_connection_borrowers_waiting", "") >= 1.0
    });
    let paused = order(&proxy, &["pause", "--deadline", "200ms"]).unwrap();
    assert_eq!(paused["still_at_work"], 1);
    running.succeed("commit");
    wait::until_true("the read to go back in line", || {
        proxy.metric("sluice_routed_requests_total", "reason=\"group_changed\"") >= 1.0
    });
    assert!(!waiting.is_finished());
    let released = Instant::now();
    assert_eq!(order(&proxy, &["resume"]).unwrap()["paused"], false);
    assert!(waiting.join().unwrap() > released);
}

#[test]
fn a_switchover_under_load_fails_no_transaction() {
    if is_direct() {
        return;
    }
    let servers = cluster::postgres(2);
    let database = servers[0].database();
    // These servers commit asynchronously: now what is committed may stay unwritten for long.
    for text in [
        "alter system set wal_writer_delay = '10s'",
        "select pg_reload_conf()",
    ] {
        database.admin().succeed(text);
    }
    let settings = cluster::before_postgres(&servers)
        .group("default_pool_size", 4)
        .general("admin_commands", true);
    let proxy = Sluice::start(&settings);
    let mut admin = proxy.connect(&database);
    admin.succeed("create table t (writer int, number int)");
    for replica in &servers[1..] {
        until_state(&proxy, replica.port, "replica", "AVAILABLE");
    }
    let (stop, done) = (AtomicBool::new(false), AtomicU32::new(0));
    let longest = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let mut wire = proxy.connect(&database);
                let (stop, done) = (&stop, &done);
                scope.spawn(move || {
                    let mut longest = Duration::ZERO;
                    let mut number = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let began = Instant::now();
                        wire.succeed("begin");
                        wire.succeed(&format!("insert into t values ({writer}, {number})"));
                        wire.succeed("commit");
                        longest = longest.max(began.elapsed());
                        number += 1;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    longest
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        let report = order(&proxy, &["switchover", "--deadline", "10s"]);
        // Or the writers would go on for ever.
        stop.store(report.is_err(), Ordering::Relaxed);
        let report = report.unwrap();
        println!("switchover of PostgreSQL: {report}");
        assert_eq!(report["from"], format!("127.0.0.1:{}", servers[0].port));
        thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        let ends = writers.into_iter().map(|writer| writer.join().unwrap());
        ends.max().unwrap()
    });
    let written = done.load(Ordering::Relaxed);
    println!("{written} transactions, the longest took {longest:?}");
    let count = admin.value("select count(*) from t");
    assert_eq!(count, written.to_string(), "nothing is lost");
    assert_ne!(
        admin.value("select inet_server_port()"),
        servers[0].port.to_string()
    );
}

#[test]
fn a_switchover_of_mysql_and_mariadb_under_load_fails_no_transaction() {
    if is_direct() {
        return;
    }
    for kind in [Kind::MySql, Kind::MariaDb] {
        let servers = cluster::mysql(kind, 1);
        let database = servers[0].database();
        let settings = cluster::before_mysql(&servers).general("admin_commands", true);
        let proxy = Sluice::start(&settings);
        let mut admin = proxy.connect(&database);
        admin.succeed("create table t (writer int, number int, primary key (writer, number))");
        until_state(&proxy, servers[1].port, "replica", "AVAILABLE");
        let stop = AtomicBool::new(false);
        let (written, longest) = thread::scope(|scope| {
            let writers: Vec<_> = (0..6)
                .map(|writer| {
                    let mut wire = proxy.connect(&database);
                    let stop = &stop;
                    scope.spawn(move || {
                        let (mut number, mut longest) = (0, Duration::ZERO);
                        while !stop.load(Ordering::Relaxed) {
                            let began = Instant::now();
                            wire.succeed("begin");
                            wire.succeed(&format!("insert into t values ({writer}, {number})"));
                            wire.succeed("commit");
                            longest = longest.max(began.elapsed());
                            number += 1;
                        }
                        (number, longest)
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(500));
            let report = order(&proxy, &["switchover"]).unwrap();
            println!("switchover of {kind:?}: {report}");
            thread::sleep(Duration::from_millis(500));
            stop.store(true, Ordering::Relaxed);
            let ends = writers.into_iter().map(|writer| writer.join().unwrap());
            ends.fold((0, Duration::ZERO), |(sum, longest), (number, took)| {
                (sum + number, longest.max(took))
            })
        });
        println!("{written} transactions, the longest took {longest:?}");
        assert_eq!(admin.value("select count(*) from t"), written.to_string());
        assert_eq!(admin.value("select @@port"), servers[1].port.to_string());
    }
}

#[test]
fn a_prepared_group_takes_over_and_gives_back() {
    if is_direct() {
        return;
    }
    let (blue, green) = (Postgres::private(&[]), Postgres::private(&[]));
    let database = blue.named_database("test_colours", crate::support::postgres::APP);
    let _other = green.named_database("test_colours", crate::support::postgres::APP);
    let settings = Settings::for_server(blue.port)
        .group("monitor_user", "postgres")
        .group("failover_check_interval", "50ms")
        .extra(&format!(
            "[[target_group]]\nname = \"green\"\nmonitor_user = \"postgres\"\n\
             [[target_group.target]]\naddress = \"127.0.0.1:{}\"\n",
            green.port
        ))
        .general("admin_commands", true);
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    let mut pinned = proxy.connect(&database);
    pinned.succeed("create temporary table t (id int)");
    assert_eq!(
        wire.value("select inet_server_port()"),
        blue.port.to_string()
    );
    wait::until_true("green to be ready", || {
        proxy.status()["target_groups"]
            .as_array()
            .unwrap()
            .iter()
            .all(|group| !group["primary"].is_null())
    });
    let report = order(
        &proxy,
        &[
            "switchover",
            "--target-group",
            "main",
            "--to-group",
            "green",
        ],
    );
    let report = report.unwrap();
    assert_eq!(report["to"], format!("127.0.0.1:{}", green.port));
    assert_eq!(
        wire.value("select inet_server_port()"),
        green.port.to_string()
    );
    // What a session kept on the former primary is lost, and it is told.
    let ended = {
        pinned
            .send(&crate::support::wire::frontend::query("select 1"))
            .unwrap();
        pinned.read_ready_or_close()
    };
    let code = crate::support::wire::backend::error(&ended).unwrap();
    assert!(code.starts_with("08") || code.starts_with("57"), "{code}");
    let back = order(
        &proxy,
        &["switchover", "--target-group", "main", "--to-group", "main"],
    );
    assert_eq!(back.unwrap()["to"], format!("127.0.0.1:{}", blue.port));
    assert_eq!(
        wire.value("select inet_server_port()"),
        blue.port.to_string()
    );
}
