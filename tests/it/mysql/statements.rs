//! Prepared statements while the server connection changes, and what is said of a connection at its login.

use crate::support::{
    mysql::{
        Database, Kind, MySql,
        login::Login,
        message::{Reply, capability},
        wire::{Wire, put_string},
    },
    sluice::{Settings, Sluice, is_direct},
};

on_both!(
    a_statement_keeps_the_schema_and_the_mode_that_it_was_prepared_in,
    a_statement_whose_schema_is_gone_says_so,
    a_statement_prepared_without_a_schema_stays_without,
    a_schema_that_a_statement_has_left_is_told_behind_its_failure,
    a_statement_that_cannot_have_a_cursor_leaves_no_schema,
    a_client_that_asks_to_be_released_is,
    modes_of_the_next_transaction_are_left_to_nobody,
    savepoints_may_come_before_their_transaction,
    server_connections_have_attributes_of_their_own,
    statements_that_nobody_has_prepared_are_told_as_a_server_tells_them,
    cursors_that_are_not_there_are_told_without_preparing,
    what_was_counted_outlives_a_preparation,
    parts_of_parameters_that_cannot_be_taken_have_no_reply,
    a_reset_forgets_the_last_insert_id,
);

/// As many server connections as clients, lent in turn: each statement of a client runs on another one.
fn in_turn(database: &Database) -> Sluice {
    let proxy = Sluice::start(
        &Settings::for_mysql(database.server_port)
            .group("server_round_robin", true)
            .group("default_pool_size", 2),
    );
    let mut clients = [proxy.connect(database), proxy.connect(database)];
    for text in ["begin", "rollback"] {
        clients.iter_mut().for_each(|client| {
            client.succeed(text);
        });
    }
    proxy
}

fn rows(replies: &[Reply]) -> Vec<Vec<u8>> {
    let [Reply::Rows { rows, .. }] = replies else {
        panic!("{replies:?}");
    };
    rows.clone()
}

/// A row of one text, as statements return it.
fn row(text: &str) -> Vec<Vec<u8>> {
    let mut row = vec![0, 0];
    put_string(&mut row, text.as_bytes());
    vec![row]
}

fn a_statement_keeps_the_schema_and_the_mode_that_it_was_prepared_in(kind: Kind) {
    let (here, there) = (Database::new(kind), Database::new(kind));
    for (database, word) in [(&here, "here"), (&there, "there")] {
        let mut admin = database.admin();
        admin.succeed("create table t (word varchar(10))");
        admin.succeed(&format!("insert into t values ('{word}')"));
    }
    let proxy = in_turn(&here);
    let mut client = proxy.connect(&here);
    let word = client.prepare("select word from t");
    let quoted = client.prepare("select \"word\" from t");
    client.succeed(&format!("use {}", there.name));
    client.succeed("set sql_mode = 'ANSI_QUOTES', autocommit = 0");
    for _ in 0..4 {
        assert_eq!(rows(&client.execute(word.id, &[]).unwrap()), row("here"));
        assert_eq!(rows(&client.execute(quoted.id, &[]).unwrap()), row("word"));
        // What the session itself is in has not changed by it.
        assert_eq!(client.value("select \"word\" from t"), "there");
        client.succeed("commit");
        client.succeed("insert into t values ('lost')");
        assert_eq!(rows(&client.execute(word.id, &[]).unwrap()), row("here"));
        client.succeed("rollback");
        assert_eq!(client.value("select count(*) from t"), "1");
        client.succeed("commit");
    }
    assert_eq!(proxy.metric("sluice_pins_total", ""), 0.0);
}

