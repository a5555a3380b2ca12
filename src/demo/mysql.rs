//! A throwaway MySQL or MariaDB beside PostgreSQL, where one is installed, and its load. It does
//! not write safely either.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpStream;

use super::error::DemoError;
use super::postgres::{MAX_CONNECTIONS, ROLE};
use super::process::Process;
use super::scratch::Scratch;
use super::{certs, ports};

/// Clients of the load, each of which sends one query after another.
pub const CLIENTS: u32 = 40;

const PATIENCE: Duration = Duration::from_secs(60);

/// Which of the two it is: their programs have other names and options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    MySql,
    MariaDb,
}

/// Where the programs are.
pub struct Tools {
    kind: Kind,
    server: PathBuf,
    /// What makes a data folder.
    install: PathBuf,
    client: PathBuf,
    load: PathBuf,
}

impl Tools {
    /// Looks in `PATH` and where servers are kept; `None` if neither is installed.
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/usr/libexec".into()])
            .collect();
        Self::find_in(&folders)
    }

    fn find_in(folders: &[PathBuf]) -> Option<Self> {
        let find = |name: &str| {
            let paths = folders.iter().map(|folder| folder.join(name));
            paths.into_iter().find(|path| path.is_file())
        };
        let maria = find("mariadbd").and_then(|server| {
            Some(Self {
                kind: Kind::MariaDb,
                server,
                install: find("mariadb-install-db")?,
                client: find("mariadb")?,
                load: find("mariadb-slap")?,
            })
        });
        maria.or_else(|| {
            let server = find("mysqld")?;
            Some(Self {
                kind: Kind::MySql,
                install: server.clone(),
                server,
                client: find("mysql")?,
                load: find("mysqlslap")?,
            })
        })
    }

    /// The name of the product.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::MySql => "MySQL",
            Kind::MariaDb => "MariaDB",
        }
    }

    /// How a user can call the command-line client at `port`, with everything verified.
    pub fn shown(&self, scratch: &Scratch, port: u16) -> String {
        let name = self.client.file_name().unwrap_or_default();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
        let program = if is_found {
            Path::new(name)
        } else {
            &self.client
        };
        let arguments = self.login(scratch, port).join(" ");
        format!("{} {arguments} {ROLE}", program.display())
    }

    fn login(&self, scratch: &Scratch, port: u16) -> Vec<String> {
        let ca = scratch.path().join(certs::CA);
        let verify = match self.kind {
            Kind::MySql => "--ssl-mode=VERIFY_IDENTITY",
            Kind::MariaDb => "--ssl-verify-server-cert",
        };
        vec![
            "--no-defaults".into(),
            "--host=127.0.0.1".into(),
            format!("--port={port}"),
            format!("--user={ROLE}"),
            format!("--ssl-ca={}", ca.display()),
            verify.into(),
        ]
    }

    /// One query's value, asked at `port`.
    pub fn query(&self, scratch: &Scratch, port: u16, token: &str, sql: &str) -> Command {
        let mut command = client_command(scratch, &self.client, token);
        command.args(self.login(scratch, port));
        command.args(["-N", "-B", "-e", sql, ROLE]);
        command
    }

    /// The load: clients that ask for one account after another, until they are stopped.
    pub fn load(&self, scratch: &Scratch, port: u16, token: &str) -> Result<Process, DemoError> {
        let mut command = client_command(scratch, &self.load, token);
        command.args(self.login(scratch, port)).args([
            &format!("--concurrency={CLIENTS}"),
            "--number-of-queries=1000000000",
            "--no-drop",
            &format!("--create-schema={ROLE}"),
            &format!(
                "--query=SELECT balance FROM {ROLE}.account WHERE id = 1 + FLOOR(RAND() * 1000)"
            ),
        ]);
        Process::start("mysqlslap", &mut command, Signal::TERM, scratch)
    }
}

