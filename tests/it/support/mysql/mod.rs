//! Throwaway servers of MySQL and MariaDB. Each test has a database of its own on the shared one.
//!
//! Their programs come from `tests/setup.sh`. They run as whoever runs the tests.

#![allow(
    dead_code,
    reason = "a client that can say anything knows more words than the tests use"
)]

pub mod login;
pub mod message;
pub mod wire;

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
};
use login::Login;
use wire::Wire;

/// The superuser.
pub const ADMIN: (&str, &str) = ("root", "root secret");
/// The ordinary user who may do anything in the tests' databases; the kind's usual plugin.
pub const APP: (&str, &str) = ("app", "app secret");
/// A second ordinary user, likewise.
pub const OTHER: (&str, &str) = ("other", "other secret");
/// A user of `sha256_password`, on MySQL only.
pub const APP_SHA256: (&str, &str) = ("app_sha256", "app_sha256 secret");
/// A user of `caching_sha2_password` on MariaDB, where it is not the usual plugin.
pub const APP_SHA2: (&str, &str) = ("app_sha2", "app_sha2 secret");
/// A user of `ed25519`, on MariaDB only.
pub const APP_ED25519: (&str, &str) = ("app_ed25519", "app_ed25519 secret");
/// A user of `parsec`, on MariaDB only.
pub const APP_PARSEC: (&str, &str) = ("app_parsec", "app_parsec secret");

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    MySql,
    MariaDb,
}

/// Every user, of whichever kind.
pub const USERS: [(&str, &str); 7] = [
    ADMIN,
    APP,
    OTHER,
    APP_SHA256,
    APP_SHA2,
    APP_ED25519,
    APP_PARSEC,
];

/// For a server that lives for seconds: nothing has to survive a power cut. The section is read by
/// both kinds.
const SETTINGS: &str = "
[server]
bind_address = 127.0.0.1
skip_name_resolve = ON
max_connections = 300
max_allowed_packet = 64M
local_infile = ON
secure_file_priv = ''
character_set_server = utf8mb4
default_time_zone = +00:00
performance_schema = OFF
innodb_flush_log_at_trx_commit = 0
innodb_flush_method = nosync
innodb_doublewrite = OFF
innodb_buffer_pool_size = 64M
innodb_buffer_pool_load_at_startup = OFF
innodb_buffer_pool_dump_at_shutdown = OFF
";

const MYSQL_SETTINGS: &str = "
mysqlx = OFF
disable_log_bin
innodb_redo_log_capacity = 64M
log_error_verbosity = 2
";

const MARIADB_SETTINGS: &str = "
innodb_log_file_size = 64M
log_warnings = 2
";

const MYSQL_USERS: &str = "
rename user root@localhost to root@'%';
alter user root@'%' identified by 'root secret';
create user app@'%' identified with caching_sha2_password by 'app secret';
create user other@'%' identified with caching_sha2_password by 'other secret';
create user app_sha256@'%' identified with sha256_password by 'app_sha256 secret';
grant all on `test\\_%`.* to app@'%', other@'%', app_sha256@'%';
grant xa_recover_admin, reload on *.* to app@'%';
";

const MARIADB_USERS: &str = "
delete from global_priv where user in ('root', '');
flush privileges;
install soname 'auth_ed25519';
install soname 'auth_parsec';
install soname 'auth_mysql_sha2';
create user root@'%' identified by 'root secret';
create user app@'%' identified via mysql_native_password using password('app secret');
create user other@'%' identified via mysql_native_password using password('other secret');
create user app_sha2@'%' identified via caching_sha2_password using password('app_sha2 secret');
create user app_ed25519@'%' identified via ed25519 using password('app_ed25519 secret');
create user app_parsec@'%' identified via parsec using password('app_parsec secret');
grant all on *.* to root@'%' with grant option;
grant all on `test\\_%`.* to app@'%', other@'%', app_sha2@'%', app_ed25519@'%', app_parsec@'%';
";

static NEXT_DATABASE: AtomicU32 = AtomicU32::new(0);

const ANY: Recipe = Recipe {
    name: "mysql",
    template: || template(Kind::MySql),
    configure,
    command: |folder, port| command(Kind::MySql, folder, port),
    accepts,
    owner: || None,
    leftovers: &[],
    stop: Signal::TERM,
    end: Signal::KILL,
};

static MYSQL: Recipe = ANY;

static MARIADB: Recipe = Recipe {
    name: "mariadb",
    template: || template(Kind::MariaDb),
    command: |folder, port| command(Kind::MariaDb, folder, port),
    ..ANY
};

