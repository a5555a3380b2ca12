//! What may differ between a direct connection and another server's: numbers of connections and of
//! prepared statements, and figures of the server.

use super::say::Say;
use crate::{
    differential::script::Reply,
    support::mysql::{
        message::{Packet, Reader, capability, status},
        wire::put_string,
    },
};

/// Which packet is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// The first of a result.
    First,
    /// OK, EOF or ERR.
    End,
    Definition,
    /// The divider of a client that has not deprecated EOF.
    Eof,
    Row,
    /// A prepared statement's number.
    Prepared,
    /// A text about the server.
    Line,
}

/// What servers answer in one way or another by what the connection has seen before.
#[derive(Clone, Copy, Debug)]
pub struct Doubt {
    /// `FOUND_ROWS()` under another grammar, of which Sluice reads nothing.
    pub rows: bool,
    /// Columns made of parameters are described by earlier executions, too, if the connection has seen any: on MySQL
    /// those of parameters that are NULL, on MariaDB all.
    pub types: bool,
    /// What MySQL tells with a `CALL` whose routine changes no rows: those that the statement before has changed, or
    /// none where the connection was given back in between.
    pub changed: Option<u64>,
}

/// The packet as it is compared.
pub fn reply(
    packet: &Packet,
    context: Context,
    say: &Say,
    capabilities: u32,
    id: u32,
    doubt: Doubt,
) -> Reply {
    let mut body = packet.body.clone();
    let first = body.first().copied();
    match (context, first) {
        (_, Some(0xff)) => body = without_statement(&body, id),
        (Context::Line, _) => body = b"figures".to_vec(),
        (Context::Prepared, Some(0)) => body[1..5].fill(0),
        (Context::Eof, _) => {
            // Sent before the rows are known, it says of them only whether a cursor holds them.
            body[1..3].fill(0);
            body[3] &= status::CURSOR_EXISTS as u8;
            body[4] = 0;
        }
        // Commands that are no statements may still count the warnings of the last.
        (Context::End, Some(0)) => {
            body = told(&body, say, capabilities);
            if let Some(warnings) = body.get_mut(5..7) {
                warnings.fill(0);
            }
        }
        (Context::End, Some(0xfe)) if matches!(say, Say::SetOption(_)) => body.truncate(1),
        (Context::First, Some(0)) => {
            body = told(&body, say, capabilities);
            // Numbers below 251 are one byte.
            if let Some(affected) = body.get_mut(1)
                && doubt.changed == Some(u64::from(*affected))
            {
                *affected = 0;
            }
        }
        // An EOF has no place for what has changed; MariaDB says there that something has.
        (Context::Row | Context::Definition, Some(0xfe)) if body.len() == 5 => {
            body[4] &= !(status::SESSION_STATE_CHANGED >> 8) as u8;
        }
        (Context::Row | Context::Definition, Some(0xfe)) if body.len() < 0xff_ffff => {
            body = told(&body, say, capabilities)
        }
        (Context::Definition, Some(3)) => definition(&mut body, capabilities, doubt.types),
        (Context::Row, Some(0..0xfe)) if doubt.rows => body = b"a number".to_vec(),
        (Context::Row, _) if shows_number(&body) => body = without_digits(&body),
        (Context::Row, _) if asks_for_number(say) => body = without_number(&body, id),
        _ => {}
    }
    let mut bytes = vec![packet.sequence];
    bytes.extend(&body);
    Reply {
        shown: format!(
            "#{} {}",
            packet.sequence,
            shown(&body, context, capabilities)
        ),
        bytes,
    }
}

/// An OK without what servers tell in their own ways: MySQL of transactions though it is not
/// asked to, MariaDB of variables in any order and some though they have not changed.
fn told(body: &[u8], say: &Say, capabilities: u32) -> Vec<u8> {
    const CHANGED: u16 = status::SESSION_STATE_CHANGED;
    if capabilities & capability::SESSION_TRACK == 0 || body.len() < 7 {
        return body.to_vec();
    }
    let mut reader = Reader(&body[1..]);
    reader.lenenc();
    reader.lenenc();
    let at = body.len() - reader.0.len();
    let flags = reader.int(2) as u16;
    reader.int(2);
    if flags & CHANGED == 0 {
        return body.to_vec();
    }
    let info = reader.string().unwrap_or_default();
    let state = reader.string().unwrap_or_default();
    let transaction = capabilities & IS_MARIADB != 0 && tells_transaction(state);
    let chooses = match say {
        Say::InitDb(_) => true,
        Say::Query(sql) => sql.to_ascii_lowercase().contains("use "),
        _ => false,
    };
    let mut entries = Reader(state);
    let mut kept = Vec::new();
    while !entries.0.is_empty() {
        let kind = entries.int(1) as u8;
        let data = entries.string().unwrap_or_default();
        // Servers tell the schema again after a statement that was prepared without any.
        let again = capabilities & NO_SCHEMA != 0 && !matches!(say, Say::InitDb(_));
        // It tells what SET STATEMENT has given back with a later reply, or not at all.
        let untold = kind == 2 && capabilities & IS_MARIADB != 0;
        // Where it also tells of the transaction, a schema that has been left may have been told before.
        let early = kind == 1 && transaction && !chooses;
        let again = untold || early || kind == 1 && again;
        if !again && kind < 4 && (kind > 0 || capabilities & IS_MARIADB == 0) {
            kept.push(kind);
            put_string(&mut kept, data);
        }
    }
    let mut told = body[..at + 4].to_vec();
    if kept.is_empty() {
        told[at..at + 2].copy_from_slice(&(flags & !CHANGED).to_le_bytes());
    }
    if !info.is_empty() || !kept.is_empty() {
        put_string(&mut told, info);
    }
    if !kept.is_empty() {
        put_string(&mut told, &kept);
    }
    told
}

