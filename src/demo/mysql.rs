//! MySQL's and MariaDB's programs, where they are installed, and the load on them.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::certs;
use super::error::DemoError;
use super::postgres::ROLE;
use super::process::Process;
use super::scratch::Scratch;

/// Clients of the load, each of which sends one query after another.
pub const CLIENTS: u32 = 40;

/// Which of the two it is: their programs have other names and options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl Kind {
    /// A name for files, listeners and target groups.
    pub const fn short(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
        }
    }
}

/// Where the programs are.
pub struct Tools {
    pub(super) kind: Kind,
    pub(super) server: PathBuf,
    client: PathBuf,
    load: PathBuf,
    /// Whose program the load is: either can be the client of both.
    load_kind: Kind,
}

impl Tools {
    /// Looks in `PATH` and where servers are kept: those of MySQL, of MariaDB, of both or of neither.
    pub fn find() -> Vec<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/usr/libexec".into()])
            .collect();
        Self::find_in(&folders)
    }

    fn find_in(folders: &[PathBuf]) -> Vec<Self> {
        let find = |name: &str| {
            let paths = folders.iter().map(|folder| folder.join(name));
            paths.into_iter().find(|path| path.is_file())
        };
        let loads = [("mysqlslap", Kind::MySql), ("mariadb-slap", Kind::MariaDb)];
        let tools = |kind: Kind, server: &str, client: &str| {
            let server = find(server)?;
            // Distributions have MariaDB under MySQL's names too.
            let real = server.canonicalize().unwrap_or_default();
            let real = real.file_name().unwrap_or_default().to_string_lossy();
            if kind == Kind::MySql && real.starts_with("mariadb") {
                return None;
            }
            let mut loads: Vec<_> = loads.into_iter().collect();
            loads.sort_by_key(|(_, of)| *of != kind);
            let (load, load_kind) = loads
                .into_iter()
                .find_map(|(name, of)| Some((find(name)?, of)))?;
            Some(Self {
                kind,
                server,
                client: find(client)?,
                load,
                load_kind,
            })
        };
        let mysql = tools(Kind::MySql, "mysqld", "mysql");
        let maria = tools(Kind::MariaDb, "mariadbd", "mariadb");
        mysql.into_iter().chain(maria).collect()
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
        let arguments = login(self.kind, scratch, port).join(" ");
        format!("{} {arguments} {ROLE}", program.display())
    }

    /// One query's value, asked at `port`.
    pub fn query(&self, scratch: &Scratch, port: u16, token: &str, sql: &str) -> Command {
        let mut command = client_command(scratch, &self.client, token);
        command.args(login(self.kind, scratch, port));
        command.args(["-N", "-B", "-e", sql, ROLE]);
        command
    }

    /// The load: clients that ask for one account after another, until they are stopped.
    pub fn load(&self, scratch: &Scratch, port: u16, token: &str) -> Result<Process, DemoError> {
        let mut command = client_command(scratch, &self.load, token);
        command.args(login(self.load_kind, scratch, port)).args([
            &format!("--concurrency={CLIENTS}"),
            "--number-of-queries=1000000000",
            "--no-drop",
            &format!("--create-schema={ROLE}"),
            &format!(
                "--query=SELECT balance FROM {ROLE}.account WHERE id = 1 + FLOOR(RAND() * 1000)"
            ),
        ]);
        let name = match self.kind {
            Kind::MySql => "mysqlslap",
            Kind::MariaDb => "mariadb-slap",
        };
        Process::start(name, &mut command, Signal::TERM, scratch)
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

/// What a client's program is told of the way to a server.
fn login(kind: Kind, scratch: &Scratch, port: u16) -> Vec<String> {
    let ca = scratch.path().join(certs::CA);
    let verify = match kind {
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

#[cfg(test)]
mod tests {
    use super::{Kind, Tools};
    use crate::demo::scratch::Scratch;

    #[test]
    fn all_programs_of_one_kind_are_needed() {
        let scratch = Scratch::new().unwrap();
        let folders = [scratch.path().to_owned()];
        let kinds = || -> Vec<Kind> {
            let found = Tools::find_in(&folders);
            found.iter().map(|tools| tools.kind).collect()
        };
        assert!(kinds().is_empty());
        for name in ["mysqld", "mysql", "mariadbd"] {
            scratch.write(name, "").unwrap();
        }
        assert!(kinds().is_empty());
        scratch.write("mysqlslap", "").unwrap();
        assert_eq!(kinds(), [Kind::MySql]);
        scratch.write("mariadb", "").unwrap();
        assert_eq!(kinds(), [Kind::MySql, Kind::MariaDb]);
    }
}