fn a_statement_whose_schema_is_gone_says_so(kind: Kind) {
    let (here, there) = (Database::new(kind), Database::new(kind));
    there.admin().succeed("create table t (word varchar(10))");
    let proxy = in_turn(&here);
    let mut client = proxy.connect(&here);
    client.succeed(&format!("use {}", there.name));
    let word = client.prepare("select word from t");
    client.succeed(&format!("use {}", here.name));
    let name = &there.name;
    let mut admin = here.admin();
    admin.succeed(&format!("drop database {name}"));
    for _ in 0..4 {
        let replies = client.execute(word.id, &[]).unwrap();
        // ER_BAD_DB_ERROR, or ER_NO_SUCH_TABLE where it was prepared.
        let code = replies[0].failure().map(|failure| failure.code);
        assert!(matches!(code, Some(1049 | 1146)), "{replies:?}");
        assert_eq!(client.value("select database()"), here.name);
    }
}

/// Servers go to the schema of a statement, come back, and tell with the next OK what an error has no place for.
fn a_schema_that_a_statement_has_left_is_told_behind_its_failure(kind: Kind) {
    let (here, there) = (Database::new(kind), Database::new(kind));
    let mut admin = here.admin();
    admin.succeed("create table t (i int primary key)");
    admin.succeed("insert into t values (1)");
    admin.succeed("create table gone (i int)");
    let proxy = in_turn(&here);
    let mut other = proxy.connect(&here);
    let mut clients =
        [here.server_port, proxy.port].map(|port| Wire::connect(&here.login(port)).unwrap());
    // One fails while it runs, one where it is to be prepared.
    let fails = clients.each_mut().map(|client| {
        ["insert into t values (1)", "select i from gone"].map(|text| client.prepare(text).id)
    });
    admin.succeed("drop table gone");
    let mut told = Vec::new();
    for (client, ids) in clients.iter_mut().zip(fails) {
        client.succeed(&format!("use {}", there.name));
        let mut heard = Vec::new();
        for id in ids.into_iter().chain(ids) {
            other.succeed("select 1");
            let replies = client.execute(id, &[]).unwrap();
            let code = replies[0].failure().map(|failure| failure.code);
            // A change of which the client is not told is one to Sluice.
            for text in ["do 1", "set @a = 7", "set time_zone = '+01:00'", "do 1"] {
                let Reply::Ok(success) = client.ask(text) else {
                    panic!("no OK");
                };
                let schemas = success.changes.into_iter().filter(|(kind, _)| *kind == 1);
                heard.push((code, schemas.collect::<Vec<_>>()));
            }
        }
        told.push(heard);
    }
    assert_eq!(told[0], told[1]);
}

/// MariaDB refuses a cursor for `SELECT … INTO` before it goes to the statement's schema; MySQL runs it without one.
fn a_statement_that_cannot_have_a_cursor_leaves_no_schema(kind: Kind) {
    let (here, there) = (Database::new(kind), Database::new(kind));
    let proxy = in_turn(&here);
    let [direct, proxied] = [here.server_port, proxy.port].map(|port| {
        let mut client = Wire::connect(&here.login(port)).unwrap();
        let id = client.prepare("select 1 into @b").id;
        client.succeed(&format!("use {}", there.name));
        // CURSOR_TYPE_READ_ONLY
        let execute = [&[0x17][..], &id.to_le_bytes(), &[1, 1, 0, 0, 0]].concat();
        let replies = [execute, b"\x03set autocommit = 0".to_vec()];
        replies.map(|command| match client.simple(&command).unwrap() {
            Reply::Ok(success) => {
                let schemas = success.changes.into_iter().filter(|(kind, _)| *kind == 1);
                (0, schemas.collect::<Vec<_>>())
            }
            reply => (reply.failure().expect("no rows").code, Vec::new()),
        })
    });
    assert_eq!(direct, proxied);
}

/// What asks for the schema in ways of which a text shows.
const ASK: [&str; 4] = [
    "select database()",
    "select ifnull(schema (), null)",
    "select /*! database( */ )",
    "select count(*) + database() from information_schema.engines where engine = schema()",
];

