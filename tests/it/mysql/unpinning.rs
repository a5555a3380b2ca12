//! What pins, and what ends it again.

use crate::support::{
    mysql::{Database, Kind, MySql, wire::Wire},
    sluice::{Settings, Sluice},
};

on_both!(
    what_pins_is_ended,
    what_a_text_ends_and_begins_anew_pins,
    a_statement_that_fails_leaves_no_pin,
    what_a_text_leaves_untold_stays_the_clients,
    a_read_lock_waited_for_in_vain_does_not_stay,
);

/// Texts that pin for a reason, and texts after which the session may leave.
const ENDS: &[(&str, &[&str], &[&str])] = &[
    (
        "advisory_lock",
        &["select get_lock('a', 1)"],
        &["select release_lock('a')"],
    ),
    (
        "advisory_lock",
        &["do get_lock('a', 1)", "do get_lock('A', 1)"],
        &["do release_lock('a')", "select release_lock('a')"],
    ),
    (
        "advisory_lock",
        &["select get_lock('a', 1)", "select get_lock('b', 1)"],
        &[
            "select release_lock('b')",
            "select release_lock('a') as done",
        ],
    ),
    (
        "advisory_lock",
        &["select get_lock(concat('a', 'b'), 1)"],
        &["select release_all_locks()"],
    ),
    ("table_lock", &["lock tables t write"], &["unlock tables"]),
    (
        "temp_object",
        &[
            "create temporary table x (i int)",
            "create temporary table y (i int)",
        ],
        &["drop table x", "drop temporary table y"],
    ),
    (
        "held_cursor",
        &["handler t open as h", "handler h read first"],
        &["handler h close"],
    ),
    (
        "sql_prepare",
        &["prepare p from 'select 1'", "execute p"],
        &["deallocate prepare p"],
    ),
    (
        "distributed_transaction",
        &["xa start 'a'", "insert into t values (1)", "xa end 'a'"],
        &["xa rollback 'a'"],
    ),
    (
        "distributed_transaction",
        &["xa start 'a'", "insert into t values (2)", "xa end 'a'"],
        &["xa commit 'a' one phase"],
    ),
    (
        "distributed_transaction",
        &["xa start 'a'", "xa end 'a'", "xa prepare 'a'"],
        &["xa commit 'a'"],
    ),
];

fn setting(kind: Kind) -> (Database, Sluice) {
    let database = Database::new(kind);
    database.admin().succeed("create table t (i int)");
    let proxy = Sluice::with_pool(&database, 1);
    (database, proxy)
}

fn what_pins_is_ended(kind: Kind) {
    let (database, proxy) = setting(kind);
    for (reason, begin, end) in ENDS {
        let pins = || {
            let count = |name| proxy.metric(name, reason);
            (count("sluice_pins_total"), count("sluice_unpins_total"))
        };
        // A pin counts once the session is kept for it alone, outside a transaction.
        let told = *reason != "distributed_transaction";
        let (before, unpinned) = pins();
        let mut client = proxy.connect(&database);
        for text in *begin {
            client.succeed(text);
        }
        for text in *end {
            assert!(!told || pins() == (before + 1.0, unpinned), "{text}");
            client.succeed(text);
        }
        // There is but one server connection.
        assert_eq!(proxy.connect(&database).value("select 1"), "1");
        let (pinned, unpinned) = (pins().0 - before, pins().1 - unpinned);
        assert_eq!(pinned, unpinned, "{begin:?} {end:?}");
        assert!(!told || pinned > 0.0, "{begin:?}");
    }
}

/// What pins, a text that ends it and begins it anew, what ends it.
const ANEW: [(&str, &str, &str); 5] = [
    (
        "create temporary table x (i int)",
        "drop table x; create temporary table x (i int)",
        "drop table x",
    ),
    (
        "lock tables t write",
        "unlock tables; lock tables t write",
        "unlock tables",
    ),
    (
        "handler t open as h",
        "handler h close; handler t open as h",
        "handler h close",
    ),
    (
        "do get_lock('a', 1)",
        "do release_lock('a'); do get_lock('a', 1)",
        "do release_lock('a')",
    ),
    (
        "prepare p from 'select 1'",
        "deallocate prepare p; prepare p from 'select 1'",
        "deallocate prepare p",
    ),
];

fn what_a_text_ends_and_begins_anew_pins(kind: Kind) {
    let (database, proxy) = setting(kind);
    let pinned = || proxy.metric("sluice_pins_total", "") - proxy.metric("sluice_unpins_total", "");
    for (begin, anew, end) in ANEW {
        let mut client = proxy.connect(&database);
        client.succeed(begin);
        client.query(anew).unwrap();
        assert_eq!(pinned(), 1.0, "{anew}");
        client.succeed(end);
        assert_eq!(pinned(), 0.0, "{end}");
    }
}

