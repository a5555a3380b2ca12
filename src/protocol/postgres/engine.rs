//! [`Engine`] for PostgreSQL: where the parts meet, and nothing more.

use std::cmp::Ordering;
use std::sync::Arc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use super::accept::{self, Outcome};
use super::again;
use super::back::{LoggedIn, PgBack};
use super::cancel::{self, CancelKey};
use super::catalogue::{self, PgReadings};
use super::connect::{self, Connected};
use super::front::PgFront;
use super::listen::Board;
use super::prove::Prove;
use super::reply::{self, Watcher};
use super::reported::Reported;
use super::scram::{ITERATIONS, SALT_LEN, derive_verifier};
use super::sequence::Population;
use super::startup::Startup;
use super::{demand, fault, inspect, join, message, orphan, request, roll, survey};
use crate::model::{
    AuthMethod, EngineFamily, Fault, Listed, Observation, Position, Roll, Secret, TlsFacts,
    TxStatus, Verifier,
};
use crate::protocol::{
    Addressee, Affinity, Asked, Attach, Breach, Caller, CancelOrder, Codec, ConnectError,
    ConnectPlan, Demand, Derivation, Engine, Entropy, Errand, Exchange, FrontSettings, HelloOffer,
    Opening, ProofDemand, Script, Step, Table, Unit, Wants,
};

/// PostgreSQL, protocol 3.
#[derive(Clone, Copy, Debug)]
pub enum Postgres {}

impl Engine for Postgres {
    const FAMILY: EngineFamily = EngineFamily::Postgres;
    // PostgreSQL documentation, "SSL Session Encryption"; registered with IANA.
    const DIRECT_TLS_ALPN: Option<&'static [u8]> = Some(b"postgresql");

    type Hello = Hello;
    type Login = Startup;
    type CancelKey = CancelKey;
    type Prove = Told<Prove>;
    type Connect = Connect;
    type Front = PgFront;
    type Back = PgBack;
    type Greeting = Arc<Reported>;
    type Feed = Board;
    // A PostgreSQL server waits for the client to speak.
    type Announcement = ();
    type Probe = Probe;

    fn hello(offer: HelloOffer, _: Caller<()>, _: Entropy) -> Hello {
        Hello(accept::Hello::new(offer))
    }

    fn probe() -> Probe {
        Probe
    }

    fn affinity(_: &Startup, database: &Arc<str>) -> Affinity {
        Affinity {
            database: Arc::clone(database),
            variant: 0,
        }
    }

    fn usual_method(_: &Startup) -> AuthMethod {
        AuthMethod::Scram
    }

    fn derive(method: AuthMethod, password: &Secret, entropy: &Entropy) -> Option<Derivation> {
        if method != AuthMethod::Scram {
            return None;
        }
        let (salt, password) = (*entropy.first_chunk::<SALT_LEN>()?, password.clone());
        Some(Box::new(move || {
            Verifier::Scram(derive_verifier(password.expose(), &salt, ITERATIONS))
        }))
    }

    fn prove(login: &Startup, demand: ProofDemand, entropy: Entropy) -> Told<Prove> {
        Told(Prove::new(Arc::clone(&login.user), demand, &entropy))
    }

    fn connect(plan: ConnectPlan, entropy: Entropy) -> Connect {
        Connect(connect::Connect::new(plan, &entropy))
    }

    fn front(login: &Startup, _: &Arc<str>, policy: Arc<FrontSettings>) -> Result<PgFront, Fault> {
        let settings = join::admit(&login.settings, &policy)?;
        let population = Population::of(&login.user, &login.database);
        Ok(PgFront::new(settings, policy).among(population))
    }

    fn cancel_key(login: &Startup, session: u64, entropy: Entropy) -> CancelKey {
        CancelKey::new(session, login.minor, &entropy)
    }

    fn welcome(front: &mut PgFront, greeting: &Arc<Reported>, key: &CancelKey, out: &mut BytesMut) {
        message::authentication_ok(out);
        out.extend_from_slice(greeting.told());
        front.reported = Arc::clone(greeting);
        front.greeted = Arc::clone(greeting);
        message::backend_key_data(out, key.pid(), key.secret());
        message::ready_for_query(out, TxStatus::Idle);
    }

    // Compression is TLS's affair in this protocol, and TLS has given it up.
    fn codec(_: &Startup) -> Option<Box<dyn Codec>> {
        None
    }

    fn refuse(fault: &Fault, _: Addressee<'_, Self>, out: &mut Vec<u8>) {
        fault::write(fault, true, out);
    }

    fn cancel_request(back: &PgBack) -> Option<CancelOrder> {
        let (pid, secret, tls) = back.cancel_key()?;
        Some(CancelOrder::Send {
            bytes: cancel::request(pid, secret),
            tls_request: tls.then(connect::tls_request),
        })
    }

    // Cancelling has a connection of its own: see `Opening::Cancel`.
    fn errand(_: &mut PgFront) -> Option<Errand<CancelKey>> {
        None
    }

    fn errand_done(_: &mut PgFront, _: bool, _: &mut Vec<u8>) {}

    fn wants(
        front: &mut PgFront,
        input: &[u8],
        replies: &mut Vec<u8>,
    ) -> Result<(usize, Wants), Fault> {
        request::wants(front, input, replies)
    }

    // The protocol has no such request, so `wants` does not answer it.
    fn relogin(_: &mut PgFront, _: &[u8]) -> Result<(usize, Startup), Fault> {
        Err(Fault::protocol("a session logs in once"))
    }