fn a_statement_prepared_without_a_schema_stays_without(kind: Kind) {
    let database = Database::new(kind);
    let proxy = in_turn(&database);
    let login = |port| Login {
        database: String::new(),
        ..database.login(port)
    };
    let null = vec![vec![0, 4]];
    for text in ASK {
        for port in [database.server_port, proxy.port] {
            let mut client = Wire::connect(&login(port)).unwrap();
            let mut other = Wire::connect(&login(port)).unwrap();
            let asks = client.prepare(text);
            let name = &database.name;
            client.simple(&[&[2], name.as_bytes()].concat()).unwrap();
            for _ in 0..3 {
                other.succeed("select 1");
                assert_eq!(rows(&client.execute(asks.id, &[]).unwrap()), null, "{text}");
                assert_eq!(client.value("select database()"), *name);
            }
            // What is prepared now is of now.
            let now = client.prepare("select database()");
            assert_eq!(rows(&client.execute(now.id, &[]).unwrap()), row(name));
            client
                .command(&[&[0x19], &asks.id.to_le_bytes()[..]].concat())
                .unwrap();
            assert_eq!(client.value("select 1"), "1");
        }
    }
    if !is_direct() {
        let pins =
            |reason: &str| proxy.metric("sluice_pins_total", &format!("reason=\"{reason}\""));
        assert_eq!(pins("sql_prepare"), ASK.len() as f64);
        assert_eq!(
            proxy.metric("sluice_database_connections_session_pinned", ""),
            0.0
        );
    }
}

fn a_client_that_asks_to_be_released_is(kind: Kind) {
    let database = Database::new(kind);
    let proxy = Sluice::with_pool(&database, 1);
    let mut admin = database.admin();
    admin.succeed("create procedure p() begin select 1; select 2; end");
    for texts in [
        &["begin", "commit release"][..],
        &["set completion_type = 'RELEASE'", "begin", "rollback"],
        // Which reply is whose, a CALL does not tell.
        &["call p(); commit release"],
    ] {
        let mut client = proxy.connect(&database);
        for text in texts {
            client.succeed(text);
        }
        assert!(client.read_to_close().is_empty(), "{texts:?}");
        assert_eq!(proxy.connect(&database).value("select 1"), "1");
    }
    // Sluice itself would answer this, and cannot have seen yet that the server has gone.
    let mut client = proxy.connect(&database);
    client.command(b"\x03commit release").unwrap();
    client.command(b"\x03select connection_id()").unwrap();
    client.read_replies().unwrap();
    assert!(client.read_to_close().is_empty());
}

fn modes_of_the_next_transaction_are_left_to_nobody(kind: Kind) {
    let database = Database::new(kind);
    database.admin().succeed("create table t (i int)");
    let proxy = Sluice::with_pool(&database, 1);
    // None of these begins a transaction, and so the modes stay for one.
    for between in ["set @a = 1", "select 1", "do 1", "set time_zone = '+01:00'"] {
        let mut client = proxy.connect(&database);
        client.succeed("set transaction read only");
        client.succeed(between);
        client.succeed("begin");
        assert_eq!(
            client.fail("insert into t values (1)").code,
            1792,
            "{between}"
        );
        client.succeed("rollback");
        let mut other = proxy.connect(&database);
        other.succeed("begin");
        other.succeed("insert into t values (1)");
        other.succeed("rollback");
        let mut gone = proxy.connect(&database);
        gone.succeed("set transaction read only");
        gone.succeed(between);
        drop(gone);
        other.succeed("begin");
        other.succeed("insert into t values (1)");
        other.succeed("rollback");
    }
}

