//! Parse, Bind, Describe and Close: the messages that name statements.
//!
//! In session mode they pass as they are. Otherwise a client's named statement goes by a name of
//! Sluice's own on each server connection, and is prepared there when first used; the unnamed one
//! is prepared anew where the connection holds somebody else's.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::{Fault, FaultKind, PinReason, TxStatus};
use crate::sql::statement::Verdict;

use super::fault;
use super::front::PgFront;
use super::owed::{Fate, Gone, Owed, Undo};
use super::rename;
use super::request::{Message, Reader};
use super::rules;
use super::statements::{ELSEWHERE, NAME_PREFIX, ServerName, Statement, StatementKey};
use super::track;

/// Parse: name, text, parameter types.
pub(super) fn parse(
    reader: &mut Reader<'_>,
    message: &Message<'_>,
) -> Result<Option<usize>, Fault> {
    let limit = reader.front.policy.max_statement_bytes;
    if !message.is_whole() {
        if message.total <= limit {
            return Ok(None);
        }
        // Too large to keep: the connection is the client's from here on.
        reader.front.pin(PinReason::OversizedStatement);
        reader.front.pin(PinReason::Unclassified);
        return Ok(Some(
            reader.ask(message, Owed::Parse(Fate::Client, Undo::Nothing)),
        ));
    }
    let Some((name, body)) = rename::split_cstr(message.body()) else {
        return Err(malformed());
    };
    let Some((text, _)) = rename::split_cstr(body) else {
        return Err(malformed());
    };
    if reader.front.keeps_names() {
        return Ok(Some(
            reader.ask(message, Owed::Parse(Fate::Client, Undo::Nothing)),
        ));
    }
    if name.is_empty() {
        return Ok(Some(parse_unnamed(reader, message, body, text)));
    }
    if reader.back.debts.named_in_doubt() {
        return Ok(None);
    }
    parse_named(reader, message, name, body, text).map(Some)
}

fn parse_unnamed(
    reader: &mut Reader<'_>,
    message: &Message<'_>,
    body: &[u8],
    text: &[u8],
) -> usize {
    let before = if reader.back.debts.may_skip() {
        Some(Box::new(reader.front.take_unnamed()))
    } else {
        reader.front.clear_unnamed();
        None
    };
    let unnamed = &mut reader.front.unnamed;
    unnamed.body.extend_from_slice(body);
    unnamed.effects = rules::effects(text);
    let generation = unnamed.generation;
    reader.back.unnamed = Some((reader.front.id, generation));
    let undo = Undo::Unnamed { generation, before };
    reader.ask(message, Owed::Parse(Fate::Client, undo))
}

fn parse_named(
    reader: &mut Reader<'_>,
    message: &Message<'_>,
    name: &[u8],
    body: &[u8],
    text: &[u8],
) -> Result<usize, Fault> {
    if let Some(existing) = reader.front.named.get(name).cloned() {
        // The server is to say that the name is taken, so it must be.
        let server_name = prepared(reader, &existing).0;
        reader
            .script
            .insert_with(|out| rename::parse(&server_name, body, out));
        reader.back.unsynced = true;
        reader
            .back
            .debts
            .push(Owed::Parse(Fate::Client, Undo::Taken(name.into())));
        return Ok(message.total);
    }
    if reader.front.named.len() >= reader.front.policy.max_client_statements {
        refuse(reader);
        return Ok(message.total);
    }
    let statement = Statement::intern(body, || rules::effects(text));
    let key = key_of(reader.front, &statement);
    let name: Box<[u8]> = name.into();
    if may_fail(reader) {
        // In a failed transaction Parse fails: the server is to say so.
        reader.back.statements.drop_later(key);
    }
    if reader.back.statements.name(key).is_some() {
        reader.front.named.insert(name.clone(), statement);
        reader.answer(Owed::FakeParse(Undo::Name(name)), rename::PARSE_COMPLETE);
        return Ok(message.total);
    }
    reader.front.named.insert(name.clone(), statement);
    let server_name = reader.back.statements.add(key);
    close_stale(reader);
    reader
        .script
        .insert_with(|out| rename::parse(&server_name, body, out));
    reader.back.unsynced = true;
    let undo = Undo::Named(key, name);
    reader.back.debts.push(Owed::Parse(Fate::Client, undo));
    Ok(message.total)
}

