//! A client of MySQL and MariaDB that says exactly what the test tells it to, and shows exactly
//! what it was told.
//!
//! It knows how to log in and what a reply looks like; it repairs nothing and hides nothing.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    ops::{Deref, DerefMut},
};

use sluice::protocol::mysql::compress::{Algorithm, Compressed};

use crate::support::{
    link::{Link, is_close},
    mysql::{
        login::{Login, Refused},
        message::{Column, Failure, Greeting, Packet, Reader, Reply, Success, capability, status},
    },
};

/// The most that one part of a packet carries.
pub const PART: usize = 0xff_ffff;

/// A statement that the server has prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    pub id: u32,
    pub columns: u16,
    pub parameters: u16,
    pub warnings: u16,
}

/// A raw connection.
pub struct Wire {
    link: Link,
    pub greeting: Greeting,
    /// What both sides have agreed on.
    pub capabilities: u32,
    /// The sequence number of the next packet, of either side.
    pub sequence: u8,
    /// Files that the server may ask for, by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What the last OK of a login or of `COM_CHANGE_USER` said.
    pub welcome: Success,
}

impl Deref for Wire {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl DerefMut for Wire {
    fn deref_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

impl Wire {
    /// A TCP connection on which nothing has been said. Reads give up after the tests' patience.
    pub fn open(port: u16, source: IpAddr) -> io::Result<Self> {
        Ok(Self {
            link: Link::open(port, source)?,
            greeting: Greeting::default(),
            capabilities: capability::PROTOCOL_41,
            sequence: 0,
            files: BTreeMap::new(),
            welcome: Success::default(),
        })
    }

    /// Logs in, up to the OK.
    pub fn connect(login: &Login) -> Result<Self, Refused> {
        let mut wire = Self::open(login.port, login.source)?;
        wire.greet()?;
        wire.capabilities = login.agreed(&wire.greeting);
        if let Some(config) = &login.tls {
            let offered = wire.capabilities & capability::SSL != 0;
            assert!(offered, "the server takes no TLS");
            wire.send_packet(&login.head(wire.capabilities))?;
            wire.upgrade(config.clone())?;
        }
        let plugin = login.plugin.as_deref().unwrap_or(&wire.greeting.plugin);
        let answer = login.answer(plugin, &wire.greeting.scramble);
        let response = login.response(wire.capabilities, plugin, &answer);
        wire.send_packet(&response)?;
        wire.finish_login(login)?;
        if wire.capabilities & capability::COMPRESS != 0 {
            let codec = Compressed::new(Algorithm::Zlib).unwrap();
            wire.encode(Box::new(codec));
        }
        Ok(wire)
    }

    /// Reads the greeting; a server may refuse already here.
    pub fn greet(&mut self) -> Result<(), Refused> {
        let packet = self.read_packet()?;
        if packet.body[0] == 0xff {
            return Err(Refused::Error(Failure::parse(&packet.body)));
        }
        self.greeting = Greeting::parse(&packet.body);
        Ok(())
    }

    /// Answers the server's questions after a first answer, up to the OK.
    pub fn finish_login(&mut self, login: &Login) -> Result<(), Refused> {
        loop {
            let packet = self.read_packet()?;
            let (kind, rest) = packet
                .body
                .split_first()
                .expect("a packet that says something");
            let answer = match (kind, rest) {
                (0x00, _) => {
                    self.welcome = Success::parse(&packet.body, self.capabilities);
                    return Ok(());
                }
                (0xff, _) => return Err(Refused::Error(Failure::parse(&packet.body))),
                (0xfe, _) => {
                    let mut reader = Reader(rest);
                    let plugin = String::from_utf8_lossy(reader.until_zero()).into_owned();
                    login.answer(&plugin, reader.until_zero())
                }
                // `caching_sha2_password`: known already, or the whole password.
                (0x01, [0x03]) => continue,
                (0x01, [0x04]) => login.clear(),
                _ => panic!("a login goes on with {packet:?}"),
            };
            self.send_packet(&answer)?;
        }
    }

    /// `COM_CHANGE_USER`: as a login, on the same connection.
    pub fn change_user(&mut self, login: &Login) -> Result<(), Refused> {
        let plugin = login.plugin.clone().unwrap_or(self.greeting.plugin.clone());
        let answer = login.answer(&plugin, &self.greeting.scramble.clone());
        let command = login.change_user(self.capabilities, &plugin, &answer);
        self.command(&command)?;
        self.finish_login(login)
    }

    /// Sends a packet with the next sequence number, in parts if need be.
    pub fn send_packet(&mut self, body: &[u8]) -> io::Result<()> {
        let bytes = packets(&mut self.sequence, body);
        self.send(&bytes)
    }

