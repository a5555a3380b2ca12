//! Throwaway PostgreSQL servers: one that all tests share, and private ones to break.
//!
//! Each test has a database of its own on the shared server. The first test that needs the server
//! starts it; a reaper stops it once no test has held the `users` lock for some seconds, which needs
//! no help from the test runner. A private server is stopped when its value is dropped.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    certs::Certs,
    place, wait,
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

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    pub port: u16,
    data: PathBuf,
    /// A private server's process; the shared one belongs to no test.
    child: Option<Child>,
    _home: Option<tempfile::TempDir>,
}

impl Postgres {
    /// The server all tests share, started if need be.
    #[expect(clippy::zombie_processes, reason = "it outlives this process")]
    pub fn shared() -> Self {
        static USER: OnceLock<File> = OnceLock::new();
        USER.get_or_init(|| place::lock_shared("postgres-users.lock"));
        let _guard = place::lock("postgres.lock");
        let (state, data) = (
            place::shared().join("postgres-state"),
            place::shared().join("postgres"),
        );
        if place::is_ours(&state)
            && let Some((pid, port)) = parse_state(&state)
            && place::is_alive(pid)
            && fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.contains(data.to_str().unwrap()))
        {
            return Self {
                port,
                data,
                child: None,
                _home: None,
            };
        }
        let _ = fs::remove_dir_all(&data);
        copy(&template(), &data);
        let port = place::free_port();
        let child = spawn(&data, port, &[], true);
        fs::write(&state, format!("{} {port}", child.id())).unwrap();
        let server = Self {
            port,
            data,
            child: None,
            _home: None,
        };
        server.wait_ready();
        reap(child.id());
        server
    }

    /// A server of the caller's own, with settings after the usual ones.
    pub fn private(settings: &[(&str, &str)]) -> Self {
        let template = {
            let _guard = place::lock("postgres.lock");
            template()
        };
        let home = tempfile::Builder::new()
            .prefix("private-")
            .tempdir_in(place::shared())
            .unwrap();
        place::give_to_server(home.path());
        let data = home.path().join("data");
        copy(&template, &data);
        let mut file = File::options()
            .append(true)
            .open(data.join("postgresql.conf"))
            .unwrap();
        for (name, value) in settings {
            writeln!(file, "{name} = '{value}'").unwrap();
        }
        let port = place::free_port();
        let child = spawn(&data, port, &[], false);
        let server = Self {
            port,
            data,
            child: Some(child),
            _home: Some(home),
        };
        server.wait_ready();
        server
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

    /// Ends a private server at once, as a crash would: its clients are cut without a word.
    pub fn kill(&mut self) {
        let child = self
            .child
            .as_mut()
            .expect("only a private server may be killed");
        // The postmaster's children notice its death by themselves, which takes a moment.
        let pids: Vec<u32> = children(child.id())
            .into_iter()
            .chain([child.id()])
            .collect();
        for pid in &pids {
            signal(*pid, Signal::KILL);
        }
        child.wait().unwrap();
        wait::until_true("the end of the killed server", || {
            pids.iter().all(|pid| !place::is_alive(*pid))
        });
    }

    /// Ends a private server as an administrator would in a hurry: clients get 57P01.
    pub fn stop(&mut self) {
        let child = self
            .child
            .as_mut()
            .expect("only a private server may be stopped");
        signal(child.id(), Signal::INT);
        wait::until("the end of the stopped server", || {
            child.try_wait().unwrap()
        });
    }

    /// Starts a private server again on its port, after [`Self::kill`] or [`Self::stop`].
    pub fn start(&mut self) {
        let _ = fs::remove_file(self.data.join("postmaster.pid"));
        self.child = Some(spawn(&self.data, self.port, &[], false));
        self.wait_ready();
    }

    fn wait_ready(&self) {
        let login = Login::new(self.port, "postgres", ADMIN);
        wait::until("a PostgreSQL server to accept logins", || {
            Wire::connect(&login).ok()
        });
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        if std::thread::panicking() {
            eprintln!(
                "--- log of the private PostgreSQL server\n{}",
                fs::read_to_string(self.data.join("server.log")).unwrap_or_default()
            );
        }
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        signal(child.id(), Signal::QUIT);
        wait::until("the end of a private server", || {
            child.try_wait().ok().flatten()
        });
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

fn parse_state(path: &Path) -> Option<(u32, u16)> {
    let text = fs::read_to_string(path).ok()?;
    let (pid, port) = text.split_once(' ')?;
    Some((pid.parse().ok()?, port.parse().ok()?))
}

/// A data folder to copy, with roles, certificates and settings. The caller holds `postgres.lock`.
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

fn copy(from: &Path, to: &Path) {
    assert!(
        Command::new("cp")
            .arg("-a")
            .args([from, to])
            .status()
            .unwrap()
            .success()
    );
}

fn spawn(data: &Path, port: u16, arguments: &[&str], outlives_us: bool) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(data.join("server.log"))
        .unwrap();
    let mut command = Command::new(place::postgres_program("postgres"));
    command
        .arg("-D")
        .arg(data)
        .arg("-p")
        .arg(port.to_string())
        .args(arguments);
    place::as_server_owner(&mut command);
    if outlives_us {
        // Out of the group that a test runner ends with the test.
        command.process_group(0);
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Leaves behind a process that ends the shared server once no test has used it for a while.
#[expect(clippy::zombie_processes, reason = "it outlives this process")]
fn reap(pid: u32) {
    let script = format!(
        "while sleep 15 && kill -0 {pid}; do
            flock --nonblock postgres-users.lock sh -c 'kill -INT {pid}; while kill -0 {pid}; do sleep .1; done'
        done"
    );
    Command::new("sh")
        .args(["-c", &script])
        .current_dir(place::shared())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
}

fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    listed
        .split_whitespace()
        .map(|child| child.parse().unwrap())
        .collect()
}

/// Signals one process, by its id; one that has ended is no error.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}
