//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677; channel binding of RFC 5929), as
//! PostgreSQL uses them
//! (<https://www.postgresql.org/docs/current/sasl-authentication.html>).
//!
//! Texts in, texts out: message framing, and when to run the password hash, are the callers'.

pub mod client;
pub mod server;

use std::borrow::Cow;
use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::model::credential::SHA256_LEN;
use crate::model::{ScramKeys, ScramVerifier, Secret};

/// The mechanism without channel binding.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// The mechanism with channel binding.
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// PBKDF2 iterations of verifiers that Sluice derives: PostgreSQL's default.
pub const ITERATIONS: u32 = 4096;
/// Length of the salts of verifiers that Sluice derives, in bytes: PostgreSQL's.
pub const SALT_LEN: usize = 16;
/// Random bytes in a nonce: PostgreSQL's `SCRAM_RAW_NONCE_LEN`.
pub const NONCE_LEN: usize = 18;

/// The header of a client that binds to the server's certificate.
const GS2_END_POINT: &str = "p=tls-server-end-point,,";
/// The header of a client that could bind, but believes the server cannot.
const GS2_UNOFFERED: &str = "y,,";
/// The header of a client that does not bind.
const GS2_NONE: &str = "n,,";

/// Derives the verifier of a password: milliseconds of work for usual iterations, so it belongs
/// off the I/O threads, and the result is worth keeping. Zero iterations are taken for one.
pub fn derive_verifier(password: &[u8], salt: &[u8], iterations: u32) -> ScramVerifier {
    let keys = keys(&salted_password(password, salt, iterations));
    ScramVerifier {
        iterations: iterations.max(1),
        salt: salt.into(),
        stored_key: Secret::new(sha256(keys.client_key.expose())),
        server_key: keys.server_key,
    }
}

/// RFC 5802's `SaltedPassword`, the costly part of everything.
pub fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Secret {
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    let mut salted = [0; SHA256_LEN];
    let password = prepared(password);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        salt,
        &password,
        &mut salted,
    );
    Secret::new(salted)
}

/// The two keys that follow from a `SaltedPassword`.
pub fn keys(salted_password: &Secret) -> ScramKeys {
    let key = |name: &[u8]| Secret::new(hmac_sha256(salted_password.expose(), &[name]));
    ScramKeys {
        client_key: key(b"Client Key"),
        server_key: key(b"Server Key"),
    }
}

/// HMAC-SHA-256 over the parts, one after the other.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; SHA256_LEN] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut tag = [0; SHA256_LEN];
    tag.iter_mut()
        .zip(context.sign().as_ref())
        .for_each(|(to, from)| *to = *from);
    tag
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; SHA256_LEN] {
    let mut hash = [0; SHA256_LEN];
    hash.iter_mut()
        .zip(digest::digest(&digest::SHA256, bytes).as_ref())
        .for_each(|(to, from)| *to = *from);
    hash
}

/// `SASLprep` (RFC 4013). A password that is not UTF-8, or that it forbids or empties, is used as
/// it is, as PostgreSQL does on both sides.
fn prepared(password: &[u8]) -> Cow<'_, [u8]> {
    let text = std::str::from_utf8(password).ok();
    match text.and_then(|text| stringprep::saslprep(text).ok()) {
        Some(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        Some(Cow::Owned(text)) if !text.is_empty() => Cow::Owned(text.into_bytes()),
        _ => Cow::Borrowed(password),
    }
}

/// ClientProof from ClientKey and ClientSignature, and the other way round.
fn xor(a: &[u8; SHA256_LEN], b: &[u8]) -> [u8; SHA256_LEN] {
    let mut out = *a;
    out.iter_mut().zip(b).for_each(|(to, from)| *to ^= *from);
    out
}

/// What both sides sign: RFC 5802's `AuthMessage`.
fn auth_message(client_first_bare: &str, server_first: &str, without_proof: &str) -> String {
    [client_first_bare, server_first, without_proof].join(",")
}

/// The `c=` value: header and channel binding data, encoded. Without data it is one of two.
fn binding(header: &str, end_point: &[u8]) -> Cow<'static, str> {
    match (header, end_point) {
        (GS2_NONE, []) => "biws".into(),
        (GS2_UNOFFERED, []) => "eSws".into(),
        _ => BASE64
            .encode([header.as_bytes(), end_point].concat())
            .into(),
    }
}

/// Takes `<name>=value` from the front of a comma-separated message.
fn attribute<'a>(rest: &mut Option<&'a str>, name: char) -> Option<&'a str> {
    let (first, tail) = match (*rest)?.split_once(',') {
        Some((first, tail)) => (first, Some(tail)),
        None => ((*rest)?, None),
    };
    let value = first.strip_prefix(name)?.strip_prefix('=')?;
    *rest = tail;
    Some(value)
}

/// RFC 5802's `printable`, of which nonces are made: visible ASCII except the comma.
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

#[cfg(test)]
mod tests;
