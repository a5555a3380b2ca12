//! What applications say when they connect and with each request: none of it pins, so that many
//! clients share few server connections. Real drivers where they are at hand; otherwise the
//! messages that the driver is known to send.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{
    place,
    postgres::Database,
    program::{client_of, python, run},
    sluice::{Settings, Sluice},
    wire::{
        Login, Wire,
        backend::{Message, column, error},
        frontend::{
            bind, close_statement, describe_statement, execute, flush, parse, run_named, sync,
        },
    },
};

/// Clients at once, as in `tests/drivers/checks.py`.
const CLIENTS: u32 = 24;
/// Server connections.
const POOL: u32 = 3;

/// Server connections are lent in turn, so that what does not follow its client is noticed.
fn setting() -> (Database, Sluice) {
    let database = Database::new();
    let settings = Settings::for_server(database.server_port)
        .group("default_pool_size", i64::from(POOL))
        .group("min_pool_size", i64::from(POOL))
        .group("server_round_robin", true);
    let proxy = Sluice::start(&settings);
    (database, proxy)
}

/// All clients are there, no server connection was ever pinned, and few were enough.
fn assert_multiplexed(what: &str, proxy: &Sluice) {
    let clients = proxy.metric("sluice_client_connections", "");
    let servers = proxy.metric("sluice_database_connections", "");
    let pins = proxy.metric("sluice_pins_total", "");
    let borrows = proxy.metric("sluice_database_connection_borrows_total", "");
    println!(
        "{what}: {clients} clients on {servers} server connections ({:.1} each), {borrows} borrows, {pins} pins",
        clients / servers
    );
    let log = proxy.log();
    let pinned: Vec<_> = log.lines().filter(|line| line.contains("pinned")).collect();
    assert!(pins == 0.0, "{what} pins: {}", pinned.join("\n"));
    assert!(clients >= f64::from(CLIENTS), "{clients} clients");
    assert!((1.0..=f64::from(POOL)).contains(&servers), "{servers}");
}

// --- Real drivers -------------------------------------------------------------------------------

/// Starts a program, waits until it has made its requests, looks at the proxy, and lets it end.
fn drive(what: &str, mut command: Command, proxy: &Sluice) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    if line.trim() == "done" {
        assert_multiplexed(what, proxy);
    }
    let _ = child.stdin.take().unwrap().write_all(b"go on\n");
    finish(what, child);
}

fn finish(what: &str, mut child: Child) {
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{what} failed: {said}");
}

fn python_traffic(arguments: &[&str]) {
    let (database, proxy) = setting();
    let mut command = client_of(python(), &database, proxy.port);
    command
        .arg("-u")
        .arg(place::drivers().join("orm_traffic.py"))
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    drive(&arguments.join(" "), command, &proxy);
}

#[test]
fn sqlalchemy_with_psycopg_does_not_pin() {
    python_traffic(&["sqlalchemy_psycopg"]);
}

#[test]
fn sqlalchemy_with_asyncpg_does_not_pin() {
    python_traffic(&["sqlalchemy_asyncpg"]);
}

#[test]
fn asyncpg_does_not_pin() {
    python_traffic(&["asyncpg_pool"]);
}

#[test]
fn django_does_not_pin() {
    python_traffic(&["django"]);
}

#[test]
fn django_with_server_side_binding_does_not_pin() {
    python_traffic(&["django", "server_side"]);
}

#[test]
fn node_postgres_with_options_does_not_pin() {
    let (database, proxy) = setting();
    tenants(&database);
    let mut command = client_of("node", &database, proxy.port);
    command
        .arg(place::drivers().join("orm_traffic.js"))
        .env("NODE_PATH", place::test_env().join("node/node_modules"));
    drive("node-postgres with options", command, &proxy);
}