fn savepoints_may_come_before_their_transaction(kind: Kind) {
    let database = Database::new(kind);
    database.admin().succeed("create table t (i int)");
    let proxy = Sluice::start(
        &Settings::for_mysql(database.server_port)
            .general("worker_threads", 1)
            .group("default_pool_size", 2),
    );
    let [mut client, mut other] = [proxy.connect(&database), proxy.connect(&database)];
    // What begins the transaction may never come.
    for insert in ["insert into t values (1)", "do 1"] {
        for end in ["rollback", "commit", "set autocommit = 1"] {
            client.succeed("set autocommit = 0");
            client.succeed("savepoint s");
            for text in ["begin", "rollback", "begin", "rollback"] {
                other.succeed(text);
            }
            client.succeed(insert);
            client.succeed("rollback to savepoint s");
            client.succeed(end);
            assert_eq!(client.value("select count(*) from t"), "0", "{end}");
            client.succeed("rollback");
            // ER_SP_DOES_NOT_EXIST
            assert_eq!(client.fail("rollback to savepoint s").code, 1305, "{end}");
        }
    }
    client.succeed("set autocommit = 1");
    let status = proxy.status();
    assert!(
        !status.to_string().contains("next_transaction"),
        "{status:#}"
    );
}

/// What the server has been told of the connection that the client is on.
const TOLD: &str =
    "select concat(attr_name, '=', attr_value) from performance_schema.session_connect_attrs
    where processlist_id = connection_id() + 0 order by attr_name";

fn server_connections_have_attributes_of_their_own(kind: Kind) {
    if is_direct() {
        return;
    }
    let server = MySql::private(kind, &[("performance_schema", "ON")]);
    let database = server.database();
    let table = "performance_schema.session_connect_attrs";
    let user = database.user;
    server
        .admin()
        .succeed(&format!("grant select on {table} to {user}@'%'"));
    let proxy = Sluice::with_pool(&database, 1);
    for application in ["first", "second"] {
        let mut login = proxy.login(&database);
        login.attributes = vec![
            ("program_name".into(), application.into()),
            ("_client_name".into(), "a driver".into()),
        ];
        let mut client = Wire::connect(&login).unwrap();
        let told = client.column(TOLD);
        for own in ["program_name=sluice", "_client_name=sluice"] {
            assert!(told.iter().any(|told| told == own), "{told:?}");
        }
        assert!(
            !told.iter().any(|told| told.contains(application)),
            "{told:?}"
        );
        // Where it can be true, it is told.
        let logged = format!("application=\"{application}\"");
        assert!(proxy.log().contains(&logged), "{}", proxy.log());
    }
}

/// Every command about a statement, with a number that is none, here and at a server.
fn statements_that_nobody_has_prepared_are_told_as_a_server_tells_them(kind: Kind) {
    let database = Database::new(kind);
    let proxy = in_turn(&database);
    let mut clients = [database.server_port, proxy.port].map(|port| {
        let login = match kind {
            Kind::MySql => database.login(port),
            Kind::MariaDb => bulk_login(port, &database),
        };
        Wire::connect(&login).unwrap()
    });
    let mut told = |command: &[u8]| -> Vec<Option<(u16, String, String)>> {
        let asked = clients.iter_mut().map(|client| {
            client.command(command).unwrap();
            // Long data and an end are not answered.
            if matches!(command[0], 0x18 | 0x19) {
                assert_eq!(client.value("select 1"), "1");
                return None;
            }
            let failed = client.read_reply().unwrap();
            let failure = failed.failure().unwrap_or_else(|| panic!("{failed:?}"));
            assert_eq!(client.value("select 1"), "1");
            let failure = failure.clone();
            Some((failure.code, failure.sqlstate, failure.message))
        });
        asked.collect()
    };
    let numbered = |command: u8, number: u32, rest: &[u8]| -> Vec<u8> {
        [&[command], &number.to_le_bytes()[..], rest].concat()
    };
    for number in [0, 77, u32::MAX - 1, u32::MAX] {
        for command in [
            numbered(0x17, number, &[0, 1, 0, 0, 0]),
            numbered(0x1a, number, &[]),
            numbered(0x1c, number, &[1, 0, 0, 0]),
            numbered(0x18, number, &[0, 0, b'x']),
            numbered(0x19, number, &[]),
            bulk(number, &[(1, None)], true),
        ] {
            if kind == Kind::MySql && command[0] == 0xfa {
                continue;
            }
            let [direct, proxied] = told(&command).try_into().unwrap();
            assert_eq!(direct, proxied, "{number}: {}", command.escape_ascii());
            if let Some((code, ..)) = proxied {
                assert_eq!(code, 1243, "{number}: {}", command.escape_ascii());
            }
        }
    }
}

