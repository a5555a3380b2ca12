//! Client role: Sluice logs in to a server
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>).
//!
//! Whether the server's certificate is good is not decided here, but by whoever makes the TLS
//! handshake.

mod authenticate;

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::frame::Message;
use super::startup::{PROTOCOL_3_0, SSL_REQUEST, startup_message};
use super::{cancel, frame, message};
use crate::model::{Secret, TlsFacts};
use crate::protocol::bytes::{Reader, put_counted};
use crate::protocol::{Breach, ConnectError, ConnectPlan, Entropy, Exchange, Step, TlsWish};

use authenticate::{Authenticate, Turn};

/// Longest message body taken from a server during login, in bytes. libpq takes 2,000 for
/// authentication and 30,000 for errors; other servers are chattier.
pub const MAX_LOGIN_MESSAGE_LEN: usize = 1024 * 1024;
/// Most bytes of parameters that are kept.
const MAX_PARAMETERS_LEN: usize = 1024 * 1024;

/// What a server told at login.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Connected {
    /// Names and values of `ParameterStatus`, in the order in which they came.
    pub parameters: Vec<(String, Vec<u8>)>,
    /// The server's process number; 0 if it told none.
    pub pid: u32,
    /// The secret for cancel requests; empty if the server takes none.
    pub cancel_key: Vec<u8>,
    /// TLS is in use.
    pub tls: bool,
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected")
            .field("parameters", &self.parameters)
            .field("pid", &self.pid)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Sluice logs in to a server.
pub struct Connect {
    plan: ConnectPlan,
    stage: Stage,
    authenticate: Authenticate,
    connected: Connected,
    parameters_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Start,
    ExpectTlsAnswer,
    ExpectHandshake,
    SendStartup,
    ExpectAuthentication,
    ExpectHash,
    Hashed,
    ExpectReady,
    Over,
}

/// The bytes that ask a server for TLS.
pub fn tls_request() -> Bytes {
    let mut out = BytesMut::new();
    put_counted(&mut out, |out| out.put_u32(SSL_REQUEST));
    out.freeze()
}

impl Connect {
    /// Begins to log in. `entropy` is fresh randomness.
    pub fn new(plan: ConnectPlan, entropy: &Entropy) -> Self {
        let nonce = entropy.first_chunk().copied().unwrap_or_default();
        Self {
            authenticate: Authenticate::new(&plan, nonce),
            plan,
            stage: Stage::Start,
            connected: Connected::default(),
            parameters_len: 0,
        }
    }

    fn start(&mut self, out: &mut BytesMut) -> Result<Stage, ConnectError> {
        let names = [&self.plan.user, &self.plan.database];
        if names.iter().any(|name| name.contains('\0')) {
            return Err(ConnectError::Credential("a name contains a zero byte"));
        }
        if self.plan.tls == TlsWish::Never {
            return Ok(Stage::SendStartup);
        }
        out.put_slice(&tls_request());
        Ok(Stage::ExpectTlsAnswer)
    }

    /// Reads the one byte that answers the request for TLS. `None`: it has not come.
    fn tls_answer(&self, input: &mut BytesMut) -> Result<Option<Stage>, ConnectError> {
        let Some(answer) = input.first().copied() else {
            return Ok(None);
        };
        match answer {
            b'S' => {
                input.advance(1);
                // Nobody but the server's TLS may speak from here on (CVE-2021-23222).
                if !input.is_empty() {
                    return Err(Breach("unencrypted data after the answer to SSLRequest").into());
                }
                Ok(Some(Stage::ExpectHandshake))
            }
            b'N' if self.plan.tls == TlsWish::Require => Err(ConnectError::NoTls),
            b'N' => {
                input.advance(1);
                Ok(Some(Stage::SendStartup))
            }
            // A server that knows no TLS may complain. Where TLS is required, anybody on the way
            // can have written that (CVE-2024-10977).
            message::ERROR_RESPONSE if self.plan.tls == TlsWish::Prefer => {
                let Some(message) = take(input)? else {
                    return Ok(None);
                };
                Err(refused(message))
            }
            _ => Err(Breach("the answer to SSLRequest is neither S nor N").into()),
        }
    }