#[test]
fn pg_dump_does_not_pin() {
    let (database, proxy) = setting();
    tenants(&database);
    let mut wire = proxy.connect(&database);
    wire.succeed("create function twice(a int) returns int language sql as 'select a * 2'");
    let mut dump = client_of(place::postgres_program("pg_dump"), &database, proxy.port);
    dump.arg("--schema-only");
    let finished = run(dump, Duration::from_secs(60));
    assert!(finished.success, "{}", finished.stderr);
    assert!(finished.stdout.contains("CREATE FUNCTION"));
    let pins = proxy.metric("sluice_pins_total", "");
    assert!(pins == 0.0, "{}", proxy.log());
    assert_eq!(wire.value("show search_path"), "\"$user\", public");
}

// --- Messages that drivers are known to send ----------------------------------------------------

/// Four schemas, each with a table that says which one it is in.
fn tenants(database: &Database) {
    let mut wire = Wire::connect(&database.login(database.server_port)).unwrap();
    for n in 0..4 {
        wire.succeed(&format!(
            "create schema tenant_{n}; create table tenant_{n}.tenant (name text, born timestamptz);
             insert into tenant_{n}.tenant values ('tenant {n}', '2024-02-03 04:05:06+00')"
        ));
    }
}

/// So many clients at once, of tenants in turn, each of which says what `connect` does and then,
/// in turn with the others, what `request` does.
fn traffic(
    what: &str,
    login: impl Fn(Login, u32) -> Login,
    connect: impl Fn(&mut Wire, u32),
    request: impl Fn(&mut Wire, u32, u32),
) {
    let (database, proxy) = setting();
    tenants(&database);
    let mut clients: Vec<Wire> = (0..CLIENTS)
        .map(|client| {
            let login = login(proxy.login(&database), client);
            let mut wire = Wire::connect(&login).unwrap();
            connect(&mut wire, client % 4);
            wire
        })
        .collect();
    for turn in 0..6 {
        for (client, wire) in (0..).zip(&mut clients) {
            request(wire, client % 4, turn);
        }
    }
    assert_multiplexed(what, &proxy);
}

/// Sends; nothing may fail.
fn ask(wire: &mut Wire, parts: &[Vec<u8>]) -> Vec<Message> {
    let reply = wire.ask(&parts.concat());
    assert_eq!(error(&reply), None);
    reply
}

/// Prisma: the search path and names on connect; each query prepared by name, described, kept.
#[test]
fn prisma_does_not_pin() {
    traffic(
        "Prisma",
        |login, _| login,
        |wire, tenant| {
            wire.succeed(&format!("SET search_path = \"tenant_{tenant}\";"));
            wire.succeed("SET NAMES 'UTF8';");
        },
        |wire, tenant, turn| {
            let sql = "SELECT name FROM tenant WHERE 1=1 LIMIT $1 OFFSET $2";
            if turn == 0 {
                ask(wire, &[parse("s0", sql), describe_statement("s0"), sync()]);
            }
            wire.succeed("BEGIN");
            let reply = ask(wire, &[run_named("s0", &["1", "0"]), sync()]);
            assert_eq!(column(&reply), [format!("tenant {tenant}")]);
            wire.succeed("COMMIT");
        },
    );
}

