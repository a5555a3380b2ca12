//! What a server connection owes: one entry for each request that will be answered.
//!
//! The extended query protocol answers each message separately and, after an error, nothing up
//! to the next Sync (PostgreSQL documentation, section 55.2.3). Sluice puts in messages of its own
//! and answers some itself, so each entry says for whom the answer is.

use std::collections::VecDeque;
use std::sync::Arc;

use super::statements::{Statement, StatementKey};

/// For whom an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The client.
    Client,
    /// Nobody: Sluice put the request in between the client's own.
    Ours,
    /// Nobody: the request brings the connection's settings up to the client's.
    Replay,
    /// Sluice, while no client is attached.
    Chore,
}

/// What to take back if a message was not carried out.
#[derive(Debug)]
pub enum Undo {
    /// Nothing.
    Nothing,
    /// The connection has not prepared this, and the client's name does not exist.
    Named(StatementKey, Box<[u8]>),
    /// The connection has not prepared this.
    Prepared(StatementKey),
    /// The client's name does not exist.
    Name(Box<[u8]>),
    /// The client's name still exists.
    Restore(Box<[u8]>, Arc<Statement>),
    /// Neither side has an unnamed statement.
    Unnamed,
    /// The connection has no unnamed statement.
    UnnamedHere,
}

/// An answer that is due.
#[derive(Debug)]
pub enum Owed {
    /// ParseComplete.
    Parse(Fate, Undo),
    /// ParseComplete, by Sluice itself when its turn comes.
    FakeParse(Undo),
    /// BindComplete.
    Bind(Option<StatementKey>),
    /// RowDescription or NoData, after ParameterDescription for a statement.
    Describe,
    /// Rows, COPY data, then CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute,
    /// CloseComplete.
    Close(Fate),
    /// CloseComplete, by Sluice itself when its turn comes.
    FakeClose(Undo),
    /// ReadyForQuery alone.
    Sync,
    /// Anything, then ReadyForQuery.
    Query(Fate),
    /// FunctionCallResponse, then ReadyForQuery.
    Function,
}

impl Owed {
    /// For whom the answer is.
    pub fn fate(&self) -> Fate {
        match self {
            Self::Parse(fate, _) | Self::Close(fate) | Self::Query(fate) => *fate,
            _ => Fate::Client,
        }
    }

    /// True for messages that an earlier error makes the server skip.
    pub fn is_extended(&self) -> bool {
        !matches!(self, Self::Sync | Self::Query(_) | Self::Function)
    }
}

/// The queue of a connection.
#[derive(Debug, Default)]
pub struct Debts(VecDeque<Owed>);

impl Debts {
    /// True if nothing is due.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The answer due first.
    pub fn first(&self) -> Option<&Owed> {
        self.0.front()
    }

    /// An answer will be due after all others.
    pub fn push(&mut self, owed: Owed) {
        self.0.push_back(owed);
    }

    /// The first answer has come.
    pub fn pop(&mut self) -> Option<Owed> {
        self.0.pop_front()
    }

    /// The answer due last.
    pub fn last(&self) -> Option<&Owed> {
        self.0.back()
    }

    /// Takes back what was pushed last.
    pub fn pop_last(&mut self) -> Option<Owed> {
        self.0.pop_back()
    }

    /// Takes all Syncs behind the first entry out, and says how many they were.
    pub fn drop_syncs(&mut self) -> usize {
        let before = self.0.len();
        let mut first = true;
        self.0
            .retain(|owed| std::mem::take(&mut first) || !matches!(owed, Owed::Sync));
        before - self.0.len()
    }

    /// True if every answer due is for Sluice itself.
    pub fn is_private(&self) -> bool {
        self.0.iter().all(|owed| owed.fate() == Fate::Chore)
    }
}
