//! The running program: builds everything, in order, and takes it down again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{self, ConfigError, Plan};
use crate::net::inherited::take_inherited;
use crate::protocol::mysql::Mysql;
use crate::protocol::postgres::Postgres;
use crate::telemetry::{LogHandle, log};

mod accounts;
pub mod admin;
pub mod commands;
mod desk;
pub mod explaining;
mod judging;
mod lifecycle;
mod look;
mod places;
mod process;
mod sealing;
mod serve;
mod standing;
mod status;
mod surroundings;
mod tokens;
mod vault;
mod ward;
mod workers;
mod world;

pub use world::{BuildError, dialer};

use admin::{Admin, Obey, Obeying, Readiness};
use commands::{CommandError, Verb, Words};
use explaining::Question;
use process::{Process, quotas};
use serve::House;

/// Why the program ended otherwise than it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What it names cannot be used.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Logging cannot be set up.
    #[error(transparent)]
    Log(#[from] log::LogError),
    /// Metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// The system refuses something.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl DaemonError {
    /// True if the person who wrote the configuration can mend it.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Build(_) | Self::Log(_))
    }
}

/// Runs the program with this configuration file until it is told to stop.
///
/// # Errors
/// If it cannot start.
pub fn run(file: &Path) -> Result<(), DaemonError> {
    let inherited = take_inherited()?;
    let plan = Arc::new(config::load(file)?);
    let logs = log::init(&plan.general.log)?;
    for warning in &plan.warnings {
        warn!("{warning}");
    }
    lifecycle::raise_file_limit(&plan);
    let threads = plan.general.worker_threads;
    // Cleaning tasks that are still at work then are cut off.
    workers::run(threads, Duration::from_secs(1), async |workers| {
        let process = Arc::new(Process::new(&plan, inherited, workers)?);
        let daemon = Daemon::build(file, plan, process, logs)?;
        daemon.serve().await
    })?
}

/// Everything, while it runs.
struct Daemon {
    file: PathBuf,
    plan: ArcSwap<Plan>,
    process: Arc<Process>,
    postgres: House<Postgres>,
    mysql: House<Mysql>,
    logs: LogHandle,
    open: AtomicBool,
    draining: AtomicBool,
}

impl Daemon {
    fn build(
        file: &Path,
        plan: Arc<Plan>,
        process: Arc<Process>,
        logs: LogHandle,
    ) -> Result<Self, DaemonError> {
        let postgres = House::build(&plan, &process)?;
        let mysql = House::build(&plan, &process)?;
        Ok(Self {
            file: file.into(),
            plan: ArcSwap::new(plan),
            process,
            postgres,
            mysql,
            logs,
            open: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        })
    }

    async fn serve(self) -> Result<(), DaemonError> {
        let daemon = Arc::new(self);
        // Before anything can be signalled.
        let mut signals = lifecycle::Signals::listen()?;
        let (stop_listening, stop_admin) = (CancellationToken::new(), CancellationToken::new());
        let mut serving = JoinSet::new();
        let sessions = Arc::clone(&daemon.process.sessions);
        let sweep = tokio::spawn(async move { sessions.sweep().await });
        let admin = daemon.open_admin(&stop_admin).await?;
        let process = &daemon.process;
        daemon
            .postgres
            .open(process, &mut serving, &stop_listening)?;
        daemon.mysql.open(process, &mut serving, &stop_listening)?;
        daemon.open.store(true, Ordering::Release);
        lifecycle::notify_ready();
        info!(version = env!("CARGO_PKG_VERSION"), "ready");
        loop {
            match signals.next().await {
                lifecycle::Order::Reload => daemon.reload(),
                lifecycle::Order::Drain => break daemon.drain(&mut signals, &stop_listening).await,
                lifecycle::Order::Fast => break stop_listening.cancel(),
            }
        }
        daemon.draining.store(true, Ordering::Release);
        daemon.end_sessions().await;
        serving.shutdown().await;
        sweep.abort();
        stop_admin.cancel();
        if let Some(admin) = admin {
            // It ends by itself within a second.
            let _ = admin.await;
        }
        info!("stopped");
        Ok(())
    }

