//! Wire protocols, without input or output: bytes and values in, bytes and values out.
//!
//! [`Engine`] is the seam between what all databases share and what one protocol alone knows.
//! Rules that keep it honest: no default method bodies and no capability flags; a member enters
//! when the shared code calls it for every engine; statement renaming, setting replay and the
//! like stay engine secrets behind [`Engine::from_client`] and [`Engine::from_server`].

use std::cmp::Ordering;
use std::fmt::Debug;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;

use ::bytes::{Bytes, BytesMut};

use crate::model::{
    AuthMethod, Credential, EngineFamily, Fault, Finding, Listed, Observation, PinPolicy, Pins,
    PoolMode, Position, Progress, Proof, Roll, SealingKey, Secret, TlsFacts, Verifier,
};

pub mod bytes;
pub mod codec;
pub mod demand;
pub mod exchange;
pub mod feed;
pub mod follow;
pub mod hashing;
pub mod interner;
pub mod mysql;
pub mod postgres;
pub mod table;

pub use codec::Codec;
pub use demand::{Asked, Demand, Refusal, Unit};
pub use exchange::{Costly, Exchange, Step};
pub use feed::{Feed, Silence};
pub use follow::Script;
pub use table::Table;

/// A database family's wire protocol, as a family of types without state of its own.
pub trait Engine: Sized + Send + Sync + 'static {
    /// Which family this is, for labels.
    const FAMILY: EngineFamily;
    /// The ALPN protocol of clients that begin with a TLS handshake, where the protocol has such.
    const DIRECT_TLS_ALPN: Option<&'static [u8]>;

    /// Server role, up to the point where the client has said who it is.
    type Hello: Exchange<Done = Opening<Self>, Error = Fault>;
    /// What the client said.
    type Login: Login;
    /// Names the session whose work is to be cancelled.
    type CancelKey: Clone + Debug + Eq + Hash + Send + Sync;
    /// Server role: the client proves who it is.
    type Prove: Exchange<Done = Proof, Error = Fault>;
    /// Client role: Sluice logs in to a server.
    type Connect: Exchange<Done = Self::Back, Error = ConnectError>;
    /// One client's side of the relay: what it has set, prepared and half sent.
    type Front: Front;
    /// One server connection's side: what it owes, and the state it holds.
    type Back: Back<Greeting = Self::Greeting>;
    /// What a server tells a client at login, to be repeated to clients that log in later.
    type Greeting: Clone + PartialEq + Send + Sync;
    /// What a server says to anybody who connects, to be repeated to clients that come later.
    type Announcement: Clone + Send + Sync;
    /// Client role: hears what a server says to anybody, and takes leave without logging in.
    type Probe: Exchange<Done = Self::Announcement, Error = ConnectError>;
    /// What servers tell the clients of a database unasked.
    type Feed: Feed;

    /// What texts of one database's clients are known to be.
    type Readings: Send + Sync + 'static;
    /// A query for everything that the catalogue of a database says about functions, views and the
    /// like: one value.
    const CATALOGUE: &'static str;
    /// True if what [`Engine::CATALOGUE`] yields depends on who asks.
    const CATALOGUE_BY_USER: bool;

    /// What the answer to [`Engine::CATALOGUE`] makes of texts; `None` if it cannot be read.
    fn readings(answer: &[u8]) -> Option<Self::Readings>;
    /// What the requests at the front of `input` ask for, as far as they belong together. The
    /// client's server connection, if it has one, is at rest. Changes nothing but what an engine remembers of a text
    /// for [`Engine::from_client`], which gets these requests next, if any.
    fn demand(front: &mut Self::Front, input: &[u8], readings: Option<&Self::Readings>) -> Asked;
    /// What a text asks for in a session that has set nothing, before a server that announces itself so. `Err`: it runs
    /// what was prepared under that name.
    fn sketch(
        text: &[u8],
        announcement: Option<&Self::Announcement>,
        readings: Option<&Self::Readings>,
    ) -> Result<Demand, Box<str>>;
    /// Up to where requests at the front of `input` belong together, whatever they ask for; `None`: more
    /// must come first.
    fn unit(front: &Self::Front, input: &[u8]) -> Option<Unit>;
    /// Takes back what the books of the client say of `unit`, requests that have been passed on, but
    /// not answered: they will be passed on once more.
    fn unsend(front: &mut Self::Front, unit: &[u8]);
    /// The client does not keep its server connection: what it would have kept it for is given up.
    fn renounce(front: &mut Self::Front);
    /// The feed of one database. `id` is random, and tells it from those of other processes.
    fn feed(id: u64) -> Self::Feed;
    /// Lets a client follow the feed of its database on behalf of `user`; `bell` is to be woken
    /// when it has news.
    fn tune(front: &mut Self::Front, feed: &Arc<Self::Feed>, user: &Arc<str>, bell: Waker);
    /// Begins to talk to a client. `entropy` is fresh randomness.
    fn hello(
        offer: HelloOffer,
        caller: Caller<Self::Announcement>,
        entropy: Entropy,
    ) -> Self::Hello;
    /// Begins to hear what a server says to anybody.
    fn probe() -> Self::Probe;
    /// What server connections for this client are bound to for life; `database` is the name
    /// that the server knows.
    fn affinity(login: &Self::Login, database: &Arc<str>) -> Affinity;
    /// How clients prove who they are where nothing else is configured.
    fn usual_method(login: &Self::Login) -> AuthMethod;
    /// How to make, once, of a password that is stored in the clear what proofs by this method are
    /// checked against; `None` where that costs nothing each time. `entropy` is fresh randomness.
    fn derive(method: AuthMethod, password: &Secret, entropy: &Entropy) -> Option<Derivation>;
    /// Demands a proof from a client. `entropy` is fresh randomness.
    fn prove(login: &Self::Login, demand: ProofDemand, entropy: Entropy) -> Self::Prove;
    /// Begins to log in to a server. `entropy` is fresh randomness.
    fn connect(plan: ConnectPlan, entropy: Entropy) -> Self::Connect;
    /// The client's side of the relay, from what it asked for at login; `database` is the name
    /// that the server knows. A startup option that the policy refuses is a fault.
    fn front(
        login: &Self::Login,
        database: &Arc<str>,
        policy: Arc<FrontSettings>,
    ) -> Result<Self::Front, Fault>;
    /// A key for the client to cancel its work with. `entropy` is fresh randomness.
    fn cancel_key(login: &Self::Login, session: u64, entropy: Entropy) -> Self::CancelKey;
    /// Writes what tells a client that its login is complete.
    fn welcome(
        front: &mut Self::Front,
        greeting: &Self::Greeting,
        key: &Self::CancelKey,
        out: &mut BytesMut,
    );
    /// The layer that a client has asked for between its socket and its protocol; it begins behind
    /// the welcome.
    fn codec(login: &Self::Login) -> Option<Box<dyn Codec>>;
    /// Writes the error message after which the client's connection is closed. Not for a client
    /// whose [`Engine::Hello`] or [`Engine::Prove`] has failed: that has told it.
    fn refuse(fault: &Fault, to: Addressee<'_, Self>, out: &mut Vec<u8>);
    /// How to have the server cancel the work of a connection.
    fn cancel_request(back: &Self::Back) -> Option<CancelOrder>;
    /// What the request at hand asks of Sluice itself rather than of a server; no further request
    /// is read before [`Engine::errand_done`].
    fn errand(front: &mut Self::Front) -> Option<Errand<Self::CancelKey>>;
    /// Writes the answer to a client whose errand has been run; `found`: the session exists and
    /// the client may do that to it.
    fn errand_done(front: &mut Self::Front, found: bool, replies: &mut Vec<u8>);

    /// Looks at what a client without server connection has sent; also returns how many bytes
    /// need none and are dealt with. Answers of Sluice's own are written to `replies`.
    fn wants(
        front: &mut Self::Front,
        input: &[u8],
        replies: &mut Vec<u8>,
    ) -> Result<(usize, Wants), Fault>;
    /// Takes the request to log in anew off the front of `input`, after [`Wants::Login`]: how many
    /// bytes it had, and what the client says of itself.
    fn relogin(front: &mut Self::Front, input: &[u8]) -> Result<(usize, Self::Login), Fault>;
    /// Answers the request at the front of `input`, for which no server connection is to be had,
    /// with an error after which the session goes on. [`Engine::wants`] then drops it.
    fn decline(front: &mut Self::Front, fault: &Fault, input: &[u8], replies: &mut Vec<u8>);
    /// Joins a client to a settled server connection, or makes sure before a new request that
    /// they still agree. Bytes that must precede the client's own are written to `request`, and
    /// the replies they cause are owed to nobody; bytes for the client are written to `replies`.
    fn attach(
        front: &mut Self::Front,
        back: &mut Self::Back,
        request: &mut Vec<u8>,
        replies: &mut Vec<u8>,
    ) -> Attach;
    /// Writes a question of Sluice's own about what a settled connection outside a transaction
    /// holds of its client, where the answer may change what pins it; false if there is nothing
    /// to ask. The client's next request waits for the answer.
    fn inspect(front: &mut Self::Front, back: &mut Self::Back, request: &mut Vec<u8>) -> bool;
    /// Reads what the client sent, and returns how many bytes were dealt with; the rest must be
    /// offered again with more behind it. Replies that Sluice gives itself are written to
    /// `replies`, to be sent at once.
    fn from_client(
        front: &mut Self::Front,
        back: &mut Self::Back,
        input: &[u8],
        script: &mut Script,
        replies: &mut Vec<u8>,
    ) -> Result<usize, Fault>;
    /// Reads what the server sent, and returns how many bytes were dealt with.
    fn from_server(
        front: &mut Self::Front,
        back: &mut Self::Back,
        input: &[u8],
        script: &mut Script,
    ) -> Result<usize, Breach>;
    /// Writes what must be asked before it can be said in which state the last reply has left the
    /// server connection. Called when server bytes have been read; the answers are owed to nobody.
    fn inquire(front: &mut Self::Front, back: &mut Self::Back, request: &mut Vec<u8>);

    /// The server connection has broken, and the session is to go on without one. What the client
    /// is owed is answered in `replies` by the fault, once for each request; without a fault it is
    /// forgotten, to be sent again. False if the session cannot go on: a transaction or other state
    /// is lost with the connection, or an answer breaks off where no error may stand.
    fn orphan(
        front: &mut Self::Front,
        back: &mut Self::Back,
        fault: Option<&Fault>,
        replies: &mut Vec<u8>,
    ) -> bool;

    /// Questions that a server answers about its place in its group, each a [`Chore::Table`]. One
    /// that is refused has an empty table for an answer.
    fn survey(back: &Self::Back) -> &'static [&'static str];
    /// What keeps a primary from taking writes, or lets it take them again.
    fn fence(back: &Self::Back, on: bool) -> &'static [&'static str];
    /// What makes a replica a primary.
    fn promotion(back: &Self::Back) -> &'static [&'static str];
    /// What those answers say; `None` if they say nothing.
    fn observe(answers: &[Table]) -> Option<Observation>;
    /// The question that lists the members of a group, a [`Chore::Table`].
    fn roll(roll: Roll) -> &'static str;
    /// What the answer to it says.
    fn members(answer: &Table) -> Vec<Listed>;
    /// Which of two servers has come further: `Greater` if the first has all that the second has,
    /// and more; `None` if each has what the other lacks, or it cannot be told.
    fn compare(a: &Position, b: &Position) -> Option<Ordering>;
}