fn a_statement_that_fails_leaves_no_pin(kind: Kind) {
    let (database, proxy) = setting(kind);
    let mut client = proxy.connect(&database);
    for text in [
        "select get_lock('', 1)",
        "lock tables nothing write",
        "create temporary table t2 select * from nothing",
        "handler nothing open",
        "prepare p from 'select nothing from nothing'",
        "xa end 'a'",
    ] {
        if client.query(text).unwrap()[0].failure().is_none() {
            client.succeed("select release_all_locks()");
        }
        let mut other = proxy.connect(&database);
        assert_eq!(other.value("select 1"), "1", "{text}");
    }
}

/// On MySQL, which does not tell this user what a connection holds, a `CALL` pins.
#[test]
fn what_a_routine_locks_does_not_stay_locked() {
    let (database, proxy) = setting(Kind::MariaDb);
    database
        .admin()
        .succeed("create procedure locks() do get_lock('in a routine', 0)");
    let mut client = proxy.connect(&database);
    client.succeed("call locks()");
    let free = "select is_free_lock('in a routine')";
    assert_eq!(proxy.connect(&database).value(free), "1");
    // Its own are its own.
    client.succeed("do get_lock('outside', 0)");
    client.succeed("call locks()");
    assert_eq!(client.value("select is_free_lock('outside')"), "0");
}

/// Texts that choose what the server tells, and change something of which it then does not tell.
fn what_a_text_leaves_untold_stays_the_clients(kind: Kind) {
    const ASKS: &str = "select concat_ws(' ', @@collation_connection, @@character_set_results, @@sql_mode, @@time_zone, database())";
    let database = Database::new(kind);
    let mut admin = database.admin();
    admin.succeed("create procedure changes_zone() set time_zone = '+05:00'");
    // What is not known to be the client's is not on the other connection.
    let proxy = Sluice::start(
        &Settings::for_mysql(database.server_port)
            .group("server_round_robin", true)
            .group("default_pool_size", 2),
    );
    let connect = |port| Wire::connect(&database.login(port)).unwrap();
    let [mut one, mut two] = [proxy.port; 2].map(connect);
    for text in ["begin", "rollback"] {
        one.succeed(text);
        two.succeed(text);
    }
    for text in [
        "set session_track_system_variables = ''; set names utf8mb4 collate utf8mb4_unicode_ci",
        "set session_track_system_variables = '', names utf8mb4 collate utf8mb4_unicode_ci",
        "set session_track_system_variables = 'autocommit'; set collation_connection = concat('latin1_', 'bin')",
        "set session_track_system_variables = ''; set sql_mode = 'ANSI', time_zone = '+03:00'",
        "set session_track_system_variables = ''; call changes_zone()",
        "set session_track_schema = 0; use information_schema",
        "set session_track_system_variables = ''; set names latin1; select nothing",
    ] {
        let [mut direct, mut proxied] = [database.server_port, proxy.port].map(connect);
        for client in [&mut direct, &mut proxied] {
            client.query(text).unwrap();
        }
        for again in [
            "do 1",
            "set session_track_system_variables = default",
            "do 1",
        ] {
            assert_eq!(direct.value(ASKS), proxied.value(ASKS), "{text}, {again}");
            for client in [&mut direct, &mut proxied] {
                client.succeed(again);
            }
        }
    }
    // Nothing of it is left for others.
    let usual = connect(database.server_port).value(ASKS);
    for mut client in [one, two] {
        assert_eq!(client.value(ASKS), usual);
    }
}

/// MySQL keeps it though `FLUSH TABLES WITH READ LOCK` has failed: tables that others have locked cannot be closed.
fn a_read_lock_waited_for_in_vain_does_not_stay(kind: Kind) {
    // Nobody else is to wait for it.
    let server = MySql::private(kind, &[("lock_wait_timeout", "1")]);
    let database = server.database();
    let [mut locker, mut writer] = [(); 2].map(|()| database.admin());
    for text in [
        "create table locked (a int)",
        "create table written (a int)",
        "lock tables locked read",
    ] {
        locker.succeed(text);
    }
    let proxy = Sluice::with_pool(&database, 1);
    let mut client = proxy.connect(&database);
    client.fail("flush tables with read lock");
    drop(client);
    // The server connection goes to others, and is still there.
    assert_eq!(proxy.connect(&database).value("select 1"), "1");
    writer.succeed("set lock_wait_timeout = 5");
    writer.succeed("insert into written values (1)");
}
