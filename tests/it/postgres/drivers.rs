//! Drivers of other languages at work through the proxy: programs in `tests/drivers`, each over
//! verified TLS and with more clients than server connections.

use std::{process::Command, time::Duration};

use crate::support::{
    place,
    postgres::Database,
    program::{client_of, python, succeed},
    sluice::Sluice,
};

const LIMIT: Duration = Duration::from_secs(180);

/// Server connections: fewer than each program has clients at once.
const POOL: u32 = 4;

#[test]
fn psycopg2_works() {
    run_python("psycopg2_program.py");
}

#[test]
fn psycopg3_works() {
    run_python("psycopg3_program.py");
}

#[test]
fn psycopg3_async_works() {
    run_python("psycopg3_async_program.py");
}

#[test]
fn asyncpg_works() {
    run_python("asyncpg_program.py");
}

#[test]
fn sqlalchemy_works() {
    run_python("sqlalchemy_program.py");
}

#[test]
fn django_works() {
    run_python("django_program.py");
}

#[test]
fn node_postgres_works() {
    run_node("node_postgres_program.js");
}

#[test]
fn postgres_js_works() {
    run_node("postgres_js_program.js");
}

fn run_python(program: &str) {
    run(&|database, port| {
        let mut command = client_of(python(), database, port);
        command
            .arg("-u")
            .arg(place::drivers().join(program))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    });
}

fn run_node(program: &str) {
    run(&|database, port| {
        let mut command = client_of("node", database, port);
        command
            .arg(place::drivers().join(program))
            .env("NODE_PATH", place::test_env().join("node/node_modules"));
        command
    });
}

fn run(command: &dyn Fn(&Database, u16) -> Command) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, POOL);
    succeed(command(&database, proxy.port), LIMIT);
}
