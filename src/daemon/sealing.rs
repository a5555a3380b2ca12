//! The RSA key under which MySQL clients without TLS may send their passwords. It lives as long as
//! the process: clients ask for it at each login.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::model::{SealingKey, Secret};

/// The key; made at the first call, which takes tens of milliseconds. `None` if it cannot be made.
pub(super) fn key() -> Option<Arc<SealingKey>> {
    static KEY: OnceLock<Option<Arc<SealingKey>>> = OnceLock::new();
    KEY.get_or_init(|| make().ok().map(Arc::new)).clone()
}

fn make() -> Result<SealingKey, Unspecified> {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048)?;
    let private: Pkcs8V1Der<'_> = key.as_der()?;
    let public: PublicKeyX509Der<'_> = key.public_key().as_der()?;
    Ok(SealingKey {
        private: Secret::new(private.as_ref()),
        public: pem(public.as_ref()).into_bytes().into(),
    })
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index.is_multiple_of(64) {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END PUBLIC KEY-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::key;
    use crate::protocol::mysql::plugin::rsa::{open, seal};

    #[test]
    fn what_clients_seal_can_be_opened() {
        let key = key().unwrap();
        let sealed = seal(&key.public, b"masked").unwrap();
        assert_eq!(open(&key, &sealed).unwrap().expose(), b"masked");
        assert!(
            key.public
                .split(|byte| *byte == b'\n')
                .all(|line| line.len() <= 64)
        );
    }
}
