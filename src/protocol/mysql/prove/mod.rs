//! Server role: a client that has said who it is proves it (MySQL protocol, "Authentication
//! Methods").
//!
//! Ends before the OK packet: whether the proof is enough is for others to say, so that packet
//! belongs to the welcome. An unknown user sees the same packets, and costs the same work, as one
//! with a wrong password.
//!
//! # Which plugin
//! A client answers the greeting with a plugin of its own choice. If that is not the one that is
//! demanded, it is told to switch. Where nothing is configured, its choice is taken (see
//! [`usual_method`]). What is stored decides before the configuration does, as in
//! MySQL: a hash can be checked by the plugin that keeps it, and by those that send the password
//! in the clear, and by no other. That shows that such a user exists.

mod check;
mod plugins;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use zeroize::Zeroize;

use super::accept::{take, usual_plugin};
use super::capability::Capabilities;
use super::fault;
use super::frame::put_packet;
use super::greeting::scramble;
use super::login::{Assurance, Challenge, Flavor, Login, SCRAMBLE_LEN, Sequence};
use super::plugin::{self, ed25519};
use crate::model::{
    AuthMethod, Fault, FaultKind, MAX_TOKEN_LEN, Proof, SealingKey, Secret, TlsFacts, Verifier,
};
use crate::protocol::bytes::put_cstr;
use crate::protocol::{Costly, Entropy, Exchange, ProofDemand, Step};

use check::Check;

/// Longest payload of a client's answer, in bytes: a token, and the zero byte behind it.
pub const MAX_ANSWER_LEN: usize = MAX_TOKEN_LEN + 1;

/// First byte of a packet that goes on with the plugin (MySQL protocol, `AuthMoreData`).
pub const MORE_DATA: u8 = 0x01;
/// First byte of a packet that asks for another plugin (MySQL protocol, `AuthSwitchRequest`).
pub const SWITCH: u8 = 0xFE;
/// `caching_sha2_password`: the answer was right.
pub const FAST_SUCCESS: u8 = 3;
/// `caching_sha2_password`: the password itself is needed.
pub const FULL_AUTHENTICATION: u8 = 4;

/// A client of `caching_sha2_password` asks for the public key.
pub const KEY_FOR_CACHING_SHA2: u8 = 2;
/// A client of `sha256_password` asks for the public key.
pub const KEY_FOR_SHA256: u8 = 1;

/// The client proves who it is.
pub struct Prove {
    user: Arc<str>,
    peer: IpAddr,
    sequence: Arc<Sequence>,
    method: Method,
    /// The client has named this plugin.
    named: Box<str>,
    /// It was greeted with this one.
    greeted: &'static str,
    /// The client can be told to switch.
    can_switch: bool,
    /// What it has said with its name.
    answer: Option<Secret>,
    scramble: [u8; SCRAMBLE_LEN],
    /// Where the client's last challenge is kept.
    challenge: Arc<Challenge>,
    /// The client has been challenged before, and may answer that.
    again: bool,
    /// Randomness for the challenge after a switch.
    fresh: [u8; ed25519::NONCE_LEN],
    tls: bool,
    /// Where a client may be assured of our certificate: its hash, and where to put the assurance.
    certificate: Option<[u8; 32]>,
    assurance: Assurance,
    greeting: [u8; SCRAMBLE_LEN],
    verifier: Option<Verifier>,
    decoy_key: [u8; 32],
    check: Option<Check>,
    /// Where there is no TLS.
    sealing_key: Option<Arc<SealingKey>>,
    key_given: bool,
    /// `parsec`: the client has asked for the salt.
    salt_asked: bool,
    with_password: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Trust,
    Certificate(bool),
    CachingSha2,
    Native,
    Ed25519,
    Parsec,
    /// The password in the clear: `sha256_password`.
    Sha256,
    /// The password in the clear: `mysql_clear_password`.
    Clear,
    /// A token, likewise: taken as it is, for others to judge. What those without TLS are told.
    Token(&'static str),
}

#[derive(Debug)]
enum Stage {
    Start,
    ExpectAnswer,
    /// `caching_sha2_password` has asked for the password itself.
    ExpectPassword,
    ExpectHash,
    Hashed(Secret),
    Over,
}

/// What an answer leads to.
enum Turn {
    Answer,
    Password,
    Compute(Costly),
    Done(Proof),
}

/// Why an answer is refused.
enum Refusal {
    /// The proof is wrong: all that the client may know.
    Denied,
    Fault(Fault),
}

impl Prove {
    /// Demands a proof of a client. `entropy` is fresh randomness.
    pub fn new(login: &Login, demand: ProofDemand, entropy: &Entropy) -> Self {
        let answer = login.take_answer();
        Self {
            with_password: answer.as_ref().is_some_and(|a| !is_empty(a.expose())),
            answer,
            user: Arc::clone(&login.user),
            peer: login.peer,
            sequence: Arc::clone(&login.sequence),
            method: method(&demand),
            named: login.plugin.clone(),
            greeted: usual_plugin(login.flavor),
            can_switch: login.capabilities.has(Capabilities::PLUGIN_AUTH),
            scramble: login.challenge.last(),
            challenge: Arc::clone(&login.challenge),
            again: login.again,
            fresh: entropy.first_chunk().copied().unwrap_or_default(),
            tls: demand.tls.is_some(),
            certificate: demand
                .tls
                .as_ref()
                .and_then(|tls| tls.fingerprint)
                .filter(|_| login.flavor == Flavor::MariaDb),
            assurance: Arc::clone(&login.assurance),
            greeting: login.challenge.last(),
            verifier: demand.verifier,
            decoy_key: demand.decoy_key,
            check: None,
            sealing_key: demand.sealing_key.filter(|_| demand.tls.is_none()),
            key_given: false,
            salt_asked: false,
            stage: Stage::Start,
        }
    }

