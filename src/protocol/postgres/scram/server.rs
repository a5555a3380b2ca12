//! The server's side: checks a client's proof against a verifier, or goes through the motions
//! for a user that has none.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use super::{
    GS2_END_POINT, GS2_NONE, GS2_UNOFFERED, ITERATIONS, MECHANISM, MECHANISM_PLUS, NONCE_LEN,
    SALT_LEN, attribute, auth_message, binding, hmac_sha256, is_nonce, keys, salted_password,
    sha256, xor,
};
use crate::model::credential::SHA256_LEN;
use crate::model::{ScramKeys, ScramVerifier, Secret};
use crate::protocol::Costly;

/// Why a client's SCRAM messages are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// They break the rules of RFC 5802.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// The client's channel binding does not fit this TLS session: somebody may sit in between.
    #[error("SCRAM channel binding check failed")]
    Binding,
    /// The proof is wrong, or no proof could have been right.
    #[error("wrong proof")]
    Denied,
}

/// What a proof is checked against.
#[derive(Clone, Debug)]
pub struct Lookup {
    pub(super) key: Key,
    /// No proof can be right.
    pub(super) doomed: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Key {
    Ready(ScramVerifier),
    /// The verifier must be derived first.
    Password {
        password: Secret,
        salt: [u8; SALT_LEN],
    },
}

impl Lookup {
    /// A stored verifier.
    pub const fn verifier(verifier: ScramVerifier) -> Self {
        Self {
            key: Key::Ready(verifier),
            doomed: false,
        }
    }

    /// A stored password. The salt is the one that the user would be shown if it did not exist,
    /// so that salts do not tell. The hash is computed for each login: callers with many logins
    /// keep the result of [`super::derive_verifier`], which also makes both cases last the same.
    pub fn password(password: Secret, user: &str, decoy_key: &[u8; 32]) -> Self {
        // PostgreSQL lets nobody in with an empty password.
        if password.expose().is_empty() {
            return Self::unknown(user, decoy_key);
        }
        let salt = decoy_salt(user, decoy_key);
        Self {
            key: Key::Password { password, salt },
            doomed: false,
        }
    }

    /// A user that does not exist, or has nothing that SCRAM could check.
    pub fn unknown(user: &str, decoy_key: &[u8; 32]) -> Self {
        let key = |label: &[u8]| Secret::new(hmac_sha256(decoy_key, &[label, user.as_bytes()]));
        Self {
            key: Key::Ready(ScramVerifier {
                iterations: ITERATIONS,
                salt: decoy_salt(user, decoy_key).as_slice().into(),
                stored_key: key(b"stored key\0"),
                server_key: key(b"server key\0"),
            }),
            doomed: true,
        }
    }
}

/// The salt shown for users that have none of their own: the same at every try.
pub fn decoy_salt(user: &str, decoy_key: &[u8; 32]) -> [u8; SALT_LEN] {
    let tag = hmac_sha256(decoy_key, &[b"salt\0", user.as_bytes()]);
    tag.first_chunk().copied().unwrap_or_default()
}

/// One exchange. Call the methods in order of declaration.
#[derive(Debug)]
pub struct Server {
    lookup: Lookup,
    end_point: Option<Bytes>,
    nonce: String,
    plus: bool,
    header: &'static str,
    client_first_bare: String,
    server_first: String,
    auth_message: String,
    proof: [u8; SHA256_LEN],
}

impl Server {
    /// `end_point` is our certificate's channel binding data; without it, SCRAM-SHA-256-PLUS is
    /// not offered. `nonce` is fresh randomness.
    pub fn new(lookup: Lookup, end_point: Option<Bytes>, nonce: &[u8; NONCE_LEN]) -> Self {
        Self::with_nonce(lookup, end_point, BASE64.encode(nonce))
    }

    pub(super) const fn with_nonce(
        lookup: Lookup,
        end_point: Option<Bytes>,
        nonce: String,
    ) -> Self {
        Self {
            lookup,
            end_point,
            nonce,
            plus: false,
            header: GS2_NONE,
            client_first_bare: String::new(),
            server_first: String::new(),
            auth_message: String::new(),
            proof: [0; SHA256_LEN],
        }
    }

    /// The mechanisms to offer, best first.
    pub const fn mechanisms(&self) -> &'static [&'static str] {
        if self.end_point.is_some() {
            &[MECHANISM_PLUS, MECHANISM]
        } else {
            &[MECHANISM]
        }
    }

    /// The client chose a mechanism.
    pub fn select(&mut self, mechanism: &[u8]) -> Result<(), Refusal> {
        let offered = self.mechanisms().iter();
        let known = offered.copied().find(|name| name.as_bytes() == mechanism);
        let known = known.ok_or(Refusal::Malformed("a mechanism that was not offered"))?;
        self.plus = known == MECHANISM_PLUS;
        Ok(())
    }

