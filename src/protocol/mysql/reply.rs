//! Reading what the server sends: pass it on, keep the books, and translate where client and
//! server connection were promised different things.
//!
//! Rows and definitions pass as they come, by their headers alone. OK, EOF and ERR are read: they
//! carry the truth about the session (MySQL protocol, "Generic Response Packets").

use super::back::{Body, MyBack};
use super::capability::Capabilities;
use super::effects;
use super::frame::{HEADER_LEN, Header};
use super::front::MyFront;
use super::grammar::{Kind, Stage, kind};
use super::login::Flavor;
use super::message::{EOF, Eof, Err, OK, Ok as OkPacket};
use super::owed::{Fate, Owed, Then};
use super::settled;
use super::status::Status;
use super::wire::Reader;
use crate::protocol::{Breach, Script, ServerError};

/// The client who watches.
pub struct Watcher<'a> {
    /// Its books.
    pub front: &'a mut MyFront,
    /// What goes to it.
    pub script: &'a mut Script,
}

/// Reads server bytes; returns how many were dealt with.
pub fn read(
    back: &mut MyBack,
    watcher: Option<Watcher<'_>>,
    input: &[u8],
) -> Result<usize, Breach> {
    let mut reader = ReplyReader { back, watcher };
    let mut at = 0;
    while let Some(rest) = input.get(at..)
        && !rest.is_empty()
    {
        let dealt = reader.piece(rest, at)?;
        if dealt == 0 {
            break;
        }
        at += dealt;
    }
    Ok(at)
}

/// One server's bytes on the way to its client, if it has one.
pub(super) struct ReplyReader<'a> {
    pub(super) back: &'a mut MyBack,
    pub(super) watcher: Option<Watcher<'a>>,
}

/// One packet, all of it there.
pub(super) struct Packet<'a> {
    pub(super) header: Header,
    pub(super) payload: &'a [u8],
    /// Where its header starts in the input.
    at: usize,
}

