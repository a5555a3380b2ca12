//! Why a request goes where it goes.

use std::fmt;

use crate::sql::reading::Why;

/// The reason of one decision.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// To a replica: it only reads.
    Read,
    /// To a replica: it begins a transaction that only reads.
    ReadOnlyTransaction,
    /// To the primary, for what its text or message is.
    Text(Why),
    /// To the primary: no replica may be used.
    NoReplica,
    /// To the primary: the replica has not come far enough in time.
    Behind,
    /// To the primary: the replica could not be reached.
    Unreachable,
    /// To the primary: the group has changed, or its traffic is held, since the replica was chosen.
    Moved,
    /// To the primary: a replica has refused it.
    Refused,
    /// To the primary: on a replica it has left state of the session behind.
    LeavesState,
}

impl Reason {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        let own = [
            Self::Read,
            Self::ReadOnlyTransaction,
            Self::NoReplica,
            Self::Behind,
            Self::Unreachable,
            Self::Moved,
            Self::Refused,
            Self::LeavesState,
        ];
        own.into_iter().chain(Why::ALL.into_iter().map(Self::Text))
    }

    /// The stable name, fit for a metric label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadOnlyTransaction => "read_only_transaction",
            Self::Text(why) => why.name(),
            Self::NoReplica => "no_replica",
            Self::Behind => "replica_behind",
            Self::Unreachable => "replica_unreachable",
            Self::Moved => "group_changed",
            Self::Refused => "replica_refused",
            Self::LeavesState => "leaves_state",
        }
    }

    /// Where it stands among all reasons, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Read => 0,
            Self::ReadOnlyTransaction => 1,
            Self::NoReplica => 2,
            Self::Behind => 3,
            Self::Unreachable => 4,
            Self::Moved => 5,
            Self::Refused => 6,
            Self::LeavesState => 7,
            Self::Text(why) => 8 + why.index(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Read => "it only reads",
            Self::ReadOnlyTransaction => "it begins a transaction that only reads",
            Self::Text(why) => why.sentence(),
            Self::NoReplica => "no replica may be used",
            Self::Behind => "the replica has not come far enough in time",
            Self::Unreachable => "the replica cannot be reached",
            Self::Moved => "the group has changed since a replica was chosen",
            Self::Refused => "a replica has refused it",
            Self::LeavesState => "on a replica it has left state of the session behind",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn every_reason_has_its_place() {
        for (place, reason) in Reason::all().enumerate() {
            assert_eq!(reason.index(), place, "{reason}");
        }
    }
}
