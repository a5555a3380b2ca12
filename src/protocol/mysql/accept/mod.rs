//! Server role, up to the point where the client has said who it is: the greeting, TLS, and the
//! client's response (MySQL protocol, "Connection Phase").

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;

use super::capability::Capabilities;
use super::found::Found;
use super::frame::take_packet;
use super::greeting::{Greeting, scramble, unheard};
use super::login::{Announcement, Assurance, Challenge, Flavor, Login, SCRAMBLE_LEN, Sequence};
use super::response::{self, Response, Unreadable};
use super::{fault, plugin};
use crate::model::{Fault, FaultKind, Secret, TlsFacts};
use crate::protocol::{Caller, Entropy, Exchange, HelloOffer, Step, TlsOffer};

/// Longest payload that is taken before the login, in bytes: attributes of the connection, and a
/// token that goes as a password.
pub const MAX_RESPONSE_LEN: usize = 60 * 1024;

/// Greets a client, and listens until it has said who it is.
#[derive(Debug)]
pub struct Hello {
    greeting: Greeting,
    peer: IpAddr,
    offer: TlsOffer,
    stage: Stage,
    tls: bool,
    sequence: Arc<Sequence>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greet,
    ExpectResponse,
    /// TLS was asked for, and the handshake must follow.
    ExpectHandshake,
}

impl Hello {
    /// Begins with the greeting. `entropy` is fresh randomness.
    pub fn new(offer: HelloOffer, caller: Caller<Arc<Announcement>>, entropy: &Entropy) -> Self {
        let heard = caller.announcement.as_deref().cloned();
        let heard = heard.unwrap_or_else(unheard);
        let entropy = entropy.first_chunk::<SCRAMBLE_LEN>();
        let [a, b, c, d, ..] = caller.session.to_le_bytes();
        Self {
            greeting: Greeting {
                pid: u32::from_le_bytes([a, b, c, d]),
                scramble: scramble(entropy.copied().unwrap_or_default()),
                plugin: usual_plugin(heard.flavor).into(),
                announcement: Announcement {
                    capabilities: offered(&heard, offer.tls),
                    ..heard
                },
            },
            peer: caller.peer,
            offer: offer.tls,
            stage: Stage::Greet,
            tls: false,
            sequence: Arc::default(),
        }
    }

    fn greet(&mut self, out: &mut BytesMut) {
        let next = self.greeting.write(out);
        self.sequence.follow(next.wrapping_sub(1));
        self.stage = Stage::ExpectResponse;
    }

    /// Reads what the client says after the greeting. `None`: it asks for TLS first.
    fn responded(&mut self, payload: &[u8]) -> Result<Option<Login>, Fault> {
        let capabilities = response::capabilities(payload).map_err(unreadable)?;
        if capabilities.has(Capabilities::SSL) && !self.tls {
            return self.tls_asked(payload).map(|()| None);
        }
        if self.offer == TlsOffer::Required && !self.tls {
            return Err(Fault::new(FaultKind::TlsRequired, INSECURE));
        }
        let extended = self.greeting.announcement.flavor == Flavor::MariaDb;
        let response = Response::read(payload, extended).map_err(unreadable)?;
        self.login(&response).map(Some)
    }

    fn tls_asked(&mut self, payload: &[u8]) -> Result<(), Fault> {
        if self.offer == TlsOffer::Unavailable {
            return Err(Fault::protocol("TLS was asked for, but not offered"));
        }
        // Whatever else stands there was not encrypted: it is read again, from inside TLS. Clients
        // do not wait for anything: what came behind it is the beginning of their handshake.
        if payload.len() != response::SSL_REQUEST_LEN {
            return Err(Fault::protocol(
                "received unencrypted data after SSL request",
            ));
        }
        self.stage = Stage::ExpectHandshake;
        Ok(())
    }

