//! What the shared connection listens to, and for whom.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use foldhash::fast::RandomState;

use super::Channels;
use super::mailbox::Mailbox;
use crate::protocol::postgres::frame::{self, HEADER_LEN};
use crate::protocol::postgres::message::{self, Report, Severity};
use crate::protocol::postgres::rename;
use crate::protocol::{Breach, Feed};

/// The feed of one database: see the module above.
#[derive(Debug)]
pub struct Board {
    /// On this channel sessions mark the point at which they change over.
    marker: Box<[u8]>,
    state: Mutex<State>,
    /// Wakes the task that runs the connection.
    bell: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    /// Numbers given to ears so far.
    ears_so_far: u64,
    ears: BTreeMap<u64, EarState>,
    /// For each channel, whose ears are interested.
    channels: HashMap<Box<[u8]>, BTreeSet<u64>, RandomState>,
    connected: bool,
    /// What the server has confirmed to listen to.
    listening: BTreeSet<Box<[u8]>>,
    /// The channels that the request under way is to listen to.
    asked: Option<Vec<Box<[u8]>>>,
    /// It has failed.
    failed: bool,
    /// Something may have to be asked.
    stale: bool,
    delivered: u64,
}

#[derive(Debug, Default)]
struct Changes {
    listen: Vec<Box<[u8]>>,
    unlisten: Vec<Box<[u8]>>,
}

#[derive(Debug)]
struct EarState {
    user: Arc<str>,
    mailbox: Arc<Mailbox>,
    /// Channels whose notifications go to the mailbox.
    live: Channels,
    move_: Option<Move>,
}

/// Channels on their way from a session's own connection to the shared one.
#[derive(Debug)]
struct Move {
    /// Tells the marker of this move from others.
    serial: u64,
    channels: Channels,
    /// The session has begun to change over.
    crossing: bool,
}

impl Board {
    /// A board for one database. `id` is random: it makes a channel name that nobody else uses.
    pub fn new(id: u64) -> Self {
        Self {
            marker: format!("sluice_{id:016x}").into_bytes().into(),
            state: Mutex::default(),
            bell: AtomicWaker::new(),
        }
    }

    /// The channel of markers.
    pub(super) fn marker(&self) -> &[u8] {
        &self.marker
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No invariant spans a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new client that listens on behalf of `user`; returns its number.
    pub(super) fn join(&self, user: Arc<str>, mailbox: Arc<Mailbox>) -> u64 {
        let mut state = self.lock();
        state.ears_so_far += 1;
        let id = state.ears_so_far;
        let ear = EarState {
            user,
            mailbox,
            live: Channels::default(),
            move_: None,
        };
        state.ears.insert(id, ear);
        id
    }

    /// The client is gone.
    pub(super) fn leave(&self, id: u64) {
        let mut state = self.lock();
        state.ears.remove(&id);
        state.channels.retain(|_, ears| {
            ears.remove(&id);
            !ears.is_empty()
        });
        state.stale = true;
        drop(state);
        self.bell.wake();
    }

    /// Asks that the shared connection listen to these channels for the client; its mailbox says
    /// when it does. Replaces what was asked before.
    pub(super) fn ask(&self, id: u64, channels: &Channels) {
        let mut state = self.lock();
        let State {
            ears,
            channels: all,
            ears_so_far,
            ..
        } = &mut *state;
        let Some(ear) = ears.get_mut(&id) else {
            return;
        };
        for channel in channels {
            all.entry(channel.clone()).or_default().insert(id);
        }
        *ears_so_far += 1;
        ear.mailbox.set_ready(false);
        ear.move_ = Some(Move {
            serial: *ears_so_far,
            channels: channels.clone(),
            crossing: false,
        });
        // What was asked before and is not any more.
        state.forget_unused(id);
        state.tell_ready();
        drop(state);
        self.bell.wake();
    }

    /// The session begins to change over; returns the payload of its marker. `None` if the shared
    /// connection does not listen any more: to be waited for again.
    pub(super) fn cross(&self, id: u64) -> Option<String> {
        let mut state = self.lock();
        let connected = state.connected;
        let ear = state.ears.get_mut(&id)?;
        if !connected || !ear.mailbox.is_ready() {
            return None;
        }
        let move_ = ear.move_.as_mut()?;
        move_.crossing = true;
        Some(format!("{id}-{}", move_.serial))
    }

    /// The client does not move; it listens to `channels` here as before.
    pub(super) fn stay(&self, id: u64, channels: &Channels) {
        if let Some(ear) = self.lock().ears.get_mut(&id) {
            ear.move_ = None;
            ear.mailbox.set_ready(false);
        }
        self.keep(id, channels);
    }

    /// The client listens to these channels alone from now on, of those it has here.
    pub(super) fn keep(&self, id: u64, channels: &Channels) {
        let mut state = self.lock();
        if let Some(ear) = state.ears.get_mut(&id) {
            ear.live.retain(|channel| channels.contains(channel));
            // Those under way are not among them yet, unless the session has changed over.
            if let Some(move_) = ear.move_.as_mut().filter(|move_| move_.crossing) {
                move_.channels.retain(|channel| channels.contains(channel));
            }
            ear.mailbox.purge(|channel| !channels.contains(channel));
        }
        state.forget_unused(id);
        drop(state);
        self.bell.wake();
    }
}

impl State {
    /// Drops the interest of an ear in what it neither hears nor moves.
    fn forget_unused(&mut self, id: u64) {
        let ear = self.ears.get(&id);
        self.channels.retain(|channel, ears| {
            let used = ear.is_some_and(|ear| {
                ear.live.contains(channel)
                    || ear
                        .move_
                        .as_ref()
                        .is_some_and(|move_| move_.channels.contains(channel))
            });
            if !used {
                ears.remove(&id);
            }
            !ears.is_empty()
        });
        self.stale = true;
    }

