//! What servers of MySQL and MariaDB say, taken apart.

use std::fmt;

/// Capabilities a client may ask for (MySQL protocol, "Capabilities Flags").
pub mod capability {
    pub const LONG_PASSWORD: u32 = 1;
    pub const FOUND_ROWS: u32 = 1 << 1;
    pub const LONG_FLAG: u32 = 1 << 2;
    pub const CONNECT_WITH_DB: u32 = 1 << 3;
    pub const COMPRESS: u32 = 1 << 5;
    pub const LOCAL_FILES: u32 = 1 << 7;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const INTERACTIVE: u32 = 1 << 10;
    pub const SSL: u32 = 1 << 11;
    pub const TRANSACTIONS: u32 = 1 << 13;
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    pub const MULTI_STATEMENTS: u32 = 1 << 16;
    pub const MULTI_RESULTS: u32 = 1 << 17;
    pub const PS_MULTI_RESULTS: u32 = 1 << 18;
    pub const PLUGIN_AUTH: u32 = 1 << 19;
    pub const CONNECT_ATTRS: u32 = 1 << 20;
    pub const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
    pub const SESSION_TRACK: u32 = 1 << 23;
    pub const DEPRECATE_EOF: u32 = 1 << 24;

    /// What a driver of today asks for.
    pub const USUAL: u32 = LONG_PASSWORD
        | LONG_FLAG
        | LOCAL_FILES
        | PROTOCOL_41
        | TRANSACTIONS
        | SECURE_CONNECTION
        | MULTI_STATEMENTS
        | MULTI_RESULTS
        | PS_MULTI_RESULTS
        | PLUGIN_AUTH
        | CONNECT_ATTRS
        | PLUGIN_AUTH_LENENC
        | SESSION_TRACK
        | DEPRECATE_EOF;
}

/// Status flags of OK and EOF packets.
pub mod status {
    pub const IN_TRANSACTION: u16 = 1;
    pub const AUTOCOMMIT: u16 = 1 << 1;
    pub const MORE_RESULTS: u16 = 1 << 3;
    pub const CURSOR_EXISTS: u16 = 1 << 6;
    pub const LAST_ROW_SENT: u16 = 1 << 7;
    pub const SESSION_STATE_CHANGED: u16 = 1 << 14;
}

/// One packet, its parts of 16 MB put together.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    /// The sequence number of its last part.
    pub sequence: u8,
    pub body: Vec<u8>,
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.body[..self.body.len().min(80)];
        write!(f, "#{} {}", self.sequence, shown.escape_ascii())
    }
}

/// Takes values from the front of a packet's body.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    pub fn int(&mut self, bytes: usize) -> u64 {
        let taken = self.take(bytes);
        taken
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// A length-encoded integer; None where it says NULL.
    pub fn lenenc(&mut self) -> Option<u64> {
        match self.int(1) {
            0xfb => None,
            0xfc => Some(self.int(2)),
            0xfd => Some(self.int(3)),
            0xfe => Some(self.int(8)),
            small => Some(small),
        }
    }

    /// A length-encoded string; None where it says NULL.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.lenenc()?;
        Some(self.take(length as usize))
    }

    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.string().unwrap_or_default()).into_owned()
    }

    /// Up to a zero byte, which is taken too, or the end.
    pub fn until_zero(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        let taken = self.take(end.unwrap_or(self.0.len()));
        self.0 = self.0.get(1..).unwrap_or_default();
        taken
    }
}

/// What a server says to anybody (`HandshakeV10`).
#[derive(Clone, Debug, Default)]
pub struct Greeting {
    pub version: String,
    pub connection: u32,
    pub scramble: Vec<u8>,
    pub capabilities: u32,
    /// MariaDB's, which stand in bytes that MySQL leaves empty.
    pub mariadb_capabilities: u32,
    pub collation: u8,
    pub status: u16,
    pub plugin: String,
}

impl Greeting {
    pub fn parse(body: &[u8]) -> Self {
        let mut reader = Reader(body);
        assert_eq!(reader.int(1), 10, "no HandshakeV10: {body:?}");
        let mut greeting = Self {
            version: String::from_utf8_lossy(reader.until_zero()).into_owned(),
            connection: reader.int(4) as u32,
            scramble: reader.take(8).to_vec(),
            ..Self::default()
        };
        reader.take(1);
        let low = reader.int(2);
        greeting.collation = reader.int(1) as u8;
        greeting.status = reader.int(2) as u16;
        greeting.capabilities = (low | reader.int(2) << 16) as u32;
        let length = reader.int(1) as usize;
        reader.take(6);
        greeting.mariadb_capabilities = reader.int(4) as u32;
        let rest = reader.take(length.saturating_sub(8).max(13));
        greeting
            .scramble
            .extend(rest.iter().take(rest.len() - 1).copied());
        greeting.plugin = String::from_utf8_lossy(reader.until_zero()).into_owned();
        greeting
    }
}

