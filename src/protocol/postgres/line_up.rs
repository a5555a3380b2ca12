//! Sees to it that names in a text mean to the server what they mean to the client: see
//! [`super::by_name`].

use std::sync::Arc;

use super::by_name::{self, Named, SqlStatement, What};
use super::owed::{Fate, Owed, Undo};
use super::request::Reader;
use super::request_statement::{close_ours, close_stale, key_of, text_of};
use super::statements::{NAME_PREFIX, Statement};
use super::{rename, rules};
use crate::model::{PinReason, Pins};
use crate::sql::statement::Verdict;

/// In which protocol the client's text is about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In a simple query.
    Simple,
    /// In messages of the extended protocol.
    Extended,
}

impl Way {
    /// Messages before the text that no Sync follows must stay in one transaction with it, and if
    /// one of them fails the server must go on to skip.
    pub(super) fn behind(self, reader: &Reader<'_>) -> Self {
        if reader.back.unsynced || reader.back.debts.has_extended() {
            Self::Extended
        } else {
            self
        }
    }
}

/// Lines the connection up for a text, if that uses names.
pub(super) fn line_up(reader: &mut Reader<'_>, verdict: &Verdict, way: Way) {
    if !by_name::uses_names(verdict) || reader.front.keeps_names() {
        return;
    }
    if by_name::prepares(verdict) && reader.front.holds_most() {
        let pins = Pins::of(&[PinReason::SqlPrepare]);
        let cause = || "more prepared statements than a client may take along".to_owned();
        reader.front.affect_for(pins, cause);
    }
    let way = way.behind(reader);
    let decoys = by_name::only_takes_names(verdict);
    let names = match by_name::names(verdict) {
        Named::These(names) => names,
        Named::Any => {
            let mut names = reader.back.names.all();
            names.extend(reader.front.sql.keys().cloned());
            names.sort_unstable();
            names.dedup();
            names
        }
    };
    for name in names {
        line_up_name(reader, &name, way, decoys);
    }
}

/// Lines the connection up for one name. `decoy`: it matters only that it is
/// taken.
pub(super) fn line_up_name(reader: &mut Reader<'_>, name: &str, way: Way, decoy: bool) {
    if name.as_bytes().starts_with(NAME_PREFIX) {
        reader.back.statements.yield_name(name.as_bytes());
        close_stale(reader);
    }
    let own = reader.front.sql.get(name).cloned();
    let statement = match own {
        Some(_) => None,
        None => reader.front.statement(name.as_bytes()),
    };
    if decoy && (own.is_some() || statement.is_some()) {
        if !reader.back.names.is_taken(name) {
            release(reader, name);
            prepare_decoy(reader, name, way);
        }
    } else if let Some(own) = own {
        line_up_sql(reader, name, &own, way);
    } else if let Some(statement) = statement {
        if statement.effects.script.is_some() {
            // What it sets when it is executed by name, among other statements, is not followed.
            let cause = || rules::fingerprint(text_of(&statement.body));
            let setting = Pins::of(&[PinReason::Setting]);
            reader.front.affect_for(setting, cause);
        }
        line_up_protocol(reader, name, &statement, way);
    } else {
        release(reader, name);
    }
}

/// The name is one that the client has given by SQL.
fn line_up_sql(reader: &mut Reader<'_>, name: &str, own: &Arc<SqlStatement>, way: Way) {
    let what = What::Sql(Arc::clone(own), reader.front.settings.planner_id());
    let cause = || rules::fingerprint(&own.text);
    reader.front.affect_for(own.pins, cause);
    if !reader.back.names.has(name, &what) {
        release(reader, name);
        if prepare(reader, name, &own.text, way) {
            reader.back.names.hold(name, what);
        }
    }
}

