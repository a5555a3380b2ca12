//! From the file as written to the plan: references are followed, secrets read, values checked
//! beside each other. All tables are looked at before any problem is told.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::document::{Document, Place};
use super::error::{ConfigError, Problems};
use super::plan::Plan;
use super::raw;
use super::secrets::unreadable;
use super::units::Time;
use super::wording::did_you_mean;
use crate::auth::UserStore;
use crate::net::options::Keepalive;

mod aws;
mod database;
mod general;
mod group;
mod host;
mod listener;
mod logins;
mod tokens;
mod topology;
mod translate;
mod user;

/// The file at hand.
pub(super) struct Source<'a> {
    pub(super) file: &'a Path,
    pub(super) document: &'a Document<'a>,
    pub(super) raw: &'a raw::File,
}

/// One table of the file.
#[derive(Clone, Copy)]
struct Table<'a> {
    source: &'a Source<'a>,
    table: &'static str,
    index: usize,
    name: &'a str,
}

impl<'a> Source<'a> {
    /// The `index`-th table of this kind.
    const fn table(&'a self, table: &'static str, index: usize, name: &'a str) -> Table<'a> {
        Table {
            source: self,
            table,
            index,
            name,
        }
    }

    /// A path of the file, which is relative to the file's folder.
    fn path(&self, path: &Path) -> PathBuf {
        self.folder().join(path)
    }

    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }
}

impl Table<'_> {
    /// An error at a key.
    fn error(&self, key: &str, what: &str) -> ConfigError {
        let place = Place {
            table: self.table,
            index: self.index,
            name: self.name,
            key: key.into(),
        };
        ConfigError::value(self.source.file, self.source.document, &place, what)
    }

    fn at_least_one(&self, key: &str, value: impl Into<u64>) -> Result<(), ConfigError> {
        if value.into() == 0 {
            return Err(self.error(key, "must be at least 1"));
        }
        Ok(())
    }

    fn not_zero(&self, key: &str, value: Time) -> Result<(), ConfigError> {
        if value.0.is_zero() {
            return Err(self.error(key, "must be more than \"0s\""));
        }
        Ok(())
    }

    /// The file a key names, which must be there and readable.
    fn file(&self, key: &str, file: Option<&PathBuf>) -> Result<Option<PathBuf>, ConfigError> {
        let Some(file) = file else {
            return Ok(None);
        };
        let path = self.source.path(file);
        // A folder can be opened, but not read.
        match std::fs::read(&path) {
            Ok(_) => Ok(Some(path)),
            Err(error) => Err(self.error(key, &unreadable(&path, &error))),
        }
    }

    /// Keepalive; the system counts it in whole seconds.
    fn keepalive(
        &self,
        idle: Time,
        interval: Time,
        count: u32,
        user_timeout: Time,
    ) -> Result<Keepalive, ConfigError> {
        if interval.0 < SHORTEST_INTERVAL {
            let what = "must be at least \"1s\"";
            return Err(self.error("tcp_keepalive_interval", what));
        }
        if !(1..=MOST_PROBES).contains(&count) {
            return Err(self.error("tcp_keepalive_count", "must be from 1 to 127"));
        }
        Ok(Keepalive {
            idle: idle.0,
            interval: interval.0,
            count,
            user_timeout: user_timeout.0,
        })
    }

    /// The name of the group that a key names, which must exist.
    fn group(&self, key: &str, name: Option<&str>) -> Result<Option<Arc<str>>, ConfigError> {
        let Some(name) = name else {
            return Ok(None);
        };
        let groups = self.source.raw.target_group.iter();
        let names = groups.map(|group| &*group.name).collect::<Vec<_>>();
        if names.contains(&name) {
            return Ok(Some(name.into()));
        }
        let hint = did_you_mean(name, &names, '"');
        Err(self.error(key, &format!("there is no target_group {name:?}{hint}")))
    }
}

