//! Why a session must keep its server connection.

/// The closed list of pin reasons. Each is a metric label and a log field, so a new one is a
/// user-visible change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PinReason {
    /// Pool mode `session`: the connection is the client's until it disconnects.
    SessionMode,
    /// A session setting was changed by a statement.
    Setting,
    /// The role or session authorization was changed.
    Role,
    /// A temporary object may exist.
    TempObject,
    /// A cursor outlives its transaction.
    HeldCursor,
    /// The session listens for notifications.
    Listen,
    /// A session-level advisory lock may be held.
    AdvisoryLock,
    /// A library was loaded into the server process.
    Load,
    /// A statement was prepared by SQL text rather than by the protocol.
    SqlPrepare,
    /// Sequence state (`currval`, `lastval`) was created.
    Sequence,
    /// The random seed was set.
    RandomSeed,
    /// A connection to somewhere else was opened inside the server process.
    ExternalConnection,
    /// Code that may change the session unseen was run.
    CodeBlock,
    /// The statement could not be classified.
    Unclassified,
    /// A prepared statement was too large to be carried to another connection.
    OversizedStatement,
    /// The exchange went in a way that leaves the connection's state in doubt.
    ProtocolDoubt,
}

impl PinReason {
    /// Every reason, in declaration order.
    pub const ALL: [Self; 16] = [
        Self::SessionMode,
        Self::Setting,
        Self::Role,
        Self::TempObject,
        Self::HeldCursor,
        Self::Listen,
        Self::AdvisoryLock,
        Self::Load,
        Self::SqlPrepare,
        Self::Sequence,
        Self::RandomSeed,
        Self::ExternalConnection,
        Self::CodeBlock,
        Self::Unclassified,
        Self::OversizedStatement,
        Self::ProtocolDoubt,
    ];

    /// The name used in logs, `/status` and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SessionMode => "session_mode",
            Self::Setting => "setting",
            Self::Role => "role",
            Self::TempObject => "temp_object",
            Self::HeldCursor => "held_cursor",
            Self::Listen => "listen",
            Self::AdvisoryLock => "advisory_lock",
            Self::Load => "load",
            Self::SqlPrepare => "sql_prepare",
            Self::Sequence => "sequence",
            Self::RandomSeed => "random_seed",
            Self::ExternalConnection => "external_connection",
            Self::CodeBlock => "code_block",
            Self::Unclassified => "unclassified",
            Self::OversizedStatement => "oversized_statement",
            Self::ProtocolDoubt => "protocol_doubt",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// A set of pin reasons; empty means the session may change its server connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Pins(u32);

impl Pins {
    /// No reason to pin.
    pub const NONE: Self = Self(0);

    /// The set of one reason.
    pub const fn of(reason: PinReason) -> Self {
        Self(reason.bit())
    }

    /// Adds a reason; true if it is new.
    pub fn insert(&mut self, reason: PinReason) -> bool {
        let new = self.0 & reason.bit() == 0;
        self.0 |= reason.bit();
        new
    }

    /// Adds every reason in `other`.
    pub fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Removes a reason whose state is gone.
    pub fn remove(&mut self, reason: PinReason) {
        self.0 &= !reason.bit();
    }

    /// True if `reason` is in the set.
    pub fn contains(self, reason: PinReason) -> bool {
        self.0 & reason.bit() != 0
    }

    /// True if nothing pins.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Reasons that are in `self` but not in `before`.
    pub fn since(self, before: Self) -> Self {
        Self(self.0 & !before.0)
    }

    /// The reasons in the set, in declaration order.
    pub fn iter(self) -> impl Iterator<Item = PinReason> {
        PinReason::ALL
            .into_iter()
            .filter(move |r| self.contains(*r))
    }
}

#[cfg(test)]
mod tests {
    use super::{PinReason, Pins};

    #[test]
    fn a_removed_reason_leaves_the_others() {
        let mut pins = Pins::NONE;
        assert!(pins.insert(PinReason::Listen));
        assert!(!pins.insert(PinReason::Listen));
        assert!(pins.insert(PinReason::Setting));
        pins.remove(PinReason::Listen);
        assert_eq!(pins.iter().collect::<Vec<_>>(), [PinReason::Setting]);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = PinReason::ALL.iter().map(|r| r.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PinReason::ALL.len());
    }
}
