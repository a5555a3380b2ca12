//! What replies say about the session: settings by the server's own trackers, and what these do
//! not cover by the statements that were carried out.

use std::sync::Arc;

use super::back::MyBack;
use super::found::Found;
use super::front::{MyFront, Savepoints};
use super::login::Flavor;
use super::message::Ok as OkPacket;
use super::observe::observe;
use super::owed::{Fate, Owed};
use super::rules;
use super::status::Status;
use super::tracker::{self, Change};
use crate::model::PinReason;
use crate::sql::mysql::verdict::{Detail, Statement, TableName, TransactionControl, Unreturned};
use crate::sql::mysql::{Touch, Touches};
use crate::sql::statement::Which;

/// Applies what the server tells about the session to both sides.
pub fn learn(back: &mut MyBack, mut front: Option<&mut MyFront>, ok: &OkPacket<'_>) {
    if !ok.state.is_empty() {
        let characteristics = tracker::read(ok.state).filter_map(|change| match change {
            Ok(Change::Characteristics(text)) => Some(!text.is_empty()),
            _ => None,
        });
        back.modes = characteristics.last().unwrap_or(back.modes);
    }
    // Replies to Sluice's own settings tell what is known; chores belong to nobody's session.
    let own = match back.debts.front().map(|owed| &owed.fate) {
        Some(Fate::Client(_) | Fate::Probe | Fate::Warnings | Fate::FoundRows | Fate::InsertId) => {
            false
        }
        Some(
            Fate::Replay
            | Fate::Raise
            | Fate::Detour
            | Fate::Prepare(_)
            | Fate::UserVariables
            | Fate::Chore,
        )
        | None => true,
    };
    if own {
        return;
    }
    let clients = back.debts.front().is_some_and(Owed::is_clients);
    if let Some(front) = front.as_deref_mut()
        && clients
    {
        untold(front, back);
    }
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
    let mut settings = seen.settings;
    // MariaDB goes back to the session's schema after it, and does not tell.
    if running.is_some_and(|running| running.elsewhere)
        && back.flavor() == Flavor::MariaDb
        && settings.schema() != back.settings.schema()
    {
        settings = settings.with_schema(back.settings.schema());
    }
    back.settings = Arc::clone(&settings);
    back.dirty |= seen.dirty;
    let Some(front) = front else { return };
    front.settings = settings;
    for reason in seen.doubts.iter() {
        front.pin(reason);
    }
    if seen.changed && clients {
        unexplained(front);
    }
    if clients {
        choose(front);
    }
}

/// What a statement changes of which the server does not tell, as an earlier one of the same text has chosen.
fn untold(front: &mut MyFront, back: &MyBack) {
    if back.untracked && running_statement(front).is_some_and(|it| it.touches.intersects(TRACKED)) {
        front.pin(PinReason::Setting);
    }
}

