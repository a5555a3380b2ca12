//! A client whose server connection has broken: what it is owed is answered by errors, as by a
//! server, and the session goes on without a connection.
//!
//! The answers go through the same books as a server's, so that what failed requests would have
//! changed is taken back.

use super::back::{CopyIn, PgBack};
use super::bereft::{self, Loss};
use super::front::PgFront;
use super::owed::{Fate, Owed};
use super::reply::{self, Watcher};
use super::{fault, message};
use crate::model::{Fault, TxStatus};
use crate::protocol::{Front as _, Script};

/// See [`crate::protocol::Engine::orphan`].
pub fn orphan(
    front: &mut PgFront,
    back: &mut PgBack,
    fault: Option<&Fault>,
    replies: &mut Vec<u8>,
) -> bool {
    let amid_message = back.body.left > 0 && back.body.pass;
    // Of a transaction that may have been committed nobody could say that it failed.
    let bereft = back.tx != TxStatus::Idle;
    let unknown = back.tx == TxStatus::Open && back.ends || back.unsynced && back.debts.is_empty();
    let lost = bereft && (unknown || fault.is_none());
    let lost = lost || back.doubt || back.copy != CopyIn::None;
    // A direct connection would have ended with it.
    let lost = lost || back.offended;
    if amid_message || lost || front.outlives_reset() || !front.pins().is_empty() {
        return false;
    }
    back.body.left = 0;
    // The server's last words were an error, which the client has been told, unless nobody is told anything.
    let mut told = std::mem::take(&mut back.closing) && fault.is_some();
    let unended = back.unsynced || back.skipping;
    let loss = match (bereft, back.debts.has_clients()) {
        (false, _) => front.loss,
        (true, false) => Loss::Untold,
        (true, true) => Loss::Told,
    };
    let status = loss.status();
    let mut script = Script::default();
    for _ in 0..MOST_OWED {
        let mut answer = Vec::new();
        match back.debts.first() {
            None => break,
            Some(Owed::Sync | Owed::InnerSync) => message::ready_for_query(&mut answer, status),
            Some(Owed::Query(fate)) if *fate != Fate::Client => {
                message::command_complete(&mut answer, "SET");
                message::ready_for_query(&mut answer, status);
            }
            Some(owed) => {
                let extended = owed.is_extended();
                if !std::mem::take(&mut told) {
                    match fault {
                        Some(fault) => fault::write(fault, false, &mut answer),
                        None => fault::write(&forgotten(), false, &mut answer),
                    }
                }
                if !extended {
                    message::ready_for_query(&mut answer, status);
                }
            }
        }
        if answer.is_empty() {
            return false;
        }
        script.clear();
        let watcher = Watcher {
            front,
            script: &mut script,
        };
        if reply::read(back, Some(watcher), &answer) != Ok(answer.len()) {
            return false;
        }
        if fault.is_some() {
            script
                .pieces(&answer)
                .for_each(|piece| replies.extend_from_slice(piece));
        }
    }
    if !back.debts.is_empty() || front.failure().is_some() {
        return false;
    }
    if bereft {
        bereft::roll_back(front, loss);
    }
    // The rest of a message that the server got a part of is nobody's.
    front.dropping += std::mem::take(&mut front.passing);
    // What belongs to the failed batch is skipped up to its end.
    front.declined = unended && fault.is_some();
    true
}

/// For a request that is to be sent again; nobody reads it.
fn forgotten() -> Fault {
    Fault::new(crate::model::FaultKind::ServerLost, "sent again elsewhere")
}

/// More requests than any client sends ahead.
const MOST_OWED: usize = 100_000;