/// A command with a token for whichever client library it uses; MySQL's sends no password in the
/// clear unless it is told to.
fn client_command(scratch: &Scratch, program: &Path, token: &str) -> Command {
    let mut command = scratch.command(program);
    command.env("MYSQL_PWD", token);
    command.env("LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN", "1");
    command
}

/// The running server.
pub struct MySql {
    process: Process,
    port: u16,
}

impl MySql {
    /// Makes a data folder and starts a server on it, and waits until it accepts connections.
    /// Cancel safe: what was started is stopped.
    pub async fn start(tools: &Tools, scratch: &Scratch) -> Result<Self, DemoError> {
        let data = scratch.path().join("mysql");
        let path = |name: &str| scratch.path().join(name).display().to_string();
        let mut install = scratch.command(&tools.install);
        install.args(["--no-defaults", &format!("--datadir={}", data.display())]);
        install.args(match tools.kind {
            Kind::MySql => ["--initialize-insecure", "--innodb-redo-log-capacity=32M"],
            Kind::MariaDb => ["--skip-test-db", "--auth-root-authentication-method=normal"],
        });
        as_whoever(&mut install);
        Process::run("install", &mut install, scratch).await?;
        let port = ports::free()?;
        let init = scratch.write_private("mysql.sql", &accounts(scratch.password()))?;
        let mut command = scratch.command(&tools.server);
        command.args(["--no-defaults", &format!("--datadir={}", data.display())]);
        command.args(SETTINGS);
        if tools.kind == Kind::MySql {
            command.args(["--mysqlx=OFF", "--disable-log-bin"]);
        }
        command.args([
            format!("--port={port}"),
            format!("--max-connections={MAX_CONNECTIONS}"),
            format!("--socket={}", path("mysql.sock")),
            format!("--pid-file={}", path("mysql.pid")),
            format!("--ssl-ca={}", path(certs::CA)),
            format!("--ssl-cert={}", path(certs::MYSQL.0)),
            format!("--ssl-key={}", path(certs::MYSQL.1)),
            format!("--init-file={}", init.display()),
        ]);
        as_whoever(&mut command);
        let mut process = Process::start("mysqld", &mut command, Signal::TERM, scratch)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let up = async || TcpStream::connect(address).await.ok();
        process.until("accept connections", PATIENCE, up).await?;
        Ok(Self { process, port })
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

const SETTINGS: [&str; 8] = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--secure-file-priv=",
    "--require-secure-transport=ON",
    "--performance-schema=OFF",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=OFF",
    "--innodb-buffer-pool-size=64M",
];

/// Root has to say that it means it.
fn as_whoever(command: &mut Command) {
    if rustix::process::geteuid().is_root() {
        command.arg("--user=root");
    }
}

/// What the server runs before it accepts connections: one statement a line.
fn accounts(password: &str) -> String {
    format!(
        "CREATE DATABASE {ROLE};\n\
         CREATE USER {ROLE}@'%' IDENTIFIED BY '{password}';\n\
         GRANT ALL ON {ROLE}.* TO {ROLE}@'%';\n\
         CREATE TABLE {ROLE}.account (id INT PRIMARY KEY, balance INT NOT NULL);\n\
         INSERT INTO {ROLE}.account WITH RECURSIVE n (id) AS \
         (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 1000) SELECT id, 0 FROM n;\n"
    )
}

#[cfg(test)]
mod tests {
    use super::{Kind, Tools};
    use crate::demo::scratch::Scratch;

    #[test]
    fn all_programs_of_one_kind_are_needed() {
        let scratch = Scratch::new().unwrap();
        let folders = [scratch.path().to_owned()];
        assert!(Tools::find_in(&folders).is_none());
        for name in ["mysqld", "mysql", "mysqlslap", "mariadbd"] {
            scratch.write(name, "").unwrap();
        }
        assert_eq!(Tools::find_in(&folders).unwrap().kind, Kind::MySql);
        for name in ["mariadb", "mariadb-slap", "mariadb-install-db"] {
            scratch.write(name, "").unwrap();
        }
        assert_eq!(Tools::find_in(&folders).unwrap().kind, Kind::MariaDb);
    }
}
