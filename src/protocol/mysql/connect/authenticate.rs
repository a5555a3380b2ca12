//! The answers to a server's demand for a proof.

use super::super::greeting::Greeting;
use super::super::login::SCRAMBLE_LEN;
use super::super::plugin::{self, ed25519, native, parsec, rsa, sha2};
use super::super::prove::{
    FAST_SUCCESS, FULL_AUTHENTICATION, KEY_FOR_CACHING_SHA2, KEY_FOR_SHA256,
};
use super::super::wire::Reader;
use super::DEFAULT_PLUGIN;
use crate::model::{Credential, Secret};
use crate::protocol::{Breach, ConnectError, ConnectPlan, Costly, Entropy};

/// Answers a server.
#[derive(Debug)]
pub(super) struct Authenticate {
    credential: Credential,
    /// The server may be asked for its public key where there is no TLS.
    ask_key: bool,
    tls: bool,
    /// The plugin that the server has asked for last.
    plugin: Box<str>,
    scramble: Box<[u8]>,
    /// Our own challenge, where a plugin has one.
    nonce: [u8; parsec::NONCE_LEN],
    /// The server has been asked for its public key.
    key_asked: bool,
    /// The password has been sent in the clear inside TLS, because the server has asked for it.
    shown: bool,
}

/// What goes with the user's name.
#[derive(Debug)]
pub(super) struct First {
    pub(super) plugin: &'static str,
    pub(super) answer: Secret,
}

/// What a server's packet leads to.
pub(super) enum Turn {
    /// Nothing is to be said.
    Silent,
    Say(Secret),
    Compute(Costly),
}

impl Authenticate {
    pub(super) fn new(plan: &ConnectPlan, greeting: &Greeting, entropy: &Entropy) -> Self {
        Self {
            credential: plan.credential.clone(),
            ask_key: plan.ask_public_key,
            tls: false,
            plugin: greeting.plugin.clone(),
            scramble: greeting.scramble.into(),
            nonce: entropy.first_chunk().copied().unwrap_or_default(),
            key_asked: false,
            shown: false,
        }
    }

    /// The server lets us in.
    ///
    /// # Errors
    /// If it has not looked at the token.
    pub(super) fn accepted(&self) -> Result<(), ConnectError> {
        match &self.credential {
            Credential::Token(_) if !self.shown => Err(ConnectError::Unasked),
            _ => Ok(()),
        }
    }

    /// TLS is in use from here on.
    pub(super) fn secured(&mut self) {
        self.tls = true;
    }

    /// The answer to the greeting. The server does not know the user yet, so what it greets with
    /// is a guess; a server that wants another plugin for this user says so.
    pub(super) fn first(&mut self) -> Result<First, ConnectError> {
        let by_key = matches!(self.credential, Credential::NativeKey(_));
        let plugin = if *self.plugin == *plugin::CACHING_SHA2 && !by_key {
            plugin::CACHING_SHA2
        } else {
            DEFAULT_PLUGIN
        };
        self.plugin = plugin.into();
        let answer = self.answer()?;
        Ok(First { plugin, answer })
    }

    /// Answers a demand for another plugin.
    pub(super) fn switched(&mut self, request: &[u8]) -> Result<Turn, ConnectError> {
        let mut reader = Reader::new(request);
        // Nothing but the first byte: the password hash of MySQL 4.0.
        let name = reader.cstr().ok_or(ConnectError::Credential(
            "the server asks for mysql_old_password, which is not safe",
        ))?;
        let name = std::str::from_utf8(name).map_err(|_| Breach("malformed AuthSwitchRequest"))?;
        let data = reader.rest();
        self.plugin = name.into();
        self.key_asked = false;
        // Servers put a zero byte behind a challenge of text.
        self.scramble = match data.strip_suffix(&[0]) {
            Some(scramble) if scramble.len() == SCRAMBLE_LEN => scramble.into(),
            _ => data.into(),
        };
        self.answer().map(Turn::Say)
    }

    /// Goes on with the plugin.
    pub(super) fn more(&mut self, data: &[u8]) -> Result<Turn, ConnectError> {
        match (&*self.plugin, data) {
            (plugin::CACHING_SHA2 | plugin::SHA256, pem) if self.key_asked => {
                self.key_asked = false;
                self.sealed(pem).map(Turn::Say)
            }
            (plugin::CACHING_SHA2, [FAST_SUCCESS]) => Ok(Turn::Silent),
            (plugin::CACHING_SHA2, [FULL_AUTHENTICATION]) => self.full().map(Turn::Say),
            (plugin::PARSEC, ext_salt) => {
                let password = Secret::new(self.password()?);
                let work = parsec::seed(ext_salt, &password);
                Ok(Turn::Compute(work.ok_or(MORE)?))
            }
            _ => Err(MORE.into()),
        }
    }

