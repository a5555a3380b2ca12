//! `[general]`.

use super::Source;
use super::translate::log_format;
use crate::config::error::ConfigError;
use crate::config::plan::GeneralPlan;
use crate::telemetry::log::check_filter;
use crate::telemetry::options::LogOptions;

pub(super) fn resolve(source: &Source<'_>) -> Result<GeneralPlan, ConfigError> {
    let raw = &source.raw.general;
    let table = source.table("general", 0, "");
    if let Err(error) = check_filter(&raw.log_level) {
        return Err(table.error("log_level", &error.to_string()));
    }
    if raw.worker_threads > MOST_THREADS {
        let what = format!("must be from 0 to {MOST_THREADS}");
        return Err(table.error("worker_threads", &what));
    }
    if let Some(address) = raw.admin_address {
        let mut listeners = source.raw.listener.iter();
        if let Some(other) = listeners.find(|l| l.address == address && address.port() != 0) {
            let what = format!("listener {:?} has this address already", other.name);
            return Err(table.error("admin_address", &what));
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(GeneralPlan {
        worker_threads: match raw.worker_threads {
            // Most of a proxy's work is the kernel's, and the database or its clients are often on the
            // same machine: of two cores one is left to them.
            0 if cores <= 2 => 1,
            0 => cores.min(MOST_THREADS),
            n => n,
        },
        max_client_conn: raw.max_client_conn,
        max_client_conn_per_address: raw.max_client_conn_per_address,
        admin_address: raw.admin_address,
        admin_commands: raw.admin_commands,
        log: LogOptions {
            filter: raw.log_level.clone(),
            format: log_format(raw.log_format),
        },
        log_connections: raw.log_connections,
        shutdown_timeout: raw.shutdown_timeout.0,
    })
}

/// More than any machine has cores; each takes memory.
const MOST_THREADS: usize = 1024;
