//! `LISTEN` over a connection that all clients of a database share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::unpinning::{await_pins, pinned};
use crate::support::{
    place,
    postgres::Database,
    sluice::{Settings, Sluice, is_direct},
    wait,
    wire::{
        Wire,
        backend::{Message, words},
        frontend::{run_unnamed, sync},
    },
};

/// The payload of the next notification, which must be the next message.
#[track_caller]
fn payload(wire: &mut Wire) -> String {
    let message = wire.read().unwrap();
    assert_eq!(words(std::slice::from_ref(&message)), ["Notification"]);
    text(&message)
}

fn text(message: &Message) -> String {
    let mut parts = message.body[4..].split(|byte| *byte == 0);
    parts.next();
    String::from_utf8_lossy(parts.next().unwrap()).into_owned()
}

/// Payloads in a reply.
fn payloads(reply: &[Message]) -> Vec<String> {
    let notes = reply.iter().filter(|message| message.tag == b'A');
    notes.map(text).collect()
}

/// A client that listens to `channel`, and is not pinned any more.
fn listener(proxy: &Sluice, database: &Database, channel: &str) -> Wire {
    let mut wire = proxy.connect(database);
    if is_direct() {
        wire.succeed(&format!("listen {channel}"));
        return wire;
    }
    wire.succeed(&format!("listen {channel}"));
    // Nobody holds a server connection any more, so its channel has moved.
    wait::until_true("the move of a channel", || {
        let status = proxy.status();
        let clients = &status["clients"];
        clients["by_phase"]["idle"] == clients["total"]
    });
    wire
}

#[test]
fn many_listeners_need_one_server_connection() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let mut listeners: Vec<Wire> = (0..20)
        .map(|_| listener(&proxy, &database, "bell"))
        .collect();
    let mut ringer = proxy.connect(&database);
    let long = "é".repeat(3999);
    for turn in 0..50 {
        ringer.succeed(&format!("notify bell, '{turn}'"));
    }
    ringer.succeed(&format!("notify bell, '{long}'"));
    ringer.succeed("notify other, 'not for them'; notify bell");
    for wire in &mut listeners {
        for turn in 0..50 {
            assert_eq!(payload(wire), turn.to_string());
        }
        assert_eq!(payload(wire), long);
        assert_eq!(payload(wire), "");
        assert!(!wire.has_input());
    }
    if !is_direct() {
        assert_eq!(proxy.metric("sluice_notification_connections", ""), 1.0);
        assert_eq!(proxy.metric("sluice_notifications_total", ""), 20.0 * 52.0);
    }
}

#[test]
fn a_notification_right_after_listen_is_not_missed() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 2);
    let mut ringer = database.admin();
    let mut wire = proxy.connect(&database);
    for turn in 0..30 {
        wire.succeed(&format!("listen bell_{turn}"));
        // At every stage of the move to the shared connection.
        for part in 0..4 {
            ringer.succeed(&format!("notify bell_{turn}, '{turn}.{part}'"));
        }
        for part in 0..4 {
            assert_eq!(payload(&mut wire), format!("{turn}.{part}"));
        }
    }
    assert_eq!(wire.value("select 'quiet'"), "quiet");
    assert!(!wire.has_input());
}

#[test]
fn a_storm_has_neither_gap_nor_double_while_channels_move() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 2);
    let over = AtomicBool::new(false);
    let started = AtomicBool::new(false);
    thread::scope(|scope| {
        let storm = scope.spawn(|| {
            let mut ringer = database.admin();
            let mut sent = 0_u32;
            while !over.load(Ordering::Relaxed) {
                sent += 1;
                ringer.succeed(&format!("notify storm, '{sent}'"));
                started.store(true, Ordering::Relaxed);
            }
            ringer.succeed("notify storm, 'end'");
        });
        wait::until_true("the storm", || started.load(Ordering::Relaxed));
        let mut wires: Vec<Wire> = (0..5).map(|_| proxy.connect(&database)).collect();
        let mut heard: Vec<Vec<String>> = vec![Vec::new(); wires.len()];
        for (wire, heard) in wires.iter_mut().zip(&mut heard) {
            heard.extend(payloads(&wire.simple("listen storm")));
        }
        // All of them work on meanwhile.
        for _ in 0..40 {
            for (wire, heard) in wires.iter_mut().zip(&mut heard) {
                heard.extend(payloads(&wire.simple("select 1")));
            }
        }
        if !is_direct() {
            wait::until_true("unpinned listeners", || pinned(&proxy).is_empty());
        }
        over.store(true, Ordering::Relaxed);
        storm.join().unwrap();
        for (wire, heard) in wires.iter_mut().zip(&mut heard) {
            while heard.last().is_none_or(|last| last != "end") {
                heard.push(payload(wire));
            }
            heard.pop();
            let numbers: Vec<u32> = heard.iter().map(|n| n.parse().unwrap()).collect();
            let first = *numbers.first().expect("some of the storm");
            let last = first + u32::try_from(numbers.len()).unwrap();
            assert!(numbers.iter().copied().eq(first..last), "{numbers:?}");
        }
    });
}