    /// Reads client-first-message, and returns server-first-message.
    pub fn first(&mut self, message: &[u8]) -> Result<&str, Refusal> {
        let message = text(message)?;
        let (header, bare) = self.split_header(message)?;
        self.header = header;
        let mut rest = Some(bare);
        // The user name in here is ignored, as by PostgreSQL: the startup message named the user.
        attribute(&mut rest, 'n').ok_or(Refusal::Malformed("a user name was expected"))?;
        let nonce = attribute(&mut rest, 'r').filter(|nonce| is_nonce(nonce));
        let nonce = nonce.ok_or(Refusal::Malformed("a nonce was expected"))?;
        let (salt, iterations) = match &self.lookup.key {
            Key::Ready(verifier) => (&*verifier.salt, verifier.iterations),
            Key::Password { salt, .. } => (salt.as_slice(), ITERATIONS),
        };
        let salt = BASE64.encode(salt);
        self.nonce.insert_str(0, nonce);
        // Sized at once, which `format!` cannot.
        let iterations = iterations.to_string();
        let parts = ["r=", &self.nonce, ",s=", &salt, ",i=", &iterations];
        self.server_first = parts.concat();
        bare.clone_into(&mut self.client_first_bare);
        Ok(&self.server_first)
    }

    /// Tells the header of RFC 5802 section 7 (`gs2-header`) from what is signed.
    fn split_header<'a>(&self, message: &'a str) -> Result<(&'static str, &'a str), Refusal> {
        if let Some(bare) = message.strip_prefix(GS2_NONE) {
            return if self.plus {
                Err(Refusal::Malformed(
                    "SCRAM-SHA-256-PLUS without channel binding",
                ))
            } else {
                Ok((GS2_NONE, bare))
            };
        }
        if let Some(bare) = message.strip_prefix(GS2_UNOFFERED) {
            // RFC 5802 section 6: the client says that it saw no offer, so somebody removed it.
            return if self.plus || self.end_point.is_some() {
                Err(Refusal::Binding)
            } else {
                Ok((GS2_UNOFFERED, bare))
            };
        }
        match message.strip_prefix(GS2_END_POINT) {
            Some(bare) if self.plus => Ok((GS2_END_POINT, bare)),
            Some(_) => Err(Refusal::Malformed(
                "channel binding without SCRAM-SHA-256-PLUS",
            )),
            None => Err(Refusal::Malformed(
                "unknown channel binding or authorization identity",
            )),
        }
    }

    /// Reads client-final-message. A computation, if one is returned, must be run and its result
    /// given to [`Self::computed`] before the verdict.
    pub fn last(&mut self, message: &[u8]) -> Result<Option<Costly>, Refusal> {
        let message = text(message)?;
        // The proof is encoded and last, so that no comma follows it.
        let parts = message.rsplit_once(',');
        let parts = parts.and_then(|(before, last)| Some((before, last.strip_prefix("p=")?)));
        let (without_proof, proof) = parts.ok_or(Refusal::Malformed("a proof was expected"))?;
        let mut rest = Some(without_proof);
        let bound = attribute(&mut rest, 'c').ok_or(Refusal::Malformed("no channel binding"))?;
        let end_point = self.end_point.as_deref().filter(|_| self.plus);
        let expected = binding(self.header, end_point.unwrap_or_default());
        if verify_slices_are_equal(bound.as_bytes(), expected.as_bytes()).is_err() {
            return Err(Refusal::Binding);
        }
        if attribute(&mut rest, 'r') != Some(self.nonce.as_str()) {
            return Err(Refusal::Malformed("the nonce does not match"));
        }
        let proof = BASE64.decode(proof).ok().and_then(|p| p.try_into().ok());
        self.proof = proof.ok_or(Refusal::Malformed("a proof has 32 bytes"))?;
        self.auth_message =
            auth_message(&self.client_first_bare, &self.server_first, without_proof);
        let Key::Password { password, salt } = &self.lookup.key else {
            return Ok(None);
        };
        let (password, salt) = (password.clone(), *salt);
        Ok(Some(Costly::new(move || {
            salted_password(password.expose(), &salt, ITERATIONS)
        })))
    }

    /// Takes the result of the computation that [`Self::last`] asked for.
    pub fn computed(&mut self, salted_password: &Secret) {
        let Key::Password { salt, .. } = &self.lookup.key else {
            return;
        };
        let keys = keys(salted_password);
        self.lookup.key = Key::Ready(ScramVerifier {
            iterations: ITERATIONS,
            salt: salt.as_slice().into(),
            stored_key: Secret::new(sha256(keys.client_key.expose())),
            server_key: keys.server_key,
        });
    }

    /// Whether the proof is right; then server-final-message, and the keys that it revealed.
    pub fn verdict(&self) -> Result<(String, ScramKeys), Refusal> {
        let Key::Ready(verifier) = &self.lookup.key else {
            return Err(Refusal::Denied);
        };
        let signed = self.auth_message.as_bytes();
        let client_signature = hmac_sha256(verifier.stored_key.expose(), &[signed]);
        let client_key = Secret::new(xor(&self.proof, &client_signature));
        let stored_key = sha256(client_key.expose());
        let right = verify_slices_are_equal(&stored_key, verifier.stored_key.expose()).is_ok();
        let server_signature = hmac_sha256(verifier.server_key.expose(), &[signed]);
        // An exchange that never reached its end has signed nothing.
        if !right || self.lookup.doomed || signed.is_empty() {
            return Err(Refusal::Denied);
        }
        let keys = ScramKeys {
            client_key,
            server_key: verifier.server_key.clone(),
        };
        Ok((["v=", &BASE64.encode(server_signature)].concat(), keys))
    }
}

fn text(message: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(message).map_err(|_| Refusal::Malformed("not UTF-8"))
}