impl ReplyReader<'_> {
    /// Deals with the front of `rest`, which starts at `at` in the input; 0: more is needed.
    fn piece(&mut self, rest: &[u8], at: usize) -> Result<usize, Breach> {
        if self.back.body.left > 0 {
            let n = self.back.body.left.min(rest.len());
            self.back.body.left -= n;
            if self.back.body.pass
                && let Some(watcher) = &mut self.watcher
            {
                watcher.script.pass(at..at + n);
            }
            return Ok(n);
        }
        let Some(header) = Header::read(rest) else {
            return Ok(0);
        };
        if self.back.body.continues {
            return Ok(self.relay(header, self.back.body.pass, rest, at));
        }
        let first = rest.get(HEADER_LEN).copied();
        if first.is_none() && header.len > 0 {
            return Ok(0);
        }
        let capabilities = self.back.capabilities;
        let Some(owed) = self.back.debts.front() else {
            return self.unasked(header, rest, at);
        };
        let kind = kind(owed.shape, owed.stage, header, first, capabilities)
            .ok_or(Breach("a packet that does not belong here"))?;
        if !kind.is_read() {
            return Ok(self.unread(kind, header, rest, at));
        }
        if header.len > LONGEST_READ {
            return Err(Breach("a status packet is too long"));
        }
        let Some(payload) = rest.get(HEADER_LEN..header.total()) else {
            return Ok(0);
        };
        self.packet(
            kind,
            &Packet {
                header,
                payload,
                at,
            },
        )?;
        Ok(header.total())
    }

    /// A packet that nobody has asked for: the server is taking leave.
    fn unasked(&mut self, header: Header, rest: &[u8], at: usize) -> Result<usize, Breach> {
        if header.len > LONGEST_READ {
            return Err(Breach("an unasked packet is too long"));
        }
        let Some(payload) = rest.get(HEADER_LEN..header.total()) else {
            return Ok(0);
        };
        if Err::read(payload).is_none() || payload.first() != Some(&super::message::ERR) {
            return Err(Breach("a packet that nobody has asked for"));
        }
        self.back.closing = true;
        if let Some(watcher) = &mut self.watcher {
            watcher.script.pass(at..at + header.total());
        }
        Ok(header.total())
    }

    /// A packet that passes by its header.
    fn unread(&mut self, kind: Kind, header: Header, rest: &[u8], at: usize) -> usize {
        let Some(owed) = self.back.debts.front_mut() else {
            return 0;
        };
        if !owed.is_clients() {
            return self.own_unread(kind, header, rest, at);
        }
        match kind {
            Kind::Row => {
                if owed.divider {
                    self.write_divider();
                }
                if let Some(owed) = self.back.debts.front_mut() {
                    owed.stage = Stage::Rows;
                    owed.rows += 1;
                }
                self.relay(header, true, rest, at)
            }
            Kind::Line => {
                let dealt = self.relay(header, true, rest, at);
                self.pop();
                dealt
            }
            _ => {
                let dealt = self.relay(header, true, rest, at);
                self.defined();
                dealt
            }
        }
    }

    /// The same of a reply to Sluice itself.
    fn own_unread(&mut self, kind: Kind, header: Header, rest: &[u8], at: usize) -> usize {
        if kind == Kind::Row && header.len <= LONGEST_READ {
            let Some(payload) = rest.get(HEADER_LEN..header.total()) else {
                return 0;
            };
            settled::row(self, payload);
            if let Some(owed) = self.back.debts.front_mut() {
                owed.stage = Stage::Rows;
                owed.rows += 1;
            }
            return header.total();
        }
        if kind == Kind::Definition && self.wants_names() && header.len <= LONGEST_READ {
            let Some(payload) = rest.get(HEADER_LEN..header.total()) else {
                return 0;
            };
            settled::defined(self, payload);
            if self.asks_for_warnings()
                && let Some(watcher) = &mut self.watcher
            {
                watcher.front.last.warnings.define(payload);
            }
        }
        let dealt = self.relay(header, false, rest, at);
        if kind == Kind::Definition {
            self.defined();
        }
        dealt
    }

    fn wants_names(&self) -> bool {
        self.back.chore.tabular || self.asks_for_warnings()
    }

    fn asks_for_warnings(&self) -> bool {
        let owed = self.back.debts.front();
        owed.is_some_and(|owed| matches!(owed.fate, Fate::Warnings))
    }

    /// Passes a packet on, or drops it: its header with the right number, and as much of its
    /// payload as is there.
    fn relay(&mut self, header: Header, pass: bool, rest: &[u8], at: usize) -> usize {
        let here = header.total().min(rest.len());
        self.back.body = Body {
            left: header.total() - here,
            pass,
            continues: header.continues(),
        };
        if let Some(watcher) = &mut self.watcher
            && pass
        {
            let shift = self.back.debts.front().map_or(0, |owed| owed.shift);
            let seq = header.seq.wrapping_add(shift);
            watcher.front.next_seq = seq.wrapping_add(1);
            if shift == 0 {
                watcher.script.pass(at..at + here);
            } else {
                // Copied together: many small pieces cost more than their bytes.
                watcher.script.insert(&Header { seq, ..header }.to_bytes());
                watcher
                    .script
                    .insert(rest.get(HEADER_LEN..here).unwrap_or_default());
            }
        }
        here
    }

    /// A definition has passed.
    fn defined(&mut self) {
        let capabilities = self.back.capabilities;
        let Some(owed) = self.back.debts.front_mut() else {
            return;
        };
        let before = owed.stage;
        let after = before.after_definition(capabilities);
        // The server sends no EOF here, and the client may expect one.
        let undivided = capabilities.has(Capabilities::DEPRECATE_EOF);
        let last = undivided && after.is_none_or(|after| ends(before, after));
        let clients = owed.is_clients();
        if let Some(after) = after {
            owed.stage = after;
        }
        if last && clients && self.wants_dividers() {
            match after {
                // Whether a cursor is open, the next packet says.
                Some(Stage::Rows) => {
                    if let Some(owed) = self.back.debts.front_mut() {
                        owed.divider = true;
                    }
                }
                _ => self.write_divider(),
            }
        }
        if after.is_none() {
            self.pop();
        }
    }

    fn wants_dividers(&self) -> bool {
        let client = self.watcher.as_ref().map(|w| w.front.capabilities);
        client.is_some_and(|client| !client.has(Capabilities::DEPRECATE_EOF))
    }

    /// Writes the EOF that the client expects here.
    fn write_divider(&mut self) {
        let Some(owed) = self.back.debts.front_mut() else {
            return;
        };
        owed.divider = false;
        owed.shift = owed.shift.wrapping_add(1);
        if let Some(watcher) = &mut self.watcher {
            let eof = Eof {
                warnings: 0,
                // What follows are rows, whatever the last command has opened.
                status: self.back.status.without(Status::CURSOR_EXISTS),
            };
            let seq = watcher.front.next_seq;
            watcher.front.next_seq = watcher.script.insert_with(|out| eof.write(seq, out));
        }
    }

    fn packet(&mut self, kind: Kind, packet: &Packet<'_>) -> Result<(), Breach> {
        match kind {
            Kind::Err => self.error(packet),
            Kind::Ok | Kind::OkEof => {
                let ok = OkPacket::read(packet.payload, self.back.capabilities)
                    .ok_or(Breach("a malformed OK"))?;
                self.ok(kind, packet, &ok);
                Ok(())
            }
            Kind::Eof => {
                let eof = Eof::read(packet.payload).ok_or(Breach("a malformed EOF"))?;
                let ok = OkPacket {
                    affected_rows: 0,
                    last_insert_id: 0,
                    status: eof.status,
                    warnings: eof.warnings,
                    info: &[],
                    state: &[],
                };
                self.ok(kind, packet, &ok);
                Ok(())
            }
            Kind::Divider => self.divider(packet),
            Kind::ColumnCount => self.columns(packet),
            Kind::Prepared => self.prepared(packet),
            Kind::File => {
                self.pass(packet);
                self.back.file_seq = packet.header.seq.wrapping_add(1);
                self.enter(Stage::File);
                Ok(())
            }
            Kind::Definition | Kind::Row | Kind::Line => Err(Breach("unreachable kind")),
        }
    }

    /// Passes a packet that has been read on, if it is the client's.
    fn pass(&mut self, packet: &Packet<'_>) {
        let Some(owed) = self.back.debts.front() else {
            return;
        };
        let (clients, shift) = (owed.is_clients(), owed.shift);
        if let Some(watcher) = &mut self.watcher
            && clients
        {
            let seq = packet.header.seq.wrapping_add(shift);
            watcher.front.next_seq = seq.wrapping_add(1);
            let end = packet.at + packet.header.total();
            if shift == 0 {
                watcher.script.pass(packet.at..end);
            } else {
                let header = Header {
                    seq,
                    ..packet.header
                };
                watcher.script.insert(&header.to_bytes());
                watcher.script.insert(packet.payload);
            }
        }
    }

    fn enter(&mut self, stage: Stage) {
        if let Some(owed) = self.back.debts.front_mut() {
            owed.stage = stage;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Owed> {
        let owed = self.back.debts.pop_front();
        if let Some(watcher) = &mut self.watcher
            && owed.as_ref().is_some_and(Owed::is_clients)
        {
            watcher.front.next_seq = AFTER_COMMAND;
        }
        owed
    }

    fn columns(&mut self, packet: &Packet<'_>) -> Result<(), Breach> {
        let count = Reader::new(packet.payload).lenenc();
        let count = count.ok_or(Breach("a malformed number of columns"))?;
        self.pass(packet);
        self.enter(Stage::columns(count));
        Ok(())
    }

    fn divider(&mut self, packet: &Packet<'_>) -> Result<(), Breach> {
        let eof = Eof::read(packet.payload).ok_or(Breach("a malformed EOF"))?;
        self.back.status = eof.status;
        self.back.status_unknown = false;
        let cursor = eof.status.has(Status::CURSOR_EXISTS);
        let Some(owed) = self.back.debts.front_mut() else {
            return Ok(());
        };
        let after = owed.stage.after_divider(cursor);
        if let Some(after) = after {
            owed.stage = after;
        }
        let clients = self.watcher.as_ref().map(|w| w.front.capabilities);
        let dropped = clients.is_some_and(|c| c.has(Capabilities::DEPRECATE_EOF));
        if !dropped {
            self.pass(packet);
        } else if let Some(owed) = self.back.debts.front_mut()
            && !cursor
        {
            owed.shift = owed.shift.wrapping_sub(1);
        } else if let Some(watcher) = &mut self.watcher {
            let ok = ok_of(eof);
            let (seq, capabilities) = (watcher.front.next_seq, watcher.front.capabilities);
            watcher.front.next_seq = watcher
                .script
                .insert_with(|out| ok.write(EOF, seq, capabilities, out));
        }
        if after.is_none() {
            settled::complete(self, &ok_of(eof));
        }
        Ok(())
    }

    fn ok(&mut self, kind: Kind, packet: &Packet<'_>, ok: &OkPacket<'_>) {
        self.back.status = ok.status;
        self.back.status_unknown = false;
        self.back.warned |= ok.warnings > 0;
        effects::learn(self.back, self.watcher.as_mut().map(|w| &mut *w.front), ok);
        let Some(owed) = self.back.debts.front_mut() else {
            return;
        };
        let cursor = ok.status.has(Status::CURSOR_EXISTS);
        let divide = std::mem::take(&mut owed.divider);
        if matches!(owed.fate, Fate::Probe | Fate::Warnings)
            && let Some(watcher) = &mut self.watcher
        {
            // What an error has not told; MySQL tells it with the next OK.
            let front = &mut *watcher.front;
            front.status = ok.status.of_session();
            if front.flavor == Flavor::MySql {
                let client = front.capabilities;
                front
                    .tracking
                    .put_off(ok.state, front.flavor, client, false);
            }
        }
        if owed.is_clients() {
            if divide && !cursor {
                self.write_divider();
            }
            self.tell(kind, packet, ok);
        }
        settled::complete(self, ok);
    }

    /// Tells the client an OK or EOF in the form that it was promised.
    fn tell(&mut self, kind: Kind, packet: &Packet<'_>, ok: &OkPacket<'_>) {
        let Some(owed) = self.back.debts.front() else {
            return;
        };
        let (shift, clients) = (owed.shift, owed.is_clients());
        let resets = matches!(owed.fate, Fate::Client(Then::Reset));
        let (server, Some(watcher)) = (self.back.capabilities, &mut self.watcher) else {
            return;
        };
        if !clients {
            return;
        }
        let front = &mut *watcher.front;
        front.status = effects::lasting(front, ok.status);
        if resets {
            front.tracking.withhold(front.flavor);
        }
        let client = front.capabilities;
        let seq = packet.header.seq.wrapping_add(shift);
        let ends_rows = kind != Kind::Ok;
        if ends_rows && !client.has(Capabilities::DEPRECATE_EOF) {
            // MySQL tells it with the next OK, MariaDB with one of the same command, and of the schema with later ones, too.
            if front.flavor == Flavor::MySql || ok.status.has(Status::MORE_RESULTS) {
                let chosen = effects::leaves_schema(front);
                let flavor = front.flavor;
                front.tracking.put_off(ok.state, flavor, client, chosen);
            } else {
                effects::leave_schema(front);
            }
            let eof = Eof {
                warnings: ok.warnings,
                status: ok.status,
            };
            front.next_seq = watcher.script.insert_with(|out| eof.write(seq, out));
            return;
        }
        let chosen = effects::leaves_schema(front);
        let state = front.tracking.told(ok.state, front.flavor, client, chosen);
        let as_it_is = state.as_deref().is_none_or(|state| state == ok.state)
            && kind != Kind::Eof
            && shift == 0
            && client.has(Capabilities::SESSION_TRACK) == server.has(Capabilities::SESSION_TRACK);
        if as_it_is {
            return self.pass(packet);
        }
        let ok = OkPacket {
            state: state.as_deref().unwrap_or(ok.state),
            ..ok.clone()
        };
        let header = if ends_rows { EOF } else { OK };
        front.next_seq = watcher
            .script
            .insert_with(|out| ok.write(header, seq, client, out));
    }

    fn error(&mut self, packet: &Packet<'_>) -> Result<(), Breach> {
        let err = Err::read(packet.payload).ok_or(Breach("a malformed error"))?;
        if LEAVING.contains(&err.code) {
            self.back.closing = true;
        }
        self.back.refused_write |= READ_ONLY.contains(&err.code);
        self.back.status_unknown = true;
        self.back.warned = true;
        if let Some(owed) = self.back.debts.front_mut()
            && std::mem::take(&mut owed.divider)
            && owed.is_clients()
        {
            self.write_divider();
        }
        self.pass(packet);
        settled::failed(self, packet, &err);
        Ok(())
    }

    fn prepared(&mut self, packet: &Packet<'_>) -> Result<(), Breach> {
        let reply = settled::PreparedReply::read(packet.payload);
        let reply = reply.ok_or(Breach("a malformed reply to a preparation"))?;
        let stage = Stage::prepared(reply.parameters, reply.columns);
        self.back.warned |= reply.warnings > 0;
        if self.back.debts.front().is_some_and(Owed::is_clients) {
            let number = settled::hold(self, &reply);
            self.pass_with_number(packet, number);
        } else {
            settled::prepared_here(self, &reply);
        }
        match stage {
            Some(stage) => self.enter(stage),
            None => {
                self.pop();
            }
        }
        Ok(())
    }

    /// The reply to a preparation with Sluice's number in it.
    fn pass_with_number(&mut self, packet: &Packet<'_>, number: u32) {
        let shift = self.back.debts.front().map_or(0, |owed| owed.shift);
        if let Some(watcher) = &mut self.watcher {
            let seq = packet.header.seq.wrapping_add(shift);
            watcher.front.next_seq = seq.wrapping_add(1);
            let header = Header {
                seq,
                ..packet.header
            };
            watcher.script.insert(&header.to_bytes());
            watcher.script.insert(&[OK]);
            watcher.script.insert(&number.to_le_bytes());
            let rest = packet.at + HEADER_LEN + 5..packet.at + packet.header.total();
            watcher.script.pass(rest);
        }
    }
}

/// True if a client that expects dividers has one between these.
fn ends(before: Stage, after: Stage) -> bool {
    !matches!(
        (before, after),
        (Stage::Columns(_), Stage::Columns(_))
            | (Stage::Parameters(..), Stage::Parameters(..))
            | (Stage::PreparedColumns(_), Stage::PreparedColumns(_))
            | (Stage::First | Stage::Rows, _)
    )
}

fn ok_of(eof: Eof) -> OkPacket<'static> {
    OkPacket {
        affected_rows: 0,
        last_insert_id: 0,
        status: eof.status,
        warnings: eof.warnings,
        info: &[],
        state: &[],
    }
}

