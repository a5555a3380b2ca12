//! What a reload cannot apply.

use super::plan::{GeneralPlan, ListenerPlan, Plan};

/// The keys that changed and need a restart, by name. Everything else applies at once.
pub fn needs_restart(old: &Plan, new: &Plan) -> Vec<String> {
    let mut keys = general(&old.general, &new.general);
    for listener in &old.listeners {
        match new.listeners.iter().find(|l| l.name == listener.name) {
            Some(now) => keys.extend(changed(listener, now)),
            None => keys.push(format!("listener {:?} (removed)", listener.name)),
        }
    }
    for listener in &new.listeners {
        if !old.listeners.iter().any(|l| l.name == listener.name) {
            keys.push(format!("listener {:?} (added)", listener.name));
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
        (
            "general.admin_commands",
            old.admin_commands == new.admin_commands,
        ),
        ("general.log_format", old.log.format == new.log.format),
    ];
    let changed = checks.into_iter().filter(|(_, same)| !same);
    changed.map(|(key, _)| key.to_owned()).collect()
}

/// Keys of a listener that its socket was made with.
fn changed(old: &ListenerPlan, new: &ListenerPlan) -> Vec<String> {
    let (was, now) = (&old.listen, &new.listen);
    let checks = [
        ("engine", old.engine == new.engine),
        ("address", was.address == now.address),
        ("backlog", was.backlog == now.backlog),
        (
            "tcp_keepalive_idle",
            was.keepalive.idle == now.keepalive.idle,
        ),
        (
            "tcp_keepalive_interval",
            was.keepalive.interval == now.keepalive.interval,
        ),
        (
            "tcp_keepalive_count",
            was.keepalive.count == now.keepalive.count,
        ),
        (
            "tcp_user_timeout",
            was.keepalive.user_timeout == now.keepalive.user_timeout,
        ),
    ];
    let changed = checks.into_iter().filter(|(_, same)| !same);
    changed
        .map(|(key, _)| format!("listener {:?}, {key}", new.name))
        .collect()
}
