//! A throwaway PostgreSQL with TLS on loopback. It does not write safely: nothing in it is meant
//! to last.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::error::DemoError;
use super::process::Process;
use super::scratch::Scratch;
use super::{certs, ports};

/// The user that the demo's clients are, and the database that they work in.
pub const ROLE: &str = "demo";

/// The user who looks at the servers.
pub const MONITOR: &str = "sluice_monitor";

/// Few, so that it shows what Sluice is for.
pub const MAX_CONNECTIONS: u32 = 30;

/// pgbench's scale: 100,000 accounts for each.
const SCALE: &str = "2";

pub const SUPERUSER: &str = "postgres";

const PATIENCE: Duration = Duration::from_secs(60);

/// Where PostgreSQL's programs are.
pub struct Tools(PathBuf);

impl Tools {
    /// Looks in `PATH`, then for the newest of Debian's.
    pub fn find() -> Result<Self, DemoError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&path).collect();
        let found = |folder: &PathBuf| {
            let programs = ["initdb", "postgres", "psql", "pgbench", "pg_basebackup"];
            programs.iter().all(|name| folder.join(name).is_file())
        };
        [in_path, debian(Path::new("/usr/lib/postgresql"))]
            .into_iter()
            .flat_map(|folders: Vec<PathBuf>| folders)
            .find(found)
            .map(Self)
            .ok_or(DemoError::NoPostgres)
    }

    /// The path of a program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// How a user can call a program: by its name if that is enough.
    pub fn shown(&self, name: &str) -> String {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if std::env::split_paths(&path).any(|folder| folder.join(name).is_file()) {
            name.to_owned()
        } else {
            self.program(name).display().to_string()
        }
    }
}

