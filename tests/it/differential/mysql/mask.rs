//! What may differ between a direct connection and another server's: numbers of connections and of
//! prepared statements, and figures of the server.

use super::say::Say;
use crate::{
    differential::script::Reply,
    support::mysql::message::{Packet, Reader, capability, status},
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

/// The packet as it is compared.
pub fn reply(packet: &Packet, context: Context, say: &Say, capabilities: u32, id: u32) -> Reply {
    let mut body = packet.body.clone();
    match context {
        Context::Line if body.first() != Some(&0xff) => body = b"figures".to_vec(),
        Context::Prepared if body.first() == Some(&0) => body[1..5].fill(0),
        _ if body.first() == Some(&0xff) => body = without_statement(&body, id),
        Context::First | Context::End if body.first() == Some(&0) => {
            body = without_nothing(&body, capabilities);
        }
        Context::Row if body.first() == Some(&0xfe) && body.len() < 0xff_ffff => {
            body = without_nothing(&body, capabilities);
        }
        Context::Row if asks_for_number(say) => body = without_number(&body, id),
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

/// An OK that tells of changes, and then of none, as one that tells of no changes.
fn without_nothing(body: &[u8], capabilities: u32) -> Vec<u8> {
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
    if flags & CHANGED == 0 || reader.0.last() != Some(&0) {
        return body.to_vec();
    }
    let _info = reader.string();
    if reader.0 != [0] {
        return body.to_vec();
    }
    let mut plain = body[..body.len() - 1].to_vec();
    plain[at..at + 2].copy_from_slice(&(flags & !CHANGED).to_le_bytes());
    if plain.len() == at + 5 && plain.last() == Some(&0) {
        plain.pop();
    }
    plain
}

fn asks_for_number(say: &Say) -> bool {
    match say {
        Say::Query(sql) => sql.contains("connection_id()") || sql.contains("is_used_lock"),
        _ => false,
    }
}

/// `Unknown prepared statement handler (3) given to …`, `Unknown thread id: 3`
fn without_statement(body: &[u8], id: u32) -> Vec<u8> {
    let text = String::from_utf8_lossy(body).into_owned();
    if let (Some(from), Some(to)) = (text.find("handler ("), text.find(") given to")) {
        return format!("{}?{}", &text[..from + 9], &text[to..]).into_bytes();
    }
    text.replace(&format!("id: {id}"), "id: ?").into_bytes()
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
