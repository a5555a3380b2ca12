//! One `[[target_group]]`.

use std::sync::Arc;

use super::{
    ABOVE_ZERO, AT_LEAST_ONE, Source, engine, keepalive, place, pool_mode, tls_mode, tls_version,
};
use crate::auth::options::AuthQuery;
use crate::config::error::ConfigError;
use crate::config::plan::{GroupPlan, TargetPlan};
use crate::config::raw;
use crate::net::options::{ClientTlsOptions, DialOptions};
use crate::pool::options::{PoolOptions, TargetOptions};

pub(super) fn resolve(
    source: &Source<'_>,
    index: usize,
    raw: &raw::TargetGroup,
    warnings: &mut Vec<String>,
) -> Result<GroupPlan, ConfigError> {
    let at = |key| place("target_group", index, &raw.name, key);
    let [target] = &*raw.target else {
        return Err(source.error(&at("target"), "exactly one target is supported"));
    };
    check(source, index, raw)?;
    if raw.server_tls_ca_file.is_some() && !verifies(raw.server_tls_mode) {
        warnings.push(format!(
            "target group \"{}\": server_tls_ca_file is not used, as server_tls_mode verifies \
             nothing; \"verify-full\" does",
            raw.name
        ));
    }
    Ok(GroupPlan {
        name: (&*raw.name).into(),
        engine: engine(raw.engine),
        primary: primary(source, index, raw, target)?,
        limits: TargetOptions {
            max_connections_percent: raw.max_connections_percent.0,
            max_idle_connections_percent: raw
                .max_idle_connections_percent
                .map_or(raw.max_connections_percent.0 / 2, |p| p.0),
            max_db_connections: raw.max_db_connections,
            max_user_connections: raw.max_user_connections,
            login_concurrency: raw.server_login_concurrency,
            login_retry: raw.server_login_retry.0,
        },
        pool: pool(raw),
        pool_mode: pool_mode(raw.pool_mode),
        cancel_wait_timeout: raw.cancel_wait_timeout.0,
        max_server_statements: raw.max_prepared_statements,
        max_statement_bytes: raw.max_statement_size.0,
        auth_query: auth_query(source, index, raw)?,
    })
}

/// Ranges, and values beside each other.
fn check(source: &Source<'_>, index: usize, raw: &raw::TargetGroup) -> Result<(), ConfigError> {
    let at = |key| place("target_group", index, &raw.name, key);
    let idle = raw.max_idle_connections_percent;
    if idle.is_some_and(|idle| idle.0 > raw.max_connections_percent.0) {
        let what = "must not be above max_connections_percent";
        return Err(source.error(&at("max_idle_connections_percent"), what));
    }
    for (key, zero) in [
        ("default_pool_size", raw.default_pool_size == 0),
        (
            "server_login_concurrency",
            raw.server_login_concurrency == 0,
        ),
        ("max_prepared_statements", raw.max_prepared_statements == 0),
        ("tcp_keepalive_count", raw.tcp_keepalive_count == 0),
    ] {
        if zero {
            return Err(source.error(&at(key), AT_LEAST_ONE));
        }
    }
    for (key, time) in [
        ("server_connect_timeout", raw.server_connect_timeout),
        ("server_reset_timeout", raw.server_reset_timeout),
    ] {
        if time.0.is_zero() {
            return Err(source.error(&at(key), ABOVE_ZERO));
        }
    }
    if raw.min_pool_size > raw.default_pool_size {
        let what = "must not be above default_pool_size";
        return Err(source.error(&at("min_pool_size"), what));
    }
    if !(SMALLEST_STATEMENT..=LARGEST_STATEMENT).contains(&raw.max_statement_size.0) {
        let what = "must be from \"1KB\" to \"1MB\"";
        return Err(source.error(&at("max_statement_size"), what));
    }
    Ok(())
}

const fn verifies(mode: raw::TlsMode) -> bool {
    !matches!(mode, raw::TlsMode::Disable | raw::TlsMode::Prefer)
}

fn pool(raw: &raw::TargetGroup) -> PoolOptions {
    PoolOptions {
        size: raw.default_pool_size,
        min_size: raw.min_pool_size,
        borrow_timeout: raw.connection_borrow_timeout.0,
        max_waiting: raw.max_waiting_clients,
        lifetime: raw.server_lifetime.0,
        lifetime_jitter: raw.server_lifetime_jitter.0,
        idle_timeout: raw.server_idle_timeout.0,
        check_delay: raw.server_check_delay.0,
        init_query: raw.init_query.as_deref().map(Into::into),
        reset_timeout: raw.server_reset_timeout.0,
    }
}

