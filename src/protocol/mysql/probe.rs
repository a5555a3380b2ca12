//! Client role: hears what a server says to anybody, and takes leave.
//!
//! A client that hears the greeting and closes counts at the server as a broken handshake, and
//! `max_connect_errors` of those in a row make it refuse the host (error 1129). So the probe ends
//! with a login that the server refuses: it counts in `Aborted_connects` only.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::capability::Capabilities;
use super::command;
use super::connect::{attributes, refused, take};
use super::frame::put_packet;
use super::greeting::Greeting;
use super::login::Announcement;
use super::message::{ERR, OK};
use super::plugin;
use super::response::Response;
use crate::model::{Secret, TlsFacts};
use crate::protocol::{Breach, ConnectError, Exchange, Step};

/// The user that the probe says it is; for the server's log.
pub const USER: &str = "sluice_probe";
/// Packets that a server may send before its verdict.
const MAX_ROUNDS: u32 = 8;

/// Hears a server and takes leave.
#[derive(Debug, Default)]
pub struct Probe {
    heard: Option<Arc<Announcement>>,
    rounds: u32,
}

impl Probe {
    /// Begins to listen.
    pub fn new() -> Self {
        Self::default()
    }

    fn greeted(payload: &[u8], seq: u8, out: &mut BytesMut) -> Result<Arc<Announcement>, Breach> {
        let greeting = Greeting::read(payload).ok_or(Breach("malformed greeting"))?;
        let announcement = greeting.announcement;
        let wanted = Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH
            | Capabilities::PLUGIN_AUTH_LENENC_DATA
            | Capabilities::CONNECT_ATTRS;
        if !announcement.capabilities.has(wanted) {
            return Err(Breach(
                "the server is older than MySQL 5.7 and MariaDB 10.2",
            ));
        }
        let response = Response {
            capabilities: wanted,
            collation: announcement.collation,
            user: USER.as_bytes(),
            plugin: plugin::NATIVE.as_bytes(),
            attributes: &attributes(),
            ..Response::default()
        };
        response.write(seq, out);
        Ok(Arc::new(announcement))
    }
}

impl Exchange for Probe {
    type Done = Arc<Announcement>;
    type Error = ConnectError;

    fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Step<Arc<Announcement>>, ConnectError> {
        loop {
            let Some((header, payload)) = take(input)? else {
                return Ok(Step::Read);
            };
            let next = header.seq.wrapping_add(1);
            let Some(heard) = &self.heard else {
                if payload.first() == Some(&ERR) {
                    return Err(refused(header, &payload));
                }
                self.heard = Some(Self::greeted(&payload, next, out)?);
                continue;
            };
            self.rounds += 1;
            match payload.first() {
                // A user of this name that has no password.
                Some(&OK) => {
                    put_packet(out, 0, |out| out.put_u8(command::QUIT));
                }
                Some(&ERR) => {}
                // A switch to another plugin, or more of one: no password still.
                _ if self.rounds < MAX_ROUNDS => {
                    put_packet(out, next, |_| {});
                    continue;
                }
                _ => {}
            }
            return Ok(Step::Done(Arc::clone(heard)));
        }
    }

    fn secured(&mut self, _facts: &TlsFacts) {}

    fn computed(&mut self, _result: Secret) {}
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::capability::Capabilities;
    use super::super::fault::{write, write_early};
    use super::super::greeting::{Greeting, unheard};
    use super::super::login::Announcement;
    use super::Probe;
    use crate::model::{Fault, FaultKind};
    use crate::protocol::{ConnectError, Exchange, Step};

    fn greeting() -> Greeting {
        Greeting {
            announcement: Announcement {
                capabilities: Capabilities::OWN | Capabilities::LONG_PASSWORD,
                ..unheard()
            },
            pid: 1,
            scramble: *b"01234567890123456789",
            plugin: "caching_sha2_password".into(),
        }
    }

    #[test]
    fn a_server_is_heard_and_left_with_a_refused_login() {
        let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
        greeting().write(&mut input);
        let mut probe = Probe::new();
        let step = probe.advance(&mut input, &mut out).unwrap();
        assert!(matches!(step, Step::Read));
        let said = std::mem::take(&mut out);
        assert!(said.windows(13).any(|part| part == b"sluice_probe\0"));
        // Another plugin first.
        input.extend_from_slice(b"\x02\0\0\x02\xfex");
        assert!(matches!(
            probe.advance(&mut input, &mut out),
            Ok(Step::Read)
        ));
        assert_eq!(&out[..], b"\0\0\0\x03");
        let fault = Fault::new(FaultKind::AuthenticationFailed, "no");
        write(&fault, 4, &mut input);
        let Ok(Step::Done(heard)) = probe.advance(&mut input, &mut out) else {
            panic!("not done");
        };
        assert_eq!(*heard, greeting().announcement);
    }

    #[test]
    fn a_server_that_is_full_says_so() {
        let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
        let fault = Fault::new(FaultKind::TooManyClients, "Too many connections");
        write_early(&fault, &mut input);
        let error = Probe::new().advance(&mut input, &mut out).err().unwrap();
        assert!(matches!(error, ConnectError::Refused(error) if error.code == "1040"));
    }
}
