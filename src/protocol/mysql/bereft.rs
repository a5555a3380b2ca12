//! A client whose transaction is lost with its server connection: nothing runs for it until it ends the transaction.
//!
//! # Why everything is refused
//!
//! MySQL has no transaction that has failed: whatever follows an error that has rolled one back (a deadlock) runs by
//! itself, and is committed by itself. A client that makes nothing of the error, or meant the rest of its transaction to be
//! sent behind it, would leave half of it in the database. So each command is answered with the error until the client
//! says ROLLBACK, or gives its session's state up. A COMMIT is answered with it too, and then the transaction is over.

use super::attributes;
use super::capability::Capabilities;
use super::command;
use super::execute::number;
use super::fault;
use super::frame::Header;
use super::front::MyFront;
use super::idle::Local;
use super::rules;
use super::status::Status;
use crate::model::{Fault, FaultKind};
use crate::sql::mysql::verdict::{Ending, TransactionControl};
use crate::sql::mysql::{Touch, Touches, Verdict};

/// What becomes of a command that would need a server.
pub fn local(front: &mut MyFront, header: Header, payload: &[u8], replies: &mut Vec<u8>) -> Local {
    let kind = payload.first().copied();
    if payload.len() < header.len
        && matches!(kind, Some(command::QUERY))
        && is_readable(front, header)
    {
        return Local::More;
    }
    let ends = match kind {
        Some(command::QUERY) => {
            let named = front.capabilities.has(Capabilities::QUERY_ATTRIBUTES);
            let text = attributes::text(payload, named);
            text.map(|text| {
                let mode = front.settings.mode_of(front.flavor);
                end_of(&rules::verdict(text, mode))
            })
        }
        Some(command::STMT_EXECUTE) if payload.len() < 5 => return Local::More,
        Some(command::STMT_EXECUTE) => {
            let held = number(payload).and_then(|number| front.statements.get(&number));
            held.map(|held| end_of(&held.verdict))
        }
        // Nobody waits for an answer.
        Some(command::STMT_SEND_LONG_DATA) => return Local::Done,
        _ => None,
    };
    let ends = ends.unwrap_or(End::None);
    front.bereft = ends == End::None;
    if ends == End::Rollback {
        return Local::Server;
    }
    front.begin();
    front.next_seq = fault::write(&lost(), header.seq.wrapping_add(1), replies);
    Local::Done
}

fn is_readable(front: &MyFront, header: Header) -> bool {
    header.len <= front.policy.max_statement_bytes
}

/// The transaction that a client was in is rolled back.
pub fn roll_back(front: &mut MyFront) {
    front.bereft = true;
    let open = Status::IN_TRANS.with(Status::IN_TRANS_READONLY);
    front.status = front.status.without(open);
}

/// True if nothing in the text can have ended the transaction that it ran in.
pub fn keeps_open(verdict: &Verdict) -> bool {
    let writes = Touches::of(Touch::TableWrite)
        .with(Touch::Function)
        .with(Touch::UserVariableRead);
    verdict.complete
        && verdict.statements.iter().all(|statement| {
            let writes = statement.touches.contains(Touch::TableWrite)
                && writes.contains_all(statement.touches);
            statement.control == TransactionControl::None
                && (statement.read_only_candidate || writes)
        })
}

/// How a text ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It does not, or does something else as well.
    None,
    Rollback,
    Commit,
}

fn end_of(verdict: &Verdict) -> End {
    let [statement] = &*verdict.statements else {
        return End::None;
    };
    let plain = |ending: &Ending| ending.chain != Some(true) && ending.release != Some(true);
    match &statement.control {
        TransactionControl::Rollback(ending) if plain(ending) => End::Rollback,
        TransactionControl::Commit(ending) if plain(ending) => End::Commit,
        _ => End::None,
    }
}

fn lost() -> Fault {
    Fault::new(
        FaultKind::TransactionLost,
        "The transaction was lost with its server connection, and has been rolled back: say ROLLBACK",
    )
}

#[cfg(test)]
mod tests {
    use super::{End, end_of, keeps_open};
    use crate::sql::mysql::{Flavor, Mode, classify};

    #[test]
    fn only_a_plain_end_ends_it() {
        let mode = Mode::new(Flavor::MySql, 80_400);
        let end = |text: &str| end_of(&classify(text.as_bytes(), mode));
        for text in [
            "rollback",
            " /* x */ ROLLBACK WORK",
            "rollback and no chain",
        ] {
            assert_eq!(end(text), End::Rollback, "{text}");
        }
        assert_eq!(end("commit"), End::Commit);
        for text in [
            "rollback and chain",
            "rollback release",
            "rollback to savepoint s",
            "rollback; insert into t values (1)",
            "begin",
            "select 1",
            "",
        ] {
            assert_eq!(end(text), End::None, "{text}");
        }
    }

    #[test]
    fn what_may_commit_is_told_from_what_cannot() {
        let mode = Mode::new(Flavor::MariaDb, 110_800);
        let keeps = |text: &str| keeps_open(&classify(text.as_bytes(), mode));
        for text in [
            "select 1",
            "insert into t values (1)",
            "update t set a = 1; delete from t",
        ] {
            assert!(keeps(text), "{text}");
        }
        for text in [
            "commit",
            "select 1; commit",
            "call p()",
            "create table t (id int)",
            "analyze table t",
            "lock tables t write",
            "set autocommit = 1",
            "begin",
            "xa end 'x'",
            "truncate t",
            "nonsense here",
        ] {
            assert!(!keeps(text), "{text}");
        }
    }
}