impl Kind {
    fn recipe(self) -> &'static Recipe {
        match self {
            Self::MySql => &MYSQL,
            Self::MariaDb => &MARIADB,
        }
    }

    /// Those users who exist on servers of this kind, with the plugin each logs in by.
    pub fn users(self) -> &'static [((&'static str, &'static str), &'static str)] {
        match self {
            Self::MySql => &[
                (APP, "caching_sha2_password"),
                (APP_SHA256, "sha256_password"),
            ],
            Self::MariaDb => &[
                (APP, "mysql_native_password"),
                (APP_SHA2, "caching_sha2_password"),
                (APP_ED25519, "client_ed25519"),
                (APP_PARSEC, "parsec"),
            ],
        }
    }
}

/// A program of the tests' own installation.
pub fn program(name: &str) -> PathBuf {
    place::test_env().join("bin").join(name)
}

/// A running server.
#[derive(Debug)]
pub struct MySql {
    pub kind: Kind,
    server: Server,
}

impl Deref for MySql {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for MySql {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

impl MySql {
    /// The server of its kind that all tests share, started if need be.
    pub fn shared(kind: Kind) -> Self {
        let server = Server::shared(kind.recipe());
        Self { kind, server }
    }

    /// A server of the caller's own, with settings after the usual ones.
    pub fn private(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let server = Server::private(kind.recipe(), settings);
        Self { kind, server }
    }

    /// Makes it a replica of another server, by GTIDs, and read-only.
    pub fn follow(&self, source: &Self) {
        let (user, password) = ADMIN;
        let port = source.port;
        let mut admin = self.admin();
        match self.kind {
            Kind::MySql => {
                admin.succeed(&format!(
                    "change replication source to source_host = '127.0.0.1', source_port = {port}, \
                     source_user = '{user}', source_password = '{password}', source_ssl = 1, \
                     source_auto_position = 1, source_connect_retry = 1, \
                     source_retry_count = 100000, source_heartbeat_period = 1"
                ));
                admin.succeed("start replica");
                admin.succeed("set global super_read_only = 1");
            }
            Kind::MariaDb => {
                admin.succeed(&format!(
                    "change master to master_host = '127.0.0.1', master_port = {port}, \
                     master_user = '{user}', master_password = '{password}', \
                     master_use_gtid = slave_pos, master_connect_retry = 1, \
                     master_heartbeat_period = 1"
                ));
                admin.succeed("start slave");
                admin.succeed("set global read_only = 1");
            }
        }
    }

    /// Makes a replica a primary.
    pub fn promote(&self) {
        let mut admin = self.admin();
        let words: &[&str] = match self.kind {
            Kind::MySql => &[
                "stop replica",
                "reset replica all",
                "set global super_read_only = 0",
                "set global read_only = 0",
            ],
            Kind::MariaDb => &["stop slave", "reset slave all", "set global read_only = 0"],
        };
        for word in words {
            admin.succeed(word);
        }
    }

    /// A new database, in which `app` may do anything.
    pub fn database(&self) -> Database {
        let name = format!(
            "test_{}_{}",
            std::process::id(),
            NEXT_DATABASE.fetch_add(1, Ordering::Relaxed)
        );
        self.admin().succeed(&format!("create database {name}"));
        Database {
            name,
            kind: self.kind,
            user: APP.0,
            password: APP.1,
            server_port: self.port,
        }
    }

    /// A connection of the superuser's, beside any proxy.
    pub fn admin(&self) -> Wire {
        Wire::connect(&Login::new(self.port, "", ADMIN).with_tls())
            .expect("a login of the superuser's")
    }
}

/// A database of one test, dropped with it.
#[derive(Debug)]
pub struct Database {
    pub name: String,
    pub kind: Kind,
    pub user: &'static str,
    pub password: &'static str,
    pub server_port: u16,
}

impl Database {
    /// A new one on the shared server of that kind.
    pub fn new(kind: Kind) -> Self {
        MySql::shared(kind).database()
    }

    /// A connection of the superuser's to it, beside any proxy.
    pub fn admin(&self) -> Wire {
        Wire::connect(&Login::new(self.server_port, &self.name, ADMIN).with_tls())
            .expect("a login of the superuser's")
    }

    /// A command of a driver program, which is told by its environment how to log in at `port`.
    pub fn client(&self, program: impl AsRef<std::ffi::OsStr>, port: u16) -> Command {
        let mut command = Command::new(program);
        let kind = match self.kind {
            Kind::MySql => "mysql",
            Kind::MariaDb => "mariadb",
        };
        command
            .env("DB_KIND", kind)
            .env("DB_HOST", "127.0.0.1")
            .env("DB_PORT", port.to_string())
            .env("DB_NAME", &self.name)
            .env("DB_USER", self.user)
            .env("DB_PASSWORD", self.password)
            .env("DB_CA", Certs::shared().ca());
        command
    }