/// What every login says, in any protocol.
pub trait Login: Send + Sync {
    /// The user name that the client gave.
    fn user(&self) -> &Arc<str>;
    /// The database that the client asked for.
    fn database(&self) -> &Arc<str>;
    /// A name that the client gave itself, for logs; empty if none.
    fn application(&self) -> &str;
}

/// One client's side of the relay.
pub trait Front: Send {
    /// Why the session must keep its server connection; empty if it need not.
    fn pins(&self) -> Pins;
    /// For logs: the statement that caused the newest pin, literals removed.
    fn pin_cause(&self) -> Option<&str>;
    /// What an inspection has found that no statement had announced, once.
    fn finding(&mut self) -> Option<Finding>;
    /// Writes what the client is to be told though it has not asked, which must not stand inside
    /// an answer or a transaction. An error ends the session.
    fn news(&mut self, out: &mut Vec<u8>) -> Result<(), Fault>;
    /// True if part of a request has been passed on and the rest has not come yet.
    fn mid_request(&self) -> bool;
    /// Identifies what must be replayed on a fresh connection; equal for equal clients.
    fn profile(&self) -> u64;
    /// True if the server connection holds state of the client that no reset removes.
    fn outlives_reset(&self) -> bool;
    /// True if the client has said goodbye.
    fn has_quit(&self) -> bool;
    /// True if the client gives its session's state up, and with it the server connection, to
    /// log in anew.
    fn starts_over(&self) -> bool;
    /// An error that ends the session, met while reading what the server sent.
    fn failure(&mut self) -> Option<Fault>;
    /// True once if a statement was sent that may change functions, views and the like.
    fn altered(&mut self) -> bool;
    /// Requests that the client has sent so far, as RDS Proxy's `QueryRequests` counts them.
    fn requests(&self) -> u64;
}