/// True if a Parse may fail for the transaction's sake: it has failed, or a request whose outcome
/// is not known yet may have failed it.
fn may_fail(reader: &Reader<'_>) -> bool {
    match reader.back.tx {
        TxStatus::Idle => false,
        TxStatus::Open => !reader.back.debts.is_empty(),
        TxStatus::Failed => true,
    }
}

/// Refuses one more statement, so that the server takes it for a failed Parse as well.
fn refuse(reader: &mut Reader<'_>) {
    let fault = Fault::new(
        FaultKind::Overloaded,
        "too many prepared statements (max_prepared_statements_per_client); close some",
    );
    let mut ours = Vec::new();
    fault::write(&fault, false, &mut ours);
    reader.script.insert_with(rename::nonsense);
    reader.back.unsynced = true;
    reader.back.debts.push(Owed::Refused(ours.into()));
}

/// Bind: portal, statement, then parameters of any size.
pub(super) fn bind(reader: &mut Reader<'_>, message: &Message<'_>) -> Result<Option<usize>, Fault> {
    let names = rename::split_cstr(message.body())
        .and_then(|(portal, rest)| Some((portal, rename::split_cstr(rest)?.0)));
    let Some((portal, name)) = names else {
        return incomplete(message);
    };
    if reader.front.keeps_names() {
        return Ok(Some(reader.ask(message, Owed::Bind(None))));
    }
    if in_doubt(reader, name) {
        return Ok(None);
    }
    open_portal(reader, portal, name);
    match resolve(reader, name) {
        Resolved::AsItIs => Ok(Some(reader.ask(message, Owed::Bind(None)))),
        Resolved::Renamed(server_name, key) => {
            let skip = 5 + portal.len() + 1 + name.len() + 1;
            let rest = message.total - skip;
            reader
                .script
                .insert_with(|out| rename::bind_head(portal, &server_name, rest, out));
            reader.back.unsynced = true;
            reader.back.debts.push(Owed::Bind(key));
            let now = message.bytes.len();
            reader.script.pass(message.at + skip..message.at + now);
            reader.front.passing = message.total - now;
            Ok(Some(now))
        }
    }
}

/// Notes what executing the portal will do, where that must be followed.
fn open_portal(reader: &mut Reader<'_>, portal: &[u8], name: &[u8]) {
    let front = &mut *reader.front;
    let script = match front.named.get(name) {
        Some(statement) => statement.effects.script.clone(),
        None if name.is_empty() => front.unnamed.effects.script.clone(),
        None => None,
    };
    match script {
        Some(script) => {
            front.portals.insert(portal.into(), script);
        }
        None if front.portals.is_empty() => {}
        None => {
            front.portals.remove(portal);
        }
    }
}

/// A query that is nothing but the DEALLOCATE of a statement that the protocol prepared: the
/// server knows it by another name. `None`: it is something else.
pub(super) fn deallocate(
    reader: &mut Reader<'_>,
    message: &Message<'_>,
    verdict: &Arc<Verdict>,
) -> Option<usize> {
    let [only] = &*verdict.statements else {
        return None;
    };
    let name = track::deallocated(only)?;
    let statement = reader.front.named.get(name.as_bytes()).cloned()?;
    let (server_name, key) = prepared(reader, &statement);
    reader.front.requests += 1;
    reader.end_unnamed();
    reader.back.unsynced = false;
    let mut sql = b"DEALLOCATE ".to_vec();
    sql.extend_from_slice(&server_name);
    reader.script.insert_with(|out| rename::query(&sql, out));
    let gone = Gone {
        key,
        name: name.as_bytes().into(),
    };
    reader.back.debts.push(Owed::Deallocate(gone));
    Some(message.total)
}

