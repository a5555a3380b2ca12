//! The proxy under test: its configuration, its process, and what it says of itself.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::Signal;
use toml::Value;

use crate::support::{
    certs::Certs,
    mysql, place, postgres, server, wait,
    wire::{self, Wire},
};

type Section = BTreeMap<String, Value>;

/// A configuration in the making; every setting not named has the daemon's default, but for those
/// in [`Settings::for_server`].
#[derive(Clone, Debug)]
pub struct Settings {
    general: Section,
    listener: Section,
    group: Section,
    target: Section,
    users: Vec<Section>,
    databases: Vec<Section>,
    /// Beside the first.
    servers: Vec<Section>,
    secrets: Vec<Section>,
    aws: Section,
    environment: Vec<(String, String)>,
    extra: String,
    server_port: u16,
}

impl Settings {
    /// A proxy before the PostgreSQL server at `server_port` that knows the tests' roles and offers
    /// TLS.
    pub fn for_server(server_port: u16) -> Self {
        let users = [
            postgres::APP,
            postgres::OTHER,
            postgres::ADMIN,
            postgres::APP_MD5,
            postgres::APP_PLAIN,
        ];
        Self::new("postgresql", server_port, &users)
    }

    /// The same before a server of MySQL or MariaDB.
    pub fn for_mysql(server_port: u16) -> Self {
        Self::new("mysql", server_port, &mysql::USERS)
    }

    fn new(engine: &str, server_port: u16, users: &[(&str, &str)]) -> Self {
        let certs = Certs::shared();
        let text = |path: PathBuf| Value::from(path.to_str().unwrap());
        let listener = [
            ("name", "test".into()),
            ("engine", engine.into()),
            ("target_group", "main".into()),
            ("tls_cert_file", text(certs.certificate("server"))),
            ("tls_key_file", text(certs.key("server"))),
        ];
        let group = [
            ("name", "main".into()),
            ("engine", engine.into()),
            ("default_pool_size", 4.into()),
        ];
        let user = |(name, password): &(&str, &str)| {
            section([("name", (*name).into()), ("password", (*password).into())])
        };
        Self {
            general: section([("log_level", "info".into()), ("worker_threads", 2.into())]),
            listener: section(listener),
            group: section(group),
            target: Section::new(),
            users: users.iter().map(user).collect(),
            databases: Vec::new(),
            servers: Vec::new(),
            secrets: Vec::new(),
            aws: Section::new(),
            environment: Vec::new(),
            extra: String::new(),
            server_port,
        }
    }

    /// Sets a key of `[general]`.
    pub fn general(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.general.insert(key.into(), value.into());
        self
    }

    /// Sets a key of the listener.
    pub fn listener(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.listener.insert(key.into(), value.into());
        self
    }

    /// Takes the certificate from the listener.
    pub fn without_tls(mut self) -> Self {
        self.listener.retain(|key, _| !key.starts_with("tls_"));
        self
    }

    /// Sets a key of the target group.
    pub fn group(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.group.insert(key.into(), value.into());
        self
    }

    /// Sets a key of the group's target.
    pub fn target(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.target.insert(key.into(), value.into());
        self
    }

    /// Sets a key of a user, who is added if unknown.
    pub fn user(mut self, name: &str, key: &str, value: impl Into<Value>) -> Self {
        let known = self
            .users
            .iter_mut()
            .find(|user| user["name"].as_str() == Some(name));
        let user = match known {
            Some(user) => user,
            None => {
                self.users.push(section([("name", name.into())]));
                self.users.last_mut().unwrap()
            }
        };
        user.insert(key.into(), value.into());
        self
    }

    /// Adds a `[[database]]`.
    pub fn database<const N: usize>(mut self, entries: [(&str, Value); N]) -> Self {
        self.databases.push(section(entries));
        self
    }

    /// Adds a server to the target group.
    pub fn server<const N: usize>(mut self, port: u16, entries: [(&str, Value); N]) -> Self {
        let mut server = section(entries);
        server.insert("address".into(), format!("127.0.0.1:{port}").into());
        self.servers.push(server);
        self
    }

    /// Leaves the servers of the target group to discovery.
    pub fn without_targets(mut self) -> Self {
        self.group.insert("target".into(), Value::Array(Vec::new()));
        self
    }

