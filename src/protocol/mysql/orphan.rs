//! A client whose server connection has broken: its command is answered by an error, and the
//! session goes on without a connection.

use super::back::MyBack;
use super::bereft;
use super::effects;
use super::fault;
use super::front::MyFront;
use super::grammar::Stage;
use super::owed::Fate;
use super::status::Status;
use crate::model::Fault;
use crate::protocol::Front as _;

/// See [`crate::protocol::Engine::orphan`].
pub fn orphan(
    front: &mut MyFront,
    back: &mut MyBack,
    fault: Option<&Fault>,
    replies: &mut Vec<u8>,
) -> bool {
    let amid_packet = back.body.pass && (back.body.left > 0 || back.body.continues);
    let amid_command =
        front.request.passing > 0 || (front.request.continues && !front.request.drops);
    let bereft = back.status.has(Status::IN_TRANS);
    let at_work = back.debts.iter().any(|owed| owed.is_clients());
    // Of a transaction that may have been committed nobody could say that it failed.
    let known = !at_work
        || front
            .running
            .as_ref()
            .is_some_and(|running| bereft::keeps_open(&running.verdict));
    let lost = bereft && (!known || fault.is_none()) || back.untracked || front.released;
    if amid_packet || amid_command || lost || front.outlives_reset() || !front.pins().is_empty() {
        return false;
    }
    let clients = back.debts.iter().position(|owed| owed.is_clients());
    let mut before = back.debts.iter().take(clients.unwrap_or(usize::MAX));
    // What Sluice asks behind a client's command is about its result, and now nobody knows.
    let (mut lost_insert_id, mut lost_warnings) = (false, false);
    let bearable = before.all(|owed| {
        lost_insert_id |= matches!(owed.fate, Fate::InsertId);
        lost_warnings |= matches!(owed.fate, Fate::Warnings);
        !matches!(owed.fate, Fate::Chore)
    });
    // What is sent again is answered anew.
    if !bearable && fault.is_some() {
        return false;
    }
    front.last.insert_id_lost |= lost_insert_id;
    if lost_warnings {
        // They told of a command that has been answered.
        front.last.warnings.clear();
    }
    if let Some(owed) = clients.and_then(|place| back.debts.get(place)) {
        // An error may take the place of a result, or of its next row.
        if !matches!(owed.stage, Stage::First | Stage::Rows) {
            return false;
        }
        let failure = effects::Failure {
            begun: false,
            code: None,
        };
        effects::failed(front, back, failure);
        if let Some(fault) = fault {
            front.next_seq = fault::write(fault, front.next_seq, replies);
        }
    }
    front.request.preparing = false;
    back.debts.clear();
    if bereft {
        bereft::roll_back(front);
    }
    front.failure().is_none() && front.pins().is_empty()
}
