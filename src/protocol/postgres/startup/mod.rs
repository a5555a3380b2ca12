//! The first message of a client that logs in: protocol version, user, database, settings
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-STARTUPMESSAGE>;
//! the rules are those of `ProcessStartupPacket` in PostgreSQL's `backend_startup.c`).
//!
//! Which settings are allowed is not decided here.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::fault::with_code;
use super::{message, switches};
use crate::model::{Fault, FaultKind};
use crate::protocol::Login;
use crate::protocol::bytes::{Reader, put_counted, put_cstr};

/// Request code of `CancelRequest`: 1234 in the upper half, 5678 in the lower.
pub const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
/// Request code of `SSLRequest`.
pub const SSL_REQUEST: u32 = (1234 << 16) | 5679;
/// Request code of `GSSENCRequest`.
pub const GSSENC_REQUEST: u32 = (1234 << 16) | 5680;
/// Protocol 3.0 as it stands in a startup message.
pub const PROTOCOL_3_0: u32 = 3 << 16;
/// Protocol 3.2, the newest that Sluice speaks. There is no 3.1: a pooler's bug used it up.
pub const PROTOCOL_3_2: u32 = PROTOCOL_3_0 | 2;

/// Most bytes after the length in a startup message: PostgreSQL's `MAX_STARTUP_PACKET_LENGTH`.
pub const MAX_LEN: usize = 10_000;
/// Longest user or database name in bytes. PostgreSQL itself keeps 63 and cuts longer ones; names
/// here are also kept in logs and tables of ours, which sets a bound.
const MAX_NAME_LEN: usize = 1024;
/// Most settings; PostgreSQL 18 has about 400 in all, and looking for repeated names takes
/// quadratic time.
const MAX_SETTINGS: usize = 256;
/// Most characters of the application name that are kept for logs; PostgreSQL keeps 63.
const MAX_APPLICATION_LEN: usize = 63;
/// Settings with this prefix are requests to the protocol, not to the server.
const PROTOCOL_OPTION_PREFIX: &[u8] = b"_pq_.";

/// What a client said at login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The user name.
    pub user: Arc<str>,
    /// The database; the user's name if the client named none.
    pub database: Arc<str>,
    /// The application's name for logs, with unprintable characters replaced; empty if none.
    pub application: String,
    /// The minor protocol version that was agreed: 0 or 2.
    pub minor: u16,
    /// Settings asked for, names in lower case, each once, in the order in which they take
    /// effect: those from `options` first, as in PostgreSQL.
    pub settings: Vec<(String, Vec<u8>)>,
    /// The client uses TLS.
    pub tls: bool,
}

impl Login for Startup {
    fn user(&self) -> &Arc<str> {
        &self.user
    }

    fn database(&self) -> &Arc<str> {
        &self.database
    }

    fn application(&self) -> &str {
        &self.application
    }
}

impl Startup {
    /// Reads a startup message, from the version on and without the length. Where the client
    /// asked for a newer protocol or unknown protocol options, writes to `out` what it gets
    /// instead.
    pub fn parse(body: &[u8], tls: bool, out: &mut BytesMut) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let version = reader.u32().ok_or_else(bad_layout)?;
        let minor = version & 0xffff;
        if version >> 16 != 3 {
            return Err(unsupported_version(version));
        }
        let parameters = Parameters::read(reader)?;
        let agreed = if minor >= 2 {
            PROTOCOL_3_2
        } else {
            PROTOCOL_3_0
        };
        if agreed != version || !parameters.unknown.is_empty() {
            message::negotiate_protocol_version(out, agreed, &parameters.unknown);
        }
        parameters.into_startup(if minor >= 2 { 2 } else { 0 }, tls)
    }
}

/// A `StartupMessage` for protocol 3.0.
pub fn startup_message(user: &str, database: &str, out: &mut BytesMut) {
    put_counted(out, |out| {
        out.put_u32(PROTOCOL_3_0);
        for (name, value) in [("user", user), ("database", database)] {
            put_cstr(out, name.as_bytes());
            put_cstr(out, value.as_bytes());
        }
        out.put_u8(0);
    });
}

