//! Commands about prepared statements, on their way to a server.

use std::sync::Arc;

use bytes::Bytes;

use super::answer;
use super::back::MyBack;
use super::capability::Capabilities;
use super::chore::{put_command, put_query};
use super::command;
use super::effects;
use super::execute::{Execution, NUMBER, Unread, number};
use super::fault;
use super::frame::{HEADER_LEN, Header, MAX_PAYLOAD};
use super::front::{MyFront, Running};
use super::grammar::Shape;
use super::login::Flavor;
use super::owed::{Fate, Owed, Then};
use super::recall::{Recall, before_execution};
use super::request::{Command, RequestReader};
use super::settings::{self, Settings};
use super::statements::{Held, Root, Spot};
use super::typing::{Given, Typing};
use crate::model::{Fault, PinReason};
use crate::sql::mysql::fingerprint;

/// `COM_STMT_EXECUTE`, `COM_STMT_BULK_EXECUTE`
pub(super) fn execute(
    reader: &mut RequestReader<'_>,
    command: Command<'_>,
) -> Result<usize, Fault> {
    if let Some(held) = held(reader.front, command)
        && let Some(payload) = held.failed.take()
    {
        return Ok(reader.not_prepared(command, payload));
    }
    let (flavor, capabilities) = (reader.front.flavor, reader.front.capabilities);
    let read = held(reader.front, command).map(|held| {
        let read = read_execution(held, command, capabilities);
        read.map(|execution| {
            // Of these a later execution reminds, though this one may fail where it is to be prepared.
            if execution.types.is_some() {
                held.types.clone_from(&execution.types);
            }
            let given = match flavor {
                Flavor::MySql => given(held, command, &execution, capabilities),
                // Each execution stands for itself.
                Flavor::MariaDb => Given::default(),
            };
            (execution, given)
        })
    });
    if matches!(read, Some(Err(Unread::More))) {
        return Ok(0);
    }
    let nothing = Given::default();
    let values = match &read {
        Some(Ok((_, given))) => given,
        _ => &nothing,
    };
    let spot = match place(reader, command, values)? {
        Some(Place::Here(spot)) => spot,
        Some(Place::Dealt(dealt)) => return Ok(dealt),
        None => return Ok(0),
    };
    match read {
        Some(Ok((execution, given))) => run(reader, command, spot, (&execution, &given)),
        Some(Err(why)) => {
            if reader.hears_warnings() {
                return Ok(0);
            }
            malformed(reader.front, command, why, reader.replies);
            Ok(reader.drop_command(command))
        }
        None => Ok(0),
    }
}

/// Executes a statement that is on this connection.
fn run(
    reader: &mut RequestReader<'_>,
    command: Command<'_>,
    spot: Spot,
    (execution, given): (&Execution, &Given),
) -> Result<usize, Fault> {
    let Some(its) = held(reader.front, command) else {
        return Ok(0);
    };
    let (verdict, types) = (its.verdict.clone(), its.types.clone());
    let (text, settings) = (its.statement.text.clone(), Arc::clone(&its.settings));
    if reader.joins_warnings(verdict.touches) {
        return Ok(0);
    }
    let front = &mut *reader.front;
    let (status, header) = (reader.back.status, command.header);
    let recalled = before_execution(front, status, header, &verdict, reader.replies);
    if recalled == Recall::Answered {
        return Ok(reader.drop_command(command));
    }
    reader.restore(&verdict);
    reader.recalled(recalled);
    let front = &mut *reader.front;
    front.begin();
    front.forget_last();
    let mode = settings.mode_of(front.flavor);
    front.affect(&verdict, || fingerprint(&text, mode));
    reader.front.running = Some(Running {
        verdict,
        done: 0,
        elsewhere: settings.schema() != reader.front.settings.schema(),
    });
    if let Some(held) = held(reader.front, command) {
        held.typing = held.typing.after(given);
    }
    let dealt = send(reader, command, spot, (execution, given), types)?;
    if execution.cursor {
        root(reader, command, spot, PinReason::HeldCursor);
    } else {
        release(reader, command);
    }
    reader.back.dirty |= reader.front.holds_filtered();
    Ok(dealt)
}

