//! Views and encoders of the payloads that Sluice reads or writes itself: OK, EOF and ERR (MySQL
//! protocol, "Generic Response Packets").

use std::borrow::Cow;

use super::capability::Capabilities;
use super::frame::put_packet;
use super::status::Status;
use super::wire::{Reader, put_lenenc, put_lenenc_bytes};
use crate::protocol::bytes::Sink;

/// First byte of an OK payload.
pub const OK: u8 = 0x00;
/// First byte of an EOF payload, and of an OK that ends a result.
pub const EOF: u8 = 0xFE;
/// First byte of an ERR payload.
pub const ERR: u8 = 0xFF;
/// First byte of a request for a file of the client's.
pub const LOCAL_INFILE: u8 = 0xFB;

/// Longest payload that begins with [`EOF`] and is an EOF packet: longer ones are rows whose
/// first value has an eight-byte length. Where the capability DEPRECATE_EOF is agreed on, the
/// packet is an OK and may be as long as one packet can be.
pub const LONGEST_EOF: usize = 8;

/// An OK payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ok<'a> {
    /// Rows changed.
    pub affected_rows: u64,
    /// The last generated `AUTO_INCREMENT` value, or an explicit one.
    pub last_insert_id: u64,
    /// Status flags.
    pub status: Status,
    /// How many warnings there are.
    pub warnings: u16,
    /// A sentence for people.
    pub info: &'a [u8],
    /// What has changed in the session; see `tracker`.
    pub state: &'a [u8],
}

impl<'a> Ok<'a> {
    /// Reads a payload whose first byte is [`OK`] or [`EOF`], as sent under `capabilities`.
    pub fn read(payload: &'a [u8], capabilities: Capabilities) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let _header = reader.u8()?;
        let affected_rows = reader.lenenc()?;
        let last_insert_id = reader.lenenc()?;
        let status = Status(reader.u16()?);
        let warnings = reader.u16()?;
        let (mut info, mut state) = (&[][..], &[][..]);
        if !reader.is_empty() {
            // Servers write its length under every capability, whatever the documentation says.
            info = reader.lenenc_bytes()?;
            if capabilities.has(Capabilities::SESSION_TRACK)
                && status.has(Status::SESSION_STATE_CHANGED)
                && !reader.is_empty()
            {
                state = reader.lenenc_bytes()?;
            }
        }
        Some(Self {
            affected_rows,
            last_insert_id,
            status,
            warnings,
            info,
            state,
        })
    }

    /// Writes the packet as a client of these capabilities reads it; `header` is [`OK`] or
    /// [`EOF`]. Returns the next sequence number.
    pub fn write<B: Sink>(
        &self,
        header: u8,
        seq: u8,
        capabilities: Capabilities,
        out: &mut B,
    ) -> u8 {
        let tracked = capabilities.has(Capabilities::SESSION_TRACK);
        let status = if tracked && !self.state.is_empty() {
            self.status.with(Status::SESSION_STATE_CHANGED)
        } else {
            self.status.without(Status::SESSION_STATE_CHANGED)
        };
        put_packet(out, seq, |out| {
            out.put_u8(header);
            put_lenenc(out, self.affected_rows);
            put_lenenc(out, self.last_insert_id);
            out.put_u16_le(status.0);
            out.put_u16_le(self.warnings);
            let state = if tracked { self.state } else { &[] };
            // A server leaves an empty sentence out where nothing follows it.
            if !self.info.is_empty() || !state.is_empty() {
                put_lenenc_bytes(out, self.info);
            }
            if !state.is_empty() {
                put_lenenc_bytes(out, state);
            }
        })
    }
}

/// An EOF payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eof {
    /// How many warnings there are.
    pub warnings: u16,
    /// Status flags.
    pub status: Status,
}

impl Eof {
    /// Reads a payload whose first byte is [`EOF`].
    pub fn read(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let _header = reader.u8()?;
        Some(Self {
            warnings: reader.u16()?,
            status: Status(reader.u16()?),
        })
    }

