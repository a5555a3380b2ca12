//! How far behind the primary a read may be.

/// What a session that reads from replicas may rely on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// A replica may be behind by as much as the group's limit of lag allows.
    Eventual,
    /// A session reads its own writes, and never what is older than what it has read before.
    #[default]
    Session,
    /// A session reads what any session had written when it asked.
    Strong,
}

impl Consistency {
    /// The name used in configuration and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::Session => "session",
            Self::Strong => "strong",
        }
    }
}
