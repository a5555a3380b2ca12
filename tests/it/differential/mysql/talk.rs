//! One client's connection: what it has said, and so which packets are due.

use std::{io, net::Shutdown, time::Duration};

use super::{
    mask::{Context, Doubt, IS_MARIADB, NO_SCHEMA, reply},
    say::{Say, Slot, Value},
};
use crate::{
    differential::script::Reply,
    support::{
        link::is_close,
        mysql::{
            login::{Login, Refused},
            message::{Packet, Reader, capability, status},
            wire::Wire,
        },
    },
};

/// How many statements a client has prepared at a time.
pub const SLOTS: usize = 4;

/// A logged-in client.
pub struct Talk {
    wire: Wire,
    login: Login,
    slots: Vec<Slot>,
    said: Vec<Say>,
    /// Sluice reads no text any more.
    oracle: bool,
    /// How many rows the last statement has changed, if that was outside of a transaction: see [`Doubt`].
    changed: Option<u64>,
    over: bool,
}

/// What the client has of files.
const FILE: &[u8] = b"\\N\tloaded\t7\n\\N\tx\tbad\n\\N\n";

/// What Sluice says of a server connection that is gone.
const CLOSED: &str = "ERR 1053 #08S01server closed the connection unexpectedly";

/// Nothing came that can be understood.
const SILENCE: &str = "silence or nonsense";

/// Greatest capability bit that changes `COM_QUERY`.
pub const QUERY_ATTRIBUTES: u32 = 1 << 27;

impl Talk {
    /// Logs in; also what was said on the way.
    pub fn begin(login: &Login) -> (Option<Self>, Vec<Reply>) {
        match Wire::connect(login) {
            Ok(wire) => {
                let status = wire.welcome.status & !status::SESSION_STATE_CHANGED;
                let welcome = format!("login: status {status}");
                let talk = Self {
                    wire,
                    login: login.clone(),
                    slots: vec![Slot::nobodys(); SLOTS],
                    said: Vec::new(),
                    oracle: false,
                    changed: None,
                    over: false,
                };
                (Some(talk), vec![plain(&welcome)])
            }
            Err(Refused::Error(failure)) => (None, vec![plain(&format!("{failure:?}"))]),
            Err(Refused::Io(error)) => (None, vec![plain(&format!("login: {}", error.kind()))]),
        }
    }

    /// Sends commands, all in one write.
    pub fn say(&mut self, all: &[Say]) {
        if self.over {
            return;
        }
        let attributes = self.wire.capabilities & QUERY_ATTRIBUTES != 0;
        let id = self.wire.greeting.connection;
        let mut bytes = Vec::new();
        self.said.clear();
        for say in all {
            let mariadb = self.wire.greeting.version.contains("MariaDB");
            let say = say.sensible(&self.slots, mariadb);
            self.oracle |= matches!(&say, Say::Query(sql) if sql.contains("ORACLE"));
            self.said.push(say.clone());
            if say == Say::ChangeUser {
                continue;
            }
            for payload in say.payloads(&mut self.slots, id, attributes) {
                let length = u32::try_from(payload.len()).unwrap();
                bytes.extend(&length.to_le_bytes()[..3]);
                bytes.push(0);
                bytes.extend(payload);
            }
        }
        // A peer that has closed is noticed by who listens.
        let _ = self.wire.send(&bytes);
    }

    /// Reads all that is due.
    pub fn hear(&mut self, patience: Duration) -> Vec<Reply> {
        let mut heard = Vec::new();
        let _ = self.wire.tcp().set_read_timeout(Some(patience));
        for say in std::mem::take(&mut self.said) {
            if self.over {
                break;
            }
            if say == Say::ChangeUser {
                heard.push(self.change_user());
                continue;
            }
            if !say.is_answered() {
                continue;
            }
            let mut listener = Listener {
                talk: self,
                say: &say,
                heard: &mut heard,
            };
            if let Err(error) = listener.reply() {
                self.over = true;
                // What it waits for, and gets later, is not to be in the way of others.
                let _ = self.wire.tcp().shutdown(Shutdown::Both);
                heard.push(plain(&if is_close(&error) {
                    "closed".to_owned()
                } else {
                    format!("{SILENCE}: {error}")
                }));
            }
            // Where a server closes unseen, as after COMMIT RELEASE of another dialect, Sluice says so first.
            if heard
                .last()
                .is_some_and(|reply| reply.shown.contains(CLOSED))
            {
                self.over = true;
                heard.pop();
                heard.push(plain("closed"));
            }
        }
        heard
    }