    /// How `app` logs in to it at `port`, over TLS.
    pub fn login(&self, port: u16) -> Login {
        Login::new(port, &self.name, (self.user, self.password)).with_tls()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let login = Login::new(self.server_port, "", ADMIN).with_tls();
        let Ok(mut admin) = Wire::connect(&login) else {
            return;
        };
        // What a failed test has left running may hold locks on its tables.
        if std::thread::panicking() {
            let kill = "select id from information_schema.processlist where db = ";
            let Ok(ids) = admin.query(&format!("{kill}'{}'", self.name)) else {
                return;
            };
            for id in ids.iter().flat_map(message::Reply::first_column) {
                let _ = admin.query(&format!("kill {id}"));
            }
        }
        let _ = admin.query(&format!("drop database if exists {}", self.name));
    }
}

fn accepts(port: u16) -> bool {
    Wire::connect(&Login::new(port, "", ADMIN).with_tls()).is_ok()
}

/// A folder to copy, with users and settings. The caller holds the lock of its kind.
fn template(kind: Kind) -> PathBuf {
    let certs = Certs::shared();
    let tls = format!(
        "ssl_ca = {}\nssl_cert = {}\nssl_key = {}\n",
        certs.ca().display(),
        certs.certificate("server").display(),
        certs.key("server").display()
    );
    let (own, users) = match kind {
        Kind::MySql => (MYSQL_SETTINGS, MYSQL_USERS),
        Kind::MariaDb => (MARIADB_SETTINGS, MARIADB_USERS),
    };
    let stamp = fs::read_to_string(place::test_env().join(kind.recipe().name).join("stamp"))
        .expect("the server is not installed: run tests/setup.sh");
    let settings = [SETTINGS, own, &tls].concat();
    let mut hasher = DefaultHasher::new();
    (stamp, &settings, users).hash(&mut hasher);
    let name = format!("{}-template-{:016x}", kind.recipe().name, hasher.finish());
    let folder = place::shared().join(name);
    if folder.join("complete").exists() {
        return folder;
    }
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("data")).unwrap();
    fs::write(folder.join("my.cnf"), settings).unwrap();
    match kind {
        Kind::MySql => {
            fs::write(folder.join("users.sql"), users).unwrap();
            let mut init = server(kind, &folder);
            init.arg("--initialize-insecure");
            init.arg(format!("--init-file={}/users.sql", folder.display()));
            finish(init, "");
        }
        Kind::MariaDb => {
            let mut init = server(kind, &folder);
            init.arg("--bootstrap");
            finish(init, &(mariadb_tables() + users));
        }
    }
    fs::write(folder.join("complete"), "").unwrap();
    folder
}

/// What makes the system tables of MariaDB; the distribution's own script wants its own paths.
fn mariadb_tables() -> String {
    let scripts = place::test_env().join("mariadb/usr/share/mariadb");
    let mut text = "create database if not exists mysql;\nuse mysql;\n".to_owned();
    text.push_str("set @auth_root_socket = null;\n");
    for name in [
        "mariadb_system_tables",
        "mariadb_performance_tables",
        "mariadb_system_tables_data",
    ] {
        text.push_str(&fs::read_to_string(scripts.join(name).with_extension("sql")).unwrap());
    }
    text
}

/// The server's program with the options that depend on where it is to run.
fn server(kind: Kind, folder: &Path) -> Command {
    let name = match kind {
        Kind::MySql => "mysqld",
        Kind::MariaDb => "mariadbd",
    };
    let mut command = Command::new(program(name));
    let option = |name: &str, file: &str| format!("--{name}={}/{file}", folder.display());
    fs::create_dir_all(folder.join("temporary")).unwrap();
    command
        .arg(option("defaults-file", "my.cnf"))
        .arg(option("datadir", "data"))
        // A server that starts removes all temporary tables in there, those of others, too.
        .arg(option("tmpdir", "temporary"));
    if rustix::process::getuid().is_root() {
        command.arg("--user=root");
    }
    command.current_dir(place::shared());
    command
}

fn command(kind: Kind, folder: &Path, port: u16) -> Command {
    let mut command = server(kind, folder);
    let option = |name: &str, file: &str| format!("--{name}={}/{file}", folder.display());
    command
        .arg(format!("--port={port}"))
        .arg(option("socket", "socket"))
        .arg(option("pid-file", "pid"));
    command
}

fn configure(folder: &Path, settings: &[(&str, &str)]) {
    // It names the server; a copy gets a name of its own.
    let _ = fs::remove_file(folder.join("data/auto.cnf"));
    let file = folder.join("my.cnf");
    let mut file = File::options().append(true).open(file).unwrap();
    for (name, value) in settings {
        writeln!(file, "{name} = {value}").unwrap();
    }
}

/// Runs what prepares a folder to its end.
fn finish(mut command: Command, input: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error} (run tests/setup.sh)"));
    // One that fails early does not read it all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("ERROR"),
        "{command:?} failed: {said}"
    );
}
