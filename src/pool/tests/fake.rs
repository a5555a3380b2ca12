//! A database that lives in memory and does as it is told, for tests of policy and for the bench.
//! Its connections are real sockets, so that a closed one looks closed.

use std::cmp::Ordering as Comparison;
use std::collections::VecDeque;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::model::{
    AuthMethod, EngineFamily, Fault, Finding, Listed, Observation, Pins, PoolKey, Position,
    Progress, Proof, Roll, Secret, TlsFacts, TxStatus,
};
use crate::net::{DialError, Stream};
use crate::pool::{Open, OpenError, Opened, Opening, ServerLogin};
use crate::protocol::{
    Addressee, Affinity, Asked, Attach, Back, Breach, Caller, CancelOrder, Chore, Codec,
    ConnectError, ConnectPlan, Demand, Derivation, Engine, Entropy, Errand, Exchange, Front,
    FrontSettings, HelloOffer, Login, Opening as Hello, ProofDemand, Refusal, Script, ServerError,
    Silence, Step, Table, Unit, Wants,
};

/// The engine. Its client side is never entered.
pub struct Fake;

/// A connection's state, which tests set as a session would have left it.
pub struct FakeBack {
    pub pid: u32,
    pub dirty: bool,
    pub tx: TxStatus,
    pub settled: bool,
    pub closing: bool,
    pub version: u32,
    server: Arc<FakeServer>,
    error: Option<ServerError>,
    value: Option<Vec<u8>>,
    table: Table,
}

/// The server.
pub struct FakeServer {
    listener: TcpListener,
    /// The server's ends of open connections, by pid.
    peers: Mutex<Vec<(u32, TcpStream)>>,
    heard: Mutex<Vec<(u32, Vec<u8>)>>,
    next_pid: AtomicU32,
    live: AtomicU32,
    pub most_live: AtomicU32,
    pub logins: AtomicU32,
    pub logging_in: AtomicU32,
    pub most_logging_in: AtomicU32,
    pub rules: Mutex<Rules>,
    pub chores: Mutex<Vec<(u32, &'static str)>>,
}

/// How the server behaves.
pub struct Rules {
    /// What `Chore::Capacity` says; `None` is an error.
    pub capacity: Option<u32>,
    /// A login beyond so many connections is refused with 53300.
    pub hard_limit: u32,
    /// What a login takes.
    pub login_time: Duration,
    /// Failures of the next logins, in order.
    pub failures: VecDeque<OpenError>,
    /// While set, every login fails to reach the server.
    pub down: bool,
    /// Chores of these names get an error.
    pub refused_chores: Vec<&'static str>,
    /// Chores of these names are never answered.
    pub ignored_chores: Vec<&'static str>,
    pub version: u32,
}

impl FakeServer {
    pub fn start(capacity: u32) -> Arc<Self> {
        Arc::new(Self {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            peers: Mutex::default(),
            heard: Mutex::default(),
            next_pid: AtomicU32::new(1),
            live: AtomicU32::new(0),
            most_live: AtomicU32::new(0),
            logins: AtomicU32::new(0),
            logging_in: AtomicU32::new(0),
            most_logging_in: AtomicU32::new(0),
            rules: Mutex::new(Rules {
                capacity: Some(capacity),
                hard_limit: u32::MAX,
                login_time: Duration::from_millis(10),
                failures: VecDeque::new(),
                down: false,
                refused_chores: Vec::new(),
                ignored_chores: Vec::new(),
                version: 17,
            }),
            chores: Mutex::default(),
        })
    }

    pub fn set(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules.lock().unwrap());
    }

    /// Connections that exist.
    pub fn live(&self) -> u32 {
        self.live.load(Ordering::SeqCst)
    }

    pub fn logins(&self) -> u32 {
        self.logins.load(Ordering::SeqCst)
    }

