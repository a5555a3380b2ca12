//! The classic Lambda functions, and the command line clients, with tokens of other people's
//! generators.

use std::{path::Path, process::Command, time::Duration};

use crate::support::{
    certs::Certs,
    iam::{Checker, ENDPOINT, REGION, SECRET, USER, delegate, signature},
    mysql::{self, Kind},
    place,
    postgres::{APP, Database},
    program::{python, succeed},
    sluice::{Settings, Sluice, is_direct},
};

const LIMIT: Duration = Duration::from_secs(120);

/// A program that finds its credentials where Lambda puts them.
fn program(program: impl AsRef<Path>, proxy: &Sluice, port: u16) -> Command {
    let mut command = Command::new(program.as_ref());
    let keep = ["PATH", "HOME", "LD_LIBRARY_PATH"];
    command.env_clear();
    command.envs(
        keep.iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?))),
    );
    command
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_REGION", REGION)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("DB_ENDPOINT", ENDPOINT)
        .env("DB_ENDPOINT_PORT", port.to_string())
        .env("DB_HOST", "localhost")
        .env("DB_PORT", proxy.port.to_string())
        .env("DB_CA", Certs::shared().ca())
        .env("NODE_PATH", place::test_env().join("node/node_modules"));
    command
}

fn temporary(command: &mut Command) {
    command
        .env("AWS_ACCESS_KEY_ID", "ASIDEXAMPLE")
        .env("AWS_SESSION_TOKEN", crate::support::iam::session());
}

fn lambda(name: &str, proxy: &Sluice, port: u16, (user, database): (&str, &str)) {
    for is_temporary in [false, true] {
        let interpreter = if name.ends_with(".py") {
            python()
        } else {
            "node".into()
        };
        let mut command = program(interpreter, proxy, port);
        command
            .arg(place::drivers().join(name))
            .env("DB_USER", user)
            .env("DB_NAME", database);
        if is_temporary {
            temporary(&mut command);
        }
        assert_eq!(succeed(command, LIMIT), "done\n");
    }
}

#[test]
fn the_lambda_function_of_boto3_and_psycopg2_works_with_keys_that_are_known() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = Sluice::start(&signature(Settings::for_server(database.server_port), 5432));
    lambda("lambda_psycopg2.py", &proxy, 5432, (APP.0, &database.name));
}

#[test]
fn the_lambda_function_of_boto3_and_psycopg2_works_where_the_server_decides() {
    if is_direct() {
        return;
    }
    let checker = Checker::start(5432);
    let server = checker.postgres();
    let proxy = Sluice::start(&delegate(Settings::for_server(server.port), 5432));
    lambda("lambda_psycopg2.py", &proxy, 5432, (USER, "postgres"));
    assert!(checker.log().iter().all(|line| line == "iam_app accepted"));
}

#[test]
fn the_lambda_function_of_the_rds_signer_and_mysql2_works_with_keys_that_are_known() {
    if is_direct() {
        return;
    }
    for kind in [Kind::MySql, Kind::MariaDb] {
        let database = mysql::Database::new(kind);
        let proxy = Sluice::start(&signature(Settings::for_mysql(database.server_port), 3306));
        lambda("lambda_mysql2.js", &proxy, 3306, ("app", &database.name));
    }
}

#[test]
fn the_lambda_function_of_the_rds_signer_and_mysql2_works_where_the_server_decides() {
    if is_direct() {
        return;
    }
    let checker = Checker::start(3306);
    let (server, _service) = checker.mariadb();
    let proxy = Sluice::start(&delegate(Settings::for_mysql(server.port), 3306));
    // What pam_exec hands on is no longer than a token of a static key.
    let mut command = program("node", &proxy, 3306);
    command
        .arg(place::drivers().join("lambda_mysql2.js"))
        .env("DB_USER", USER)
        .env("DB_NAME", "");
    assert_eq!(succeed(command, LIMIT), "done\n");
    assert_eq!(
        checker.log(),
        ["iam_app accepted"; 3][..checker.log().len()]
    );
}

/// A token as the AWS command line prints it.
fn token_of_botocore(proxy: &Sluice, port: u16, user: &str) -> String {
    let mut command = program(python(), proxy, port);
    let code = "import boto3, sys; print(boto3.client('rds', region_name=sys.argv[1]).generate_db_auth_token(sys.argv[2], int(sys.argv[3]), sys.argv[4]))";
    command.args(["-c", code, REGION, ENDPOINT, &port.to_string(), user]);
    succeed(command, LIMIT).trim().to_owned()
}

#[test]
fn the_command_line_clients_log_in_with_a_token_in_place_of_a_password() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let proxy = Sluice::start(&signature(Settings::for_server(database.server_port), 5432));
    let mut psql = Command::new("psql");
    psql.args(["-XAtc", "select session_user"])
        .arg(format!(
            "host=localhost port={} user=app dbname={} sslmode=verify-full sslrootcert={}",
            proxy.port,
            database.name,
            Certs::shared().ca().display()
        ))
        .env("PGPASSWORD", token_of_botocore(&proxy, 5432, "app"));
    assert_eq!(succeed(psql, LIMIT), "app\n");

    let database = mysql::Database::new(Kind::MySql);
    let proxy = Sluice::start(&signature(Settings::for_mysql(database.server_port), 3306));
    let token = token_of_botocore(&proxy, 3306, "app");
    for (client, more) in [
        (
            "mysql",
            ["--enable-cleartext-plugin", "--ssl-mode=VERIFY_IDENTITY"],
        ),
        ("mariadb", ["--ssl-verify-server-cert", "--protocol=tcp"]),
    ] {
        let mut client = Command::new(mysql::program(client));
        client
            .arg("--no-defaults")
            .args(more)
            .args(["-h", "localhost", "--protocol=tcp", "-u", "app", "-BNe"])
            .arg("select substring_index(user(), '@', 1)")
            .arg(format!("-P{}", proxy.port))
            .arg(format!("--ssl-ca={}", Certs::shared().ca().display()))
            .arg(format!("-p{token}"));
        assert_eq!(succeed(client, LIMIT), "app\n");
    }
}
