//! Both roles of a login, joined by byte queues.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::model::{AuthMethod, Credential, Fault, Proof, TlsFacts, TxStatus, Verifier};
use crate::protocol::postgres::accept::{Hello, Outcome};
use crate::protocol::postgres::cancel::CancelKey;
use crate::protocol::postgres::connect::{Connect, Connected};
use crate::protocol::postgres::prove::Prove;
use crate::protocol::postgres::startup::Startup;
use crate::protocol::postgres::{fault, message};
use crate::protocol::{
    ConnectError, ConnectPlan, Entropy, Exchange, HelloOffer, ProofDemand, Step, TlsOffer, TlsWish,
};

pub(super) const CLIENT_ENTROPY: Entropy = [0x11; 48];
pub(super) const SERVER_ENTROPY: Entropy = [0x22; 48];

/// The TLS session between the two, as each sees it.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) server: TlsFacts,
    pub(super) client: TlsFacts,
}

impl Tls {
    /// One session without anybody in between. The client shows the certificate of `name`.
    pub(super) fn honest(end_point: Option<&'static [u8]>, name: Option<&str>) -> Self {
        let facts = TlsFacts {
            end_point: end_point.map(Bytes::from_static),
            ..TlsFacts::default()
        };
        Self {
            client: facts.clone(),
            server: TlsFacts {
                peer_common_name: name.map(Arc::from),
                ..facts
            },
        }
    }
}

/// What both sides are told.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) method: AuthMethod,
    pub(super) verifier: Option<Verifier>,
    pub(super) credential: Credential,
    /// `None`: plaintext.
    pub(super) tls: Option<Tls>,
    /// Bytes delivered at a time.
    pub(super) chunk: usize,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) server: Result<(Startup, Proof), Fault>,
    pub(super) client: Result<Connected, ConnectError>,
    /// What each side received since the TLS handshake, if there was one.
    pub(super) to_server: Vec<u8>,
    pub(super) to_client: Vec<u8>,
}

impl Pair {
    pub(super) fn new(method: AuthMethod, verifier: Option<Verifier>, password: &str) -> Self {
        Self {
            method,
            verifier,
            credential: Credential::Password(crate::model::Secret::new(password)),
            tls: None,
            chunk: usize::MAX,
        }
    }

    pub(super) fn plan(&self) -> ConnectPlan {
        ConnectPlan {
            user: "ann".into(),
            database: "shop".into(),
            variant: 0,
            credential: self.credential.clone(),
            tls: if self.tls.is_some() {
                TlsWish::Require
            } else {
                TlsWish::Prefer
            },
            ask_public_key: false,
        }
    }

    pub(super) fn demand(&self) -> ProofDemand {
        ProofDemand {
            method: self.method,
            verifier: self.verifier.clone(),
            tls: self.tls.as_ref().map(|tls| tls.server.clone()),
            sealing_key: None,
            decoy_key: [0x33; 32],
        }
    }

    /// Lets both sides talk until both have ended.
    pub(super) fn run(&self) -> Ending {
        let mut client = Side::new(Connect::new(self.plan(), &CLIENT_ENTROPY));
        let mut server = Server::new(self);
        let facts = self.tls.clone().map(|tls| (tls.server, tls.client));
        let (server_facts, client_facts) = facts.unzip();
        // A handful of messages, each delivered in pieces: far more turns than any login takes.
        for _ in 0..10_000 {
            let to_server = client.turn(client_facts.as_ref());
            server.deliver(&to_server, server_facts.as_ref());
            let next = server.next(self.chunk);
            client.input.extend_from_slice(&next);
            client.received.extend_from_slice(&next);
            if client.end.is_some() && server.is_over() {
                break;
            }
        }
        let (login, to_server) = server.finish();
        Ending {
            server: login,
            client: client.end.expect("the client ended"),
            to_server,
            to_client: client.received,
        }
    }
}

/// An exchange, driven as `net` would drive it.
pub(super) struct Side<X: Exchange> {
    exchange: X,
    pub(super) input: BytesMut,
    pub(super) received: Vec<u8>,
    pub(super) end: Option<Result<X::Done, X::Error>>,
}

impl<X: Exchange> Side<X> {
    pub(super) fn new(exchange: X) -> Self {
        Self {
            exchange,
            input: BytesMut::new(),
            received: Vec::new(),
            end: None,
        }
    }