fn primary(
    source: &Source<'_>,
    index: usize,
    raw: &raw::TargetGroup,
    target: &raw::Target,
) -> Result<TargetPlan, ConfigError> {
    let at = place("target_group.target", index, &raw.name, "address");
    let Some((host, port)) = host_and_port(&target.address) else {
        return Err(source.error(&at, "expected \"host:port\""));
    };
    let dial = DialOptions {
        host: host.into(),
        port,
        connect_timeout: raw.server_connect_timeout.0,
        keepalive: keepalive(
            raw.tcp_keepalive_idle,
            raw.tcp_keepalive_interval,
            raw.tcp_keepalive_count,
            raw.tcp_user_timeout,
        ),
        tls: tls(source, index, raw)?,
    };
    Ok(TargetPlan {
        name: Arc::from(format!("{host}:{port}")),
        dial,
    })
}

fn tls(
    source: &Source<'_>,
    index: usize,
    raw: &raw::TargetGroup,
) -> Result<ClientTlsOptions, ConfigError> {
    let at = |key| place("target_group", index, &raw.name, key);
    let folder = source.folder();
    let identity = match (&raw.server_tls_cert_file, &raw.server_tls_key_file) {
        (Some(cert), Some(key)) => Some((folder.join(cert), folder.join(key))),
        (None, None) => None,
        (Some(_), None) => {
            let what = "needs server_tls_key_file beside it";
            return Err(source.error(&at("server_tls_cert_file"), what));
        }
        (None, Some(_)) => {
            let what = "needs server_tls_cert_file beside it";
            return Err(source.error(&at("server_tls_key_file"), what));
        }
    };
    let ca_file = raw.server_tls_ca_file.as_ref().map(|f| folder.join(f));
    let (cert, key) = identity.as_ref().map(|(c, k)| (c, k)).unzip();
    for (name, file) in [
        ("server_tls_ca_file", ca_file.as_ref()),
        ("server_tls_cert_file", cert),
        ("server_tls_key_file", key),
    ] {
        if let Some(file) = file {
            source.readable(&at(name), file)?;
        }
    }
    Ok(ClientTlsOptions {
        mode: tls_mode(raw.server_tls_mode),
        ca_file,
        identity,
        server_name: raw.server_tls_server_name.as_deref().map(Into::into),
        min_version: tls_version(raw.server_tls_min_version),
    })
}

fn auth_query(
    source: &Source<'_>,
    index: usize,
    raw: &raw::TargetGroup,
) -> Result<Option<AuthQuery>, ConfigError> {
    let at = |key| place("target_group", index, &raw.name, key);
    let (query, user) = match (&raw.auth_query, &raw.auth_user) {
        (Some(query), Some(user)) => (query, user),
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(source.error(&at("auth_query"), "needs auth_user")),
        (None, Some(_)) => return Err(source.error(&at("auth_user"), "needs auth_query")),
    };
    Ok(Some(AuthQuery {
        query: (&**query).into(),
        user: (&**user).into(),
        database: raw.auth_database.as_deref().map(Into::into),
    }))
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => match address.split_once(':') {
            Some((host, _)) => (host, address.get(host.len()..)?),
            None => (address, ""),
        },
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None if port.is_empty() => DEFAULT_PORT,
        None => return None,
    };
    (!host.is_empty() && !host.contains(char::is_whitespace)).then_some((host, port))
}

/// PostgreSQL's registered port.
const DEFAULT_PORT: u16 = 5432;
const SMALLEST_STATEMENT: usize = 1024;
/// The relay holds a statement whole before it can read it; more would be no bound.
const LARGEST_STATEMENT: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn addresses_have_a_host_and_perhaps_a_port() {
        assert_eq!(host_and_port("db"), Some(("db", 5432)));
        assert_eq!(host_and_port("db:1"), Some(("db", 1)));
        assert_eq!(host_and_port("[::1]:1"), Some(("::1", 1)));
        assert_eq!(host_and_port("[::1]"), Some(("::1", 5432)));
        for bad in [
            "", ":1", "db:", "db:x", "db:0", "db:70000", "::1", "[::1", "a b",
        ] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }
}
