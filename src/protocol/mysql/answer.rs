//! Replies that Sluice gives itself.

use bytes::BytesMut;

use super::capability::Capabilities;
use super::frame::put_packet;
use super::front::MyFront;
use super::login::Flavor;
use super::message::{EOF, Eof, Err, OK, Ok as OkPacket};
use super::reply::AFTER_COMMAND;
use super::status::Status;
use super::wire::{put_lenenc, put_lenenc_bytes};
use crate::protocol::bytes::Sink;

/// Writes an OK for the command with this sequence number.
pub fn ok(front: &mut MyFront, seq: u8, out: &mut Vec<u8>) {
    let ok = plain_ok(front.status.of_session());
    ok.write(OK, seq.wrapping_add(1), front.capabilities, out);
    front.next_seq = AFTER_COMMAND;
}

/// Writes the OK that ends a login; `info` is its sentence.
pub fn welcome(front: &mut MyFront, info: &[u8], out: &mut BytesMut) {
    let ok = OkPacket {
        info,
        ..plain_ok(front.status)
    };
    ok.write(OK, front.sequence.take(), front.capabilities, out);
    front.next_seq = AFTER_COMMAND;
}

/// Writes an error.
pub fn error(front: &mut MyFront, seq: u8, code: u16, state: &str, text: &str, out: &mut Vec<u8>) {
    let err = Err {
        code,
        state: state.as_bytes(),
        message: text.as_bytes().into(),
    };
    err.write(seq.wrapping_add(1), out);
    front.next_seq = AFTER_COMMAND;
    front.raise(code, state, text);
}

/// Writes an error for a command that is no statement: MySQL shows it behind the warnings of the last that was.
pub fn no_statement(
    front: &mut MyFront,
    seq: u8,
    code: u16,
    state: &str,
    text: &str,
    out: &mut Vec<u8>,
) {
    let before = std::mem::take(&mut front.last.warnings);
    error(front, seq, code, state, text, out);
    if front.flavor == Flavor::MySql && before.are_kept() {
        front.last.raised = None;
        front.last.warnings = before;
        front.last.warnings.add_error(code, text);
    }
}

/// Writes a result of these rows. Values are given in the client's own encoding; `None` is NULL.
pub fn result(
    front: &mut MyFront,
    seq: u8,
    columns: &[Column<'_>],
    rows: &[Box<[u8]>],
    out: &mut Vec<u8>,
) {
    let capabilities = front.capabilities;
    let definition = |column: &Column<'_>| {
        let mut definition = Vec::new();
        column.write(capabilities, &mut definition);
        definition.into_boxed_slice()
    };
    let definitions: Vec<Box<[u8]>> = columns.iter().map(definition).collect();
    described(front, seq, &definitions, rows, out);
}

/// Writes a result whose columns a server has described.
pub fn described(
    front: &mut MyFront,
    seq: u8,
    definitions: &[Box<[u8]>],
    rows: &[Box<[u8]>],
    out: &mut Vec<u8>,
) {
    let capabilities = front.capabilities;
    let count = u64::try_from(definitions.len()).unwrap_or(u64::MAX);
    let mut seq = put_packet(out, seq.wrapping_add(1), |out| put_lenenc(out, count));
    for definition in definitions {
        seq = put_packet(out, seq, |out| out.extend_from_slice(definition));
    }
    let old = !capabilities.has(Capabilities::DEPRECATE_EOF);
    let eof = Eof {
        warnings: 0,
        status: front.status.of_session(),
    };
    if old {
        seq = eof.write(seq, out);
    }
    for row in rows {
        seq = put_packet(out, seq, |out| out.extend_from_slice(row));
    }
    if old {
        eof.write(seq, out);
    } else {
        plain_ok(front.status.of_session()).write(EOF, seq, capabilities, out);
    }
    front.next_seq = AFTER_COMMAND;
}

fn plain_ok(status: Status) -> OkPacket<'static> {
    OkPacket {
        affected_rows: 0,
        last_insert_id: 0,
        status,
        warnings: 0,
        info: &[],
        state: &[],
    }
}

/// A column of a result of Sluice's own.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its collation, by number.
    pub collation: u16,
    /// Greatest length of a value, in bytes.
    pub length: u32,
    /// Type (MySQL protocol, `enum_field_types`).
    pub kind: u8,
    /// Flags (`Column Definition Flags`).
    pub flags: u16,
}

impl<'a> Column<'a> {
    /// A number of 64 bits without sign.
    pub const fn number(name: &'a str) -> Self {
        Self {
            name,
            // `binary`
            collation: 63,
            length: 21,
            // LONGLONG
            kind: 8,
            // NOT_NULL, UNSIGNED, BINARY
            flags: 1 | 32 | 128,
        }
    }

    /// A number of 64 bits.
    pub const fn signed(name: &'a str) -> Self {
        Self {
            // NOT_NULL, BINARY
            flags: 1 | 128,
            ..Self::number(name)
        }
    }

    /// MySQL protocol, `ColumnDefinition41`.
    fn write<B: Sink>(&self, capabilities: Capabilities, out: &mut B) {
        // Catalog, schema, table, original table.
        put_lenenc_bytes(out, b"def");
        for _ in 0..3 {
            put_lenenc_bytes(out, b"");
        }
        put_lenenc_bytes(out, self.name.as_bytes());
        put_lenenc_bytes(out, b"");
        if capabilities.has(Capabilities::MARIADB_EXTENDED_METADATA) {
            put_lenenc_bytes(out, b"");
        }
        // Length of the fixed fields that follow.
        put_lenenc(out, 0x0C);
        out.put_u16_le(self.collation);
        out.put_u32_le(self.length);
        out.put_u8(self.kind);
        out.put_u16_le(self.flags);
        // Decimals, and two bytes that stand for nothing.
        out.put_slice(&[0, 0, 0]);
    }
}

/// A row of one value.
pub fn row(value: &str) -> Box<[u8]> {
    let mut row = Vec::new();
    put_lenenc_bytes(&mut row, value.as_bytes());
    row.into()
}
