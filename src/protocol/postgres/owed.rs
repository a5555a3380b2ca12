//! What a server connection owes: one entry for each request that will be answered.
//!
//! The extended query protocol answers each message separately and, after an error, nothing up
//! to the next Sync (PostgreSQL documentation, section 55.2.3). Sluice puts in messages of its own
//! and answers some itself, so each entry says for whom the answer is.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::by_name::SqlStatement;
use super::front::Unnamed;
use super::put_in::Mended;
use super::statements::{Named, ServerName, StatementKey};
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
    /// Sluice, about what the connection holds of the client.
    Inspection,
    /// Sluice: channels move to the shared connection.
    Move,
    /// Nobody: a transaction that is to fail.
    Bereft,
    /// Sluice, while no client is attached.
    Chore,
}

/// What to take back if a message was not carried out.
#[derive(Debug)]
pub enum Undo {
    /// Nothing.
    Nothing,
    /// Nothing: the client's name is taken, and the server is to say so.
    Taken(Box<[u8]>),
    /// The connection has not prepared this, and the client's name does not exist.
    Named(StatementKey, Box<[u8]>),
    /// The connection has not prepared this.
    Prepared(StatementKey),
    /// The client's name does not exist.
    Name(Box<[u8]>),
    /// The client's name still exists.
    Restore(Box<[u8]>, Named),
    /// The client has the unnamed statement that it had before, or none if this is what failed;
    /// what the connection has is unknown.
    Unnamed {
        /// Which unnamed statement the message made current.
        generation: u64,
        /// What was current before; not given where nothing can have kept the message from being
        /// carried out.
        before: Option<Box<Unnamed>>,
    },
    /// What unnamed statement the connection has is unknown.
    UnnamedHere,
    /// The connection still has this.
    Stale(ServerName),
    /// What the connection has under this name, which a client gave, is unknown.
    Held(Box<str>),
    /// The client still has this statement, which it prepared by SQL.
    RestoreSql(Box<str>, Arc<SqlStatement>),
}

impl Undo {
    /// What a later message may mean something else for.
    fn about(&self) -> About {
        match self {
            Self::Nothing | Self::Taken(_) | Self::Stale(_) | Self::Held(_) => About::Nothing,
            Self::Unnamed { .. } | Self::UnnamedHere => About::Unnamed,
            Self::Named(..)
            | Self::Prepared(_)
            | Self::Name(_)
            | Self::Restore(..)
            | Self::RestoreSql(..) => About::Named,
        }
    }
}

/// Which statements a message changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Nothing,
    Named,
    Unnamed,
}

/// A statement that is being deallocated.
#[derive(Debug)]
pub struct Gone {
    /// On the server connection.
    pub key: StatementKey,
    /// By the client's name.
    pub name: Box<[u8]>,
}

/// A statement whose result is being described to the client.
#[derive(Debug)]
pub struct Described {
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
    /// An answer of this type to a message of Sluice's own.
    Inner(u8),
    /// CommandComplete for a statement of Sluice's own that sets what the client asked for at startup.
    Restored {
        /// It commits what has been set.
        lasts: bool,
    },
    /// An error, which the client sees in words of Sluice's own.
    Refused(Bytes),
    /// RowDescription or NoData, after ParameterDescription for a statement. With what it tells the
    /// shape of, where the books do not have that.
    Describe(Option<Box<Described>>),
    /// The same for Sluice itself.
    Probe(StatementKey),
    /// Rows, COPY data, then CommandComplete, EmptyQueryResponse or PortalSuspended. With the
    /// statement, where its completion changes what is known of the session.
    Execute(Option<Arc<Verdict>>),
    /// CloseComplete.
    Close(Fate),
    /// CloseComplete, by Sluice itself when its turn comes.
    FakeClose(Undo),
    /// Nothing: says what to take back if the message that follows is not carried out.
    Note(Undo),
    /// Nothing: the client has ended a COPY that the server has not begun yet, or never will.
    CopyEnd,
    /// ReadyForQuery alone.
    Sync,
    /// The same for Sluice itself, ahead of a query. An error before it takes the place of the one
    /// that the query gets.
    InnerSync,
    /// Anything, then ReadyForQuery.
    Query(Fate),
    /// The same for a client's text whose statements change what is known of the session, and how
    /// many of them have completed.
    Scripted(Arc<Verdict>, usize),
    /// The same with statements of Sluice's own between them.
    Mended(Box<Mended>),
    /// CommandComplete for a statement that both sides then have no more, then ReadyForQuery.
    Deallocate(Gone),
    /// CommandComplete for a statement of Sluice's own, then ReadyForQuery. Its error takes the place
    /// of the one that the client's next query gets. With the name, if it is a PREPARE.
    Recall(Option<Box<str>>),
    /// FunctionCallResponse, then ReadyForQuery.
    Function,
}

