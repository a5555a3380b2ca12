//! A throwaway MySQL or MariaDB and a replica that follows it by GTIDs. They do not write safely either.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpStream;

use super::error::DemoError;
use super::mysql::{Kind, Tools};
use super::postgres::{MAX_CONNECTIONS, MONITOR, ROLE};
use super::process::Process;
use super::scratch::Scratch;
use super::{certs, ports};

/// The running servers.
pub struct Pair {
    kind: Kind,
    primary: (Process, u16),
    replica: (Process, u16),
}

impl Pair {
    /// Makes both, and waits until they accept connections. Cancel safe: what was started is stopped.
    pub async fn start(tools: &Tools, scratch: &Scratch) -> Result<Self, DemoError> {
        let primary = start(tools, scratch, None).await?;
        let replica = start(tools, scratch, Some(primary.1)).await?;
        Ok(Self {
            kind: tools.kind,
            primary,
            replica,
        })
    }

    /// Which of the two it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The ports that they listen on, the primary's first.
    pub const fn ports(&self) -> [u16; 2] {
        [self.primary.1, self.replica.1]
    }

    /// An error if one has ended.
    pub fn alive(&mut self) -> Result<(), DemoError> {
        self.primary.0.alive()?;
        self.replica.0.alive()
    }
}

/// A server, and its port; `source`: the port of the one that it is to follow.
async fn start(
    tools: &Tools,
    scratch: &Scratch,
    source: Option<u16>,
) -> Result<(Process, u16), DemoError> {
    let role = if source.is_some() {
        "replica"
    } else {
        "primary"
    };
    let name = format!("{}-{role}", tools.kind.short());
    let data = scratch.path().join(&name);
    install(tools, scratch, &data).await?;
    let port = ports::free()?;
    let text = first_words(tools.kind, scratch.password(), source);
    let init = scratch.write_private(&format!("{name}.sql"), &text)?;
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let mut command = server(tools, scratch, &data);
    command.args(SETTINGS).args(match tools.kind {
        Kind::MySql => MYSQL_SETTINGS,
        Kind::MariaDb => MARIADB_SETTINGS,
    });
    command.args([
        format!("--port={port}"),
        // Different from the other's.
        format!("--server-id={port}"),
        format!("--log-bin={}/binlog", data.display()),
        format!("--max-connections={MAX_CONNECTIONS}"),
        format!("--socket={}", path(&format!("{name}.sock"))),
        format!("--pid-file={}", path(&format!("{name}.pid"))),
        format!("--ssl-ca={}", path(certs::CA)),
        format!("--ssl-cert={}", path(certs::MYSQL.0)),
        format!("--ssl-key={}", path(certs::MYSQL.1)),
        format!("--init-file={}", init.display()),
    ]);
    let log = match (tools.kind, source) {
        (Kind::MySql, None) => "mysqld",
        (Kind::MySql, Some(_)) => "mysqld-replica",
        (Kind::MariaDb, None) => "mariadbd",
        (Kind::MariaDb, Some(_)) => "mariadbd-replica",
    };
    let mut process = Process::start(log, &mut command, Signal::TERM, scratch)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let up = async || TcpStream::connect(address).await.ok();
    process.until("accept connections", PATIENCE, up).await?;
    Ok((process, port))
}

/// The server's program on a data folder. Root has to say that it means it.
fn server(tools: &Tools, scratch: &Scratch, data: &Path) -> Command {
    let mut command = scratch.command(&tools.server);
    command.args(["--no-defaults", &format!("--datadir={}", data.display())]);
    command.arg(format!("--tmpdir={}", temporary(data).display()));
    if rustix::process::geteuid().is_root() {
        command.arg("--user=root");
    }
    command
}

/// The folder of a server's temporary tables. As it starts it removes all that it finds in there
/// (`mysql_rm_tmp_tables`): in the system's folder those of every other server, too.
fn temporary(data: &Path) -> PathBuf {
    data.with_extension("tmp")
}