    fn fault(&self, refusal: Refusal) -> Fault {
        match refusal {
            Refusal::Fault(fault) => fault,
            Refusal::Denied => fault::access_denied(&self.user, self.peer, self.with_password),
        }
    }

    /// Takes the answer that came with the name, or tells the client to switch.
    fn open(&mut self, out: &mut BytesMut) -> Result<Turn, Refusal> {
        let plugin = match self.method {
            Method::Trust | Method::Certificate(true) => return Ok(Turn::Done(Proof::default())),
            Method::Certificate(false) => return Err(Refusal::Denied),
            Method::CachingSha2 => plugin::CACHING_SHA2,
            Method::Native => plugin::NATIVE,
            Method::Ed25519 => plugin::ED25519,
            Method::Parsec => plugin::PARSEC,
            Method::Sha256 => plugin::SHA256,
            Method::Clear | Method::Token(_) => plugin::CLEAR,
        };
        if let Method::Token(needs_tls) = self.method
            && !self.tls
        {
            let fault = Fault::new(FaultKind::TlsRequired, needs_tls);
            return Err(Refusal::Fault(fault));
        }
        let sealed = self.method == Method::Sha256 && self.sealing_key.is_some();
        if matches!(self.method, Method::Sha256 | Method::Clear) && !self.tls && !sealed {
            return Err(Refusal::Fault(Fault::new(
                FaultKind::TlsRequired,
                "Password authentication is allowed only with TLS connections. Connect with --ssl-mode=REQUIRED or stronger.",
            )));
        }
        // The greeting's challenge is too short for a signature. A client that does not know the
        // plugin of the greeting, or waits for a challenge in COM_CHANGE_USER, names its own and
        // sends nothing with it.
        let greeted = *plugin == *self.greeted && !self.again;
        let signs = matches!(self.method, Method::Ed25519 | Method::Parsec);
        let named = *self.named == *plugin && !signs;
        let answer = self.answer.take();
        if let Some(answer) = answer.filter(|a| named && (greeted || !is_empty(a.expose()))) {
            return self.answered(answer.expose(), out);
        }
        if !self.can_switch {
            return Err(Refusal::Fault(fault::with_code(
                FaultKind::Unsupported,
                1251,
                "08004",
                "Client does not support authentication protocol requested by server; consider upgrading MySQL client",
            )));
        }
        // As MariaDB does; the assurance is made with the first challenge.
        let keeps = self.again || self.method == Method::Native && self.certificate.is_some();
        if !keeps {
            self.scramble = scramble(self.fresh.first_chunk().copied().unwrap_or_default());
            self.challenge.renew(self.scramble);
        }
        put_packet(out, self.sequence.take(), |out| {
            out.put_u8(SWITCH);
            put_cstr(out, plugin.as_bytes());
            if signs {
                out.put_slice(&self.fresh);
            } else {
                put_cstr(out, &self.scramble);
            }
        });
        Ok(Turn::Answer)
    }

