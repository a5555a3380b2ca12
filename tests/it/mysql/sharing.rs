//! One text that several have prepared: what one makes of it on a server connection is nothing to the others.

use crate::support::{
    mysql::{
        Database, Kind,
        message::{Reply, capability},
        wire::{Wire, execution, put_string},
    },
    sluice::{Settings, Sluice},
};

on_both!(
    a_text_is_not_read_as_the_number_that_another_client_has_sent,
    an_open_cursor_outlives_whatever_becomes_of_its_text,
    parts_of_parameters_are_nobody_elses,
    a_connection_that_is_kept_gathers_no_statements,
    a_schema_that_a_result_has_left_is_told_with_the_next_variable,
    a_reset_does_not_tell_what_a_result_has_left,
);

/// One server connection for everybody.
fn narrow(database: &Database) -> Sluice {
    Sluice::start(&Settings::for_mysql(database.server_port).group("default_pool_size", 1))
}

/// `COM_STMT_EXECUTE` with a number.
fn with_number(id: u32, number: i64) -> Vec<u8> {
    // MYSQL_TYPE_LONGLONG
    let mut body = execution(id, 0, &[None], false);
    body.truncate(10);
    body.extend([0, 1, 0x08, 0]);
    body.extend(number.to_le_bytes());
    body
}

fn words(wire: &mut Wire, body: &[u8]) -> Vec<Vec<u8>> {
    match wire.simple(body).unwrap() {
        Reply::Rows { rows, .. } => rows,
        other => panic!("{other:?}"),
    }
}

fn row(text: &str) -> Vec<u8> {
    let mut row = vec![0, 0];
    put_string(&mut row, text.as_bytes());
    row
}

/// MySQL compares the column with numbers from there on, and every word is 0.
fn a_text_is_not_read_as_the_number_that_another_client_has_sent(kind: Kind) {
    let database = Database::new(kind);
    let mut admin = database.admin();
    admin.succeed("create table t (word varchar(10))");
    admin.succeed("insert into t values ('x'), ('7'), ('secret')");
    let proxy = narrow(&database);
    let [mut one, mut other] = [proxy.connect(&database), proxy.connect(&database)];
    let text = "select word from t where word = ?";
    let [here, there] = [one.prepare(text).id, other.prepare(text).id];
    let ask = execution(there, 0, &[Some("x")], true);
    assert_eq!(words(&mut other, &ask), [row("x")]);
    for _ in 0..3 {
        assert_eq!(words(&mut one, &with_number(here, 7)), [row("7")]);
        assert_eq!(words(&mut other, &ask), [row("x")]);
    }
    let mut clients = [proxy.connect(&database), proxy.connect(&database)];
    let ids = clients
        .each_mut()
        .map(|client| client.prepare("select ?").id);
    let [one, other] = &mut clients;
    words(one, &with_number(ids[0], 7));
    let ask = execution(ids[1], 0, &[Some("x")], true);
    assert_eq!(words(other, &ask), [row("x")]);
}

fn fetch(id: u32, rows: u8) -> Vec<u8> {
    [&[0x1c], &id.to_le_bytes()[..], &[rows, 0, 0, 0]].concat()
}

fn an_open_cursor_outlives_whatever_becomes_of_its_text(kind: Kind) {
    let database = Database::new(kind);
    let mut admin = database.admin();
    admin.succeed("create table t (word varchar(10))");
    admin.succeed("insert into t values ('a'), ('b'), ('c')");
    let proxy = narrow(&database);
    let text = "select word from t order by word";
    for port in [database.server_port, proxy.port] {
        let mut client = Wire::connect(&database.login(port)).unwrap();
        let [id, early] = [(); 2].map(|()| client.prepare(text).id);
        client.command(&execution(id, 1, &[], false)).unwrap();
        let columns = client.read_packet().unwrap();
        assert_eq!(columns.body, [1]);
        if client.read_columns(1).unwrap().1.is_none() {
            client.read_packet().unwrap();
        }
        let mut rows = Vec::new();
        let mut next = |client: &mut Wire| {
            client.command(&fetch(id, 1)).unwrap();
            let (some, end) = client.read_row_packets().unwrap();
            assert!(end.is_ok(), "{end:?}");
            rows.extend(some);
        };
        next(&mut client);
        // Prepared again, and executed by whoever else has prepared it, before and since.
        let late = client.prepare(text).id;
        next(&mut client);
        for other in [early, late] {
            let all = words(&mut client, &execution(other, 0, &[], false));
            assert_eq!(all.len(), 3);
        }
        next(&mut client);
        assert_eq!(rows, ["a", "b", "c"].map(row));
        client
            .command(&[&[0x19], &id.to_le_bytes()[..]].concat())
            .unwrap();
        assert_eq!(client.value("select 1"), "1");
    }
    // The connection goes to others then.
    assert_eq!(proxy.connect(&database).value("select 1"), "1");
}