/// An OK packet, or what an EOF packet has of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Success {
    pub affected: u64,
    pub last_insert_id: u64,
    pub status: u16,
    pub warnings: u16,
    pub info: String,
    /// Session tracking: type and data of each entry.
    pub changes: Vec<(u8, Vec<u8>)>,
}

impl Success {
    pub fn parse(body: &[u8], capabilities: u32) -> Self {
        let mut reader = Reader(&body[1..]);
        let mut success = Self {
            affected: reader.lenenc().unwrap(),
            last_insert_id: reader.lenenc().unwrap(),
            status: reader.int(2) as u16,
            warnings: reader.int(2) as u16,
            ..Self::default()
        };
        if capabilities & capability::SESSION_TRACK == 0 {
            success.info = String::from_utf8_lossy(reader.0).into_owned();
            return success;
        }
        if !reader.0.is_empty() {
            success.info = reader.text();
        }
        if success.status & status::SESSION_STATE_CHANGED != 0 {
            let mut entries = Reader(reader.string().unwrap());
            while !entries.0.is_empty() {
                let kind = entries.int(1) as u8;
                success
                    .changes
                    .push((kind, entries.string().unwrap().to_vec()));
            }
        }
        assert!(reader.0.is_empty(), "more behind an OK packet: {body:?}");
        success
    }

    pub fn parse_eof(body: &[u8]) -> Self {
        assert_eq!(body.len(), 5, "no EOF packet: {body:?}");
        let mut reader = Reader(&body[1..]);
        Self {
            warnings: reader.int(2) as u16,
            status: reader.int(2) as u16,
            ..Self::default()
        }
    }

    /// The tracked system variables of this packet, by name.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (_, data) in self.changes.iter().filter(|(kind, _)| *kind == 0) {
            let mut reader = Reader(data);
            // MariaDB puts several into one entry.
            while !reader.0.is_empty() {
                found.push((reader.text(), reader.text()));
            }
        }
        found
    }
}

/// An ERR packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: u16,
    /// Empty before the protocol is agreed.
    pub sqlstate: String,
    pub message: String,
}

impl Failure {
    pub fn parse(body: &[u8]) -> Self {
        let mut reader = Reader(&body[1..]);
        let code = reader.int(2) as u16;
        let mut sqlstate = String::new();
        if reader.0.first() == Some(&b'#') {
            sqlstate = String::from_utf8_lossy(&reader.take(6)[1..]).into_owned();
        }
        let message = String::from_utf8_lossy(reader.0).into_owned();
        Self {
            code,
            sqlstate,
            message,
        }
    }
}

/// A column definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub schema: String,
    pub table: String,
    pub name: String,
    pub collation: u16,
    pub kind: u8,
    pub flags: u16,
}

impl Column {
    pub fn parse(body: &[u8]) -> Self {
        let mut reader = Reader(body);
        let (_catalog, schema, table) = (reader.text(), reader.text(), reader.text());
        let (_original_table, name, _original) = (reader.text(), reader.text(), reader.text());
        assert_eq!(reader.lenenc(), Some(12));
        let collation = reader.int(2) as u16;
        reader.take(4);
        let kind = reader.int(1) as u8;
        let flags = reader.int(2) as u16;
        Self {
            schema,
            table,
            name,
            collation,
            kind,
            flags,
        }
    }
}

/// The answer to one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Ok(Success),
    Err(Failure),
    Rows {
        columns: Vec<Column>,
        /// As they came.
        rows: Vec<Vec<u8>>,
        end: Success,
    },
    /// Rows that an error cut short.
    Cut {
        rows: Vec<Vec<u8>>,
        failure: Failure,
    },
}

impl Reply {
    /// The flags it ends with; none of an error.
    pub fn status(&self) -> u16 {
        match self {
            Self::Ok(success) | Self::Rows { end: success, .. } => success.status,
            Self::Err(_) | Self::Cut { .. } => 0,
        }
    }

    /// The error it is or ends with.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Err(failure) | Self::Cut { failure, .. } => Some(failure),
            Self::Ok(_) | Self::Rows { .. } => None,
        }
    }

    /// Rows of the text protocol; NULL is None.
    pub fn text_rows(&self) -> Vec<Vec<Option<String>>> {
        let Self::Rows { rows, columns, .. } = self else {
            return Vec::new();
        };
        let value = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        rows.iter()
            .map(|row| {
                let mut reader = Reader(row);
                columns.iter().map(|_| reader.string().map(value)).collect()
            })
            .collect()
    }

    /// The first column of rows of the text protocol; NULL is shown as `NULL`.
    pub fn first_column(&self) -> Vec<String> {
        let first = |mut row: Vec<Option<String>>| row.swap_remove(0).unwrap_or("NULL".into());
        self.text_rows().into_iter().map(first).collect()
    }
}
