//! `LISTEN` without a pin: notifications come over one connection shared by all clients of a
//! database.
//!
//! A client's `LISTEN` runs on its own server connection, as it would without Sluice: so it takes
//! effect when its transaction commits, and not if that, or the part of it since a savepoint, is
//! rolled back. Then the channels move over to the shared connection, and only then the client's
//! connection is free. No notification is lost or doubled by the move, and none overtakes another:
//! PostgreSQL keeps all notifications of a database in one queue, so when the shared connection
//! listens, the client's connection sends a marker into that queue. What stands before it comes the
//! old way, what stands behind it the new way.
//!
//! From then on `UNLISTEN` is followed through transactions and savepoints like a setting
//! ([`super::track`]), and notifications wait in a mailbox while the client is in a transaction.
//!
//! A client whose encoding is not UTF-8 keeps its own connection: payloads are converted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Waker;

use crate::model::{Fault, PinReason};

use super::back::PgBack;
use super::frame::HEADER_LEN;
use super::front::PgFront;
use super::owed::{Fate, Owed};
use super::rename;
use super::replay::write_literal;

mod board;
mod mailbox;

pub use board::Board;
use mailbox::Mailbox;

/// Names of channels.
pub type Channels = BTreeSet<Box<[u8]>>;

/// A NotificationResponse (PostgreSQL documentation, section 55.7).
#[derive(Debug)]
pub struct Note<'a> {
    /// The channel.
    pub channel: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Note<'a> {
    /// Reads a whole message: after the header come Int32 process number, channel and payload.
    pub fn read(whole: &'a [u8]) -> Option<Self> {
        let body = whole.get(HEADER_LEN + 4..)?;
        let (channel, rest) = rename::split_cstr(body)?;
        let (payload, _) = rename::split_cstr(rest)?;
        Some(Self { channel, payload })
    }
}

/// How a client listens.
#[derive(Debug)]
pub struct Listener {
    seat: Box<Seat>,
    /// Of one that listens. Looked at with each answer, so it is not in the seat.
    ear: Option<Box<Ear>>,
}

/// Who may listen, and where.
#[derive(Debug)]
struct Seat {
    board: Arc<Board>,
    user: Arc<str>,
    bell: Waker,
}

#[derive(Debug)]
struct Ear {
    id: u64,
    mailbox: Arc<Mailbox>,
    stage: Stage,
    /// The channels that the board knows the client to have.
    told: Arc<Channels>,
}

/// How far channels are on their way to the shared connection.
#[derive(Debug)]
enum Stage {
    /// None is.
    Rest,
    /// The shared connection is to listen to them.
    Asked(Channels),
    /// The marker is being sent.
    Marking(Marking),
    /// It has been sent, and the client's own connection must be told to listen no more.
    Marked,
    /// It has been told.
    Clearing,
}

#[derive(Debug)]
struct Marking {
    channels: Channels,
    /// What the marker says.
    payload: String,
    /// Replies that are due.
    replies: u8,
    /// It has come back: what comes after it comes by the shared connection as well.
    seen: bool,
}

impl Listener {
    /// Of a client that may listen. `bell` wakes its session.
    pub fn new(board: Arc<Board>, user: Arc<str>, bell: Waker) -> Self {
        let seat = Seat { board, user, bell };
        Self {
            seat: Box::new(seat),
            ear: None,
        }
    }

    fn ear(&mut self, heard: &Arc<Channels>) -> &mut Ear {
        let Self { seat, ear } = self;
        let Seat { board, user, bell } = &**seat;
        ear.get_or_insert_with(|| {
            let mailbox = Arc::new(Mailbox::new(bell.clone()));
            Box::new(Ear {
                id: board.join(Arc::clone(user), Arc::clone(&mailbox)),
                mailbox,
                stage: Stage::Rest,
                told: Arc::clone(heard),
            })
        })
    }

    /// See [`protocol::Front::news`](crate::protocol::Front::news).
    pub(super) fn news(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match &self.ear {
            Some(ear) if ear.mailbox.is_full() => ear.mailbox.take(out),
            _ => Ok(()),
        }
    }

    /// The session is idle, and the client listens to `heard` over the shared connection.
    pub(super) fn settle(&mut self, heard: &Arc<Channels>) {
        if let Some(ear) = &mut self.ear
            && !Arc::ptr_eq(&ear.told, heard)
        {
            self.seat.board.keep(ear.id, heard);
            ear.told = Arc::clone(heard);
        }
    }

    /// True if a notification that came over the client's own connection is for the client: not
    /// if it comes over the shared one as well, nor if it is a marker.
    pub(super) fn is_for_client(&mut self, whole: &[u8], heard: &Channels) -> bool {
        let Some(note) = Note::read(whole) else {
            return true;
        };
        let marking = match self.ear.as_deref_mut() {
            Some(Ear {
                stage: Stage::Marking(marking),
                ..
            }) => Some(marking),
            _ => None,
        };
        if *note.channel == *self.seat.board.marker() {
            // Other sessions' markers come too.
            if let Some(marking) = marking {
                marking.seen |= marking.payload.as_bytes() == note.payload;
            }
            return false;
        }
        let moved = marking.is_some_and(|m| m.seen && m.channels.contains(note.channel));
        !moved && !heard.contains(note.channel)
    }