/// Of which kinds the values of an execution are.
fn given(
    held: &Held,
    command: Command<'_>,
    execution: &Execution,
    capabilities: Capabilities,
) -> Given {
    let named = capabilities.has(Capabilities::QUERY_ATTRIBUTES);
    let nulls = command.payload().get(execution.nulls_at.clone());
    let types = execution.types.as_deref().or(held.types.as_deref());
    types
        .and_then(|types| Given::read(types, nulls.unwrap_or_default(), held.parameters, named))
        .unwrap_or_else(|| Given::texts(held.parameters))
        .with_cursor(execution.cursor)
}

/// What stands before the values.
fn read_execution(
    held: &Held,
    command: Command<'_>,
    capabilities: Capabilities,
) -> Result<Execution, Unread> {
    let total = command.header.len.min(MAX_PAYLOAD);
    let (payload, parameters) = (command.payload(), held.parameters);
    let execution = match payload.first() {
        Some(&command::STMT_BULK_EXECUTE) => Execution::read_bulk(payload, total, parameters),
        _ => Execution::read(payload, total, parameters, capabilities),
    }?;
    // Types that the server knows are those of other clients.
    if execution.types.is_none() && execution.flag_at.is_some() && held.types.is_none() {
        return Err(Unread::Malformed);
    }
    Ok(execution)
}

/// Sends an execution on, with types if this connection does not know them.
fn send(
    reader: &mut RequestReader<'_>,
    command: Command<'_>,
    spot: Spot,
    (execution, given): (&Execution, &Given),
    types: Option<Arc<[u8]>>,
) -> Result<usize, Fault> {
    let Some(known) = reader.back.statements.at(spot) else {
        return Ok(0);
    };
    known.typing = known.typing.after(given);
    let to = known.number;
    let missing = execution.types.is_none() && execution.flag_at.is_some() && known.types != types;
    if types.is_some() {
        known.types.clone_from(&types);
    }
    let owed = Owed::new(Fate::Client(Then::Script), Shape::Results);
    match (missing.then_some(types).flatten(), execution.flag_at) {
        (Some(types), Some(flag_at)) => {
            let flags = execution.flags.bytes();
            with_types(reader, command, to, flag_at, (flags, &types), owed)
        }
        _ => Ok(with_number(reader, command, to, Some(owed))),
    }
}

/// The client's statement that a command is about.
fn held<'a>(front: &'a mut MyFront, command: Command<'_>) -> Option<&'a mut Held> {
    let number = numbered(front, command.payload())?;
    front.statements.get_mut(&number)
}

/// Parts of parameters could not be taken: the execution tells so.
pub(super) fn not_taken(front: &mut MyFront, payload: &[u8], error: Bytes) {
    let number = numbered(front, payload);
    if let Some(held) = number.and_then(|number| front.statements.get_mut(&number)) {
        held.failed.get_or_insert(error);
    }
}

/// `COM_STMT_SEND_LONG_DATA`: not answered.
pub(super) fn long_data(
    reader: &mut RequestReader<'_>,
    command: Command<'_>,
) -> Result<usize, Fault> {
    let parameters = held(reader.front, command).map_or(0, |held| held.parameters);
    let texts = match reader.front.flavor {
        Flavor::MySql => Given::texts(parameters),
        Flavor::MariaDb => Given::default(),
    };
    let spot = match place(reader, command, &texts)? {
        Some(Place::Here(spot)) => spot,
        Some(Place::Dealt(dealt)) => return Ok(dealt),
        None => return Ok(0),
    };
    root(reader, command, spot, PinReason::PartialParameters);
    Ok(with_number(reader, command, spot.number, None))
}

/// `COM_STMT_RESET`
pub(super) fn reset(reader: &mut RequestReader<'_>, command: Command<'_>) -> Result<usize, Fault> {
    if let Some(held) = held(reader.front, command) {
        held.failed = None;
    }
    simple(reader, command, Shape::Plain)
}