/// A query that is nothing but the EXECUTE of a statement that the protocol prepared: the same
/// query by the name that the server knows, and what its completion will mean. `None`: it is
/// something else.
pub(super) fn execute_by_name(reader: &mut Reader<'_>, text: &[u8]) -> Option<(Vec<u8>, Owed)> {
    if reader.front.named.is_empty() {
        return None;
    }
    let (name, place) = rules::executed(text)?;
    let statement = reader.front.named.get(name.as_bytes()).cloned()?;
    reader.front.affect(&statement.effects, || {
        rules::fingerprint(text_of(&statement.body))
    });
    let (server_name, _) = prepared(reader, &statement);
    let mut sql = text.get(..place.start)?.to_vec();
    sql.extend_from_slice(&server_name);
    sql.extend_from_slice(text.get(place.end..)?);
    let owed = match &statement.effects.script {
        Some(script) => Owed::Scripted(Arc::clone(script), 0),
        None => Owed::Query(Fate::Client),
    };
    Some((sql, owed))
}

/// Describe: a statement or a portal.
pub(super) fn describe(
    reader: &mut Reader<'_>,
    message: &Message<'_>,
) -> Result<Option<usize>, Fault> {
    let Some(target) = target(message)? else {
        return Ok(None);
    };
    let Target::Statement(name) = target else {
        return Ok(Some(reader.ask(message, Owed::Describe)));
    };
    if reader.front.keeps_names() {
        return Ok(Some(reader.ask(message, Owed::Describe)));
    }
    if in_doubt(reader, name) {
        return Ok(None);
    }
    match resolve(reader, name) {
        Resolved::AsItIs => Ok(Some(reader.ask(message, Owed::Describe))),
        Resolved::Renamed(server_name, _) => {
            reader
                .script
                .insert_with(|out| rename::about_statement(b'D', &server_name, out));
            reader.back.unsynced = true;
            reader.back.debts.push(Owed::Describe);
            Ok(Some(message.total))
        }
    }
}

/// Close: a statement or a portal.
pub(super) fn close(
    reader: &mut Reader<'_>,
    message: &Message<'_>,
) -> Result<Option<usize>, Fault> {
    let Some(target) = target(message)? else {
        return Ok(None);
    };
    let own = Owed::Close(Fate::Client);
    let Target::Statement(name) = target else {
        return Ok(Some(reader.ask(message, own)));
    };
    if reader.front.keeps_names() {
        return Ok(Some(reader.ask(message, own)));
    }
    if in_doubt(reader, name) {
        return Ok(None);
    }
    if name.is_empty() {
        reader.end_unnamed();
        return Ok(Some(reader.ask(message, own)));
    }
    if let Some(statement) = reader.front.named.remove(name) {
        // It stays prepared on the server for whoever asks for the same.
        let undo = Undo::Restore(name.into(), statement);
        reader.answer(Owed::FakeClose(undo), rename::CLOSE_COMPLETE);
        return Ok(Some(message.total));
    }
    if name.starts_with(NAME_PREFIX) {
        // Not the client's to close; closing what does not exist is no error.
        reader.answer(Owed::FakeClose(Undo::Nothing), rename::CLOSE_COMPLETE);
        return Ok(Some(message.total));
    }
    Ok(Some(reader.ask(message, own)))
}

enum Resolved {
    /// The server knows it by the client's name, or is to say that it does not exist.
    AsItIs,
    /// The name that the server knows.
    Renamed(ServerName, Option<StatementKey>),
}

/// Sees to it that the server has the statement that the client means by `name`.
fn resolve(reader: &mut Reader<'_>, name: &[u8]) -> Resolved {
    if name.is_empty() {
        resolve_unnamed(reader);
        return Resolved::AsItIs;
    }
    let Some(statement) = reader.front.named.get(name).cloned() else {
        if !name.starts_with(NAME_PREFIX) {
            return Resolved::AsItIs;
        }
        // Somebody else's statement may go by this name.
        let mut elsewhere: ServerName = SmallVec::from_slice(ELSEWHERE);
        elsewhere.extend_from_slice(name);
        return Resolved::Renamed(elsewhere, None);
    };
    reader.front.affect(&statement.effects, || {
        rules::fingerprint(text_of(&statement.body))
    });
    let (server_name, key) = prepared(reader, &statement);
    Resolved::Renamed(server_name, Some(key))
}

