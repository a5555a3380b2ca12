//! Programs beside the proxy while a primary is lost: the load, and PgBouncer, which is told of the new primary.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{
    certs::Certs,
    mysql, place,
    postgres::{APP, Database},
    server::signal,
    wait,
};

/// A program that is stopped when it is dropped.
pub struct Running(Child, tempfile::TempDir);

impl Running {
    /// Starts it in a folder of its own.
    fn start(mut command: Command, folder: tempfile::TempDir) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap(), folder)
    }

    /// Runs it to its end, which has to be a good one.
    fn finish(command: &mut Command) {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pgbench(database: &Database, port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(place::postgres_program("pgbench"));
    command
        .args(["-h", "127.0.0.1", "-U", APP.0, "-p", &port.to_string()])
        .args(arguments)
        .arg(&database.name)
        .env("PGPASSWORD", APP.1);
    command
}

/// Makes pgbench's tables.
pub fn prepare_pgbench(database: &Database, port: u16) {
    Running::finish(&mut pgbench(database, port, &["-i", "-q", "-s", "1"]));
}

/// pgbench with its usual transactions.
pub fn run_pgbench(database: &Database, port: u16) -> Running {
    let command = pgbench(database, port, &["-n", "-c", "6", "-T", "60"]);
    Running::start(command, tempfile::tempdir().unwrap())
}

fn sysbench(database: &mysql::Database, port: u16, folder: &Path, what: &str) -> Command {
    let certs = Certs::shared();
    // Where sysbench looks for them.
    for (from, to) in [
        (certs.ca(), "cacert.pem"),
        (certs.certificate("app"), "client-cert.pem"),
        (certs.key("app"), "client-key.pem"),
    ] {
        fs::copy(from, folder.join(to)).unwrap();
    }
    let mut command = Command::new("sysbench");
    command
        .current_dir(folder)
        .args([
            "--db-driver=mysql",
            "--mysql-host=127.0.0.1",
            "--mysql-ssl=on",
        ])
        .arg(format!("--mysql-port={port}"))
        .arg(format!("--mysql-user={}", database.user))
        .arg(format!("--mysql-password={}", database.password))
        .arg(format!("--mysql-db={}", database.name))
        // What is in flight is made again, as an application would.
        .args([
            "--tables=2",
            "--table-size=1000",
            "--time=60",
            "--threads=6",
        ])
        .args(["--mysql-ignore-errors=all", "oltp_read_write", what]);
    command
}

/// Makes sysbench's tables.
pub fn prepare_sysbench(database: &mysql::Database, port: u16) {
    let folder = tempfile::tempdir().unwrap();
    Running::finish(&mut sysbench(database, port, folder.path(), "prepare"));
}

/// sysbench with its transactions that read and write.
pub fn run_sysbench(database: &mysql::Database, port: u16) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let command = sysbench(database, port, folder.path(), "run");
    Running::start(command, folder)
}

/// PgBouncer before one database, with its usual settings.
pub struct Bouncer {
    running: Running,
    database: String,
    pub port: u16,
}

impl Bouncer {
    /// Before a server; `None` where PgBouncer is not installed.
    pub fn before(database: &Database, server_port: u16) -> Option<Self> {
        let places = [
            place::test_env().join("bin/pgbouncer"),
            PathBuf::from("/usr/sbin/pgbouncer"),
        ];
        let program = places.into_iter().find(|path| path.exists())?;
        let folder = tempfile::tempdir().unwrap();
        place::give_to_server(folder.path());
        fs::write(
            folder.path().join("users.txt"),
            format!("\"{}\" \"{}\"\n", APP.0, APP.1),
        )
        .unwrap();
        let port = place::free_port();
        write_config(folder.path(), &database.name, port, server_port);
        let mut command = Command::new(program);
        place::as_server_owner(&mut command);
        command.arg("-q").arg(folder.path().join("pgbouncer.ini"));
        let bouncer = Self {
            running: Running::start(command, folder),
            database: database.name.clone(),
            port,
        };
        wait::until_true("PgBouncer to listen", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(bouncer)
    }

    /// Its configuration names another server now.
    pub fn change_host(&self, server_port: u16) {
        write_config(
            self.running.1.path(),
            &self.database,
            self.port,
            server_port,
        );
        signal(self.running.0.id(), rustix::process::Signal::HUP);
    }
}

fn write_config(folder: &Path, database: &str, port: u16, server_port: u16) {
    let text = format!(
        "[databases]\n{database} = host=127.0.0.1 port={server_port}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = trust\nauth_file = {}/users.txt\npool_mode = transaction\ndefault_pool_size = 6\n",
        folder.display()
    );
    let file = folder.join("pgbouncer.ini");
    fs::write(&file, text).unwrap();
    place::give_to_server(&file);
    place::give_to_server(&folder.join("users.txt"));
}

/// The middle and the longest of some times.
pub fn summary(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}
