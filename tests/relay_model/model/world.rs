//! Clients, the relay and servers, joined by byte queues that move under a schedule. The relay's
//! engine is driven as sessions drive it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sluice::model::{PinPolicy, PoolMode, TxStatus};
use sluice::protocol::postgres::Postgres;
use sluice::protocol::postgres::back::{LoggedIn, PgBack};
use sluice::protocol::postgres::cancel::CancelKey;
use sluice::protocol::postgres::front::PgFront;
use sluice::protocol::postgres::reported::Reported;
use sluice::protocol::postgres::settings::Settings;
use sluice::protocol::{Attach, Back, Chore, Engine, Front, FrontSettings, Script, Wants};

use super::case::{self, Part, Step};
use super::script::Case;
use super::server::Server;
use super::wire::{self, Message};

/// Runs a case to its end.
///
/// # Panics
/// If a client sees anything but what a direct connection would have shown it, if a server
/// connection is given back before it is idle, or if somebody waits for ever.
pub fn run(case: &Case) {
    let mut world = World::new(case);
    for (who, amount) in &case.turns {
        world.turn(*who, *amount);
    }
    while world.all_move() {}
    world.finish();
}

struct World {
    sessions: Vec<Session>,
    links: Vec<Link>,
    limit: usize,
}

/// A client and its side of the relay.
struct Session {
    front: PgFront,
    part: Part,
    steps: VecDeque<Step>,
    /// Sent by the client, not yet dealt with.
    inbox: Vec<u8>,
    /// Bytes for the client that are not a whole message yet.
    partial: Vec<u8>,
    received: usize,
    reported: BTreeMap<String, String>,
    link: Option<usize>,
    confirming: bool,
    gone: bool,
}

/// A server connection.
struct Link {
    back: PgBack,
    server: Server,
    to_server: Vec<u8>,
    carry: Vec<u8>,
    lent: bool,
}

impl Link {
    fn new() -> Self {
        let reported = vec![("application_name".into(), b""[..].into())];
        Self {
            back: PgBack::new(LoggedIn {
                reported: Reported::new(reported),
                pid: 7,
                cancel_key: Bytes::from_static(b"abcd"),
                tls: false,
            }),
            server: Server::new(&[]),
            to_server: Vec::new(),
            carry: Vec::new(),
            lent: false,
        }
    }

    fn serve(&mut self, amount: usize) -> bool {
        let n = amount.min(self.to_server.len());
        let bytes: Vec<u8> = self.to_server.drain(..n).collect();
        self.server.feed(&bytes);
        n > 0
    }

    /// Does a chore to its end.
    fn chore(&mut self, chore: Chore<'_>) {
        self.back.request(chore, &mut self.to_server);
        self.serve(usize::MAX);
        self.carry.append(&mut self.server.out);
        let dealt = self.back.absorb(&self.carry);
        let dealt = dealt.expect("a server that keeps the protocol");
        self.carry.drain(..dealt);
    }
}

impl World {
    fn new(case: &Case) -> Self {
        let limit = usize::from(case.statements % 4) + 1;
        let policy = Arc::new(FrontSettings {
            splits: false,
            pool_mode: if case.session_mode {
                PoolMode::Session
            } else {
                PoolMode::Transaction
            },
            ignore_options: Arc::new([]),
            allow_options: None,
            max_client_statements: 100,
            max_server_statements: limit,
            max_statement_bytes: 1 << 20,
            pins: PinPolicy::default(),
        });
        let sessions = case.clients.iter().take(4).map(|client| {
            let startup = client.startup.settings();
            let pairs = startup
                .iter()
                .map(|(name, value)| (&**name, value.as_bytes()));
            let part = case::plan(client, case.session_mode);
            let mut front = PgFront::new(Settings::from_pairs(pairs), Arc::clone(&policy));
            let (greeting, mut welcome) = (Link::new().back.greeting(), BytesMut::new());
            let key = CancelKey::new(1, 0, &[0; 48]);
            Postgres::welcome(&mut front, &greeting, &key, &mut welcome);
            let told = greeting.iter().map(|(name, value)| {
                let value = String::from_utf8_lossy(value).into_owned();
                (name.to_owned(), value)
            });
            Session {
                front,
                reported: told.collect(),
                steps: part.steps.iter().cloned().collect(),
                part,
                inbox: Vec::new(),
                partial: Vec::new(),
                received: 0,
                link: None,
                confirming: false,
                gone: false,
            }
        });
        let links = usize::from(case.servers % 3) + 1;
        Self {
            sessions: sessions.collect(),
            links: (0..links).map(|_| Link::new()).collect(),
            limit,
        }
    }