/// The parameters as they stand in the message.
#[derive(Default)]
struct Parameters<'a> {
    user: &'a [u8],
    database: &'a [u8],
    options: &'a [u8],
    replication: Option<&'a [u8]>,
    others: Vec<(&'a [u8], &'a [u8])>,
    unknown: Vec<&'a [u8]>,
}

impl<'a> Parameters<'a> {
    fn read(mut reader: Reader<'a>) -> Result<Self, Fault> {
        let mut parameters = Self::default();
        loop {
            let name = reader.cstr().ok_or_else(bad_layout)?;
            if name.is_empty() {
                break;
            }
            let value = reader.cstr().ok_or_else(bad_layout)?;
            match name {
                b"user" => parameters.user = value,
                b"database" => parameters.database = value,
                b"options" => parameters.options = value,
                b"replication" => parameters.replication = Some(value),
                _ if name.starts_with(PROTOCOL_OPTION_PREFIX) => parameters.unknown.push(name),
                _ => parameters.others.push((name, value)),
            }
        }
        if !reader.is_empty() {
            return Err(bad_layout());
        }
        Ok(parameters)
    }

    fn into_startup(self, minor: u16, tls: bool) -> Result<Startup, Fault> {
        if self.user.is_empty() {
            return Err(with_code(
                FaultKind::ProtocolViolation,
                "28000",
                "no PostgreSQL user name specified in startup packet",
            ));
        }
        refuse_replication(self.replication)?;
        let user = identifier(self.user, "user")?;
        let database = if self.database.is_empty() {
            Arc::clone(&user)
        } else {
            identifier(self.database, "database")?
        };
        let mut settings = switches::settings(self.options)?;
        for (name, value) in self.others {
            let name = std::str::from_utf8(name)
                .map_err(|_| Fault::protocol("a startup option's name is not valid UTF-8"))?;
            settings.push((name.to_ascii_lowercase(), value.to_vec()));
        }
        if settings.len() > MAX_SETTINGS {
            return Err(Fault::protocol("too many startup options"));
        }
        keep_last(&mut settings);
        let application = settings.iter().find(|(name, _)| name == "application_name");
        Ok(Startup {
            user,
            database,
            application: application.map_or_else(String::new, |(_, value)| printable(value)),
            minor,
            settings,
            tls,
        })
    }
}

fn identifier(name: &[u8], what: &str) -> Result<Arc<str>, Fault> {
    if name.len() > MAX_NAME_LEN {
        return Err(Fault::protocol(format!(
            "the {what} name is longer than {MAX_NAME_LEN} bytes"
        )));
    }
    std::str::from_utf8(name)
        .map(Arc::from)
        .map_err(|_| Fault::protocol(format!("the {what} name is not valid UTF-8")))
}

/// A replication connection carries another protocol and cannot be shared.
fn refuse_replication(value: Option<&[u8]>) -> Result<(), Fault> {
    let Some(value) = value else { return Ok(()) };
    // PostgreSQL's parse_bool takes unique prefixes of these, in any case.
    let value = value.to_ascii_lowercase();
    let is_prefix =
        |word: &str, least: usize| value.len() >= least && word.as_bytes().starts_with(&value);
    let is_false = is_prefix("false", 1) || is_prefix("no", 1) || is_prefix("off", 2);
    if is_false || value == b"0" {
        return Ok(());
    }
    Err(Fault::new(
        FaultKind::Unsupported,
        "replication connections are not supported: connect to the server itself",
    ))
}

/// Of settings with the same name, keeps the last.
fn keep_last(settings: &mut Vec<(String, Vec<u8>)>) {
    let mut kept: Vec<(String, Vec<u8>)> = Vec::with_capacity(settings.len());
    for (name, value) in settings.drain(..) {
        kept.retain(|(earlier, _)| *earlier != name);
        kept.push((name, value));
    }
    *settings = kept;
}

fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .take(MAX_APPLICATION_LEN)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

fn bad_layout() -> Fault {
    Fault::protocol("invalid startup packet layout: expected terminator as last byte")
}

fn unsupported_version(version: u32) -> Fault {
    let (major, minor) = (version >> 16, version & 0xffff);
    Fault::new(
        FaultKind::Unsupported,
        format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2"),
    )
}

#[cfg(test)]
mod tests;
