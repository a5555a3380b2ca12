//! What a reload cannot apply.

use super::plan::{GeneralPlan, ListenerPlan, Plan};

/// The keys that changed and need a restart, by name. Everything else applies at once.
pub fn needs_restart(old: &Plan, new: &Plan) -> Vec<String> {
    let mut keys = general(&old.general, &new.general);
    for listener in &old.listeners {
        match new.listeners.iter().find(|l| l.name == listener.name) {
            Some(now) => keys.extend(changed(listener, now)),
            None => keys.push(format!("listener \"{}\" (removed)", listener.name)),
        }
    }
    for listener in &new.listeners {
        if !old.listeners.iter().any(|l| l.name == listener.name) {
            keys.push(format!("listener \"{}\" (added)", listener.name));
        }
    }
    keys
}

fn general(old: &GeneralPlan, new: &GeneralPlan) -> Vec<String> {
    let checks = [
        (
            "general.worker_threads",
            old.worker_threads == new.worker_threads,
        ),
        (
            "general.admin_address",
            old.admin_address == new.admin_address,
        ),
        ("general.log_format", old.log.format == new.log.format),
    ];
    let changed = checks.into_iter().filter(|(_, same)| !same);
    changed.map(|(key, _)| key.to_owned()).collect()
}

fn changed(old: &ListenerPlan, new: &ListenerPlan) -> Option<String> {
    let same = old.listen == new.listen && old.engine == new.engine;
    (!same).then(|| format!("address, backlog or keepalive of listener \"{}\"", new.name))
}
