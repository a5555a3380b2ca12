//! SCRAM inside PostgreSQL's SASL messages
//! (<https://www.postgresql.org/docs/current/sasl-authentication.html>).

use bytes::{Bytes, BytesMut};

use super::{Refusal, Turn};
use crate::model::{Fault, FaultKind, Proof, Secret};
use crate::protocol::Entropy;
use crate::protocol::bytes::Reader;
use crate::protocol::postgres::message;
use crate::protocol::postgres::scram::server::{self, Lookup, Server};

/// One SCRAM login, server role.
pub(super) struct ScramLogin {
    server: Server,
    stage: Stage,
}

/// What the client is expected to send.
#[derive(Clone, Copy)]
enum Stage {
    Mechanism,
    First,
    Final,
}

impl ScramLogin {
    pub(super) fn new(lookup: Lookup, end_point: Option<Bytes>, entropy: &Entropy) -> Self {
        let nonce = entropy.first_chunk().copied().unwrap_or_default();
        Self {
            server: Server::new(lookup, end_point, &nonce),
            stage: Stage::Mechanism,
        }
    }

    /// Writes the offer.
    pub(super) fn open(&self, out: &mut BytesMut) {
        message::authentication_sasl(out, self.server.mechanisms());
    }

    /// Reads an answer of the client.
    pub(super) fn answered(&mut self, body: &[u8], out: &mut BytesMut) -> Result<Turn, Refusal> {
        match self.stage {
            Stage::Mechanism => {
                let (mechanism, first) = initial_response(body)?;
                self.server.select(mechanism).map_err(refusal)?;
                self.stage = Stage::First;
                let Some(first) = first else {
                    // SASL lets a client name the mechanism alone; it is then asked again.
                    message::authentication_sasl_continue(out, b"");
                    return Ok(Turn::More);
                };
                self.first(first, out)
            }
            Stage::First => self.first(body, out),
            Stage::Final => match self.server.last(body).map_err(refusal)? {
                Some(work) => Ok(Turn::Compute(work)),
                None => self.verdict(out),
            },
        }
    }

    /// Takes the hash of a stored password.
    pub(super) fn hashed(&mut self, result: &Secret, out: &mut BytesMut) -> Result<Turn, Refusal> {
        self.server.computed(result);
        self.verdict(out)
    }

    fn first(&mut self, first: &[u8], out: &mut BytesMut) -> Result<Turn, Refusal> {
        let reply = self.server.first(first).map_err(refusal)?;
        message::authentication_sasl_continue(out, reply.as_bytes());
        self.stage = Stage::Final;
        Ok(Turn::More)
    }

    fn verdict(&self, out: &mut BytesMut) -> Result<Turn, Refusal> {
        let (last, keys) = self.server.verdict().map_err(refusal)?;
        message::authentication_sasl_final(out, last.as_bytes());
        Ok(Turn::Done(Proof {
            scram_keys: Some(keys),
            ..Proof::default()
        }))
    }
}

/// Reads a `SASLInitialResponse`: the mechanism, and the first message if it is there.
fn initial_response(body: &[u8]) -> Result<(&[u8], Option<&[u8]>), Refusal> {
    let malformed = || Refusal::Fault(Fault::protocol("malformed SASLInitialResponse"));
    let mut reader = Reader::new(body);
    let mechanism = reader.cstr().ok_or_else(malformed)?;
    let len = reader.i32().ok_or_else(malformed)?;
    // -1: no message.
    let first = if len == -1 {
        None
    } else {
        let len = usize::try_from(len).map_err(|_| malformed())?;
        Some(reader.take(len).ok_or_else(malformed)?)
    };
    if !reader.is_empty() {
        return Err(malformed());
    }
    Ok((mechanism, first))
}

fn refusal(refusal: server::Refusal) -> Refusal {
    match refusal {
        server::Refusal::Denied => Refusal::Denied,
        server::Refusal::Binding => Refusal::Fault(Fault::new(
            FaultKind::AuthenticationFailed,
            "SCRAM channel binding check failed",
        )),
        server::Refusal::Malformed(_) => Refusal::Fault(Fault::protocol(refusal.to_string())),
    }
}
