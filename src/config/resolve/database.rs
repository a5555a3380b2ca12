//! One `[[database]]`.

use super::Table;
use super::translate::{pins, pool_mode};
use crate::config::error::ConfigError;
use crate::config::plan::DatabasePlan;
use crate::config::raw;

pub(super) fn resolve(table: &Table<'_>, raw: &raw::Database) -> Result<DatabasePlan, ConfigError> {
    if let Some(size) = raw.pool_size {
        table.at_least_one("pool_size", size)?;
        if raw.min_pool_size.is_some_and(|least| least > size) {
            return Err(table.error("min_pool_size", "must not be above pool_size"));
        }
    }
    if raw.name == "*" && raw.server_database.is_some() {
        return Err(table.error("server_database", "cannot be given for \"*\""));
    }
    let group = table.group("target_group", raw.target_group.as_deref())?;
    if group.is_none() {
        // A listener may itself leave the group out if there are several.
        let groups = table.source.raw.target_group.len();
        let mut listeners = table.source.raw.listener.iter();
        if groups > 1
            && let Some(listener) = listeners.find(|l| l.target_group.is_none())
        {
            let what = format!("needed, because listener {:?} names none", listener.name);
            return Err(table.error("target_group", &what));
        }
    }
    Ok(DatabasePlan {
        name: (&*raw.name).into(),
        group,
        server_database: raw.server_database.as_deref().map(Into::into),
        pool_mode: raw.pool_mode.map(pool_mode),
        filtered_pins: raw.session_pinning_filters.as_deref().map(pins),
        pool_size: raw.pool_size,
        min_pool_size: raw.min_pool_size,
        max_client_conn: raw.max_client_conn,
    })
}
