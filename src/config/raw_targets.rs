//! The words that keys about servers and where statements go may have.

use serde::{Deserialize, Serialize};

/// Where a client's statements go; names as RDS Proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetRole {
    /// To the primary.
    ReadWrite,
    /// To a replica.
    ReadOnly,
    /// Reads to a replica, the rest to the primary.
    Split,
}

/// Where the members of a target group come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Discovery {
    /// The file.
    Static,
    /// The addresses of the names in the file.
    Dns,
    /// Aurora's status of replicas.
    Aurora,
    /// The topology of an RDS Multi-AZ DB cluster.
    MultiAzCluster,
    /// The RDS API.
    Rds,
}

/// What the configuration says of a server's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetRoleHint {
    /// Nothing: the server is asked.
    Auto,
    /// It is the primary.
    Primary,
    /// It is a replica.
    Replica,
}

/// What read-only sessions do while no replica is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WithoutReplica {
    /// They wait.
    Wait,
    /// They use the primary.
    Primary,
}