/// `COM_STMT_FETCH`
pub(super) fn fetch(reader: &mut RequestReader<'_>, command: Command<'_>) -> Result<usize, Fault> {
    simple(reader, command, Shape::Rows)
}

fn simple(
    reader: &mut RequestReader<'_>,
    command: Command<'_>,
    shape: Shape,
) -> Result<usize, Fault> {
    let Some(held) = held(reader.front, command) else {
        return match place(reader, command, &Given::default())? {
            Some(Place::Dealt(dealt)) => Ok(dealt),
            _ => Ok(0),
        };
    };
    let here = if is_rooted(held, reader.back) {
        held.root.map(|root| root.spot)
    } else {
        let key = held.key(&reader.back.settings);
        reader.back.statements.any(key)
    };
    let Some(spot) = here else {
        if reader.hears_warnings() {
            return Ok(0);
        }
        nothing_there(reader.front, command, shape, reader.replies);
        return Ok(reader.drop_command(command));
    };
    if shape == Shape::Plain {
        release(reader, command);
    }
    reader.front.begin();
    reader.set_warnings_aside();
    reader.front.running = None;
    let owed = Owed::new(Fate::Client(Then::Nothing), shape);
    Ok(with_number(reader, command, spot.number, Some(owed)))
}

/// Answers for a statement that has neither a cursor nor long data: it need not be prepared here for that.
fn nothing_there(front: &mut MyFront, command: Command<'_>, shape: Shape, replies: &mut Vec<u8>) {
    front.begin();
    let seq = command.header.seq;
    if shape == Shape::Plain {
        front.last.row_count = 0;
        front.last.interrupted = true;
        return answer::ok(front, seq, replies);
    }
    let end = match front.flavor {
        Flavor::MySql => ".",
        Flavor::MariaDb => "",
    };
    let number = number(command.payload()).unwrap_or_default();
    let text = format!("The statement ({number}) has no open cursor{end}");
    // ER_STMT_HAS_NO_OPEN_CURSOR
    answer::no_statement(front, seq, 1421, "HY000", &text, replies);
}

/// `COM_STMT_CLOSE`: not answered. The server connection keeps the statement for others, unless
/// something of this client's hangs on it.
pub(super) fn close(reader: &mut RequestReader<'_>, command: Command<'_>) -> Result<usize, Fault> {
    let Some(payload) = command.whole() else {
        return Ok(0);
    };
    let number = numbered(reader.front, payload).ok_or_else(fault::malformed)?;
    let Some(held) = reader.front.statements.remove(&number) else {
        return Ok(reader.drop_command(command));
    };
    if let Some(root) = held.root {
        if is_rooted(&held, reader.back)
            && let Some(gone) = reader.back.statements.remove(root.spot)
        {
            let body = gone.to_le_bytes();
            reader
                .script
                .insert_with(|out| put_command(out, command::STMT_CLOSE, &body));
        }
        unpin_rootless(reader.front);
    }
    if held.schemaless {
        effects::deallocated(reader.front);
    }
    Ok(reader.drop_command(command))
}

/// Where a client's statement is.
enum Place {
    /// On this connection.
    Here(Spot),
    /// The command has been dealt with: so many bytes.
    Dealt(usize),
}

