//! Passwords in files that change under load, without a signal to the proxy.

use std::{fs, sync::Arc, thread, time::Duration};

use super::bed::{Bed, Load};
use crate::support::{mysql::Kind, sluice::Sluice, wait};

const STEP: Duration = Duration::from_millis(2500);

fn changes(bed: Bed) {
    let bed = Arc::new(bed);
    let user = bed.user("filed");
    bed.create_user(&user, "first");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "first\n").unwrap();
    let settings = bed
        .settings()
        .user("shop", "password", "shop secret")
        .user("shop", "server_user", &*user)
        .user("shop", "server_password_file", file.to_str().unwrap());
    let proxy = Sluice::start(&settings);
    let mut load = Load::new();
    for _ in 0..4 {
        let mut client = bed.log_in(proxy.port, "shop", "shop secret").unwrap();
        load.add(move || client.ask("select 1").map(drop));
    }
    thread::sleep(STEP);
    // The file first, as a volume of Kubernetes changes: by a new file under the name.
    let next = folder.path().join("next");
    fs::write(&next, "second\n").unwrap();
    fs::rename(&next, &file).unwrap();
    thread::sleep(STEP);
    bed.set_password(&user, "second");
    thread::sleep(STEP);
    let done = load.done();
    let failures = load.end();
    assert!(failures.is_empty(), "{failures:?}");
    assert!(done > 100, "{done}");
    // Then the server first: what it refuses is read again at once.
    bed.set_password(&user, "third");
    fs::write(&file, "third\n").unwrap();
    wait::until_true("an end of the old connections", || {
        proxy.metric("sluice_database_connections", "") < 1.0
    });
    let mut client = bed.log_in(proxy.port, "shop", "shop secret").unwrap();
    assert_eq!(client.ask(bed.who()).unwrap(), user);
    drop(client);
    let source = &proxy.status()["credentials"][0];
    assert_eq!(source["kind"], "file", "{source}");
    assert!(source["refusals"].as_u64().unwrap() >= 1, "{source}");
    drop(proxy);
    bed.drop_user(&user);
}

#[test]
fn a_changed_file_of_postgresql_fails_no_query() {
    changes(Bed::postgres());
}

#[test]
fn a_changed_file_of_mysql_fails_no_query() {
    changes(Bed::mysql(Kind::MySql));
}

/// The password that clients prove is read again, too.
#[test]
fn clients_prove_the_password_that_is_in_the_file_now() {
    let bed = Bed::postgres();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "first").unwrap();
    let settings = bed
        .settings()
        .user("shop", "password_file", file.to_str().unwrap())
        .user("shop", "server_user", "app")
        .user("shop", "server_password", "app secret");
    let proxy = Sluice::start(&settings);
    bed.log_in(proxy.port, "shop", "first").unwrap();
    fs::write(&file, "second").unwrap();
    thread::sleep(Duration::from_millis(1200));
    bed.log_in(proxy.port, "shop", "second").unwrap();
    assert!(bed.log_in(proxy.port, "shop", "first").is_err());
}