/// The client chooses what it is told: this reply is told by its choice already.
fn choose(front: &mut MyFront) {
    let Some(running) = &front.running else {
        return;
    };
    let (verdict, done) = (Arc::clone(&running.verdict), running.done);
    if let Some(statement) = verdict.statements.get(done)
        && statement.touches.contains(Touch::SetTracker)
    {
        front.tracking.assigned(statement.assignments());
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
    } else if !running.elsewhere && !statement.touches.intersects(EXPLAINS_CHANGES) {
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
            front.last.row_count = -1;
            let statement = answered(front, more);
            // Neither these count nor OUT parameters, nor commands that are no statements.
            if let Some(it) = statement
                && it.counts
                && !ok.status.has(Status::PS_OUT_PARAMS)
            {
                // Rows of a cursor come later.
                let open = it.touches.contains(Touch::CalcFoundRows)
                    || ok.status.has(Status::CURSOR_EXISTS);
                front.last.found = Found::of(rows);
                if open {
                    front.last.found.open();
                }
            } else {
                let cursor = ok.status.has(Status::CURSOR_EXISTS);
                if cursor || statement.is_some_and(|it| it.unreturned == Unreturned::Counted) {
                    count(front, cursor);
                }
            }
        }
        None => {
            front.last.row_count = i64::try_from(ok.affected_rows).unwrap_or(i64::MAX);
            // Behind others of its text.
            if answered(front, more).is_some_and(|it| it.touches.intersects(TAKES_OVER)) {
                front.last.found.taken_over(false);
            }
            if front.flavor == Flavor::MySql
                && let Some(matched) = matched(ok.info)
            {
                front.last.found.matched(matched);
            }
            let statement = answered(front, more);
            if front.flavor == Flavor::MySql
                && statement.is_some_and(|it| it.touches.contains(Touch::Do))
            {
                front.last.found = Found::of(1);
            } else {
                let unreturned = statement.map(|it| it.unreturned);
                match unreturned {
                    Some(Unreturned::Counted) => count(front, false),
                    Some(Unreturned::CountedLater) => front.last.found.unfinished = true,
                    Some(Unreturned::Uncounted) | None => {}
                }
            }
        }
    }
    // MariaDB does not tell what LOAD DATA has generated, and nobody what routines have.
    let loaded = ok.info.windows(LOADED.len()).any(|part| part == LOADED);
    let routine = running_statement(front).is_some_and(|it| it.touches.intersects(ROUTINES));
    if ok.last_insert_id != 0 || loaded || routine {
        // A number that the statement has given itself is told, too, and changes nothing.
        front.last.insert_id_open = true;
        front.last.insert_id_lost &= ok.last_insert_id == 0;
    }
    if ok.warnings > 0 {
        warned(front);
    }
    if front.last.asks {
        front.pin(PinReason::Diagnostics);
    }
    // Whoever has set them, perhaps a routine.
    if back.modes && !ok.status.has(Status::IN_TRANS) {
        front.objects.next_transaction = true;
        front.pin(PinReason::NextTransaction);
    }
    apply_next(front, back, ok.status, more);
}

/// Applies what the statement of the text does that has been answered. `more`: others are yet to be.
fn apply_next(front: &mut MyFront, back: &mut MyBack, status: Status, more: bool) {
    let Some(mut running) = front.running.take() else {
        return;
    };
    let verdict = Arc::clone(&running.verdict);
    if more {
        if let Some(statement) = verdict.statements.get(running.done) {
            pin_anew(front, statement, running.done);
            apply(front, back, statement, status);
            running.done += usize::from(!statement.many_replies);
        }
        front.running = Some(running);
        return;
    }
    // All of the text has been, though behind a `CALL` it is not certain which reply was whose.
    let statements = verdict.statements.iter().enumerate();
    for (at, statement) in statements.skip(running.done) {
        if at > running.done && statement.touches.contains(Touch::SetTracker) {
            front.tracking.assigned(statement.assignments());
        }
        pin_anew(front, statement, at);
        apply(front, back, statement, status);
    }
}

/// A text has pinned for all of its statements when it was sent. One before this may have ended what this begins anew.
fn pin_anew(front: &mut MyFront, statement: &Statement, at: usize) {
    if at > 0 {
        front.pin_for(statement.touches);
    }
}

/// The server connection may have counted rows of which the reply tells nothing. `surely`: it has.
fn count(front: &mut MyFront, surely: bool) {
    if surely || !front.last.found.elsewhere {
        front.last.found.open();
    } else {
        // It could not go on from the client's own count: what it knows may be another client's.
        front.last.found.doubt();
    }
}