    /// Tells those whose channels are listened to.
    fn tell_ready(&mut self) {
        if !self.connected {
            return;
        }
        for ear in self.ears.values_mut() {
            let Some(move_) = &ear.move_ else { continue };
            let there = move_.channels.iter().all(|c| self.listening.contains(c));
            if !there || ear.mailbox.is_ready() {
                continue;
            }
            if move_.crossing {
                // Its marker went by while there was no connection.
                ear.live.extend(move_.channels.iter().cloned());
                ear.move_ = None;
            } else {
                ear.mailbox.set_ready(true);
            }
        }
    }

    /// A marker has come: what follows goes to the client by this way.
    fn arrived(&mut self, payload: &[u8]) {
        let Some((id, serial)) = std::str::from_utf8(payload)
            .ok()
            .and_then(|payload| payload.split_once('-'))
        else {
            return;
        };
        let (Ok(id), Ok(serial)) = (id.parse(), serial.parse::<u64>()) else {
            return;
        };
        let Some(ear) = self.ears.get_mut(&id) else {
            return;
        };
        if let Some(move_) = ear.move_.take_if(|move_| move_.serial == serial) {
            ear.live.extend(move_.channels);
            ear.mailbox.set_ready(false);
        }
    }

    /// Hands a notification to those who listen.
    fn deliver(&mut self, channel: &[u8], whole: &[u8]) {
        let Some(ids) = self.channels.get(channel) else {
            return;
        };
        let mut copy = None;
        for id in ids {
            let Some(ear) = self.ears.get(id).filter(|ear| ear.live.contains(channel)) else {
                continue;
            };
            let (channel, wire) = copy.get_or_insert_with(|| {
                (
                    Bytes::copy_from_slice(channel),
                    Bytes::copy_from_slice(whole),
                )
            });
            ear.mailbox.put(channel.clone(), wire.clone());
            self.delivered += 1;
        }
    }

    /// The request under way has been answered.
    fn answered(&mut self) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        if std::mem::take(&mut self.failed) {
            // Those who asked go on by themselves.
            let refused: Channels = asked.into_iter().collect();
            let mut ids = Vec::new();
            for (id, ear) in &mut self.ears {
                let affected = ear.move_.as_ref();
                if affected.is_some_and(|move_| !move_.channels.is_disjoint(&refused)) {
                    ear.move_ = None;
                    ids.push(*id);
                }
            }
            for id in ids {
                self.forget_unused(id);
            }
            return;
        }
        self.listening.extend(asked);
        self.stale = true;
        self.tell_ready();
    }
}

impl Feed for Board {
    fn listen(&self, waker: &Waker) {
        self.bell.register(waker);
    }