    /// Sends a packet that begins a new exchange.
    pub fn command(&mut self, body: &[u8]) -> io::Result<()> {
        self.sequence = 0;
        self.send_packet(body)
    }

    /// The next packet, which has to have the next sequence number.
    pub fn read_packet(&mut self) -> io::Result<Packet> {
        let mut body = Vec::new();
        loop {
            let mut head = [0; 4];
            self.read_exact(&mut head)?;
            let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
            let begin = body.len();
            body.resize(begin + length, 0);
            self.link.read_exact(&mut body[begin..])?;
            assert_eq!(
                head[3],
                self.sequence,
                "a packet out of sequence: {}",
                body[..body.len().min(200)].escape_ascii()
            );
            self.sequence = self.sequence.wrapping_add(1);
            if length < PART {
                return Ok(Packet {
                    sequence: head[3],
                    body,
                });
            }
        }
    }

    /// The answer to one statement of the last command.
    pub fn read_reply(&mut self) -> io::Result<Reply> {
        let first = self.read_packet()?;
        match first.body[0] {
            0x00 => Ok(Reply::Ok(Success::parse(&first.body, self.capabilities))),
            0xff => Ok(Reply::Err(Failure::parse(&first.body))),
            0xfb => {
                let name = String::from_utf8_lossy(&first.body[1..]).into_owned();
                let content = self.files.get(&name).cloned().unwrap_or_default();
                for part in content.chunks(100_000) {
                    self.send_packet(part)?;
                }
                self.send_packet(&[])?;
                self.read_reply()
            }
            _ => {
                let count = Reader(&first.body).lenenc().unwrap();
                self.read_rows(count as usize)
            }
        }
    }

    fn read_rows(&mut self, count: usize) -> io::Result<Reply> {
        let columns = self.read_columns(count)?;
        // With an open cursor the rows come when they are fetched.
        let (rows, end) = match columns {
            (columns, Some(end)) if end.status & status::CURSOR_EXISTS != 0 => {
                return Ok(Reply::Rows {
                    columns,
                    rows: Vec::new(),
                    end,
                });
            }
            (columns, _) => match self.read_row_packets()? {
                (rows, Ok(end)) => (rows, (columns, end)),
                (rows, Err(failure)) => return Ok(Reply::Cut { rows, failure }),
            },
        };
        let (columns, end) = end;
        Ok(Reply::Rows { columns, rows, end })
    }

    /// Column definitions, and the EOF packet behind them where there is one.
    pub fn read_columns(&mut self, count: usize) -> io::Result<(Vec<Column>, Option<Success>)> {
        let mut columns = Vec::new();
        for _ in 0..count {
            columns.push(Column::parse(&self.read_packet()?.body));
        }
        if self.capabilities & capability::DEPRECATE_EOF != 0 {
            return Ok((columns, None));
        }
        let eof = self.read_packet()?;
        Ok((columns, Some(Success::parse_eof(&eof.body))))
    }

    /// Rows, and how they end.
    #[expect(clippy::type_complexity, reason = "what it says")]
    pub fn read_row_packets(&mut self) -> io::Result<(Vec<Vec<u8>>, Result<Success, Failure>)> {
        let mut rows = Vec::new();
        loop {
            let body = self.read_packet()?.body;
            match body[0] {
                0xfe if body.len() < PART => {
                    let end = if self.capabilities & capability::DEPRECATE_EOF == 0 {
                        Success::parse_eof(&body)
                    } else {
                        Success::parse(&body, self.capabilities)
                    };
                    return Ok((rows, Ok(end)));
                }
                0xff => return Ok((rows, Err(Failure::parse(&body)))),
                _ => rows.push(body),
            }
        }
    }

    /// All the answers to the last command.
    pub fn read_replies(&mut self) -> io::Result<Vec<Reply>> {
        let mut replies = Vec::new();
        loop {
            let reply = self.read_reply()?;
            let more = reply.status() & status::MORE_RESULTS != 0;
            replies.push(reply);
            if !more {
                return Ok(replies);
            }
        }
    }

    /// `COM_QUERY` and all its answers.
    pub fn query(&mut self, sql: &str) -> io::Result<Vec<Reply>> {
        self.command(&[&[0x03], sql.as_bytes()].concat())?;
        self.read_replies()
    }