/// Checks and completes a file.
pub(super) fn resolve(source: &Source<'_>) -> Result<Plan, ConfigError> {
    let raw = source.raw;
    let mut problems = Problems::default();
    let mut warnings = Vec::new();
    names(source, &mut problems);
    let general = problems.take(general::resolve(source));
    let groups = each(&mut problems, &raw.target_group, |index, group| {
        let table = source.table("target_group", index, &group.name);
        group::resolve(&table, group, &mut warnings)
    });
    let listeners = each(&mut problems, &raw.listener, |index, listener| {
        let table = source.table("listener", index, &listener.name);
        listener::resolve(&table, listener, &mut warnings)
    });
    let databases = each(&mut problems, &raw.database, |index, database| {
        database::resolve(&source.table("database", index, &database.name), database)
    });
    let aws = problems.take(aws::resolve(source));
    let before_users = problems.len();
    let listed = problems.take(user::userlist(source)).unwrap_or_default();
    let users = each(&mut problems, &raw.user, |index, user| {
        let table = source.table("user", index, &user.name);
        user::resolve(&table, user, &listed, &mut warnings)
    });
    let users = UserStore::new(users.into_iter().chain(listed));
    // Of users that are not all there, nothing can be said.
    if problems.len() == before_users {
        logins::check_users(source, &users, &mut problems, &mut warnings);
    }
    logins::check_methods(source, &mut problems);
    aws::check(source, &mut problems);
    let tokens = tokens::resolve(source, &mut problems);
    problems.finish(|| {
        Some(Plan {
            general: general?,
            listeners,
            groups,
            databases,
            users,
            aws: aws?,
            tokens: tokens?,
            warnings,
        })
    })
}

/// What can be resolved; the rest are problems.
fn each<T, U>(
    problems: &mut Problems,
    tables: &[T],
    mut resolve: impl FnMut(usize, &T) -> Result<U, ConfigError>,
) -> Vec<U> {
    let numbered = tables.iter().enumerate();
    numbered
        .filter_map(|(index, table)| problems.take(resolve(index, table)))
        .collect()
}

/// Names are there and unique, and so are the tables that nothing works without.
fn names(source: &Source<'_>, problems: &mut Problems) {
    let raw = source.raw;
    let listeners = raw.listener.iter().map(|l| &*l.name).collect::<Vec<_>>();
    let groups = raw.target_group.iter().map(|g| &*g.name).collect();
    let databases = raw.database.iter().map(|d| &*d.name).collect();
    let users = raw.user.iter().map(|u| &*u.name).collect();
    let secrets = raw.secret.iter().map(|s| &*s.arn).collect();
    let keys = raw.iam_key.iter().map(|k| &*k.access_key_id).collect();
    let policies = raw.iam_policy.iter().map(|p| &*p.name).collect();
    let issuers = raw.jwt_issuer.iter().map(|i| &*i.name).collect();
    for (kind, key, names, needed) in [
        ("listener", "name", listeners, true),
        ("target_group", "name", groups, true),
        ("database", "name", databases, false),
        ("user", "name", users, false),
        ("secret", "arn", secrets, false),
        ("iam_key", "access_key_id", keys, false),
        ("iam_policy", "name", policies, false),
        ("jwt_issuer", "name", issuers, false),
    ] {
        let mut seen = HashSet::new();
        for (index, name) in names.iter().enumerate() {
            let table = source.table(kind, index, name);
            if name.is_empty() {
                problems.add(table.error(key, "must not be empty"));
            } else if !seen.insert(name) {
                problems.add(table.error(key, "another one has this name already"));
            }
        }
        if needed && names.is_empty() {
            let what = format!("at least one [[{kind}]] is needed");
            problems.add(source.table(kind, 0, "").error("", &what));
        }
    }
}

/// What `TCP_KEEPINTVL` counts in (`tcp(7)`).
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// `MAX_TCP_KEEPCNT` (Linux `include/net/tcp.h`).
const MOST_PROBES: u32 = 127;
