//! The client's side of password logins: clear, MD5 and SCRAM-SHA-256 (RFC 5802, RFC 7677).

use std::{collections::HashMap, num::NonZeroU32, sync::Mutex};

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::{Engine, prelude::BASE64_STANDARD};
use md5::{Digest, Md5};

/// Salted passwords by password, salt and iterations: thousands of test clients log in alike.
static SALTED: Mutex<Option<SaltedPasswords>> = Mutex::new(None);

type SaltedPasswords = HashMap<(String, String, u32), [u8; 32]>;

/// Where a login stands.
#[derive(Default)]
pub struct Exchange {
    client_first_bare: String,
    server_signature: String,
}

impl Exchange {
    /// The body of the password message that answers an authentication request, if it needs one.
    pub fn answer(&mut self, request: &[u8], user: &str, password: &str) -> Option<Vec<u8>> {
        let (kind, rest) = request.split_at(4);
        match u32::from_be_bytes(kind.try_into().unwrap()) {
            0 => None,
            3 => Some([password.as_bytes(), &[0]].concat()),
            5 => {
                let stored = hex(&Md5::digest([password, user].concat()));
                let answer = hex(&Md5::digest([stored.as_bytes(), rest].concat()));
                Some(format!("md5{answer}\0").into_bytes())
            }
            10 => Some(self.first()),
            11 => Some(self.last(std::str::from_utf8(rest).unwrap(), password)),
            12 => {
                let said = std::str::from_utf8(rest).unwrap();
                assert_eq!(
                    said,
                    format!("v={}", self.server_signature),
                    "the server does not know the password"
                );
                None
            }
            kind => panic!("authentication request {kind}"),
        }
    }

    fn first(&mut self) -> Vec<u8> {
        let mut nonce = [0; 18];
        aws_lc_rs::rand::fill(&mut nonce).unwrap();
        self.client_first_bare = format!("n=,r={}", BASE64_STANDARD.encode(nonce));
        let message = format!("n,,{}", self.client_first_bare);
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [b"SCRAM-SHA-256\0", &length[..], message.as_bytes()].concat()
    }

    fn last(&mut self, server_first: &str, password: &str) -> Vec<u8> {
        let part = |key: &str| {
            server_first
                .split(',')
                .find_map(|part| part.strip_prefix(key))
                .unwrap()
        };
        let (nonce, salt, iterations) = (part("r="), part("s="), part("i=").parse().unwrap());
        assert!(
            nonce.starts_with(&self.client_first_bare["n=,r=".len()..]),
            "the server changed the nonce"
        );
        let salted = salted(password, salt, iterations);
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{server_first},{without_proof}", self.client_first_bare);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let signature = sign(stored_key.as_ref(), signed.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(key, mask)| key ^ mask)
            .collect();
        self.server_signature =
            BASE64_STANDARD.encode(sign(&sign(&salted, b"Server Key"), signed.as_bytes()));
        format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)).into_bytes()
    }
}

fn salted(password: &str, salt: &str, iterations: u32) -> [u8; 32] {
    let mut known = SALTED.lock().unwrap();
    *known
        .get_or_insert_default()
        .entry((password.into(), salt.into(), iterations))
        .or_insert_with(|| {
            let mut out = [0; 32];
            let rounds = NonZeroU32::new(iterations).unwrap();
            let salt = BASE64_STANDARD.decode(salt).unwrap();
            pbkdf2::derive(
                pbkdf2::PBKDF2_HMAC_SHA256,
                rounds,
                &salt,
                password.as_bytes(),
                &mut out,
            );
            out
        })
}

fn sign(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data)
        .as_ref()
        .to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
