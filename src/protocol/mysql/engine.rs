//! [`Engine`] for MySQL and MariaDB: where the parts meet, and nothing more.

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use bytes::BytesMut;

use super::accept;
use super::answer;
use super::back::MyBack;
use super::capability::Capabilities;
use super::catalogue::{self, MyReadings};
use super::compress::{Algorithm, Compressed};
use super::connect;
use super::front::MyFront;
use super::login::{Announcement, Login};
use super::probe::Probe;
use super::prove::{self, Prove};
use super::reply::{self, Watcher};
use super::status::Status;
use super::{demand, fault, gtid, idle, inquire, join, orphan, relogin, request, roll, survey};
use crate::model::{
    AuthMethod, EngineFamily, Fault, Listed, Observation, Position, Roll, Secret, TlsFacts,
};
use crate::protocol::Back as _;
use crate::protocol::{
    Addressee, Affinity, Asked, Attach, Breach, Caller, CancelOrder, Codec, ConnectError,
    ConnectPlan, Demand, Derivation, Engine, Entropy, Errand, Exchange, FrontSettings, HelloOffer,
    Opening, ProofDemand, Script, Silence, Step, Table, Unit, Wants,
};

/// MySQL and MariaDB.
#[derive(Clone, Copy, Debug)]
pub enum Mysql {}

impl Engine for Mysql {
    const FAMILY: EngineFamily = EngineFamily::Mysql;
    // The server speaks first, so no client begins with TLS.
    const DIRECT_TLS_ALPN: Option<&'static [u8]> = None;

    type Hello = Hello;
    type Login = Login;
    type CancelKey = u64;
    type Prove = Prove;
    type Connect = Connect;
    type Front = MyFront;
    type Back = MyBack;
    type Greeting = Status;
    type Announcement = Arc<Announcement>;
    type Probe = Probe;
    // These servers never speak unasked.
    type Feed = Silence;

    type Readings = MyReadings;
    const CATALOGUE: &'static str = catalogue::CATALOGUE;
    // Everybody sees what he has rights to.
    const CATALOGUE_BY_USER: bool = true;

    fn readings(answer: &[u8]) -> Option<MyReadings> {
        Some(MyReadings::new(catalogue::catalogue(answer)?))
    }

    fn demand(front: &mut MyFront, input: &[u8], readings: Option<&MyReadings>) -> Asked {
        demand::demand(front, input, readings)
    }

    fn sketch(
        text: &[u8],
        announcement: Option<&Arc<Announcement>>,
        readings: Option<&MyReadings>,
    ) -> Result<Demand, Box<str>> {
        demand::sketch(text, announcement.map(|it| &**it), readings)
    }

    fn unit(_: &MyFront, input: &[u8]) -> Option<Unit> {
        demand::unit(input)
    }

    fn unsend(front: &mut MyFront, _: &[u8]) {
        demand::unsend(front);
    }

    fn renounce(front: &mut MyFront) {
        front.renounce();
    }

    fn feed(_: u64) -> Silence {
        Silence
    }

    fn tune(_: &mut MyFront, _: &Arc<Silence>, _: &Arc<str>, _: Waker) {}

    fn hello(offer: HelloOffer, caller: Caller<Arc<Announcement>>, entropy: Entropy) -> Hello {
        Hello(accept::Hello::new(offer, caller, &entropy))
    }

    fn probe() -> Probe {
        Probe::new()
    }

    fn affinity(login: &Login, _: &Arc<str>) -> Affinity {
        let schema = u32::from(login.database.is_empty()) << SCHEMALESS;
        Affinity {
            // Connections move between schemas, but never to none.
            database: "".into(),
            variant: login.capabilities.variant() | schema,
        }
    }

    fn usual_method(login: &Login) -> AuthMethod {
        prove::usual_method(login)
    }

    // A challenge is checked against the password itself at no cost.
    fn derive(_: AuthMethod, _: &Secret, _: &Entropy) -> Option<Derivation> {
        None
    }

    fn prove(login: &Login, demand: ProofDemand, entropy: Entropy) -> Prove {
        Prove::new(login, demand, &entropy)
    }

    fn connect(plan: ConnectPlan, entropy: Entropy) -> Connect {
        Connect(connect::Connect::new(plan, &entropy))
    }

    fn front(
        login: &Login,
        database: &Arc<str>,
        policy: Arc<FrontSettings>,
    ) -> Result<MyFront, Fault> {
        Ok(MyFront::new(login, database, policy))
    }

    fn cancel_key(_: &Login, session: u64, _: Entropy) -> u64 {
        session & NUMBERS
    }

    fn welcome(front: &mut MyFront, greeting: &Status, key: &u64, out: &mut BytesMut) {
        front.session = *key;
        front.status = greeting.without(Status::IN_TRANS);
        front.first_status = front.status.of_session();
        let assurance = front.assurance.take();
        let assurance = assurance.as_deref().and_then(OnceLock::get);
        answer::welcome(front, assurance.map_or(&[], |info| info), out);
    }

