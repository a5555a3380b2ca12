//! The load: two pgbench processes and, where there is MySQL or MariaDB, one for each, all over TLS with
//! everything verified. A few clients send
//! one query after another; many think for a second between two, as web applications' idle
//! connections do.

use std::time::Duration;

use rustix::process::Signal;

use super::DemoOptions;
use super::error::DemoError;
use super::postgres::{ROLE, Tools, url};
use super::process::Process;
use super::proxy::Proxy;
use super::scratch::Scratch;

/// The load's processes, as long as they run.
#[derive(Default)]
pub struct Load {
    pgbench: Vec<Process>,
    /// They go on until they are stopped.
    mysql: Vec<Process>,
    ending: bool,
}

/// What a thinking client does over and over. pgbench fills in the variables.
const THINK: &str = "\
\\set aid random(1, 100000)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
\\sleep 1 s
";

/// Busy clients, at most.
const MAX_BUSY: u32 = 16;

/// The longest that logins may take.
pub const LOGIN_LIMIT: Duration = Duration::from_secs(120);

impl Load {
    /// Starts both.
    pub fn start(
        &mut self,
        options: &DemoOptions,
        tools: &Tools,
        scratch: &Scratch,
        proxy: &Proxy,
    ) -> Result<(), DemoError> {
        let busy = busy_clients(options.clients);
        let thinking = options.clients - busy;
        let script = scratch.write("think.sql", THINK)?;
        let script = script.display().to_string();
        // A limit in case we cannot end it: pgbench counts its logins as part of its time, and
        // nobody knows how long they take.
        let seconds = u64::from(options.seconds) + 2 * LOGIN_LIMIT.as_secs();
        let seconds = seconds.to_string();
        let url = url(scratch, proxy.port(), ROLE, ROLE);
        let token = proxy.token(proxy.port())?;
        for (name, clients, work) in [
            (
                "pgbench-thinking",
                thinking,
                ["-f", script.as_str()].as_slice(),
            ),
            ("pgbench-busy", busy, ["-S", "-M", "prepared"].as_slice()),
        ] {
            let mut pgbench = scratch.command(&tools.program("pgbench"));
            pgbench.args(work).args(["-n", "-T", &seconds]);
            pgbench.env("PGPASSWORD", &token);
            pgbench.args(["-c", &clients.to_string()]);
            pgbench.args(["-j", &clients.min(2).to_string(), &url]);
            self.pgbench
                .push(Process::start(name, &mut pgbench, Signal::INT, scratch)?);
        }
        Ok(())
    }

    /// Adds the load of another engine, which goes on until [`Self::end`].
    pub fn join(&mut self, mysql: Process) {
        self.mysql.push(mysql);
    }

    /// Says that it is time to end. pgbench then lets every client finish what it does, and exits
    /// with 0 if nothing failed: its own clock ends a run by this signal.
    pub fn end(&mut self) {
        for process in &mut self.pgbench {
            process.signal(Signal::ALARM);
        }
        for process in &mut self.mysql {
            process.ask_to_end();
        }
        self.ending = true;
    }

    /// True once all have ended well; an error if one has not.
    pub fn over(&mut self) -> Result<bool, DemoError> {
        let mut over = true;
        for process in &mut self.mysql {
            match process.ended()? {
                Some(status) if !self.ending => return Err(process.failure(status)),
                Some(_) => {}
                None => over = false,
            }
        }
        for process in &mut self.pgbench {
            match process.ended()? {
                // pgbench exits with 2 if any client was cut off.
                Some(status) if !status.success() => return Err(process.failure(status)),
                Some(_) => {}
                None => over = false,
            }
        }
        Ok(over)
    }
}

/// A tenth of the clients, one at least.
fn busy_clients(clients: u32) -> u32 {
    (clients / 10).clamp(1, MAX_BUSY)
}

#[cfg(test)]
mod tests {
    use super::busy_clients;

    #[test]
    fn most_clients_think() {
        for (clients, busy) in [(2, 1), (50, 5), (10_000, 16)] {
            assert_eq!(busy_clients(clients), busy);
        }
    }
}
