//! Running other people's programs with a deadline, and showing what they said when they fail.

use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{certs::Certs, place, postgres::Database, wait};

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the command to its end; kills it and panics after `limit`.
pub fn run(command: Command, limit: Duration) -> Finished {
    run_reading(command, Stdio::null(), limit)
}

/// As [`run`], with something on its standard input.
pub fn run_reading(mut command: Command, input: Stdio, limit: Duration) -> Finished {
    let dir = tempfile::tempdir().unwrap();
    let (stdout, stderr) = (dir.path().join("stdout"), dir.path().join("stderr"));
    let mut child = command
        .stdin(input)
        .stdout(File::create(&stdout).unwrap())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let began = Instant::now();
    let status = wait::until_within(
        limit + Duration::from_secs(5),
        "a killed program's end",
        || {
            if began.elapsed() > limit {
                let _ = child.kill();
            }
            child.try_wait().unwrap()
        },
    );
    let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let finished = Finished {
        success: status.success(),
        stdout: read(&stdout),
        stderr: read(&stderr),
    };
    assert!(
        began.elapsed() <= limit,
        "{command:?} took over {limit:?}\n{}\n{}",
        finished.stdout,
        finished.stderr
    );
    finished
}

/// Runs a command that has to succeed; its standard output.
pub fn succeed(command: Command, limit: Duration) -> String {
    let shown = format!("{command:?}");
    let finished = run(command, limit);
    assert!(
        finished.success,
        "{shown} failed\n{}\n{}",
        finished.stdout, finished.stderr
    );
    finished.stdout
}

/// A command whose libpq (or imitation of it) finds `database` at `port`, over verified TLS.
pub fn client_of(program: impl AsRef<std::ffi::OsStr>, database: &Database, port: u16) -> Command {
    let mut command = Command::new(program);
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG"))
    {
        command.env_remove(name);
    }
    command
        .env("PGHOST", "localhost")
        .env("PGHOSTADDR", "127.0.0.1")
        .env("PGPORT", port.to_string())
        .env("PGDATABASE", &database.name)
        .env("PGUSER", database.user)
        .env("PGPASSWORD", database.password)
        .env("PGSSLMODE", "verify-full")
        .env("PGSSLROOTCERT", Certs::shared().ca())
        .env("PGCONNECT_TIMEOUT", "20");
    command
}

/// Python of the drivers' virtual environment.
pub fn python() -> std::path::PathBuf {
    place::test_env().join("venv/bin/python")
}
