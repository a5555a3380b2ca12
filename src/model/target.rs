//! The servers of a target group, and what is known about each.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::TargetName;

/// What a server does in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It repeats what the primary writes.
    Replica,
}

impl Role {
    /// The name used in configuration, logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which servers a client's statements may go to (RDS Proxy's `TargetRole`, and `SPLIT`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TargetRole {
    /// All to the primary.
    #[default]
    ReadWrite,
    /// All to a replica.
    ReadOnly,
    /// What only reads to a replica, the rest to the primary.
    Split,
}

/// Whether a server may be used, in RDS Proxy's words (`TargetHealth` of its API).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetState {
    /// Not looked at often enough to tell.
    Registering,
    /// It may be used.
    Available,
    /// It may not: the reason says why.
    Unavailable,
    /// It is well, but nothing is sent to it.
    Unused,
}

impl TargetState {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Registering,
        Self::Available,
        Self::Unavailable,
        Self::Unused,
    ];

    /// RDS Proxy's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registering => "REGISTERING",
            Self::Available => "AVAILABLE",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unused => "UNUSED",
        }
    }
}

/// Why a server is not available, in RDS Proxy's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateReason {
    /// It cannot be reached.
    Unreachable,
    /// It was reached, but is not usable: it starts up, shuts down, or does not answer.
    ConnectionFailed,
    /// It refuses the login of the monitor user.
    AuthFailure,
    /// It is new to the group.
    PendingProxyCapacity,
    /// A replica that does not replicate, or lags too far behind.
    InvalidReplicationState,
    /// A replica that has become a primary beside another, or the other way round: who is right
    /// is not decided yet.
    Promoted,
}

impl StateReason {
    /// RDS Proxy's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "UNREACHABLE",
            Self::ConnectionFailed => "CONNECTION_FAILED",
            Self::AuthFailure => "AUTH_FAILURE",
            Self::PendingProxyCapacity => "PENDING_PROXY_CAPACITY",
            Self::InvalidReplicationState => "INVALID_REPLICATION_STATE",
            Self::Promoted => "PROMOTED",
        }
    }
}

/// How far a server has come in the history of its group: in words of its engine, which alone
/// compares them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position(pub Arc<str>);

/// One server of a group, as last seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// `host:port`.
    pub name: TargetName,
    /// What it does; `None` while that is not known.
    pub role: Option<Role>,
    /// Whether it may be used.
    pub state: TargetState,
    /// Why not.
    pub reason: Option<StateReason>,
    /// How far a replica is behind; `None` if that is not known.
    pub lag: Option<Duration>,
    /// How far it had come when it was last asked: of a primary what it has written, of a
    /// replica what it has replayed.
    pub position: Option<Position>,
    /// Its availability zone, where that is known.
    pub zone: Option<Arc<str>>,
    /// It is to be preferred to others: in the same zone as Sluice.
    pub near: bool,
    /// It is in another region than the primary.
    pub other_region: bool,
    /// Its share of the load beside others: the connections that it takes, at least 1.
    pub weight: u32,
}

impl Member {
    /// True for a replica that reads may be sent to.
    pub fn serves_reads(&self) -> bool {
        self.role == Some(Role::Replica) && self.state == TargetState::Available
    }
}

/// A group at one moment. Whoever decides by one uses the same until the decision is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Raised whenever a target is to be chosen anew: another primary or none, members that come,
    /// go, or change their state. Not for lag and position.
    pub epoch: u64,
    /// The server that writes go to; `None` while there is none, or too many.
    pub primary: Option<TargetName>,
    /// Nothing new is to begin: an operator holds the group's traffic.
    pub paused: bool,
    /// All members.
    pub members: Vec<Member>,
}

impl Snapshot {
    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| *member.name == *name)
    }
}

/// A server in a list of a group's members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Host name or address; without a domain, that of the other servers of the group goes for it.
    pub host: Arc<str>,
    /// TCP port, where the list tells.
    pub port: Option<u16>,
    /// It takes writes, as far as the list knows.
    pub writer: bool,
    /// Its availability zone, where the list tells.
    pub zone: Option<Arc<str>>,
    /// It is in another region than the primary.
    pub other_region: bool,
}

/// Which of its own tables a server lists its group in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roll {
    /// Amazon Aurora's status of replicas.
    Aurora,
    /// The topology of an RDS Multi-AZ DB cluster.
    MultiAz,
}