impl Owed {
    /// For whom the answer is.
    pub fn fate(&self) -> Fate {
        match self {
            Self::Parse(fate, _) | Self::Close(fate) | Self::Query(fate) => *fate,
            Self::Mended(mended) if mended.is_within() => Fate::Ours,
            Self::Restored { .. }
            | Self::Inner(_)
            | Self::InnerSync
            | Self::Recall(_)
            | Self::Probe(_) => Fate::Ours,
            _ => Fate::Client,
        }
    }

    fn about(&self) -> About {
        match self {
            Self::Parse(_, undo) | Self::FakeParse(undo) => undo.about(),
            Self::FakeClose(undo) | Self::Note(undo) => undo.about(),
            Self::Deallocate(_) => About::Named,
            _ => About::Nothing,
        }
    }

    fn undo_mut(&mut self) -> Option<&mut Undo> {
        match self {
            Self::Parse(_, undo) | Self::FakeParse(undo) => Some(undo),
            Self::FakeClose(undo) | Self::Note(undo) => Some(undo),
            _ => None,
        }
    }

    /// True for messages that an earlier error makes the server skip.
    pub fn is_extended(&self) -> bool {
        !matches!(
            self,
            Self::Sync
                | Self::Query(_)
                | Self::Scripted(..)
                | Self::Mended(_)
                | Self::Deallocate(_)
                | Self::InnerSync
                | Self::Recall(_)
                | Self::Function
                | Self::Note(_)
                | Self::CopyEnd
        )
    }
}

/// The queue of a connection.
#[derive(Debug, Default)]
pub struct Debts {
    queue: VecDeque<Owed>,
    /// Behind the last Sync.
    open: Changes,
    /// Before it: they happen or not, whatever the client sends from now on.
    sealed: Changes,
}

/// How many messages on their way change statements, and may not be carried out.
#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    named: usize,
    unnamed: usize,
}

impl Changes {
    fn count(&mut self, about: About) -> Option<&mut usize> {
        match about {
            About::Nothing => None,
            About::Named => Some(&mut self.named),
            About::Unnamed => Some(&mut self.unnamed),
        }
    }
}

impl Debts {
    /// True if nothing is due.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The statements on their way whose completion changes what is known of the session.
    pub fn scripts(&self) -> impl Iterator<Item = &Arc<Verdict>> {
        self.queue.iter().filter_map(|owed| match owed {
            Owed::Execute(script) => script.as_ref(),
            Owed::Scripted(script, _) => Some(script),
            _ => None,
        })
    }

    /// True if an answer is due to the client.
    pub fn has_clients(&self) -> bool {
        self.queue.iter().any(|owed| owed.fate() == Fate::Client)
    }

    /// True if exactly one answer is due.
    pub fn is_single(&self) -> bool {
        self.queue.len() == 1
    }

    /// The answer due first.
    pub fn first(&self) -> Option<&Owed> {
        self.queue.front()
    }

    /// The answer due first, to be brought up to date.
    pub fn first_mut(&mut self) -> Option<&mut Owed> {
        self.queue.front_mut()
    }