    /// Adds a `[[secret]]`.
    pub fn secret<const N: usize>(mut self, entries: [(&str, Value); N]) -> Self {
        self.secrets.push(section(entries));
        self
    }

    /// Sets a key of `[aws]`.
    pub fn aws(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.aws.insert(key.into(), value.into());
        self
    }

    /// Sets a variable in the proxy's environment.
    pub fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Adds tables of other kinds, as they are to stand in the file.
    pub fn extra(mut self, tables: &str) -> Self {
        self.extra.push_str(tables);
        self
    }

    fn render(&self, port: u16, admin_port: u16) -> String {
        let mut text = String::from("[general]\n");
        let _ = writeln!(text, "admin_address = \"127.0.0.1:{admin_port}\"");
        render_section(&mut text, &self.general);
        let _ = writeln!(text, "[[listener]]\naddress = \"127.0.0.1:{port}\"");
        render_section(&mut text, &self.listener);
        text.push_str("[[target_group]]\n");
        render_section(&mut text, &self.group);
        let mut first = self.target.clone();
        first
            .entry("address".into())
            .or_insert_with(|| format!("127.0.0.1:{}", self.server_port).into());
        let named = !self.group.contains_key("target");
        for target in [&first].into_iter().chain(&self.servers).filter(|_| named) {
            text.push_str("[[target_group.target]]\n");
            render_section(&mut text, target);
        }
        text.push_str("[aws]\n");
        render_section(&mut text, &self.aws);
        for (name, sections) in [
            ("user", &self.users),
            ("database", &self.databases),
            ("secret", &self.secrets),
        ] {
            for entries in sections {
                let _ = writeln!(text, "[[{name}]]");
                render_section(&mut text, entries);
            }
        }
        text.push_str(&self.extra);
        text
    }
}