    fn answered(&mut self, answer: &[u8], out: &mut BytesMut) -> Result<Turn, Refusal> {
        if let (Method::Parsec, Some(Verifier::Parsec(kept))) = (self.method, &self.verifier) {
            let asked = std::mem::replace(&mut self.salt_asked, true);
            return self.parsec(kept, answer, asked, out);
        }
        self.with_password = !is_empty(answer);
        // No user of Sluice has an empty password.
        if !self.with_password {
            return Err(Refusal::Denied);
        }
        match self.method {
            Method::Native => self.native(answer),
            Method::CachingSha2 => self.caching_sha2(answer, out),
            Method::Ed25519 => self.ed25519(answer),
            Method::Sha256 | Method::Clear => self.password(answer, out),
            Method::Token(_) => {
                let token = plugin::cleartext(answer).ok_or(Refusal::Denied)?;
                Ok(Turn::Done(Proof {
                    token: Some(Secret::new(token)),
                    ..Proof::default()
                }))
            }
            Method::Trust | Method::Certificate(_) | Method::Parsec => Err(Refusal::Denied),
        }
    }

    fn receive(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
        password: bool,
    ) -> Result<Option<Turn>, Refusal> {
        let payload = take(input, &self.sequence, MAX_ANSWER_LEN).map_err(Refusal::Fault)?;
        let Some(mut payload) = payload else {
            return Ok(None);
        };
        let turn = if password {
            self.password(&payload, out)
        } else {
            self.answered(&payload, out)
        };
        payload.as_mut().zeroize();
        turn.map(Some)
    }

    fn turn(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Step<Proof>, Refusal> {
        loop {
            let turn = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Start => self.open(out)?,
                stage @ (Stage::ExpectAnswer | Stage::ExpectPassword) => {
                    let password = matches!(stage, Stage::ExpectPassword);
                    let Some(turn) = self.receive(input, out, password)? else {
                        self.stage = stage;
                        return Ok(Step::Read);
                    };
                    turn
                }
                Stage::Hashed(result) => self.hashed(&result)?,
                // The driver goes on only with the result, and never after the end.
                Stage::ExpectHash | Stage::Over => return Err(Refusal::Denied),
            };
            match turn {
                Turn::Answer => self.stage = Stage::ExpectAnswer,
                Turn::Password => self.stage = Stage::ExpectPassword,
                Turn::Compute(work) => {
                    self.stage = Stage::ExpectHash;
                    return Ok(Step::Compute(work));
                }
                Turn::Done(proof) => return Ok(Step::Done(proof)),
            }
        }
    }
}

impl Exchange for Prove {
    type Done = Proof;
    type Error = Fault;

    fn advance(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Step<Proof>, Fault> {
        self.turn(input, out).map_err(|refusal| {
            let fault = self.fault(refusal);
            fault::write(&fault, self.sequence.take(), out);
            fault
        })
    }

    fn secured(&mut self, _facts: &TlsFacts) {}

    fn computed(&mut self, result: Secret) {
        if matches!(self.stage, Stage::ExpectHash) {
            self.stage = Stage::Hashed(result);
        }
    }
}

/// What the client has chosen, if that proves something without showing the password; else the
/// method of the greeting. Drivers that know `mysql_native_password` only, or not at all, can so
/// reach servers of either kind.
pub fn usual_method(login: &Login) -> AuthMethod {
    match &*login.plugin {
        plugin::CACHING_SHA2 => AuthMethod::CachingSha2,
        plugin::NATIVE => AuthMethod::Native,
        plugin::ED25519 => AuthMethod::Ed25519,
        _ => match login.flavor {
            Flavor::MySql => AuthMethod::CachingSha2,
            Flavor::MariaDb => AuthMethod::Native,
        },
    }
}

/// See the module's documentation.
fn method(demand: &ProofDemand) -> Method {
    match (demand.method, &demand.verifier) {
        (AuthMethod::Trust, _) => Method::Trust,
        // The caller has compared the names in the certificate with the user.
        (AuthMethod::Certificate, _) => {
            let name = demand.tls.as_ref().map(|tls| &tls.peer_common_name);
            Method::Certificate(name.is_some_and(Option::is_some))
        }
        (AuthMethod::Password, _) => Method::Clear,
        (AuthMethod::Sha256, _) => Method::Sha256,
        (method, _) if method.is_token() => Method::Token(method.token_needs_tls()),
        (_, Some(Verifier::Native(_))) => Method::Native,
        (_, Some(Verifier::Ed25519(_))) => Method::Ed25519,
        (_, Some(Verifier::Parsec(_))) => Method::Parsec,
        (AuthMethod::Native, None | Some(Verifier::Password(_))) => Method::Native,
        (AuthMethod::Ed25519, None | Some(Verifier::Password(_))) => Method::Ed25519,
        // Whatever else is configured is not of MySQL.
        _ => Method::CachingSha2,
    }
}

/// Some plugins of some clients send a zero byte for no password.
const fn is_empty(answer: &[u8]) -> bool {
    matches!(answer, [] | [0])
}

#[cfg(test)]
mod tests;
