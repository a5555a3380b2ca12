//! The answers to a server's demand for a proof.

use super::super::greeting::Greeting;
use super::super::login::SCRAMBLE_LEN;
use super::super::plugin::{self, native, sha2};
use super::super::prove::{FAST_SUCCESS, FULL_AUTHENTICATION};
use super::super::wire::Reader;
use super::DEFAULT_PLUGIN;
use crate::model::{Credential, Secret};
use crate::protocol::{Breach, ConnectError, ConnectPlan};

/// Answers a server.
#[derive(Debug)]
pub(super) struct Authenticate {
    credential: Credential,
    /// The plugin that the server has asked for last.
    plugin: Box<str>,
    scramble: Box<[u8]>,
}

/// What goes with the user's name.
#[derive(Debug)]
pub(super) struct First {
    pub(super) plugin: &'static str,
    pub(super) answer: Secret,
}

impl Authenticate {
    pub(super) fn new(plan: &ConnectPlan, greeting: &Greeting) -> Self {
        Self {
            credential: plan.credential.clone(),
            plugin: greeting.plugin.clone(),
            scramble: greeting.scramble.into(),
        }
    }

    /// The answer to the greeting. The server does not know the user yet, so what it greets with
    /// is a guess; a server that wants another plugin for this user says so.
    pub(super) fn first(&mut self, tls: bool) -> Result<First, ConnectError> {
        let by_key = matches!(self.credential, Credential::NativeKey(_));
        let plugin = if *self.plugin == *plugin::CACHING_SHA2 && !by_key {
            plugin::CACHING_SHA2
        } else {
            DEFAULT_PLUGIN
        };
        self.plugin = plugin.into();
        let answer = self.answer(tls)?;
        Ok(First { plugin, answer })
    }

    /// Answers a demand for another plugin.
    pub(super) fn switched(
        &mut self,
        request: &[u8],
        tls: bool,
    ) -> Result<Option<Secret>, ConnectError> {
        let mut reader = Reader::new(request);
        // Nothing but the first byte: the password hash of MySQL 4.0.
        let name = reader.cstr().ok_or(ConnectError::Credential(
            "the server asks for mysql_old_password, which is not safe",
        ))?;
        let name = std::str::from_utf8(name).map_err(|_| Breach("malformed AuthSwitchRequest"))?;
        let data = reader.rest();
        self.plugin = name.into();
        // Servers put a zero byte behind the challenge, and count it or not.
        self.scramble = match data.strip_suffix(&[0]) {
            Some(scramble) if scramble.len() == SCRAMBLE_LEN => scramble.into(),
            _ => data.into(),
        };
        self.answer(tls).map(Some)
    }

    /// Goes on with the plugin.
    pub(super) fn more(&mut self, data: &[u8], tls: bool) -> Result<Option<Secret>, ConnectError> {
        match (&*self.plugin, data) {
            (plugin::CACHING_SHA2, [FAST_SUCCESS]) => Ok(None),
            (plugin::CACHING_SHA2, [FULL_AUTHENTICATION]) => self.full(tls).map(Some),
            _ => Err(Breach("unexpected data of the authentication plugin").into()),
        }
    }

    /// The answer to the challenge of the plugin asked for.
    fn answer(&self, tls: bool) -> Result<Secret, ConnectError> {
        if matches!(self.credential, Credential::None) {
            return Ok(Secret::new([]));
        }
        match &*self.plugin {
            plugin::NATIVE => self.native(),
            plugin::CACHING_SHA2 => {
                let password = self.password()?;
                Ok(Secret::new(sha2::answer(password, &self.scramble)))
            }
            plugin::CLEAR | plugin::SHA256 => self.full(tls),
            _ => Err(ConnectError::Credential(
                "the server asks for an authentication plugin that Sluice does not know",
            )),
        }
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

    /// The password itself.
    fn full(&self, tls: bool) -> Result<Secret, ConnectError> {
        let password = self.password()?;
        if !tls {
            return Err(ConnectError::Credential(
                "the server asks for the password in the clear, without TLS",
            ));
        }
        Ok(Secret::new([password, &[0]].concat()))
    }

    fn password(&self) -> Result<&[u8], ConnectError> {
        match &self.credential {
            Credential::Password(password) if password.expose().contains(&0) => Err(
                ConnectError::Credential("the password contains a zero byte"),
            ),
            Credential::Password(password) => Ok(password.expose()),
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
