//! A client without server connection: what needs one, what Sluice answers itself, and what it
//! refuses.

use super::answer;
use super::attributes;
use super::bereft;
use super::capability::Capabilities;
use super::command;
use super::effects;
use super::execute::number;
use super::frame::{HEADER_LEN, Header};
use super::front::MyFront;
use super::login::Flavor;
use super::prepared::numbered;
use super::{fault, relogin, rules};
use crate::model::Fault;
use crate::protocol::{Errand, ErrandOrder, Wants};
use crate::sql::mysql::Verdict;
use crate::sql::mysql::verdict::{Detail, Killed};

/// What becomes of a command without a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// It must be there as a whole first.
    More,
    /// It is dealt with.
    Done,
    /// The client leaves.
    Quit,
    /// It needs a server.
    Server,
    /// The client logs in anew.
    Login,
}

/// What a client without server connection needs; also how many bytes need no server at all.
pub fn wants(
    front: &mut MyFront,
    input: &[u8],
    replies: &mut Vec<u8>,
) -> Result<(usize, Wants), Fault> {
    let mut at = 0;
    loop {
        if front.released {
            front.quit = true;
            return Ok((at, Wants::Quit));
        }
        let rest = input.get(at..).unwrap_or_default();
        if front.request.dropping > 0 {
            let n = front.request.dropping.min(rest.len());
            front.request.dropping -= n;
            at += n;
            if front.request.dropping > 0 {
                return Ok((at, Wants::More));
            }
            continue;
        }
        let Some(header) = Header::read(rest) else {
            return Ok((at, Wants::More));
        };
        if front.request.continues {
            front.request.continues = header.continues();
            front.request.dropping = header.total();
            continue;
        }
        if front.errand.is_some() {
            return Ok((at, Wants::More));
        }
        if header.seq != 0 {
            return Err(fault::out_of_order());
        }
        let whole = rest.get(..header.total());
        let payload = rest
            .get(HEADER_LEN..header.total().min(rest.len()))
            .unwrap_or_default();
        if payload.is_empty() && header.len == 0 {
            return Err(fault::malformed());
        }
        match local(front, header, payload, replies) {
            Local::Done => {
                at += drop_packet(front, header, whole.map_or(rest.len(), <[u8]>::len));
            }
            Local::Quit => {
                front.quit = true;
                return Ok((at, Wants::Quit));
            }
            Local::More => return Ok((at, Wants::More)),
            Local::Login => return Ok((at, Wants::Login)),
            Local::Server => {
                // What is to be read must be there; what is too long for that passes as it comes.
                let readable = header.len <= front.policy.max_statement_bytes;
                let wants = if readable && rest.len() < header.total() {
                    Wants::More
                } else {
                    Wants::Server
                };
                return Ok((at, wants));
            }
        }
    }
}

/// Leaves a packet out of which so many bytes are there; returns how many.
pub fn drop_packet(front: &mut MyFront, header: Header, here: usize) -> usize {
    front.request.dropping = header.total() - here;
    front.request.continues = header.continues();
    front.request.drops = true;
    here
}

/// Answers the request at the front of `input` with an error, after which the session goes on.
pub fn decline(front: &mut MyFront, fault: &Fault, input: &[u8], replies: &mut Vec<u8>) {
    let Some(header) = Header::read(input) else {
        return;
    };
    front.begin();
    front.request.preparing = false;
    front.next_seq = fault::write(fault, header.seq.wrapping_add(1), replies);
    front.request.dropping = header.total();
    front.request.continues = header.continues();
    front.request.drops = true;
}

/// Deals with a command that needs no server.
pub fn local(front: &mut MyFront, header: Header, payload: &[u8], replies: &mut Vec<u8>) -> Local {
    let Some(kind) = payload.first().copied() else {
        return Local::More;
    };
    let whole = payload.len() == header.len;
    match kind {
        command::QUIT => Local::Quit,
        command::PING => {
            front.begin();
            front.last.row_count = 0;
            front.last.interrupted = true;
            answer::ok(front, header.seq, replies);
            Local::Done
        }
        command::RESET_CONNECTION => {
            front.begin();
            front.reset();
            // The server connection has not been reset with it.
            (front.last.id_elsewhere, front.last.interrupted) = (true, true);
            answer::ok(front, header.seq, replies);
            Local::Done
        }
        command::STMT_CLOSE if !whole => Local::More,
        command::STMT_CLOSE => {
            if let Some(number) = numbered(front, payload)
                && let Some(held) = front.statements.remove(&number)
                && held.schemaless
            {
                effects::deallocated(front);
            }
            Local::Done
        }
        command::CHANGE_USER if relogin::is_acceptable(header) => {
            if whole {
                Local::Login
            } else {
                Local::More
            }
        }
        command::PROCESS_KILL if !whole => Local::More,
        command::PROCESS_KILL => {
            let id = number(payload).unwrap_or_default();
            front.begin();
            front.errand = Some(errand(id.into(), ErrandOrder::Terminate));
            front.next_seq = header.seq.wrapping_add(1);
            Local::Done
        }
        command::QUERY if may_be_kill(front, payload) => {
            if !whole && header.len <= front.policy.max_statement_bytes {
                return Local::More;
            }
            kill(front, header, payload, replies)
        }
        command::STMT_BULK_EXECUTE if !may_bulk(front) => {
            front.begin();
            refuse(front, header.seq, kind, replies);
            Local::Done
        }
        _ if front.bereft && needs_server(kind) => bereft::local(front, header, payload, replies),
        _ if needs_server(kind) => Local::Server,
        // A server's connection shows this error behind the one that Sluice has given before.
        _ if front.flavor == Flavor::MySql && front.last.raised.is_some() && !front.bereft => {
            Local::Server
        }
        _ => {
            front.begin();
            refuse(front, header.seq, kind, replies);
            Local::Done
        }
    }
}