/// The name is one that the client has given by the protocol.
pub(super) fn line_up_protocol(
    reader: &mut Reader<'_>,
    name: &str,
    statement: &Arc<Statement>,
    way: Way,
) {
    let way = way.behind(reader);
    let cause = || rules::fingerprint(text_of(&statement.body));
    reader.front.affect(&statement.effects, cause);
    let key = key_of(reader, statement);
    if reader.back.names.has(name, &What::Protocol(key)) {
        return;
    }
    release(reader, name);
    if reader.back.stays_failed() {
        return;
    }
    let body = &statement.body;
    reader
        .script
        .insert_with(|out| rename::parse(name.as_bytes(), body, out));
    reader.back.unsynced = true;
    let undo = Undo::Held(name.into());
    reader.back.debts.push(Owed::Parse(Fate::Ours, undo));
    if way == Way::Simple {
        // Without it the server would skip the client's query if this fails.
        reader.script.insert_with(rename::sync);
        reader.back.unsynced = false;
        reader.back.debts.push(Owed::InnerSync);
    }
    reader.back.names.hold(name, What::Protocol(key));
}

/// Closes what the connection has under this name, if anything.
fn release(reader: &mut Reader<'_>, name: &str) {
    if !reader.back.names.is_held(name) {
        return;
    }
    reader
        .script
        .insert_with(|out| rename::about_statement(b'C', name.as_bytes(), out));
    close_ours(reader, Undo::Held(name.into()));
    reader.back.names.release(name);
}

fn prepare_decoy(reader: &mut Reader<'_>, name: &str, way: Way) {
    let mut text = b"PREPARE \"".to_vec();
    text.extend_from_slice(name.replace('"', "\"\"").as_bytes());
    text.extend_from_slice(b"\" AS SELECT");
    if prepare(reader, name, &text, way) {
        reader.back.names.hold(name, What::Decoy);
    }
}

/// Sends a PREPARE; false in a failed transaction, where it could only fail, as will the client's
/// own request.
fn prepare(reader: &mut Reader<'_>, name: &str, text: &[u8], way: Way) -> bool {
    if reader.back.stays_failed() {
        return false;
    }
    let limit = reader.front.policy.max_server_statements;
    if let Some(other) = reader.back.names.surplus(limit, &reader.front.sql) {
        release(reader, &other);
    }
    run(reader, Some(name), text, way);
    true
}

/// Sends a statement of Sluice's own, ahead of the client's. `name`: it is the PREPARE of this.
pub(super) fn run(reader: &mut Reader<'_>, name: Option<&str>, text: &[u8], way: Way) {
    match way {
        Way::Simple => {
            reader.script.insert_with(|out| rename::query(text, out));
            reader.back.unnamed = None;
            reader.back.unsynced = false;
            reader.back.debts.push(Owed::Recall(name.map(Into::into)));
        }
        Way::Extended => {
            let undo = name.map_or(Undo::Nothing, |name| Undo::Held(name.into()));
            run_extended(reader, text, undo, Owed::Inner(b'C'));
        }
    }
}

/// Sends a statement of Sluice's own among the client's messages of the extended protocol, whose
/// completion is `done`. `undo`: what to take back if it is not carried out.
pub(super) fn run_extended(reader: &mut Reader<'_>, text: &[u8], undo: Undo, done: Owed) {
    let body = [text, b"\0\0\0"].concat();
    reader.script.insert_with(|out| {
        rename::parse(b"", &body, out);
        rename::bind_plain(PORTAL, b"", out);
        rename::execute(PORTAL, out);
        rename::close_portal(PORTAL, out);
    });
    reader.back.unnamed = super::back::UNKNOWN;
    reader.back.unsynced = true;
    let debts = &mut reader.back.debts;
    debts.push(Owed::Parse(Fate::Ours, undo));
    debts.push(Owed::Inner(b'2'));
    debts.push(done);
    debts.push(Owed::Close(Fate::Ours));
}

/// What the client sends by the protocol may be about a statement that it has prepared by SQL; lines
/// the connection up if so, and returns the statement.
pub(super) fn line_up_bytes(reader: &mut Reader<'_>, name: &[u8]) -> Option<Arc<SqlStatement>> {
    let name = std::str::from_utf8(name).ok()?;
    line_up_name(reader, name, Way::Extended, false);
    reader.front.sql.get(name).cloned()
}

/// The portal of statements of Sluice's own.
const PORTAL: &[u8] = b"sluice_prepare";
