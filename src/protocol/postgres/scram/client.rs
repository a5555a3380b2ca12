//! The client's side: proves to a server that we know the password, or the keys that follow from
//! it, and demands the same of the server.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use super::{
    GS2_END_POINT, GS2_NONE, GS2_UNOFFERED, NONCE_LEN, attribute, auth_message, binding,
    hmac_sha256, is_nonce, keys, salted_password, sha256, xor,
};
use crate::model::credential::SHA256_LEN;
use crate::model::{ScramKeys, Secret};
use crate::protocol::Costly;

/// Most PBKDF2 iterations that a server may make us compute: about a second of work, and some 250
/// times PostgreSQL's default.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Why a server's SCRAM messages are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// They break the rules of RFC 5802.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// The server is not the one that holds our verifier.
    #[error("{0}")]
    Impostor(&'static str),
}

/// What we prove.
#[derive(Clone, Debug)]
pub enum Knowledge {
    /// The password; its hash must be computed once the salt is known.
    Password(Secret),
    /// The keys, so that nothing is left to compute.
    Keys(ScramKeys),
}

/// How the exchange is tied to the TLS session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Not at all.
    None,
    /// Not at all, because the server did not offer it; a server that did will notice.
    Unoffered,
    /// To the server's certificate (`tls-server-end-point`).
    EndPoint(Bytes),
}

/// One exchange. Call the methods in order of declaration.
#[derive(Debug)]
pub struct Client {
    knowledge: Knowledge,
    binding: Binding,
    pub(super) nonce: String,
    first_bare: String,
    salt: Vec<u8>,
    iterations: u32,
    server_first: String,
    nonce_of_both: String,
    auth_message: String,
}

impl Client {
    /// `nonce` is fresh randomness.
    pub fn new(knowledge: Knowledge, binding: Binding, nonce: &[u8; NONCE_LEN]) -> Self {
        // PostgreSQL ignores the user name in here, and libpq leaves it empty.
        Self::with_nonce(knowledge, binding, "", BASE64.encode(nonce))
    }

    pub(super) fn with_nonce(
        knowledge: Knowledge,
        binding: Binding,
        user: &str,
        nonce: String,
    ) -> Self {
        Self {
            knowledge,
            binding,
            first_bare: format!("n={user},r={nonce}"),
            nonce,
            salt: Vec::new(),
            iterations: 0,
            server_first: String::new(),
            nonce_of_both: String::new(),
            auth_message: String::new(),
        }
    }

    const fn header(&self) -> &'static str {
        match self.binding {
            Binding::None => GS2_NONE,
            Binding::Unoffered => GS2_UNOFFERED,
            Binding::EndPoint(_) => GS2_END_POINT,
        }
    }

    /// client-first-message.
    pub fn first(&self) -> String {
        format!("{}{}", self.header(), self.first_bare)
    }

    /// Reads server-first-message. A computation, if one is returned, must be run and its result
    /// given to [`Self::computed`] before [`Self::last`].
    pub fn challenged(&mut self, message: &[u8]) -> Result<Option<Costly>, Refusal> {
        let message = text(message)?;
        let mut rest = Some(message);
        let nonce = attribute(&mut rest, 'r').ok_or(Refusal::Malformed("a nonce was expected"))?;
        let added = nonce.strip_prefix(self.nonce.as_str());
        if !added.is_some_and(is_nonce) {
            return Err(Refusal::Impostor("the nonce does not continue ours"));
        }
        let salt = attribute(&mut rest, 's').and_then(|salt| BASE64.decode(salt).ok());
        self.salt = salt.ok_or(Refusal::Malformed("a salt was expected"))?;
        let iterations = attribute(&mut rest, 'i').and_then(|n| n.parse::<u32>().ok());
        self.iterations = iterations
            .filter(|n| *n > 0)
            .ok_or(Refusal::Malformed("an iteration count was expected"))?;
        if self.iterations > MAX_ITERATIONS {
            return Err(Refusal::Malformed("too many iterations"));
        }
        nonce.clone_into(&mut self.nonce_of_both);
        message.clone_into(&mut self.server_first);
        let Knowledge::Password(password) = &self.knowledge else {
            return Ok(None);
        };
        let (password, salt, iterations) = (password.clone(), self.salt.clone(), self.iterations);
        Ok(Some(Costly::new(move || {
            salted_password(password.expose(), &salt, iterations)
        })))
    }

    /// Takes the result of the computation that [`Self::challenged`] asked for.
    pub fn computed(&mut self, salted_password: &Secret) {
        self.knowledge = Knowledge::Keys(keys(salted_password));
    }

    /// client-final-message; `None` while the computation is missing.
    pub fn last(&mut self) -> Option<String> {
        let Knowledge::Keys(keys) = &self.knowledge else {
            return None;
        };
        let end_point: &[u8] = match &self.binding {
            Binding::EndPoint(data) => data,
            Binding::None | Binding::Unoffered => &[],
        };
        let bound = binding(self.header(), end_point);
        let without_proof = format!("c={bound},r={}", self.nonce_of_both);
        self.auth_message = auth_message(&self.first_bare, &self.server_first, &without_proof);
        let stored_key = sha256(keys.client_key.expose());
        let signature = hmac_sha256(&stored_key, &[self.auth_message.as_bytes()]);
        let client_key: &[u8] = keys.client_key.expose();
        // A key of another length cannot be right; the server will say so.
        let proof: [u8; SHA256_LEN] = xor(&signature, client_key);
        Some(format!("{without_proof},p={}", BASE64.encode(proof)))
    }

    /// Reads server-final-message: whether the server knows the verifier.
    pub fn finished(&self, message: &[u8]) -> Result<(), Refusal> {
        let mut rest = Some(text(message)?);
        let Some(signature) = attribute(&mut rest, 'v') else {
            return Err(Refusal::Malformed("a server signature was expected"));
        };
        let Knowledge::Keys(keys) = &self.knowledge else {
            return Err(Refusal::Malformed("the server finished first"));
        };
        // Without an AuthMessage of ours there is nothing that the server can have signed.
        if self.auth_message.is_empty() {
            return Err(Refusal::Malformed("the server finished first"));
        }
        let signed = self.auth_message.as_bytes();
        let expected = hmac_sha256(keys.server_key.expose(), &[signed]);
        let given = BASE64.decode(signature).unwrap_or_default();
        verify_slices_are_equal(&expected, &given)
            .map_err(|_| Refusal::Impostor("wrong server signature"))
    }
}

fn text(message: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(message).map_err(|_| Refusal::Malformed("not UTF-8"))
}