    /// Names of the chores run so far, except those of every login.
    pub fn chores(&self) -> Vec<&'static str> {
        let chores = self.chores.lock().unwrap();
        let names = chores.iter().map(|(_, name)| *name);
        names.filter(|name| *name != "capacity").collect()
    }

    /// The server closes a connection.
    pub fn kill(&self, pid: u32) {
        self.peers.lock().unwrap().retain(|(p, _)| *p != pid);
    }

    /// The server closes all connections.
    pub fn kill_all(&self) {
        self.peers.lock().unwrap().clear();
    }

    /// A connection has ended: the server keeps what it has heard on it, and nothing else.
    fn end(&self, pid: u32) {
        use io::Read;
        let mut peers = self.peers.lock().unwrap();
        let Some(place) = peers.iter().position(|(p, _)| *p == pid) else {
            return;
        };
        let (_, mut peer) = peers.swap_remove(place);
        let mut heard = Vec::new();
        // Our end may still be open where a connection is dropped in parts.
        peer.set_nonblocking(true).unwrap();
        let _reset = peer.read_to_end(&mut heard);
        self.heard.lock().unwrap().push((pid, heard));
    }

    /// What the server has heard on a connection that has ended.
    pub fn heard(&self, pid: u32) -> Vec<u8> {
        let heard = self.heard.lock().unwrap();
        let (_, heard) = heard.iter().find(|(p, _)| *p == pid).unwrap();
        heard.clone()
    }

    /// The server says something unasked.
    pub fn say(&self, pid: u32, bytes: &[u8]) {
        use io::Write;
        let peers = self.peers.lock().unwrap();
        let (_, peer) = peers.iter().find(|(p, _)| *p == pid).unwrap();
        (&*peer).write_all(bytes).unwrap();
    }

    fn connect(self: &Arc<Self>) -> io::Result<(Stream, u32)> {
        let pid = self.next_pid.fetch_add(1, Ordering::SeqCst);
        let mut peers = self.peers.lock().unwrap();
        let ours = TcpStream::connect(self.listener.local_addr()?)?;
        let (theirs, _) = self.listener.accept()?;
        peers.push((pid, theirs));
        ours.set_nonblocking(true)?;
        let ours = tokio::net::TcpStream::from_std(ours)?;
        Ok((Stream::plain(ours), pid))
    }

    async fn login(self: Arc<Self>) -> Result<Opened<Fake>, OpenError> {
        let now = self.logging_in.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_logging_in.fetch_max(now, Ordering::SeqCst);
        let _end = Lower(&self.logging_in);
        let wait = self.rules.lock().unwrap().login_time;
        tokio::time::sleep(wait).await;
        self.logins.fetch_add(1, Ordering::SeqCst);
        let (version, limit) = {
            let mut rules = self.rules.lock().unwrap();
            if let Some(error) = rules.failures.pop_front() {
                return Err(error);
            }
            if rules.down {
                return Err(unreachable_target());
            }
            (rules.version, rules.hard_limit)
        };
        let live = self.live.fetch_add(1, Ordering::SeqCst) + 1;
        if live > limit {
            self.live.fetch_sub(1, Ordering::SeqCst);
            return Err(refused("53300", "sorry, too many clients already"));
        }
        self.most_live.fetch_max(live, Ordering::SeqCst);
        let (stream, pid) = self.connect().unwrap();
        let back = FakeBack {
            pid,
            dirty: false,
            tx: TxStatus::Idle,
            settled: true,
            closing: false,
            version,
            server: self.clone(),
            error: None,
            value: None,
            table: Table::default(),
        };
        Ok(Opened {
            stream,
            back,
            carry: BytesMut::new(),
            user: "app".into(),
        })
    }
}

struct Lower<'a>(&'a AtomicU32);

impl Drop for Lower<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub fn refused(code: &str, message: &str) -> OpenError {
    OpenError::Login(ConnectError::Refused(ServerError {
        code: code.to_owned(),
        message: message.to_owned(),
        wire: Bytes::copy_from_slice(message.as_bytes()),
    }))
}

pub fn unreachable_target() -> OpenError {
    OpenError::Dial(DialError::Connect {
        address: ([127, 0, 0, 1], 1).into(),
        source: io::ErrorKind::ConnectionRefused.into(),
    })
}

pub fn out_of_files() -> OpenError {
    OpenError::Dial(DialError::Local(io::ErrorKind::Other.into()))
}

/// Opens connections to the server.
pub struct FakeOpener(pub Arc<FakeServer>);

impl Open<Fake> for FakeOpener {
    fn open<'a>(&'a self, _: &'a PoolKey, _: &'a ServerLogin) -> Opening<'a, Fake> {
        Box::pin(self.0.clone().login())
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(15)
    }
}

impl Drop for FakeBack {
    fn drop(&mut self) {
        self.server.live.fetch_sub(1, Ordering::SeqCst);
        self.server.end(self.pid);
    }
}

impl Back for FakeBack {
    type Greeting = u32;

    fn refusal(&mut self) -> Option<Refusal> {
        None
    }

    fn progress(&self) -> Progress {
        Progress {
            settled: self.settled,
            tx: self.tx,
            closing: self.closing,
        }
    }

    fn has_refused_write(&mut self) -> bool {
        false
    }

