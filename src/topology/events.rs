//! Pure: what has changed between two moments of a group, in words for the log and `/status`.

use crate::model::{Member, Snapshot};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The server, or empty for the group.
    pub target: String,
    /// What has happened.
    pub what: String,
    /// Operators should look at it.
    pub alarming: bool,
}

/// What is different in `new`. Lag and positions are no changes.
pub fn changes(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let mut found = Vec::new();
    for member in &new.members {
        match old.member(&member.name) {
            None => found.push(of(member, "joined the group".into(), false)),
            Some(before) => {
                if before.role != member.role {
                    let role =
                        |member: &Member| member.role.map_or("unknown", |role| role.as_str());
                    let what = format!("role: {} -> {}", role(before), role(member));
                    found.push(of(member, what, before.role.is_some()));
                }
                if (before.state, before.reason) != (member.state, member.reason) {
                    let what = format!("state: {} -> {}", state(before), state(member));
                    let worse = member.reason.is_some() && before.reason.is_none();
                    found.push(of(member, what, worse));
                }
            }
        }
    }
    let gone = old.members.iter();
    for member in gone.filter(|member| new.member(&member.name).is_none()) {
        found.push(of(member, "left the group".into(), false));
    }
    if old.primary != new.primary {
        let name = |snapshot: &Snapshot| snapshot.primary.as_deref().unwrap_or("none").to_owned();
        found.push(Change {
            target: String::new(),
            what: format!("primary: {} -> {}", name(old), name(new)),
            alarming: new.primary.is_none(),
        });
    }
    if old.paused != new.paused {
        let what = if new.paused {
            "traffic is held"
        } else {
            "traffic flows"
        };
        found.push(Change {
            target: String::new(),
            what: what.into(),
            alarming: false,
        });
    }
    found
}

/// True if sessions must choose their servers anew.
pub fn matters(old: &Snapshot, new: &Snapshot) -> bool {
    let shown = |snapshot: &Snapshot| {
        let members = snapshot.members.iter();
        let mut members: Vec<_> = members
            .map(|m| (m.name.clone(), m.role, m.state, m.weight, m.near))
            .collect();
        members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        (members, snapshot.primary.clone(), snapshot.paused)
    };
    shown(old) != shown(new)
}

fn of(member: &Member, what: String, alarming: bool) -> Change {
    Change {
        target: member.name.to_string(),
        what,
        alarming,
    }
}

fn state(member: &Member) -> String {
    match member.reason {
        Some(reason) => format!("{} ({})", member.state.as_str(), reason.as_str()),
        None => member.state.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{changes, matters};
    use crate::model::{Member, Role, Snapshot, StateReason, TargetState};

    fn member(name: &str, role: Role) -> Member {
        Member {
            name: name.into(),
            role: Some(role),
            state: TargetState::Available,
            reason: None,
            lag: None,
            position: None,
            zone: None,
            near: false,
            other_region: false,
            weight: 1,
        }
    }

    fn group(primary: Option<&str>, members: &[Member]) -> Snapshot {
        Snapshot {
            epoch: 0,
            primary: primary.map(Into::into),
            paused: false,
            members: members.to_vec(),
        }
    }

    #[test]
    fn a_failover_is_told_in_full() {
        let (a, b) = (member("a", Role::Primary), member("b", Role::Replica));
        let before = group(Some("a"), &[a.clone(), b]);
        let gone = Member {
            state: TargetState::Unavailable,
            reason: Some(StateReason::Unreachable),
            ..a
        };
        let after = group(Some("b"), &[gone, member("b", Role::Primary)]);
        let told: Vec<_> = changes(&before, &after)
            .into_iter()
            .map(|change| format!("{} {}", change.target, change.what))
            .collect();
        assert_eq!(
            told,
            [
                "a state: AVAILABLE -> UNAVAILABLE (UNREACHABLE)",
                "b role: replica -> primary",
                " primary: a -> b",
            ]
        );
        assert!(matters(&before, &after));
    }

    #[test]
    fn lag_alone_is_no_change() {
        let before = group(
            Some("a"),
            &[member("a", Role::Primary), member("b", Role::Replica)],
        );
        let mut after = before.clone();
        after.members[1].lag = Some(std::time::Duration::from_secs(1));
        assert!(changes(&before, &after).is_empty());
        assert!(!matters(&before, &after));
        after.paused = true;
        assert!(matters(&before, &after));
    }

    #[test]
    fn who_joins_and_leaves_is_told() {
        let before = group(
            Some("a"),
            &[member("a", Role::Primary), member("b", Role::Replica)],
        );
        let after = group(
            Some("a"),
            &[member("a", Role::Primary), member("c", Role::Replica)],
        );
        let told: Vec<_> = changes(&before, &after)
            .into_iter()
            .map(|change| format!("{} {}", change.target, change.what))
            .collect();
        assert_eq!(told, ["c joined the group", "b left the group"]);
    }
}
