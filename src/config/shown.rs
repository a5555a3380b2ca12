//! The configuration as it is printed: what was left out is filled in.

use super::plan::Plan;
use super::raw;
use super::units::Percent;

/// TOML that says the same as the file, with the defaults that depend on other keys or on the
/// machine filled in; secrets redact themselves.
pub(super) fn shown(mut file: raw::File, plan: &Plan) -> String {
    file.general.worker_threads = plan.general.worker_threads;
    for (listener, plan) in file.listener.iter_mut().zip(&plan.listeners) {
        listener.target_group = plan.group.as_deref().map(Into::into);
    }
    for (group, plan) in file.target_group.iter_mut().zip(&plan.groups) {
        let idle = plan.limits.max_idle_connections_percent;
        group.max_idle_connections_percent = Some(Percent(idle));
    }
    for (database, plan) in file.database.iter_mut().zip(&plan.databases) {
        if &*plan.name != "*" {
            let server = plan.server_database.as_ref().unwrap_or(&plan.name);
            database.server_database = Some((**server).into());
        }
    }
    for user in &mut file.user {
        // A secret has a name of its own.
        let named = user.secret_arn.is_some() || user.server_secret_arn.is_some();
        if let Some(plan) = plan.users.user(&user.name).filter(|_| !named) {
            user.server_user = Some((*plan.server_user).into());
        }
        if user.certificate_names.is_empty() {
            user.certificate_names.push(user.name.clone());
        }
    }
    // Everything in it came from TOML.
    toml::to_string(&file).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
}
