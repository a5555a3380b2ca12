//! Sluice itself, as a process of its own with a configuration file like anybody's.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::process::Signal;

use super::error::DemoError;
use super::mysql;
use super::postgres::{MONITOR, ROLE, Tools, query, url};
use super::process::Process;
use super::replica::Replica;
use super::scrape::{self, Sample};
use super::scratch::Scratch;
use super::servers::Servers;
use super::token::Signer;
use super::{certs, ports};

/// Server connections that all clients share.
pub const POOL_SIZE: u32 = 10;

/// Where the key of the clients' tokens is.
const KEY_FILE: &str = "demo.key";

const PATIENCE: Duration = Duration::from_secs(30);

/// The running proxy.
pub struct Proxy {
    process: Process,
    port: u16,
    reads_port: u16,
    /// In the order of the servers.
    mysql_ports: Vec<u16>,
    admin_port: u16,
    signer: Signer,
}

impl Proxy {
    /// Starts our own program on a configuration for the servers, without waiting for it to be up.
    pub fn start(scratch: &Scratch, servers: &Servers, port: u16) -> Result<Self, DemoError> {
        let Servers {
            postgres,
            replica,
            mysql,
        } = servers;
        let (admin_port, reads_port) = (ports::free()?, ports::free()?);
        let mysql_ports = mysql.iter().map(|_| ports::free());
        let mysql_ports: Vec<u16> = mysql_ports.collect::<Result<_, _>>()?;
        scratch.write_private("demo.password", scratch.password())?;
        let signer = Signer::new()?;
        scratch.write_private(KEY_FILE, signer.key())?;
        let targets: Vec<u16> = [postgres.port()]
            .into_iter()
            .chain(replica.iter().map(Replica::port))
            .collect();
        let mut text = config(port, reads_port, admin_port, &targets);
        for (port, pair) in mysql_ports.iter().zip(mysql) {
            text += &mysql_config(pair.kind().short(), *port, pair.ports());
        }
        text += &signer.tables(KEY_FILE, ROLE);
        let config = scratch.write_private("sluice.toml", &text)?;
        let program = std::env::current_exe().map_err(DemoError::io("cannot find ourselves"))?;
        let mut command = scratch.command(&program);
        command.arg("run").arg("--config").arg(config);
        let process = Process::start("sluice", &mut command, Signal::TERM, scratch)?;
        Ok(Self {
            process,
            port,
            reads_port,
            mysql_ports,
            admin_port,
            signer,
        })
    }

    /// Waits until Sluice says that it is alive, sends the first query through it, and returns
    /// the name and version of the server. Cancel safe.
    pub async fn first_query(
        &mut self,
        tools: &Tools,
        scratch: &Scratch,
    ) -> Result<String, DemoError> {
        let admin = self.admin();
        let alive = async || scrape::get(admin, "/livez").await.ok();
        self.process.until("come up", PATIENCE, alive).await?;
        let sql = "SELECT 'PostgreSQL ' || current_setting('server_version')";
        let mut psql = query(tools, scratch, &self.url(scratch), sql);
        psql.env("PGPASSWORD", self.token(self.port)?);
        let version = Process::run("psql", &mut psql, scratch).await?;
        // Its distribution is of no interest: `15.14 (Debian 15.14-0+deb12u1)`.
        let version = version.split(" (").next().unwrap_or_default();
        let ready = async || scrape::get(admin, "/readyz").await.ok();
        self.process.until("become ready", PATIENCE, ready).await?;
        Ok(version.trim().to_owned())
    }

    /// Sends a query through the listener for MySQL, and returns the version of the server.
    /// Cancel safe.
    pub async fn first_mysql_query(
        &mut self,
        tools: &mysql::Tools,
        port: u16,
        scratch: &Scratch,
    ) -> Result<String, DemoError> {
        let token = self.token(port)?;
        let mut client = tools.query(scratch, port, &token, "SELECT VERSION()");
        let version = Process::run("mysql", &mut client, scratch).await?;
        // Clients warn of this or that before the result.
        let version = version.lines().last().unwrap_or_default();
        let version = version.split('-').next().unwrap_or_default();
        Ok(format!("{} {version}", tools.name()))
    }

    /// Reads its metrics. Cancel safe.
    pub async fn sample(&mut self) -> Result<Sample, DemoError> {
        self.process.alive()?;
        let text = scrape::get(self.admin(), "/metrics").await;
        let text = text.map_err(DemoError::io("cannot read Sluice's metrics"))?;
        Ok(Sample::read(&text))
    }

    /// Asks it to end, and waits until it has; anything but a clean end is an error.
    pub async fn finish(&mut self) -> Result<(), DemoError> {
        self.process.ask_to_end();
        let ended = tokio::time::timeout(PATIENCE, self.process.success()).await;
        ended.unwrap_or(Err(DemoError::TooSlow {
            name: "sluice",
            what: "end",
            words: String::new(),
        }))
    }

    /// A token for clients of one of its ports.
    pub fn token(&self, port: u16) -> Result<String, DemoError> {
        self.signer.token(port, ROLE)
    }

