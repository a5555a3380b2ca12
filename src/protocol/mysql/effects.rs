//! What replies say about the session: settings by the server's own trackers, and what these do
//! not cover by the statements that were carried out.

use std::sync::Arc;

use super::back::MyBack;
use super::front::MyFront;
use super::message::Ok as OkPacket;
use super::observe::observe;
use super::owed::{Fate, Owed};
use super::rules;
use super::status::Status;
use crate::model::PinReason;
use crate::sql::mysql::verdict::{Detail, Statement, TableName, TransactionControl};
use crate::sql::mysql::{Touch, Touches};
use crate::sql::statement::Which;

/// Applies what the server tells about the session to both sides.
pub fn learn(back: &mut MyBack, front: Option<&mut MyFront>, ok: &OkPacket<'_>) {
    // Replies to Sluice's own settings tell what is known; chores belong to nobody's session.
    let own = match back.debts.front().map(|owed| &owed.fate) {
        Some(Fate::Client(_) | Fate::Probe | Fate::Warnings | Fate::InsertId) => false,
        Some(Fate::Replay | Fate::Prepare(_) | Fate::Chore) | None => true,
    };
    if own {
        return;
    }
    let clients = back.debts.front().is_some_and(Owed::is_clients);
    let running = front.as_deref().and_then(|front| front.running.as_ref());
    let statement = running
        .filter(|_| clients)
        .and_then(|running| running.verdict.statements.get(running.done));
    if ok.state.is_empty() && statement.is_none_or(|statement| statement.assignments().is_empty()) {
        return;
    }
    let Ok(seen) = observe(&back.settings, statement, ok.state, back.flavor()) else {
        // What cannot be read may have changed anything.
        back.dirty = true;
        return;
    };
    back.settings = Arc::clone(&seen.settings);
    let Some(front) = front else { return };
    front.settings = seen.settings;
    for reason in seen.doubts.iter() {
        front.pin(reason);
    }
    if seen.changed && clients {
        unexplained(front);
    }
}

/// The server says that something has changed; where the text does not say what, it may be
/// anything.
fn unexplained(front: &mut MyFront) {
    let Some(running) = &front.running else {
        return;
    };
    let Some(statement) = running.verdict.statements.get(running.done) else {
        return;
    };
    if statement.touches.contains(Touch::Call) {
        front.pin(PinReason::CodeBlock);
    } else if !statement.touches.intersects(EXPLAINS_CHANGES) {
        front.pin(PinReason::Unclassified);
    }
}

/// A result of the client's command is complete. `rows`: how many it had, if any could be.
pub fn carried_out(
    front: &mut MyFront,
    back: &mut MyBack,
    ok: &OkPacket<'_>,
    rows: Option<u64>,
    more: bool,
) {
    match rows {
        Some(rows) => {
            front.last.found_rows = rows;
            front.last.row_count = -1;
        }
        None => {
            front.last.row_count = i64::try_from(ok.affected_rows).unwrap_or(i64::MAX);
            if running_statement(front).is_some_and(|it| it.touches.contains(Touch::Do)) {
                front.last.found_rows = 1;
            }
        }
    }
    if ok.last_insert_id != 0 {
        front.last.insert_id = ok.last_insert_id;
        front.last.insert_id_open = true;
        front.last.insert_id_lost = false;
    }
    if ok.warnings > 0 {
        front.last.warnings.open();
    }
    if front.last.asks {
        front.pin(PinReason::Diagnostics);
    }
    let Some(mut running) = front.running.take() else {
        return;
    };
    if let Some(statement) = running.verdict.statements.get(running.done) {
        apply(front, back, statement, ok.status);
        if !(statement.many_replies && more) {
            running.done += 1;
        }
    }
    if more {
        front.running = Some(running);
    }
}

fn running_statement(front: &MyFront) -> Option<&Statement> {
    let running = front.running.as_ref()?;
    running.verdict.statements.get(running.done)
}

