//! A replica of the demo's PostgreSQL, so that there is something to read from and to fail over to.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use super::error::DemoError;
use super::ports;
use super::postgres::{self, Postgres, SUPERUSER, Tools, is_ready};
use super::process::Process;
use super::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(60);

/// The running replica.
pub struct Replica {
    process: Process,
    port: u16,
}

impl Replica {
    /// Copies the primary and follows it, and waits until it lets clients in. Cancel safe: what was
    /// started is stopped.
    pub async fn start(
        tools: &Tools,
        scratch: &Scratch,
        primary: &Postgres,
    ) -> Result<Self, DemoError> {
        let data = scratch.data_folder("replica")?;
        let mut copy = scratch.as_postgres(&tools.program("pg_basebackup"));
        copy.args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-w", "-D"]);
        // libpq looks for a certificate of ours below it, where that account may not look.
        copy.env("HOME", scratch.path());
        copy.arg(&data).arg("-d");
        copy.arg(postgres::url(scratch, primary.port(), SUPERUSER, SUPERUSER));
        Process::run("pg_basebackup", &mut copy, scratch).await?;
        let port = ports::free()?;
        let mut command = scratch.as_postgres(&tools.program("postgres"));
        command.arg("-D").arg(&data).arg("-p").arg(port.to_string());
        command.env("HOME", scratch.path());
        let mut process = Process::start("replica", &mut command, Signal::INT, scratch)?;
        let status = data.join("postmaster.pid");
        let up = async || is_ready(&fs::read_to_string(&status).ok()?).then_some(());
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