/// In a session that may not write, where MariaDB refuses even to prepare what does.
fn cursors_that_are_not_there_are_told_without_preparing(kind: Kind) {
    let database = Database::new(kind);
    database.admin().succeed("create table t (i int)");
    let proxy = in_turn(&database);
    let mut client = proxy.connect(&database);
    let insert = client.prepare("insert into t values (1)");
    client.succeed("set session transaction read only");
    for _ in 0..4 {
        let of = |command: u8| [&[command], &insert.id.to_le_bytes()[..]].concat();
        let fetched = client.simple(&[&of(0x1c)[..], &[1, 0, 0, 0]].concat());
        let failure = fetched.unwrap().failure().cloned().expect("an error");
        assert_eq!(failure.code, 1421);
        let told = failure.message.contains("has no open cursor");
        assert!(told, "{failure:?}");
        assert!(matches!(client.simple(&of(0x1a)).unwrap(), Reply::Ok(_)));
        assert_eq!(client.value("select row_count()"), "0");
    }
}

fn what_was_counted_outlives_a_preparation(kind: Kind) {
    let database = Database::new(kind);
    let proxy = in_turn(&database);
    for port in [database.server_port, proxy.port] {
        let mut client = Wire::connect(&database.login(port)).unwrap();
        client.succeed("begin");
        // A command that no server knows.
        assert!(client.simple(&[0x77]).unwrap().failure().is_some());
        client.prepare("do 1");
        assert_eq!(client.value("select row_count()"), "-1");
    }
}

/// `MARIADB_CLIENT_STMT_BULK_OPERATIONS`, in MariaDB's half.
const STMT_BULK: u32 = 1 << 2;

/// `COM_STMT_BULK_EXECUTE` with pairs of a number and a text, or NULL.
fn bulk(id: u32, pairs: &[(u32, Option<&str>)], types: bool) -> Vec<u8> {
    let mut body = vec![0xfa];
    body.extend(id.to_le_bytes());
    // SEND_TYPES_TO_SERVER
    body.extend(if types { 128_u16 } else { 0 }.to_le_bytes());
    if types {
        // MYSQL_TYPE_LONG, MYSQL_TYPE_VAR_STRING
        body.extend([0x03, 0, 0xfd, 0]);
    }
    for (number, text) in pairs {
        // Before each value whether there is one.
        body.push(0);
        body.extend(number.to_le_bytes());
        match text {
            Some(text) => {
                body.push(0);
                put_string(&mut body, text.as_bytes());
            }
            None => body.push(1),
        }
    }
    body
}

fn bulk_login(port: u16, database: &Database) -> Login {
    let mut login = database.login(port).without(capability::LONG_PASSWORD);
    login.mariadb_capabilities |= STMT_BULK;
    login
}

