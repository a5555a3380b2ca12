//! One `[[target_group]]`.

use super::translate::{engine, pins, pool_mode, tls_mode, tls_version};
use super::{Table, aws, topology};
use crate::auth::options::AuthQuery;
use crate::config::error::ConfigError;
use crate::config::plan::GroupPlan;
use crate::config::raw;
use crate::model::{PinPolicy, Share};
use crate::net::options::{ClientTlsOptions, DialOptions};
use crate::pool::options::{PoolOptions, TargetOptions};

pub(super) fn resolve(
    table: &Table<'_>,
    raw: &raw::TargetGroup,
    warnings: &mut Vec<String>,
) -> Result<GroupPlan, ConfigError> {
    check(table, raw)?;
    let unverified = matches!(
        raw.server_tls_mode,
        raw::TlsMode::Disable | raw::TlsMode::Prefer
    );
    if unverified && raw.server_tls_ca_file.is_some() {
        warnings.push(format!(
            "target_group {:?}: server_tls_ca_file is not used, because this server_tls_mode \
             verifies nothing; \"verify-full\" does",
            raw.name
        ));
    }
    let most = raw.max_connections_percent.0;
    let idle = raw.max_idle_connections_percent.map(|percent| percent.0);
    Ok(GroupPlan {
        name: (&*raw.name).into(),
        engine: engine(raw.engine),
        dial: dial(table, raw)?,
        topology: topology::resolve(table, raw)?,
        addresses: topology::addresses(table, raw)?,
        limits: TargetOptions {
            max_connections_percent: most,
            max_idle_connections_percent: idle.unwrap_or(most / 2),
            max_db_connections: raw.max_db_connections,
            max_user_connections: raw.max_user_connections,
            login_concurrency: raw.server_login_concurrency,
            login_retry: raw.server_login_retry.0,
        },
        pool: pool(raw),
        replica_pool_size: raw.replica_pool_size,
        catalogue_refresh: raw.catalogue_refresh_interval.0,
        reads_fall_back: raw.reads_without_replica == raw::WithoutReplica::Primary,
        pool_mode: pool_mode(raw.pool_mode),
        pins: PinPolicy {
            filtered: pins(&raw.session_pinning_filters),
            verify: Share::of(raw.verify_session_state.0),
            share_feeds: raw.shared_listen,
        },
        cancel_wait_timeout: raw.cancel_wait_timeout.0,
        max_server_statements: raw.max_prepared_statements,
        max_statement_bytes: raw.max_statement_size.0,
        server_auth: aws::server_auth(table, raw)?,
        iam_region: raw.server_iam_region.as_deref().map(Into::into),
        auth_query: auth_query(table, raw)?,
    })
}

/// Ranges, alone and beside each other.
fn check(table: &Table<'_>, raw: &raw::TargetGroup) -> Result<(), ConfigError> {
    let idle = raw.max_idle_connections_percent.map(|percent| percent.0);
    if idle.is_some_and(|idle| idle > raw.max_connections_percent.0) {
        let what = "must not be above max_connections_percent";
        return Err(table.error("max_idle_connections_percent", what));
    }
    table.not_zero("catalogue_refresh_interval", raw.catalogue_refresh_interval)?;
    table.at_least_one("default_pool_size", raw.default_pool_size)?;
    if let Some(size) = raw.replica_pool_size {
        table.at_least_one("replica_pool_size", size)?;
    }
    table.at_least_one("server_login_concurrency", raw.server_login_concurrency)?;
    if raw.max_prepared_statements == 0 {
        return Err(table.error("max_prepared_statements", "must be at least 1"));
    }
    if raw.min_pool_size > raw.default_pool_size {
        return Err(table.error("min_pool_size", "must not be above default_pool_size"));
    }
    if !(SMALLEST_STATEMENT..=LARGEST_STATEMENT).contains(&raw.max_statement_size.0) {
        let what = "must be from \"1KB\" to \"1MB\"";
        return Err(table.error("max_statement_size", what));
    }
    table.not_zero("server_connect_timeout", raw.server_connect_timeout)?;
    table.not_zero("server_reset_timeout", raw.server_reset_timeout)
}

fn pool(raw: &raw::TargetGroup) -> PoolOptions {
    PoolOptions {
        size: raw.default_pool_size,
        min_size: raw.min_pool_size,
        borrow_timeout: raw.connection_borrow_timeout.0,
        max_waiting: raw.max_waiting_clients,
        lifetime: raw.server_lifetime.0,
        lifetime_jitter: raw.server_lifetime_jitter.0,
        round_robin: raw.server_round_robin,
        idle_timeout: raw.server_idle_timeout.0,
        check_delay: raw.server_check_delay.0,
        init_query: raw.init_query.as_deref().map(Into::into),
        reset_timeout: raw.server_reset_timeout.0,
    }
}

/// How every server is reached; host and port are its own.
fn dial(table: &Table<'_>, raw: &raw::TargetGroup) -> Result<DialOptions, ConfigError> {
    Ok(DialOptions {
        host: "".into(),
        port: 0,
        iam_endpoint: None,
        connect_timeout: raw.server_connect_timeout.0,
        keepalive: table.keepalive(
            raw.tcp_keepalive_idle,
            raw.tcp_keepalive_interval,
            raw.tcp_keepalive_count,
            raw.tcp_user_timeout,
        )?,
        tls: tls(table, raw)?,
        ask_public_key: raw.server_public_key_retrieval,
    })
}

fn tls(table: &Table<'_>, raw: &raw::TargetGroup) -> Result<ClientTlsOptions, ConfigError> {
    let cert = table.file("server_tls_cert_file", raw.server_tls_cert_file.as_ref())?;
    let key = table.file("server_tls_key_file", raw.server_tls_key_file.as_ref())?;
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(table.error(
                "server_tls_cert_file",
                "needs server_tls_key_file beside it",
            ));
        }
        (None, Some(_)) => {
            return Err(table.error(
                "server_tls_key_file",
                "needs server_tls_cert_file beside it",
            ));
        }
    };
    Ok(ClientTlsOptions {
        mode: tls_mode(raw.server_tls_mode),
        ca_file: table.file("server_tls_ca_file", raw.server_tls_ca_file.as_ref())?,
        identity,
        server_name: raw.server_tls_server_name.as_deref().map(Into::into),
        min_version: tls_version(raw.server_tls_min_version),
    })
}

fn auth_query(table: &Table<'_>, raw: &raw::TargetGroup) -> Result<Option<AuthQuery>, ConfigError> {
    let (query, user) = match (&raw.auth_query, &raw.auth_user) {
        (Some(query), Some(user)) => (query, user),
        (Some(_), None) => return Err(table.error("auth_query", "needs auth_user")),
        (None, Some(_)) => return Err(table.error("auth_user", "needs auth_query")),
        (None, None) if raw.auth_database.is_some() => {
            return Err(table.error("auth_database", "needs auth_query"));
        }
        (None, None) => return Ok(None),
    };
    if !query.contains("$1") {
        let what = "must have $1 where the user's name goes";
        return Err(table.error("auth_query", what));
    }
    Ok(Some(AuthQuery {
        query: (&**query).into(),
        user: (&**user).into(),
        database: raw.auth_database.as_deref().map(Into::into),
    }))
}

const SMALLEST_STATEMENT: usize = 1024;
/// The relay holds a statement whole before it can read it; more would be no bound.
const LARGEST_STATEMENT: usize = 1024 * 1024;
