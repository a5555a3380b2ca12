//! Whether a text is provably a read, so that a replica may answer it.
//!
//! The verdict takes two witnesses: Sluice's own tokens, which know how the session reads texts, and a real parser
//! of the dialect. What either does not understand belongs to the primary. What functions, views and the like
//! do, the database's own [`Catalogue`] says.

mod catalogue;
mod hint;

use std::fmt;

pub use catalogue::{Catalogue, Code};
pub use hint::{Hint, Hints};

use super::cache::Weigh;

/// The verdict on one text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Where it belongs, and why.
    pub demand: Demand,
    /// The role asked for in a comment.
    pub hint: Option<Hint>,
}

/// Where a text belongs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Demand {
    /// A replica may answer it: it only reads.
    Read,
    /// It begins a transaction that only reads, which a replica may have.
    ReadOnlyTransaction,
    /// It runs what the client has prepared by SQL under this name, and nothing else.
    Execute(Box<str>),
    /// The primary.
    Primary(Why, Subject),
}

/// What a verdict is about: the name of a function, a view or the like; empty where the reason says all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subject(pub Box<str>);

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Reading {
    /// A read, or what else the demand says, without a hint.
    #[must_use]
    pub const fn of(demand: Demand) -> Self {
        Self { demand, hint: None }
    }

    /// It belongs to the primary.
    #[must_use]
    pub fn primary(why: Why) -> Self {
        Self::of(Demand::Primary(why, Subject::default()))
    }

    /// What was found of a text with this hint.
    pub(super) fn found(hint: Option<Hint>, found: Result<Demand, Because>) -> Self {
        let demand = found.unwrap_or_else(|because| Demand::Primary(because.why, because.subject));
        Self { demand, hint }
    }
}

/// Why a text belongs to the primary, and what that is about.
pub(super) struct Because {
    why: Why,
    subject: Subject,
}

impl From<Why> for Because {
    fn from(why: Why) -> Self {
        Self {
            why,
            subject: Subject::default(),
        }
    }
}

/// This, about what has this name.
pub(super) fn about(why: Why, name: &str) -> Because {
    Because {
        why,
        subject: Subject(name.into()),
    }
}

impl Weigh for Reading {
    fn weight(&self) -> usize {
        let name = match &self.demand {
            Demand::Execute(name) | Demand::Primary(_, Subject(name)) => name.len(),
            Demand::Read | Demand::ReadOnlyTransaction => 0,
        };
        size_of::<Self>() + name
    }
}

/// Declares the reasons, each with a stable name and a sentence.
macro_rules! reasons {
    ($($(#[$doc:meta])* $Reason:ident = $name:literal, $sentence:literal;)+) => {
        /// Why a text belongs to the primary.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Why {
            $($(#[$doc])* $Reason,)+
        }

        impl Why {
            /// Every reason, in declaration order.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$Reason),+];

            /// Where it stands in [`Self::ALL`].
            #[must_use]
            pub const fn index(self) -> usize {
                // A field-less enum of the default representation counts from 0.
                self as usize
            }

            /// The stable name, fit for a metric label.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Reason => $name,)+
                }
            }

            /// The reason as a sentence.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$Reason => $sentence,)+
                }
            }
        }
    };
}

reasons! {
    /// It writes, or may.
    Write = "write", "it writes, or may";
    /// `FOR UPDATE`, `FOR SHARE` and other locks.
    Lock = "lock", "it takes locks";
    /// It begins, ends or divides a transaction that may write.
    Transaction = "transaction", "it begins or ends a transaction that may write";
    /// It sets or uses state of the session that lives on one server connection.
    SessionState = "session_state", "it concerns state of the session";
    /// The answer is about the server itself, or differs from server to server.
    ServerState = "server_state", "it asks about the server, and the answers of servers differ";
    /// It calls a function that is known not to be a mere read.
    VolatileFunction = "volatile_function", "it calls a function that is not a mere read";
    /// It calls a function of which nothing is known.
    UnknownFunction = "unknown_function", "it calls a function that is not known to be a mere read";
    /// A view, a policy or an operator runs code that is not a mere read, or the relation is not on replicas.
    Relation = "relation", "it reads from what is not a plain table, or not the same on a replica";
    /// An operator or cast that runs code of users.
    Operator = "operator", "it uses an operator or a cast that is not a mere read";
    /// A parser did not understand it.
    Unparsed = "unparsed", "it cannot be parsed with certainty";
    /// It is too long to be parsed.
    TooLong = "too_long", "it is too long to be looked at";
    /// The text is a command that is not a read.
    Command = "command", "it is a command that is not a read";
    /// There is nothing in it.
    Empty = "empty", "it is empty";
    /// A comment asks for the primary.
    Hint = "hint", "a comment asks for the primary";
    /// What the catalogue holds is not known yet.
    NoCatalogue = "no_catalogue", "the database's functions and views are not known yet";
    /// The session asks for the primary.
    SessionRole = "session_role", "the session has asked for the primary";
    /// The session's transactions are such that no replica has them, or begin by themselves.
    Isolation = "isolation", "the session's transactions must be on the primary";
    /// Messages that belong together have not come together.
    Batch = "batch", "what belongs together has not come together";
    /// A command of the protocol that is not looked into.
    Protocol = "protocol", "it is a command of the protocol that is not looked into";
}

impl Why {
    /// Whether only code of users stands against it: somebody who knows that code may know better.
    #[must_use]
    pub const fn is_about_code(self) -> bool {
        matches!(
            self,
            Self::VolatileFunction | Self::UnknownFunction | Self::Relation | Self::Operator
        )
    }
}

/// The longest text that is looked at, in bytes.
pub const LONGEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Why;

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Why::ALL.iter().map(|why| why.name()).collect();
        assert_eq!(names.len(), Why::ALL.len());
        assert!(Why::ALL.iter().all(|why| !why.sentence().is_empty()));
    }
}