/// The number in `Rows matched: 1  Changed: 0  Warnings: 0`.
fn matched(info: &[u8]) -> Option<u64> {
    let rest = info.strip_prefix(b"Rows matched: ")?;
    let digits = rest.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The status that lasts: MariaDB tells here what `SET STATEMENT … FOR` gives back.
pub fn lasting(front: &MyFront, status: Status) -> Status {
    let modes = Status::NO_BACKSLASH_ESCAPES.with(Status::ANSI_QUOTES);
    let given_back =
        running_statement(front).is_some_and(|it| it.touches.contains(Touch::SetStatement));
    if !given_back {
        return status;
    }
    let other = Status(u16::MAX).without(modes);
    status.without(modes).with(front.status.without(other))
}

/// True if the client's command may have left the schema, by its own choice or for that of its statement. Which statement
/// of a text is answered is not certain behind a `CALL`.
pub fn leaves_schema(front: &MyFront) -> bool {
    front.running.as_ref().is_none_or(|running| {
        running.elsewhere || running.verdict.touches.intersects(CHOOSES_SCHEMA)
    })
}

/// The client's command is answered by what has no place for the schema that it may have left.
pub fn leave_schema(front: &mut MyFront) {
    let elsewhere = front.running.as_ref().is_some_and(|it| it.elsewhere);
    if let Some(schema) = front.settings.schema().filter(|_| elsewhere) {
        let client = front.capabilities;
        front.tracking.schema_left(schema, front.flavor, client);
    }
}

/// The statement that a result belongs to. Behind a `CALL` that is not certain but of the text's last.
fn answered(front: &MyFront, more: bool) -> Option<&Statement> {
    let running = running_statement(front)?;
    if !more && running.many_replies {
        return front.running.as_ref()?.verdict.statements.last();
    }
    Some(running)
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
        && (ending.release == Some(true)
            || ending.release.is_none()
                && front.settings.variable("completion_type") == Some(b"RELEASE"))
    {
        back.closing = true;
        front.released = true;
    }
    if touches.contains(Touch::SetTracker) {
        back.untracked = true;
    }
    track(front, &statement.detail, in_transaction);
    front.objects.service_lock |= touches.contains(Touch::ServiceLock);
    let named = matches!(statement.detail, Detail::GetLock(_));
    front.objects.lock_unclear |= touches.contains(Touch::UserLock) && !named;
    if touches.contains(Touch::TempTable) && !matches!(statement.detail, Detail::TempTable(_)) {
        front.objects.temp_unclear = true;
    }
    if touches.contains(Touch::TableRename) && front.is_pinned_for(PinReason::TempObject) {
        front.objects.temp_unclear = true;
    }
    if touches.contains(Touch::UnlockTables) {
        front.unpin(PinReason::TableLock);
    }
    savepoints(front, statement, status);
    next_transaction(front, statement, in_transaction || back.modes);
}

/// Without autocommit a savepoint may come before what begins the transaction.
fn savepoints(front: &mut MyFront, statement: &Statement, status: Status) {
    let set = front.objects.savepoints;
    front.objects.savepoints = match &statement.control {
        TransactionControl::Commit(_)
        | TransactionControl::Rollback(_)
        | TransactionControl::Begin { .. } => Savepoints::None,
        _ if status.has(Status::IN_TRANS) && set == Savepoints::Early => Savepoints::Within,
        _ if status.has(Status::IN_TRANS) => set,
        _ if status.has(Status::AUTOCOMMIT) || set == Savepoints::Within => Savepoints::None,
        TransactionControl::Savepoint(_) => Savepoints::Early,
        _ => set,
    };
    if front.objects.savepoints != Savepoints::None {
        front.pin(PinReason::NextTransaction);
    } else if set != Savepoints::None && !front.objects.next_transaction {
        front.unpin(PinReason::NextTransaction);
    }
}

/// What is there and what is gone, by name.
fn track(front: &mut MyFront, detail: &Detail, in_transaction: bool) {
    match detail {
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
        Detail::GetLock(name) => {
            let held = front.objects.locks.entry(name.clone()).or_default();
            *held = held.saturating_add(1);
        }
        Detail::ReleaseLock(name) => released(front, name),
        Detail::ReleaseAllLocks => {
            front.objects.locks.clear();
            front.objects.lock_unclear = false;
            unlocked(front);
        }
        Detail::XaEnd if !in_transaction => front.unpin(PinReason::DistributedTransaction),
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
            deallocated(front);
        }
        _ => {}
    }
}

/// A prepared statement is gone; perhaps none is left that lies on the server connection.
pub fn deallocated(front: &mut MyFront) {
    let held = front.statements.values().any(|held| held.schemaless);
    if !held && front.objects.prepared.is_empty() && !front.objects.prepared_unclear {
        front.unpin(PinReason::SqlPrepare);
    }
}

/// A lock is held once less, if it was held at all; whether it was, the reply's row tells, which need not be read:
/// more often than counted it is not held in either case.
fn released(front: &mut MyFront, name: &[u8]) {
    if let Some(held) = front.objects.locks.get_mut(name) {
        *held -= 1;
        if *held == 0 {
            front.objects.locks.remove(name);
        }
    }
    unlocked(front);
}

fn unlocked(front: &mut MyFront) {
    let objects = &front.objects;
    if objects.locks.is_empty() && !objects.lock_unclear && !objects.service_lock {
        front.unpin(PinReason::AdvisoryLock);
    }
}

