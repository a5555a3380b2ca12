//! Server role: a client that has said who it is proves it
//! (<https://www.postgresql.org/docs/current/auth-password.html>).
//!
//! Ends before `AuthenticationOk`: whether the proof is enough is for others to say, so that
//! message belongs to the welcome. An unknown user sees the same messages, and costs the same
//! work, as one with a wrong password.

mod scram_login;

use std::sync::Arc;

use bytes::BytesMut;
use zeroize::Zeroize;

use super::cleartext::Check;
use super::scram::server::Lookup;
use super::{frame, md5, message};
use crate::model::{
    AuthMethod, Fault, FaultKind, MAX_TOKEN_LEN, Proof, Secret, TlsFacts, Verifier,
};
use crate::protocol::bytes::Reader;
use crate::protocol::{Costly, Entropy, Exchange, ProofDemand, Step};

use scram_login::ScramLogin;

/// Longest body of a client's message before it has logged in, in bytes: a token, and the zero byte
/// behind it.
pub const MAX_ANSWER_LEN: usize = MAX_TOKEN_LEN + 1;

/// The client proves who it is.
pub struct Prove {
    user: Arc<str>,
    method: Method,
    stage: Stage,
}

enum Method {
    /// Nothing is to be said: granted or refused.
    Decided(Result<(), Fault>),
    Scram(Box<ScramLogin>),
    Cleartext(Cleartext),
    /// Taken as it is, for others to judge.
    Token,
    Md5(Md5),
}

#[derive(Debug)]
enum Stage {
    Start,
    ExpectAnswer,
    ExpectHash,
    Hashed(Secret),
    Over,
}

struct Cleartext {
    stored: Option<Verifier>,
    decoy_key: [u8; 32],
    check: Option<Check>,
}

struct Md5 {
    stored: md5::Hex,
    doomed: bool,
    salt: [u8; 4],
}

/// What an answer leads to.
enum Turn {
    More,
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
    /// Demands a proof from `user`. `entropy` is fresh randomness.
    ///
    /// A SCRAM verifier answers the method MD5 by SCRAM, as in PostgreSQL and PgBouncer: nothing
    /// else could check it. That shows that the user exists.
    pub fn new(user: Arc<str>, demand: ProofDemand, entropy: &Entropy) -> Self {
        let method = match (demand.method, &demand.verifier) {
            (AuthMethod::Trust, _) => Method::Decided(Ok(())),
            (AuthMethod::Certificate, _) => certificate(&user, demand.tls.as_ref()),
            (AuthMethod::Password, _) => cleartext(demand),
            (method, _) if method.is_token() => token(method, demand.tls.as_ref()),
            (AuthMethod::Md5, verifier) if !matches!(verifier, Some(Verifier::Scram(_))) => {
                Method::Md5(Md5::new(
                    &user,
                    verifier.as_ref(),
                    &demand.decoy_key,
                    entropy,
                ))
            }
            // Whatever else is configured is not of PostgreSQL.
            (_, verifier) => {
                let lookup = lookup(&user, verifier.as_ref(), &demand.decoy_key);
                let end_point = demand.tls.and_then(|tls| tls.end_point);
                Method::Scram(Box::new(ScramLogin::new(lookup, end_point, entropy)))
            }
        };
        Self {
            user,
            method,
            stage: Stage::Start,
        }
    }

    fn fault(&self, refusal: Refusal) -> Fault {
        match refusal {
            Refusal::Fault(fault) => fault,
            Refusal::Denied => Fault::new(
                FaultKind::AuthenticationFailed,
                format!("password authentication failed for user \"{}\"", self.user),
            ),
        }
    }

    /// Writes the first request.
    fn open(&mut self, out: &mut BytesMut) -> Result<Turn, Refusal> {
        match &self.method {
            Method::Decided(Ok(())) => return Ok(Turn::Done(Proof::default())),
            Method::Decided(Err(fault)) => return Err(Refusal::Fault(fault.clone())),
            Method::Scram(login) => login.open(out),
            Method::Cleartext(_) | Method::Token => message::authentication_cleartext(out),
            Method::Md5(challenge) => message::authentication_md5(out, challenge.salt),
        }
        Ok(Turn::More)
    }

    fn answered(&mut self, body: &[u8], out: &mut BytesMut) -> Result<Turn, Refusal> {
        match &mut self.method {
            Method::Decided(_) => Err(Refusal::Fault(Fault::protocol("unexpected message"))),
            Method::Scram(login) => login.answered(body, out),
            Method::Cleartext(cleartext) => cleartext.answered(&self.user, body),
            Method::Token => Ok(Turn::Done(Proof {
                token: Some(Secret::new(password(body)?)),
                ..Proof::default()
            })),
            Method::Md5(challenge) => challenge.answered(body),
        }
    }

    fn hashed(&mut self, result: &Secret, out: &mut BytesMut) -> Result<Turn, Refusal> {
        match &mut self.method {
            Method::Scram(login) => login.hashed(result, out),
            Method::Cleartext(cleartext) => cleartext.hashed(&self.user, result),
            Method::Decided(_) | Method::Token | Method::Md5(_) => Err(Refusal::Denied),
        }
    }