    /// Goes on until bytes are missing, and returns what was written.
    pub(super) fn turn(&mut self, facts: Option<&TlsFacts>) -> Vec<u8> {
        let mut out = BytesMut::new();
        while self.end.is_none() {
            match self.exchange.advance(&mut self.input, &mut out) {
                Ok(Step::Read) => break,
                Ok(Step::UpgradeTls) => {
                    assert!(self.input.is_empty());
                    self.received.clear();
                    self.exchange
                        .secured(facts.expect("TLS is offered only with facts"));
                }
                Ok(Step::Compute(work)) => self.exchange.computed(work.run()),
                Ok(Step::Done(done)) => self.end = Some(Ok(done)),
                Err(error) => self.end = Some(Err(error)),
            }
        }
        out.to_vec()
    }
}

/// The server role: greets, demands a proof, welcomes.
struct Server<'a> {
    pair: &'a Pair,
    hello: Side<Hello>,
    startup: Option<Startup>,
    prove: Option<Side<Prove>>,
    welcomed: bool,
    incoming: BytesMut,
    outgoing: BytesMut,
}

impl<'a> Server<'a> {
    fn new(pair: &'a Pair) -> Self {
        let tls = if pair.tls.is_some() {
            TlsOffer::Required
        } else {
            TlsOffer::Unavailable
        };
        let direct_tls = false;
        Self {
            pair,
            hello: Side::new(Hello::new(HelloOffer { tls, direct_tls })),
            startup: None,
            prove: None,
            welcomed: false,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
        }
    }

    /// Takes bytes from the client, `chunk` at a time.
    fn deliver(&mut self, bytes: &[u8], facts: Option<&TlsFacts>) {
        self.incoming.extend_from_slice(bytes);
        while !self.is_over() && !self.incoming.is_empty() {
            let len = self.incoming.len().min(self.pair.chunk);
            let piece = self.incoming.split_to(len);
            if let Some(prove) = &mut self.prove {
                prove.input.extend_from_slice(&piece);
                prove.received.extend_from_slice(&piece);
            } else {
                self.hello.input.extend_from_slice(&piece);
                self.hello.received.extend_from_slice(&piece);
            }
            self.advance(facts);
        }
    }

    fn advance(&mut self, facts: Option<&TlsFacts>) {
        if self.prove.is_none() {
            let out = self.hello.turn(facts);
            self.outgoing.extend_from_slice(&out);
            match self.hello.end.as_ref() {
                Some(Ok(Outcome::Login(startup))) => {
                    assert!(self.hello.input.is_empty());
                    let user = startup.user.clone();
                    let prove = Prove::new(user, self.pair.demand(), &SERVER_ENTROPY);
                    self.startup = Some(startup.clone());
                    self.prove = Some(Side::new(prove));
                }
                Some(Err(fault)) => fault::write(fault, true, &mut self.outgoing),
                _ => return,
            }
        }
        let Some(prove) = &mut self.prove else { return };
        let out = prove.turn(facts);
        self.outgoing.extend_from_slice(&out);
        match &prove.end {
            Some(Ok(_)) if !self.welcomed => {
                self.welcomed = true;
                welcome(&mut self.outgoing);
            }
            Some(Err(fault)) => fault::write(fault, true, &mut self.outgoing),
            _ => {}
        }
    }

    /// The next bytes for the client.
    fn next(&mut self, chunk: usize) -> BytesMut {
        let len = self.outgoing.len().min(chunk);
        self.outgoing.split_to(len)
    }

    fn is_over(&self) -> bool {
        let failed = matches!(self.hello.end, Some(Err(_)));
        failed || self.prove.as_ref().is_some_and(|prove| prove.end.is_some())
    }

    /// The outcome, and what the client said after TLS and after its startup message.
    fn finish(self) -> (Result<(Startup, Proof), Fault>, Vec<u8>) {
        if let Some(Err(fault)) = self.hello.end {
            return (Err(fault), self.hello.received);
        }
        let prove = self.prove.expect("the client said who it is");
        let end = prove.end.expect("the server ended");
        let startup = self.startup.expect("the client said who it is");
        (end.map(|proof| (startup, proof)), prove.received)
    }
}

/// What a server says once it is satisfied.
pub(super) fn welcome(out: &mut BytesMut) {
    let key = CancelKey::new(7, 0, &SERVER_ENTROPY);
    message::authentication_ok(out);
    message::parameter_status(out, "server_version", b"18.1");
    message::notice_response(
        out,
        &message::Report::new(message::Severity::Warning, "01000", "hello"),
    );
    message::parameter_status(out, "TimeZone", b"UTC");
    message::backend_key_data(out, key.pid(), key.secret());
    message::ready_for_query(out, TxStatus::Idle);
}