#[test]
fn listen_takes_effect_as_its_transaction_says() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let mut wire = proxy.connect(&database);
    let mut ringer = database.admin();
    wire.succeed("begin; listen undone; savepoint s; listen undone_too");
    wire.succeed("rollback to s");
    wire.succeed("rollback");
    wire.succeed("begin; listen kept; savepoint s; listen undone; rollback to s; commit");
    for channel in ["undone", "undone_too", "kept"] {
        ringer.succeed(&format!("notify {channel}, '{channel}'"));
    }
    assert_eq!(payload(&mut wire), "kept");
    assert_eq!(wire.value("select 'quiet'"), "quiet");
    if !is_direct() {
        await_pins(&proxy, &[], "LISTEN in a transaction");
    }
    // Undone as well: an end to listening.
    wire.succeed("begin; unlisten kept");
    wire.succeed("rollback");
    wire.succeed("begin; savepoint s; unlisten *; rollback to s; commit");
    ringer.succeed("notify kept, 'still'");
    assert_eq!(payload(&mut wire), "still");
    let unlisten = run_unnamed("unlisten kept", &[]);
    wire.ask(&[unlisten, sync()].concat());
    ringer.succeed("notify kept, 'no more'");
    assert_eq!(proxy.connect(&database).value("select 1"), "1");
    assert_eq!(wire.value("select 'quiet'"), "quiet");
    assert!(!wire.has_input());
    wire.succeed("listen kept");
    ringer.succeed("notify kept, 'again'");
    assert_eq!(payload(&mut wire), "again");
    wire.succeed("discard all");
    ringer.succeed("notify kept, 'no more'");
    assert_eq!(wire.value("select 'quiet'"), "quiet");
    assert!(!wire.has_input());
}

#[test]
fn in_a_transaction_notifications_wait_for_its_end() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 2);
    let mut wire = listener(&proxy, &database, "bell");
    let mut witness = listener(&proxy, &database, "bell");
    for end in ["commit", "rollback"] {
        wire.succeed("begin");
        wire.succeed("select 1");
        database.admin().succeed("notify bell, 'ding'");
        // It has been delivered to everybody else by now.
        assert_eq!(payload(&mut witness), "ding");
        assert_eq!(payloads(&wire.simple("select 2")), Vec::<String>::new());
        assert!(!wire.has_input());
        // Before or behind the end of the transaction's last reply.
        let mut heard = payloads(&wire.simple(end));
        if heard.is_empty() {
            heard.push(payload(&mut wire));
        }
        assert_eq!(heard, ["ding"]);
    }
}

#[test]
fn a_client_hears_what_it_sends_itself() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let mut wire = listener(&proxy, &database, "echo");
    for sql in ["notify echo, 'hello'", "select pg_notify('echo', 'hello')"] {
        let mut heard = payloads(&wire.simple(sql));
        if heard.is_empty() {
            heard.push(payload(&mut wire));
        }
        assert_eq!(heard, ["hello"]);
    }
    // In a transaction that is rolled back, nothing is sent.
    wire.succeed("begin; notify echo, 'unsaid'");
    wire.succeed("rollback");
    assert_eq!(wire.value("select 'quiet'"), "quiet");
    assert!(!wire.has_input());
}

#[test]
fn quoted_channels_are_told_apart() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let mut wire = proxy.connect(&database);
    let names = ["\"A b\"\"c\"", "\"ä\"", "Plain", "\"x;y\""];
    for name in names {
        wire.succeed(&format!("listen {name}"));
    }
    if !is_direct() {
        await_pins(&proxy, &[], "LISTEN to odd names");
    }
    for name in names {
        database
            .admin()
            .succeed(&format!("notify {name}, $${name}$$"));
        assert_eq!(payload(&mut wire), name);
    }
}

