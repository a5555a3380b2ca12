//! PostgreSQL's own programs through the proxy: psql, pgbench, pg_dump, pg_restore.

use std::{fs, path::Path, process::Command, time::Duration};

use crate::support::{
    place,
    postgres::Database,
    program::{client_of, run, succeed},
    sluice::Sluice,
};

const LIMIT: Duration = Duration::from_secs(120);

/// Server connections: fewer than pgbench has clients.
const POOL: u32 = 4;

fn setting() -> (Database, Sluice) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, POOL);
    (database, proxy)
}

fn tool(name: &str, database: &Database, port: u16, arguments: &[&str]) -> Command {
    let mut command = client_of(place::postgres_program(name), database, port);
    command.args(arguments);
    command
}

fn psql(database: &Database, port: u16, script: &str) -> String {
    succeed(
        tool(
            "psql",
            database,
            port,
            &["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", script],
        ),
        LIMIT,
    )
}

/// Tables with data and objects of many kinds, in a shape that pg_dump has work with.
const SCHEMA: &str = "
create schema shop;
create type shop.mood as enum ('glad', 'sad');
create table shop.customer (id int generated always as identity primary key, name text not null unique, mood shop.mood);
create table shop.purchase (id bigserial primary key, customer int references shop.customer, amount numeric(12, 2),
    details jsonb, taken bytea, at timestamptz default '2026-01-01');
create index on shop.purchase (customer, at desc);
create view shop.sums as select customer, sum(amount) as amount from shop.purchase group by customer;
create function shop.twice(a int) returns int language sql immutable as 'select a * 2';
insert into shop.customer (name, mood) select 'name ' || n, 'glad' from generate_series(1, 500) n;
insert into shop.purchase (customer, amount, details, taken)
    select 1 + n % 500, n * 1.1, jsonb_build_object('n', n, 'text', repeat('é', n % 50)), decode(md5(n::text), 'hex')
    from generate_series(1, 20000) n;
create sequence shop.numbers start 77;
comment on table shop.purchase is 'what was bought';
";

fn pgbench(protocol: &[&str]) {
    let (database, proxy) = setting();
    succeed(
        tool("pgbench", &database, proxy.port, &["-i", "-q", "-s", "1"]),
        LIMIT,
    );
    let before = psql(
        &database,
        database.server_port,
        "select count(*) from pgbench_history",
    );
    assert_eq!(before, "0\n");
    // A thread for each client: pgbench prepares without looking after the thread's other clients,
    // whose open transactions may hold all the server connections.
    let arguments = [&["-c", "16", "-j", "16", "-t", "40"], protocol].concat();
    let output = succeed(tool("pgbench", &database, proxy.port, &arguments), LIMIT);
    assert!(
        output.contains("number of transactions actually processed: 640/640"),
        "{output}"
    );
    assert!(
        output.contains("number of failed transactions: 0"),
        "{output}"
    );
    // Every transaction adds one delta to an account, a teller, a branch and the history.
    let sums = "select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts),
        sum(delta) = (select sum(tbalance) from pgbench_tellers), sum(delta) = (select sum(bbalance) from pgbench_branches)
        from pgbench_history";
    assert_eq!(psql(&database, database.server_port, sums), "640|t|t|t\n");
}

#[test]
fn pgbench_runs_with_simple_queries() {
    pgbench(&["-M", "simple"]);
}

#[test]
fn pgbench_runs_with_extended_queries() {
    pgbench(&["-M", "extended"]);
}

#[test]
fn pgbench_runs_with_prepared_statements() {
    pgbench(&["-M", "prepared"]);
}

#[test]
fn pgbench_runs_with_a_connection_for_each_transaction() {
    pgbench(&["-M", "prepared", "-C"]);
}

#[test]
fn pgbench_runs_with_pipelines() {
    let (database, proxy) = setting();
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("pipeline.sql");
    let body = "\\startpipeline\nbegin;\nselect 1;\nselect pg_sleep(0);\nselect :client_id;\ncommit;\n\\endpipeline\n";
    fs::write(&script, body).unwrap();
    let script = script.to_str().unwrap();
    for protocol in ["extended", "prepared"] {
        let arguments = [
            "-n", "-c", "12", "-j", "2", "-t", "50", "-M", protocol, "-f", script,
        ];
        let output = succeed(tool("pgbench", &database, proxy.port, &arguments), LIMIT);
        assert!(
            output.contains("number of transactions actually processed: 600/600"),
            "{output}"
        );
    }
}