    async fn open_admin(
        self: &Arc<Self>,
        stop: &CancellationToken,
    ) -> Result<Option<tokio::task::JoinHandle<()>>, DaemonError> {
        let Some(address) = self.plan.load().general.admin_address else {
            return Ok(None);
        };
        let listener = TcpListener::bind(address).await.map_err(|error| {
            std::io::Error::new(error.kind(), format!("admin_address {address}: {error}"))
        })?;
        info!(address = %listener.local_addr()?, "admin endpoint open");
        let (readiness, status, explain) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        let admin = Admin {
            metrics: self.process.registry.clone(),
            readiness: Arc::new(move || readiness.readiness()),
            status: Arc::new(move || status.status()),
            explain: Arc::new(move |question| explain.explain(question)),
            commands: self.plan.load().general.admin_commands.then(|| {
                let daemon = Arc::clone(self);
                let obey = move |verb, words| -> Obeying {
                    Box::pin(Arc::clone(&daemon).obey(verb, words))
                };
                Arc::new(obey) as Obey
            }),
        };
        let stop = stop.clone();
        Ok(Some(tokio::spawn(async move {
            if let Err(error) = admin::serve(listener, admin, stop).await {
                error!(%error, "admin endpoint failed");
            }
        })))
    }

    fn readiness(&self) -> Readiness {
        if self.draining.load(Ordering::Acquire) {
            Readiness::Draining
        } else if !self.open.load(Ordering::Acquire) {
            Readiness::Starting
        } else if !self.postgres.wards().any_available() && !self.mysql.wards().any_available() {
            Readiness::NoTarget
        } else {
            Readiness::Ready
        }
    }

    fn status(&self) -> serde_json::Value {
        let mut pools = self.postgres.pools().snapshot();
        pools.extend(self.mysql.pools().snapshot());
        let pools: Vec<_> = pools.iter().map(status::pool).collect();
        let mut groups = status::groups(self.postgres.wards());
        groups.extend(status::groups(self.mysql.wards()));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "readiness": self.readiness().as_str(),
            "clients": status::sessions(&self.process.sessions),
            "pools": pools,
            "target_groups": groups,
            "credentials": status::sources(self.process.vault.metrics()),
        })
    }

    /// Carries out what an operator has ordered.
    async fn obey(self: Arc<Self>, verb: Verb, words: Words) -> Result<Value, CommandError> {
        let name = words.target_group.as_deref();
        let postgres = self.postgres.wards().named(name);
        let mysql = self.mysql.wards().named(name);
        match (&*postgres, &*mysql) {
            ([(_, ward)], []) => self.postgres.wards().carry_out(ward, verb, &words).await,
            ([], [(_, ward)]) => self.mysql.wards().carry_out(ward, verb, &words).await,
            ([], []) => Err(unknown_group(name)),
            _ => Err(several_groups()),
        }
    }

    /// Tells where a statement would go.
    fn explain(&self, question: &Question) -> Result<Value, CommandError> {
        let name = question.target_group.as_deref();
        let postgres = self.postgres.wards().named(name);
        let mysql = self.mysql.wards().named(name);
        match (&*postgres, &*mysql) {
            ([(name, ward)], []) => self.postgres.explain(name, ward, question),
            ([], [(name, ward)]) => self.mysql.explain(name, ward, question),
            ([], []) => Err(unknown_group(name)),
            _ => Err(several_groups()),
        }
    }

    /// SIGHUP: the new configuration as a whole, or the old one.
    fn reload(&self) {
        lifecycle::notify_reloading();
        match self.try_reload() {
            Ok(()) => info!(file = %self.file.display(), "configuration reloaded"),
            Err(error) => error!(%error, "configuration not reloaded; the old one stays in force"),
        }
        lifecycle::notify_ready();
    }

    fn try_reload(&self) -> Result<(), DaemonError> {
        let plan = Arc::new(config::load(&self.file)?);
        let (postgres, mysql) = (
            self.postgres.prepare(&plan, &self.process)?,
            self.mysql.prepare(&plan, &self.process)?,
        );
        self.process.vault.adopt(&plan);
        self.postgres.reload(postgres);
        self.mysql.reload(mysql);
        self.logs.set_filter(&plan.general.log.filter)?;
        self.process.limits.set_quotas(quotas(&plan));
        for key in config::difference::needs_restart(&self.plan.load(), &plan) {
            warn!(key, "changed in the configuration, but takes a restart");
        }
        for warning in &plan.warnings {
            warn!("{warning}");
        }
        self.plan.store(plan);
        Ok(())
    }
}

fn unknown_group(name: Option<&str>) -> CommandError {
    let name = name.unwrap_or_default();
    CommandError::Mistaken(format!("there is no target group {name:?}"))
}

fn several_groups() -> CommandError {
    CommandError::Mistaken("name one of the target groups".into())
}