fn section<const N: usize>(entries: [(&str, Value); N]) -> Section {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn render_section(text: &mut String, entries: &Section) {
    for (key, value) in entries {
        let _ = writeln!(text, "{key} = {value}");
    }
}

/// A database of a test, of any engine, that a proxy can stand before.
pub trait Target {
    type Login;
    type Wire;

    /// The usual settings of a proxy before its server.
    fn settings(&self) -> Settings;

    /// How its owner logs in at `port`.
    fn login(&self, port: u16) -> Self::Login;

    /// Logs in, which has to succeed.
    fn connect(login: &Self::Login) -> Self::Wire;
}

impl Target for postgres::Database {
    type Login = wire::Login;
    type Wire = Wire;

    fn settings(&self) -> Settings {
        Settings::for_server(self.server_port)
    }

    fn login(&self, port: u16) -> wire::Login {
        self.login(port)
    }

    fn connect(login: &wire::Login) -> Wire {
        Wire::connect(login).unwrap_or_else(|refused| panic!("{refused:?}"))
    }
}

impl Target for mysql::Database {
    type Login = mysql::login::Login;
    type Wire = mysql::wire::Wire;

    fn settings(&self) -> Settings {
        Settings::for_mysql(self.server_port)
    }

    fn login(&self, port: u16) -> mysql::login::Login {
        self.login(port)
    }

    fn connect(login: &mysql::login::Login) -> mysql::wire::Wire {
        mysql::wire::Wire::connect(login).unwrap_or_else(|refused| panic!("{refused:?}"))
    }
}

/// A running proxy; killed when dropped. Having died or panicked by then is a failure of the test.
#[derive(Debug)]
pub struct Sluice {
    /// Where clients connect, on 127.0.0.1.
    pub port: u16,
    /// Where `/metrics` and its neighbours are.
    pub admin_port: u16,
    /// None with `SLUICE_TEST_DIRECT`.
    child: Option<Child>,
    dir: tempfile::TempDir,
    ended: bool,
}

impl Sluice {
    /// A proxy with the usual settings before the server of `database`.
    pub fn before(database: &impl Target) -> Self {
        Self::start(&database.settings())
    }

    /// A proxy whose server connections number at most `size` for each user and database.
    pub fn with_pool(database: &impl Target, size: u32) -> Self {
        Self::start(
            &database
                .settings()
                .group("default_pool_size", i64::from(size)),
        )
    }

    /// Starts the binary and waits until it is ready for clients.
    pub fn start(settings: &Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        if is_direct() {
            return Self {
                port: settings.server_port,
                admin_port: 0,
                child: None,
                dir,
                ended: true,
            };
        }
        let (port, admin_port) = (place::free_port(), place::free_port());
        fs::write(
            dir.path().join("sluice.toml"),
            settings.render(port, admin_port),
        )
        .unwrap();
        let mut proxy = Self {
            port,
            admin_port,
            child: None,
            dir,
            ended: false,
        };
        proxy.spawn(&settings.environment);
        proxy.wait_ready();
        proxy
    }

    fn spawn(&mut self, environment: &[(String, String)]) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .unwrap();
        let mut command = Command::new(program());
        command
            .arg("run")
            .arg("--config")
            .arg(self.dir.path().join("sluice.toml"));
        command.env_remove("RUST_LOG").env("RUST_BACKTRACE", "1");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    fn wait_ready(&mut self) {
        wait::until("the proxy to be ready", || {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.ended = true;
                panic!("the proxy ended with {status}");
            }
            let ready = TcpStream::connect(("127.0.0.1", self.admin_port)).is_ok()
                && self.get("/readyz").0 == 200;
            ready.then_some(())
        });
    }

    /// The process id of the proxy.
    pub fn pid(&self) -> u32 {
        self.child
            .as_ref()
            .expect("no proxy runs with SLUICE_TEST_DIRECT")
            .id()
    }

    /// Logs in as the owner of `database`.
    pub fn connect<T: Target>(&self, database: &T) -> T::Wire {
        T::connect(&database.login(self.port))
    }

    /// How the owner of `database` logs in here.
    pub fn login<T: Target>(&self, database: &T) -> T::Login {
        database.login(self.port)
    }

    /// Status code and body of a page of the admin address.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin_port)).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        )
    }

    /// The sum of a metric over its labels, or over those series whose labels contain `labels`.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let (status, page) = self.get("/metrics");
        assert_eq!(status, 200);
        page.lines()
            .filter_map(|line| {
                let rest = line.strip_prefix(name)?;
                let (series, value) = rest.rsplit_once(' ')?;
                let right =
                    (series.is_empty() || series.starts_with('{')) && series.contains(labels);
                right.then(|| value.parse::<f64>().unwrap())
            })
            .sum()
    }

    /// `/status`, which is JSON.
    pub fn status(&self) -> serde_json::Value {
        let (status, page) = self.get("/status");
        assert_eq!(status, 200);
        serde_json::from_str(&page).unwrap()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Its configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("sluice.toml")
    }

    /// Rewrites the configuration file, without telling the proxy.
    pub fn rewrite(&self, settings: &Settings) {
        fs::write(
            self.dir.path().join("sluice.toml"),
            settings.render(self.port, self.admin_port),
        )
        .unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        server::signal(self.pid(), signal);
    }

    /// Waits for the proxy to end by itself, or after a signal.
    pub fn wait_end(&mut self) -> ExitStatus {
        let child = self.child.as_mut().unwrap();
        let status = wait::until("the end of the proxy", || child.try_wait().unwrap());
        self.ended = true;
        status
    }
}

impl Drop for Sluice {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let died = child.try_wait().unwrap().filter(|_| !self.ended);
        let _ = child.kill();
        let _ = child.wait();
        let log = self.log();
        if std::thread::panicking() {
            let skipped = log.lines().count().saturating_sub(200);
            let tail: Vec<&str> = log.lines().skip(skipped).collect();
            eprintln!("--- log of the proxy\n{}\n---", tail.join("\n"));
            return;
        }
        assert!(died.is_none(), "the proxy died with {died:?}:\n{log}");
        assert!(!log.contains("panicked at"), "the proxy panicked:\n{log}");
    }
}

/// Whether clients are to connect to the server itself.
pub fn is_direct() -> bool {
    std::env::var_os("SLUICE_TEST_DIRECT").is_some()
}

/// The binary under test: the one built with the tests, or another that `SLUICE_TEST_PROGRAM` names.
pub fn program() -> std::ffi::OsString {
    std::env::var_os("SLUICE_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_sluice").into())
}