    fn turn(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Step<Proof>, Refusal> {
        loop {
            let turn = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Start => self.open(out)?,
                Stage::ExpectAnswer => {
                    let Some(mut message) = take(input)? else {
                        self.stage = Stage::ExpectAnswer;
                        return Ok(Step::Read);
                    };
                    let turn = self.answered(message.body(), out);
                    message.wire.as_mut().zeroize();
                    turn?
                }
                Stage::Hashed(result) => self.hashed(&result, out)?,
                // The driver goes on only with the result, and never after the end.
                Stage::ExpectHash | Stage::Over => return Err(Refusal::Denied),
            };
            match turn {
                Turn::More => self.stage = Stage::ExpectAnswer,
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
        self.turn(input, out).map_err(|refusal| self.fault(refusal))
    }

    fn secured(&mut self, _facts: &TlsFacts) {}

    fn computed(&mut self, result: Secret) {
        if matches!(self.stage, Stage::ExpectHash) {
            self.stage = Stage::Hashed(result);
        }
    }
}

impl Cleartext {
    fn answered(&mut self, user: &str, body: &[u8]) -> Result<Turn, Refusal> {
        let given = Secret::new(password(body)?);
        let (check, work) = Check::begin(given, self.stored.take(), user, &self.decoy_key);
        self.check = Some(check);
        Ok(Turn::Compute(work))
    }

    fn hashed(&mut self, user: &str, result: &Secret) -> Result<Turn, Refusal> {
        let check = self.check.take();
        let password = check.and_then(|check| check.verdict(user, result));
        let password = password.ok_or(Refusal::Denied)?;
        Ok(Turn::Done(Proof {
            password: Some(password),
            ..Proof::default()
        }))
    }
}

impl Md5 {
    fn new(user: &str, verifier: Option<&Verifier>, decoy_key: &[u8], entropy: &Entropy) -> Self {
        let stored = match verifier {
            Some(Verifier::Md5(stored)) => md5::parse_stored(stored.expose()),
            Some(Verifier::Password(password)) if !password.expose().is_empty() => {
                Some(md5::stored(password.expose(), user))
            }
            _ => None,
        };
        Self {
            doomed: stored.is_none(),
            stored: stored.unwrap_or_else(|| md5::stored(decoy_key, user)),
            salt: entropy.first_chunk().copied().unwrap_or_default(),
        }
    }

    fn answered(&self, body: &[u8]) -> Result<Turn, Refusal> {
        let right = md5::verify(&self.stored, self.salt, password(body)?);
        if right && !self.doomed {
            Ok(Turn::Done(Proof::default()))
        } else {
            Err(Refusal::Denied)
        }
    }
}

/// The caller has compared the names in the certificate with the user.
fn certificate(user: &str, tls: Option<&TlsFacts>) -> Method {
    let verified = tls.is_some_and(|tls| tls.peer_common_name.is_some());
    Method::Decided(if verified {
        Ok(())
    } else {
        Err(Fault::new(
            FaultKind::AuthenticationFailed,
            format!("certificate authentication failed for user \"{user}\""),
        ))
    })
}

fn token(method: AuthMethod, tls: Option<&TlsFacts>) -> Method {
    if tls.is_some() {
        return Method::Token;
    }
    let fault = Fault::new(FaultKind::TlsRequired, method.token_needs_tls());
    Method::Decided(Err(fault))
}

fn cleartext(demand: ProofDemand) -> Method {
    if demand.tls.is_none() {
        return Method::Decided(Err(Fault::new(
            FaultKind::TlsRequired,
            "Password authentication is allowed only with TLS connections. Connect with sslmode=require or stronger.",
        )));
    }
    Method::Cleartext(Cleartext {
        stored: demand.verifier,
        decoy_key: demand.decoy_key,
        check: None,
    })
}

fn lookup(user: &str, verifier: Option<&Verifier>, decoy_key: &[u8; 32]) -> Lookup {
    match verifier {
        Some(Verifier::Scram(verifier)) => Lookup::verifier(verifier.clone()),
        Some(Verifier::Password(password)) => Lookup::password(password.clone(), user, decoy_key),
        // Nothing of SCRAM can be checked against another hash.
        Some(_) | None => Lookup::unknown(user, decoy_key),
    }
}

/// Takes the client's next message, which must be an answer.
fn take(input: &mut BytesMut) -> Result<Option<frame::Message>, Refusal> {
    // The type is looked at first, so that another message is refused whatever its length.
    if let Some(kind) = input.first().filter(|kind| **kind != message::PASSWORD) {
        return Err(Refusal::Fault(Fault::protocol(format!(
            "expected password response, got message type {kind}"
        ))));
    }
    frame::take(input, MAX_ANSWER_LEN)
        .map_err(|_| Refusal::Fault(Fault::protocol("invalid length of password message")))
}

/// Reads a `PasswordMessage`.
fn password(body: &[u8]) -> Result<&[u8], Refusal> {
    let mut reader = Reader::new(body);
    let password = reader.cstr().filter(|_| reader.is_empty());
    password.ok_or_else(|| Refusal::Fault(Fault::protocol("malformed password message")))
}

#[cfg(test)]
mod tests;
