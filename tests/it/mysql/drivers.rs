//! Drivers of other languages at work through the proxy: programs in `tests/drivers`, each over
//! verified TLS and with more clients than server connections.

use std::{process::Command, time::Duration};

use crate::support::{
    mysql::{Database, Kind},
    place,
    program::{python, succeed},
    sluice::Sluice,
};

const LIMIT: Duration = Duration::from_secs(180);

/// Server connections: fewer than each program has clients at once.
const POOL: u32 = 4;

on_both!(
    pymysql_works,
    mysqlclient_works,
    mysql_connector_in_pure_python_works,
    mysql_connector_in_c_works,
    aiomysql_works,
    asyncmy_works,
    sqlalchemy_works,
    django_works,
    mysql2_works,
    mariadb_connector_works,
);

fn pymysql_works(kind: Kind) {
    run_python(kind, &["pymysql_program.py"]);
}

fn mysqlclient_works(kind: Kind) {
    run_python(kind, &["mysqlclient_program.py"]);
}

fn mysql_connector_in_pure_python_works(kind: Kind) {
    run_python(kind, &["mysql_connector_program.py", "pure"]);
}

fn mysql_connector_in_c_works(kind: Kind) {
    run_python(kind, &["mysql_connector_program.py", "c"]);
}

fn aiomysql_works(kind: Kind) {
    run_python(kind, &["mysql_async_program.py", "aiomysql"]);
}

fn asyncmy_works(kind: Kind) {
    run_python(kind, &["mysql_async_program.py", "asyncmy"]);
}

fn sqlalchemy_works(kind: Kind) {
    run_python(kind, &["sqlalchemy_mysql_program.py"]);
}

fn django_works(kind: Kind) {
    run_python(kind, &["django_program.py"]);
}

fn mysql2_works(kind: Kind) {
    run_node(kind, "mysql2_program.js");
}

fn mariadb_connector_works(kind: Kind) {
    run_node(kind, "mariadb_program.js");
}

fn run_python(kind: Kind, program: &[&str]) {
    run(kind, &|database, port| {
        python_program(database, port, program)
    });
}

fn python_program(database: &Database, port: u16, program: &[&str]) -> Command {
    let mut command = database.client(python(), port);
    command
        .arg("-u")
        .arg(place::drivers().join(program[0]))
        .args(&program[1..])
        .env_remove("PGHOST")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn run_node(kind: Kind, program: &str) {
    run(kind, &|database, port| {
        let mut command = database.client("node", port);
        command
            .arg(place::drivers().join(program))
            .env_remove("PGSSLROOTCERT")
            .env("NODE_PATH", place::test_env().join("node/node_modules"));
        command
    });
}

fn run(kind: Kind, command: &dyn Fn(&Database, u16) -> Command) {
    let database = Database::new(kind);
    let proxy = Sluice::with_pool(&database, POOL);
    succeed(command(&database, proxy.port), LIMIT);
}
