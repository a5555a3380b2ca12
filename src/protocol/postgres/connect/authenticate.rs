//! Answering a server's authentication requests.

use bytes::{Bytes, BytesMut};

use crate::model::{Credential, Secret, TlsFacts};
use crate::protocol::bytes::Reader;
use crate::protocol::postgres::message::auth;
use crate::protocol::postgres::scram::client::{self, Binding, Client, Knowledge};
use crate::protocol::postgres::scram::{MECHANISM, MECHANISM_PLUS, NONCE_LEN};
use crate::protocol::postgres::{md5, message};
use crate::protocol::{Breach, ConnectError, ConnectPlan, Costly};

/// Answers a server's authentication requests.
pub(super) struct Authenticate {
    user: String,
    credential: Credential,
    nonce: [u8; NONCE_LEN],
    tls: bool,
    end_point: Option<Bytes>,
    stage: Stage,
}

enum Stage {
    ExpectRequest,
    ExpectChallenge(Client),
    Hashing(Client),
    Hashed(Client),
    ExpectSignature(Client),
    /// All is said; only the outcome is missing.
    ExpectOk,
}

/// What a request leads to.
pub(super) enum Turn {
    More,
    Compute(Costly),
    Ok,
}

impl Authenticate {
    pub(super) fn new(plan: &ConnectPlan, nonce: [u8; NONCE_LEN]) -> Self {
        Self {
            user: (*plan.user).to_owned(),
            credential: plan.credential.clone(),
            nonce,
            tls: false,
            end_point: None,
            stage: Stage::ExpectRequest,
        }
    }

    pub(super) fn secured(&mut self, facts: &TlsFacts) {
        self.tls = true;
        self.end_point.clone_from(&facts.end_point);
    }

    /// Reads the body of an authentication request.
    pub(super) fn received(
        &mut self,
        body: &[u8],
        out: &mut BytesMut,
    ) -> Result<Turn, ConnectError> {
        let mut reader = Reader::new(body);
        let code = reader
            .i32()
            .ok_or(Breach("malformed authentication request"))?;
        let data = reader.rest();
        match (std::mem::replace(&mut self.stage, Stage::ExpectOk), code) {
            (Stage::ExpectRequest, auth::OK) if self.is_token() => Err(UNASKED),
            (Stage::ExpectRequest | Stage::ExpectOk, auth::OK) => Ok(Turn::Ok),
            (Stage::ExpectChallenge(_) | Stage::ExpectSignature(_), auth::OK) => Err(
                ConnectError::Impostor("the login succeeded without the server's proof"),
            ),
            (Stage::ExpectRequest, auth::CLEARTEXT) => self.cleartext(out),
            (Stage::ExpectRequest, auth::MD5 | auth::SASL) if self.is_token() => Err(UNASKED),
            (Stage::ExpectRequest, auth::MD5) => self.md5(data, out),
            (Stage::ExpectRequest, auth::SASL) => self.sasl(data, out),
            (Stage::ExpectChallenge(client), auth::SASL_CONTINUE) => {
                self.challenged(client, data, out)
            }
            (Stage::ExpectSignature(client), auth::SASL_FINAL) => {
                client.finished(data).map_err(refusal)?;
                Ok(Turn::More)
            }
            (Stage::ExpectRequest, code) => Err(unsupported(code)),
            _ => Err(Breach("unexpected authentication request").into()),
        }
    }