#[test]
fn a_lost_connection_is_told_of_and_opened_again() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let mut wire = listener(&proxy, &database, "bell");
    let mut admin = database.admin();
    let ended = admin.value(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity \
         where datname = current_database() and query like '%LISTEN%sluice_%' \
         and pid <> pg_backend_pid()",
    );
    assert_eq!(ended, "1");
    let warning = wire.read().unwrap();
    assert_eq!(warning.tag, b'N');
    assert_eq!(warning.field(b'S'), "WARNING");
    assert_eq!(wire.value("select 'alive'"), "alive");
    wait::until_true("a new connection", || {
        proxy.metric("sluice_notification_connections", "") == 1.0
    });
    let mut heard = None;
    wait::until_true("a notification", || {
        admin.succeed("notify bell, 'ding'");
        if wire.has_input() {
            heard = Some(payload(&mut wire));
        }
        heard.is_some()
    });
    assert_eq!(heard.as_deref(), Some("ding"));
    assert_eq!(
        proxy.metric("sluice_notification_connections_lost_total", ""),
        1.0
    );
    assert!(proxy.log().contains("connection for notifications lost"));
}

/// The connection is opened as a user whose sessions are there, by whichever listener they came.
#[test]
fn who_came_by_another_listener_is_served_when_the_first_has_left() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let other = place::free_port();
    let listener = format!("[[listener]]\nname = \"other\"\naddress = \"127.0.0.1:{other}\"\n");
    let proxy = Sluice::start(&Settings::for_server(database.server_port).extra(&listener));
    let first = proxy.connect(&database);
    let mut wire = Wire::connect(&database.login(other)).unwrap();
    drop(first);
    wait::until_true("the end of the first", || {
        proxy.status()["clients"]["total"] == 1
    });
    // Nothing shows when what is kept for clients to come (a second) has gone, too.
    thread::sleep(Duration::from_secs(2));
    wire.succeed("listen bell");
    wait::until_true("the move of a channel", || {
        proxy.status()["clients"]["by_phase"]["idle"] == 1
    });
    database.admin().succeed("notify bell, 'ding'");
    assert_eq!(payload(&mut wire), "ding");
}

#[test]
fn without_a_connection_to_share_a_listener_keeps_its_own() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let mut admin = database.admin();
    let name = &database.name;
    // The one that limits, and one more.
    admin.succeed(&format!("alter database {name} connection limit 2"));
    let mut wire = proxy.connect(&database);
    wire.succeed("listen bell");
    await_pins(&proxy, &["listen"], "LISTEN");
    wait::until_true("a failure to connect", || {
        proxy
            .log()
            .contains("connection for notifications could not be opened")
    });
    admin.succeed("notify bell, 'by its own'");
    assert_eq!(payload(&mut wire), "by its own");
    admin.succeed(&format!("alter database {name} connection limit 9"));
    await_pins(&proxy, &[], "a shared connection is to be had");
    admin.succeed("notify bell, 'by the shared one'");
    assert_eq!(payload(&mut wire), "by the shared one");
}

#[test]
fn one_who_does_not_read_is_ended_and_others_are_not_held_up() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 2);
    let mut dreamer = listener(&proxy, &database, "flood");
    let mut reader = listener(&proxy, &database, "flood");
    dreamer.succeed("begin");
    let mut admin = database.admin();
    let long = "x".repeat(7900);
    // More than is kept for one who is in a transaction all the time.
    for turn in 0..700 {
        admin.succeed(&format!("notify flood, '{turn}{long}'"));
        assert!(payload(&mut reader).starts_with(&turn.to_string()));
    }
    if is_direct() {
        return;
    }
    dreamer
        .send(&crate::support::wire::frontend::query("commit"))
        .unwrap();
    let told = dreamer.read_to_close();
    assert_eq!(
        crate::support::wire::backend::error(&told).as_deref(),
        Some("53300")
    );
    assert_eq!(reader.value("select 'unimpressed'"), "unimpressed");
}

#[test]
fn without_sharing_a_listener_is_pinned() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let settings = Settings::for_server(database.server_port)
        .group("default_pool_size", 2)
        .group("shared_listen", false);
    let proxy = Sluice::start(&settings);
    let mut wire = proxy.connect(&database);
    wire.succeed("listen bell");
    await_pins(&proxy, &["listen"], "LISTEN");
    proxy.connect(&database).succeed("notify bell, 'ding'");
    assert_eq!(payload(&mut wire), "ding");
    wire.succeed("unlisten bell");
    await_pins(&proxy, &[], "UNLISTEN");
}
