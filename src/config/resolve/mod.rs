//! From the file as written to the plan: references are followed, secrets read, values checked
//! beside each other.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::error::{ConfigError, Place};
use super::phrase;
use super::plan::{DatabasePlan, GeneralPlan, Plan};
use super::raw;
use crate::auth::UserStore;
use crate::model::{AuthMethod, EngineFamily, PoolMode};
use crate::net::options::{ClientCert, Keepalive, TlsMode, TlsVersion};
use crate::telemetry::options::{LogFormat, LogOptions};

mod group;
mod listener;
mod user;

/// The file at hand, for error messages.
pub(super) struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    raw: &'a raw::File,
}

impl Source<'_> {
    /// An error at a key of the `index`-th table of a name.
    fn error(&self, place: &Place<'_>, what: &str) -> ConfigError {
        ConfigError::value(self.file, self.text, place, what)
    }

    /// An error at a key whose file cannot be read.
    fn readable(&self, place: &Place<'_>, file: &Path) -> Result<(), ConfigError> {
        // A folder can be opened, but not read.
        let opened = std::fs::File::open(file).and_then(|f| f.metadata());
        let what = match opened {
            Ok(facts) if facts.is_dir() => "is a folder".to_owned(),
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        };
        let what = format!("cannot read {}: {what}", file.display());
        Err(self.error(place, &what))
    }

    /// The folder that paths are relative to.
    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }
}

/// Checks and completes a file.
pub(super) fn resolve(file: &Path, text: &str, raw: &raw::File) -> Result<Plan, ConfigError> {
    let source = Source { file, text, raw };
    let mut warnings = Vec::new();
    unique(&source, "listener", raw.listener.iter().map(|l| &*l.name))?;
    unique(
        &source,
        "target_group",
        raw.target_group.iter().map(|g| &*g.name),
    )?;
    unique(&source, "database", raw.database.iter().map(|d| &*d.name))?;
    unique(&source, "user", raw.user.iter().map(|u| &*u.name))?;
    for (table, missing) in [
        ("listener", raw.listener.is_empty()),
        ("target_group", raw.target_group.is_empty()),
    ] {
        if missing {
            let what = format!("at least one [[{table}]] is needed");
            return Err(ConfigError::lacking(file, &what));
        }
    }
    let groups = each(&raw.target_group, |i, g| {
        group::resolve(&source, i, g, &mut warnings)
    })?;
    let listeners = each(&raw.listener, |i, l| {
        listener::resolve(&source, i, l, &mut warnings)
    })?;
    let databases = each(&raw.database, |i, d| database(&source, i, d))?;
    let configured = each(&raw.user, |i, u| {
        user::resolve(&source, i, u, &listeners, &mut warnings)
    })?;
    let listed = user::userlist(&source)?;
    let users = UserStore::new(configured.into_iter().chain(listed));
    auth_users(&source, &users)?;
    Ok(Plan {
        general: general(&source)?,
        listeners,
        groups,
        databases,
        users,
        warnings,
    })
}

fn each<T, U>(
    items: &[T],
    mut resolve: impl FnMut(usize, &T) -> Result<U, ConfigError>,
) -> Result<Vec<U>, ConfigError> {
    let numbered = items.iter().enumerate();
    numbered.map(|(index, item)| resolve(index, item)).collect()
}

fn place<'a>(table: &'a str, index: usize, name: &'a str, key: &'a str) -> Place<'a> {
    Place {
        table,
        index,
        name,
        key,
    }
}

fn unique<'a>(
    source: &Source<'_>,
    table: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), ConfigError> {
    let mut seen = HashSet::new();
    for (index, name) in names.enumerate() {
        if name.is_empty() {
            return Err(source.error(&place(table, index, "", "name"), "must not be empty"));
        }
        if !seen.insert(name) {
            let what = "another one has this name already";
            return Err(source.error(&place(table, index, name, "name"), what));
        }
    }
    Ok(())
}

/// The group that a name stands for, which must exist.
fn group_named(
    source: &Source<'_>,
    place: &Place<'_>,
    name: Option<&str>,
) -> Result<Option<Arc<str>>, ConfigError> {
    let Some(name) = name else {
        return Ok(None);
    };
    if source
        .raw
        .target_group
        .iter()
        .any(|group| group.name == name)
    {
        return Ok(Some(name.into()));
    }
    let names = source.raw.target_group.iter().map(|group| &*group.name);
    let hint = match phrase::nearest(name, names) {
        Some(near) => format!("; did you mean \"{near}\"?"),
        None => String::new(),
    };
    Err(source.error(place, &format!("there is no target group \"{name}\"{hint}")))
}