    /// Reads one message of the server, and returns the step to take, if it is not to go on.
    fn received(
        &mut self,
        message: Message,
        out: &mut BytesMut,
    ) -> Result<Option<Step<Connected>>, ConnectError> {
        match message.kind {
            message::ERROR_RESPONSE => return Err(refused(message)),
            message::NOTICE_RESPONSE => {}
            message::NEGOTIATE_PROTOCOL_VERSION => negotiated(message.body())?,
            message::AUTHENTICATION if self.stage == Stage::ExpectAuthentication => {
                match self.authenticate.received(message.body(), out)? {
                    Turn::More => {}
                    Turn::Ok => self.stage = Stage::ExpectReady,
                    Turn::Compute(work) => {
                        self.stage = Stage::ExpectHash;
                        return Ok(Some(Step::Compute(work)));
                    }
                }
            }
            message::PARAMETER_STATUS if self.stage == Stage::ExpectReady => {
                self.parameter(message.body())?;
            }
            message::BACKEND_KEY_DATA if self.stage == Stage::ExpectReady => {
                self.key(message.body())?;
            }
            message::READY_FOR_QUERY if self.stage == Stage::ExpectReady => {
                if message.body() != b"I" {
                    return Err(Breach("a transaction is open after the login").into());
                }
                self.stage = Stage::Over;
                return Ok(Some(Step::Done(std::mem::take(&mut self.connected))));
            }
            _ => return Err(Breach("unexpected message during login").into()),
        }
        Ok(None)
    }

    fn parameter(&mut self, body: &[u8]) -> Result<(), Breach> {
        let mut reader = Reader::new(body);
        let name = reader
            .cstr()
            .and_then(|name| std::str::from_utf8(name).ok());
        let (Some(name), Some(value), true) = (name, reader.cstr(), reader.is_empty()) else {
            return Err(Breach("malformed ParameterStatus"));
        };
        self.parameters_len += body.len();
        if self.parameters_len > MAX_PARAMETERS_LEN {
            return Err(Breach("too many parameters"));
        }
        let parameter = (name.to_owned(), value.to_vec());
        self.connected.parameters.push(parameter);
        Ok(())
    }

    fn key(&mut self, body: &[u8]) -> Result<(), Breach> {
        let mut reader = Reader::new(body);
        let pid = reader.u32().ok_or(Breach("malformed BackendKeyData"))?;
        let secret = reader.rest();
        if secret.len() > cancel::MAX_SECRET_LEN {
            return Err(Breach("malformed BackendKeyData"));
        }
        self.connected.pid = pid;
        self.connected.cancel_key = secret.to_vec();
        Ok(())
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
            self.stage = match self.stage {
                Stage::Hashed => {
                    self.authenticate.resume(out)?;
                    Stage::ExpectAuthentication
                }
                Stage::Start => self.start(out)?,
                Stage::ExpectTlsAnswer => match self.tls_answer(input)? {
                    None => return Ok(Step::Read),
                    Some(stage) => stage,
                },
                Stage::ExpectHandshake => return Ok(Step::UpgradeTls),
                Stage::SendStartup => {
                    startup_message(&self.plan.user, &self.plan.database, out);
                    Stage::ExpectAuthentication
                }
                // The driver goes on only with the result, and never after the end.
                Stage::ExpectHash | Stage::Over => return Err(Breach("the login is over").into()),
                Stage::ExpectAuthentication | Stage::ExpectReady => {
                    let Some(message) = take(input)? else {
                        return Ok(Step::Read);
                    };
                    if let Some(step) = self.received(message, out)? {
                        return Ok(step);
                    }
                    self.stage
                }
            };
        }
    }

    fn secured(&mut self, facts: &TlsFacts) {
        if self.stage == Stage::ExpectHandshake {
            self.connected.tls = true;
            self.authenticate.secured(facts);
            self.stage = Stage::SendStartup;
        }
    }

    fn computed(&mut self, result: Secret) {
        if self.stage == Stage::ExpectHash {
            self.authenticate.computed(&result);
            self.stage = Stage::Hashed;
        }
    }
}

fn take(input: &mut BytesMut) -> Result<Option<Message>, Breach> {
    frame::take(input, MAX_LOGIN_MESSAGE_LEN)
        .map_err(|_| Breach("a message of invalid length during login"))
}

fn refused(message: Message) -> ConnectError {
    ConnectError::Refused(message::server_error(message.wire.freeze()))
}

/// We ask for 3.0 without options, so a server can only agree to that. Some put the minor version
/// alone into the message, as the documentation has it, and PostgreSQL puts both.
fn negotiated(body: &[u8]) -> Result<(), Breach> {
    let mut reader = Reader::new(body);
    match (reader.u32(), reader.u32()) {
        (Some(0 | PROTOCOL_3_0), Some(0)) => Ok(()),
        _ => Err(Breach("the server speaks no protocol 3.0")),
    }
}

#[cfg(test)]
mod tests;
