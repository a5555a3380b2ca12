//! Why the demo cannot go on, in words for whoever started it.

use std::io;
use std::process::ExitStatus;

/// Why the demo ended early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// PostgreSQL's programs are not installed.
    #[error(
        "needs PostgreSQL's initdb, pg_basebackup, postgres, psql and pgbench, in PATH or below \
         /usr/lib/postgresql.\n  Debian, Ubuntu: apt-get install postgresql postgresql-contrib\n  \
         Fedora, RHEL:   dnf install postgresql-server postgresql-contrib"
    )]
    NoPostgres,
    /// PostgreSQL refuses to run as root, and there is nobody else to run it as.
    #[error("started by root, it needs a user postgres or nobody to run PostgreSQL as")]
    NoAccount,
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A process ended that should have stayed, or ended badly.
    #[error("{name} ended with {status}:\n{words}")]
    Ended {
        /// The process.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        words: String,
    },
    /// A process does not answer.
    #[error("{name} did not {what} in time:\n{words}")]
    TooSlow {
        /// The process.
        name: &'static str,
        /// What it should have done.
        what: &'static str,
        /// The end of what it printed.
        words: String,
    },
    /// Sluice answered with something unexpected.
    #[error("{0}")]
    Unexpected(String),
    /// A signal ended the demo before it could show everything.
    #[error("interrupted")]
    Interrupted,
}

impl DemoError {
    /// For `map_err`: adds what was tried.
    pub fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