    fn codec(login: &Login) -> Option<Box<dyn Codec>> {
        let codec = Compressed::new(Algorithm::of(login.capabilities)?)?;
        Some(Box::new(codec))
    }

    fn refuse(fault: &Fault, to: Addressee<'_, Self>, out: &mut Vec<u8>) {
        match to {
            Addressee::Stranger => fault::write_early(fault, out),
            Addressee::Login(login) => fault::write(fault, login.sequence.take(), out),
            Addressee::Session(front) => fault::write(fault, front.next_seq, out),
        };
    }

    fn cancel_request(back: &MyBack) -> Option<CancelOrder> {
        Some(CancelOrder::Chore(back.server_pid()))
    }

    fn errand(front: &mut MyFront) -> Option<Errand<u64>> {
        front.errand
    }

    fn errand_done(front: &mut MyFront, found: bool, replies: &mut Vec<u8>) {
        if let Some(errand) = front.errand.take() {
            idle::errand_done(front, errand.key, found, replies);
        }
    }

    fn wants(
        front: &mut MyFront,
        input: &[u8],
        replies: &mut Vec<u8>,
    ) -> Result<(usize, Wants), Fault> {
        idle::wants(front, input, replies)
    }

    fn relogin(front: &mut MyFront, input: &[u8]) -> Result<(usize, Login), Fault> {
        relogin::read(front, input)
    }

    fn decline(front: &mut MyFront, fault: &Fault, input: &[u8], replies: &mut Vec<u8>) {
        idle::decline(front, fault, input, replies);
    }

    fn attach(
        front: &mut MyFront,
        back: &mut MyBack,
        request: &mut Vec<u8>,
        _: &mut Vec<u8>,
    ) -> Attach {
        join::attach(front, back, request)
    }

    fn from_client(
        front: &mut MyFront,
        back: &mut MyBack,
        input: &[u8],
        script: &mut Script,
        replies: &mut Vec<u8>,
    ) -> Result<usize, Fault> {
        request::read(front, back, input, script, replies)
    }

    fn from_server(
        front: &mut MyFront,
        back: &mut MyBack,
        input: &[u8],
        script: &mut Script,
    ) -> Result<usize, Breach> {
        reply::read(back, Some(Watcher { front, script }), input)
    }

    fn inspect(front: &mut MyFront, back: &mut MyBack, request: &mut Vec<u8>) -> bool {
        inquire::inspect(front, back, request)
    }

    fn inquire(front: &mut MyFront, back: &mut MyBack, request: &mut Vec<u8>) {
        inquire::inquire(front, back, request);
    }

    fn orphan(
        front: &mut MyFront,
        back: &mut MyBack,
        fault: Option<&Fault>,
        replies: &mut Vec<u8>,
    ) -> bool {
        orphan::orphan(front, back, fault, replies)
    }

    fn survey(back: &MyBack) -> &'static [&'static str] {
        survey::questions(&back.announcement)
    }

    fn fence(back: &MyBack, on: bool) -> &'static [&'static str] {
        survey::fence(&back.announcement, on)
    }

    fn promotion(back: &MyBack) -> &'static [&'static str] {
        survey::promotion(&back.announcement)
    }

    fn roll(roll: Roll) -> &'static str {
        roll::question(roll)
    }

    fn members(answer: &Table) -> Vec<Listed> {
        roll::members(answer)
    }

    fn observe(answers: &[Table]) -> Option<Observation> {
        survey::observe(answers)
    }

    fn compare(a: &Position, b: &Position) -> Option<Ordering> {
        gtid::compare(&a.0, &b.0)
    }
}

/// [`accept::Hello`], with the outcome in the shared words.
pub struct Hello(accept::Hello);

impl Exchange for Hello {
    type Done = Opening<Mysql>;
    type Error = Fault;

    fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Step<Self::Done>, Fault> {
        Ok(self.0.advance(input, out)?.map(Opening::Login))
    }

    fn secured(&mut self, facts: &TlsFacts) {
        self.0.secured(facts);
    }

    fn computed(&mut self, result: Secret) {
        self.0.computed(result);
    }
}

/// [`connect::Connect`], which yields the books of the new connection.
pub struct Connect(connect::Connect);

impl Exchange for Connect {
    type Done = MyBack;
    type Error = ConnectError;

    fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Step<MyBack>, ConnectError> {
        Ok(self.0.advance(input, out)?.map(MyBack::new))
    }

    fn secured(&mut self, facts: &TlsFacts) {
        self.0.secured(facts);
    }

    fn computed(&mut self, result: Secret) {
        self.0.computed(result);
    }
}

/// The bit of a variant that keeps clients without schema apart, behind those of capabilities.
const SCHEMALESS: usize = Capabilities::BOUND.len();

/// Connections have numbers of 32 bits in this protocol.
const NUMBERS: u64 = 0xFFFF_FFFF;