/// Makes a data folder.
async fn install(tools: &Tools, scratch: &Scratch, data: &Path) -> Result<(), DemoError> {
    let made = std::fs::create_dir(temporary(data));
    made.map_err(DemoError::io("cannot make a folder for temporary tables"))?;
    let mut command = server(tools, scratch, data);
    match tools.kind {
        Kind::MySql => {
            command.args(["--initialize-insecure", "--innodb-redo-log-capacity=32M"]);
            Process::run("install", &mut command, scratch).await?;
        }
        Kind::MariaDb => {
            let made = std::fs::create_dir(data);
            made.map_err(DemoError::io("cannot make the data folder"))?;
            let tables = system_tables(&scripts(tools, scratch).await?)?;
            let tables = scratch.write_again("bootstrap.sql", &tables)?;
            command.arg("--bootstrap");
            Process::run_on("install", &mut command, &tables, scratch).await?;
        }
    }
    Ok(())
}

/// Where MariaDB's scripts are: beside its messages (`mariadbd --verbose --help`).
async fn scripts(tools: &Tools, scratch: &Scratch) -> Result<PathBuf, DemoError> {
    let mut help = scratch.command(&tools.server);
    help.args(["--no-defaults", "--verbose", "--help"]);
    if rustix::process::geteuid().is_root() {
        help.arg("--user=root");
    }
    let told = Process::run("help", &mut help, scratch).await?;
    let line = told
        .lines()
        .find_map(|line| line.strip_prefix("lc-messages-dir "));
    let folder = line.map(|folder| PathBuf::from(folder.trim()));
    folder.ok_or_else(|| DemoError::Unexpected("mariadbd does not say where its files are".into()))
}

/// What makes the tables of the server's own, as `mariadb-install-db` does.
fn system_tables(scripts: &Path) -> Result<String, DemoError> {
    let mut text = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n".to_owned();
    for name in [
        "mariadb_system_tables.sql",
        "mariadb_performance_tables.sql",
        "mariadb_system_tables_data.sql",
    ] {
        let read = std::fs::read_to_string(scripts.join(name));
        text += &read.map_err(DemoError::io("cannot read MariaDB's scripts"))?;
    }
    Ok(text)
}

/// What a server runs before it accepts connections: one statement a line. Both make the same, and none of that is
/// in the log that the replica follows.
fn first_words(kind: Kind, password: &str, source: Option<u16>) -> String {
    let mut text = format!(
        "SET SESSION sql_log_bin = 0;\n\
         CREATE DATABASE {ROLE};\n\
         CREATE USER {ROLE}@'%' IDENTIFIED BY '{password}';\n\
         GRANT ALL ON {ROLE}.* TO {ROLE}@'%';\n\
         CREATE USER {MONITOR}@'%' IDENTIFIED BY '{password}';\n\
         GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {MONITOR}@'%';\n\
         CREATE TABLE {ROLE}.account (id INT PRIMARY KEY, balance INT NOT NULL);\n\
         INSERT INTO {ROLE}.account WITH RECURSIVE n (id) AS \
         (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 1000) SELECT id, 0 FROM n;\n"
    );
    let follow = source.map(|port| match kind {
        Kind::MySql => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, \
             SOURCE_USER = '{MONITOR}', SOURCE_PASSWORD = '{password}', SOURCE_SSL = 1, \
             SOURCE_AUTO_POSITION = 1, SOURCE_CONNECT_RETRY = 1;\n\
             START REPLICA;\nSET GLOBAL super_read_only = ON;\n"
        ),
        Kind::MariaDb => format!(
            "GRANT REPLICA MONITOR ON *.* TO {MONITOR}@'%';\n\
             CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, \
             MASTER_USER = '{MONITOR}', MASTER_PASSWORD = '{password}', MASTER_SSL = 1, \
             MASTER_SSL_VERIFY_SERVER_CERT = 0, MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1;\n\
             START SLAVE;\nSET GLOBAL read_only = ON;\n"
        ),
    });
    text += &follow.unwrap_or_default();
    text
}

const PATIENCE: Duration = Duration::from_secs(60);

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

const MYSQL_SETTINGS: [&str; 3] = [
    "--mysqlx=OFF",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
];

const MARIADB_SETTINGS: [&str; 3] = [
    "--innodb-log-file-size=16M",
    "--gtid-strict-mode=ON",
    "--log-slave-updates=ON",
];