    fn decline(front: &mut PgFront, fault: &Fault, input: &[u8], replies: &mut Vec<u8>) {
        request::decline(front, fault, input, replies);
    }

    fn attach(
        front: &mut PgFront,
        back: &mut PgBack,
        request: &mut Vec<u8>,
        replies: &mut Vec<u8>,
    ) -> Attach {
        join::attach(front, back, request, replies)
    }

    type Readings = PgReadings;
    const CATALOGUE: &'static str = catalogue::CATALOGUE;
    // Everybody may read it all.
    const CATALOGUE_BY_USER: bool = false;

    fn readings(answer: &[u8]) -> Option<PgReadings> {
        Some(PgReadings::new(catalogue::catalogue(answer)?))
    }

    fn demand(front: &mut PgFront, input: &[u8], readings: Option<&PgReadings>) -> Asked {
        demand::demand(front, input, readings)
    }

    fn sketch(
        text: &[u8],
        _: Option<&()>,
        readings: Option<&PgReadings>,
    ) -> Result<Demand, Box<str>> {
        demand::sketch(text, readings)
    }

    fn unit(front: &PgFront, input: &[u8]) -> Option<Unit> {
        demand::unit(front, input)
    }

    fn unsend(front: &mut PgFront, unit: &[u8]) {
        demand::unsend(front, unit);
    }

    fn renounce(front: &mut PgFront) {
        front.renounce();
    }

    fn feed(id: u64) -> Board {
        Board::new(id)
    }

    fn tune(front: &mut PgFront, feed: &Arc<Board>, user: &Arc<str>, bell: Waker) {
        front.tune(Arc::clone(feed), Arc::clone(user), bell);
    }

    fn inspect(front: &mut PgFront, back: &mut PgBack, request: &mut Vec<u8>) -> bool {
        inspect::inspect(front, back, request)
    }

    fn from_client(
        front: &mut PgFront,
        back: &mut PgBack,
        input: &[u8],
        script: &mut Script,
        replies: &mut Vec<u8>,
    ) -> Result<usize, Fault> {
        request::read(front, back, input, script, replies)
    }

    fn from_server(
        front: &mut PgFront,
        back: &mut PgBack,
        input: &[u8],
        script: &mut Script,
    ) -> Result<usize, Breach> {
        reply::read(back, Some(Watcher { front, script }), input)
    }

    fn inquire(front: &mut PgFront, back: &mut PgBack, request: &mut Vec<u8>) {
        again::send(front, back, request);
    }

    fn orphan(
        front: &mut PgFront,
        back: &mut PgBack,
        fault: Option<&Fault>,
        replies: &mut Vec<u8>,
    ) -> bool {
        orphan::orphan(front, back, fault, replies)
    }

    fn survey(_: &PgBack) -> &'static [&'static str] {
        survey::QUESTIONS
    }

    fn fence(_: &PgBack, on: bool) -> &'static [&'static str] {
        if on { survey::FENCE } else { survey::UNFENCE }
    }

    fn promotion(_: &PgBack) -> &'static [&'static str] {
        survey::PROMOTION
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
        survey::compare(a, b)
    }
}

/// An exchange in server role that tells the client why it fails.
pub struct Told<X>(X);

impl<X: Exchange<Error = Fault>> Exchange for Told<X> {
    type Done = X::Done;
    type Error = Fault;

    fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Step<Self::Done>, Fault> {
        told(self.0.advance(input, out), out)
    }

    fn secured(&mut self, facts: &TlsFacts) {
        self.0.secured(facts);
    }

    fn computed(&mut self, result: Secret) {
        self.0.computed(result);
    }
}

fn told<T>(result: Result<T, Fault>, out: &mut BytesMut) -> Result<T, Fault> {
    result.inspect_err(|fault| {
        let mut message = Vec::new();
        fault::write(fault, true, &mut message);
        out.extend_from_slice(&message);
    })
}

/// Nothing is said before the client speaks.
pub struct Probe;

impl Exchange for Probe {
    type Done = ();
    type Error = ConnectError;

    fn advance(&mut self, _: &mut BytesMut, _: &mut BytesMut) -> Result<Step<()>, ConnectError> {
        Ok(Step::Done(()))
    }

    fn secured(&mut self, _: &TlsFacts) {}

    fn computed(&mut self, _: Secret) {}
}

/// [`accept::Hello`], with the outcome in the shared words.
pub struct Hello(accept::Hello);

impl Exchange for Hello {
    type Done = Opening<Postgres>;
    type Error = Fault;

    fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Step<Self::Done>, Fault> {
        let step = told(self.0.advance(input, out), out)?;
        Ok(step.map(|outcome| match outcome {
            Outcome::Login(login) => Opening::Login(login),
            Outcome::Cancel(key) => Opening::Cancel(key),
        }))
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
    type Done = PgBack;
    type Error = ConnectError;

    fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Step<PgBack>, ConnectError> {
        Ok(self.0.advance(input, out)?.map(books))
    }

    fn secured(&mut self, facts: &TlsFacts) {
        self.0.secured(facts);
    }

    fn computed(&mut self, result: Secret) {
        self.0.computed(result);
    }
}

fn books(connected: Connected) -> PgBack {
    let reported = connected
        .parameters
        .into_iter()
        .map(|(name, value)| (name.into_boxed_str(), value.into_boxed_slice()))
        .collect();
    PgBack::new(LoggedIn {
        reported: Reported::new(reported),
        pid: connected.pid,
        cancel_key: Bytes::from(connected.cancel_key),
        tls: connected.tls,
    })
}
