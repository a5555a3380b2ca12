//! What code of users leaves on a server connection without the server's telling: another client of the same user
//! must see nothing of it, and the client itself all of it, as far as the server can be asked.

use crate::support::{
    mysql::{
        Database, Kind, MySql,
        wire::{Wire, packets},
    },
    sluice::Sluice,
};

on_both!(
    variables_of_stored_code_are_nobody_elses,
    variables_of_stored_code_stay_with_their_client,
    writes_without_stored_code_do_not_pin,
    a_server_that_once_does_not_answer_is_asked_again,
    variables_of_stored_code_are_there_in_the_same_write,
);

const CODE: [&str; 9] = [
    "create table t (i int)",
    "create table plain (i int primary key)",
    "create procedure p() begin select 11 into @by_procedure; end",
    "create function f() returns int reads sql data begin select 12 into @by_function; return 1; end",
    "create view v as select f() as i",
    "create trigger t1 before insert on t for each row begin select 13 into @by_trigger; end",
    "create trigger t2 before delete on t for each row \
     begin declare x int; select @deeper := 14 into x; end",
    "create function reads_procedure() returns int reads sql data return @by_procedure",
    "create function reads_function() returns int reads sql data return @by_function",
];

/// Texts that run code of users, and the variable that it assigns.
const RUNS: [(&str, &str); 4] = [
    ("call p()", "by_procedure"),
    ("select f()", "by_function"),
    ("insert into t values (1), (2)", "by_trigger"),
    ("delete from t limit 1", "deeper"),
];

fn proxied(database: &Database) -> Sluice {
    let mut admin = database.admin();
    for text in CODE {
        admin.succeed(text);
    }
    admin.succeed("insert into t values (1), (2), (3), (4), (5), (6)");
    Sluice::start(
        &crate::support::sluice::Target::settings(database)
            .group("default_pool_size", 3)
            // What only reads may run code within a view.
            .group("verify_session_state", 1.0),
    )
}

/// A database of a server that tells its user which user variables a connection holds.
fn telling(server: &MySql) -> Database {
    let database = server.database();
    if database.kind == Kind::MySql {
        let mut root = server.admin();
        root.succeed("grant select on performance_schema.user_variables_by_thread to app@'%'");
    }
    database
}

/// Every server connection that is free, one after the other.
fn others(proxy: &Sluice, database: &Database) -> Vec<Wire> {
    let mut others: Vec<_> = (0..2).map(|_| proxy.connect(database)).collect();
    for other in &mut others {
        other.succeed("begin");
    }
    others
}

fn variables_of_stored_code_are_nobody_elses(kind: Kind) {
    let database = Database::new(kind);
    let proxy = proxied(&database);
    for round in 0..3 {
        for (text, variable) in RUNS.into_iter().chain([("select * from v", "by_function")]) {
            let mut client = proxy.connect(&database);
            match round {
                0 => drop(client.succeed(text)),
                1 => {
                    client.succeed("begin");
                    client.succeed(text);
                    client.succeed("commit");
                }
                _ => {
                    let statement = client.prepare(text);
                    client.execute(statement.id, &[]).unwrap();
                }
            }
            for other in &mut others(&proxy, &database) {
                let seen = other.value(&format!("select @{variable}"));
                assert_eq!(seen, "NULL", "{text}, round {round}");
            }
            // What nobody reads by name: only where the server can be asked.
            if kind == Kind::MariaDb || !text.ends_with('v') {
                for function in ["reads_procedure()", "reads_function()"] {
                    for other in &mut others(&proxy, &database) {
                        let seen = other.value(&format!("select {function}"));
                        assert_eq!(seen, "NULL", "{text}, round {round}");
                    }
                }
            }
        }
    }
}

fn variables_of_stored_code_stay_with_their_client(kind: Kind) {
    let server = MySql::private(kind, &[("performance_schema", "ON")]);
    let database = telling(&server);
    let proxy = proxied(&database);
    for (text, variable) in RUNS.into_iter().chain([("select * from v", "by_function")]) {
        let mut client = proxy.connect(&database);
        client.succeed("set @known = 5, @text = 'é', @none = null");
        client.succeed(text);
        let value = client.value(&format!("select @{variable}"));
        assert!(value.starts_with('1'), "{text}: {value}");
        assert_eq!(client.value("select concat(@known, @text)"), "5é");
        client.succeed("do 0");
        client.succeed(text);
        assert_eq!(client.value("select 1"), "1");
    }
    // Five clients for three connections: what pinned them is gone with them.
    let pins = proxy.metric("sluice_pins_total", "user_variable");
    assert!(pins >= 5.0, "{pins}");
}

fn writes_without_stored_code_do_not_pin(kind: Kind) {
    let server = MySql::private(kind, &[("performance_schema", "ON")]);
    let database = telling(&server);
    let proxy = proxied(&database);
    let mut client = proxy.connect(&database);
    client.succeed("set @known = 5, @text = 'é', @none = null, @truth = true");
    client.succeed("insert into plain values (1)");
    client.succeed("set autocommit = 0");
    client.succeed("insert into plain values (2)");
    client.succeed("commit");
    client.succeed("update plain set i = i + 10");
    client.succeed("rollback");
    client.succeed("set sql_select_limit = 0");
    client.succeed("delete from plain where i = 2");
    client.succeed("commit");
    let pins = proxy.metric("sluice_pins_total", "");
    assert_eq!(pins, 0.0, "{}", proxy.log());
    assert_eq!(client.value("select @text limit 1"), "é");
}

fn a_server_that_once_does_not_answer_is_asked_again(kind: Kind) {
    let server = MySql::private(kind, &[("performance_schema", "ON")]);
    let database = telling(&server);
    let proxy = proxied(&database);
    // Too little for the question, the second time for nothing.
    for limit in ["1", "default"] {
        let mut client = proxy.connect(&database);
        client.succeed(&format!("set max_join_size = {limit}"));
        client.succeed("insert into t values (1)");
        let others = others(&proxy, &database);
        assert_eq!(client.value("select @by_trigger"), "13", "{limit}");
        drop(others);
        assert_eq!(client.value("select @by_trigger"), "13", "{limit}");
    }
}

fn variables_of_stored_code_are_there_in_the_same_write(kind: Kind) {
    let server = MySql::private(kind, &[("performance_schema", "ON")]);
    let database = telling(&server);
    let proxy = proxied(&database);
    for (text, variable) in RUNS {
        let mut client = proxy.connect(&database);
        let texts = [text.to_owned(), format!("select @{variable}")];
        let commands = texts.map(|text| packets(&mut 0, &[&[3], text.as_bytes()].concat()));
        client.send(&commands.concat()).unwrap();
        client.sequence = 1;
        client.read_replies().unwrap();
        client.sequence = 1;
        let seen = client.read_replies().unwrap()[0].first_column();
        assert!(seen[0].starts_with('1'), "{text}: {seen:?}");
    }
}
