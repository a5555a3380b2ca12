//! One `[[listener]]`.

use std::sync::Arc;

use super::translate::{
    auth_method, client_cert, consistency, engine, pool_mode, target_role, tls_version,
};
use super::{Table, tokens};
use crate::config::error::ConfigError;
use crate::config::plan::{ClientLimits, ListenerPlan};
use crate::config::raw;
use crate::net::options::{ClientCert, ListenOptions, ServerTlsOptions};
use crate::session::options::SplitOptions;

pub(super) fn resolve(
    table: &Table<'_>,
    raw: &raw::Listener,
    warnings: &mut Vec<String>,
) -> Result<ListenerPlan, ConfigError> {
    address(table, raw)?;
    table.at_least_one("backlog", raw.backlog)?;
    table.not_zero("client_login_timeout", raw.client_login_timeout)?;
    if raw.max_prepared_statements_per_client == 0 {
        let key = "max_prepared_statements_per_client";
        return Err(table.error(key, "must be at least 1"));
    }
    let tls = tls(table, raw)?;
    if tls.is_none() && !raw.is_loopback() {
        warnings.push(format!(
            "listener {:?} takes clients from other machines without TLS",
            raw.name
        ));
    }
    Ok(ListenerPlan {
        name: (&*raw.name).into(),
        engine: engine(raw.engine),
        listen: ListenOptions {
            address: raw.address,
            backlog: raw.backlog,
            client_first: raw.engine == raw::Engine::Postgresql,
            keepalive: table.keepalive(
                raw.tcp_keepalive_idle,
                raw.tcp_keepalive_interval,
                raw.tcp_keepalive_count,
                raw.tcp_user_timeout,
            )?,
        },
        group: group(table, raw)?,
        tls,
        require_tls: raw.require_tls,
        auth_method: raw.auth_method.map(auth_method),
        public_key_retrieval: raw.public_key_retrieval,
        tokens: tokens::listener(table, raw)?,
        pool_mode: raw.pool_mode.map(pool_mode),
        target_role: target_role(raw.target_role),
        split: SplitOptions {
            consistency: consistency(raw.read_consistency),
            wait: raw.replica_wait_timeout.0,
        },
        max_client_conn: raw.max_client_conn,
        limits: limits(raw),
    })
}

/// No other listener has its address; any number may ask for a port of the system's choice.
fn address(table: &Table<'_>, raw: &raw::Listener) -> Result<(), ConfigError> {
    let mut before = table.source.raw.listener.iter().take(table.index);
    match before.find(|other| other.address == raw.address && raw.address.port() != 0) {
        Some(other) => {
            let what = format!("listener {:?} has this address already", other.name);
            Err(table.error("address", &what))
        }
        None => Ok(()),
    }
}

fn group(table: &Table<'_>, raw: &raw::Listener) -> Result<Option<Arc<str>>, ConfigError> {
    let file = table.source.raw;
    if let Some(name) = table.group("target_group", raw.target_group.as_deref())? {
        let named = file.target_group.iter().find(|group| *group.name == *name);
        if named.is_some_and(|group| group.engine != raw.engine) {
            return Err(table.error("target_group", "speaks another `engine` than the listener"));
        }
        return Ok(Some(name));
    }
    let mut groups = file.target_group.iter().filter(|g| g.engine == raw.engine);
    match (groups.next(), groups.next()) {
        (Some(only), None) => Ok(Some((&*only.name).into())),
        _ if !file.database.is_empty() => Ok(None),
        (None, _) if file.target_group.is_empty() => Ok(None),
        (None, _) => Err(table.error("engine", "no target group speaks it")),
        (Some(_), Some(_)) => Err(table.error("target_group", "name one of the target groups")),
    }
}

fn limits(raw: &raw::Listener) -> ClientLimits {
    let any = raw.allow_startup_options.iter().any(|name| name == "*");
    let lower = |names: &[String]| names.iter().map(|n| n.to_ascii_lowercase()).collect();
    ClientLimits {
        login_timeout: raw.client_login_timeout.0,
        idle_client_timeout: raw.idle_client_timeout.0,
        idle_transaction_timeout: raw.idle_transaction_timeout.0,
        query_timeout: raw.query_timeout.0,
        allow_options: (!any).then(|| lower(&raw.allow_startup_options)),
        ignore_options: lower(&raw.ignore_startup_options),
        max_statements: raw.max_prepared_statements_per_client,
    }
}

fn tls(table: &Table<'_>, raw: &raw::Listener) -> Result<Option<ServerTlsOptions>, ConfigError> {
    let cert = table.file("tls_cert_file", raw.tls_cert_file.as_ref())?;
    let key = table.file("tls_key_file", raw.tls_key_file.as_ref())?;
    let client_ca_file = table.file("tls_client_ca_file", raw.tls_client_ca_file.as_ref())?;
    let client_cert = client_cert(raw.tls_client_cert);
    if client_cert != ClientCert::Off && client_ca_file.is_none() {
        return Err(table.error("tls_client_cert", "needs tls_client_ca_file"));
    }
    let (cert_file, key_file) = match (cert, key) {
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => return Err(table.error("tls_cert_file", "needs tls_key_file beside it")),
        (None, Some(_)) => return Err(table.error("tls_key_file", "needs tls_cert_file beside it")),
        (None, None) if raw.require_tls => return Err(table.error("require_tls", NEEDS_BOTH)),
        (None, None) if client_ca_file.is_some() => {
            return Err(table.error("tls_client_ca_file", NEEDS_BOTH));
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(ServerTlsOptions {
        cert_file,
        key_file,
        client_ca_file,
        client_cert,
        min_version: tls_version(raw.tls_min_version),
    }))
}

const NEEDS_BOTH: &str = "needs tls_cert_file and tls_key_file";
