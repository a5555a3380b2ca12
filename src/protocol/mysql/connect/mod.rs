//! Client role: Sluice logs in to a server (MySQL protocol, "Connection Phase").
//!
//! Whether the server's certificate is good is not decided here, but by whoever makes the TLS
//! handshake.

mod authenticate;

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::capability::Capabilities;
use super::frame::{Header, put_packet, take_packet};
use super::greeting::Greeting;
use super::login::{Announcement, Flavor};
use super::message::{self, ERR, Err as ErrPacket, Ok as OkPacket};
use super::prove::{MORE_DATA, SWITCH};
use super::response::Response;
use super::status::Status;
use super::wire::put_lenenc_bytes;
use super::{command, plugin, settings};
use crate::model::{Secret, TlsFacts};
use crate::protocol::{
    Breach, ConnectError, ConnectPlan, Entropy, Exchange, ServerError, Step, TlsWish,
};
use crate::sql::mysql::Mode;

use authenticate::{Authenticate, Turn};

/// Longest payload taken from a server during login, in bytes.
pub const MAX_LOGIN_MESSAGE_LEN: usize = 1024 * 1024;
/// Packets that a server may send between the response and its verdict: more than the longest
/// login with a switch has.
const MAX_ROUNDS: u32 = 16;
/// The collation of sessions until a client's settings are in force: `utf8mb4_general_ci`, which
/// every server knows.
const COLLATION: u8 = 45;

/// Has the server tell what changes in a session, so that nothing has to be guessed from SQL.
/// Lost when the connection is reset.
/// It tells the `sql_mode` by setting it to what it is. The character sets are those of [`FRESH_NAMES`](super::settings::FRESH_NAMES), in the same order.
pub const TRACKERS: &str = "SET SESSION session_track_schema = ON, session_track_system_variables = '*', session_track_state_change = ON, session_track_transaction_info = 'CHARACTERISTICS', collation_connection = utf8mb4_general_ci, character_set_client = utf8mb4, character_set_results = utf8mb4, sql_mode = @@session.sql_mode";

/// The same on a connection of MySQL whose character sets are to stay.
pub const TRACKERS_ALONE: &str = "SET SESSION session_track_schema = ON, session_track_system_variables = '*', session_track_state_change = ON, session_track_transaction_info = 'CHARACTERISTICS'";

/// What is used wherever the server has it.
const ALWAYS: Capabilities = Capabilities::LONG_FLAG
    .with(Capabilities::TRANSACTIONS)
    .with(Capabilities::CONNECT_ATTRS)
    .with(Capabilities::DEPRECATE_EOF)
    .with(Capabilities::MARIADB_STMT_BULK)
    .with(Capabilities::PLUGIN_AUTH_LENENC_DATA);

/// What there is no login without: MySQL 5.7 and MariaDB 10.2 have it all.
const NEEDED: Capabilities = Capabilities::PROTOCOL_41
    .with(Capabilities::SECURE_CONNECTION)
    .with(Capabilities::PLUGIN_AUTH)
    .with(Capabilities::PLUGIN_AUTH_LENENC_DATA)
    .with(Capabilities::SESSION_TRACK);

/// A login that has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// What the server says to anybody.
    pub announcement: Arc<Announcement>,
    /// What was agreed on.
    pub capabilities: Capabilities,
    /// The server's number for this connection.
    pub pid: u32,
    /// TLS is in use.
    pub tls: bool,
    /// The status of the session.
    pub status: Status,
    /// How the server reads the texts of a session that has not chosen an `sql_mode`.
    pub usual: Mode,
}

/// Sluice logs in to a server.
pub struct Connect {
    plan: ConnectPlan,
    stage: Stage,
    /// The next sequence number.
    seq: u8,
    rounds: u32,
    tls: bool,
    entropy: Entropy,
    greeted: Option<Greeted>,
}

/// What is known since the greeting.
struct Greeted {
    greeting: Greeting,
    capabilities: Capabilities,
    authenticate: Authenticate,
}

#[derive(Debug)]
enum Stage {
    ExpectGreeting,
    ExpectHandshake,
    SendResponse,
    ExpectVerdict,
    ExpectHash,
    Hashed(Secret),
    ExpectTrackers,
    Over,
}

impl Connect {
    /// Begins to log in. `entropy` is fresh randomness.
    pub fn new(plan: ConnectPlan, entropy: &Entropy) -> Self {
        Self {
            plan,
            stage: Stage::ExpectGreeting,
            seq: 0,
            rounds: 0,
            tls: false,
            entropy: *entropy,
            greeted: None,
        }
    }

