//! One `[[listener]]`.

use super::{
    ABOVE_ZERO, AT_LEAST_ONE, Source, auth_method, client_cert, engine, group_named, keepalive,
    place, pool_mode, tls_version,
};
use crate::config::error::ConfigError;
use crate::config::plan::{ClientLimits, ListenerPlan};
use crate::config::raw;
use crate::model::AuthMethod;
use crate::net::options::{ClientCert, ListenOptions, ServerTlsOptions};

pub(super) fn resolve(
    source: &Source<'_>,
    index: usize,
    raw: &raw::Listener,
    warnings: &mut Vec<String>,
) -> Result<ListenerPlan, ConfigError> {
    let at = |key| place("listener", index, &raw.name, key);
    check(source, index, raw)?;
    let group = match group_named(source, &at("target_group"), raw.target_group.as_deref())? {
        Some(group) => Some(group),
        None => match &*source.raw.target_group {
            [only] => Some((&*only.name).into()),
            _ if source.raw.database.iter().any(|d| d.target_group.is_some()) => None,
            _ => {
                let what = "is needed, as there are several target groups";
                return Err(source.error(&at("target_group"), what));
            }
        },
    };
    let tls = tls(source, index, raw)?;
    let method = auth_method(raw.auth_method);
    if let Some(problem) = problem(method, raw.is_loopback(), tls.as_ref()) {
        return Err(source.error(&at("auth_method"), problem));
    }
    if tls.is_none() && !raw.is_loopback() {
        warnings.push(format!(
            "listener \"{}\" takes clients from other machines without TLS",
            raw.name
        ));
    }
    Ok(ListenerPlan {
        name: (&*raw.name).into(),
        engine: engine(raw.engine),
        listen: ListenOptions {
            address: raw.address,
            backlog: raw.backlog,
            keepalive: keepalive(
                raw.tcp_keepalive_idle,
                raw.tcp_keepalive_interval,
                raw.tcp_keepalive_count,
                raw.tcp_user_timeout,
            ),
        },
        group,
        tls,
        require_tls: raw.require_tls,
        auth_method: method,
        pool_mode: raw.pool_mode.map(pool_mode),
        max_client_conn: raw.max_client_conn,
        limits: limits(raw),
    })
}

/// Ranges, and listeners beside each other.
fn check(source: &Source<'_>, index: usize, raw: &raw::Listener) -> Result<(), ConfigError> {
    let at = |key| place("listener", index, &raw.name, key);
    for (key, zero) in [
        (
            "max_prepared_statements_per_client",
            raw.max_prepared_statements_per_client == 0,
        ),
        ("backlog", raw.backlog == 0),
        ("tcp_keepalive_count", raw.tcp_keepalive_count == 0),
    ] {
        if zero {
            return Err(source.error(&at(key), AT_LEAST_ONE));
        }
    }
    if raw.client_login_timeout.0.is_zero() {
        return Err(source.error(&at("client_login_timeout"), ABOVE_ZERO));
    }
    let mut before = source.raw.listener.iter().take(index);
    // Of port 0 the system makes a different one each time.
    if let Some(other) = before.find(|l| l.address == raw.address && raw.address.port() != 0) {
        let what = format!("listener \"{}\" has this address already", other.name);
        return Err(source.error(&at("address"), &what));
    }
    Ok(())
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

fn tls(
    source: &Source<'_>,
    index: usize,
    raw: &raw::Listener,
) -> Result<Option<ServerTlsOptions>, ConfigError> {
    let at = |key| place("listener", index, &raw.name, key);
    let (cert, key) = match (&raw.tls_cert_file, &raw.tls_key_file) {
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => return Err(source.error(&at("tls_cert_file"), NEEDS_KEY)),
        (None, Some(_)) => return Err(source.error(&at("tls_key_file"), NEEDS_CERT)),
        (None, None) if raw.require_tls => {
            return Err(source.error(&at("require_tls"), NEEDS_BOTH));
        }
        (None, None) if raw.tls_client_cert != raw::ClientCert::Off => {
            return Err(source.error(&at("tls_client_cert"), NEEDS_BOTH));
        }
        (None, None) => return Ok(None),
    };
    let client_cert = client_cert(raw.tls_client_cert);
    if client_cert != ClientCert::Off && raw.tls_client_ca_file.is_none() {
        return Err(source.error(&at("tls_client_cert"), "needs tls_client_ca_file"));
    }
    let folder = source.folder();
    let options = ServerTlsOptions {
        cert_file: folder.join(cert),
        key_file: folder.join(key),
        client_ca_file: raw.tls_client_ca_file.as_ref().map(|f| folder.join(f)),
        client_cert,
        min_version: tls_version(raw.tls_min_version),
    };
    for (key, file) in [
        ("tls_cert_file", Some(&options.cert_file)),
        ("tls_key_file", Some(&options.key_file)),
        ("tls_client_ca_file", options.client_ca_file.as_ref()),
    ] {
        if let Some(file) = file {
            source.readable(&at(key), file)?;
        }
    }
    Ok(Some(options))
}

/// What a method lacks to be safe on a listener.
pub(super) fn problem(
    method: AuthMethod,
    loopback: bool,
    tls: Option<&ServerTlsOptions>,
) -> Option<&'static str> {
    match method {
        AuthMethod::Trust if !loopback => {
            Some("\"trust\" lets anybody in: it is for listeners on a loopback address")
        }
        AuthMethod::Password if tls.is_none() => Some(
            "\"password\" sends passwords in the clear: it needs tls_cert_file and tls_key_file",
        ),
        AuthMethod::Certificate if tls.is_none_or(|tls| tls.client_cert == ClientCert::Off) => {
            Some("\"cert\" needs TLS with tls_client_cert = \"optional\" or \"required\"")
        }
        _ => None,
    }
}

const NEEDS_KEY: &str = "needs tls_key_file beside it";
const NEEDS_CERT: &str = "needs tls_cert_file beside it";
const NEEDS_BOTH: &str = "needs tls_cert_file and tls_key_file";