/// Those that run an `auth_query` must be known, and able to log in to the server unasked.
fn auth_users(source: &Source<'_>, users: &UserStore) -> Result<(), ConfigError> {
    for (index, group) in source.raw.target_group.iter().enumerate() {
        let Some(name) = &group.auth_user else {
            continue;
        };
        let what = match users.user(name) {
            Some(user) if user.server_credential.is_some() => continue,
            Some(_) => format!("the password of \"{name}\" on the server is not known"),
            None => format!("there is no user \"{name}\", neither as [[user]] nor in a userlist"),
        };
        let at = place("target_group", index, &group.name, "auth_user");
        return Err(source.error(&at, &what));
    }
    Ok(())
}

fn general(source: &Source<'_>) -> Result<GeneralPlan, ConfigError> {
    let raw = &source.raw.general;
    if let Err(error) = crate::telemetry::log::check_filter(&raw.log_level) {
        return Err(source.error(&place("general", 0, "", "log_level"), &error.to_string()));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(GeneralPlan {
        worker_threads: match raw.worker_threads {
            // Up to two cores, a second thread costs more in coordination than it brings, and the
            // kernel's share of the work needs a place too.
            0 if cores <= 2 => 1,
            0 => cores,
            n => n,
        },
        max_client_conn: raw.max_client_conn,
        max_client_conn_per_address: raw.max_client_conn_per_address,
        admin_address: raw.admin_address,
        log: LogOptions {
            filter: raw.log_level.clone(),
            format: match raw.log_format {
                raw::LogFormat::Text => LogFormat::Text,
                raw::LogFormat::Json => LogFormat::Json,
            },
        },
        log_connections: raw.log_connections,
        shutdown_timeout: raw.shutdown_timeout.0,
    })
}

fn database(
    source: &Source<'_>,
    index: usize,
    raw: &raw::Database,
) -> Result<DatabasePlan, ConfigError> {
    let at = |key| place("database", index, &raw.name, key);
    if raw.pool_size == Some(0) {
        return Err(source.error(&at("pool_size"), AT_LEAST_ONE));
    }
    if raw.min_pool_size > raw.pool_size.or(raw.min_pool_size) {
        return Err(source.error(&at("min_pool_size"), "must not be above pool_size"));
    }
    if raw.name == "*" && raw.server_database.is_some() {
        return Err(source.error(&at("server_database"), "cannot be given for \"*\""));
    }
    Ok(DatabasePlan {
        name: (&*raw.name).into(),
        group: group_named(source, &at("target_group"), raw.target_group.as_deref())?,
        server_database: raw.server_database.as_deref().map(Into::into),
        pool_mode: raw.pool_mode.map(pool_mode),
        pool_size: raw.pool_size,
        min_pool_size: raw.min_pool_size,
        max_client_conn: raw.max_client_conn,
    })
}

const fn engine(raw: raw::Engine) -> EngineFamily {
    match raw {
        raw::Engine::Postgresql => EngineFamily::Postgres,
    }
}

const fn pool_mode(raw: raw::PoolMode) -> PoolMode {
    match raw {
        raw::PoolMode::Transaction => PoolMode::Transaction,
        raw::PoolMode::Session => PoolMode::Session,
    }
}

const fn auth_method(raw: raw::AuthMethod) -> AuthMethod {
    match raw {
        raw::AuthMethod::Scram => AuthMethod::Scram,
        raw::AuthMethod::Password => AuthMethod::Password,
        raw::AuthMethod::Md5 => AuthMethod::Md5,
        raw::AuthMethod::Cert => AuthMethod::Certificate,
        raw::AuthMethod::Trust => AuthMethod::Trust,
    }
}

const fn tls_version(raw: raw::TlsVersion) -> TlsVersion {
    match raw {
        raw::TlsVersion::V1_2 => TlsVersion::V1_2,
        raw::TlsVersion::V1_3 => TlsVersion::V1_3,
    }
}

const fn client_cert(raw: raw::ClientCert) -> ClientCert {
    match raw {
        raw::ClientCert::Off => ClientCert::Off,
        raw::ClientCert::Optional => ClientCert::Optional,
        raw::ClientCert::Required => ClientCert::Required,
    }
}

const fn tls_mode(raw: raw::TlsMode) -> TlsMode {
    match raw {
        raw::TlsMode::Disable => TlsMode::Disable,
        raw::TlsMode::Prefer => TlsMode::Prefer,
        raw::TlsMode::Require => TlsMode::Require,
        raw::TlsMode::VerifyCa => TlsMode::VerifyCa,
        raw::TlsMode::VerifyFull => TlsMode::VerifyFull,
    }
}

const fn keepalive(
    idle: super::units::Time,
    interval: super::units::Time,
    count: u32,
    user_timeout: super::units::Time,
) -> Keepalive {
    Keepalive {
        idle: idle.0,
        interval: interval.0,
        count,
        user_timeout: user_timeout.0,
    }
}

const AT_LEAST_ONE: &str = "must be at least 1";
const ABOVE_ZERO: &str = "must be longer than \"0s\"";