    /// A text of one statement; its answer.
    pub fn ask(&mut self, sql: &str) -> Reply {
        let mut replies = self
            .query(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(replies.len(), 1, "{sql}: {replies:?}");
        replies.remove(0)
    }

    /// A text that must not fail; its answers.
    pub fn succeed(&mut self, sql: &str) -> Vec<Reply> {
        let replies = self
            .query(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        if let Some(failure) = replies.iter().find_map(Reply::failure) {
            panic!("{sql}: {failure:?}");
        }
        replies
    }

    /// A text of one statement that has to fail; how.
    pub fn fail(&mut self, sql: &str) -> Failure {
        let reply = self.ask(sql);
        let failure = reply.failure();
        failure
            .unwrap_or_else(|| panic!("{sql}: {reply:?}"))
            .clone()
    }

    /// A query that must not fail; the first column of its rows.
    pub fn column(&mut self, sql: &str) -> Vec<String> {
        let replies = self.succeed(sql);
        replies.iter().flat_map(Reply::first_column).collect()
    }

    /// A query that must not fail; its one value, `NULL` for NULL.
    pub fn value(&mut self, sql: &str) -> String {
        let mut rows = self.column(sql);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows.swap_remove(0)
    }

    /// `COM_STMT_PREPARE`, which must not fail.
    pub fn prepare(&mut self, sql: &str) -> Prepared {
        let prepared = self.try_prepare(sql).unwrap();
        prepared.unwrap_or_else(|failure| panic!("{sql}: {failure:?}"))
    }

    /// `COM_STMT_PREPARE`.
    pub fn try_prepare(&mut self, sql: &str) -> io::Result<Result<Prepared, Failure>> {
        self.command(&[&[0x16], sql.as_bytes()].concat())?;
        let first = self.read_packet()?;
        if first.body[0] == 0xff {
            return Ok(Err(Failure::parse(&first.body)));
        }
        let mut reader = Reader(&first.body[1..]);
        let prepared = Prepared {
            id: reader.int(4) as u32,
            columns: reader.int(2) as u16,
            parameters: reader.int(2) as u16,
            warnings: {
                reader.int(1);
                reader.int(2) as u16
            },
        };
        for count in [prepared.parameters, prepared.columns] {
            if count > 0 {
                self.read_columns(usize::from(count))?;
            }
        }
        Ok(Ok(prepared))
    }

    /// `COM_STMT_EXECUTE` with texts as parameters, without a cursor; all its answers.
    pub fn execute(&mut self, id: u32, parameters: &[Option<&str>]) -> io::Result<Vec<Reply>> {
        self.command(&execution(id, 0, parameters, true))?;
        self.read_replies()
    }

    /// `COM_RESET_CONNECTION`, `COM_PING` or another command whose whole answer is one OK or ERR.
    pub fn simple(&mut self, command: &[u8]) -> io::Result<Reply> {
        self.command(command)?;
        self.read_reply()
    }

    /// What is left until the peer closes; a reset counts as a close.
    pub fn read_to_close(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            match self.read_packet() {
                Ok(packet) => packets.push(packet),
                Err(error) => {
                    assert!(
                        is_close(&error),
                        "{error} instead of the end after {packets:?}"
                    );
                    return packets;
                }
            }
        }
    }
}

/// A packet as it is sent, in parts of at most 16 MB, with sequence numbers from `sequence` on.
pub fn packets(sequence: &mut u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 8);
    let mut rest = body;
    loop {
        let (part, behind) = rest.split_at(rest.len().min(PART));
        bytes.extend(&(part.len() as u32).to_le_bytes()[..3]);
        bytes.push(*sequence);
        bytes.extend(part);
        *sequence = sequence.wrapping_add(1);
        // A full part is followed by another, if only by an empty one.
        if part.len() < PART {
            return bytes;
        }
        rest = behind;
    }
}

/// `COM_STMT_EXECUTE`: `cursor` is 1 for a read-only one; types are sent if `types`.
pub fn execution(id: u32, cursor: u8, parameters: &[Option<&str>], types: bool) -> Vec<u8> {
    let mut body = vec![0x17];
    body.extend(id.to_le_bytes());
    body.push(cursor);
    body.extend(1_u32.to_le_bytes());
    if parameters.is_empty() {
        return body;
    }
    let mut nulls = vec![0_u8; parameters.len().div_ceil(8)];
    for (number, value) in parameters.iter().enumerate() {
        if value.is_none() {
            nulls[number / 8] |= 1 << (number % 8);
        }
    }
    body.extend(nulls);
    body.push(u8::from(types));
    if types {
        // MYSQL_TYPE_VAR_STRING
        body.extend(parameters.iter().flat_map(|_| [0xfd, 0]));
    }
    for value in parameters.iter().flatten() {
        put_string(&mut body, value.as_bytes());
    }
    body
}

/// Appends a length-encoded string.
pub fn put_string(body: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        length @ ..0xfb => body.push(length as u8),
        length @ ..0x1_0000 => {
            body.push(0xfc);
            body.extend((length as u16).to_le_bytes());
        }
        length @ ..0x100_0000 => {
            body.push(0xfd);
            body.extend(&(length as u32).to_le_bytes()[..3]);
        }
        length => {
            body.push(0xfe);
            body.extend((length as u64).to_le_bytes());
        }
    }
    body.extend(text);
}
