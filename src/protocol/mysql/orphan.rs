//! A client whose server connection has broken: its command is answered by an error, and the
//! session goes on without a connection.

use super::back::MyBack;
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
    let lost = back.status.has(Status::IN_TRANS) || back.untracked || front.released;
    if amid_packet || amid_command || lost || front.outlives_reset() || !front.pins().is_empty() {
        return false;
    }
    let clients = back.debts.iter().position(|owed| owed.is_clients());
    let mut before = back.debts.iter().take(clients.unwrap_or(usize::MAX));
    // What Sluice asks behind a client's command is about its result, and now nobody knows.
    let mut lost_insert_id = false;
    let bearable = before.all(|owed| {
        lost_insert_id |= matches!(owed.fate, Fate::InsertId);
        !matches!(owed.fate, Fate::Warnings | Fate::Chore)
    });
    if !bearable {
        return false;
    }
    front.last.insert_id_lost |= lost_insert_id;
    if let Some(owed) = clients.and_then(|place| back.debts.get(place)) {
        // An error may take the place of a result, or of its next row.
        if !matches!(owed.stage, Stage::First | Stage::Rows) {
            return false;
        }
        effects::failed(front, back);
        if let Some(fault) = fault {
            front.next_seq = fault::write(fault, front.next_seq, replies);
        }
    }
    front.request.preparing = false;
    back.debts.clear();
    front.failure().is_none() && front.pins().is_empty()
}
