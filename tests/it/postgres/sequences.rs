//! `currval` and `lastval` tell a client what it has made of sequences itself, or nothing.

use crate::support::{
    postgres::Database,
    sluice::{Sluice, is_direct},
    wire::{
        Wire,
        backend::{column, words},
        frontend::{run_unnamed, sync},
    },
};

/// A database with a sequence and a table of numbered rows, and `clients` of a proxy with `pool`
/// server connections.
fn set_up(pool: u32, clients: usize) -> (Database, Sluice, Vec<Wire>) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, pool);
    let mut first = proxy.connect(&database);
    first.succeed("create sequence numbers");
    first.succeed("create table entry (id serial, word text)");
    drop(first);
    let clients = (0..clients).map(|_| proxy.connect(&database)).collect();
    (database, proxy, clients)
}

/// A number, or the code of the error.
fn ask(wire: &mut Wire, sql: &str) -> String {
    let reply = wire.simple(sql);
    let failed = words(&reply)
        .into_iter()
        .find(|word| word.starts_with("Error"));
    failed.unwrap_or_else(|| column(&reply).swap_remove(0))
}

#[test]
fn nobody_is_kept_for_values_that_nobody_asks_for() {
    let (_database, _proxy, mut clients) = set_up(1, 3);
    for turn in 0..3 {
        for (place, wire) in clients.iter_mut().enumerate() {
            let expected = turn * 3 + place + 1;
            let insert = "insert into entry (word) values ('x') returning id";
            assert_eq!(wire.value(insert), expected.to_string());
        }
    }
}

#[test]
fn a_transaction_is_told_its_own_values() {
    let (_database, _proxy, mut clients) = set_up(1, 2);
    for turn in 1..4 {
        for (place, wire) in clients.iter_mut().enumerate() {
            let own = ((turn - 1) * 2 + place + 1).to_string();
            let reply = wire
                .succeed("begin; insert into entry (word) values ('x'); select lastval(); commit");
            assert_eq!(reply, [&*own]);
            // Where it is the last that the client does, nothing keeps the others.
            wire.succeed("discard sequences");
        }
    }
}

#[test]
fn who_has_made_nothing_is_told_so() {
    let (_database, _proxy, mut clients) = set_up(1, 2);
    clients[0].succeed("insert into entry (word) values ('x')");
    for asks in ["select lastval()", "select currval('numbers')"] {
        assert_eq!(ask(&mut clients[1], asks), "Error(55000)");
        let reply = clients[1].ask(&[run_unnamed(asks, &[]), sync()].concat());
        assert_eq!(words(&reply).last().unwrap(), "Ready(I)");
        assert!(words(&reply).contains(&"Error(55000)".to_owned()));
    }
}

#[test]
fn values_of_others_are_never_shown() {
    let (_database, _proxy, mut clients) = set_up(2, 3);
    // Somebody asks, so that from here on values are kept for whoever makes them.
    ask(&mut clients[2], "select lastval()");
    let own = clients[0].value("select nextval('numbers')");
    clients[1].succeed("insert into entry (word) values ('x')");
    for _ in 0..3 {
        assert_eq!(clients[0].value("select currval('numbers')"), own);
        assert_eq!(clients[0].value("select lastval()"), own);
        assert_eq!(clients[1].value("select currval('entry_id_seq')"), "1");
        assert_eq!(
            ask(&mut clients[1], "select currval('numbers')"),
            "Error(55000)"
        );
    }
}

#[test]
fn the_first_to_ask_gets_its_own_value_or_none() {
    let (_database, _proxy, mut clients) = set_up(1, 2);
    clients[0].succeed("insert into entry (word) values ('x')");
    clients[1].succeed("insert into entry (word) values ('x')");
    let answer = ask(&mut clients[0], "select lastval()");
    let expected = if is_direct() { "1" } else { "Error(55000)" };
    assert_eq!(answer, expected);
    // The second time, everybody keeps what it makes.
    let own = clients[0].value("insert into entry (word) values ('x') returning id");
    assert_eq!(clients[0].value("select lastval()"), own);
}

#[test]
fn discard_sequences_forgets_and_releases() {
    let (_database, _proxy, mut clients) = set_up(1, 2);
    ask(&mut clients[1], "select lastval()");
    let own = clients[0].value("select nextval('numbers')");
    assert_eq!(clients[0].value("select currval('numbers')"), own);
    clients[0].succeed("discard sequences");
    assert_eq!(
        ask(&mut clients[1], "select currval('numbers')"),
        "Error(55000)"
    );
    assert_eq!(
        ask(&mut clients[0], "select currval('numbers')"),
        "Error(55000)"
    );
}

#[test]
fn values_of_a_text_that_first_discards_them_are_the_clients() {
    let (_database, _proxy, mut clients) = set_up(2, 2);
    let [client, other] = &mut clients[..] else {
        panic!("two clients")
    };
    for _ in 0..2 {
        client.succeed("discard sequences; select nextval('numbers'); select lastval()");
        let own = client.value("select lastval()");
        other.succeed("select nextval('numbers')");
        assert_eq!(ask(client, "select lastval()"), own);
        client.succeed("discard sequences");
    }
}