#[test]
fn statements_of_mariadb_are_executed_in_bulk() {
    let database = Database::new(Kind::MariaDb);
    let mut admin = database.admin();
    admin.succeed("create table t (id int primary key, word varchar(10))");
    let proxy = in_turn(&database);
    let mut client = Wire::connect(&bulk_login(proxy.port, &database)).unwrap();
    let mut other = Wire::connect(&bulk_login(proxy.port, &database)).unwrap();
    let insert = client.prepare("insert into t values (?, ?)");
    for round in 0..6 {
        let first = round * 10;
        let pairs = [
            (first, Some("a")),
            (first + 1, None),
            (first + 2, Some("c")),
        ];
        // Types are sent once; the server connection changes.
        client
            .command(&bulk(insert.id, &pairs, round == 0))
            .unwrap();
        let Reply::Ok(inserted) = client.read_reply().unwrap() else {
            panic!("no OK");
        };
        assert_eq!(inserted.affected, 3);
        other.succeed("select 1");
    }
    let counted = "select concat(count(*), ' ', count(word), ' ', max(id)) from t";
    assert_eq!(client.value(counted), "18 12 52");
    // One row that fails.
    client
        .command(&bulk(insert.id, &[(100, None), (0, None)], true))
        .unwrap();
    let failed = client.read_reply().unwrap();
    assert_eq!(failed.failure().map(|failure| failure.code), Some(1062));
    client.command(&bulk(4711, &[(1, None)], true)).unwrap();
    let failed = client.read_reply().unwrap();
    assert_eq!(failed.failure().map(|failure| failure.code), Some(1243));
    assert_eq!(client.value("select 1"), "1");
    // More than one packet.
    let long = "x".repeat(10);
    let many: Vec<_> = (1000..901_000).map(|id| (id, Some(&*long))).collect();
    admin.succeed("truncate t");
    client.command(&bulk(insert.id, &many, true)).unwrap();
    assert!(client.read_reply().unwrap().failure().is_none());
    assert_eq!(client.value("select count(*) from t"), "900000");
    if !is_direct() {
        assert_eq!(proxy.metric("sluice_pins_total", ""), 0.0);
    }
}

#[test]
fn bulk_execution_is_for_those_who_have_agreed_on_it() {
    let database = Database::new(Kind::MariaDb);
    let proxy = Sluice::with_pool(&database, 1);
    if is_direct() {
        return;
    }
    let mut client = proxy.connect(&database);
    let select = client.prepare("select ?, ?");
    client
        .command(&bulk(select.id, &[(1, None)], true))
        .unwrap();
    let failed = client.read_reply().unwrap();
    assert_eq!(failed.failure().map(|failure| failure.code), Some(1235));
    assert_eq!(client.value("select 1"), "1");
}

/// Also where no server connection is reset with the session.
fn a_reset_forgets_the_last_insert_id(kind: Kind) {
    let database = Database::new(kind);
    let text = "create table made (id int auto_increment primary key, known bigint)";
    database.admin().succeed(text);
    let proxy = Sluice::with_pool(&database, 1);
    let mut client = Wire::connect(&database.login(proxy.port)).unwrap();
    client.succeed("insert into made (known) values (0)");
    assert_eq!(client.value("select @@last_insert_id"), "1");
    // COM_RESET_CONNECTION
    client.simple(&[0x1f]).unwrap();
    client.succeed("insert into made (known) values (last_insert_id())");
    assert_eq!(client.value("select known from made where id = 2"), "0");
}

/// The execution tells of it, once.
fn parts_of_parameters_that_cannot_be_taken_have_no_reply(kind: Kind) {
    let database = Database::new(kind);
    let mut admin = database.admin();
    let proxy = Sluice::with_pool(&database, 2);
    for port in [database.server_port, proxy.port] {
        let [mut client, mut one, mut two] =
            [(); 3].map(|()| Wire::connect(&database.login(port)).unwrap());
        admin.succeed("create table gone (a int)");
        one.succeed("begin");
        let ids = [(); 2].map(|()| client.prepare("select a from gone where a > ?").id);
        // The connection that has not prepared them is left.
        two.succeed("begin");
        one.succeed("rollback");
        admin.succeed("drop table gone");
        for id in ids {
            let id = id.to_le_bytes();
            for part in [&b"7"[..], b"7"] {
                let part = [&[0x18][..], &id, &[0, 0], part].concat();
                client.command(&part).unwrap();
            }
            // MYSQL_TYPE_STRING
            let execute = [&[0x17][..], &id, &[0, 1, 0, 0, 0, 0, 1, 254, 0]].concat();
            client.command(&execute).unwrap();
            let replies = client.read_replies().unwrap();
            let failure = replies[0].failure().expect("an error");
            // ER_NO_SUCH_TABLE
            assert_eq!((replies.len(), failure.code), (1, 1146));
            assert_eq!(client.value("select 7"), "7");
        }
    }
}
