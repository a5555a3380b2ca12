//! What a server connection owes: one entry for each request that will be answered.
//!
//! The extended query protocol answers each message separately and, after an error, nothing up
//! to the next Sync (PostgreSQL documentation, section 55.2.3). Sluice puts in messages of its own
//! and answers some itself, so each entry says for whom the answer is.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::statements::{Statement, StatementKey};
use crate::sql::statement::Verdict;

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

/// A statement that is being deallocated.
#[derive(Debug)]
pub struct Gone {
    /// On the server connection.
    pub key: StatementKey,
    /// By the client's name.
    pub name: Box<[u8]>,
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
    /// An error, which the client sees in words of Sluice's own.
    Refused(Bytes),
    /// RowDescription or NoData, after ParameterDescription for a statement.
    Describe,
    /// Rows, COPY data, then CommandComplete, EmptyQueryResponse or PortalSuspended. With the
    /// statement, where its completion changes what is known of the session.
    Execute(Option<Arc<Verdict>>),
    /// CloseComplete.
    Close(Fate),
    /// CloseComplete, by Sluice itself when its turn comes.
    FakeClose(Undo),
    /// Nothing: the client has ended a COPY that the server has not begun yet, or never will.
    CopyEnd,
    /// ReadyForQuery alone.
    Sync,
    /// Anything, then ReadyForQuery.
    Query(Fate),
    /// The same for a client's text whose statements change what is known of the session, and how
    /// many of them have completed.
    Scripted(Arc<Verdict>, usize),
    /// CommandComplete for a statement that both sides then have no more, then ReadyForQuery.
    Deallocate(Gone),
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
        !matches!(
            self,
            Self::Sync | Self::Query(_) | Self::Scripted(..) | Self::Deallocate(_) | Self::Function
        )
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

    /// True if exactly one answer is due.
    pub fn is_single(&self) -> bool {
        self.0.len() == 1
    }

    /// The answer due first.
    pub fn first(&self) -> Option<&Owed> {
        self.0.front()
    }

    /// The answer due first, to be brought up to date.
    pub fn first_mut(&mut self) -> Option<&mut Owed> {
        self.0.front_mut()
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

    /// COPY from the client begins: Syncs behind the first entry are part of it, up to the end
    /// that the client may have sent already. Takes them out.
    pub fn begin_copy(&mut self) -> Ahead {
        let mut ahead = Ahead::default();
        let mut first = true;
        self.0.retain(|owed| {
            if std::mem::take(&mut first) || ahead.ended {
                return true;
            }
            ahead.ended = matches!(owed, Owed::CopyEnd);
            let sync = matches!(owed, Owed::Sync);
            ahead.syncs |= sync;
            !sync && !ahead.ended
        });
        ahead
    }
}

/// What a client had sent of a COPY before it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ahead {
    /// Syncs.
    pub syncs: bool,
    /// Its end.
    pub ended: bool,
}
