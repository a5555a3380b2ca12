//! The command line. Exit codes: 0 success; 1 failure; 2 usage or configuration.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use crate::auth::jwt::publisher::Publisher;
use crate::config::{self, Plan};
use crate::daemon::commands::Words;
use crate::daemon::explaining::Question;
use crate::daemon::{self, BuildError, DaemonError};
use crate::demo::{self, DemoOptions};
use crate::explain::{self, ExplainOptions};
use crate::net::ServerTls;

mod orders;
mod token;

use token::TokenOptions;

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
    /// Hold new transactions of a running Sluice, and wait until none is under way.
    Pause(OrderOptions),
    /// Let held transactions go.
    Resume(OrderOptions),
    /// Change the primary of a target group on purpose: hold new transactions, let running ones
    /// end, promote, release.
    Switchover(SwitchoverOptions),
    /// Show Sluice at work, in front of throwaway servers with replicas on this machine.
    Demo(DemoOptions),
    /// Tell which server a statement would go to where reads go to replicas, and why.
    ExplainRoute(ExplainRouteOptions),
    /// Print an IAM token for a database user, as `aws rds generate-db-auth-token` does.
    Token(TokenOptions),
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

/// To whom an order goes, and how long it may take.
#[derive(Debug, Args)]
struct OrderOptions {
    #[command(flatten)]
    config: ConfigFile,
    /// The target group; may be left out where there is one.
    #[arg(long, value_name = "NAME")]
    target_group: Option<String>,
    /// How long it may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    deadline: humantime::Duration,
}

#[derive(Debug, Args)]
struct SwitchoverOptions {
    #[command(flatten)]
    order: OrderOptions,
    /// The next primary; without it, the replica that has come furthest.
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,
    /// Have the servers of another target group serve this one's clients; its own name takes its
    /// own servers back.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["to", "no_promote"])]
    to_group: Option<String>,
    /// Do not promote: wait until somebody else has.
    #[arg(long)]
    no_promote: bool,
}

#[derive(Debug, Args)]
struct ExplainRouteOptions {
    #[command(flatten)]
    explain: ExplainOptions,
    /// Ask the Sluice that runs with this configuration: it knows its databases' functions and views, and which
    /// server would be taken.
    #[arg(long, conflicts_with_all = ["engine", "catalogue", "catalogue_query"])]
    live: bool,
    #[command(flatten)]
    config: ConfigFile,
    /// With --live: the target group; may be left out where there is one.
    #[arg(long, value_name = "NAME", requires = "live")]
    target_group: Option<String>,
    /// With --live: the database; may be left out where clients use one.
    #[arg(long, value_name = "NAME", requires = "live")]
    database: Option<String>,
    /// With --live: the user on the server, where functions and views are known by user (MySQL, MariaDB).
    #[arg(long, value_name = "NAME", requires = "live")]
    user: Option<String>,
}

impl OrderOptions {
    fn send(&self, verb: &str) -> ExitCode {
        orders::send(&self.config.file, verb, &self.words(), orders::print)
    }

    fn words(&self) -> Words {
        Words {
            target_group: self.target_group.clone(),
            deadline_ms: u64::try_from(self.deadline.as_millis()).ok(),
            ..Words::default()
        }
    }
}

impl SwitchoverOptions {
    fn words(&self) -> Words {
        Words {
            to: self.to.clone(),
            to_group: self.to_group.clone(),
            no_promote: self.no_promote,
            ..self.order.words()
        }
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(ConfigFile { file }) => run(&file),
        Command::Check(ConfigFile { file }) => check(&file),
        Command::Pause(options) => options.send("pause"),
        Command::Resume(options) => options.send("resume"),
        Command::Switchover(options) => {
            let file = &options.order.config.file;
            orders::send(file, "switchover", &options.words(), orders::print)
        }
        Command::Demo(options) => demo::run(&options),
        Command::ExplainRoute(options) => explain_route(&options),
        Command::Token(options) => token::run(&options),
    }
}

/// By the files at hand, or by what a running program knows.
fn explain_route(options: &ExplainRouteOptions) -> ExitCode {
    if !options.live {
        return explain::run(&options.explain);
    }
    let question = match options.explain.text() {
        Ok(sql) => Question {
            sql,
            target_group: options.target_group.clone(),
            database: options.database.clone(),
            user: options.user.clone(),
        },
        Err(why) => return complain(&[why], CONFIGURATION),
    };
    let file = &options.config.file;
    orders::send(file, "explain-route", &question, explain::print_answer)
}

fn run(file: &Path) -> ExitCode {
    match daemon::run(file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(DaemonError::Config(error)) => complain(error.problems(), CONFIGURATION),
        Err(error) if error.is_configuration() => complain(&[error], CONFIGURATION),
        Err(error) => complain(&[error], FAILURE),
    }
}

fn check(file: &Path) -> ExitCode {
    let (shown, plan) = match config::show(file) {
        Ok(checked) => checked,
        Err(error) => return complain(error.problems(), CONFIGURATION),
    };
    if let Err(error) = try_tls(&plan) {
        return complain(&[error], CONFIGURATION);
    }
    for warning in &plan.warnings {
        eprintln!("warning: {warning}");
    }
    // Whoever reads may have seen enough.
    let _ = std::io::stdout().write_all(shown.as_bytes());
    ExitCode::SUCCESS
}

/// Reads all certificates and keys as the daemon would.
fn try_tls(plan: &Plan) -> Result<(), BuildError> {
    for listener in &plan.listeners {
        if let Some(options) = &listener.tls {
            let loaded = ServerTls::load(options, &[]);
            loaded.map_err(|source| BuildError::Listener {
                listener: Arc::clone(&listener.name),
                source,
            })?;
        }
    }
    for group in &plan.groups {
        for seed in &group.topology.seeds {
            let dialer = daemon::dialer(group, seed);
            dialer.map_err(|source| BuildError::Group {
                group: Arc::clone(&group.name),
                source,
            })?;
        }
    }
    for issuer in &plan.tokens.issuers {
        let publisher = Publisher::new(Arc::clone(issuer));
        publisher.map_err(|source| BuildError::Issuer {
            issuer: Arc::clone(&issuer.name),
            source,
        })?;
    }
    Ok(())
}

/// One line for each problem.
fn complain(problems: &[impl Display], code: u8) -> ExitCode {
    for problem in problems {
        eprintln!("sluice: {problem}");
    }
    ExitCode::from(code)
}

const FAILURE: u8 = 1;
const CONFIGURATION: u8 = 2;