/// The folders of all versions below `root`, newest first.
fn debian(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// The running server.
pub struct Postgres {
    process: Process,
    port: u16,
    data: PathBuf,
}

impl Postgres {
    /// Makes a cluster and starts its server, without waiting for it to be up. Cancel safe:
    /// what was started is stopped.
    pub async fn start(tools: &Tools, scratch: &Scratch) -> Result<Self, DemoError> {
        let data = scratch.data_folder("data")?;
        let word = scratch.write_for_postgres("superuser.password", scratch.password())?;
        let mut initdb = scratch.as_postgres(&tools.program("initdb"));
        initdb.args([
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        initdb.arg("--username").arg(SUPERUSER);
        initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(word);
        Process::run("initdb", &mut initdb, scratch).await?;
        let port = ports::free()?;
        configure(&data, port, scratch)?;
        let mut command = scratch.as_postgres(&tools.program("postgres"));
        command.arg("-D").arg(&data);
        // SIGINT is its fast shutdown (PostgreSQL documentation, section 19.5).
        let process = Process::start("postgres", &mut command, Signal::INT, scratch)?;
        Ok(Self {
            process,
            port,
            data,
        })
    }

    /// Waits until it accepts connections, and makes the demo's role and tables.
    pub async fn prepare(&mut self, tools: &Tools, scratch: &Scratch) -> Result<(), DemoError> {
        let status = self.data.join("postmaster.pid");
        let up = async || is_ready(&fs::read_to_string(&status).ok()?).then_some(());
        self.process
            .until("accept connections", PATIENCE, up)
            .await?;
        let role = format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{}'", scratch.password());
        let monitor = format!(
            "CREATE ROLE {MONITOR} LOGIN PASSWORD '{}' IN ROLE pg_monitor",
            scratch.password()
        );
        let database = format!("CREATE DATABASE {ROLE} OWNER {ROLE}");
        let mut psql = scratch.command(&tools.program("psql"));
        psql.args([
            "-Xqw",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            &role,
            "-c",
            &monitor,
            "-c",
            &database,
        ]);
        psql.arg(url(scratch, self.port, SUPERUSER, SUPERUSER));
        Process::run("psql", &mut psql, scratch).await?;
        let mut pgbench = scratch.command(&tools.program("pgbench"));
        pgbench.args(["-i", "-q", "-s", SCALE]);
        pgbench.arg(url(scratch, self.port, ROLE, ROLE));
        Process::run("pgbench", &mut pgbench, scratch).await?;
        Ok(())
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// An error if it has ended.
    pub fn alive(&mut self) -> Result<(), DemoError> {
        self.process.alive()
    }
}

/// Whether a server whose `postmaster.pid` reads so lets clients in. It listens earlier already, and
/// refuses them with "the database system is starting up". The eighth line tells
/// (`LOCK_FILE_LINE_PM_STATUS` in PostgreSQL's `utils/pidfile.h`), padded with spaces.
pub fn is_ready(status: &str) -> bool {
    status
        .lines()
        .nth(7)
        .is_some_and(|line| line.trim() == "ready")
}

/// A libpq connection string for whoever listens on `port`, with everything verified.
pub fn url(scratch: &Scratch, port: u16, user: &str, database: &str) -> String {
    let ca = scratch.path().join(certs::CA);
    format!(
        "host=localhost port={port} user={user} dbname={database} sslmode=verify-full \
         sslrootcert={}",
        ca.display()
    )
}

/// `psql` that runs one query and prints the bare value.
pub fn query(tools: &Tools, scratch: &Scratch, url: &str, sql: &str) -> Command {
    let mut psql = scratch.command(&tools.program("psql"));
    psql.args(["-XAtqw", "-v", "ON_ERROR_STOP=1", "-c", sql, url]);
    psql
}

fn configure(data: &Path, port: u16, scratch: &Scratch) -> Result<(), DemoError> {
    let certificate = scratch.path().join(certs::POSTGRES.0);
    let key = scratch.path().join(certs::POSTGRES.1);
    let settings = format!(
        "listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = ''\n\
         max_connections = {MAX_CONNECTIONS}\n\
         shared_buffers = 64MB\n\
         fsync = off\n\
         synchronous_commit = off\n\
         full_page_writes = off\n\
         wal_level = replica\n\
         max_wal_senders = 4\n\
         password_encryption = 'scram-sha-256'\n\
         ssl = on\n\
         ssl_cert_file = '{}'\n\
         ssl_key_file = '{}'\n",
        certificate.display(),
        key.display(),
    );
    let cannot = DemoError::io("cannot configure PostgreSQL");
    // Both exist already and stay their owner's.
    let mut file = fs::File::options()
        .append(true)
        .open(data.join("postgresql.conf"))
        .map_err(&cannot)?;
    file.write_all(settings.as_bytes()).map_err(&cannot)?;
    let rules = "hostssl all all 127.0.0.0/8 scram-sha-256\n\
         hostssl replication all 127.0.0.0/8 scram-sha-256\n";
    fs::write(data.join("pg_hba.conf"), rules).map_err(&cannot)
}

#[cfg(test)]
mod tests {
    use super::{debian, is_ready};
    use crate::demo::scratch::Scratch;

    #[test]
    fn a_server_is_ready_when_its_lock_file_says_so() {
        let file =
            |status| format!("42\n/data\n1790000000\n5432\n/tmp\n127.0.0.1\n 77 0\n{status}\n");
        assert!(is_ready(&file("ready   ")));
        assert!(!is_ready(&file("starting")));
        assert!(!is_ready("42\n/data\n"));
    }

    #[test]
    fn the_newest_version_comes_first() {
        let scratch = Scratch::new().unwrap();
        for name in ["9", "18", "15", "common"] {
            std::fs::create_dir(scratch.path().join(name)).unwrap();
        }
        let found = debian(scratch.path());
        let found: Vec<_> = found
            .iter()
            .map(|folder| {
                folder
                    .strip_prefix(scratch.path())
                    .unwrap()
                    .to_str()
                    .unwrap()
            })
            .collect();
        assert_eq!(found, ["18/bin", "15/bin", "9/bin"]);
    }
}