/// One server connection's side of the relay.
pub trait Back: Send {
    /// See [`Engine::Greeting`].
    type Greeting;

    /// Where the dialogue stands.
    fn progress(&self) -> Progress;
    /// True if the server has refused to write since this was last asked: it may be no primary any
    /// more.
    fn has_refused_write(&mut self) -> bool;
    /// True if the connection holds state that only a reset removes.
    fn is_dirty(&self) -> bool;
    /// True if settings of a client are in force.
    fn has_settings(&self) -> bool;
    /// Marks the connection as holding state that only a reset removes.
    fn soil(&mut self);
    /// What the server tells at login, as of now.
    fn greeting(&self) -> Self::Greeting;
    /// Writes a request of Sluice's own, to be followed by [`Back::absorb`] until
    /// [`Progress::settled`].
    fn request(&mut self, chore: Chore<'_>, out: &mut Vec<u8>);
    /// Reads server bytes while no client is attached, and returns how many were dealt with.
    /// Anything but unsolicited messages and replies to a chore is a breach.
    fn absorb(&mut self, input: &[u8]) -> Result<usize, Breach>;
    /// Writes what tells the server that the connection ends, at a point where nothing is owed.
    fn farewell(&self, out: &mut Vec<u8>);
    /// Why the server has refused a request of the client's since this was last asked, if another
    /// server may answer it.
    fn refusal(&mut self) -> Option<Refusal>;
    /// The error that the last chore met, if it failed.
    fn chore_error(&self) -> Option<&ServerError>;
    /// The first value of the first row of the last [`Chore::Query`].
    fn chore_value(&self) -> Option<&[u8]>;
    /// The rows of the last [`Chore::Table`].
    fn chore_table(&self) -> &Table;
    /// The server's own number for this connection, for logs.
    fn server_pid(&self) -> u32;
}

/// Work that Sluice does on a server connection for itself.
#[derive(Clone, Copy, Debug)]
pub enum Chore<'a> {
    /// End the open transaction without effect.
    Rollback,
    /// Return to the state after login.
    Reset,
    /// Prove that the connection works.
    Ping,
    /// Cancel the work of another connection of the same user, by the server's number for it.
    Cancel(u32),
    /// Run the operator's `init_query`.
    Init(&'a str),
    /// Ask for one value.
    Query(&'a str),
    /// Ask a primary how far it has come; the value is a position, empty if there are none.
    Position,
    /// Ask a replica whether it has come that far; the value is `1` if so. Where servers can wait
    /// for that themselves, they do, for at most so many milliseconds.
    Reached {
        /// The position, as [`Chore::Position`] has yielded it.
        position: &'a str,
        /// How long.
        wait_ms: u32,
    },
    /// Ask for a few short rows.
    Table(&'a str),
    /// Run the operator's `auth_query`, which has one parameter, the user; the value is the second
    /// column of its first row: what is stored about the user's password.
    Account {
        /// The query.
        query: &'a str,
        /// The user that is asked for; chosen by a client.
        user: &'a str,
    },
    /// Ask how many clients the server takes, less those it reserves for itself; the value comes
    /// as a decimal number.
    Capacity,
}

/// What a client without server connection needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// More bytes, before anything can be said.
    More,
    /// A server connection.
    Server,
    /// To log in anew, perhaps as somebody else: see [`Engine::relogin`].
    Login,
    /// Nothing more: it said goodbye.
    Quit,
}

/// Whether the client's own bytes may follow at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Attach {
    /// They may.
    Ready,
    /// First the replies to what was written must have come.
    Wait,
    /// Never: this connection cannot be brought to the client's state. Nothing was written.
    Unfit,
}

/// How a client's connection began.
pub enum Opening<E: Engine> {
    /// It logs in.
    Login(E::Login),
    /// It asks to cancel another session's work, and expects no answer.
    Cancel(E::CancelKey),
}

/// Who has connected, and what it is to be told before anything is known about it.
#[derive(Clone, Debug)]
pub struct Caller<A> {
    /// The session's number.
    pub session: u64,
    /// Its address.
    pub peer: IpAddr,
    /// What the server behind the listener says to anybody; `None` if it has not been heard yet.
    pub announcement: Option<A>,
}

/// To whom an error is said.
pub enum Addressee<'a, E: Engine> {
    /// Somebody who has only just connected.
    Stranger,
    /// A client that has said who it is.
    Login(&'a E::Login),
    /// A client that is logged in.
    Session(&'a E::Front),
}

/// What a server connection is bound to from its login to its end; sessions may share it only
/// if they agree in this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// The database that it is opened for; empty where connections move between databases.
    pub database: Arc<str>,
    /// What was agreed on at login beyond names; known to the engine alone.
    pub variant: u32,
}

/// What a client asks Sluice to do to another session of the same user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errand<K> {
    /// Names the session.
    pub key: K,
    /// What to do.
    pub order: ErrandOrder,
}

