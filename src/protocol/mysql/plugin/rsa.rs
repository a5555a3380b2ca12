//! Passwords under RSA, for connections without TLS (MySQL protocol, "Caching SHA-2 Pluggable
//! Authentication"): OAEP with SHA-1, over the masked password.
//!
//! This keeps a password from those who listen, not from those who can put a key of their own in
//! the way of the server's: nothing tells whose the key is.

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

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
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::{
        KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey,
    };
    use base64::Engine as _;
    use proptest::prelude::proptest;

    use super::{BASE64, BEGIN, END, seal};

    #[test]
    fn what_is_sealed_can_be_opened_by_the_servers_key() {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der = key.public_key().as_der().unwrap();
        let text = BASE64.encode(der.as_ref());
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        let pem = [BEGIN, b"\n", lines.join("\n").as_bytes(), b"\n", END, b"\n"].concat();
        let sealed = seal(&pem, b"masked").unwrap();
        let open = OaepPrivateDecryptingKey::new(key).unwrap();
        let mut room = vec![0; open.min_output_size()];
        let opened = open.decrypt(&OAEP_SHA1_MGF1SHA1, &sealed, &mut room, None);
        assert_eq!(opened.unwrap(), b"masked");
        assert_eq!(seal(&pem, &[0; 300]), None);
        assert_eq!(seal(&pem[1..], b"masked"), None);
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