    /// Takes the hash that was asked for; [`Self::resume`] goes on with it.
    pub(super) fn computed(&mut self, result: &Secret) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::ExpectOk) {
            Stage::Hashing(mut client) => {
                client.computed(result);
                Stage::Hashed(client)
            }
            other => other,
        };
    }

    /// Writes the answer that waited for the hash.
    pub(super) fn resume(&mut self, out: &mut BytesMut) -> Result<(), ConnectError> {
        match std::mem::replace(&mut self.stage, Stage::ExpectOk) {
            Stage::Hashed(client) => self.prove(client, out),
            other => {
                self.stage = other;
                Ok(())
            }
        }
    }

    fn is_token(&self) -> bool {
        matches!(self.credential, Credential::Token(_))
    }

    fn password(&self) -> Result<&[u8], ConnectError> {
        match &self.credential {
            Credential::Password(password) | Credential::Token(password)
                if password.expose().contains(&0) =>
            {
                Err(ConnectError::Credential(
                    "the password contains a zero byte",
                ))
            }
            Credential::Password(password) | Credential::Token(password) => Ok(password.expose()),
            Credential::ScramKeys(_) => Err(ConnectError::Credential(
                "the server asks for the password, but only SCRAM keys are known",
            )),
            Credential::NativeKey(_) => Err(FOREIGN_KEY),
            Credential::None => Err(NOTHING),
        }
    }

    fn cleartext(&self, out: &mut BytesMut) -> Result<Turn, ConnectError> {
        let password = self.password()?;
        if !self.tls {
            return Err(ConnectError::Credential(
                "the server asks for the password in the clear, without TLS",
            ));
        }
        message::password(out, password);
        Ok(Turn::More)
    }

    fn md5(&self, salt: &[u8], out: &mut BytesMut) -> Result<Turn, ConnectError> {
        let salt = salt
            .try_into()
            .map_err(|_| Breach("an MD5 salt has 4 bytes"))?;
        let stored = md5::stored(self.password()?, &self.user);
        message::password(out, &md5::answer(&stored, salt));
        Ok(Turn::More)
    }

    fn sasl(&mut self, offer: &[u8], out: &mut BytesMut) -> Result<Turn, ConnectError> {
        let knowledge = match &self.credential {
            Credential::Password(password) => Knowledge::Password(password.clone()),
            Credential::ScramKeys(keys) => Knowledge::Keys(keys.clone()),
            Credential::Token(_) => return Err(UNASKED),
            Credential::NativeKey(_) => return Err(FOREIGN_KEY),
            Credential::None => return Err(NOTHING),
        };
        let (mechanism, binding) = self.choose(offer)?;
        let client = Client::new(knowledge, binding, &self.nonce);
        message::sasl_initial_response(out, mechanism, client.first().as_bytes());
        self.stage = Stage::ExpectChallenge(client);
        Ok(Turn::More)
    }

    /// Picks the mechanism as libpq does with `channel_binding=prefer`.
    fn choose(&self, offer: &[u8]) -> Result<(&'static str, Binding), ConnectError> {
        let mut reader = Reader::new(offer);
        let (mut plain, mut plus) = (false, false);
        while let Some(name) = reader.cstr().filter(|name| !name.is_empty()) {
            plain |= name == MECHANISM.as_bytes();
            plus |= name == MECHANISM_PLUS.as_bytes();
        }
        if plus && !self.tls {
            return Err(Breach("channel binding offered without TLS").into());
        }
        match &self.end_point {
            Some(data) if plus => Ok((MECHANISM_PLUS, Binding::EndPoint(data.clone()))),
            _ if !plain => Err(ConnectError::Credential(
                "the server offers no SASL mechanism that Sluice knows",
            )),
            Some(_) => Ok((MECHANISM, Binding::Unoffered)),
            None => Ok((MECHANISM, Binding::None)),
        }
    }

    fn challenged(
        &mut self,
        mut client: Client,
        challenge: &[u8],
        out: &mut BytesMut,
    ) -> Result<Turn, ConnectError> {
        if let Some(work) = client.challenged(challenge).map_err(refusal)? {
            self.stage = Stage::Hashing(client);
            return Ok(Turn::Compute(work));
        }
        self.prove(client, out)?;
        Ok(Turn::More)
    }

    fn prove(&mut self, mut client: Client, out: &mut BytesMut) -> Result<(), ConnectError> {
        let last = client.last().ok_or(Breach("the SCRAM keys are missing"))?;
        message::sasl_response(out, last.as_bytes());
        self.stage = Stage::ExpectSignature(client);
        Ok(())
    }
}

const FOREIGN_KEY: ConnectError =
    ConnectError::Credential("what the client has proven is of use for MySQL only");
const UNASKED: ConnectError = ConnectError::Unasked;
const NOTHING: ConnectError =
    ConnectError::Credential("the server asks for a password, but none is known");

fn refusal(refusal: client::Refusal) -> ConnectError {
    match refusal {
        client::Refusal::Malformed(what) => Breach(what).into(),
        client::Refusal::Impostor(what) => ConnectError::Impostor(what),
    }
}

fn unsupported(code: i32) -> ConnectError {
    ConnectError::Credential(match code {
        2 => "the server asks for Kerberos V5, which Sluice does not speak",
        6 => "the server asks for SCM credentials, which Sluice does not speak",
        7 | 8 => "the server asks for GSSAPI, which Sluice does not speak",
        9 => "the server asks for SSPI, which Sluice does not speak",
        _ => "the server asks for an authentication method that Sluice does not know",
    })
}
