//! MariaDB's `parsec`, client role (MariaDB documentation, "Authentication Plugin - PARSEC"):
//! the client signs both sides' challenges with an Ed25519 key that follows from its password.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use aws_lc_rs::signature::Ed25519KeyPair;

use super::super::wire::Reader;
use crate::model::Secret;
use crate::protocol::Costly;

/// Length of each side's challenge in bytes.
pub const NONCE_LEN: usize = 32;
/// Length of the key's seed in bytes.
const SEED_LEN: usize = 32;
/// Most that a server may ask for: 8,192 rounds. MariaDB's clients know no more.
const MAX_FACTOR: u8 = 3;

/// The work that a server asks for in its second packet: the seed of the key. `None` if the
/// packet is malformed, or asks for too much.
pub fn seed(ext_salt: &[u8], password: &Secret) -> Option<Costly> {
    let mut reader = Reader::new(ext_salt);
    // PBKDF2, the only one there is.
    let (b'P', factor @ 0..=MAX_FACTOR) = (reader.u8()?, reader.u8()?) else {
        return None;
    };
    let salt = reader.rest().to_vec();
    let rounds = NonZeroU32::new(1024 << factor)?;
    let password = password.clone();
    Some(Costly::new(move || {
        let mut seed = [0; SEED_LEN];
        let password = password.expose();
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA512,
            rounds,
            &salt,
            password,
            &mut seed,
        );
        Secret::new(seed)
    }))
}

/// The answer: our challenge, and the signature over the server's and ours. `None` if the seed
/// has a wrong length.
pub fn answer(seed: &Secret, theirs: &[u8], ours: &[u8; NONCE_LEN]) -> Option<Vec<u8>> {
    let key = Ed25519KeyPair::from_seed_unchecked(seed.expose()).ok()?;
    let signature = key.sign(&[theirs, ours].concat());
    Some([&ours[..], signature.as_ref()].concat())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

    use super::{answer, seed};
    use crate::model::Secret;

    #[test]
    fn the_key_is_mariadbs_and_signs_both_challenges() {
        // The authentication string of `IDENTIFIED VIA parsec USING PASSWORD('pencil')`.
        let salt = BASE64.decode("wlJWBSbKR24yWW429DCZSn+F").unwrap();
        let kept = BASE64
            .decode("En1CHxoFLgLmfOu6zF2LD3QET3nRc2yxMEJ0Gc62uxI")
            .unwrap();
        let ext_salt = [b"P\0", &salt[..]].concat();
        let seed = seed(&ext_salt, &Secret::new("pencil")).unwrap().run();
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).unwrap();
        assert_eq!(pair.public_key().as_ref(), kept);
        let given = answer(&seed, &[1; 32], &[2; 32]).unwrap();
        assert_eq!(given[..32], [2; 32]);
        let signed = [[1; 32], [2; 32]].concat();
        let key = UnparsedPublicKey::new(&ED25519, &kept);
        assert!(key.verify(&signed, &given[32..]).is_ok());
    }

    #[test]
    fn too_much_work_is_refused() {
        let password = Secret::new("pencil");
        for bad in [&b""[..], b"P", b"P\x04salt", b"Q\0salt"] {
            assert!(seed(bad, &password).is_none(), "{bad:?}");
        }
    }
}
