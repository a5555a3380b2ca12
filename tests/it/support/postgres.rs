//! Throwaway PostgreSQL servers. Each test has a database of its own on the shared one.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::Signal;

use crate::support::{
    certs::Certs,
    place,
    server::{Recipe, Server},
    wire::{Login, Wire},
};

/// Every role's password is its name with this after it.
macro_rules! password_of {
    ($user:literal) => {
        concat!($user, " secret")
    };
}

/// The superuser.
pub const ADMIN: (&str, &str) = ("postgres", password_of!("postgres"));
/// The ordinary role that owns the tests' databases; SCRAM.
pub const APP: (&str, &str) = ("app", password_of!("app"));
/// A second ordinary role; SCRAM.
pub const OTHER: (&str, &str) = ("other", password_of!("other"));
/// A role whose password is stored and asked for as MD5.
pub const APP_MD5: (&str, &str) = ("app_md5", password_of!("app_md5"));
/// A role whose password is asked for in clear.
pub const APP_PLAIN: (&str, &str) = ("app_plain", password_of!("app_plain"));

/// For a server that lives for seconds: nothing has to survive a power cut.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
max_prepared_transactions = 20
shared_buffers = 64MB
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
max_wal_size = 256MB
wal_level = minimal
max_wal_senders = 0
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
ssl_ca_file = 'ca.crt'
log_line_prefix = '%m [%p] %u@%d '
log_min_messages = warning
";

const HBA: &str = "
host replication all 127.0.0.0/8 scram-sha-256
host all app_md5 127.0.0.0/8 md5
host all app_plain 127.0.0.0/8 password
host all all 127.0.0.0/8 scram-sha-256
";

const ROLES: &str = "
create role app login password 'app secret';
create role other login password 'other secret';
create role app_plain login password 'app_plain secret';
set password_encryption = md5; create role app_md5 login password 'app_md5 secret';
";

static NEXT_DATABASE: AtomicU32 = AtomicU32::new(0);

static RECIPE: Recipe = Recipe {
    name: "postgres",
    template,
    configure,
    command,
    accepts: |port| Wire::connect(&Login::new(port, "postgres", ADMIN)).is_ok(),
    owner: place::server_owner,
    leftovers: &["postmaster.pid"],
    stop: Signal::INT,
    end: Signal::QUIT,
};

/// A running server.
#[derive(Debug)]
pub struct Postgres(Server);

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl DerefMut for Postgres {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.0
    }
}

impl Postgres {
    /// The server all tests share, started if need be.
    pub fn shared() -> Self {
        Self(Server::shared(&RECIPE))
    }

    /// A server of the caller's own, with settings after the usual ones.
    pub fn private(settings: &[(&str, &str)]) -> Self {
        Self(Server::private(&RECIPE, settings))
    }

    /// A replica of this server, which has to be one for replicas; see [`cluster`](super::cluster).
    pub fn replica(&self) -> Self {
        let port = self.port.to_string();
        Self(Server::filled(&RECIPE, |folder| {
            let mut copy = Command::new(place::postgres_program("pg_basebackup"));
            copy.args(["-h", "127.0.0.1", "-p", &port, "-U", ADMIN.0])
                .args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"])
                .arg(folder)
                .env("PGPASSWORD", ADMIN.1);
            run_as_owner(copy, "");
        }))
    }

    /// A new database, owned by `app`.
    pub fn database(&self) -> Database {
        let name = format!(
            "test_{}_{}",
            std::process::id(),
            NEXT_DATABASE.fetch_add(1, Ordering::Relaxed)
        );
        self.named_database(&name, APP)
    }

    /// A new database of this name, owned by that role.
    pub fn named_database(
        &self,
        name: &str,
        (user, password): (&'static str, &'static str),
    ) -> Database {
        let mut admin = self.admin("postgres");
        admin.succeed(&format!("create database {name} owner {user}"));
        Database {
            name: name.into(),
            user,
            password,
            server_port: self.port,
        }
    }

    /// A connection of the superuser's, beside any proxy.
    pub fn admin(&self, database: &str) -> Wire {
        Wire::connect(&Login::new(self.port, database, ADMIN)).expect("a login of the superuser's")
    }
}

/// A database of one test, dropped with it.
#[derive(Debug)]
pub struct Database {
    pub name: String,
    pub user: &'static str,
    pub password: &'static str,
    pub server_port: u16,
}

impl Database {
    /// A new one on the shared server.
    pub fn new() -> Self {
        Postgres::shared().database()
    }

    /// A connection of the superuser's to it, beside any proxy.
    pub fn admin(&self) -> Wire {
        Wire::connect(&Login::new(self.server_port, &self.name, ADMIN))
            .expect("a login of the superuser's")
    }

    /// How to log in as its owner at `port`.
    pub fn login(&self, port: u16) -> Login {
        Login::new(port, &self.name, (self.user, self.password))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let login = Login::new(self.server_port, "postgres", ADMIN);
        let Ok(mut admin) = Wire::connect(&login) else {
            return;
        };
        admin.simple(&format!(
            "drop database if exists {} with (force)",
            self.name
        ));
    }
}

/// A data folder to copy, with roles, certificates and settings. The caller holds the lock of its kind.
fn template() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (place::postgres_program(""), SETTINGS, HBA, ROLES).hash(&mut hasher);
    let data = place::shared().join(format!("postgres-template-{:016x}", hasher.finish()));
    if data.join("complete").exists() {
        return data;
    }
    let _ = fs::remove_dir_all(&data);
    fs::create_dir(&data).unwrap();
    place::give_to_server(&data);
    let password = place::shared().join("postgres-password");
    fs::write(&password, ADMIN.1).unwrap();
    let mut initdb = Command::new(place::postgres_program("initdb"));
    initdb
        .arg("-D")
        .arg(&data)
        .arg(format!("--pwfile={}", password.display()))
        .args([
            "-U",
            ADMIN.0,
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--wal-segsize=1",
        ]);
    run_as_owner(initdb, "");
    let certs = Certs::shared();
    for (from, to) in [
        (certs.ca(), "ca.crt"),
        (certs.certificate("server"), "server.crt"),
        (certs.key("server"), "server.key"),
    ] {
        let to = data.join(to);
        fs::copy(from, &to).unwrap();
        fs::set_permissions(&to, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        place::give_to_server(&to);
    }
    File::options()
        .append(true)
        .open(data.join("postgresql.conf"))
        .unwrap()
        .write_all(SETTINGS.as_bytes())
        .unwrap();
    fs::write(data.join("pg_hba.conf"), HBA).unwrap();
    let mut single = Command::new(place::postgres_program("postgres"));
    single
        .args(["--single", "-j", "-D"])
        .arg(&data)
        .arg("postgres");
    run_as_owner(single, &ROLES.replace(";\n", ";\n\n"));
    fs::write(data.join("complete"), "").unwrap();
    data
}

fn run_as_owner(mut command: Command, input: &str) {
    place::as_server_owner(&mut command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("ERROR"),
        "{command:?} failed: {said}"
    );
}

fn configure(data: &Path, settings: &[(&str, &str)]) {
    let mut file = File::options()
        .append(true)
        .open(data.join("postgresql.conf"))
        .unwrap();
    for (name, value) in settings {
        writeln!(file, "{name} = '{value}'").unwrap();
    }
}

fn command(data: &Path, port: u16) -> Command {
    let mut command = Command::new(place::postgres_program("postgres"));
    command.arg("-D").arg(data).arg("-p").arg(port.to_string());
    place::as_server_owner(&mut command);
    command
}
