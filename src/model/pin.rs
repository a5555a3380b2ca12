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
    /// A variable of the client's own has a value that its text does not give.
    UserVariable,
    /// Tables, or all of them, are locked.
    TableLock,
    /// Modes are set for the next transaction alone.
    NextTransaction,
    /// A transaction that other servers take part in.
    DistributedTransaction,
    /// What the last statement has left, for the next one to ask about.
    Diagnostics,
    /// Part of a prepared statement's parameters has been sent.
    PartialParameters,
    /// The exchange went in a way that leaves the connection's state in doubt.
    ProtocolDoubt,
}

impl PinReason {
    /// Every reason, in declaration order.
    pub const ALL: [Self; 22] = [
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
        Self::UserVariable,
        Self::TableLock,
        Self::NextTransaction,
        Self::DistributedTransaction,
        Self::Diagnostics,
        Self::PartialParameters,
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
            Self::UserVariable => "user_variable",
            Self::TableLock => "table_lock",
            Self::NextTransaction => "next_transaction",
            Self::DistributedTransaction => "distributed_transaction",
            Self::Diagnostics => "diagnostics",
            Self::PartialParameters => "partial_parameters",
            Self::ProtocolDoubt => "protocol_doubt",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// A set of pin reasons; empty means the session may change its server connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Pins(u32);

impl Pins {
    /// No reason to pin.
    pub const NONE: Self = Self(0);

    /// These reasons.
    pub const fn of(reasons: &[PinReason]) -> Self {
        let mut set = 0;
        let mut rest = reasons;
        while let [first, others @ ..] = rest {
            set |= first.bit();
            rest = others;
        }
        Self(set)
    }

    /// Adds a reason; true if it is new.
    pub fn insert(&mut self, reason: PinReason) -> bool {
        let new = self.0 & reason.bit() == 0;
        self.0 |= reason.bit();
        new
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

    /// The reasons in either set.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The reasons in both sets.
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The reasons in the set, in declaration order.
    pub fn iter(self) -> impl Iterator<Item = PinReason> {
        PinReason::ALL
            .into_iter()
            .filter(move |r| self.contains(*r))
    }
}

impl FromIterator<PinReason> for Pins {
    fn from_iter<I: IntoIterator<Item = PinReason>>(reasons: I) -> Self {
        reasons.into_iter().fold(Self::NONE, |mut pins, reason| {
            pins.insert(reason);
            pins
        })
    }
}

/// What is decided about pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct PinPolicy {
    /// Reasons that do not pin: their state is lost with the server connection, which is reset
    /// before somebody else gets it.
    pub filtered: Pins,
    /// After how many of the requests that may run code of users the session's state is compared
    /// with the server's.
    pub verify: Share,
    /// What servers send unasked comes to clients over a shared connection.
    pub share_feeds: bool,
}

/// A share of many: none, some, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Share(u32);

impl Share {
    /// All.
    pub const ALL: Self = Self(u32::MAX);

    /// From a fraction; what lies outside 0 to 1 is taken for the nearer end.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range of the type"
    )]
    pub fn of(fraction: f64) -> Self {
        Self((fraction.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32)
    }

    /// True if it is all.
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }

    /// True if the `number`th case belongs to it. Cases are spread evenly but without a pattern.
    pub fn includes(self, number: u64) -> bool {
        if self.0 == 0 || self.is_all() {
            return self.0 != 0;
        }
        // The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
        let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) >> 32 < u64::from(self.0)
    }
}

/// State of a server connection that no statement of its client had announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was found, by the reason for which it pins or would pin.
    pub what: Pins,
    /// The statement that gave rise to the look, literals removed, where it is known.
    pub cause: Option<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::{PinReason, Pins, Share};

    #[test]
    fn a_share_is_kept() {
        let hits = |share: Share| (0..10_000).filter(|n| share.includes(*n)).count();
        assert_eq!(hits(Share::of(0.0)), 0);
        assert_eq!(hits(Share::of(1.0)), 10_000);
        assert!((900..1100).contains(&hits(Share::of(0.1))));
        assert!(Share::of(7.0).is_all() && Share::default() == Share::of(-1.0));
    }

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