    fn is_dirty(&self) -> bool {
        self.dirty
    }

    fn has_settings(&self) -> bool {
        false
    }

    fn soil(&mut self) {
        self.dirty = true;
    }

    fn greeting(&self) -> u32 {
        self.version
    }

    fn request(&mut self, chore: Chore<'_>, _: &mut Vec<u8>) {
        let name = match chore {
            Chore::Rollback => "rollback",
            Chore::Reset => "reset",
            Chore::Ping => "ping",
            Chore::Cancel(_) => "cancel",
            Chore::Init(_) => "init",
            Chore::Query(_) | Chore::Table(_) | Chore::Account { .. } => "query",
            Chore::Position | Chore::Reached { .. } => "position",
            Chore::Capacity => "capacity",
        };
        self.server.chores.lock().unwrap().push((self.pid, name));
        let rules = self.server.rules.lock().unwrap();
        self.error = None;
        if rules.ignored_chores.contains(&name) {
            self.settled = false;
            return;
        }
        if rules.refused_chores.contains(&name) {
            self.error = Some(ServerError {
                code: "XX000".to_owned(),
                message: "as told".to_owned(),
                wire: Bytes::new(),
            });
            return;
        }
        match chore {
            Chore::Rollback => self.tx = TxStatus::Idle,
            Chore::Reset => self.dirty = false,
            Chore::Capacity => self.value = rules.capacity.map(|n| n.to_string().into()),
            _ => {}
        }
    }

    /// `n` is a notice, `g` a farewell, all else a breach.
    fn absorb(&mut self, input: &[u8]) -> Result<usize, Breach> {
        for byte in input {
            match byte {
                b'n' => {}
                b'g' => self.closing = true,
                _ => return Err(Breach("not a notice")),
            }
        }
        Ok(input.len())
    }

    fn farewell(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"bye");
    }

    fn chore_error(&self) -> Option<&ServerError> {
        self.error.as_ref()
    }

    fn chore_value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    fn chore_table(&self) -> &Table {
        &self.table
    }

    fn server_pid(&self) -> u32 {
        self.pid
    }
}

/// What the pools never touch.
pub enum Never {}

/// A dialogue that is never held.
pub struct Mute<D, X>(std::marker::PhantomData<fn() -> (D, X)>);

impl<D: Send, X: Send> Exchange for Mute<D, X> {
    type Done = D;
    type Error = X;

    fn advance(&mut self, _: &mut BytesMut, _: &mut BytesMut) -> Result<Step<D>, X> {
        Ok(Step::Read)
    }
    fn secured(&mut self, _: &TlsFacts) {}
    fn computed(&mut self, _: Secret) {}
}

impl Login for Never {
    fn user(&self) -> &Arc<str> {
        match *self {}
    }
    fn database(&self) -> &Arc<str> {
        match *self {}
    }
    fn application(&self) -> &str {
        match *self {}
    }
}

impl Front for Never {
    fn news(&mut self, _: &mut Vec<u8>) -> Result<(), Fault> {
        match *self {}
    }
    fn pins(&self) -> Pins {
        match *self {}
    }
    fn finding(&mut self) -> Option<Finding> {
        match *self {}
    }
    fn outlives_reset(&self) -> bool {
        match *self {}
    }
    fn pin_cause(&self) -> Option<&str> {
        match *self {}
    }
    fn mid_request(&self) -> bool {
        match *self {}
    }
    fn profile(&self) -> u64 {
        match *self {}
    }
    fn starts_over(&self) -> bool {
        match *self {}
    }
    fn has_quit(&self) -> bool {
        match *self {}
    }
    fn failure(&mut self) -> Option<Fault> {
        match *self {}
    }
    fn altered(&mut self) -> bool {
        match *self {}
    }
    fn requests(&self) -> u64 {
        match *self {}
    }
}

impl Engine for Fake {
    const FAMILY: EngineFamily = EngineFamily::Postgres;
    const DIRECT_TLS_ALPN: Option<&'static [u8]> = None;

    type Hello = Mute<Hello<Self>, Fault>;
    type Login = Never;
    type CancelKey = u64;
    type Prove = Mute<Proof, Fault>;
    type Connect = Mute<FakeBack, ConnectError>;
    type Front = Never;
    type Back = FakeBack;
    type Greeting = u32;
    type Announcement = ();
    type Feed = Silence;
    type Probe = Mute<(), ConnectError>;
    type Readings = ();
    const CATALOGUE: &'static str = "";
    const CATALOGUE_BY_USER: bool = false;