fn parts_of_parameters_are_nobody_elses(kind: Kind) {
    let database = Database::new(kind);
    let proxy = narrow(&database);
    for port in [database.server_port, proxy.port] {
        let mut client = Wire::connect(&database.login(port)).unwrap();
        let [one, other] = [(); 2].map(|()| client.prepare("select concat(?, '')").id);
        let part = [&[0x18], &one.to_le_bytes()[..], &[0, 0], b"long"].concat();
        client.command(&part).unwrap();
        let ask = execution(other, 0, &[Some("short")], true);
        assert_eq!(words(&mut client, &ask), [row("short")]);
        let mut ask = execution(one, 0, &[Some("")], true);
        ask.truncate(ask.len() - 1);
        assert_eq!(words(&mut client, &ask), [row("long")]);
    }
}

/// What is prepared, and closed, again and again.
fn a_connection_that_is_kept_gathers_no_statements(kind: Kind) {
    let database = Database::new(kind);
    let proxy = narrow(&database);
    let mut client = proxy.connect(&database);
    client.succeed("begin");
    client.succeed("create temporary table kept (i int)");
    // That of all connections, those of other tests among them.
    let count = |client: &mut Wire| -> i64 {
        let replies = client.succeed("show global status like 'Prepared_stmt_count'");
        let rows = replies.iter().flat_map(|reply| reply.text_rows());
        let values = rows.filter_map(|row| row.into_iter().nth(1).flatten());
        values.map(|value| value.parse::<i64>().unwrap()).sum()
    };
    let before = count(&mut client);
    for _ in 0..1000 {
        let id = client.prepare("select 'again'").id;
        let close = [&[0x19], &id.to_le_bytes()[..]].concat();
        client.command(&close).unwrap();
    }
    let more = count(&mut client) - before;
    assert!(more < 500, "{more} more");
}

/// Nor does it tell later.
fn a_reset_does_not_tell_what_a_result_has_left(kind: Kind) {
    let (here, there) = (Database::new(kind), Database::new(kind));
    let proxy = narrow(&here);
    let [direct, proxied] = [here.server_port, proxy.port].map(|port| {
        let login = here.login(port).without(capability::DEPRECATE_EOF);
        let mut client = Wire::connect(&login).unwrap();
        client.succeed("begin");
        let id = client.prepare("select 'x'").id;
        client.succeed(&format!("use {}", there.name));
        client.execute(id, &[]).unwrap();
        // COM_RESET_CONNECTION
        [&[0x1f][..], b"\x03do 1", b"\x03set time_zone = '+01:00'"].map(|command| {
            let Reply::Ok(success) = client.simple(command).unwrap() else {
                panic!("no OK");
            };
            let schemas = success.changes.into_iter().filter(|(kind, _)| *kind == 1);
            schemas.collect::<Vec<_>>()
        })
    });
    assert_eq!(direct, proxied);
}

/// An EOF has no place for it, and MariaDB tells it with the next `SET` of a variable.
fn a_schema_that_a_result_has_left_is_told_with_the_next_variable(kind: Kind) {
    let (here, there) = (Database::new(kind), Database::new(kind));
    here.admin()
        .succeed("create procedure p() begin set time_zone = '+07:00'; select 1; end");
    here.admin()
        .succeed("create procedure o(out x int) set x = 42");
    let proxy = narrow(&here);
    let name = &here.name;
    let mut told = Vec::new();
    for port in [here.server_port, proxy.port] {
        let login = here.login(port).without(capability::DEPRECATE_EOF);
        let mut client = Wire::connect(&login).unwrap();
        let id = client.prepare("select 'x'").id;
        let out = client.prepare("call o(?)").id;
        client.succeed(&format!("use {}", there.name));
        // The result of OUT parameters stands before the OK of the same reply. MySQL does not tell so in an EOF.
        if kind == Kind::MariaDb {
            let replies = client.execute(out, &[None]).unwrap();
            let Some(Reply::Ok(success)) = replies.into_iter().last() else {
                panic!("no OK");
            };
            let schemas = success.changes.into_iter().filter(|(kind, _)| *kind == 1);
            told.push(("call o(?)".to_owned(), schemas.collect::<Vec<_>>()));
        }
        for text in [
            "set sql_safe_updates = 0",
            "set @a = 7",
            "do 1",
            "set net_write_timeout = 77",
            "set collation_connection = default",
            "set time_zone = '+01:00'",
            // The result in between has no place for it either.
            &format!("call {name}.p()"),
        ] {
            client.execute(id, &[]).unwrap();
            for text in [text, "do 1", "set sql_big_selects = default"] {
                let replies = client.query(text).unwrap();
                let Some(Reply::Ok(success)) = replies.into_iter().last() else {
                    panic!("no OK");
                };
                let schemas = success.changes.into_iter().filter(|(kind, _)| *kind == 1);
                told.push((text.to_owned(), schemas.collect::<Vec<_>>()));
            }
        }
    }
    let (direct, proxied) = told.split_at(told.len() / 2);
    for (direct, proxied) in direct.iter().zip(proxied) {
        assert_eq!(direct, proxied);
    }
}
