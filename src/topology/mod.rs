//! Which servers a target group has, and which of them is what.

use std::sync::Arc;

use crate::model::{Member, Role, Snapshot, StateReason, TargetState};

pub mod options;

use options::TopologyOptions;

/// A group as the configuration has it, before any of its servers has been looked at: a server
/// alone is the primary, unless something else is said of it.
pub fn configured(options: &TopologyOptions, epoch: u64) -> Snapshot {
    let alone = options.seeds.len() == 1;
    let members: Vec<Member> = options
        .seeds
        .iter()
        .map(|seed| {
            let asked = seed.role.is_none() && options.health.monitor.is_some();
            let role = seed.role.or((alone && !asked).then_some(Role::Primary));
            Member {
                name: Arc::clone(&seed.name),
                role,
                state: if asked {
                    TargetState::Registering
                } else {
                    TargetState::Available
                },
                reason: asked.then_some(StateReason::PendingProxyCapacity),
                lag: None,
                position: None,
                near: options.zone.is_some() && seed.zone == options.zone,
                zone: seed.zone.clone(),
                other_region: seed.other_region,
                weight: 1,
            }
        })
        .collect();
    let primary = members
        .iter()
        .find(|member| member.role == Some(Role::Primary));
    Snapshot {
        epoch,
        primary: primary.map(|member| Arc::clone(&member.name)),
        paused: false,
        members,
    }
}