/// A dump without the lines in which pg_dump puts random keys.
fn dump(database: &Database, port: u16) -> String {
    let text = succeed(tool("pg_dump", database, port, &["--no-owner"]), LIMIT);
    text.lines()
        .filter(|line| !line.contains("restrict "))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_dump_through_the_proxy_equals_a_direct_one_and_leaves_nothing_behind() {
    let (database, proxy) = setting();
    psql(&database, proxy.port, SCHEMA);
    let direct = dump(&database, database.server_port);
    assert!(
        direct.contains("COPY shop.purchase") && direct.contains("COMMENT ON TABLE"),
        "{direct}"
    );
    assert_eq!(dump(&database, proxy.port), direct);
    // pg_dump empties search_path with set_config; nobody else may notice.
    for _ in 0..2 * POOL {
        assert_eq!(
            psql(&database, proxy.port, "show search_path"),
            "\"$user\", public\n"
        );
    }
}

#[test]
fn a_dump_is_restored_through_the_proxy() {
    let (from, proxy) = setting();
    psql(&from, proxy.port, SCHEMA);
    let to = Database::new();
    let dir = tempfile::tempdir().unwrap();
    for (format, jobs) in [("custom", "1"), ("directory", "3")] {
        let file = dir.path().join(format);
        let path = file.to_str().unwrap();
        let dumping = ["--no-owner", "-F", format, "-j", jobs, "-f", path];
        succeed(tool("pg_dump", &from, proxy.port, &dumping), LIMIT);
        let restoring = [
            "--no-owner",
            "--clean",
            "--if-exists",
            "--exit-on-error",
            "-j",
            jobs,
            "-d",
            &to.name,
            path,
        ];
        succeed(tool("pg_restore", &to, proxy.port, &restoring), LIMIT);
        assert_eq!(dump(&to, to.server_port), dump(&from, from.server_port));
    }
}

#[test]
fn psql_describes_copies_and_survives_errors() {
    let (database, proxy) = setting();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.csv");
    psql(&database, proxy.port, SCHEMA);
    let described = psql_script(
        &database,
        proxy.port,
        dir.path(),
        "\\d shop.purchase\n\\dt shop.*\n\\df shop.*\n\\l\n",
    );
    assert!(
        described.contains("twice") && described.contains("customer"),
        "{described}"
    );
    let copying = format!(
        "\\copy shop.customer (name, mood) to '{0}' csv\ncreate table again (name text, mood text);\n\
         \\copy again from '{0}' csv\nselect count(*) from again;\n",
        file.display()
    );
    assert!(psql_script(&database, proxy.port, dir.path(), &copying).ends_with("500\n"));
    let erring = "select 1/0;\nbegin;\nselect nothing;\nrollback;\n\\copy again from '/nowhere'\nselect 'still here';\n";
    assert!(psql_script(&database, proxy.port, dir.path(), erring).ends_with("still here\n"));
    let fetching = "\\set FETCH_COUNT 7\nselect count(*) from (select * from shop.customer) c;\nselect name from shop.customer;\n";
    assert_eq!(
        psql_script(&database, proxy.port, dir.path(), fetching)
            .lines()
            .count(),
        501
    );
    let variables = "prepare p (int) as select shop.twice($1);\nexecute p(21);\n";
    assert!(psql_script(&database, proxy.port, dir.path(), variables).starts_with("42\n"));
}

fn psql_script(database: &Database, port: u16, dir: &Path, script: &str) -> String {
    let file = dir.join("script.sql");
    fs::write(&file, script).unwrap();
    let finished = run(
        tool(
            "psql",
            database,
            port,
            &["-XAtq", "-f", file.to_str().unwrap()],
        ),
        LIMIT,
    );
    assert!(finished.success, "{}", finished.stderr);
    finished.stdout
}