/// See [`Errand`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrandOrder {
    /// Cancel its running request.
    Cancel,
    /// End it.
    Terminate,
}

/// What a listener offers to clients.
#[derive(Clone, Copy, Debug)]
pub struct HelloOffer {
    /// Whether TLS may or must be used.
    pub tls: TlsOffer,
    /// TLS began before the first protocol message.
    pub direct_tls: bool,
}

/// Whether a listener speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsOffer {
    /// No certificate is configured.
    Unavailable,
    /// Clients choose.
    Optional,
    /// Plaintext clients are refused.
    Required,
}

/// What a client must prove, and against what.
#[derive(Clone, Debug)]
pub struct ProofDemand {
    /// The method.
    pub method: AuthMethod,
    /// What is stored about the user. `None`: the user is unknown, and the exchange must look
    /// and last as for a wrong password.
    pub verifier: Option<Verifier>,
    /// Facts of the client's TLS session, if it has one.
    pub tls: Option<TlsFacts>,
    /// A key to seal passwords with where there is no TLS, if that is allowed.
    pub sealing_key: Option<Arc<SealingKey>>,
    /// Keys the fake salt of unknown users, so that it does not change from try to try.
    pub decoy_key: [u8; 32],
}

/// How to log in to a server.
#[derive(Clone, Debug)]
pub struct ConnectPlan {
    /// User name on the server.
    pub user: Arc<str>,
    /// Database on the server.
    pub database: Arc<str>,
    /// See [`Affinity::variant`].
    pub variant: u32,
    /// What to prove it with.
    pub credential: Credential,
    /// Whether to ask for TLS.
    pub tls: TlsWish,
    /// Without TLS, the server may be asked for a public key to seal the password with. Nothing
    /// tells whose key that is.
    pub ask_public_key: bool,
}

