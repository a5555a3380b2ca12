//! What Sluice does on a server connection for itself.

use super::back::{ChoreResult, MyBack};
use super::capability::Capabilities;
use super::command;
use super::connect::TRACKERS;
use super::frame::put_packet;
use super::grammar::{Shape, Stage};
use super::login::Flavor;
use super::owed::{Fate, Owed};
use super::settings;
use crate::protocol::Chore;
use crate::protocol::bytes::Sink;

/// See [`Back::request`](crate::protocol::Back::request).
pub fn request(back: &mut MyBack, chore: Chore<'_>, out: &mut Vec<u8>) {
    back.chore = ChoreResult::default();
    if back.untracked {
        back.untracked = false;
        back.unnamed = false;
        back.dirty = true;
    }
    match chore {
        Chore::Rollback => rollback(back, out),
        Chore::Reset => reset(back, out),
        Chore::Ping => {
            put_command(out, command::PING, &[]);
            back.owe(Owed::new(Fate::Chore, Shape::Plain));
        }
        Chore::Cancel(pid) => ask(back, format!("KILL QUERY {pid}").as_bytes(), out),
        Chore::Init(sql) | Chore::Query(sql) => ask(back, sql.as_bytes(), out),
        Chore::Table(sql) => {
            back.chore.tabular = true;
            ask(back, sql.as_bytes(), out);
        }
        Chore::Account { query, user } => {
            back.chore.column = 1;
            ask(back, &account_query(query, user), out);
        }
        Chore::Capacity => ask(back, CAPACITY, out),
        Chore::Position => ask(back, position(back.flavor()), out),
        Chore::Reached { position, wait_ms } => {
            let sql = reached(back.flavor(), position, wait_ms);
            ask(back, sql.as_bytes(), out);
        }
    }
}

/// Ends the transaction of a client that is gone. A server that reads a file of the client's gets
/// the end of it; all else that it is doing has been cancelled.
fn rollback(back: &mut MyBack, out: &mut Vec<u8>) {
    if back.reads_file() {
        put_packet(out, back.file_seq, |_| {});
        if let Some(owed) = back.debts.front_mut() {
            owed.stage = Stage::First;
        }
    }
    ask(back, b"ROLLBACK", out);
    // What the client's statements have set, nobody has followed to the end.
    back.dirty = true;
}

/// Everything but the schema is as after the login (MySQL protocol, `COM_RESET_CONNECTION`);
/// session tracking is switched off with the rest, and the character sets are the server's own.
fn reset(back: &mut MyBack, out: &mut Vec<u8>) {
    back.recounted = true;
    put_command(out, command::RESET_CONNECTION, &[]);
    back.owe(Owed::new(Fate::Chore, Shape::Plain));
    put_query(out, back.capabilities, TRACKERS.as_bytes());
    back.owe(Owed::new(Fate::Chore, Shape::Results));
    put_query(out, back.capabilities, settings::FRESH_NAMES);
    back.owe(Owed::new(Fate::Chore, Shape::Results));
    back.settings = back.fresh.with_schema(back.settings.schema());
    back.discarded();
    back.dirty = false;
}

fn ask(back: &mut MyBack, sql: &[u8], out: &mut Vec<u8>) {
    back.recounted = true;
    put_query(out, back.capabilities, sql);
    back.owe(Owed::new(Fate::Chore, Shape::Results));
}

/// Appends a command packet.
pub fn put_command<B: Sink>(out: &mut B, command: u8, body: &[u8]) {
    put_packet(out, 0, |out| {
        out.put_u8(command);
        out.put_slice(body);
    });
}

/// Appends a text of SQL, as a connection of these capabilities takes it.
pub fn put_query<B: Sink>(out: &mut B, capabilities: Capabilities, sql: &[u8]) {
    put_packet(out, 0, |out| {
        out.put_u8(command::QUERY);
        if capabilities.has(Capabilities::QUERY_ATTRIBUTES) {
            // No attributes, in one set (MySQL protocol, `COM_QUERY`).
            out.put_slice(&[0, 1]);
        }
        out.put_slice(sql);
    });
}

/// The operator's query with the user as a string constant, in a form that no name can break out
/// of under any `sql_mode`.
fn account_query(query: &str, user: &str) -> Vec<u8> {
    let hex: String = user.bytes().map(|byte| format!("{byte:02x}")).collect();
    let constant = format!("_utf8mb4 x'{hex}'");
    query.replace("$1", &constant).into_bytes()
}

/// The transactions that a primary has carried out. They are there before the client is told of them. The limit goes before
/// what a session has set as `sql_select_limit`, here and below.
const fn position(flavor: Flavor) -> &'static [u8] {
    match flavor {
        Flavor::MySql => b"SELECT @@global.gtid_executed LIMIT 1",
        Flavor::MariaDb => b"SELECT @@global.gtid_current_pos LIMIT 1",
    }
}

/// Waits until a replica has carried these out, for so many milliseconds.
fn reached(flavor: Flavor, position: &str, wait_ms: u32) -> String {
    // It consists of numbers and signs, as servers write it.
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b":-,_".contains(byte);
    let position: String = position.bytes().filter(known).map(char::from).collect();
    let seconds = format!("{}.{:03}", wait_ms / 1000, wait_ms % 1000);
    match flavor {
        Flavor::MySql => {
            format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{position}', {seconds}) = 0 LIMIT 1")
        }
        Flavor::MariaDb => format!("SELECT MASTER_GTID_WAIT('{position}', {seconds}) = 0 LIMIT 1"),
    }
}

/// One place is kept for administrators.
const CAPACITY: &[u8] = b"SELECT @@global.max_connections LIMIT 1";
