//! The closed list of session state that a statement may touch, and a set of such touches.
//!
//! A touch says "may", never "did": the caller waits for the command tag, and a touch that takes state away
//! ([`Touch::AdvisoryUnlock`], [`Touch::Unlisten`] …) proves nothing by itself; only a statement's
//! [`Detail`](crate::sql::statement::Detail) does.

use std::fmt;

/// One kind of session state that a statement may touch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum Touch {
    /// Settings of the session, all of them named in the statement's detail.
    SetSession,
    /// Settings that end with the transaction: `SET LOCAL`, `SET TRANSACTION`, `SET CONSTRAINTS`.
    SetLocal,
    /// A session setting whose name is known and whose value is a parameter of the statement. Only a caller that
    /// reads the bound values may treat it as [`Touch::SetSession`], and then asks
    /// [`path_has_temp_schema`](crate::sql::postgres::path_has_temp_schema) about a `search_path`.
    SetFromParameter,
    /// Some session setting, by a name or value that the text does not give.
    SetUnknown,
    /// The current role.
    SetRole,
    /// The session's user.
    SetSessionAuthorization,
    /// `SET SESSION CHARACTERISTICS`: the `default_transaction_*` settings named in the detail.
    SetSessionCharacteristics,
    /// Temporary tables, views, sequences or anything else in `pg_temp`.
    TempObject,
    /// A cursor that outlives its transaction.
    CursorHold,
    /// Any other use of a cursor: declared within a transaction, read, moved, closed.
    Cursor,
    /// A channel listened to.
    Listen,
    /// A channel, or all, no longer listened to.
    Unlisten,
    /// A notification sent; holds nothing.
    Notify,
    /// An advisory lock of the session.
    AdvisoryLock,
    /// Advisory locks of the session given up.
    AdvisoryUnlock,
    /// A library loaded into the server process; it stays for good.
    Load,
    /// A statement prepared by SQL. The inner statement's touches are reported here, when it is prepared.
    SqlPrepare,
    /// A statement prepared by SQL is run: whatever its `PREPARE` was reported to touch.
    SqlExecute,
    /// Statements prepared by SQL or by the protocol given up.
    Deallocate,
    /// `DISCARD ALL`.
    DiscardAll,
    /// `DISCARD PLANS`.
    DiscardPlans,
    /// `DISCARD SEQUENCES`.
    DiscardSequences,
    /// `DISCARD TEMP`.
    DiscardTemp,
    /// The sequence values that `currval` and `lastval` answer from, written.
    SequenceState,
    /// The same, read.
    SequenceRecall,
    /// The seed of `random()`.
    RandomSeed,
    /// Code that the text does not show as statements: `DO`, `CALL`, functions that run a query given as a string.
    CodeBlock,
    /// `COPY`.
    Copy,
    /// A connection from the server process to elsewhere, kept by name.
    ExternalConnection,
    /// Replication origin, possibly temporary replication slot or base backup, bound to the server process.
    ReplicationSession,
    /// The text cannot be read with certainty: anything may be touched.
    Unknown,
}

impl Touch {
    /// All touches, in declaration order.
    pub const ALL: [Self; 31] = [
        Self::SetSession,
        Self::SetLocal,
        Self::SetFromParameter,
        Self::SetUnknown,
        Self::SetRole,
        Self::SetSessionAuthorization,
        Self::SetSessionCharacteristics,
        Self::TempObject,
        Self::CursorHold,
        Self::Cursor,
        Self::Listen,
        Self::Unlisten,
        Self::Notify,
        Self::AdvisoryLock,
        Self::AdvisoryUnlock,
        Self::Load,
        Self::SqlPrepare,
        Self::SqlExecute,
        Self::Deallocate,
        Self::DiscardAll,
        Self::DiscardPlans,
        Self::DiscardSequences,
        Self::DiscardTemp,
        Self::SequenceState,
        Self::SequenceRecall,
        Self::RandomSeed,
        Self::CodeBlock,
        Self::Copy,
        Self::ExternalConnection,
        Self::ReplicationSession,
        Self::Unknown,
    ];

