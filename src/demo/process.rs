//! Child processes that end when their owner is dropped, stopped by their own number.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::GLANCE;
use super::error::DemoError;
use super::scratch::Scratch;

/// A child process whose output goes to a file.
pub struct Process {
    name: &'static str,
    child: Child,
    stop: Signal,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, to be stopped with the signal `stop`. It gets a process group of its
    /// own, so that Ctrl-C reaches only us, who stop things in order.
    pub fn start(
        name: &'static str,
        command: &mut Command,
        stop: Signal,
        scratch: &Scratch,
    ) -> Result<Self, DemoError> {
        Self::launch(name, command, Stdio::null(), stop, scratch)
    }

    fn launch(
        name: &'static str,
        command: &mut Command,
        input: Stdio,
        stop: Signal,
        scratch: &Scratch,
    ) -> Result<Self, DemoError> {
        let log = scratch.path().join(format!("{name}.log"));
        let to = || File::options().create(true).append(true).open(&log);
        let cannot = DemoError::io("cannot write a log");
        command.stdin(input).process_group(0);
        command
            .stdout(to().map_err(&cannot)?)
            .stderr(to().map_err(&cannot)?);
        let child = command
            .spawn()
            .map_err(DemoError::io("cannot start a process"))?;
        Ok(Self {
            name,
            child,
            stop,
            log,
        })
    }

    /// Runs `command` to its end, and returns all that it printed. Stopped if dropped.
    pub async fn run(
        name: &'static str,
        command: &mut Command,
        scratch: &Scratch,
    ) -> Result<String, DemoError> {
        let mut process = Self::start(name, command, Signal::TERM, scratch)?;
        process.end_and_tell().await
    }

    /// The same, with a file for its input.
    pub async fn run_on(
        name: &'static str,
        command: &mut Command,
        input: &Path,
        scratch: &Scratch,
    ) -> Result<String, DemoError> {
        let file = File::open(input).map_err(DemoError::io("cannot read a file"))?;
        let mut process = Self::launch(name, command, file.into(), Signal::TERM, scratch)?;
        process.end_and_tell().await
    }

    async fn end_and_tell(&mut self) -> Result<String, DemoError> {
        self.success().await?;
        let printed = std::fs::read_to_string(&self.log);
        let printed = printed.map_err(DemoError::io("cannot read a log"))?;
        let removed = std::fs::remove_file(&self.log);
        removed.map_err(DemoError::io("cannot remove a log"))?;
        Ok(printed)
    }

    /// Waits for the end; anything but exit code 0 is an error. Cancel safe.
    pub async fn success(&mut self) -> Result<(), DemoError> {
        loop {
            match self.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(self.failure(status)),
                None => tokio::time::sleep(GLANCE).await,
            }
        }
    }

    /// An error if the process has ended.
    pub fn alive(&mut self) -> Result<(), DemoError> {
        match self.ended()? {
            Some(status) => Err(self.failure(status)),
            None => Ok(()),
        }
    }

    /// How the process has ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, DemoError> {
        let cannot = DemoError::io("cannot wait for a process");
        self.child.try_wait().map_err(cannot)
    }

    /// Sends the signal that asks the process to end.
    pub fn ask_to_end(&mut self) {
        self.signal(self.stop);
    }

    /// Awaits `ready` while the process lives, for `patience` at most. Cancel safe if `ready` is.
    pub async fn until<T>(
        &mut self,
        what: &'static str,
        patience: Duration,
        mut ready: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, DemoError> {
        let end = Instant::now() + patience;
        loop {
            self.alive()?;
            if let Some(result) = ready().await {
                return Ok(result);
            }
            if Instant::now() > end {
                return Err(DemoError::TooSlow {
                    name: self.name,
                    what,
                    words: self.last_words(),
                });
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The error that a bad end is.
    pub fn failure(&self, status: ExitStatus) -> DemoError {
        DemoError::Ended {
            name: self.name,
            status,
            words: self.last_words(),
        }
    }

    fn last_words(&self) -> String {
        let printed = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = printed.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(LAST_WORDS)..);
        tail.unwrap_or_default().join("\n")
    }

    /// Sends a signal, unless the process has ended.
    pub fn signal(&mut self, signal: Signal) {
        // Nobody else waits for our child, so as long as this has not seen its end, its number is
        // still its own.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        if let Err(error) = kill_process(Pid::from_child(&self.child), signal) {
            tracing::debug!(%error, name = self.name, "cannot send a signal");
        }
    }

    fn wait_for(&mut self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(GLANCE);
        }
        false
    }
}

impl Drop for Process {
    /// Blocks until the process has ended: its files are removed next.
    fn drop(&mut self) {
        for (signal, patience) in [
            (self.stop, Duration::from_secs(10)),
            // PostgreSQL ends its own children on SIGQUIT, and orphans them on SIGKILL.
            (Signal::QUIT, Duration::from_secs(5)),
            (Signal::KILL, Duration::from_secs(5)),
        ] {
            self.signal(signal);
            if self.wait_for(patience) {
                return;
            }
        }
    }
}

/// Lines of a log that are shown with an error.
const LAST_WORDS: usize = 8;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use rustix::process::{Pid, Signal, test_kill_process};

    use super::{Process, Scratch};
    use crate::demo::error::DemoError;

    fn shell(scratch: &Scratch, script: &str) -> std::process::Command {
        let mut command = scratch.command(Path::new("/bin/sh"));
        command.arg("-c").arg(script);
        command
    }

    #[tokio::test]
    async fn what_a_command_prints_is_returned() {
        let scratch = Scratch::new().unwrap();
        let command = &mut shell(&scratch, "echo out; echo err >&2");
        let printed = Process::run("echo", command, &scratch).await.unwrap();
        assert_eq!(printed, "out\nerr\n");
    }

    #[tokio::test]
    async fn a_bad_end_is_told_with_the_last_words() {
        let scratch = Scratch::new().unwrap();
        let command = &mut shell(&scratch, "seq 20; exit 3");
        let error = Process::run("seq", command, &scratch).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 3") && text.ends_with("\n19\n20"),
            "{text}"
        );
        assert!(!text.contains("\n12\n"), "{text}");
    }

    #[tokio::test]
    async fn waiting_ends_with_the_process_or_with_patience() {
        let scratch = Scratch::new().unwrap();
        let start = |script| {
            let command = &mut shell(&scratch, script);
            Process::start("sh", command, Signal::TERM, &scratch).unwrap()
        };
        let never = async || None::<()>;
        let patience = Duration::from_millis(100);
        let error = start("exec sleep 60").until("wake", patience, never).await;
        assert!(matches!(error, Err(DemoError::TooSlow { .. })));
        let error = start("exit 1")
            .until("wake", Duration::from_secs(60), never)
            .await;
        assert!(matches!(error, Err(DemoError::Ended { .. })));
    }

    #[test]
    fn a_dropped_process_has_ended() {
        let scratch = Scratch::new().unwrap();
        let command = &mut shell(&scratch, "exec sleep 60");
        let process = Process::start("sleep", command, Signal::TERM, &scratch).unwrap();
        let pid = Pid::from_child(&process.child);
        test_kill_process(pid).unwrap();
        drop(process);
        assert!(test_kill_process(pid).is_err());
    }
}
