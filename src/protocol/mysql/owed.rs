//! What a server connection owes: one entry for each command that will be answered.
//!
//! A server answers commands in order and each to its end. A client's next command is passed on
//! when the last has been answered; Sluice's own may stand before it in the same write.

use std::collections::VecDeque;

use super::grammar::{Shape, Stage};
use super::statements::{Draft, Key};

/// For whom a reply is.
#[derive(Debug)]
pub enum Fate {
    /// The client.
    Client(Then),
    /// Nobody: the command brings the connection's settings up to the client's. An error ends
    /// the session, to which it belongs.
    Replay,
    /// Nobody: the command prepares a client's statement here, to be executed next. An error is
    /// the answer to that.
    Prepare(Key),
    /// Nobody: the command brings the connection to the settings under which the client has prepared
    /// the statement that is to be prepared next. An error is the answer to its execution.
    Detour,
    /// Nobody: the command raises an error that the client has got from Sluice.
    Raise,
    /// Nobody: only the status and what has changed count.
    Probe,
    /// Sluice: the warnings of the client's last command.
    Warnings,
    /// Sluice: the user variables that the connection holds, see [`unseen`](super::unseen).
    UserVariables,
    /// Sluice: `FOUND_ROWS()` after the client's last command.
    FoundRows,
    /// Sluice: `LAST_INSERT_ID()` after the client's last command.
    InsertId,
    /// Sluice, while no client is attached.
    Chore,
}

/// What a client's command does once the server has carried it out.
#[derive(Debug)]
pub enum Then {
    /// What the reply says.
    Nothing,
    /// The statements of the text take effect.
    Script,
    /// The client has another prepared statement.
    Prepared(Box<Draft>),
    /// Multi-statements are on or off.
    MultiStatements(bool),
    /// The session is as after its login.
    Reset,
}

/// A reply that is due.
#[derive(Debug)]
pub struct Owed {
    /// For whom it is.
    pub fate: Fate,
    /// Of what it consists.
    pub shape: Shape,
    /// What of it has been read.
    pub stage: Stage,
    /// Rows of the result that is being read.
    pub rows: u64,
    /// An EOF between columns and rows is still to be written for a client that expects one.
    pub divider: bool,
    /// What is to be added to the sequence numbers of packets for the client.
    pub shift: u8,
}

impl Owed {
    /// A reply of which nothing has been read.
    pub fn new(fate: Fate, shape: Shape) -> Self {
        Self {
            fate,
            shape,
            stage: Stage::First,
            rows: 0,
            divider: false,
            shift: 0,
        }
    }

    /// True if it is for the client.
    pub fn is_clients(&self) -> bool {
        matches!(self.fate, Fate::Client(_))
    }
}

/// The queue of a connection.
pub type Debts = VecDeque<Owed>;