    /// An answer will be due after all others.
    pub fn push(&mut self, owed: Owed) {
        self.note(&owed);
        self.queue.push_back(owed);
    }

    fn note(&mut self, owed: &Owed) {
        match owed {
            Owed::Sync | Owed::InnerSync => {
                self.sealed.named += self.open.named;
                self.sealed.unnamed += self.open.unnamed;
                self.open = Changes::default();
            }
            // No Sync is needed for it to happen.
            Owed::Deallocate(_) => self.sealed.named += 1,
            _ => {
                if let Some(count) = self.open.count(owed.about()) {
                    *count += 1;
                }
            }
        }
    }

    /// The first answer has come.
    pub fn pop(&mut self) -> Option<Owed> {
        let owed = self.queue.pop_front()?;
        let about = owed.about();
        let sealed = self.sealed.count(about).filter(|count| **count > 0);
        if let Some(count) = sealed.or_else(|| self.open.count(about)) {
            *count = count.saturating_sub(1);
        }
        Some(owed)
    }

    /// True if nobody can tell yet what a statement's name means in a message that is sent now:
    /// messages before a Sync that is on its way may turn out not to be carried out.
    pub fn named_in_doubt(&self) -> bool {
        self.sealed.named > 0
    }

    /// The same for the unnamed statement.
    pub fn unnamed_in_doubt(&self) -> bool {
        self.sealed.unnamed > 0 && self.open.unnamed == 0
    }

    /// True if an error may keep the server from carrying out the next message.
    pub fn may_skip(&self) -> bool {
        !matches!(self.queue.back(), None | Some(Owed::Sync | Owed::InnerSync))
    }

    /// The unnamed statement `generation` never came to be: where it would be returned to,
    /// `instead` is.
    pub fn replace_unnamed(&mut self, generation: u64, instead: Unnamed) {
        let kept = self
            .queue
            .iter_mut()
            .find_map(|owed| match owed.undo_mut()? {
                Undo::Unnamed {
                    before: Some(before),
                    ..
                } if before.generation == generation => Some(before),
                _ => None,
            });
        if let Some(kept) = kept {
            **kept = instead;
        }
    }

    /// True if the next Sync is one of Sluice's own.
    pub fn is_ours(&self) -> bool {
        let mut syncs = self.queue.iter().filter(|owed| !owed.is_extended());
        matches!(syncs.next(), Some(Owed::InnerSync))
    }

    /// True if a Sync comes last, and no other before it.
    pub fn ends_with_its_only_sync(&self) -> bool {
        let mut syncs = self.queue.iter().rev().map(|owed| match owed {
            Owed::Sync => true,
            owed => !owed.is_extended(),
        });
        syncs.next() == Some(true) && !syncs.any(|ends| ends)
    }

    /// True if messages of the extended protocol are on their way that no Sync follows.
    pub fn has_extended(&self) -> bool {
        let since = self.queue.iter().rev();
        since
            .take_while(|owed| !matches!(owed, Owed::Sync | Owed::InnerSync))
            .any(Owed::is_extended)
    }

    /// COPY from the client begins: Syncs behind the first entry are part of it, up to the end
    /// that the client may have sent already. Takes them out.
    pub fn begin_copy(&mut self) -> Ahead {
        let mut ahead = Ahead::default();
        let mut first = true;
        self.queue.retain(|owed| {
            if std::mem::take(&mut first) || ahead.ended {
                return true;
            }
            ahead.ended = matches!(owed, Owed::CopyEnd);
            let sync = matches!(owed, Owed::Sync);
            ahead.syncs |= sync;
            !sync && !ahead.ended
        });
        if ahead.syncs {
            self.recount();
        }
        ahead
    }

    fn recount(&mut self) {
        (self.open, self.sealed) = (Changes::default(), Changes::default());
        let queue = std::mem::take(&mut self.queue);
        for owed in &queue {
            self.note(owed);
        }
        self.queue = queue;
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
