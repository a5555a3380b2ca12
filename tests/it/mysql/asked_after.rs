//! What a client asks about the command before, on a connection that others have used: never an answer about theirs.

use crate::support::{
    mysql::{
        Database, Kind,
        wire::{Wire, packets},
    },
    sluice::{Settings, Sluice, Target},
};

on_both!(
    warnings_of_others_are_not_shown,
    warnings_last_over_commands_that_are_no_statements,
    warnings_of_commands_on_another_connection_do_not_pile_up,
    warnings_outlive_a_change_of_what_is_tracked,
    changed_rows_outlive_a_change_of_what_is_tracked,
    errors_that_are_no_statements_stand_behind_the_last,
    errors_of_the_proxy_stand_behind_one_another,
    errors_of_servers_stand_behind_those_of_the_proxy,
    questions_that_are_not_waited_for_are_answered,
);

/// Warnings that MariaDB keeps until a statement with tables.
const WARNS: &str = "select cast('x' as unsigned), 1 / 'y'";

/// Texts that leave no warning, and on MariaDB none of those before it alone either.
const BEGINS: [&[&str]; 4] = [
    &["begin"],
    &["set autocommit = 0"],
    &["begin", "do 1"],
    &["select get_lock('sluice', 0)"],
];

fn warnings_of_others_are_not_shown(kind: Kind) {
    let database = Database::new(kind);
    let proxy = Sluice::with_pool(&database, 1);
    let mut other = proxy.connect(&database);
    for begin in BEGINS {
        for question in [
            "show warnings",
            "show errors",
            "select @@warning_count",
            "show count(*) warnings",
        ] {
            let rows = other.ask(WARNS);
            assert!(rows.failure().is_none(), "{rows:?}");
            let mut client = proxy.connect(&database);
            for text in begin {
                client.succeed(text);
            }
            let none = if question.starts_with("show w") || question.starts_with("show e") {
                vec![]
            } else {
                vec!["0".to_owned()]
            };
            assert_eq!(client.column(question), none, "{begin:?}, {question}");
            drop(client);
            // It is still told its own.
            let own = other.column("show warnings");
            assert!(!own.is_empty(), "{begin:?}, {question}");
        }
    }
}

/// Commands that are no statements, some of which fail.
const COMMANDS: [&[u8]; 10] = [
    &[0x0e],
    // COM_INIT_DB
    b"\x02nothing",
    b"\x02information_schema",
    // COM_STATISTICS
    &[0x09],
    // COM_SET_OPTION
    &[0x1b, 0, 0],
    // COM_FIELD_LIST
    b"\x04warns\0",
    b"\x04nothing\0",
    // COM_STMT_RESET and COM_STMT_FETCH of a statement that is none
    &[0x1a, 77, 0, 0, 0],
    &[0x1c, 77, 0, 0, 0, 1, 0, 0, 0],
    &[0x77],
];

/// What is told to the end, whatever it is.
fn skip(client: &mut Wire, command: &[u8]) {
    client.command(command).unwrap();
    let listed = command[0] == 0x04;
    while listed && !matches!(client.read_packet().unwrap().body[0], 0xfe | 0xff) {}
    if !listed {
        client.read_packet().unwrap();
    }
}

fn warnings_last_over_commands_that_are_no_statements(kind: Kind) {
    let database = Database::new(kind);
    let mut admin = database.admin();
    admin.succeed("create table warns (a int)");
    admin.succeed("insert into warns values (1)");
    let proxy = Sluice::with_pool(&database, 1);
    let [mut direct, mut proxied] = [database.server_port, proxy.port]
        .map(|port| Wire::connect(&database.login(port)).unwrap());
    let mut other = proxy.connect(&database);
    for text in [
        "select cast('12x' as signed), 1 / 0 from warns",
        "select nothing from warns",
        "select a from warns",
        // An error of Sluice's own.
        "kill query 4000000000",
    ] {
        for command in COMMANDS {
            let mut shown = Vec::new();
            for client in [&mut direct, &mut proxied] {
                client.succeed(&format!("use {}", database.name));
                client.ask(text);
                // Others have the server connection, and leave warnings of their own.
                other.ask(WARNS);
                skip(client, command);
                other.ask(WARNS);
                shown.push(client.ask("show warnings").text_rows());
            }
            assert_eq!(shown[0], shown[1], "{text}, {}", command.escape_ascii());
        }
    }
}