/// Modes set for the next transaction alone are gone when a later statement leaves none, and no transaction. `open`:
/// there is either. Statements that begin no transaction leave them in force.
fn next_transaction(front: &mut MyFront, statement: &Statement, open: bool) {
    let sets = matches!(statement.control, TransactionControl::SetTransaction(_))
        || statement.touches.contains(Touch::NextTransaction);
    if sets {
        front.objects.next_transaction = true;
    } else if front.objects.next_transaction && !open {
        front.objects.next_transaction = false;
        if front.objects.savepoints == Savepoints::None {
            front.unpin(PinReason::NextTransaction);
        }
    }
}

/// The client's command has left warnings or an error: on MySQL behind those before it, unless it was a statement.
fn warned(front: &mut MyFront) {
    front.last.raised = None;
    if front.flavor == Flavor::MySql && front.running.is_none() {
        front.last.warnings.open_more();
    } else {
        front.last.warnings.open();
    }
}

/// How a client's command has failed.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Behind the front of a result.
    pub begun: bool,
    /// What the server said, if it said anything.
    pub code: Option<u16>,
}

/// `ER_SP_BAD_CURSOR_SELECT`. MariaDB sees that before it goes to the statement's schema.
const BAD_CURSOR_SELECT: u16 = 1323;

/// The client's command has ended with an error.
pub fn failed(front: &mut MyFront, back: &mut MyBack, failure: Failure) {
    let Failure { begun, code } = failure;
    front.last.row_count = -1;
    // MariaDB counts rows as it finds them.
    let surely = front.flavor == Flavor::MariaDb && begun;
    let (writes, unreturned) = running_statement(front)
        .map_or((false, Unreturned::Uncounted), |it| {
            (it.touches.contains(Touch::TableWrite), it.unreturned)
        });
    if surely || unreturned == Unreturned::Counted {
        count(front, surely);
    }
    front.last.found.unfinished |=
        front.flavor == Flavor::MySql && (writes || unreturned == Unreturned::CountedLater);
    warned(front);
    untold(front, back);
    if front.last.asks {
        front.pin(PinReason::Diagnostics);
    }
    // MySQL tells of its way back itself.
    if front.flavor == Flavor::MariaDb && code != Some(BAD_CURSOR_SELECT) {
        leave_schema(front);
    }
    let running = front.running.take();
    let failed = running
        .as_ref()
        .and_then(|running| running.verdict.statements.get(running.done));
    if failed.is_some_and(|failed| failed.touches.contains(Touch::SetTracker)) {
        back.untracked = true;
    }
    if let Some(failed) = failed.filter(|failed| failed.touches.contains(Touch::UserLock)) {
        // It may have taken some before.
        front.objects.lock_unclear |= !matches!(failed.detail, Detail::GetLock(_));
        unlocked(front);
    }
    // MySQL keeps the global read lock where only the tables' being closed was waited for in vain.
    let locked = failed.is_some_and(|failed| failed.touches.contains(Touch::FlushLock));
    if !locked && running.is_none_or(|running| running.done == 0) {
        front.forgive(&rules::NOTHING_LEFT_BY_FAILURE);
    }
}

/// Statements behind which MySQL tells what has been counted before and not been told, see [`Found::unfinished`].
pub const TAKES_OVER: Touches = Touches::of(Touch::TableWrite).with(Touch::Call);

/// Touches of which the server's trackers tell, or tell more than the text.
const TRACKED: Touches = Touches::of(Touch::SetSession)
    .with(Touch::NextTransaction)
    .with(Touch::Schema)
    .with(Touch::DropDatabase)
    .with(Touch::SqlExecute)
    .with(Touch::TableWrite)
    .with(Touch::Call)
    .with(Touch::Function)
    .with(Touch::Unknown);

/// What may choose a schema.
const CHOOSES_SCHEMA: Touches = Touches::of(Touch::Schema)
    .with(Touch::DropDatabase)
    .with(Touch::SqlExecute)
    .with(Touch::Unknown);

/// What runs code of users.
const ROUTINES: Touches = Touches::of(Touch::Call).with(Touch::Function);

/// Of what `LOAD DATA` says alone: `Records: 1  Deleted: 0  Skipped: 0  Warnings: 0`.
const LOADED: &[u8] = b"  Deleted: ";

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
