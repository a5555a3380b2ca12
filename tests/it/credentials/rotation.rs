//! Secrets of AWS Secrets Manager that rotate under load, step by step as AWS's own functions do it
//! (AWS documentation, "Lambda rotation functions"): no query may fail.

use std::{
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::bed::{Bed, Load};
use crate::support::{
    aws::Moto,
    mysql::Kind,
    place,
    program::{client_of, run},
    sluice::Sluice,
    wait,
};

/// Longer than a server connection lives, so that each state of a rotation sees logins.
const STEP: Duration = Duration::from_millis(2500);

/// The rotation of one user: between two steps the secret in force is wrong.
fn one_user(bed: Bed) {
    let bed = Arc::new(bed);
    let moto = Moto::start();
    let user = bed.user("turn");
    bed.create_user(&user, "first");
    let mut secret = moto.secret("one", &user, "first");
    let settings = bed.settings().user("shop", "password", "shop secret").user(
        "shop",
        "server_secret_arn",
        &*secret.arn,
    );
    let proxy = Sluice::start(&moto.attach(settings));
    let mut load = Load::new();
    let port = proxy.port;
    for _ in 0..4 {
        let mut client = bed.log_in(port, "shop", "shop secret").unwrap();
        let (who, user) = (bed.who(), user.clone());
        load.add(move || match client.ask(who)? {
            same if same == user => Ok(()),
            other => Err(format!("logged in as {other}")),
        });
    }
    for _ in 0..2 {
        let bed = Arc::clone(&bed);
        load.add(move || {
            bed.log_in(port, "shop", "shop secret")?
                .ask("select 1")
                .map(drop)
        });
    }
    let pgbench = start_pgbench(&bed, port);
    thread::sleep(STEP);
    for password in ["second", "third"] {
        let pending = secret.put_pending(&user, password);
        thread::sleep(STEP);
        bed.set_password(&user, password);
        thread::sleep(STEP);
        secret.promote(pending);
        thread::sleep(STEP);
    }
    finish(load, pgbench, &proxy);
    let source = &proxy.status()["credentials"][0];
    assert_eq!(source["kind"], "secrets_manager");
    assert_eq!(source["error"], json!(null));
    assert!(
        source["refusals"].as_u64().unwrap() >= 2,
        "the gaps were seen: {source}"
    );
    assert!(proxy.metric("sluice_credential_refreshes_total", "secrets_manager") >= 3.0);
    let log = proxy.log();
    for password in ["first", "second", "third"] {
        assert!(!log.contains(&format!("\"{password}\"")), "{log}");
    }
    bed.drop_user(&user);
}

/// Two users take turns: the name changes, too, and clients may come with either.
fn two_users(bed: Bed) {
    let bed = Arc::new(bed);
    let moto = Moto::start();
    let names = [bed.user("turn"), format!("{}_clone", bed.user("turn"))];
    bed.create_user(&names[0], "first");
    let secret = moto.secret("two", &names[0], "first");
    let secret = Arc::new(std::sync::Mutex::new(secret));
    let arn = secret.lock().unwrap().arn.clone();
    let settings = bed
        .settings()
        .secret([("arn", arn.clone().into())])
        .user("shop", "password", "shop secret")
        .user("shop", "server_secret_arn", arn)
        .aws("secret_refresh_interval", "1s");
    let proxy = Sluice::start(&moto.attach(settings));
    let port = proxy.port;
    let mut load = Load::new();
    for _ in 0..3 {
        let mut client = bed.log_in(port, "shop", "shop secret").unwrap();
        let (who, names) = (bed.who(), names.clone());
        load.add(move || match client.ask(who)? {
            known if names.contains(&known) => Ok(()),
            other => Err(format!("logged in as {other}")),
        });
    }
    // As programs do that read the secret themselves.
    for _ in 0..2 {
        let (bed, secret) = (Arc::clone(&bed), Arc::clone(&secret));
        load.add(move || {
            let (user, password) = secret.lock().unwrap().read();
            let mut client = bed
                .log_in(port, &user, &password)
                .map_err(|e| format!("{user}: {e}"))?;
            client.ask("select 1")?;
            thread::sleep(Duration::from_millis(20));
            Ok(())
        });
    }
    let pgbench = start_pgbench(&bed, port);
    thread::sleep(STEP);
    for (turn, password) in ["second", "third", "fourth"].into_iter().enumerate() {
        let next = &names[(turn + 1) % 2];
        let pending = secret.lock().unwrap().put_pending(next, password);
        thread::sleep(STEP / 2);
        if turn == 0 {
            bed.create_user(next, password);
        } else {
            bed.set_password(next, password);
        }
        thread::sleep(STEP / 2);
        secret.lock().unwrap().promote(pending);
        thread::sleep(STEP);
    }
    let mut client = bed.log_in(port, "shop", "shop secret").unwrap();
    wait::until_true("logins as the user whose turn it is", || {
        client.ask(bed.who()).unwrap() == names[1]
    });
    drop(client);
    finish(load, pgbench, &proxy);
    drop(proxy);
    for name in &names {
        bed.drop_user(name);
    }
}

/// pgbench beside the other clients, where the server is PostgreSQL.
fn start_pgbench(bed: &Bed, port: u16) -> Option<thread::JoinHandle<String>> {
    let Bed::Postgres(database) = bed else {
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script.sql");
    std::fs::write(&script, "select 1;\nbegin;\nselect 2;\ncommit;\n").unwrap();
    let mut command: Command = client_of(place::postgres_program("pgbench"), database, port);
    command
        .env("PGUSER", "shop")
        .env("PGPASSWORD", "shop secret");
    command
        .args(["-n", "-c", "4", "-T", "15", "--rate", "200", "-f"])
        .arg(&script);
    Some(thread::spawn(move || {
        let finished = run(command, Duration::from_secs(90));
        drop(dir);
        assert!(finished.success, "{}\n{}", finished.stdout, finished.stderr);
        finished.stdout
    }))
}

fn finish(load: Load, pgbench: Option<thread::JoinHandle<String>>, proxy: &Sluice) {
    let began = Instant::now();
    if let Some(pgbench) = pgbench {
        let said = pgbench.join().unwrap();
        assert!(said.contains("number of failed transactions: 0 "), "{said}");
    }
    let done = load.done();
    let failures = load.end();
    assert!(failures.is_empty(), "{failures:?}");
    assert!(done > 200, "{done} in vain after {:?}", began.elapsed());
    // Logins went on all the while.
    let logins = proxy.metric("sluice_database_connections_setup_succeeded_total", "");
    assert!(logins > 20.0, "{logins}");
}

#[test]
fn rotating_one_user_of_postgresql_fails_no_query() {
    one_user(Bed::postgres());
}

#[test]
fn rotating_one_user_of_mysql_fails_no_query() {
    one_user(Bed::mysql(Kind::MySql));
}

#[test]
fn rotating_one_user_of_mariadb_fails_no_query() {
    one_user(Bed::mysql(Kind::MariaDb));
}

#[test]
fn two_users_of_postgresql_taking_turns_fail_no_query() {
    two_users(Bed::postgres());
}

#[test]
fn two_users_of_mysql_taking_turns_fail_no_query() {
    two_users(Bed::mysql(Kind::MySql));
}

/// The connections of a pool may be those of either user; a KILL goes out as the one whose connection it is.
#[test]
fn a_query_is_killed_though_its_user_is_not_the_one_whose_turn_it_is() {
    let bed = Bed::mysql(Kind::MySql);
    let moto = Moto::start();
    let names = [bed.user("turn"), format!("{}_clone", bed.user("turn"))];
    bed.create_user(&names[0], "first");
    bed.create_user(&names[1], "second");
    let mut secret = moto.secret("kill", &names[0], "first");
    let settings = bed
        .settings()
        .user("shop", "password", "shop secret")
        .user("shop", "server_secret_arn", &*secret.arn)
        .group("default_pool_size", 20)
        .aws("secret_refresh_interval", "1s");
    let proxy = Sluice::start(&moto.attach(settings));
    let port = proxy.port;
    let log_in = || bed.log_in(port, "shop", "shop secret").unwrap();
    let who = bed.who();
    // Busy with a connection of the first user, while the second has its turn.
    let mut busy = log_in();
    let id = busy.ask("select connection_id()").unwrap();
    busy.ask("begin").ok();
    assert_eq!(busy.ask(who).unwrap(), names[0]);
    let pending = secret.put_pending(&names[1], "second");
    secret.promote(pending);
    let mut others: Vec<_> = Vec::new();
    wait::until_true("a connection of the second user", || {
        let mut other = log_in();
        other.ask("begin").ok();
        let found = other.ask(who).unwrap() == names[1];
        if found {
            others.push(other);
        }
        found
    });
    let sleeping = thread::spawn(move || {
        let began = Instant::now();
        let result = busy.ask("select sleep(60)");
        (result, began.elapsed())
    });
    thread::sleep(Duration::from_millis(500));
    let mut killer = log_in();
    let _ = killer.ask(&format!("kill query {id}"));
    let (result, took) = sleeping.join().unwrap();
    // MySQL's answer to a SLEEP that was interrupted is 1.
    assert!(took < Duration::from_secs(20), "{took:?}: {result:?}");
    drop((others, killer));
    drop(proxy);
    for name in &names {
        bed.drop_user(name);
    }
}
