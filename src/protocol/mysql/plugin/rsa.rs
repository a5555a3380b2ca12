//! Passwords under RSA, for connections without TLS (MySQL protocol, "Caching SHA-2 Pluggable
//! Authentication"): OAEP with SHA-1, over the masked password.
//!
//! This keeps a password from those who listen, not from those who can put a key of their own in
//! the way of the server's: nothing tells whose the key is.

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use zeroize::Zeroize as _;

use crate::model::{SealingKey, Secret};

const BEGIN: &[u8] = b"-----BEGIN PUBLIC KEY-----";
const END: &[u8] = b"-----END PUBLIC KEY-----";

/// Seals a masked password with the server's public key, in PEM. `None` if that is no RSA key of
/// sufficient size, or the password too long for it.
pub fn seal(pem: &[u8], masked: &[u8]) -> Option<Vec<u8>> {
    let key = PublicEncryptingKey::from_der(&decode(pem)?).ok()?;
    let key = OaepPublicEncryptingKey::new(key).ok()?;
    let mut sealed = vec![0; key.ciphertext_size()];
    let len = key
        .encrypt(&OAEP_SHA1_MGF1SHA1, masked, &mut sealed, None)
        .ok()?
        .len();
    sealed.truncate(len);
    Some(sealed)
}

/// Opens what a client has sealed: a millisecond of work. `None` if it was not sealed with this key.
pub fn open(key: &SealingKey, sealed: &[u8]) -> Option<Secret> {
    let key = PrivateDecryptingKey::from_pkcs8(key.private.expose()).ok()?;
    let key = OaepPrivateDecryptingKey::new(key).ok()?;
    let mut room = vec![0; key.min_output_size()];
    let opened = key.decrypt(&OAEP_SHA1_MGF1SHA1, sealed, &mut room, None);
    let opened = opened.ok().map(|opened| Secret::new(&*opened));
    room.zeroize();
    opened
}

/// The bytes inside PEM (RFC 7468).
fn decode(pem: &[u8]) -> Option<Vec<u8>> {
    let begin = memchr::memmem::find(pem, BEGIN)? + BEGIN.len();
    let rest = pem.get(begin..)?;
    let body = rest.get(..memchr::memmem::find(rest, END)?)?;
    let text: Vec<u8> = body
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    BASE64.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use proptest::prelude::proptest;

    use super::{BASE64, BEGIN, END, open, seal};
    use crate::model::{SealingKey, Secret};

    #[test]
    fn only_keys_seal_and_open() {
        let key = SealingKey {
            private: Secret::new("no key"),
            public: BEGIN.into(),
        };
        assert!(seal(&key.public, b"masked").is_none());
        assert!(open(&key, &[0; 256]).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body: Vec<u8>, framed: bool) {
            let pem = if framed {
                [BEGIN, BASE64.encode(&body).as_bytes(), END].concat()
            } else {
                body
            };
            assert_eq!(seal(&pem, b"masked"), None);
        }
    }
}
