//! A client and a server connection joined without sockets: bytes in, bytes out.

use std::sync::Arc;

use bytes::Bytes;

use super::back::{LoggedIn, PgBack};
use super::front::PgFront;
use super::join;
use super::reply::{self, Watcher};
use super::reported::Reported;
use super::request;
use super::settings::Settings;
use crate::model::{Fault, PinPolicy, PoolMode};
use crate::protocol::{Back, FrontSettings, Script};

mod borrowed;
mod by_name;
mod copy;
mod pipeline;
mod prepared;
mod skipped;
mod split;
mod stale;

/// A message with this type and body.
pub(super) fn msg(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    let len = i32::try_from(body.len() + 4).unwrap();
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(body);
    out
}

pub(super) fn cat(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.concat()
}

pub(super) fn query(sql: &str) -> Vec<u8> {
    msg(b'Q', format!("{sql}\0").as_bytes())
}

pub(super) fn parse(name: &str, sql: &str) -> Vec<u8> {
    msg(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

pub(super) fn bind(name: &str) -> Vec<u8> {
    msg(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes())
}

pub(super) fn describe(name: &str) -> Vec<u8> {
    msg(b'D', format!("S{name}\0").as_bytes())
}

pub(super) fn close(name: &str) -> Vec<u8> {
    msg(b'C', format!("S{name}\0").as_bytes())
}

pub(super) fn execute() -> Vec<u8> {
    msg(b'E', b"\0\0\0\0\0")
}

pub(super) fn sync() -> Vec<u8> {
    msg(b'S', b"")
}

pub(super) fn ready(status: u8) -> Vec<u8> {
    msg(b'Z', &[status])
}

pub(super) fn done(tag: &str) -> Vec<u8> {
    msg(b'C', format!("{tag}\0").as_bytes())
}

pub(super) fn error(code: &str, text: &str) -> Vec<u8> {
    msg(
        b'E',
        format!("SERROR\0VERROR\0C{code}\0M{text}\0\0").as_bytes(),
    )
}

pub(super) const PARSED: &[u8] = b"1\0\0\0\x04";
pub(super) const BOUND: &[u8] = b"2\0\0\0\x04";
pub(super) const CLOSED: &[u8] = b"3\0\0\0\x04";

pub(super) fn policy(pool_mode: PoolMode) -> Arc<FrontSettings> {
    Arc::new(FrontSettings {
        pool_mode,
        splits: false,
        ignore_options: Arc::new([]),
        allow_options: None,
        max_client_statements: 100,
        max_server_statements: 10,
        max_statement_bytes: 1 << 20,
        pins: PinPolicy::default(),
    })
}

pub(super) fn client() -> PgFront {
    PgFront::new(Settings::none(), policy(PoolMode::Transaction))
}

pub(super) fn server() -> PgBack {
    let login = LoggedIn {
        reported: Reported::new(Vec::new()),
        pid: 7,
        cancel_key: Bytes::from_static(b"abcd"),
        tls: false,
    };
    PgBack::new(login)
}

/// What one step put on the wire.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) server: Vec<u8>,
    pub(super) client: Vec<u8>,
}

/// Offers client bytes; all must be dealt with.
pub(super) fn send(front: &mut PgFront, back: &mut PgBack, input: &[u8]) -> Wire {
    let (wire, dealt) = try_send(front, back, input).unwrap();
    assert_eq!(dealt, input.len(), "client bytes left over");
    wire
}

pub(super) fn try_send(
    front: &mut PgFront,
    back: &mut PgBack,
    input: &[u8],
) -> Result<(Wire, usize), Fault> {
    let mut wire = Wire::default();
    if back.progress().is_idle() {
        // The servers of these tests accept all settings: nobody waits for that.
        let _ = join::attach(front, back, &mut wire.server, &mut wire.client);
    }
    let mut script = Script::default();
    let dealt = request::read(front, back, input, &mut script, &mut wire.client)?;
    for piece in script.pieces(input) {
        wire.server.extend_from_slice(piece);
    }
    Ok((wire, dealt))
}

/// Offers server bytes; all must be dealt with. Returns what the client sees.
pub(super) fn answer(front: &mut PgFront, back: &mut PgBack, input: &[u8]) -> Vec<u8> {
    let mut script = Script::default();
    let watcher = Watcher {
        front,
        script: &mut script,
    };
    let dealt = reply::read(back, Some(watcher), input).unwrap();
    assert_eq!(dealt, input.len(), "server bytes left over");
    script.pieces(input).collect::<Vec<_>>().concat()
}