    fn readings(_: &[u8]) -> Option<()> {
        None
    }
    fn sketch(_: &[u8], _: Option<&()>, _: Option<&()>) -> Result<Demand, Box<str>> {
        Err("".into())
    }
    fn demand(front: &mut Never, _: &[u8], _: Option<&()>) -> Asked {
        match *front {}
    }
    fn unit(front: &Never, _: &[u8]) -> Option<Unit> {
        match *front {}
    }
    fn renounce(front: &mut Never) {
        match *front {}
    }

    fn unsend(front: &mut Never, _: &[u8]) {
        match *front {}
    }

    fn hello(_: HelloOffer, _: Caller<()>, _: Entropy) -> Self::Hello {
        Mute(std::marker::PhantomData)
    }
    fn probe() -> Self::Probe {
        Mute(std::marker::PhantomData)
    }
    fn affinity(login: &Never, _: &Arc<str>) -> Affinity {
        match *login {}
    }
    fn usual_method(login: &Never) -> AuthMethod {
        match *login {}
    }
    fn derive(_: AuthMethod, _: &Secret, _: &Entropy) -> Option<Derivation> {
        None
    }
    fn prove(login: &Never, _: ProofDemand, _: Entropy) -> Self::Prove {
        match *login {}
    }
    fn connect(_: ConnectPlan, _: Entropy) -> Self::Connect {
        Mute(std::marker::PhantomData)
    }
    fn front(login: &Never, _: &Arc<str>, _: Arc<FrontSettings>) -> Result<Never, Fault> {
        match *login {}
    }
    fn cancel_key(login: &Never, _: u64, _: Entropy) -> u64 {
        match *login {}
    }
    fn welcome(front: &mut Never, _: &u32, _: &u64, _: &mut BytesMut) {
        match *front {}
    }
    fn codec(login: &Never) -> Option<Box<dyn Codec>> {
        match *login {}
    }
    fn refuse(_: &Fault, _: Addressee<'_, Self>, _: &mut Vec<u8>) {}
    fn cancel_request(_: &FakeBack) -> Option<CancelOrder> {
        None
    }
    fn errand(front: &mut Never) -> Option<Errand<u64>> {
        match *front {}
    }
    fn errand_done(front: &mut Never, _: bool, _: &mut Vec<u8>) {
        match *front {}
    }
    fn wants(front: &mut Never, _: &[u8], _: &mut Vec<u8>) -> Result<(usize, Wants), Fault> {
        match *front {}
    }
    fn relogin(front: &mut Never, _: &[u8]) -> Result<(usize, Never), Fault> {
        match *front {}
    }
    fn decline(front: &mut Never, _: &Fault, _: &[u8], _: &mut Vec<u8>) {
        match *front {}
    }
    fn attach(front: &mut Never, _: &mut FakeBack, _: &mut Vec<u8>, _: &mut Vec<u8>) -> Attach {
        match *front {}
    }
    fn feed(_: u64) -> Silence {
        Silence
    }
    fn tune(front: &mut Never, _: &Arc<Silence>, _: &Arc<str>, _: Waker) {
        match *front {}
    }
    fn inspect(front: &mut Never, _: &mut FakeBack, _: &mut Vec<u8>) -> bool {
        match *front {}
    }
    fn from_client(
        front: &mut Never,
        _: &mut FakeBack,
        _: &[u8],
        _: &mut Script,
        _: &mut Vec<u8>,
    ) -> Result<usize, Fault> {
        match *front {}
    }
    fn from_server(
        front: &mut Never,
        _: &mut FakeBack,
        _: &[u8],
        _: &mut Script,
    ) -> Result<usize, Breach> {
        match *front {}
    }
    fn inquire(front: &mut Never, _: &mut FakeBack, _: &mut Vec<u8>) {
        match *front {}
    }
    fn orphan(front: &mut Never, _: &mut FakeBack, _: Option<&Fault>, _: &mut Vec<u8>) -> bool {
        match *front {}
    }
    fn survey(_: &FakeBack) -> &'static [&'static str] {
        &[]
    }
    fn fence(_: &FakeBack, _: bool) -> &'static [&'static str] {
        &[]
    }
    fn promotion(_: &FakeBack) -> &'static [&'static str] {
        &[]
    }
    fn roll(_: Roll) -> &'static str {
        ""
    }
    fn members(_: &Table) -> Vec<Listed> {
        Vec::new()
    }
    fn observe(_: &[Table]) -> Option<Observation> {
        None
    }
    fn compare(_: &Position, _: &Position) -> Option<Comparison> {
        None
    }
}