    fn change_user(&mut self) -> Reply {
        let login = self.login.clone();
        for slot in &mut self.slots {
            *slot = Slot::nobodys();
        }
        match self.wire.change_user(&login) {
            Ok(()) => plain("changed user"),
            Err(Refused::Io(error)) if is_close(&error) => {
                self.over = true;
                plain("closed")
            }
            Err(refused) => {
                self.over = true;
                plain(&format!("change of user: {refused:?}"))
            }
        }
    }

    /// The connection's number, if it has been given up.
    pub fn given_up(&self) -> Option<u32> {
        self.over.then_some(self.wire.greeting.connection)
    }

    /// Whether another script can go on with this client.
    pub fn is_usable(&self) -> bool {
        !self.over
    }

    /// With these capabilities.
    pub fn is_like(&self, login: &Login) -> bool {
        self.login.capabilities == login.capabilities
            && self.login.mariadb_capabilities == login.mariadb_capabilities
            && self.login.database == login.database
    }

    /// Says goodbye, or closes without a word.
    pub fn end(mut self, politely: bool) {
        if politely {
            let _ = self.wire.command(&[1]);
        }
        self.wire.vanish();
    }
}

/// Reads the reply to one command.
struct Listener<'a> {
    talk: &'a mut Talk,
    say: &'a Say,
    heard: &'a mut Vec<Reply>,
}

/// What a packet stands for; see [`Context`].
type Heard = io::Result<Packet>;