fn apply(front: &mut MyFront, back: &mut MyBack, statement: &Statement, status: Status) {
    let in_transaction = status.has(Status::IN_TRANS);
    let touches = statement.touches;
    if let TransactionControl::Commit(ending) | TransactionControl::Rollback(ending) =
        &statement.control
        && ending.release == Some(true)
    {
        back.closing = true;
    }
    if touches.contains(Touch::SetTracker) {
        front.tracking.assigned(statement.assignments());
        back.untracked = true;
    }
    match &statement.detail {
        Detail::TempTable(name) => match name {
            TableName::Of { .. } => {
                front.objects.temp_tables.insert(name.clone());
            }
            TableName::Unclear => front.objects.temp_unclear = true,
        },
        Detail::DropTables { names, .. } => {
            for name in names {
                front.objects.temp_tables.remove(name);
            }
            if front.objects.temp_tables.is_empty() && !front.objects.temp_unclear {
                front.unpin(PinReason::TempObject);
            }
        }
        Detail::ReleaseAllLocks => front.unpin(PinReason::AdvisoryLock),
        Detail::HandlerOpen(name) => match name {
            Which::One(name) => {
                front.objects.handlers.insert(name.clone());
            }
            _ => front.objects.handler_unclear = true,
        },
        Detail::HandlerClose(Which::One(name)) => {
            front.objects.handlers.remove(name);
            if front.objects.handlers.is_empty() && !front.objects.handler_unclear {
                front.unpin(PinReason::HeldCursor);
            }
        }
        Detail::SqlPrepare(name) => match name {
            Which::One(name) => {
                front.objects.prepared.insert(name.clone());
            }
            _ => front.objects.prepared_unclear = true,
        },
        Detail::Deallocate(Which::One(name)) => {
            front.objects.prepared.remove(name);
            if front.objects.prepared.is_empty() && !front.objects.prepared_unclear {
                front.unpin(PinReason::SqlPrepare);
            }
        }
        _ => {}
    }
    if touches.contains(Touch::TempTable) && !matches!(statement.detail, Detail::TempTable(_)) {
        front.objects.temp_unclear = true;
    }
    if touches.contains(Touch::TableRename) && front.is_pinned_for(PinReason::TempObject) {
        front.objects.temp_unclear = true;
    }
    if touches.contains(Touch::UnlockTables) {
        front.unpin(PinReason::TableLock);
    }
    next_transaction(front, statement, in_transaction);
}

/// Modes set for the next transaction alone are gone when a later statement leaves none open.
fn next_transaction(front: &mut MyFront, statement: &Statement, in_transaction: bool) {
    let sets = matches!(statement.control, TransactionControl::SetTransaction(_))
        || statement.touches.contains(Touch::NextTransaction);
    if sets {
        front.objects.next_transaction = true;
    } else if front.objects.next_transaction && !in_transaction {
        front.objects.next_transaction = false;
        front.unpin(PinReason::NextTransaction);
    }
}

/// The client's command has ended with an error.
pub fn failed(front: &mut MyFront, back: &mut MyBack) {
    front.last.row_count = -1;
    front.last.warnings.open();
    if front.last.asks {
        front.pin(PinReason::Diagnostics);
    }
    let running = front.running.take();
    let first = running.is_none_or(|running| {
        if let Some(statement) = running.verdict.statements.get(running.done)
            && statement.touches.contains(Touch::SetTracker)
        {
            back.untracked = true;
        }
        running.done == 0
    });
    if first {
        front.forgive(&rules::NOTHING_LEFT_BY_FAILURE);
    }
}

/// Touches of which the text, or another tracker, says what has changed.
const EXPLAINS_CHANGES: Touches = Touches::of(Touch::SetSession)
    .with(Touch::SetUnsafe)
    .with(Touch::SetTracker)
    .with(Touch::SetStatement)
    .with(Touch::SetRole)
    .with(Touch::SetPassword)
    .with(Touch::NextTransaction)
    .with(Touch::UserVariable)
    .with(Touch::UserVariableUnknown)
    .with(Touch::Schema)
    .with(Touch::DropDatabase)
    .with(Touch::TempTable)
    .with(Touch::TempDrop)
    .with(Touch::TableRename)
    .with(Touch::SchemaObjects)
    .with(Touch::SqlPrepare)
    .with(Touch::SqlExecute)
    .with(Touch::Deallocate)
    .with(Touch::LastInsertIdWrite)
    .with(Touch::Unknown);
