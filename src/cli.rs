//! The command line. Exit codes: 0 success; 1 failure; 2 usage or configuration.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::{config, daemon};

/// A database proxy that multiplexes thousands of clients over few server connections.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients until told to stop (SIGTERM drains, SIGINT stops at once, SIGHUP reloads).
    Run(ConfigFile),
    /// Check the configuration and print it with all defaults filled in and secrets redacted.
    Check(ConfigFile),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(
        short = 'c',
        long = "config",
        env = "SLUICE_CONFIG",
        default_value = "/etc/sluice/sluice.toml",
        value_name = "FILE"
    )]
    file: PathBuf,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(ConfigFile { file }) => run(&file),
        Command::Check(ConfigFile { file }) => check(&file),
    }
}

fn run(file: &Path) -> ExitCode {
    match daemon::run(file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_configuration() => complain(&error, CONFIGURATION),
        Err(error) => complain(&error, FAILURE),
    }
}

fn check(file: &Path) -> ExitCode {
    match config::show(file) {
        Ok((shown, plan)) => {
            print!("{shown}");
            for warning in &plan.warnings {
                eprintln!("warning: {warning}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error, CONFIGURATION),
    }
}

fn complain(error: &dyn Display, code: u8) -> ExitCode {
    eprintln!("sluice: {error}");
    ExitCode::from(code)
}

const FAILURE: u8 = 1;
const CONFIGURATION: u8 = 2;