    /// The stable name of the touch, fit for a metric label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SetSession => "set_session",
            Self::SetLocal => "set_local",
            Self::SetFromParameter => "set_from_parameter",
            Self::SetUnknown => "set_unknown",
            Self::SetRole => "set_role",
            Self::SetSessionAuthorization => "set_session_authorization",
            Self::SetSessionCharacteristics => "set_session_characteristics",
            Self::TempObject => "temp_object",
            Self::CursorHold => "cursor_hold",
            Self::Cursor => "cursor",
            Self::Listen => "listen",
            Self::Unlisten => "unlisten",
            Self::Notify => "notify",
            Self::AdvisoryLock => "advisory_lock",
            Self::AdvisoryUnlock => "advisory_unlock",
            Self::Load => "load",
            Self::SqlPrepare => "sql_prepare",
            Self::SqlExecute => "sql_execute",
            Self::Deallocate => "deallocate",
            Self::DiscardAll => "discard_all",
            Self::DiscardPlans => "discard_plans",
            Self::DiscardSequences => "discard_sequences",
            Self::DiscardTemp => "discard_temp",
            Self::SequenceState => "sequence_state",
            Self::SequenceRecall => "sequence_recall",
            Self::RandomSeed => "random_seed",
            Self::CodeBlock => "code_block",
            Self::Copy => "copy",
            Self::ExternalConnection => "external_connection",
            Self::ReplicationSession => "replication_session",
            Self::Unknown => "unknown",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// A set of [`Touch`]es.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Touches(u32);

impl Touches {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The set of one touch.
    #[must_use]
    pub const fn of(touch: Touch) -> Self {
        Self(touch.bit())
    }

    /// This set with `touch` in it.
    #[must_use]
    pub const fn with(self, touch: Touch) -> Self {
        Self(self.0 | touch.bit())
    }

    /// This set without `touch`.
    #[must_use]
    pub const fn without(self, touch: Touch) -> Self {
        Self(self.0 & !touch.bit())
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Adds `touch`.
    pub const fn insert(&mut self, touch: Touch) {
        self.0 |= touch.bit();
    }

    /// Adds everything in `other`.
    pub const fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether `touch` is in the set.
    #[must_use]
    pub const fn contains(self, touch: Touch) -> bool {
        self.0 & touch.bit() != 0
    }

    /// Whether everything in `other` is in this set.
    #[must_use]
    pub const fn contains_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether anything in `other` is in this set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The touches in the set, in declaration order.
    pub fn iter(self) -> impl Iterator<Item = Touch> {
        Touch::ALL
            .into_iter()
            .filter(move |touch| self.contains(*touch))
    }
}

impl FromIterator<Touch> for Touches {
    fn from_iter<I: IntoIterator<Item = Touch>>(touches: I) -> Self {
        touches.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Touches {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set()
            .entries(self.iter().map(Touch::name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Touch, Touches};

    #[test]
    fn every_touch_has_its_own_bit_and_name() {
        let all: Touches = Touch::ALL.into_iter().collect();
        assert_eq!(all.iter().count(), Touch::ALL.len());
        let names: std::collections::BTreeSet<_> = all.iter().map(Touch::name).collect();
        assert_eq!(names.len(), Touch::ALL.len());
        // The last declared variant closes the list, so ALL misses none.
        assert_eq!(Touch::Unknown as usize + 1, Touch::ALL.len());
    }

    #[test]
    fn set_operations_agree() {
        let set = Touches::of(Touch::Listen).with(Touch::Copy);
        assert!(set.contains(Touch::Copy) && !set.contains(Touch::Load));
        assert!(set.contains_all(Touches::of(Touch::Listen)));
        assert!(!Touches::of(Touch::Listen).contains_all(set));
        assert!(set.intersects(Touches::of(Touch::Copy).with(Touch::Load)));
        assert_eq!(set.without(Touch::Copy), Touches::of(Touch::Listen));
        assert!(Touches::NONE.is_empty() && !set.is_empty());
        assert_eq!(format!("{set:?}"), r#"{"listen", "copy"}"#);
    }
}