    /// Writes the packet; returns the next sequence number.
    pub fn write<B: Sink>(&self, seq: u8, out: &mut B) -> u8 {
        put_packet(out, seq, |out| {
            out.put_u8(EOF);
            out.put_u16_le(self.warnings);
            // It has no room for what has changed.
            out.put_u16_le(self.status.without(Status::SESSION_STATE_CHANGED).0);
        })
    }
}

/// An ERR payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Err<'a> {
    /// The error number.
    pub code: u16,
    /// SQLSTATE, five characters; empty before the login.
    pub state: &'a [u8],
    /// The server's sentence.
    pub message: Cow<'a, [u8]>,
}

impl<'a> Err<'a> {
    /// Reads a payload whose first byte is [`ERR`].
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let _header = reader.u8()?;
        let code = reader.u16()?;
        let state = if reader.peek() == Some(b'#') {
            reader.u8()?;
            reader.take(5)?
        } else {
            &[]
        };
        Some(Self {
            code,
            state,
            message: Cow::Borrowed(reader.rest()),
        })
    }

    /// Writes the packet; returns the next sequence number. An empty SQLSTATE is left out.
    pub fn write<B: Sink>(&self, seq: u8, out: &mut B) -> u8 {
        put_packet(out, seq, |out| {
            out.put_u8(ERR);
            out.put_u16_le(self.code);
            if !self.state.is_empty() {
                out.put_u8(b'#');
                out.put_slice(self.state);
            }
            out.put_slice(&self.message);
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::super::capability::Capabilities;
    use super::super::frame::HEADER_LEN;
    use super::super::status::Status;
    use super::{EOF, Eof, Err, OK, Ok};

    const TRACK: Capabilities = Capabilities::SESSION_TRACK;

    fn payload(write: impl FnOnce(&mut Vec<u8>) -> u8) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out.split_off(HEADER_LEN)
    }

    #[test]
    fn state_goes_to_those_who_asked_only() {
        let ok = Ok {
            affected_rows: 300,
            last_insert_id: 7,
            status: Status::AUTOCOMMIT.with(Status::SESSION_STATE_CHANGED),
            warnings: 2,
            info: b"hi",
            state: b"\x01\x03\x02db",
        };
        let with = payload(|out| ok.write(OK, 1, TRACK, out));
        assert_eq!(Ok::read(&with, TRACK), Some(ok.clone()));
        let without = payload(|out| ok.write(EOF, 1, Capabilities::default(), out));
        let read = Ok::read(&without, Capabilities::default()).unwrap();
        assert_eq!((read.info, read.state), (&b"hi"[..], &b""[..]));
        assert_eq!(read.status, Status::AUTOCOMMIT);
    }

    #[test]
    fn a_sentence_has_its_length_before_it_under_every_capability() {
        // MySQL 9.7 and MariaDB 11.8, to a client that tracks nothing.
        let insert = b"\x00\x03\x00\x02\x00\x00\x00\x26Records: 3  Duplicates: 0  Warnings: 0";
        for capabilities in [TRACK, Capabilities::default()] {
            let ok = Ok::read(insert, capabilities).unwrap();
            assert_eq!(ok.info, b"Records: 3  Duplicates: 0  Warnings: 0");
            assert_eq!(payload(|out| ok.write(OK, 1, capabilities, out)), insert);
        }
    }

    #[test]
    fn errors_are_read_with_and_without_sqlstate() {
        let whole = payload(|out| {
            let err = Err {
                code: 1045,
                state: b"28000",
                message: b"no".into(),
            };
            err.write(2, out)
        });
        assert_eq!(whole, b"\xff\x15\x04#28000no");
        let early = Err::read(b"\xff\x10\x04Too many connections").unwrap();
        assert_eq!((early.code, early.state), (1040, &b""[..]));
    }

    #[test]
    fn an_eof_is_as_short_as_it_must_be() {
        let eof = Eof {
            warnings: 1,
            status: Status::IN_TRANS,
        };
        let bytes = payload(|out| eof.write(3, out));
        assert_eq!(bytes, [EOF, 1, 0, 1, 0]);
        assert_eq!(Eof::read(&bytes), Some(eof));
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(bytes: Vec<u8>, bits in any::<u64>()) {
            let _ = Ok::read(&bytes, Capabilities(bits));
            let _ = Eof::read(&bytes);
            let _ = Err::read(&bytes);
        }
    }
}