    /// What signs tokens.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// A libpq connection string for its clients.
    pub fn url(&self, scratch: &Scratch) -> String {
        url(scratch, self.port, ROLE, ROLE)
    }

    /// The same for clients who only read.
    pub fn reads_url(&self, scratch: &Scratch) -> String {
        url(scratch, self.reads_port, ROLE, ROLE)
    }

    /// The port that clients who only read connect to.
    pub fn reads_port(&self) -> u16 {
        self.reads_port
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The ports that clients of MySQL and MariaDB connect to, in the order of the servers.
    pub fn mysql_ports(&self) -> &[u16] {
        &self.mysql_ports
    }

    /// The port of the operators' endpoint.
    pub fn admin_port(&self) -> u16 {
        self.admin_port
    }

    fn admin(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.admin_port).into()
    }
}

/// The configuration file. Paths are relative to its folder.
fn config(port: u16, reads_port: u16, admin_port: u16, servers: &[u16]) -> String {
    let (cert, key) = certs::SLUICE;
    let (tokens, read_tokens) = (Signer::listener(port), Signer::listener(reads_port));
    let targets: String = servers
        .iter()
        .map(|port| format!("\n[[target_group.target]]\naddress = \"127.0.0.1:{port}\"\n"))
        .collect();
    let ca = certs::CA;
    format!(
        "[general]\n\
         admin_address = \"127.0.0.1:{admin_port}\"\n\
         log_connections = false\n\
         shutdown_timeout = \"5s\"\n\
         \n\
         [[listener]]\n\
         name = \"demo\"\n\
         engine = \"postgresql\"\n\
         address = \"127.0.0.1:{port}\"\n\
         target_group = \"demo\"\n\
         target_role = \"split\"\n\
         require_tls = true\n\
         tls_cert_file = \"{cert}\"\n\
         tls_key_file = \"{key}\"\n\
         {tokens}\
         \n\
         [[listener]]\n\
         name = \"demo-reads\"\n\
         engine = \"postgresql\"\n\
         address = \"127.0.0.1:{reads_port}\"\n\
         target_group = \"demo\"\n\
         target_role = \"read_only\"\n\
         require_tls = true\n\
         tls_cert_file = \"{cert}\"\n\
         tls_key_file = \"{key}\"\n\
         {read_tokens}\
         \n\
         [[target_group]]\n\
         name = \"demo\"\n\
         engine = \"postgresql\"\n\
         monitor_user = \"{MONITOR}\"\n\
         default_pool_size = {POOL_SIZE}\n\
         server_tls_mode = \"verify-full\"\n\
         server_tls_ca_file = \"{ca}\"\n\
         {targets}\
         \n\
         [[user]]\n\
         name = \"{MONITOR}\"\n\
         password_file = \"demo.password\"\n\
         \n\
         [[user]]\n\
         name = \"{ROLE}\"\n\
         password_file = \"demo.password\"\n"
    )
}

/// What is added for a MySQL or MariaDB.
fn mysql_config(name: &str, port: u16, servers: [u16; 2]) -> String {
    let (cert, key) = certs::SLUICE;
    let tokens = Signer::listener(port);
    let ca = certs::CA;
    let [primary, replica] = servers;
    format!(
        "\n\
         [[listener]]\n\
         name = \"demo-{name}\"\n\
         engine = \"mysql\"\n\
         address = \"127.0.0.1:{port}\"\n\
         target_group = \"demo-{name}\"\n\
         target_role = \"split\"\n\
         require_tls = true\n\
         tls_cert_file = \"{cert}\"\n\
         tls_key_file = \"{key}\"\n\
         {tokens}\
         \n\
         [[target_group]]\n\
         name = \"demo-{name}\"\n\
         engine = \"mysql\"\n\
         monitor_user = \"{MONITOR}\"\n\
         default_pool_size = {POOL_SIZE}\n\
         server_tls_mode = \"verify-full\"\n\
         server_tls_ca_file = \"{ca}\"\n\
         \n\
         [[target_group.target]]\n\
         address = \"127.0.0.1:{primary}\"\n\
         \n\
         [[target_group.target]]\n\
         address = \"127.0.0.1:{replica}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::{KEY_FILE, POOL_SIZE, ROLE, Signer, config, mysql_config};
    use crate::demo::certs;
    use crate::demo::scratch::Scratch;

    #[test]
    fn the_configuration_is_read_without_warnings() {
        let scratch = Scratch::new().unwrap();
        certs::write(&scratch).unwrap();
        scratch.write_private("demo.password", "x").unwrap();
        let signer = Signer::new().unwrap();
        scratch.write_private(KEY_FILE, signer.key()).unwrap();
        let tables = signer.tables(KEY_FILE, ROLE);
        let text = config(1, 6, 2, &[3, 7])
            + &mysql_config("mysql", 4, [5, 8])
            + &mysql_config("mariadb", 9, [10, 11])
            + &tables;
        let file = scratch.write("sluice.toml", &text).unwrap();
        let plan = crate::config::load(&file).unwrap();
        assert_eq!(plan.warnings, Vec::<String>::new());
        assert!(plan.listeners[0].require_tls);
        assert!(plan.groups.iter().all(|group| group.pool.size == POOL_SIZE));
    }
}
