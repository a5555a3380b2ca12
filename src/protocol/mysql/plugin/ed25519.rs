//! MariaDB's `client_ed25519` (MariaDB documentation, "Authentication Plugin - ed25519"): the
//! client signs a challenge.
//!
//! The scheme is Ed25519 (RFC 8032), but for one thing: its secret is SHA-512 of the password,
//! where RFC 8032 takes SHA-512 of a key of 32 bytes. So checking is any library's work, and
//! signing is not.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use curve25519_dalek::{EdwardsPoint, Scalar, scalar::clamp_integer};
use zeroize::Zeroizing;

use super::sha512;
use crate::model::credential::ED25519_LEN;

/// Length of a challenge in bytes.
pub const NONCE_LEN: usize = 32;
/// Length of a signature in bytes.
pub const SIGNATURE_LEN: usize = 64;

/// What a server keeps: the public key.
pub fn public_key(password: &[u8]) -> [u8; ED25519_LEN] {
    let (secret, _) = expand(password);
    EdwardsPoint::mul_base(&secret).compress().to_bytes()
}

/// The answer to a challenge (RFC 8032 section 5.1.6).
pub fn sign(password: &[u8], nonce: &[u8]) -> [u8; SIGNATURE_LEN] {
    let (secret, prefix) = expand(password);
    let public = EdwardsPoint::mul_base(&secret).compress().to_bytes();
    let r = Scalar::from_bytes_mod_order_wide(&sha512(&[&*prefix, nonce]));
    let commitment = EdwardsPoint::mul_base(&r).compress().to_bytes();
    let k = Scalar::from_bytes_mod_order_wide(&sha512(&[&commitment, &public, nonce]));
    let s = (r + k * *secret).to_bytes();
    let mut signature = [0; SIGNATURE_LEN];
    signature
        .iter_mut()
        .zip(commitment.iter().chain(&s))
        .for_each(|(to, from)| *to = *from);
    signature
}

/// True if the answer to the challenge is right.
pub fn check(public_key: &[u8; ED25519_LEN], nonce: &[u8], answer: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ED25519, public_key);
    key.verify(nonce, answer).is_ok()
}

/// The secret number, and what makes signatures unlike each other.
fn expand(password: &[u8]) -> (Zeroizing<Scalar>, Zeroizing<[u8; 32]>) {
    let hash = Zeroizing::new(sha512(&[password]));
    let (mut number, mut prefix) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    number
        .iter_mut()
        .chain(prefix.iter_mut())
        .zip(hash.iter())
        .for_each(|(to, from)| *to = *from);
    let secret = Scalar::from_bytes_mod_order(clamp_integer(*number));
    (Zeroizing::new(secret), prefix)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
    use proptest::prelude::proptest;

    use super::{check, public_key, sign};

    #[test]
    fn the_public_key_is_mariadbs() {
        // SELECT ed25519_password('pencil'), as kept by MariaDB 11.8.
        let kept = "x1YAMCvR7TI3XkfIDrsGUiePkxOybYVG94ctSSWCDSc";
        assert_eq!(BASE64.encode(public_key(b"pencil")), kept);
    }

    proptest! {
        #[test]
        fn a_signature_is_good_for_its_key_and_challenge_only(
            password: Vec<u8>, other: Vec<u8>, nonce: [u8; 32], at in 0_usize..64,
        ) {
            let key = public_key(&password);
            let mut signature = sign(&password, &nonce);
            assert!(check(&key, &nonce, &signature));
            assert_eq!(check(&public_key(&other), &nonce, &signature), password == other);
            signature[at] ^= 1;
            assert!(!check(&key, &nonce, &signature));
            assert!(!check(&key, &nonce, &signature[..at]));
        }
    }
}
