//! Status flags in OK and EOF packets (MySQL protocol, `SERVER_STATUS_flags_enum`).

/// Status of a session after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Status(pub u16);

impl Status {
    /// A transaction is open.
    pub const IN_TRANS: Self = Self(1);
    /// `autocommit` is on.
    pub const AUTOCOMMIT: Self = Self(1 << 1);
    /// Another result follows.
    pub const MORE_RESULTS: Self = Self(1 << 3);
    /// A read-only cursor is open.
    pub const CURSOR_EXISTS: Self = Self(1 << 6);
    /// A cursor has delivered its last row.
    pub const LAST_ROW_SENT: Self = Self(1 << 7);
    /// The current schema was dropped.
    pub const DB_DROPPED: Self = Self(1 << 8);
    /// `NO_BACKSLASH_ESCAPES` is in force.
    pub const NO_BACKSLASH_ESCAPES: Self = Self(1 << 9);
    /// Metadata of a prepared statement has changed.
    pub const METADATA_CHANGED: Self = Self(1 << 10);
    /// The result holds OUT parameters.
    pub const PS_OUT_PARAMS: Self = Self(1 << 12);
    /// The open transaction is read-only.
    pub const IN_TRANS_READONLY: Self = Self(1 << 13);
    /// MariaDB: `ANSI_QUOTES` is in force.
    pub const ANSI_QUOTES: Self = Self(1 << 15);
    /// The packet tells changes of the session's state.
    pub const SESSION_STATE_CHANGED: Self = Self(1 << 14);

    /// What of the last reply's status holds for the session, and not only for that reply.
    #[must_use]
    pub const fn of_session(self) -> Self {
        let kept = Self::IN_TRANS.0
            | Self::AUTOCOMMIT.0
            | Self::NO_BACKSLASH_ESCAPES.0
            | Self::ANSI_QUOTES.0
            | Self::IN_TRANS_READONLY.0;
        Self(self.0 & kept)
    }

    /// True if everything in `other` is in this set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in either set.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
