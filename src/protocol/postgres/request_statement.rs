//! Parse, Bind, Describe and Close: the messages that name statements.
//!
//! In session mode they pass as they are. Otherwise a client's named statement goes by a name of
//! Sluice's own on each server connection, and is prepared there when first used; the unnamed one
//! is prepared anew where the connection holds somebody else's.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::{Fault, FaultKind, PinReason, Pins, TxStatus};
use crate::sql::statement::Verdict;

use super::by_name::{self, What};
use super::fault;
use super::front::PgFront;
use super::line_up::{Way, line_up, line_up_bytes, line_up_protocol};
use super::owed::{Described, Fate, Gone, Owed, Undo};
use super::rename;
use super::request::{Message, Reader};
use super::request_portal::{Fits, bound_effects, describe_portal, fits, note_bound, open_portal};
use super::rules::{self, Effects};
use super::sequence;
use super::settings::{mixed, unique};
use super::shape;
use super::statements::{ELSEWHERE, NAME_PREFIX, Named, ServerName, Statement, StatementKey};
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
    if names_in_doubt(reader, text) {
        return Ok(None);
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
    let effects = rules::effects(text);
    line_up_for(reader, &effects);
    let before = if reader.back.debts.may_skip() {
        Some(Box::new(reader.front.take_unnamed()))
    } else {
        reader.front.clear_unnamed();
        None
    };
    let unnamed = &mut reader.front.unnamed;
    unnamed.body.extend_from_slice(body);
    unnamed.effects = effects;
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
        let server_name = taken(reader, &existing);
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
    if is_sql(reader.front, name) && line_up_bytes(reader, name).is_some() {
        // As above.
        return Ok(reader.ask(message, Owed::Parse(Fate::Client, Undo::Nothing)));
    }
    if reader.front.holds_most() {
        refuse(reader);
        return Ok(message.total);
    }
    let statement = Statement::intern(body, || rules::effects(text));
    let key = key_of(reader, &statement);
    let name: Box<[u8]> = name.into();
    if may_fail(reader) {
        // In a failed transaction Parse fails: the server is to say so.
        reader.back.statements.drop_later(key);
    }
    if reader.back.statements.name(key).is_some() {
        reader
            .front
            .named
            .insert(name.clone(), Named::new(statement, key.1));
        reader.answer(Owed::FakeParse(Undo::Name(name)), rename::PARSE_COMPLETE);
        return Ok(message.total);
    }
    line_up_for(reader, &statement.effects);
    reader
        .front
        .named
        .insert(name.clone(), Named::new(statement, key.1));
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
    refuse_with(reader, ours);
}

