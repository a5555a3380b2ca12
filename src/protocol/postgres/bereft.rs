//! A client whose transaction is lost with its server connection: to it the transaction has failed, as after any error,
//! and only a rollback helps.
//!
//! # Why on a server
//!
//! What a failed transaction answers to each message of both protocols, the server knows best. So the client's next
//! connection is given a failed transaction of its own before the client's message, which is answered as it would have
//! been: 25P02, until the client ends the transaction. Nothing of it can run outside a transaction unnoticed, whatever the
//! client makes of the error.

use super::back::PgBack;
use super::frame::{HEADER_LEN, Header};
use super::front::PgFront;
use super::message;
use super::owed::{Fate, Owed};
use super::rename::{self, split_cstr};
use super::request_statement::text_of;
use crate::model::{Fault, FaultKind, TxStatus};

/// Where a client without server connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Loss {
    /// It has lost nothing.
    #[default]
    None,
    /// It has lost a transaction, and does not know.
    Untold,
    /// It knows.
    Told,
}

impl Loss {
    /// What ReadyForQuery says of the client's transaction.
    pub const fn status(self) -> TxStatus {
        match self {
            Self::None => TxStatus::Idle,
            Self::Untold | Self::Told => TxStatus::Failed,
        }
    }
}

/// The transaction that a client was in is rolled back: so is what it has set.
pub fn roll_back(front: &mut PgFront, loss: Loss) {
    front.loss = loss;
    front.settings.roll_back();
    front.portals.clear();
    front.settle();
    let PgFront {
        listener, settings, ..
    } = front;
    if let Some(listener) = listener {
        listener.settle(settings.heard());
    }
}

/// What the client is told, unless the message that it sends first is to end the transaction; `None`: more must come
/// before that can be said.
pub fn news(front: &PgFront, header: Header, input: &[u8]) -> Option<Option<Fault>> {
    let body = input.get(HEADER_LEN..).unwrap_or_default();
    let whole = input.len() >= HEADER_LEN + header.len;
    if !whole && body.len() < ENOUGH {
        return None;
    }
    let behind = split_cstr(body).and_then(|(_, rest)| Some(split_cstr(rest)?.0));
    let ends = match header.kind {
        b'Q' => is_rollback(body),
        b'P' => behind.is_some_and(is_rollback),
        b'B' => behind
            .and_then(|statement| front.statement(statement))
            .is_some_and(|statement| is_rollback(text_of(&statement.body))),
        _ => false,
    };
    Some((!ends).then(|| {
        Fault::new(
            FaultKind::TransactionLost,
            "the transaction was lost with its server connection, and has been rolled back",
        )
    }))
}

fn is_rollback(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    ENDS.iter().any(|word| {
        let start = text.get(..word.len()).unwrap_or_default();
        start.eq_ignore_ascii_case(word.as_bytes())
    })
}

/// Gives a server connection a failed transaction, for a client that has lost one.
pub fn fail(back: &mut PgBack, request: &mut Vec<u8>) {
    rename::query(FAILED.as_bytes(), request);
    back.debts.push(Owed::Query(Fate::Bereft));
    // A simple query replaces the unnamed statement.
    back.unnamed = None;
}

/// Ends what a client without server connection has sent up to a Sync.
pub fn ready(front: &PgFront, replies: &mut Vec<u8>) {
    message::ready_for_query(replies, front.loss.status());
}

/// The server's log shows why: there is no such savepoint in a transaction that has just begun.
const FAILED: &str = "BEGIN; ROLLBACK TO SAVEPOINT sluice_transaction_lost_with_its_server";

/// What begins like this is answered by a server, which decides whether it ends the transaction.
const ENDS: [&str; 2] = ["rollback", "abort"];

/// So much of a message tells.
const ENOUGH: usize = 64;