fn resolve_unnamed(reader: &mut Reader<'_>) {
    let owner = (reader.front.id, reader.front.unnamed.generation);
    let PgFront { unnamed, .. } = &*reader.front;
    if unnamed.body.is_empty() {
        if reader.back.unnamed.take().is_some() {
            // Somebody else's: the server must not have it, so that it says so.
            reader
                .script
                .insert_with(|out| rename::about_statement(b'C', b"", out));
            close_ours(reader, Undo::UnnamedHere);
        }
        return;
    }
    if reader.back.unnamed != Some(owner) {
        reader
            .script
            .insert_with(|out| rename::parse(b"", &unnamed.body, out));
        reader.back.unnamed = Some(owner);
        reader.back.unsynced = true;
        let owed = Owed::Parse(Fate::Ours, Undo::UnnamedHere);
        reader.back.debts.push(owed);
    }
    let unnamed = std::mem::take(&mut reader.front.unnamed);
    reader.front.affect(&unnamed.effects, || {
        rules::fingerprint(text_of(&unnamed.body))
    });
    reader.front.unnamed = unnamed;
}

/// Prepares the statement on this connection if it is not; returns its name there.
fn prepared(reader: &mut Reader<'_>, statement: &Arc<Statement>) -> (ServerName, StatementKey) {
    let key = key_of(reader.front, statement);
    if let Some(name) = reader.back.statements.name(key) {
        return (name.clone(), key);
    }
    let name = reader.back.statements.add(key);
    close_stale(reader);
    reader
        .script
        .insert_with(|out| rename::parse(&name, &statement.body, out));
    reader.back.unsynced = true;
    let owed = Owed::Parse(Fate::Ours, Undo::Prepared(key));
    reader.back.debts.push(owed);
    (name, key)
}

fn close_stale(reader: &mut Reader<'_>) {
    for name in reader.back.statements.take_stale() {
        reader
            .script
            .insert_with(|out| rename::about_statement(b'C', &name, out));
        close_ours(reader, Undo::Stale(name));
    }
}

/// Notes that a Close of Sluice's own will be answered, or not carried out.
fn close_ours(reader: &mut Reader<'_>, undo: Undo) {
    reader.back.unsynced = true;
    if reader.back.debts.may_skip() {
        reader.back.debts.push(Owed::Note(undo));
    }
    reader.back.debts.push(Owed::Close(Fate::Ours));
}

/// True if it depends on the answer to earlier messages what the name means: the message waits.
/// Behind a Sync that is on its way, so that the answer comes whatever the client does.
fn in_doubt(reader: &Reader<'_>, name: &[u8]) -> bool {
    let debts = &reader.back.debts;
    if name.is_empty() {
        debts.unnamed_in_doubt()
    } else {
        debts.named_in_doubt()
    }
}

/// True for a query that may run or deallocate a statement by its name.
pub(super) fn is_by_name(text: &[u8]) -> bool {
    rules::first_word_is(text, &[b"execute", b"deallocate"])
}

fn key_of(front: &PgFront, statement: &Statement) -> StatementKey {
    (statement.id, front.settings.wanted().planner_id())
}

fn text_of(body: &[u8]) -> &[u8] {
    rename::split_cstr(body).map_or(body, |(text, _)| text)
}

enum Target<'a> {
    Statement(&'a [u8]),
    Portal,
}

/// What a Describe or Close is about; `None` if more of it must come.
fn target<'a>(message: &Message<'a>) -> Result<Option<Target<'a>>, Fault> {
    if !message.is_whole() {
        return Ok(None);
    }
    let Some((kind, rest)) = message.body().split_first() else {
        return Err(malformed());
    };
    let Some((name, _)) = rename::split_cstr(rest) else {
        return Err(malformed());
    };
    match kind {
        b'S' => Ok(Some(Target::Statement(name))),
        b'P' => Ok(Some(Target::Portal)),
        _ => Err(malformed()),
    }
}

/// Waits for the names of a Bind, within reason.
fn incomplete(message: &Message<'_>) -> Result<Option<usize>, Fault> {
    if message.is_whole() || message.bytes.len() > NAMES_LIMIT {
        return Err(malformed());
    }
    Ok(None)
}

fn malformed() -> Fault {
    Fault::protocol("malformed message")
}

/// Portal and statement names of a Bind must end within this many bytes. Drivers' names are
/// short; PostgreSQL itself keeps 63 bytes of most names.
const NAMES_LIMIT: usize = 64 * 1024;