/// Whether to ask a server for TLS. Verification is `net`'s business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsWish {
    /// Plaintext only.
    Never,
    /// TLS if the server has it.
    Prefer,
    /// TLS or nothing.
    Require,
}

/// Policy that a client's side of the relay works under.
#[derive(Clone, Debug)]
pub struct FrontSettings {
    /// When the server connection goes back.
    pub pool_mode: PoolMode,
    /// The client works with the primary and with replicas at once.
    pub splits: bool,
    /// Startup options that are silently left out.
    pub ignore_options: Arc<[String]>,
    /// If given, startup options outside this list are refused.
    pub allow_options: Option<Arc<[String]>>,
    /// Most prepared statements one client may hold.
    pub max_client_statements: usize,
    /// Most prepared statements kept on one server connection.
    pub max_server_statements: usize,
    /// Largest prepared statement that is kept for another connection, in bytes.
    pub max_statement_bytes: usize,
    /// What pins, and how closely that is watched.
    pub pins: PinPolicy,
}

/// How to have a server cancel the work of a connection.
#[derive(Clone, Debug)]
pub enum CancelOrder {
    /// Send something on a bare connection, without login.
    Send {
        /// The bytes to send.
        bytes: Bytes,
        /// Bytes that ask for TLS first, where the connection to be cancelled uses it; answered
        /// by one byte before the handshake.
        tls_request: Option<Bytes>,
    },
    /// Log in as the same user and run [`Chore::Cancel`] for the connection of this number.
    Chore(u32),
}

/// Computes a verifier: milliseconds of work.
pub type Derivation = Box<dyn FnOnce() -> Verifier + Send>;

/// Fresh random bytes for salts, nonces and keys.
pub type Entropy = [u8; 48];

/// An error that a server reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ServerError {
    /// SQLSTATE, or errno in decimal.
    pub code: String,
    /// The server's sentence.
    pub message: String,
    /// The whole message in wire form, header included.
    pub wire: Bytes,
}

/// Why a login to a server failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server said so.
    #[error("server refused the login: {0}")]
    Refused(ServerError),
    /// The server asked for a proof that we cannot give.
    #[error("cannot log in: {0}")]
    Credential(&'static str),
    /// The server does not ask for a token, so it cannot say whether the token is good.
    #[error("the server does not ask for the token in the clear inside TLS")]
    Unasked,
    /// The server does not speak TLS, which is required.
    #[error("server does not offer TLS")]
    NoTls,
    /// The server could not prove that it knows the password.
    #[error("server failed to prove its identity: {0}")]
    Impostor(&'static str),
    /// The server broke the protocol.
    #[error(transparent)]
    Breach(#[from] Breach),
}

/// A server broke the protocol: the connection is beyond use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("server broke the protocol: {0}")]
pub struct Breach(pub &'static str);