/// Finds the statement that a command with these values is about, and has it prepared here if it is not. `None`: not yet.
fn place(
    reader: &mut RequestReader<'_>,
    command: Command<'_>,
    given: &Given,
) -> Result<Option<Place>, Fault> {
    let Some(number) = numbered(reader.front, command.payload()) else {
        return if command.whole().is_some() {
            Err(fault::malformed())
        } else {
            Ok(None)
        };
    };
    let Some(held) = reader.front.statements.get_mut(&number) else {
        let silent = command.payload().first() == Some(&command::STMT_SEND_LONG_DATA);
        if !silent {
            if reader.hears_warnings() {
                return Ok(None);
            }
            unknown(reader.front, command, reader.replies);
        }
        return Ok(Some(Place::Dealt(reader.drop_command(command))));
    };
    if let Some(spot) = found(held, reader.back, given) {
        return Ok(Some(Place::Here(spot)));
    }
    let key = held.key(&reader.back.settings);
    let text = held.statement.text.clone();
    let settings = Arc::clone(&held.settings);
    // Preparing leaves none on the server connection.
    reader.hears_warnings();
    let now = Arc::clone(&reader.back.settings);
    let then = (key.1 != now.meaning()).then(|| now.with_meaning_of(&settings));
    if let Some(then) = &then {
        detour(reader, &now, then, || Fate::Detour);
    }
    reader
        .script
        .insert_with(|out| put_command(out, command::STMT_PREPARE, &text));
    reader
        .back
        .owe(Owed::new(Fate::Prepare(key), Shape::Prepared));
    if let Some(then) = &then {
        detour(reader, then, &now, || Fate::Replay);
    }
    reader.front.last.interrupted = true;
    reader.front.request.preparing = true;
    Ok(None)
}

/// Where a client's statement is on this connection, as an execution with these values needs it.
fn found(held: &mut Held, back: &mut MyBack, given: &Given) -> Option<Spot> {
    let key = held.key(&back.settings);
    if let Some(root) = held.root {
        if is_rooted(held, back) && root.spot.key == key {
            return Some(root.spot);
        }
        uproot(held, back);
    }
    if let Some(spot) = back.statements.find(key, &held.typing, given) {
        return Some(spot);
    }
    // What earlier executions have made of it elsewhere is lost, where this one does not say it again.
    let (fresh, wanted) = (Typing::default(), held.typing.after(given));
    if !fresh.after(given).suits(&wanted, given) {
        held.typing = fresh;
    }
    back.statements.find(key, &held.typing, given)
}

/// An execution has failed before it could be tried here.
pub(super) fn not_executed(front: &mut MyFront, payload: &[u8]) {
    let held = numbered(front, payload).and_then(|number| front.statements.get(&number));
    if let Some(held) = held
        && let Some(schema) = front.settings.schema()
        && held.settings.schema() != Some(schema)
    {
        let client = front.capabilities;
        front.tracking.schema_left(schema, front.flavor, client);
    }
}

/// Has the connection go from settings to others. What it is taken to be under does not change.
fn detour(reader: &mut RequestReader<'_>, from: &Settings, to: &Settings, fate: fn() -> Fate) {
    let difference = settings::difference(from, to);
    let capabilities = reader.back.capabilities;
    if let Some(schema) = &difference.schema {
        reader
            .script
            .insert_with(|out| put_command(out, command::INIT_DB, schema));
        reader.back.owe(Owed::new(fate(), Shape::Plain));
    }
    if !difference.sql.is_empty() {
        reader
            .script
            .insert_with(|out| put_query(out, capabilities, &difference.sql));
        reader.back.owe(Owed::new(fate(), Shape::Results));
    }
}

/// The client's number of the statement that a command is about. MariaDB's clients need not wait
/// for it: there is one that means the statement prepared last (MariaDB protocol,
/// `COM_STMT_EXECUTE`).
pub(super) fn numbered(front: &MyFront, payload: &[u8]) -> Option<u32> {
    match number(payload)? {
        u32::MAX if front.flavor == Flavor::MariaDb => Some(front.last_prepared),
        number => Some(number),
    }
}

/// An execution that cannot be read; as servers, Sluice goes on after it.
fn malformed(front: &mut MyFront, command: Command<'_>, why: Unread, replies: &mut Vec<u8>) {
    front.begin();
    let named = front.capabilities.has(Capabilities::QUERY_ATTRIBUTES);
    let (code, text) = match front.flavor {
        // ER_WRONG_ARGUMENTS
        Flavor::MySql if named && why == Unread::TooFew => {
            (1210, "Incorrect arguments to COM_STMT_EXECUTE")
        }
        // ER_MALFORMED_PACKET
        Flavor::MySql => (1835, "Malformed communication packet."),
        // ER_WRONG_ARGUMENTS
        Flavor::MariaDb => (1210, "Incorrect arguments to mysqld_stmt_execute"),
    };
    answer::no_statement(front, command.header.seq, code, "HY000", text, replies);
}

