//! State that functions, procedures and blocks of code change where no statement shows it.

use super::unpinning::{await_pins, pinned};
use crate::support::{
    postgres::Database,
    sluice::{Settings, Sluice, is_direct},
    wait,
    wire::Wire,
};

/// Functions and procedures that change their session.
const ROUTINES: &str = "
create function set_zone() returns void language plpgsql as
    $$ begin perform set_config('timezone', 'Asia/Tokyo', false); end $$;
create function set_memory() returns void language plpgsql as
    $$ begin perform set_config('work_mem', '4321kB', false); end $$;
create function set_tenant(t text) returns void language plpgsql as
    $$ begin perform set_config('app.tenant', t, false); end $$;
create function make_table() returns void language plpgsql as
    $$ begin create temp table hidden (n int); end $$;
create function take_lock() returns void language plpgsql as
    $$ begin perform pg_advisory_lock(77); end $$;
create procedure quiet() language plpgsql as $$ begin perform 1; end $$;
create procedure loud() language plpgsql as
    $$ begin perform set_config('work_mem', '1234kB', false);
       perform set_config('app.tenant', '9', false); end $$;
";

fn database() -> Database {
    let database = Database::new();
    let login = database.login(database.server_port);
    let mut owner = Wire::connect(&login).unwrap();
    for statement in ROUTINES.split(";\ncreate") {
        let statement = statement.trim().trim_end_matches(';');
        let statement = if statement.starts_with("create") {
            statement.to_owned()
        } else {
            format!("create {statement}")
        };
        owner.succeed(&statement);
    }
    database
}

fn proxy(database: &Database, size: i64, share: f64) -> Sluice {
    let settings = Settings::for_server(database.server_port)
        .group("default_pool_size", size)
        .group("verify_session_state", share);
    Sluice::start(&settings)
}

/// Looks at what other clients see, who take turns on the same server connections.
fn on_others(proxy: &Sluice, database: &Database, mut check: impl FnMut(&mut Wire)) {
    let mut others: Vec<Wire> = (0..3).map(|_| proxy.connect(database)).collect();
    for _ in 0..3 {
        for other in &mut others {
            check(other);
        }
    }
}

#[test]
fn blocks_and_calls_pin_no_longer_than_what_they_leave() {
    if is_direct() {
        return;
    }
    let database = database();
    // Not even with verification of other statements off.
    let proxy = proxy(&database, 1, 0.0);
    let mut one = proxy.connect(&database);
    for sql in [
        "do $$ begin perform 1; end $$",
        "call quiet()",
        "begin; do $$ begin create temp table gone () on commit drop; end $$; commit",
        "do $$ begin raise 'no'; end $$",
    ] {
        one.simple(sql);
        let mut other = proxy.connect(&database);
        assert_eq!(other.value("select 'free'"), "free", "{sql}");
        assert_eq!(pinned(&proxy), Vec::<String>::new(), "{sql}");
    }
    one.succeed("do $$ begin create temp table kept (); end $$");
    await_pins(&proxy, &["temp_object"], "a table made by a block");
    one.succeed("drop table kept");
    await_pins(&proxy, &[], "its end");
    // What cannot be looked up keeps pinning.
    one.succeed("do $$ begin perform setseed(0.5); end $$");
    wait::until_true("a pin", || {
        pinned(&proxy).contains(&"random_seed".to_owned())
    });
}

#[test]
fn settings_of_a_call_follow_the_client_and_nobody_else() {
    if is_direct() {
        return;
    }
    let database = database();
    let proxy = proxy(&database, 2, 0.0);
    let mut one = proxy.connect(&database);
    one.succeed("call loud()");
    for _ in 0..3 {
        assert_eq!(one.value("show work_mem"), "1234kB");
        assert_eq!(one.value("select current_setting('app.tenant')"), "9");
        on_others(&proxy, &database, |other| {
            assert_ne!(other.value("show work_mem"), "1234kB");
            let tenant = "select coalesce(current_setting('app.tenant', true), '')";
            assert_eq!(other.value(tenant), "");
        });
    }
    assert_eq!(pinned(&proxy), Vec::<String>::new());
    assert!(proxy.metric("sluice_session_state_findings_total", "setting") >= 1.0);
    one.succeed("reset work_mem");
    assert_ne!(one.value("show work_mem"), "1234kB");
}

#[test]
fn a_reported_setting_is_noticed_without_any_verification() {
    if is_direct() {
        return;
    }
    let database = database();
    let proxy = proxy(&database, 2, 0.0);
    let mut one = proxy.connect(&database);
    one.succeed("select set_zone()");
    for _ in 0..3 {
        assert_eq!(one.value("show timezone"), "Asia/Tokyo");
        on_others(&proxy, &database, |other| {
            assert_ne!(other.value("show timezone"), "Asia/Tokyo");
        });
    }
}

#[test]
fn with_full_verification_functions_are_caught() {
    if is_direct() {
        return;
    }
    let database = database();
    let proxy = proxy(&database, 3, 1.0);
    let mut one = proxy.connect(&database);
    one.succeed("select set_memory()");
    one.succeed("select set_tenant('a')");
    one.succeed("select set_tenant('b')");
    for _ in 0..2 {
        assert_eq!(one.value("show work_mem"), "4321kB");
        assert_eq!(one.value("select current_setting('app.tenant')"), "b");
        on_others(&proxy, &database, |other| {
            assert_ne!(other.value("show work_mem"), "4321kB");
            let tenant = "select coalesce(current_setting('app.tenant', true), '')";
            assert_eq!(other.value(tenant), "");
        });
    }
    one.succeed("select make_table()");
    await_pins(&proxy, &["temp_object"], "a table made by a function");
    one.succeed("insert into hidden values (1)");
    assert_eq!(one.value("select count(*) from hidden"), "1");
    one.succeed("drop table hidden");
    await_pins(&proxy, &[], "its end");
    one.succeed("select take_lock()");
    await_pins(&proxy, &["advisory_lock"], "a lock taken by a function");
    let found = |reason| proxy.metric("sluice_session_state_findings_total", reason);
    assert_eq!((found("temp_object"), found("advisory_lock")), (1.0, 1.0));
    let log = proxy.log();
    let line = log.lines().find(|line| line.contains("changed unseen"));
    assert!(line.unwrap().contains("set_memory"), "{line:?}");
}
