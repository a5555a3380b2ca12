//! Both roles of a login, joined by byte queues.

use std::sync::Arc;

use bytes::BytesMut;

use crate::model::{AuthMethod, Credential, Fault, Proof, SealingKey, Secret, TlsFacts, Verifier};
use crate::protocol::mysql::accept::Hello;
use crate::protocol::mysql::connect::{Connect, Connected};
use crate::protocol::mysql::frame::take_packet;
use crate::protocol::mysql::login::{Announcement, Login};
use crate::protocol::mysql::message::{OK, Ok as OkPacket};
use crate::protocol::mysql::prove::Prove;
use crate::protocol::mysql::status::Status;
use crate::protocol::{
    Caller, ConnectError, ConnectPlan, Entropy, Exchange, HelloOffer, ProofDemand, Step, TlsOffer,
    TlsWish,
};

pub(super) const CLIENT_ENTROPY: Entropy = [0x11; 48];
pub(super) const SERVER_ENTROPY: Entropy = [0x22; 48];

/// What both sides are told.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) method: AuthMethod,
    pub(super) verifier: Option<Verifier>,
    pub(super) credential: Credential,
    pub(super) announcement: Option<Arc<Announcement>>,
    /// The client's TLS session as the server sees it; `None`: plaintext.
    pub(super) tls: Option<TlsFacts>,
    /// Where there is no TLS, the server has this key and the client may ask for it.
    pub(super) sealing_key: Option<Arc<SealingKey>>,
    /// Bytes delivered at a time.
    pub(super) chunk: usize,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) server: Result<(Arc<Login>, Proof), Fault>,
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
            credential: Credential::Password(Secret::new(password)),
            announcement: None,
            tls: None,
            sealing_key: None,
            chunk: usize::MAX,
        }
    }

    pub(super) fn plan(&self) -> ConnectPlan {
        ConnectPlan {
            user: "ann".into(),
            database: "".into(),
            variant: 0,
            credential: self.credential.clone(),
            tls: if self.tls.is_some() {
                TlsWish::Require
            } else {
                TlsWish::Prefer
            },
            ask_public_key: self.sealing_key.is_some(),
        }
    }

    /// The server role, from the greeting to the first command.
    pub(super) fn serve(&self) -> Serve {
        let tls = if self.tls.is_some() {
            TlsOffer::Required
        } else {
            TlsOffer::Unavailable
        };
        let offer = HelloOffer {
            tls,
            direct_tls: false,
        };
        let caller = Caller {
            peer: [127, 0, 0, 1].into(),
            session: 0x1_0000_0007,
            announcement: self.announcement.clone(),
        };
        let demand = ProofDemand {
            method: self.method,
            verifier: self.verifier.clone(),
            tls: self.tls.clone(),
            sealing_key: self.sealing_key.clone(),
            decoy_key: [0x33; 32],
        };
        Serve {
            stage: Stage::Hello(Hello::new(offer, caller, &CLIENT_ENTROPY)),
            demand,
        }
    }

    /// Lets both sides talk until both have ended.
    pub(super) fn run(&self) -> Ending {
        let mut client = Side::new(Connect::new(self.plan(), &CLIENT_ENTROPY));
        let mut server = Side::new(self.serve());
        let facts = self.tls.clone().unwrap_or_default();
        let (mut to_client, mut to_server) = (BytesMut::new(), BytesMut::new());
        // A handful of packets, each delivered in pieces: far more turns than any login takes.
        for _ in 0..10_000 {
            if to_client.is_empty() {
                to_client.extend_from_slice(&server.turn(&facts));
            }
            client.deliver(&mut to_client, self.chunk);
            // The TLS handshake follows what has been written before it.
            if to_server.is_empty() {
                to_server.extend_from_slice(&client.turn(&facts));
            }
            server.deliver(&mut to_server, self.chunk);
            if client.end.is_some() && server.end.is_some() {
                break;
            }
        }
        Ending {
            server: server.end.expect("the server ended"),
            client: client.end.expect("the client ended"),
            to_server: server.received,
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

    fn deliver(&mut self, from: &mut BytesMut, chunk: usize) {
        let piece = from.split_to(from.len().min(chunk));
        self.input.extend_from_slice(&piece);
        self.received.extend_from_slice(&piece);
    }

    /// Goes on until bytes are missing, and returns what was written.
    pub(super) fn turn(&mut self, facts: &TlsFacts) -> Vec<u8> {
        let mut out = BytesMut::new();
        while self.end.is_none() {
            match self.exchange.advance(&mut self.input, &mut out) {
                Ok(Step::Read) => break,
                Ok(Step::UpgradeTls) => {
                    assert!(self.input.is_empty());
                    self.received.clear();
                    self.exchange.secured(facts);
                    if !out.is_empty() {
                        break;
                    }
                }
                Ok(Step::Compute(work)) => self.exchange.computed(work.run()),
                Ok(Step::Done(done)) => self.end = Some(Ok(done)),
                Err(error) => self.end = Some(Err(error)),
            }
        }
        out.to_vec()
    }
}

/// The server role: greets, demands a proof, welcomes, and answers one command.
pub(super) struct Serve {
    stage: Stage,
    demand: ProofDemand,
}

#[expect(clippy::large_enum_variant, reason = "one of a test at a time")]
enum Stage {
    Hello(Hello),
    Prove(Prove, Arc<Login>),
    Welcomed(Arc<Login>, Proof),
}

impl Exchange for Serve {
    type Done = (Arc<Login>, Proof);
    type Error = Fault;

    fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Step<Self::Done>, Fault> {
        loop {
            let next = match &mut self.stage {
                Stage::Hello(hello) => match hello.advance(input, out)? {
                    Step::Done(login) => {
                        let prove = Prove::new(&login, self.demand.clone(), &SERVER_ENTROPY);
                        Stage::Prove(prove, Arc::new(login))
                    }
                    Step::Read => return Ok(Step::Read),
                    Step::UpgradeTls => return Ok(Step::UpgradeTls),
                    Step::Compute(work) => return Ok(Step::Compute(work)),
                },
                Stage::Prove(prove, login) => match prove.advance(input, out)? {
                    Step::Done(proof) => {
                        ok(login.sequence.take(), login, out);
                        Stage::Welcomed(Arc::clone(login), proof)
                    }
                    Step::Read => return Ok(Step::Read),
                    Step::UpgradeTls => return Ok(Step::UpgradeTls),
                    Step::Compute(work) => return Ok(Step::Compute(work)),
                },
                Stage::Welcomed(login, proof) => {
                    let packet = take_packet(input, 1000);
                    let packet = packet.map_err(|_| Fault::protocol("too long"))?;
                    let Some((header, payload)) = packet else {
                        return Ok(Step::Read);
                    };
                    if (header.seq, payload.first()) != (0, Some(&3)) {
                        return Err(Fault::protocol("not a query"));
                    }
                    ok(1, login, out);
                    return Ok(Step::Done((Arc::clone(login), std::mem::take(proof))));
                }
            };
            self.stage = next;
        }
    }

    fn secured(&mut self, facts: &TlsFacts) {
        if let Stage::Hello(hello) = &mut self.stage {
            hello.secured(facts);
        }
    }

    fn computed(&mut self, result: Secret) {
        if let Stage::Prove(prove, _) = &mut self.stage {
            prove.computed(result);
        }
    }
}

fn ok(seq: u8, login: &Login, out: &mut BytesMut) {
    let ok = OkPacket {
        affected_rows: 0,
        last_insert_id: 0,
        status: Status::AUTOCOMMIT,
        warnings: 0,
        info: b"",
        state: b"",
    };
    ok.write(OK, seq, login.capabilities, out);
}
