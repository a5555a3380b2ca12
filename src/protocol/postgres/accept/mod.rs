//! Server role, up to the point where the client has said who it is: requests for encryption,
//! cancel requests, the startup message
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>).
//!
//! The first messages have no type byte: a length, then a code that is either a request or a
//! protocol version.

use bytes::{BufMut, BytesMut};

use super::cancel::CancelKey;
use super::startup::{CANCEL_REQUEST, GSSENC_REQUEST, MAX_LEN, SSL_REQUEST, Startup};
use crate::model::{Fault, FaultKind, Secret, TlsFacts};
use crate::protocol::bytes::Reader;
use crate::protocol::{Exchange, HelloOffer, Step, TlsOffer};

/// Bytes of the length that opens an untyped message.
const LENGTH_LEN: usize = 4;
/// First byte of a TLS handshake record (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// How a client's connection began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It logs in.
    Login(Startup),
    /// It asks to cancel another session's work, and expects no answer.
    Cancel(CancelKey),
}

/// Listens to a client until it has said who it is.
#[derive(Debug)]
pub struct Hello {
    offer: HelloOffer,
    tls: Tls,
    tls_asked: bool,
    gss_asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    Off,
    /// We said yes, and the handshake must follow.
    Begun,
    On,
}

impl Hello {
    /// Begins with the first byte of the connection, or of the TLS session where TLS came first.
    pub const fn new(offer: HelloOffer) -> Self {
        Self {
            offer,
            tls: if offer.direct_tls { Tls::On } else { Tls::Off },
            tls_asked: false,
            gss_asked: false,
        }
    }

    /// Answers an `SSLRequest`.
    fn answer_tls(&mut self, input: &BytesMut, out: &mut BytesMut) -> Result<(), Fault> {
        if self.tls == Tls::On || self.tls_asked {
            return Err(Fault::protocol("TLS was asked for twice"));
        }
        self.tls_asked = true;
        if self.offer.tls == TlsOffer::Unavailable {
            out.put_u8(b'N');
            return Ok(());
        }
        // Such bytes would be taken for part of the TLS session though anybody on the way may
        // have put them there (CVE-2021-43766). PostgreSQL's sentence.
        if !input.is_empty() {
            return Err(Fault::protocol(
                "received unencrypted data after SSL request",
            ));
        }
        out.put_u8(b'S');
        self.tls = Tls::Begun;
        Ok(())
    }

    /// Answers a `GSSENCRequest`: Sluice does not speak it, and clients then try TLS or go on.
    fn answer_gss(&mut self, out: &mut BytesMut) -> Result<(), Fault> {
        if self.tls == Tls::On || self.gss_asked {
            return Err(Fault::protocol("GSSAPI encryption was asked for twice"));
        }
        self.gss_asked = true;
        out.put_u8(b'N');
        Ok(())
    }

    fn startup(&self, body: &[u8], out: &mut BytesMut) -> Result<Startup, Fault> {
        let tls = self.tls == Tls::On;
        if self.offer.tls == TlsOffer::Required && !tls {
            return Err(Fault::new(
                FaultKind::TlsRequired,
                "This server requires TLS connections. Connect with sslmode=require or stronger.",
            ));
        }
        Startup::parse(body, tls, out)
    }
}

impl Exchange for Hello {
    type Done = Outcome;
    type Error = Fault;

    fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Step<Outcome>, Fault> {
        loop {
            if self.tls == Tls::Begun {
                return Ok(Step::UpgradeTls);
            }
            let Some(message) = take(input)? else {
                return Ok(Step::Read);
            };
            let mut reader = Reader::new(&message);
            match reader.u32() {
                Some(SSL_REQUEST) if reader.is_empty() => self.answer_tls(input, out)?,
                Some(GSSENC_REQUEST) if reader.is_empty() => self.answer_gss(out)?,
                Some(CANCEL_REQUEST) => {
                    let key = CancelKey::parse(reader.rest());
                    let key = key.ok_or_else(|| Fault::protocol("invalid cancel request"))?;
                    return Ok(Step::Done(Outcome::Cancel(key)));
                }
                _ => {
                    let startup = self.startup(&message, out)?;
                    return Ok(Step::Done(Outcome::Login(startup)));
                }
            }
        }
    }

    fn secured(&mut self, _facts: &TlsFacts) {
        self.tls = Tls::On;
    }

    fn computed(&mut self, _result: Secret) {}
}

/// Takes the untyped message at the front of `input`, without its length, if all of it has come.
fn take(input: &mut BytesMut) -> Result<Option<BytesMut>, Fault> {
    // No length that we take fills the first byte, so that it alone tells other protocols.
    match input.first() {
        None => return Ok(None),
        Some(0) => {}
        Some(&TLS_HANDSHAKE) => {
            return Err(Fault::protocol(
                "a TLS handshake came where a PostgreSQL startup packet was expected: connect with sslnegotiation=postgres",
            ));
        }
        Some(byte) if byte.is_ascii_alphabetic() => {
            return Err(Fault::protocol(
                "this is a PostgreSQL port: what came looks like another protocol, such as HTTP",
            ));
        }
        Some(_) => return Err(bad_length()),
    }
    let Some(len) = Reader::new(input).u32() else {
        return Ok(None);
    };
    let total = usize::try_from(len).map_err(|_| bad_length())?;
    // Shortest: a request code alone.
    if !(LENGTH_LEN + 4..=LENGTH_LEN + MAX_LEN).contains(&total) {
        return Err(bad_length());
    }
    if input.len() < total {
        return Ok(None);
    }
    let mut message = input.split_to(total);
    Ok(Some(message.split_off(LENGTH_LEN)))
}

fn bad_length() -> Fault {
    Fault::protocol("invalid length of startup packet")
}

#[cfg(test)]
mod tests;