/// The client gets this error, and the server one that makes it skip the rest of the batch too.
fn refuse_with(reader: &mut Reader<'_>, ours: Vec<u8>) {
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
    let Some(effects) = bound_effects(reader, message, portal, name) else {
        return Ok(None);
    };
    if reader.back.debts.named_in_doubt() && uses_names(&effects) {
        return Ok(None);
    }
    // These may need the unnamed statement for themselves: before the client's is looked after.
    line_up_for(reader, &effects);
    sequence::note(reader, &effects, Way::Extended);
    let resolved = resolve(reader, name);
    if let Resolved::Renamed(server_name, Some(key)) = &resolved {
        let fits = fits(
            reader,
            name,
            server_name,
            *key,
            message.is_described(portal),
        );
        match fits {
            Fits::Yes => {}
            Fits::Unknown => return Ok(None),
            Fits::No => {
                refuse_with(reader, shape::refusal());
                let now = message.bytes.len();
                reader.front.dropping = message.total - now;
                return Ok(Some(now));
            }
        }
    }
    note_bound(reader.front, portal, name, &resolved);
    reader.note_changes(&effects);
    open_portal(reader.front, portal, effects.script);
    match resolved {
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
    let named = reader.front.named.get(name.as_bytes()).cloned()?;
    let key = key_here(reader, &named);
    // Where it is not prepared, there is nothing to deallocate under another name.
    let server_name = reader.back.statements.name(key)?.clone();
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

/// For a query that is nothing but the EXECUTE of a statement that the protocol prepared: sees to it
/// that the server knows it by the client's name, and says what its completion will mean. `None`: it
/// is something else.
pub(super) fn execute_by_name(reader: &mut Reader<'_>, text: &[u8]) -> Option<Owed> {
    if reader.front.named.is_empty() {
        return None;
    }
    let name = rules::executed(text)?;
    let statement = reader.front.statement(name.as_bytes())?;
    line_up_protocol(reader, &name, &statement, Way::Simple);
    reader.note_changes(&statement.effects);
    sequence::note(reader, &statement.effects, Way::Simple);
    if statement.effects.bound {
        let cause = || rules::fingerprint(text_of(&statement.body));
        let setting = Pins::of(&[PinReason::Setting]);
        reader.front.affect_for(setting, cause);
    }
    Some(match &statement.effects.script {
        Some(script) => Owed::Scripted(Arc::clone(script), 0),
        None => Owed::Query(Fate::Client),
    })
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
        let described = describe_portal(reader, message);
        return Ok(Some(reader.ask(message, Owed::Describe(described))));
    };
    if reader.front.keeps_names() {
        return Ok(Some(reader.ask(message, Owed::Describe(None))));
    }
    if in_doubt(reader, name) {
        return Ok(None);
    }
    match resolve(reader, name) {
        Resolved::AsItIs => Ok(Some(reader.ask(message, Owed::Describe(None)))),
        Resolved::Renamed(server_name, key) => {
            reader
                .script
                .insert_with(|out| rename::about_statement(b'D', &server_name, out));
            reader.back.unsynced = true;
            let name = name.into();
            let described = key.map(|key| Box::new(Described { key, name }));
            if described.is_some() {
                reader.back.again.begin();
            }
            reader.back.debts.push(Owed::Describe(described));
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
    close_sql(reader, name);
    if name.starts_with(NAME_PREFIX) {
        // Not the client's to close; closing what does not exist is no error.
        reader.answer(Owed::FakeClose(Undo::Nothing), rename::CLOSE_COMPLETE);
        return Ok(Some(message.total));
    }
    Ok(Some(reader.ask(message, own)))
}

/// A Close is about to be sent that may be about a statement prepared by SQL.
fn close_sql(reader: &mut Reader<'_>, name: &[u8]) {
    let Ok(name) = std::str::from_utf8(name) else {
        return;
    };
    if reader.back.names.is_held(name) {
        reader.back.names.hold(name, What::Unknown);
    }
    if let Some(statement) = reader.front.sql.remove(name)
        && reader.back.debts.may_skip()
    {
        let undo = Undo::RestoreSql(name.into(), statement);
        reader.back.debts.push(Owed::Note(undo));
    }
}

/// True if the client has prepared a statement of this name by SQL.
fn is_sql(front: &PgFront, name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| front.sql.contains_key(name))
}

/// True if the name stands for such a statement to the client, or to another one here.
fn is_sql_here(reader: &Reader<'_>, name: &[u8]) -> bool {
    std::str::from_utf8(name)
        .is_ok_and(|name| reader.front.sql.contains_key(name) || reader.back.names.is_held(name))
}

/// Lines the connection up for a text with these effects.
fn line_up_for(reader: &mut Reader<'_>, effects: &Effects) {
    if let Some(script) = effects.script.as_deref() {
        line_up(reader, script, Way::Extended);
    }
}

pub(super) enum Resolved {
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
    let Some(named) = reader.front.named.get(name).cloned() else {
        if is_sql_here(reader, name) && line_up_bytes(reader, name).is_some() {
            return Resolved::AsItIs;
        }
        if !name.starts_with(NAME_PREFIX) {
            return Resolved::AsItIs;
        }
        // Somebody else's statement may go by this name.
        let mut elsewhere: ServerName = SmallVec::from_slice(ELSEWHERE);
        elsewhere.extend_from_slice(name);
        return Resolved::Renamed(elsewhere, None);
    };
    let statement = &named.statement;
    reader.front.affect(&statement.effects, || {
        rules::fingerprint(text_of(&statement.body))
    });
    let (server_name, key) = prepared(reader, &named);
    Resolved::Renamed(server_name, Some(key))
}

fn resolve_unnamed(reader: &mut Reader<'_>) {
    let owner = (reader.front.id, reader.front.unnamed.generation);
    if reader.back.unnamed != Some(owner) {
        let effects = reader.front.unnamed.effects.clone();
        line_up_for(reader, &effects);
    }
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

/// A name that is taken on this connection: the statement's own, or that of a text which can always be
/// prepared, as the statement itself may not under the settings of now.
fn taken(reader: &mut Reader<'_>, named: &Named) -> ServerName {
    let key = key_here(reader, named);
    if let Some(name) = reader.back.statements.name(key) {
        return name.clone();
    }
    let nothing = Statement::intern(NO_TEXT, || rules::effects(b""));
    let planner = key_of(reader, &nothing).1;
    prepared(reader, &Named::new(nothing, planner)).0
}

/// What follows the name in the Parse of an empty text: its end, and no types of parameters.
const NO_TEXT: &[u8] = b"\0\0\0";

/// Prepares the statement on this connection if it is not; returns its name there.
fn prepared(reader: &mut Reader<'_>, named: &Named) -> (ServerName, StatementKey) {
    let statement = &named.statement;
    let key = key_here(reader, named);
    if let Some(name) = reader.back.statements.name(key) {
        return (name.clone(), key);
    }
    line_up_for(reader, &statement.effects);
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

pub(super) fn close_stale(reader: &mut Reader<'_>) {
    for name in reader.back.statements.take_stale() {
        reader
            .script
            .insert_with(|out| rename::about_statement(b'C', &name, out));
        close_ours(reader, Undo::Stale(name));
    }
}

/// Notes that a Close of Sluice's own will be answered, or not carried out.
pub(super) fn close_ours(reader: &mut Reader<'_>, undo: Undo) {
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

/// True if it depends on the answer to earlier messages what names in a text mean: it waits.
pub(super) fn names_in_doubt(reader: &Reader<'_>, text: &[u8]) -> bool {
    reader.back.debts.named_in_doubt() && {
        let text = text.strip_suffix(b"\0").unwrap_or(text);
        uses_names(&rules::effects(text))
    }
}

fn uses_names(effects: &Effects) -> bool {
    let script = effects.script.as_deref();
    script.is_some_and(by_name::uses_names)
}

/// What the client's statement goes by on this connection: by the settings that it was prepared
/// under, if it is prepared under these here. The server then brings it up to date with those of
/// now, as for a client of its own.
pub(super) fn key_here(reader: &mut Reader<'_>, named: &Named) -> StatementKey {
    let key = (named.statement.id, named.planner);
    if reader.back.statements.has(key) {
        key
    } else {
        key_of(reader, &named.statement)
    }
}

/// What the statement goes by at this point. Where settings may just be changing, nobody can tell
/// what it will have been prepared under, and nobody finds it there later.
pub(super) fn key_of(reader: &mut Reader<'_>, statement: &Statement) -> StatementKey {
    let front = &mut *reader.front;
    if !front.changing || reader.back.debts.is_empty() {
        let planner = front.settings.planner_id();
        return match uses_names(&statement.effects) {
            // What the names in it stand for is the client's own affair.
            true => (statement.id, mixed(planner ^ front.id, "", None)),
            false => (statement.id, planner),
        };
    }
    if front.flux == 0 {
        front.flux = unique();
    }
    (statement.id, front.flux)
}

pub(super) fn text_of(body: &[u8]) -> &[u8] {
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
