//! MariaDB's `parsec` (MariaDB documentation, "Authentication Plugin - PARSEC"): the client signs
//! both sides' challenges with an Ed25519 key that follows from its password.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::super::wire::Reader;
use crate::model::{Parsec, Secret};
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
    let (salt, password) = (reader.rest().to_vec(), password.clone());
    Some(Costly::new(move || {
        derive(password.expose(), &salt, factor)
    }))
}

/// The seed of a password's key: a millisecond of work or more.
pub fn derive(password: &[u8], salt: &[u8], factor: u8) -> Secret {
    let rounds = 1024_u32
        .checked_shl(factor.into())
        .and_then(NonZeroU32::new);
    let rounds = rounds.unwrap_or(NonZeroU32::MIN);
    let mut seed = [0; SEED_LEN];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA512,
        rounds,
        salt,
        password,
        &mut seed,
    );
    Secret::new(seed)
}

/// True if a seed is that of the key which is kept.
pub fn is_of(kept: &Parsec, seed: &Secret) -> bool {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose());
    pair.is_ok_and(|pair| pair.public_key().as_ref() == kept.key)
}

/// Our second packet in server role: what the client needs to know about its key.
pub fn ext_salt(kept: &Parsec) -> Vec<u8> {
    [b"P", &[kept.factor][..], &kept.salt].concat()
}

/// True if the client's answer to our challenge is right.
pub fn check(kept: &Parsec, ours: &[u8; NONCE_LEN], answer: &[u8]) -> bool {
    let Some((theirs, signature)) = answer.split_first_chunk::<NONCE_LEN>() else {
        return false;
    };
    let key = UnparsedPublicKey::new(&ED25519, &kept.key);
    key.verify(&[*ours, *theirs].concat(), signature).is_ok()
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
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

    use super::{answer, check, ext_salt, is_of, seed};
    use crate::model::{Parsec, Secret};

    /// The authentication string of `IDENTIFIED VIA parsec USING PASSWORD('pencil')`.
    fn kept() -> Parsec {
        let key = "En1CHxoFLgLmfOu6zF2LD3QET3nRc2yxMEJ0Gc62uxI";
        Parsec {
            factor: 0,
            salt: BASE64.decode("wlJWBSbKR24yWW429DCZSn+F").unwrap().into(),
            key: BASE64.decode(key).unwrap().try_into().unwrap(),
        }
    }

    #[test]
    fn the_key_is_mariadbs_and_signs_both_challenges() {
        let kept = kept();
        let seed = |password: &str| {
            let work = seed(&ext_salt(&kept), &Secret::new(password));
            work.unwrap().run()
        };
        let right = seed("pencil");
        assert!(is_of(&kept, &right) && !is_of(&kept, &seed("pen")));
        let mut given = answer(&right, &[1; 32], &[2; 32]).unwrap();
        assert_eq!(given[..32], [2; 32]);
        assert!(check(&kept, &[1; 32], &given));
        assert!(!check(&kept, &[3; 32], &given));
        assert!(!check(&kept, &[1; 32], &given[..40]));
        given[0] ^= 1;
        assert!(!check(&kept, &[1; 32], &given));
        let wrong = answer(&seed("pen"), &[1; 32], &[2; 32]).unwrap();
        assert!(!check(&kept, &[1; 32], &wrong));
    }

    #[test]
    fn too_much_work_is_refused() {
        let password = Secret::new("pencil");
        for bad in [&b""[..], b"P", b"P\x04salt", b"Q\0salt"] {
            assert!(seed(bad, &password).is_none(), "{bad:?}");
        }
    }
}
