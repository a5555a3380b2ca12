//! What a client's request asks of a server: a read that any may answer, or what only the primary can do.

use crate::sql::reading::{Reading, Subject, Why};

/// What stands at the front of a client's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// More must come before anything can be said.
    More,
    /// This much belongs together, and this is what it asks for.
    Unit(usize, Demand),
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It only reads, and is over when it is answered. `named`: by a hint that asked for a replica.
    Read {
        /// Somebody has asked for a replica.
        hinted: bool,
    },
    /// A transaction that only reads.
    ReadOnlyTransaction,
    /// The primary.
    Primary(Why, Subject),
}

impl Demand {
    /// It belongs to the primary.
    #[must_use]
    pub fn primary(why: Why) -> Self {
        Self::Primary(why, Subject::default())
    }

    /// What a text's verdict comes to in a session that has asked for this role. `Err`: it runs what was
    /// prepared under a name.
    pub fn of(reading: &Reading, role: Option<Hint>) -> Result<Self, Box<str>> {
        use crate::sql::reading::Demand as Text;
        // What a comment says goes for its text, before what the session says.
        let role = reading.hint.or(role);
        if role == Some(Hint::Primary) {
            let why = if reading.hint.is_some() {
                Why::Hint
            } else {
                Why::SessionRole
            };
            return Ok(Self::primary(why));
        }
        let hinted = role == Some(Hint::Replica);
        match &reading.demand {
            Text::Read => Ok(Self::Read { hinted }),
            Text::ReadOnlyTransaction => Ok(Self::ReadOnlyTransaction),
            Text::Execute(name) => Err(name.clone()),
            Text::Primary(why, _) if hinted && why.is_about_code() => Ok(Self::Read { hinted }),
            Text::Primary(why, subject) => Ok(Self::Primary(*why, subject.clone())),
        }
    }
}

/// Requests that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// How many bytes.
    pub len: usize,
    /// Behind them the server connection will be at rest once all is answered.
    pub rests: bool,
}

/// Why a server has refused a request that another may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It only takes reads, and this is none.
    ReadOnly,
    /// It could not, at this moment or for what it is.
    Elsewhere,
    /// It has answered, and what the request has left behind would keep the session there.
    Keeps,
}

pub use crate::sql::reading::Hint;