    fn greeting(&mut self, payload: &[u8], out: &mut BytesMut) -> Result<Stage, ConnectError> {
        if self.plan.user.contains('\0') {
            return Err(ConnectError::Credential(
                "the user name contains a zero byte",
            ));
        }
        let greeting = Greeting::read(payload).ok_or(Breach("malformed greeting"))?;
        let offered = greeting.announcement.capabilities;
        if !offered.has(NEEDED) {
            return Err(Breach("the server is older than MySQL 5.7 and MariaDB 10.2").into());
        }
        let tls = match (self.plan.tls, offered.has(Capabilities::SSL)) {
            (TlsWish::Never, _) | (TlsWish::Prefer, false) => false,
            (TlsWish::Require, false) => return Err(ConnectError::NoTls),
            (TlsWish::Prefer | TlsWish::Require, true) => true,
        };
        let mut wanted = ALWAYS | NEEDED | Capabilities::of_variant(self.plan.variant);
        if greeting.announcement.flavor == Flavor::MySql {
            wanted |= Capabilities::LONG_PASSWORD;
        }
        let mut capabilities = wanted & offered;
        if tls {
            capabilities |= Capabilities::SSL;
        }
        let authenticate = Authenticate::new(&self.plan, &greeting, &self.entropy);
        if tls {
            let request = Response {
                capabilities,
                collation: COLLATION,
                ..Response::default()
            };
            self.seq = request.write_ssl_request(self.seq, out);
        }
        self.greeted = Some(Greeted {
            greeting,
            capabilities,
            authenticate,
        });
        Ok(if tls {
            Stage::ExpectHandshake
        } else {
            Stage::SendResponse
        })
    }

    fn respond(&mut self, out: &mut BytesMut) -> Result<Stage, ConnectError> {
        let greeted = greeted(&mut self.greeted)?;
        let answer = greeted.authenticate.first()?;
        let response = Response {
            capabilities: greeted.capabilities,
            collation: COLLATION,
            user: self.plan.user.as_bytes(),
            answer: answer.answer.expose(),
            plugin: answer.plugin.as_bytes(),
            attributes: &attributes(),
            ..Response::default()
        };
        self.seq = response.write(self.seq, out);
        Ok(Stage::ExpectVerdict)
    }

    /// Reads a packet between the response and the verdict.
    fn verdict(&mut self, payload: &[u8], out: &mut BytesMut) -> Result<Turn, ConnectError> {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return Err(Breach("the login does not come to an end").into());
        }
        let greeted = greeted(&mut self.greeted)?;
        match payload.split_first() {
            Some((&message::OK, _)) => {
                OkPacket::read(payload, greeted.capabilities).ok_or(Breach("malformed OK"))?;
                greeted.authenticate.accepted()?;
                self.seq = put_packet(out, 0, |out| {
                    put_query(out, greeted.capabilities, TRACKERS);
                });
                self.stage = Stage::ExpectTrackers;
                Ok(Turn::Silent)
            }
            Some((&SWITCH, request)) => greeted.authenticate.switched(request),
            Some((&MORE_DATA, data)) => greeted.authenticate.more(data),
            // MariaDB leaves the first byte out where it is not needed.
            _ => greeted.authenticate.more(payload),
        }
    }

    fn say(&mut self, answer: &Secret, out: &mut BytesMut) {
        self.seq = put_packet(out, self.seq, |out| out.put_slice(answer.expose()));
    }

    fn tracked(&mut self, payload: &[u8]) -> Result<Connected, ConnectError> {
        let greeted = greeted(&mut self.greeted)?;
        let ok = OkPacket::read(payload, greeted.capabilities);
        let ok = ok.filter(|_| payload.first() == Some(&message::OK));
        let ok = ok.ok_or(Breach("the answer to SET is not OK"))?;
        Ok(Connected {
            announcement: Arc::new(greeted.greeting.announcement.clone()),
            capabilities: greeted.capabilities,
            pid: greeted.greeting.pid,
            tls: self.tls,
            status: ok.status.without(Status::SESSION_STATE_CHANGED),
            usual: settings::usual_mode(&greeted.greeting.announcement, ok.state),
        })
    }

    fn received(
        &mut self,
        header: Header,
        payload: &[u8],
        input: &BytesMut,
        out: &mut BytesMut,
    ) -> Result<Option<Step<Connected>>, ConnectError> {
        self.seq = header.seq.wrapping_add(1);
        if payload.first() == Some(&ERR) {
            return Err(refused(header, payload));
        }
        match self.stage {
            Stage::ExpectGreeting => {
                // A server waits for the client's response. Anything more could have been put
                // there by anybody on the way, to be taken for part of the TLS session.
                if !input.is_empty() {
                    return Err(Breach("the server goes on behind its greeting").into());
                }
                self.stage = self.greeting(payload, out)?;
                Ok(None)
            }
            Stage::ExpectTrackers => {
                self.stage = Stage::Over;
                self.tracked(payload).map(Step::Done).map(Some)
            }
            _ => match self.verdict(payload, out)? {
                Turn::Silent => Ok(None),
                Turn::Say(answer) => {
                    self.say(&answer, out);
                    Ok(None)
                }
                Turn::Compute(work) => {
                    self.stage = Stage::ExpectHash;
                    Ok(Some(Step::Compute(work)))
                }
            },
        }
    }
}