/// As a server says (MySQL: `ER_UNKNOWN_STMT_HANDLER`).
fn unknown(front: &mut MyFront, command: Command<'_>, replies: &mut Vec<u8>) {
    front.begin();
    let number = number(command.payload()).unwrap_or_default();
    let to = match (front.flavor, command.payload().first()) {
        (Flavor::MySql, _) => "mysql_stmt_precheck",
        (Flavor::MariaDb, Some(&command::STMT_FETCH)) => "mysqld_stmt_fetch",
        (Flavor::MariaDb, Some(&command::STMT_RESET)) => "mysqld_stmt_reset",
        (Flavor::MariaDb, _) => "mysqld_stmt_execute",
    };
    let text = format!("Unknown prepared statement handler ({number}) given to {to}");
    answer::no_statement(front, command.header.seq, 1243, "HY000", &text, replies);
}

/// Passes a command on with the server's number in it.
fn with_number(
    reader: &mut RequestReader<'_>,
    command: Command<'_>,
    to: u32,
    owed: Option<Owed>,
) -> usize {
    let number_at = command.at + HEADER_LEN + NUMBER.start;
    reader.script.pass(command.at..number_at);
    reader.script.insert(&to.to_le_bytes());
    let end = command.at + command.bytes.len();
    reader
        .script
        .pass(command.at + HEADER_LEN + NUMBER.end..end);
    reader.sent(command, owed)
}

/// The same with types of parameters, which the client has sent before and this connection has
/// not seen.
fn with_types(
    reader: &mut RequestReader<'_>,
    command: Command<'_>,
    to: u32,
    flag_at: usize,
    (flags, types): (&[u8], &[u8]),
    owed: Owed,
) -> Result<usize, Fault> {
    let len = command.header.len + types.len();
    if len >= MAX_PAYLOAD {
        return Err(fault::malformed());
    }
    let header = Header {
        len,
        ..command.header
    };
    let payload = command.payload();
    let before = payload.get(..NUMBER.start).unwrap_or_default();
    let between = payload.get(NUMBER.end..flag_at).unwrap_or_default();
    reader.script.insert(&header.to_bytes());
    reader.script.insert(before);
    reader.script.insert(&to.to_le_bytes());
    reader.script.insert(between);
    reader.script.insert(flags);
    reader.script.insert(types);
    let end = command.at + command.bytes.len();
    reader
        .script
        .pass(command.at + HEADER_LEN + flag_at + flags.len()..end);
    Ok(reader.sent(command, Some(owed)))
}

/// Something of the client's hangs on its statement here.
fn root(reader: &mut RequestReader<'_>, command: Command<'_>, spot: Spot, reason: PinReason) {
    let connection = reader.back.number;
    let Some(held) = held(reader.front, command) else {
        return;
    };
    held.root = Some(Root { connection, spot });
    reader.back.statements.root(spot);
    unpin_rootless(reader.front);
    reader.front.pin(reason);
}

/// A statement holds nothing any more.
fn release(reader: &mut RequestReader<'_>, command: Command<'_>) {
    if let Some(held) = held(reader.front, command) {
        uproot(held, reader.back);
    }
    unpin_rootless(reader.front);
}

fn uproot(held: &mut Held, back: &mut MyBack) {
    if is_rooted(held, back)
        && let Some(root) = held.root
    {
        back.statements.uproot(root.spot);
    }
    held.root = None;
}

/// True if something of the client's hangs on its statement on this connection.
fn is_rooted(held: &Held, back: &MyBack) -> bool {
    held.root
        .is_some_and(|root| root.connection == back.number && back.statements.is_rooted(root.spot))
}

/// Perhaps no statement holds anything any more.
fn unpin_rootless(front: &mut MyFront) {
    if front.statements.values().all(|held| held.root.is_none()) {
        front.unpin(PinReason::PartialParameters);
        if front.objects.handlers.is_empty() && !front.objects.handler_unclear {
            front.unpin(PinReason::HeldCursor);
        }
    }
}