    fn follower(&self, turn: usize) -> Option<Arc<str>> {
        let state = self.lock();
        let mut users: Vec<&Arc<str>> = Vec::new();
        for ear in state.ears.values() {
            let follows = !ear.live.is_empty() || ear.move_.is_some();
            if follows && !users.contains(&&ear.user) {
                users.push(&ear.user);
            }
        }
        let place = turn.checked_rem(users.len())?;
        users.get(place).map(|user| Arc::clone(user))
    }

    fn opened(&self) {
        let mut state = self.lock();
        state.connected = true;
        state.listening.clear();
        state.asked = None;
        state.failed = false;
        state.stale = true;
    }

    fn speak(&self, out: &mut Vec<u8>) {
        let mut state = self.lock();
        if !state.stale || state.asked.is_some() || !state.connected {
            return;
        }
        state.stale = false;
        let mut asked = Changes::default();
        let marker = std::iter::once(&self.marker);
        let wanted = state.channels.keys().chain(marker);
        asked.listen.extend(
            wanted
                .filter(|channel| !state.listening.contains(*channel))
                .take(AT_ONCE)
                .cloned(),
        );
        let gone = state
            .listening
            .iter()
            .filter(|channel| !state.channels.contains_key(*channel) && **channel != self.marker);
        asked.unlisten.extend(gone.take(AT_ONCE).cloned());
        if asked.listen.is_empty() && asked.unlisten.is_empty() {
            return;
        }
        for channel in &asked.unlisten {
            state.listening.remove(channel);
        }
        let mut sql = Vec::new();
        if !state.listening.contains(&self.marker) {
            sql.extend_from_slice(ENCODING);
        }
        for (word, channels) in [("LISTEN ", &asked.listen), ("UNLISTEN ", &asked.unlisten)] {
            for channel in channels {
                sql.extend_from_slice(word.as_bytes());
                super::write_channel(channel, &mut sql);
                sql.push(b';');
            }
        }
        rename::query(&sql, out);
        state.asked = Some(asked.listen);
    }

    fn hear(&self, input: &[u8]) -> Result<usize, Breach> {
        let mut state = self.lock();
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let header = frame::header(rest, LONGEST_BODY).map_err(|_| Breach("bad length"))?;
            let Some(header) = header else {
                return Ok(at);
            };
            let Some(whole) = rest.get(..HEADER_LEN + header.len) else {
                return Ok(at);
            };
            match header.kind {
                b'A' => {
                    let note = super::Note::read(whole).ok_or(Breach("bad notification"))?;
                    if *note.channel == *self.marker {
                        state.arrived(note.payload);
                    } else {
                        state.deliver(note.channel, whole);
                    }
                }
                b'E' => state.failed = true,
                b'Z' => state.answered(),
                b'C' | b'N' | b'S' => {}
                _ => return Err(Breach("a reply that nothing asked for")),
            }
            at += whole.len();
        }
    }

    fn lost(&self) {
        let mut state = self.lock();
        state.connected = false;
        state.listening.clear();
        state.asked = None;
        let mut warning = Vec::new();
        message::notice_response(&mut warning, &WARNING);
        let warning = Bytes::from(warning);
        for ear in state.ears.values() {
            ear.mailbox.set_ready(false);
            if !ear.live.is_empty() || ear.move_.as_ref().is_some_and(|move_| move_.crossing) {
                ear.mailbox.put(Bytes::new(), warning.clone());
            }
        }
    }

    fn delivered(&self) -> u64 {
        std::mem::take(&mut self.lock().delivered)
    }
}

/// What clients get in other encodings is not shared: see the module above.
const ENCODING: &[u8] = b"SET client_encoding TO 'UTF8';";

/// Commands in one request.
const AT_ONCE: usize = 256;

/// A payload is shorter than 8000 bytes (PostgreSQL documentation, NOTIFY); errors are longer.
const LONGEST_BODY: usize = 1 << 20;

/// 01000 is `warning` (PostgreSQL documentation, appendix A).
const WARNING: Report<'static> = Report {
    hint: Some("Notifications sent until now may have been missed; look for yourself."),
    ..Report::new(
        Severity::Warning,
        "01000",
        "the proxy's connection for notifications was lost",
    )
};
