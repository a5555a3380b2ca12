//! What a client says after the greeting (MySQL protocol, `Protocol::HandshakeResponse41` and
//! `Protocol::SSLRequest`; MariaDB protocol, "Client Handshake Response").

use super::capability::Capabilities;
use super::frame::put_packet;
use super::wire::{Reader, put_lenenc_bytes};
use crate::protocol::bytes::{Sink, put_cstr};

/// Length of the payload that asks for TLS, and of what stands before the user in every other.
pub const SSL_REQUEST_LEN: usize = 32;
/// Most bytes of attributes that are kept.
pub const MAX_ATTRIBUTES_LEN: usize = 64 * 1024;

/// What a client says after the greeting.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Response<'a> {
    /// What it wants to use.
    pub capabilities: Capabilities,
    /// The collation of its session, by number.
    pub collation: u8,
    /// Who it is.
    pub user: &'a [u8],
    /// Its answer to the challenge.
    pub answer: &'a [u8],
    /// The schema that it wants to begin in; empty if none.
    pub database: &'a [u8],
    /// The plugin that its answer is made with; empty if it names none.
    pub plugin: &'a [u8],
    /// Attributes of the connection: names and values, each with a length before it.
    pub attributes: &'a [u8],
}

/// Why a payload cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is of the protocol before 4.1.
    Old,
    /// It is malformed.
    Malformed,
}

/// The capabilities at the front of a payload, and nothing else.
pub fn capabilities(payload: &[u8]) -> Result<Capabilities, Unreadable> {
    let mut reader = Reader::new(payload);
    let low = reader.u16().ok_or(Unreadable::Malformed)?;
    // The old protocol has two bytes of capabilities only.
    if !Capabilities(low.into()).has(Capabilities::PROTOCOL_41) {
        return Err(Unreadable::Old);
    }
    let high = reader.u16().ok_or(Unreadable::Malformed)?;
    Ok(Capabilities(u64::from(low) | u64::from(high) << 16))
}

impl<'a> Response<'a> {
    /// Reads a payload. `extended`: the greeting was MariaDB's, so that a client that does not
    /// claim to be MySQL's may ask for more.
    pub fn read(payload: &'a [u8], extended: bool) -> Result<Self, Unreadable> {
        let capabilities = capabilities(payload)?;
        Self::body(payload, capabilities, extended).ok_or(Unreadable::Malformed)
    }

    fn body(payload: &'a [u8], mut capabilities: Capabilities, extended: bool) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let _capabilities = reader.u32()?;
        let _max_packet = reader.u32()?;
        let collation = reader.u8()?;
        let _filler = reader.array::<19>()?;
        let more = reader.u32()?;
        if extended && !capabilities.has(Capabilities::LONG_PASSWORD) {
            capabilities |= Capabilities(u64::from(more) << 32);
        }
        let user = reader.cstr()?;
        let answer = if capabilities.has(Capabilities::PLUGIN_AUTH_LENENC_DATA) {
            reader.lenenc_bytes()?
        } else if capabilities.has(Capabilities::SECURE_CONNECTION) {
            let len = reader.u8()?;
            reader.take(len.into())?
        } else {
            reader.cstr()?
        };
        let database = if capabilities.has(Capabilities::CONNECT_WITH_DB) {
            reader.cstr()?
        } else {
            &[]
        };
        // A server takes it if the rest is missing, though the flags promise it.
        let plugin = if capabilities.has(Capabilities::PLUGIN_AUTH) {
            reader.cstr().unwrap_or_else(|| reader.rest())
        } else {
            &[]
        };
        let attributes = if capabilities.has(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
            reader.lenenc_bytes()?
        } else {
            &[]
        };
        Some(Self {
            capabilities,
            collation,
            user,
            answer,
            database,
            plugin,
            attributes,
        })
    }

    /// Writes the packet; returns the next sequence number. The capabilities must be such that
    /// there is a place for everything: lengths are length-encoded, the plugin is named, and so
    /// are attributes.
    pub fn write<B: Sink>(&self, seq: u8, out: &mut B) -> u8 {
        put_packet(out, seq, |out| {
            self.put_front(out);
            put_cstr(out, self.user);
            put_lenenc_bytes(out, self.answer);
            if self.capabilities.has(Capabilities::CONNECT_WITH_DB) {
                put_cstr(out, self.database);
            }
            put_cstr(out, self.plugin);
            put_lenenc_bytes(out, self.attributes);
        })
    }