/// The error of a packet, as the shared code knows it.
pub(super) fn server_error(packet: &Packet<'_>, err: &Err<'_>) -> ServerError {
    let mut wire = packet.header.to_bytes().to_vec();
    wire.extend_from_slice(packet.payload);
    ServerError {
        code: err.code.to_string(),
        message: String::from_utf8_lossy(&err.message).into_owned(),
        wire: wire.into(),
    }
}

/// What is said to a client outside a reply is the answer to a command that it has sent, or to
/// the next that it sends.
pub(super) const AFTER_COMMAND: u8 = 1;

/// Longest packet that is read as a whole. What a server says about its session is far shorter;
/// a user's variables may make it longer.
const LONGEST_READ: usize = 1024 * 1024;

/// Errors after which the server closes: shutdown, killed, timed out (MySQL: `ER_SERVER_SHUTDOWN`,
/// `ER_SESSION_WAS_KILLED`, `ER_CLIENT_INTERACTION_TIMEOUT`; MariaDB: `ER_CONNECTION_KILLED`).
const LEAVING: [u16; 4] = [1053, 3169, 4031, 1927];

/// `ER_OPTION_PREVENTS_STATEMENT`, which names `--read-only`, and `ER_READ_ONLY_MODE` (MySQL
/// source, `share/messages_to_clients.txt`).
const READ_ONLY: [u16; 2] = [1290, 1836];
