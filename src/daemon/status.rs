//! `/status`: pools, clients, pinned sessions, targets, as JSON for people and scripts.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::auth::source::{SourceMetrics, SourceStatus};
use crate::model::{Member, Role, StateReason, TargetState};
use crate::pool::PoolSnapshot;
use crate::protocol::Engine;
use crate::session::handle::{Handle, Phase};
use crate::session::registry::{Registry, TICK};
use crate::session::roster::View;
use crate::topology::keeper::Entry;

use super::ward::Wards;

/// What sessions do now, and which are pinned.
pub(super) fn sessions(registry: &Registry) -> Value {
    let mut phases = [0_u32; PHASES.len()];
    let mut pinned = Vec::new();
    registry.each(|handle| {
        let phase = handle.phase();
        if let Some((count, _)) = phases
            .iter_mut()
            .zip(PHASES)
            .find(|(_, candidate)| *candidate == phase)
        {
            *count += 1;
        }
        if let Some(value) = pinned_session(handle, registry.now()) {
            pinned.push(value);
        }
    });
    let by_phase: serde_json::Map<_, _> = PHASES
        .iter()
        .zip(phases)
        .map(|(phase, count)| (phase.as_str().to_owned(), json!(count)))
        .collect();
    json!({ "total": registry.len(), "by_phase": by_phase, "pinned": pinned })
}

fn pinned_session(handle: &Handle, now: u32) -> Option<Value> {
    let pinned = handle.pinned()?;
    let identity = handle.identity()?;
    let reasons: Vec<_> = pinned.pins.iter().map(|reason| reason.as_str()).collect();
    let age = SystemTime::now()
        .duration_since(pinned.since)
        .unwrap_or_default();
    let in_phase = TICK * now.wrapping_sub(handle.phase_since());
    Some(json!({
        "session": handle.id.0,
        "peer": handle.peer.to_string(),
        "user": &*identity.user,
        "database": &*identity.database,
        "application": &*identity.application,
        "pool": identity.pool.to_string(),
        "reasons": reasons,
        "pinned_seconds": age.as_secs(),
        "statement": pinned.cause,
        "phase": handle.phase().as_str(),
        "phase_seconds": in_phase.as_secs(),
        "requests": handle.requests(),
        "connected_at": seconds(handle.since),
    }))
}

/// One pool.
pub(super) fn pool(pool: &PoolSnapshot) -> Value {
    let PoolSnapshot {
        key,
        size,
        open,
        idle,
        borrowed,
        opening,
        waiting,
        borrows,
        timeouts,
        shed,
        logins_ok,
        logins_failed,
    } = pool;
    json!({
        "target_group": &*key.group,
        "target": &*key.target,
        "user": &*key.user,
        "database": &*key.database,
        "size": size,
        "server_connections": {
            "open": open, "idle": idle, "borrowed": borrowed, "opening": opening,
        },
        "waiting_clients": waiting,
        "borrows": borrows,
        "borrow_timeouts": timeouts,
        "shed": shed,
        "logins": { "succeeded": logins_ok, "failed": logins_failed },
    })
}

/// The target groups of one engine: their servers, and what has happened to them lately.
pub(super) fn groups<E: Engine>(wards: &Wards<E>) -> Vec<Value> {
    let groups = wards.all();
    groups
        .iter()
        .map(|(name, ward)| {
            let view = ward.roster().view();
            let members = view.snapshot.members.iter();
            let events = ward.keeper().map(|keeper| keeper.journal().entries());
            json!({
                "target_group": &**name,
                "primary": view.snapshot.primary.as_deref(),
                "paused": view.snapshot.paused,
                "servers_of": ward.taken_over_by().as_deref(),
                "targets": members.map(|member| target(member, &view)).collect::<Vec<_>>(),
                "events": events.iter().flatten().map(event).collect::<Vec<_>>(),
            })
        })
        .collect()
}

fn target(member: &Member, view: &View) -> Value {
    let site = view.sites.get(&member.name);
    json!({
        "target": &*member.name,
        "role": member.role.map(Role::as_str),
        "state": member.state.as_str(),
        "reason": member.reason.map(StateReason::as_str),
        "reachable": member.state == TargetState::Available,
        "lag_ms": member.lag.map(|lag| lag.as_millis()),
        "position": member.position.as_ref().map(|position| &*position.0),
        "zone": member.zone.as_deref(),
        "max_connections": member.weight,
        "outstanding_reads": site.map(|site| site.outstanding()),
    })
}

fn event(entry: &Entry) -> Value {
    json!({
        "at": seconds(entry.at),
        "target": entry.change.target,
        "what": entry.change.what,
    })
}

/// Where credentials towards servers come from.
pub(super) fn sources(metrics: &SourceMetrics) -> Vec<Value> {
    let mut sources = metrics.status();
    sources.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    let shown = sources.into_iter().map(|source| {
        let SourceStatus {
            kind,
            name,
            refreshes,
            failures,
            refusals,
            age_seconds,
            version,
            stage,
            error,
        } = source;
        json!({
            "kind": kind,
            "source": &*name,
            "refreshes": refreshes,
            "refresh_failures": failures,
            "refusals": refusals,
            "age_seconds": age_seconds,
            "version_in_use": version.as_deref(),
            "stage_in_use": stage,
            "error": error.as_deref(),
        })
    });
    shown.collect()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

const PHASES: [Phase; 5] = [
    Phase::Login,
    Phase::Idle,
    Phase::Waiting,
    Phase::Active,
    Phase::Held,
];