/// JDBC as Hibernate uses it: isolation and read-only by session characteristics, statements
/// named after some uses, portals read by rows.
#[test]
fn hibernate_over_jdbc_does_not_pin() {
    traffic(
        "Hibernate over JDBC",
        |login, _| {
            login
                .parameter("client_encoding", "UTF8")
                .parameter("DateStyle", "ISO")
                .parameter("TimeZone", "Europe/Rome")
                .parameter("extra_float_digits", "2")
        },
        |wire, tenant| {
            wire.succeed("SET extra_float_digits = 3");
            wire.succeed("SET application_name = 'PostgreSQL JDBC Driver'");
            wire.succeed(
                "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            );
            wire.succeed(&format!("SET SESSION search_path TO 'tenant_{tenant}'"));
        },
        |wire, tenant, turn| {
            if turn % 2 == 1 {
                let read_only = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";
                ask(
                    wire,
                    &[
                        parse("", read_only),
                        bind("", "", &[]),
                        execute("", 1),
                        sync(),
                    ],
                );
            }
            let begin = [parse("", "BEGIN"), bind("", "", &[]), execute("", 0)].concat();
            let sql = "select name, current_setting('transaction_isolation') from tenant, generate_series(1, 5)";
            if turn == 0 {
                ask(
                    wire,
                    &[
                        begin.clone(),
                        parse("S_1", sql),
                        describe_statement("S_1"),
                        sync(),
                    ],
                );
            } else {
                ask(wire, &[begin.clone(), sync()]);
            }
            let first = ask(wire, &[bind("C_2", "S_1", &[]), execute("C_2", 3), sync()]);
            let rest = ask(wire, &[execute("C_2", 3), sync()]);
            assert_eq!((column(&first).len(), column(&rest).len()), (3, 2));
            assert_eq!(column(&rest)[0], format!("tenant {tenant}"));
            ask(
                wire,
                &[
                    parse("S_9", "COMMIT"),
                    bind("", "S_9", &[]),
                    execute("", 1),
                    close_statement("S_9"),
                    sync(),
                ],
            );
            assert_eq!(wire.value("show transaction_isolation"), "repeatable read");
            wire.succeed("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE");
        },
    );
}

/// Rails: a row of settings on connect, statements a1 and so on, savepoints.
#[test]
fn rails_does_not_pin() {
    traffic(
        "Rails",
        |login, client| login.parameter("application_name", &format!("puma {client}")),
        |wire, tenant| {
            for sql in [
                "SET client_min_messages TO 'warning'",
                "SET standard_conforming_strings = on",
                "SET SESSION intervalstyle TO 'iso_8601'",
                "SET SESSION timezone TO 'UTC'",
                "SET SESSION statement_timeout TO '15s'",
                &format!("SET search_path TO tenant_{tenant}, public"),
                "SELECT t.oid, t.typname FROM pg_type as t WHERE t.typname IN ('int2', 'text')",
                "SHOW max_identifier_length",
            ] {
                wire.succeed(sql);
            }
        },
        |wire, tenant, turn| {
            wire.succeed("BEGIN");
            wire.succeed("SAVEPOINT active_record_1");
            let sql = "SELECT name, born FROM tenant LIMIT $1";
            if turn == 0 {
                ask(wire, &[parse("a1", sql), sync()]);
                ask(wire, &[describe_statement("a1"), sync()]);
            }
            let reply = ask(wire, &[run_named("a1", &["1"]), sync()]);
            assert_eq!(column(&reply), [format!("tenant {tenant}")]);
            wire.succeed("RELEASE SAVEPOINT active_record_1");
            wire.succeed("COMMIT");
            assert_eq!(wire.value("SHOW intervalstyle"), "iso_8601");
            if turn == 5 {
                wire.succeed("DEALLOCATE a1");
                wire.succeed("DISCARD ALL");
            }
        },
    );
}

/// Npgsql and others: everything of a request in one write, flushed in between, and a reset when
/// the connection goes back to the application's own pool.
#[test]
fn resets_of_application_pools_do_not_pin() {
    traffic(
        "pools that reset",
        |login, _| login,
        |_, _| {},
        |wire, tenant, _| {
            wire.succeed(&format!("SET search_path = tenant_{tenant}"));
            wire.send(
                &[
                    parse("p", "select name from tenant"),
                    describe_statement("p"),
                    flush(),
                ]
                .concat(),
            )
            .unwrap();
            wire.read_until(b'T');
            let reply = ask(wire, &[run_named("p", &[]), sync()]);
            assert_eq!(column(&reply), [format!("tenant {tenant}")]);
            for reset in [
                "DISCARD ALL",
                "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL",
                "DEALLOCATE ALL",
                "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; DISCARD SEQUENCES; DISCARD TEMP",
            ] {
                wire.succeed(reset);
            }
            assert_eq!(wire.value("show search_path"), "\"$user\", public");
        },
    );
}