    fn login(&self, response: &Response<'_>) -> Result<Login, Fault> {
        let announcement = &self.greeting.announcement;
        let attributes = response.attributes;
        // A server forgets attributes that it cannot read.
        let attributes = if response::are_attributes(attributes)
            && attributes.len() <= response::MAX_ATTRIBUTES_LEN
        {
            attributes
        } else {
            &[]
        };
        let application = ["program_name", "_client_name"]
            .into_iter()
            .find_map(|name| response::attribute(attributes, name));
        // Clients that cannot name a plugin know one only.
        let plugin = if response.capabilities.has(Capabilities::PLUGIN_AUTH) {
            text(response.plugin, "authentication plugin")?
        } else {
            plugin::NATIVE
        };
        Ok(Login {
            user: text(response.user, "user")?.into(),
            database: text(response.database, "database")?.into(),
            capabilities: response.capabilities & announcement.capabilities,
            collation: response.collation.into(),
            flavor: announcement.flavor,
            peer: self.peer,
            tls: self.tls,
            plugin: plugin.into(),
            answer: Mutex::new(Some(Secret::new(response.answer))),
            challenge: Challenge::new(self.greeting.scramble),
            again: false,
            found: Found::default(),
            attributes: attributes.into(),
            application: String::from_utf8_lossy(application.unwrap_or_default()).into(),
            sequence: Arc::clone(&self.sequence),
            assurance: Assurance::default(),
        })
    }

    fn turn(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Step<Login>, Fault> {
        loop {
            match self.stage {
                Stage::Greet => self.greet(out),
                Stage::ExpectHandshake => return Ok(Step::UpgradeTls),
                Stage::ExpectResponse => {
                    let Some(mut payload) = take(input, &self.sequence, MAX_RESPONSE_LEN)? else {
                        return Ok(Step::Read);
                    };
                    let login = self.responded(&payload);
                    zeroize::Zeroize::zeroize(payload.as_mut());
                    if let Some(login) = login? {
                        return Ok(Step::Done(login));
                    }
                }
            }
        }
    }
}

impl Exchange for Hello {
    type Done = Login;
    type Error = Fault;

    fn advance(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Step<Login>, Fault> {
        self.turn(input, out).inspect_err(|fault| {
            fault::write(fault, self.sequence.take(), out);
        })
    }

    fn secured(&mut self, _facts: &TlsFacts) {
        if self.stage == Stage::ExpectHandshake {
            self.tls = true;
            self.stage = Stage::ExpectResponse;
        }
    }

    fn computed(&mut self, _result: Secret) {}
}

/// Takes the client's next packet of a login, if all of it has come. What does not have the next
/// sequence number is refused, whatever its length: it is likely no packet of this protocol.
pub(super) fn take(
    input: &mut BytesMut,
    sequence: &Sequence,
    limit: usize,
) -> Result<Option<BytesMut>, Fault> {
    // The sequence number stands behind the length.
    if input.get(3).is_some_and(|seq| *seq != sequence.peek()) {
        return Err(fault::with_code(
            FaultKind::ProtocolViolation,
            1156,
            "08S01",
            "Got packets out of order",
        ));
    }
    let packet = take_packet(input, limit).map_err(|_| {
        sequence.follow(sequence.peek());
        fault::with_code(
            FaultKind::ProtocolViolation,
            1153,
            "08S01",
            "Got a packet too long for a login",
        )
    })?;
    Ok(packet.map(|(header, payload)| {
        sequence.follow(header.seq);
        payload
    }))
}

/// The plugin that servers of a kind greet with.
pub const fn usual_plugin(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MySql => plugin::CACHING_SHA2,
        Flavor::MariaDb => plugin::NATIVE,
    }
}

fn offered(heard: &Announcement, tls: TlsOffer) -> Capabilities {
    let mut offered = Capabilities::OWN | (heard.capabilities & Capabilities::SHARED);
    if heard.flavor == Flavor::MySql {
        offered |= Capabilities::LONG_PASSWORD;
    }
    if tls != TlsOffer::Unavailable {
        offered |= Capabilities::SSL;
    }
    offered
}

fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, Fault> {
    std::str::from_utf8(bytes)
        .map_err(|_| Fault::protocol(format!("the {what} is not a name in UTF-8")))
}

fn unreadable(why: Unreadable) -> Fault {
    let message = match why {
        Unreadable::Old => "Bad handshake: the client speaks a protocol older than MySQL 4.1",
        Unreadable::Malformed => "Bad handshake",
    };
    fault::with_code(FaultKind::ProtocolViolation, 1043, "08S01", message)
}

/// MySQL's sentence, without the name of its variable.
const INSECURE: &str = "Connections using insecure transport are prohibited: this server requires TLS. Connect with --ssl-mode=REQUIRED or stronger.";

#[cfg(test)]
mod tests;