    /// The move does not go on: a request of it has failed, or nothing is to be moved any more.
    pub(super) fn failed(&mut self, heard: &Channels) {
        let Some(ear) = &mut self.ear else { return };
        match ear.stage {
            Stage::Rest => {}
            Stage::Marking(_) | Stage::Asked(_) => {
                self.seat.board.stay(ear.id, heard);
                ear.stage = Stage::Rest;
            }
            Stage::Marked | Stage::Clearing => ear.stage = Stage::Rest,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(ear) = &self.ear {
            self.seat.board.leave(ear.id);
        }
    }
}

/// The server says that the connection listens to these channels: their move begins, if they can
/// be moved. True if nothing of it is the client's any more.
pub(super) fn found(front: &mut PgFront, channels: Channels) {
    let utf8 = front.reported.value("client_encoding") == Some(b"UTF8");
    let heard = Arc::clone(front.settings.heard());
    let Some(listener) = front.listener.as_mut() else {
        return;
    };
    if channels.is_empty() {
        return listener.failed(&heard);
    }
    let marker = listener.seat.board.marker();
    let new: Channels = channels
        .into_iter()
        .filter(|channel| **channel != *marker && !heard.contains(channel))
        .collect();
    let board = Arc::clone(&listener.seat.board);
    let ear = listener.ear(&heard);
    if new.is_empty() {
        ear.stage = Stage::Marked;
        return;
    }
    if !utf8 || matches!(&ear.stage, Stage::Asked(asked) if *asked == new) {
        return;
    }
    board.ask(ear.id, &new);
    ear.stage = Stage::Asked(new);
}

/// Writes the next request of a move, if one is due; true if so.
pub(super) fn advance(front: &mut PgFront, back: &mut PgBack, request: &mut Vec<u8>) -> bool {
    let listens = front.pins.contains(PinReason::Listen);
    let heard = front.settings.heard();
    let Some(listener) = front.listener.as_mut() else {
        return false;
    };
    if !listens {
        // DISCARD ALL has ended it.
        listener.failed(heard);
        return false;
    }
    let board = Arc::clone(&listener.seat.board);
    let Some(ear) = &mut listener.ear else {
        return false;
    };
    match std::mem::replace(&mut ear.stage, Stage::Rest) {
        Stage::Marked => {
            rename::query(b"UNLISTEN *", request);
            back.debts.push(Owed::Query(Fate::Move));
            ear.stage = Stage::Clearing;
        }
        Stage::Asked(channels) if ear.mailbox.is_ready() => {
            let Some(payload) = board.cross(ear.id) else {
                ear.stage = Stage::Asked(channels);
                return false;
            };
            // In this order: a session hears of what it sends itself only if it listens before.
            let mut listen = b"LISTEN ".to_vec();
            write_channel(board.marker(), &mut listen);
            rename::query(&listen, request);
            let mut notify = b"NOTIFY ".to_vec();
            write_channel(board.marker(), &mut notify);
            notify.extend_from_slice(b", ");
            write_literal(payload.as_bytes(), &mut notify);
            rename::query(&notify, request);
            back.debts.push(Owed::Query(Fate::Move));
            back.debts.push(Owed::Query(Fate::Move));
            ear.stage = Stage::Marking(Marking {
                channels,
                payload,
                replies: 2,
                seen: false,
            });
        }
        stage => {
            ear.stage = stage;
            return false;
        }
    }
    // A simple query replaces the unnamed statement (PostgreSQL documentation, section 55.2.3).
    back.unnamed = None;
    true
}

/// A request of a move has been answered.
pub(super) fn answered(front: &mut PgFront, back: &mut PgBack) {
    let heard = Arc::clone(front.settings.heard());
    let Some(ear) = front
        .listener
        .as_mut()
        .and_then(|listener| listener.ear.as_mut())
    else {
        return;
    };
    match std::mem::replace(&mut ear.stage, Stage::Rest) {
        Stage::Marking(marking) if marking.replies > 1 => {
            ear.stage = Stage::Marking(Marking {
                replies: marking.replies - 1,
                ..marking
            });
        }
        // A session hears what it has sent before it is told that that is done, or else Sluice
        // does not know where it stands.
        Stage::Marking(marking) if !marking.seen => {
            ear.stage = Stage::Marking(marking);
            if let Some(listener) = &mut front.listener {
                listener.failed(&heard);
            }
        }
        Stage::Marking(marking) => {
            let mut all = (*heard).clone();
            all.extend(marking.channels);
            let all = Arc::new(all);
            ear.told = Arc::clone(&all);
            ear.stage = Stage::Marked;
            front.settings.hear(all);
        }
        Stage::Clearing => {
            let mut pins = front.pins;
            pins.remove(PinReason::Listen);
            front.set_pins(pins);
        }
        Stage::Rest => {
            // It has failed, and the connection may still listen: it is reset before others get
            // it. While this client has it, `is_for_client` keeps out what comes twice.
            back.dirty = true;
            ear.stage = Stage::Rest;
        }
        stage => ear.stage = stage,
    }
}

/// Writes a channel's name as an identifier.
fn write_channel(channel: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in channel {
        if byte == b'"' {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