    /// Writes the packet that asks for TLS first; returns the next sequence number.
    pub fn write_ssl_request<B: Sink>(&self, seq: u8, out: &mut B) -> u8 {
        put_packet(out, seq, |out| self.put_front(out))
    }

    fn put_front<B: Sink>(&self, out: &mut B) {
        out.put_u32_le(self.capabilities.low());
        out.put_u32_le(MAX_PACKET);
        out.put_u8(self.collation);
        out.put_slice(&[0; 19]);
        out.put_u32_le(self.capabilities.high());
    }
}

/// The longest message that we take: the protocol's own limit, 1 GiB, since it is streamed.
const MAX_PACKET: u32 = 1 << 30;

/// The value of an attribute of the connection; `None` if it is not there.
pub fn attribute<'a>(attributes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut reader = Reader::new(attributes);
    while !reader.is_empty() {
        let (key, value) = (reader.lenenc_bytes()?, reader.lenenc_bytes()?);
        if key == name.as_bytes() {
            return Some(value);
        }
    }
    None
}

/// True if attributes are pairs of strings to their end.
pub fn are_attributes(attributes: &[u8]) -> bool {
    let mut reader = Reader::new(attributes);
    while !reader.is_empty() {
        if reader.lenenc_bytes().is_none() || reader.lenenc_bytes().is_none() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::super::capability::Capabilities;
    use super::super::frame::HEADER_LEN;
    use super::{Response, Unreadable, are_attributes, attribute};

    const FULL: Capabilities = Capabilities::OWN;

    fn payload(response: &Response<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(response.write(1, &mut out), 2);
        out.split_off(HEADER_LEN)
    }

    #[test]
    fn what_is_written_is_read() {
        let response = Response {
            capabilities: FULL | Capabilities::MARIADB_STMT_BULK,
            collation: 45,
            user: b"ann",
            answer: &[7; 300],
            database: b"shop",
            plugin: b"mysql_native_password",
            attributes: b"\x01a\x02bc",
        };
        let bytes = payload(&response);
        assert_eq!(Response::read(&bytes, true), Ok(response.clone()));
        let plain = Response::read(&bytes, false).unwrap();
        assert_eq!(plain.capabilities, FULL);
        for len in 0..bytes.len() {
            let _ = Response::read(&bytes[..len], true);
        }
    }

    #[test]
    fn short_answers_of_old_clients_are_read() {
        let caps = Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION;
        let mut bytes = payload(&Response {
            capabilities: caps,
            user: b"ann",
            ..Response::default()
        });
        bytes.truncate(36);
        bytes.extend_from_slice(b"\x03xyz");
        let read = Response::read(&bytes, false).unwrap();
        assert_eq!((read.user, read.answer), (&b"ann"[..], &b"xyz"[..]));
        assert_eq!((read.plugin, read.database), (&b""[..], &b""[..]));
    }

    #[test]
    fn the_old_protocol_is_told_apart() {
        assert_eq!(
            Response::read(b"\x05\x00\0\0\0ann\0", false),
            Err(Unreadable::Old)
        );
        assert_eq!(
            Response::read(&[0, 2, 0, 0, 1], false),
            Err(Unreadable::Malformed)
        );
    }

    #[test]
    fn attributes_are_found_by_name() {
        let attributes = b"\x01a\x02bc\x0cprogram_name\x03app";
        assert_eq!(attribute(attributes, "program_name"), Some(&b"app"[..]));
        assert_eq!(attribute(attributes, "pro"), None);
        assert!(are_attributes(attributes) && are_attributes(b""));
        assert!(!are_attributes(&attributes[..4]));
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(bytes: Vec<u8>, modern: bool, extended in any::<bool>()) {
            let mut bytes = bytes;
            if let (Some(second), true) = (bytes.get_mut(1), modern) {
                *second |= 2;
            }
            let _ = Response::read(&bytes, extended);
            let _ = (attribute(&bytes, "a"), are_attributes(&bytes));
        }
    }
}