/// True if the client has agreed on bulk execution.
pub(super) fn may_bulk(front: &MyFront) -> bool {
    front.capabilities.has(Capabilities::MARIADB_STMT_BULK)
}

const fn needs_server(kind: u8) -> bool {
    matches!(
        kind,
        command::QUERY
            | command::STMT_BULK_EXECUTE
            | command::STMT_PREPARE
            | command::STMT_EXECUTE
            | command::STMT_SEND_LONG_DATA
            | command::STMT_RESET
            | command::STMT_FETCH
            | command::INIT_DB
            | command::REFRESH
            | command::DEBUG
            | command::STATISTICS
            | command::FIELD_LIST
            | command::PROCESS_INFO
            | command::SET_OPTION
    )
}

fn refuse(front: &mut MyFront, seq: u8, kind: u8, replies: &mut Vec<u8>) {
    let text = match kind {
        command::BINLOG_DUMP | command::BINLOG_DUMP_GTID | command::REGISTER_SLAVE => {
            "The proxy does not pass replication on: connect replicas and binary log readers to the server itself"
        }
        command::CHANGE_USER => "The request to change the user is too long",
        command::SHUTDOWN => {
            "The proxy does not pass COM_SHUTDOWN on: connect to the server itself"
        }
        command::STMT_BULK_EXECUTE => "Bulk execution was not agreed on",
        _ => return answer::no_statement(front, seq, 1047, "08S01", "Unknown command", replies),
    };
    // ER_NOT_SUPPORTED_YET
    answer::error(front, seq, 1235, "42000", text, replies);
}

/// True if the text begins like a KILL: the one statement that must get through when every server
/// connection is in use.
fn may_be_kill(front: &MyFront, payload: &[u8]) -> bool {
    let named = front.capabilities.has(Capabilities::QUERY_ATTRIBUTES);
    let text = payload.get(if named { 3 } else { 1 }..).unwrap_or_default();
    let first = text.trim_ascii_start().first();
    matches!(first, Some(b'k' | b'K'))
}

fn kill(front: &mut MyFront, header: Header, payload: &[u8], replies: &mut Vec<u8>) -> Local {
    let named = front.capabilities.has(Capabilities::QUERY_ATTRIBUTES);
    let Some(text) = attributes::text(payload, named) else {
        return Local::Server;
    };
    let mode = front.settings.mode_of(front.flavor);
    let verdict = rules::verdict(text, mode);
    match errand_of(&verdict) {
        Some(errand) if interrupts_itself(front, errand) => {
            interrupted(front, header.seq, replies);
            Local::Done
        }
        Some(errand) => {
            front.begin();
            front.errand = Some(errand);
            front.next_seq = header.seq.wrapping_add(1);
            Local::Done
        }
        None => Local::Server,
    }
}

/// What a KILL asks of Sluice.
pub(super) fn errand_of(verdict: &Verdict) -> Option<Errand<u64>> {
    let [statement] = &*verdict.statements else {
        return None;
    };
    let Detail::Kill(kill) = &statement.detail else {
        return None;
    };
    let order = match kill.what {
        Killed::Connection => ErrandOrder::Terminate,
        Killed::Query => ErrandOrder::Cancel,
        Killed::QueryId | Killed::User => return None,
    };
    Some(errand(kill.id?, order))
}

/// True if what a session cancels is its own KILL.
pub(super) fn interrupts_itself(front: &MyFront, errand: Errand<u64>) -> bool {
    errand.order == ErrandOrder::Cancel && errand.key == front.session
}

/// Answers such a KILL.
pub(super) fn interrupted(front: &mut MyFront, seq: u8, replies: &mut Vec<u8>) {
    front.begin();
    // ER_QUERY_INTERRUPTED
    let text = "Query execution was interrupted";
    answer::error(front, seq, 1317, "70100", text, replies);
}

const fn errand(key: u64, order: ErrandOrder) -> Errand<u64> {
    Errand { key, order }
}

/// Writes the answer to a KILL.
pub fn errand_done(front: &mut MyFront, key: u64, found: bool, replies: &mut Vec<u8>) {
    let seq = front.next_seq.wrapping_sub(1);
    front.forget_last();
    if found {
        front.last.row_count = 0;
        front.last.interrupted = true;
        return answer::ok(front, seq, replies);
    }
    // ER_NO_SUCH_THREAD
    let text = format!("Unknown thread id: {key}");
    answer::error(front, seq, 1094, "HY000", &text, replies);
}
