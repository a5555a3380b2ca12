//! Where the dialogue with a server connection stands.

/// Transaction state as the server last reported it. Never derived from SQL text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TxStatus {
    /// No transaction is open.
    #[default]
    Idle,
    /// A transaction is open.
    Open,
    /// A transaction is open and has failed; only a rollback helps.
    Failed,
}

/// What may be concluded from all that a server connection has been sent and has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Nothing is owed: every request sent has been answered to its last byte.
    pub settled: bool,
    /// Transaction state at the last report.
    pub tx: TxStatus,
    /// The server has said, or shown, that it is going away.
    pub closing: bool,
}

impl Progress {
    /// True where another session may use the connection, state aside.
    pub fn is_idle(self) -> bool {
        self.settled && self.tx == TxStatus::Idle && !self.closing
    }
}