fn warnings_of_commands_on_another_connection_do_not_pile_up(kind: Kind) {
    let database = Database::new(kind);
    database.admin().succeed("create table warns (a int)");
    let proxy = Sluice::start(
        &Target::settings(&database)
            .general("worker_threads", 1)
            .group("default_pool_size", 2)
            .group("server_round_robin", true),
    );
    let shown = [database.server_port, proxy.port].map(|port| {
        let mut clients = [(); 2].map(|()| Wire::connect(&database.login(port)).unwrap());
        // There are two server connections, lent in turn.
        for text in ["begin", "rollback"] {
            clients
                .iter_mut()
                .for_each(|client| drop(client.succeed(text)));
        }
        let [client, _] = &mut clients;
        skip(client, b"\x04warns\0");
        client.succeed("select a from warns");
        skip(client, b"\x04warns\0");
        client.ask("show warnings").text_rows()
    });
    assert_eq!(shown[0], shown[1]);
}

fn warnings_outlive_a_change_of_what_is_tracked(kind: Kind) {
    let database = Database::new(kind);
    let mut admin = database.admin();
    admin.succeed("create procedure p() signal sqlstate '45000' set message_text = 'on purpose'");
    let proxy = Sluice::with_pool(&database, 1);
    let mut client = proxy.connect(&database);
    let text = "set session_track_system_variables = 'sql_mode'; call p()";
    assert!(
        client
            .query(text)
            .unwrap()
            .last()
            .unwrap()
            .failure()
            .is_some()
    );
    let shown = client.ask("show warnings").text_rows();
    // MariaDB adds where it was.
    let first = shown.first().expect("the error is shown");
    assert_eq!(first[2].as_deref(), Some("on purpose"));
}

fn changed_rows_outlive_a_change_of_what_is_tracked(kind: Kind) {
    let database = Database::new(kind);
    database.admin().succeed("create table written (a int)");
    let proxy = Sluice::with_pool(&database, 1);
    let mut client = proxy.connect(&database);
    for begin in ["do 1", "begin", "set autocommit = 0"] {
        client.succeed(begin);
        for (text, count) in [
            ("insert into written values (1), (2)", "2"),
            ("select 1", "-1"),
            ("do 1", "0"),
        ] {
            for reply in client
                .query(&format!("set session_track_schema = 1; {text}"))
                .unwrap()
            {
                assert!(reply.failure().is_none(), "{reply:?}");
            }
            let told = client.column("select row_count()");
            assert_eq!(told, [count], "{begin}, {text}");
        }
        client.succeed("rollback");
    }
}

/// Commands that are no statements, about one that has neither a cursor nor types of its parameters, and about none.
/// Servers answer some with an error, Sluice itself where the statement is not on the server connection at hand.
fn unanswerable(id: u32) -> [Vec<u8>; 6] {
    let of = |command: u8, id: u32, rest: &[u8]| [&[command], &id.to_le_bytes()[..], rest].concat();
    [
        of(0x1a, id, &[]),
        of(0x1c, id, &[1, 0, 0, 0]),
        of(0x17, id, &[0, 1, 0, 0, 0, 0, 0]),
        of(0x1c, 77, &[1, 0, 0, 0]),
        of(0x17, 77, &[0, 1, 0, 0, 0]),
        vec![0x77],
    ]
}

fn errors_that_are_no_statements_stand_behind_the_last(kind: Kind) {
    let database = Database::new(kind);
    database.admin().succeed("create table written (a int)");
    // The statement is prepared on one connection, and asked for on the other.
    let proxy = Sluice::start(
        &Settings::for_mysql(database.server_port)
            .group("server_round_robin", true)
            .group("default_pool_size", 2),
    );
    let [mut direct, mut proxied] = [database.server_port, proxy.port]
        .map(|port| Wire::connect(&database.login(port)).unwrap());
    let mut other = proxy.connect(&database);
    for text in ["begin", "rollback"] {
        for client in [&mut proxied, &mut other] {
            client.succeed(text);
        }
    }
    for begin in ["do 1", "begin", "insert into written values (1)"] {
        for last in ["drop temporary table written", "select a from written"] {
            for number in 0..unanswerable(0).len() {
                let mut shown = Vec::new();
                for client in [&mut direct, &mut proxied] {
                    let id = client.prepare("update written set a = ?").id;
                    client.succeed(begin);
                    client.ask(last);
                    let failure = client.simple(&unanswerable(id)[number]).unwrap();
                    let failure = failure.failure().map(|failure| failure.code);
                    let rows = client.ask("show warnings").text_rows();
                    let codes: Vec<_> = rows.into_iter().map(|row| row[1].clone()).collect();
                    shown.push((failure, codes));
                    client.succeed("rollback");
                    client
                        .command(&[&[0x19], &id.to_le_bytes()[..]].concat())
                        .unwrap();
                }
                assert_eq!(shown[0], shown[1], "{begin}, {last}, {number}");
            }
        }
    }
}

