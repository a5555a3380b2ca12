//! What configuration decides about the servers of a group and how they are watched.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Role, Roll, TargetName};

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyOptions {
    /// The servers that the configuration names; at least one.
    pub seeds: Vec<Seed>,
    /// How they are looked at.
    pub health: HealthOptions,
    /// Our own availability zone, if it is known.
    pub zone: Option<Arc<str>>,
    /// Where members come from.
    pub source: Source,
}

/// Where the members of a group come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The configuration names them.
    Configured,
    /// It names names: each address that one stands for is a member.
    Dns {
        /// Between two resolutions.
        interval: Duration,
    },
    /// A server lists them.
    Roll {
        /// Where.
        roll: Roll,
        /// Between two questions.
        interval: Duration,
    },
    /// Amazon RDS lists them.
    Rds {
        /// Of a DB cluster, or of a DB instance that has read replicas.
        identifier: Arc<str>,
        /// The port of servers of which the list does not tell one.
        port: u16,
        /// Between two questions.
        interval: Duration,
    },
}

impl TopologyOptions {
    /// True if another server may become primary, so that it is worth waiting for one.
    pub const fn may_change(&self) -> bool {
        self.seeds.len() > 1
            || self.health.monitor.is_some()
            || !matches!(self.source, Source::Configured)
    }
}

/// A server that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// `host:port`.
    pub name: TargetName,
    /// Host name or address.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
    /// The name that its certificate must have, where that is not the host.
    pub verified_as: Option<Arc<str>>,
    /// Name and port that IAM tokens for it are signed for, where they are others.
    pub iam_endpoint: Option<(Arc<str>, u16)>,
    /// Its role, where it is not to be found out.
    pub role: Option<Role>,
    /// Its availability zone.
    pub zone: Option<Arc<str>>,
    /// It is in another region than the primary.
    pub other_region: bool,
}

impl Seed {
    /// Name and port that IAM tokens for it are signed for.
    pub fn signed_for(&self) -> (&str, u16) {
        match &self.iam_endpoint {
            Some((host, port)) => (host, *port),
            None => (&self.host, self.port),
        }
    }
}

/// How servers are looked at, and what is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthOptions {
    /// The user that looks; `None`: servers are only tried for whether they take connections.
    pub monitor: Option<Monitor>,
    /// Between two looks at a server.
    pub interval: Duration,
    /// The same while the group has no primary.
    pub failover_interval: Duration,
    /// Longest that one look may take.
    pub timeout: Duration,
    /// Looks that fail in a row before a server is unavailable.
    pub failures: u32,
    /// Looks that succeed in a row before it is available again.
    pub successes: u32,
    /// Lag beyond which a replica is not used.
    pub max_lag: Duration,
    /// The same for replicas in another region.
    pub max_lag_other_region: Duration,
}

/// Who looks at servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// A configured user.
    pub user: Arc<str>,
    /// The database that it logs in to; empty: none.
    pub database: Arc<str>,
}