    fn turn(&mut self, who: u8, amount: u8) {
        let who = usize::from(who);
        let amount = match amount % 8 {
            7 => usize::MAX,
            n => 1 << n,
        };
        let (clients, links) = (self.sessions.len(), self.links.len());
        let place = who / 4;
        match who % 4 {
            0 if clients > 0 => drop(self.client_sends(place % clients, amount)),
            1 if clients > 0 => drop(self.relay_requests(place % clients, place / clients)),
            2 => drop(self.links[place % links].serve(amount)),
            3 => drop(self.relay_replies(place % links, amount)),
            _ => {}
        }
    }

    fn all_move(&mut self) -> bool {
        let mut moved = false;
        for i in 0..self.sessions.len() {
            moved |= self.client_sends(i, usize::MAX);
            moved |= self.relay_requests(i, 0);
        }
        for i in 0..self.links.len() {
            moved |= self.links[i].serve(usize::MAX);
            moved |= self.relay_replies(i, usize::MAX);
        }
        moved
    }

    fn client_sends(&mut self, i: usize, amount: usize) -> bool {
        let session = &mut self.sessions[i];
        match session.steps.front_mut() {
            Some(Step::Send(bytes)) => {
                let n = amount.min(bytes.len());
                session.inbox.extend(bytes.drain(..n));
                if bytes.is_empty() {
                    session.steps.pop_front();
                }
                true
            }
            Some(Step::Wait(replies)) if session.received >= *replies => {
                session.steps.pop_front();
                true
            }
            Some(Step::Leave) => {
                session.steps.clear();
                session.gone = true;
                self.part(i);
                true
            }
            None if !session.gone && session.received == session.part.replies.len() => {
                self.end(i);
                true
            }
            _ => false,
        }
    }

    /// The relay looks at what a client has sent.
    fn relay_requests(&mut self, i: usize, preferred: usize) -> bool {
        let session = &mut self.sessions[i];
        if session.gone || session.inbox.is_empty() && session.link.is_none() {
            return false;
        }
        let Some(link) = session.link else {
            return self.borrow(i, preferred);
        };
        let moved = self.digest(i, link);
        self.release(i) || moved
    }

    fn borrow(&mut self, i: usize, preferred: usize) -> bool {
        let session = &mut self.sessions[i];
        let mut replies = Vec::new();
        let wants = Postgres::wants(&mut session.front, &session.inbox, &mut replies);
        let (dealt, wants) = wants.expect("messages that follow the protocol");
        session.inbox.drain(..dealt);
        session.receive(&replies);
        let free = |link: &usize| !self.links[*link].lent;
        let order = (0..self.links.len()).map(|n| (n + preferred) % self.links.len());
        match (wants, order.into_iter().find(free)) {
            (Wants::Server, Some(link)) => {
                self.links[link].lent = true;
                self.sessions[i].link = Some(link);
                self.digest(i, link);
                self.release(i);
                true
            }
            _ => dealt > 0,
        }
    }

    /// As `Exchange::to_server` and `forward` in `session`.
    fn digest(&mut self, i: usize, link: usize) -> bool {
        let (session, link) = (&mut self.sessions[i], &mut self.links[link]);
        let progress = link.back.progress();
        if session.confirming && !progress.settled {
            return false;
        }
        let confirmed = std::mem::take(&mut session.confirming);
        if session.inbox.is_empty() {
            return confirmed;
        }
        let mut replies = Vec::new();
        let idle = progress.settled && progress.tx == TxStatus::Idle;
        if idle && !session.front.mid_request() {
            let request = &mut link.to_server;
            let attach =
                Postgres::attach(&mut session.front, &mut link.back, request, &mut replies);
            if attach == Attach::Wait {
                session.confirming = true;
                session.receive(&replies);
                return true;
            }
        }
        let mut script = Script::default();
        let (front, back) = (&mut session.front, &mut link.back);
        let dealt = Postgres::from_client(front, back, &session.inbox, &mut script, &mut replies);
        let dealt = dealt.expect("messages that follow the protocol");
        assert!(dealt <= session.inbox.len());
        for piece in script.pieces(&session.inbox) {
            link.to_server.extend_from_slice(piece);
        }
        session.inbox.drain(..dealt);
        session.receive(&replies);
        dealt > 0
    }