impl Listener<'_> {
    fn next(&mut self, context: Context) -> Heard {
        let wire = &mut self.talk.wire;
        let mut head = [0; 4];
        wire.read_exact(&mut head)?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
        let mut body = vec![0; length];
        wire.read_exact(&mut body)?;
        let packet = Packet {
            sequence: head[3],
            body,
        };
        let id = wire.greeting.connection;
        let family = if wire.greeting.version.contains("MariaDB") {
            IS_MARIADB
        } else {
            0
        };
        let schema = if self.talk.login.database.is_empty() {
            NO_SCHEMA
        } else {
            0
        };
        let capabilities = wire.capabilities | family | schema;
        let doubt = self.doubt(family != 0);
        let shown = reply(&packet, context, self.say, capabilities, id, doubt);
        match (context, &packet.body[..]) {
            (Context::First | Context::End, [0, rest @ ..]) => {
                let mut reader = Reader(rest);
                let (affected, _) = (reader.lenenc(), reader.lenenc());
                let open = reader.int(2) as u16 & status::IN_TRANSACTION != 0;
                self.talk.changed = affected.filter(|rows| *rows > 0 && !open);
            }
            (Context::First | Context::End, _) => self.talk.changed = None,
            _ => {}
        }
        self.heard.push(shown);
        Ok(packet)
    }

    fn text(&self) -> String {
        let text = match self.say {
            Say::Query(sql) => sql,
            Say::Execute { slot, .. } => &self.talk.slots[*slot].text,
            _ => "",
        };
        text.to_ascii_lowercase()
    }

    fn doubt(&self, mariadb: bool) -> Doubt {
        let null = |values: &[Value]| values.is_empty() || values.contains(&Value::Null);
        Doubt {
            rows: self.talk.oracle && self.text().contains("found_rows()"),
            changed: self
                .talk
                .changed
                .filter(|_| !mariadb && self.text().starts_with("call ")),
            types: matches!(self.say, Say::Execute { values, .. } if mariadb || null(values)),
        }
    }

    fn reply(&mut self) -> io::Result<()> {
        match self.say {
            Say::Statistics => self.next(Context::Line).map(drop),
            Say::Prepare(slot, _) => self.prepared(*slot),
            Say::Fetch(..) => self.rows(),
            Say::FieldList(_) => self.definitions(None),
            Say::Query(_) | Say::Execute { .. } | Say::Other([0x0a, ..]) => {
                while self.result()? {}
                Ok(())
            }
            _ => self.next(Context::End).map(drop),
        }
    }

    fn deprecates_eof(&self) -> bool {
        self.talk.wire.capabilities & capability::DEPRECATE_EOF != 0
    }

    /// One result; whether another follows.
    fn result(&mut self) -> io::Result<bool> {
        let first = self.next(Context::First)?;
        match first.body[0] {
            0x00 => Ok(more_ok(&first.body)),
            0xff => Ok(false),
            0xfb => {
                let mut sequence = first.sequence.wrapping_add(1);
                let mut bytes = crate::support::mysql::wire::packets(&mut sequence, FILE);
                bytes.extend(crate::support::mysql::wire::packets(&mut sequence, &[]));
                self.talk.wire.send(&bytes)?;
                let end = self.next(Context::First)?;
                Ok(end.body[0] == 0 && more_ok(&end.body))
            }
            _ => {
                let count = Reader(&first.body).lenenc().unwrap();
                for _ in 0..count {
                    self.next(Context::Definition)?;
                }
                if !self.deprecates_eof() {
                    let eof = self.next(Context::Eof)?;
                    let status = u16::from_le_bytes([eof.body[3], eof.body[4]]);
                    if status & status::CURSOR_EXISTS != 0 {
                        return Ok(status & status::MORE_RESULTS != 0);
                    }
                }
                loop {
                    let packet = self.next(Context::Row)?;
                    match packet.body[0] {
                        0xff => return Ok(false),
                        0xfe if self.deprecates_eof() => return Ok(more_ok(&packet.body)),
                        0xfe if packet.body.len() < 9 => {
                            let status = u16::from_le_bytes([packet.body[3], packet.body[4]]);
                            return Ok(status & status::MORE_RESULTS != 0);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn rows(&mut self) -> io::Result<()> {
        loop {
            let packet = self.next(Context::Row)?;
            let end = packet.body[0] == 0xfe && (self.deprecates_eof() || packet.body.len() < 9);
            if end || packet.body[0] == 0xff {
                return Ok(());
            }
        }
    }

    /// Definitions, so many of them or up to an end.
    fn definitions(&mut self, count: Option<u16>) -> io::Result<()> {
        let Some(count) = count else {
            loop {
                let packet = self.next(Context::Definition)?;
                if matches!(packet.body[0], 0xfe | 0xff) {
                    return Ok(());
                }
            }
        };
        for _ in 0..count {
            self.next(Context::Definition)?;
        }
        if count > 0 && !self.deprecates_eof() {
            self.next(Context::Eof)?;
        }
        Ok(())
    }

    fn prepared(&mut self, slot: usize) -> io::Result<()> {
        let first = self.next(Context::Prepared)?;
        if first.body[0] != 0 {
            return Ok(());
        }
        let mut reader = Reader(&first.body[1..]);
        self.talk.slots[slot].number = reader.int(4) as u32;
        let columns = reader.int(2) as u16;
        let parameters = reader.int(2) as u16;
        self.talk.slots[slot].parameters = Some(usize::from(parameters));
        self.definitions(Some(parameters))?;
        self.definitions(Some(columns))
    }
}

fn more_ok(body: &[u8]) -> bool {
    let mut reader = Reader(&body[1..]);
    reader.lenenc();
    reader.lenenc();
    reader.int(2) as u16 & status::MORE_RESULTS != 0
}

/// Whether the client has waited in vain.
pub fn is_silence(reply: &Reply) -> bool {
    reply.shown.contains(SILENCE)
}

/// Something that is no packet.
pub fn plain(text: &str) -> Reply {
    Reply {
        bytes: text.as_bytes().to_vec(),
        shown: format!("({text})"),
    }
}