    /// The answer that waited for a computation.
    pub(super) fn computed(&self, result: &Secret) -> Result<Secret, ConnectError> {
        let answer = parsec::answer(result, &self.scramble, &self.nonce);
        Ok(Secret::new(answer.ok_or(MORE)?))
    }

    /// The answer to the challenge of the plugin asked for.
    fn answer(&mut self) -> Result<Secret, ConnectError> {
        if matches!(self.credential, Credential::None) {
            return Ok(Secret::new([]));
        }
        if let Credential::Token(token) = &self.credential {
            return self.token(token.clone());
        }
        match &*self.plugin {
            plugin::NATIVE => self.native(),
            plugin::CACHING_SHA2 => {
                let password = self.password()?;
                Ok(Secret::new(sha2::answer(password, &self.scramble)))
            }
            plugin::CLEAR if !self.tls => Err(CLEAR),
            plugin::CLEAR | plugin::SHA256 => self.full(),
            plugin::ED25519 if self.scramble.len() == ed25519::NONCE_LEN => {
                let password = self.password()?;
                Ok(Secret::new(ed25519::sign(password, &self.scramble)))
            }
            // Asks for the salt. The challenge has a length of its own, so that nothing else is
            // ever signed.
            plugin::PARSEC if self.scramble.len() == parsec::NONCE_LEN => Ok(Secret::new([])),
            plugin::ED25519 | plugin::PARSEC => Err(MORE.into()),
            _ => Err(ConnectError::Credential(
                "the server asks for an authentication plugin that Sluice does not know",
            )),
        }
    }

    /// Nothing, until the server asks for it as it should: the plugin that it greets with is a
    /// guess.
    fn token(&mut self, token: Secret) -> Result<Secret, ConnectError> {
        if *self.plugin != *plugin::CLEAR {
            return Ok(Secret::new([]));
        }
        if !self.tls {
            return Err(CLEAR);
        }
        self.shown = true;
        Ok(Secret::new([token.expose(), &[0]].concat()))
    }

    fn native(&self) -> Result<Secret, ConnectError> {
        let key = match &self.credential {
            Credential::NativeKey(key) => key.clone(),
            _ => native::key(self.password()?),
        };
        let answer = native::answer(key.expose(), &self.scramble);
        let answer = answer.ok_or(ConnectError::Credential("the key has a wrong length"))?;
        Ok(Secret::new(answer))
    }

    /// The password itself, or the question for a key to seal it with.
    fn full(&mut self) -> Result<Secret, ConnectError> {
        let password = self.password()?;
        if self.tls {
            return Ok(Secret::new([password, &[0]].concat()));
        }
        if !self.ask_key {
            return Err(NEEDS_TLS);
        }
        self.key_asked = true;
        let question = if *self.plugin == *plugin::CACHING_SHA2 {
            KEY_FOR_CACHING_SHA2
        } else {
            KEY_FOR_SHA256
        };
        Ok(Secret::new([question]))
    }

    fn sealed(&self, pem: &[u8]) -> Result<Secret, ConnectError> {
        let masked = Secret::new(sha2::masked(self.password()?, &self.scramble));
        let sealed = rsa::seal(pem, masked.expose());
        let sealed = sealed.ok_or(ConnectError::Credential(
            "the password cannot be sealed with the server's public key",
        ))?;
        Ok(Secret::new(sealed))
    }

    fn password(&self) -> Result<&[u8], ConnectError> {
        match &self.credential {
            Credential::Password(password) if password.expose().contains(&0) => Err(
                ConnectError::Credential("the password contains a zero byte"),
            ),
            Credential::Password(password) => Ok(password.expose()),
            Credential::Token(_) => Err(ConnectError::Unasked),
            Credential::NativeKey(_) => Err(ConnectError::Credential(
                "the server asks for the password, but only the key of mysql_native_password is known",
            )),
            Credential::ScramKeys(_) => Err(ConnectError::Credential(
                "what the client has proven is of use for PostgreSQL only",
            )),
            Credential::None => Err(ConnectError::Credential(
                "the server asks for a password, but none is known",
            )),
        }
    }
}

const MORE: Breach = Breach("unexpected data of the authentication plugin");
const CLEAR: ConnectError =
    ConnectError::Credential("the server asks for the password in the clear, without TLS");
const NEEDS_TLS: ConnectError = ConnectError::Credential(
    "the server asks for the password itself, which needs server_tls_mode = \"require\" or stronger, or server_public_key_retrieval = true",
);