impl Exchange for Connect {
    type Done = Connected;
    type Error = ConnectError;

    fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Step<Connected>, ConnectError> {
        loop {
            match &self.stage {
                Stage::ExpectHandshake => return Ok(Step::UpgradeTls),
                Stage::SendResponse => self.stage = self.respond(out)?,
                Stage::Hashed(result) => {
                    let answer = greeted(&mut self.greeted)?.authenticate.computed(result)?;
                    self.stage = Stage::ExpectVerdict;
                    self.say(&answer, out);
                }
                // The driver goes on only with the result, and never after the end.
                Stage::ExpectHash | Stage::Over => return Err(OVER.into()),
                Stage::ExpectGreeting | Stage::ExpectVerdict | Stage::ExpectTrackers => {
                    let Some((header, payload)) = take(input)? else {
                        return Ok(Step::Read);
                    };
                    if let Some(step) = self.received(header, &payload, input, out)? {
                        return Ok(step);
                    }
                }
            }
        }
    }

    fn secured(&mut self, _facts: &TlsFacts) {
        if let (Stage::ExpectHandshake, Some(greeted)) = (&self.stage, &mut self.greeted) {
            greeted.authenticate.secured();
            self.tls = true;
            self.stage = Stage::SendResponse;
        }
    }

    fn computed(&mut self, result: Secret) {
        if matches!(self.stage, Stage::ExpectHash) {
            self.stage = Stage::Hashed(result);
        }
    }
}

const OVER: Breach = Breach("the login is over");

fn greeted(greeted: &mut Option<Greeted>) -> Result<&mut Greeted, Breach> {
    greeted.as_mut().ok_or(OVER)
}

/// Takes the server's next packet, if all of it has come.
pub(super) fn take(input: &mut BytesMut) -> Result<Option<(Header, BytesMut)>, Breach> {
    take_packet(input, MAX_LOGIN_MESSAGE_LEN)
        .map_err(|_| Breach("a packet of invalid length during login"))
}

/// The error that a server's packet tells.
pub(super) fn refused(header: Header, payload: &[u8]) -> ConnectError {
    let Some(err) = ErrPacket::read(payload) else {
        return Breach("malformed error packet").into();
    };
    ConnectError::Refused(ServerError {
        code: err.code.to_string(),
        message: String::from_utf8_lossy(&err.message).into_owned(),
        wire: Bytes::from([&header.to_bytes()[..], payload].concat()),
    })
}

/// Writes the payload of a command that runs `text`, which has no attributes.
pub fn put_query<B: BufMut>(out: &mut B, capabilities: Capabilities, text: &str) {
    out.put_u8(command::QUERY);
    if capabilities.has(Capabilities::QUERY_ATTRIBUTES) {
        // No parameters, in one set of them (MySQL protocol, `COM_QUERY`).
        out.put_slice(&[0, 1]);
    }
    out.put_slice(text.as_bytes());
}

/// Attributes of Sluice's own connections.
pub(super) fn attributes() -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in [
        ("_client_name", "sluice"),
        ("_client_version", env!("CARGO_PKG_VERSION")),
        ("program_name", "sluice"),
    ] {
        put_lenenc_bytes(&mut out, name.as_bytes());
        put_lenenc_bytes(&mut out, value.as_bytes());
    }
    out
}

/// A plugin for a first answer where the server greets with one that has none.
const DEFAULT_PLUGIN: &str = plugin::NATIVE;

#[cfg(test)]
mod tests;