/// Some by a statement, some by commands that are none, some by the server in between.
fn errors_of_the_proxy_stand_behind_one_another(kind: Kind) {
    let database = Database::new(kind);
    let proxy = Sluice::with_pool(&database, 1);
    let [mut direct, mut proxied] = [database.server_port, proxy.port]
        .map(|port| Wire::connect(&database.login(port)).unwrap());
    let mut other = proxy.connect(&database);
    let unknown: &[u8] = &[0x1a, 77, 0, 0, 0];
    let kill = b"\x03kill 4000000000";
    let schema = b"\x02test_of_nobody";
    for commands in [
        &[unknown, unknown][..],
        &[unknown, &[0x77], unknown],
        &[kill, unknown],
        &[kill, &[0x77]],
        &[kill, &[0x0e], &[0x77]],
        &[unknown, schema, unknown],
        &[unknown, kill],
    ] {
        let mut shown = Vec::new();
        for client in [&mut direct, &mut proxied] {
            client.succeed("do 1");
            for command in commands {
                other.ask(WARNS);
                client.simple(command).unwrap();
            }
            other.ask(WARNS);
            let rows = client.ask("show warnings").text_rows();
            let codes = rows.into_iter().map(|row| row[1].clone());
            shown.push(codes.collect::<Vec<_>>());
        }
        assert_eq!(shown[0], shown[1], "{commands:?}");
    }
}

/// Some are kept by Sluice, and those behind them by the server connection.
fn errors_of_servers_stand_behind_those_of_the_proxy(kind: Kind) {
    let database = Database::new(kind);
    database.admin().succeed("create table written (a int)");
    let proxy = Sluice::with_pool(&database, 1);
    let [mut direct, mut proxied] = [database.server_port, proxy.port]
        .map(|port| Wire::connect(&database.login(port)).unwrap());
    for begin in ["do 1", "begin"] {
        for last in ["select nothing", "do 1", WARNS] {
            let mut shown = Vec::new();
            for client in [&mut direct, &mut proxied] {
                let id = client.prepare("update written set a = ?").id;
                client.succeed(begin);
                client.ask(last);
                let [_, fetched, executed, ..] = unanswerable(id);
                for command in [&executed, &fetched, &executed, &fetched] {
                    client.simple(command).unwrap();
                }
                let rows = client.ask("show warnings").text_rows();
                let codes = rows.into_iter().map(|row| row[1].clone());
                shown.push(codes.collect::<Vec<_>>());
                client.succeed("rollback");
            }
            assert_eq!(shown[0], shown[1], "{begin}, {last}");
        }
    }
}

/// A question behind what it asks about, in the same write.
fn questions_that_are_not_waited_for_are_answered(kind: Kind) {
    let database = Database::new(kind);
    let mut admin = database.admin();
    admin.succeed("create table asked (a int)");
    admin.succeed("insert into asked values (1), (2), (3)");
    let proxy = Sluice::with_pool(&database, 1);
    let [mut direct, mut proxied] = [database.server_port, proxy.port]
        .map(|port| Wire::connect(&database.login(port)).unwrap());
    let mut other = proxy.connect(&database);
    for text in [
        "select cast('12x' as signed) from asked",
        "select nothing from asked",
        "select a from asked",
        "select sql_calc_found_rows a from asked limit 1",
        "update asked set a = a + 1",
        "insert into asked select 7 from asked limit 1",
        "do 1",
    ] {
        for question in [
            "show warnings",
            "show errors",
            "select row_count()",
            "select found_rows()",
        ] {
            let mut heard = Vec::new();
            for client in [&mut direct, &mut proxied] {
                other.ask(WARNS);
                let mut bytes = Vec::new();
                for text in [text, question] {
                    let payload = [&[0x03], text.as_bytes()].concat();
                    bytes.extend(packets(&mut 0, &payload));
                }
                client.send(&bytes).unwrap();
                client.sequence = 1;
                client.read_replies().unwrap();
                client.sequence = 1;
                heard.push(client.read_replies().unwrap()[0].text_rows());
            }
            assert_eq!(heard[0], heard[1], "{text}, {question}");
        }
    }
}