    /// The relay reads what a server has said.
    fn relay_replies(&mut self, i: usize, amount: usize) -> bool {
        let link = &mut self.links[i];
        let n = amount.min(link.server.out.len());
        if n == 0 {
            return false;
        }
        link.carry.extend(link.server.out.drain(..n));
        let who = self.sessions.iter().position(|s| s.link == Some(i));
        let session = &mut self.sessions[who.expect("nobody asked this server for anything")];
        let mut script = Script::default();
        let (front, back) = (&mut session.front, &mut link.back);
        let dealt = Postgres::from_server(front, back, &link.carry, &mut script);
        let dealt = dealt.expect("a server that keeps the protocol");
        assert!(dealt <= link.carry.len());
        let shown: Vec<u8> = script.pieces(&link.carry).flatten().copied().collect();
        link.carry.drain(..dealt);
        session.receive(&shown);
        assert!(session.front.failure().is_none(), "a replay failed");
        self.release(who.unwrap_or_default());
        true
    }

    /// Gives the server connection back if it is idle: as `Exchange::is_released`.
    fn release(&mut self, i: usize) -> bool {
        let session = &mut self.sessions[i];
        let Some(place) = session.link else {
            return false;
        };
        let link = &mut self.links[place];
        let idle = link.back.progress().is_idle()
            && session.front.pins().is_empty()
            && !session.confirming
            && !session.front.mid_request()
            && link.carry.is_empty();
        if !idle {
            return false;
        }
        session.link = None;
        self.put(place);
        true
    }

    /// The connection must be as idle as its books say.
    fn put(&mut self, place: usize) {
        let link = &mut self.links[place];
        let mut under_way = [link.server.unread(), &link.to_server].concat();
        let under_way = wire::take(&mut under_way);
        // Outside COPY, servers ignore these.
        let harmless = |message: &Message| b"dcfH".contains(&message.kind);
        assert!(
            under_way.iter().all(harmless),
            "given back with {under_way:?}"
        );
        assert!(
            link.server.out.is_empty(),
            "given back with replies under way"
        );
        assert!(
            link.server.is_quiet(),
            "given back while it works: {:?}",
            link.server
        );
        assert!(
            link.server.prepared() <= 3 * self.limit + 6,
            "statements are left behind: {:?}",
            link.server
        );
        if link.back.is_dirty() {
            link.chore(Chore::Reset);
            assert!(link.back.progress().is_idle() && !link.back.is_dirty());
        }
        link.lent = false;
    }

    /// The client has vanished: as `session::farewell::part` and `Borrowed::clean_up`.
    fn part(&mut self, i: usize) {
        let session = &mut self.sessions[i];
        let Some(place) = session.link.take() else {
            return;
        };
        let link = &mut self.links[place];
        if !session.front.pins().is_empty() {
            link.back.soil();
        }
        if session.front.mid_request() || session.front.outlives_reset() {
            return *link = Link::new();
        }
        if !link.back.progress().settled {
            link.chore(Chore::Rollback);
        }
        if !link.back.progress().settled {
            assert!(
                session.part.doubtful,
                "a rollback does not end: {:?}",
                link.back
            );
            return *link = Link::new();
        }
        if link.back.progress().tx != TxStatus::Idle {
            link.chore(Chore::Rollback);
        }
        assert!(link.back.progress().is_idle());
        self.put(place);
    }

    /// The client has got everything, and says goodbye.
    fn end(&mut self, i: usize) {
        let session = &mut self.sessions[i];
        session.gone = true;
        assert!(session.partial.is_empty());
        assert_eq!(session.reported, session.part.reported, "reported settings");
        if let Some(link) = session.link.map(|link| &self.links[link])
            && !session.part.doubtful
        {
            assert!(link.back.progress().is_idle(), "not idle: {:?}", link.back);
        }
        self.part(i);
    }

    fn finish(&self) {
        for (i, session) in self.sessions.iter().enumerate() {
            let left = session.part.replies.get(session.received..);
            let link = session.link.map(|link| &self.links[link]);
            assert!(
                session.gone,
                "client {i} waits for {left:?}; server {:?}, books {:?}",
                link.map(|link| &link.server),
                link.map(|link| &link.back),
            );
        }
    }
}

impl Session {
    /// Compares what the client gets with what a direct connection shows.
    fn receive(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        for message in wire::take(&mut self.partial) {
            if message.kind == b'S' {
                let [name, value] = message.strings(0);
                self.reported.insert(name, value);
                continue;
            }
            assert_eq!(
                Some(&message),
                self.part.replies.get(self.received),
                "message {} after {:?}",
                self.received,
                &self.part.replies[self.received.saturating_sub(8)..self.received],
            );
            self.received += 1;
        }
    }
}