/// Whether there is an entry of the transaction's state or its characteristics.
fn tells_transaction(state: &[u8]) -> bool {
    let mut entries = Reader(state);
    while !entries.0.is_empty() {
        if matches!(entries.int(1), 4 | 5) {
            return true;
        }
        entries.string();
    }
    false
}

/// Not a capability, but where the caller says that the server is MariaDB.
pub const IS_MARIADB: u32 = 1 << 31;
/// The same, where the client has logged in without a schema.
pub const NO_SCHEMA: u32 = 1 << 30;

/// A definition without what depends on more than the statement: which collation of a character
/// set results are in, which not every `SET` tells, and of which type a variable that is NULL was.
fn definition(body: &mut [u8], capabilities: u32, typeless: bool) {
    let mut reader = Reader(body);
    for _ in 0..3 {
        reader.string();
    }
    let computed = reader.string().is_none_or(<[u8]>::is_empty);
    let name = reader.text();
    reader.string();
    if reader.0.first() != Some(&0x0c) && capabilities & IS_MARIADB != 0 {
        reader.string();
    }
    if reader.0.first() != Some(&0x0c) || reader.0.len() < 13 {
        return;
    }
    let at = body.len() - reader.0.len() + 1;
    if name.starts_with('@') && !name.starts_with("@@") || typeless && computed {
        body[at..at + 10].fill(0);
        return;
    }
    // Any collation of utf8mb4.
    let collation = u16::from_le_bytes([body[at], body[at + 1]]);
    if matches!(collation, 45 | 46 | 224..=247 | 255..) {
        body[at..at + 2].copy_from_slice(&255_u16.to_le_bytes());
    }
}

/// `The statement (3) has no open cursor.`, `Unknown prepared statement handler (3) given to …`, among warnings.
fn shows_number(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains(") has no open cursor") || text.contains("statement handler (")
}

/// Sluice's numbers of statements are its own, and their lengths with them.
fn without_digits(body: &[u8]) -> Vec<u8> {
    let text = body.iter().filter(|byte| byte.is_ascii_alphabetic());
    text.copied().collect()
}

fn asks_for_number(say: &Say) -> bool {
    match say {
        Say::Query(sql) => {
            let sql = sql.to_ascii_lowercase();
            sql.contains("connection_id()")
        }
        _ => false,
    }
}

/// `Unknown prepared statement handler (3) given to …`, `Unknown thread id: 3`
fn without_statement(body: &[u8], id: u32) -> Vec<u8> {
    let text = String::from_utf8_lossy(body).into_owned();
    if let (Some(from), Some(to)) = (text.find("statement ("), text.find(") has no open")) {
        return format!("{}?{}", &text[..from + 11], &text[to..]).into_bytes();
    }
    if let (Some(from), Some(to)) = (text.find("handler ("), text.find(") given to")) {
        return format!("{}?{}", &text[..from + 9], &text[to..]).into_bytes();
    }
    // For a parameter of a routine MariaDB tells the row of whatever has run before.
    if let Some(at) = text.find(" at row ").filter(|_| text.contains("``.``.")) {
        return text[..at].into();
    }
    let own = format!("Unknown thread id: {id}");
    match text.strip_suffix(&own) {
        Some(before) => format!("{before}Unknown thread id: ?").into_bytes(),
        None => body.to_vec(),
    }
}

/// A row of a text's result whose values of the client's own number are masked.
fn without_number(body: &[u8], id: u32) -> Vec<u8> {
    let own = id.to_string();
    let text = [&[own.len() as u8], own.as_bytes()].concat();
    let mut masked = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        if rest.starts_with(&text) {
            masked.extend(b"\x01?");
            rest = &rest[text.len()..];
        } else {
            masked.push(rest[0]);
            rest = &rest[1..];
        }
    }
    masked
}

fn shown(body: &[u8], context: Context, capabilities: u32) -> String {
    let flags = |reader: &mut Reader<'_>| format!("status {:#x}", reader.int(2));
    match (body.first(), context) {
        (Some(0xff), _) => {
            let code = u16::from_le_bytes([body[1], body[2]]);
            format!("ERR {code} {}", String::from_utf8_lossy(&body[3..]))
        }
        (Some(0), Context::First | Context::End) | (Some(0xfe), Context::Row | Context::End)
            if body.len() >= 7 =>
        {
            let mut reader = Reader(&body[1..]);
            let (affected, insert_id) = (reader.lenenc(), reader.lenenc());
            let status = flags(&mut reader);
            let warnings = reader.int(2);
            let rest = if capabilities & capability::SESSION_TRACK != 0 {
                "info, state"
            } else {
                "info"
            };
            format!(
                "{} affected {affected:?} id {insert_id:?} {status} warnings {warnings} {rest} {}",
                if body[0] == 0 { "OK" } else { "END" },
                reader.0.escape_ascii()
            )
        }
        (Some(0xfe), _) if body.len() == 5 => {
            let mut reader = Reader(&body[1..]);
            let warnings = reader.int(2);
            format!("EOF {} warnings {warnings}", flags(&mut reader))
        }
        _ => format!("{context:?} {}", body.escape_ascii()),
    }
}
