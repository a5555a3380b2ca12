//! The challenge of `caching_sha2_password` (MySQL protocol, "Caching SHA-2 Pluggable
//! Authentication"), which needs the password or a hash of its hash on the other side, and the
//! mask that `sha256_password` shares with it.

use super::{SHA256_LEN, equal, sha256, xor};
use crate::model::Secret;

/// The answer to a challenge.
pub fn answer(password: &[u8], scramble: &[u8]) -> [u8; SHA256_LEN] {
    let key = sha256(&[password]);
    xor(&key, &sha256(&[&sha256(&[&key]), scramble]))
}

/// True if the answer to the challenge is right.
pub fn check(password: &[u8], scramble: &[u8], given: &[u8]) -> bool {
    equal(&answer(password, scramble), given)
}

/// What goes under RSA: the password and a zero byte, masked with the challenge.
pub fn masked(password: &[u8], scramble: &[u8]) -> Vec<u8> {
    let mask = scramble.iter().cycle();
    let text = password.iter().chain(&[0]);
    text.zip(mask).map(|(text, mask)| text ^ mask).collect()
}

/// The password under a mask, and its zero byte. `None` if that is missing.
pub fn unmasked(masked: &[u8], scramble: &[u8]) -> Option<Secret> {
    let mask = scramble.iter().cycle();
    let text: Vec<u8> = masked
        .iter()
        .zip(mask)
        .map(|(text, mask)| text ^ mask)
        .collect();
    let text = Secret::new(text);
    text.expose().strip_suffix(&[0]).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::{answer, check, masked, unmasked};

    #[test]
    fn an_answer_is_good_for_its_challenge_and_password_only() {
        let given = answer(b"secret", b"01234567890123456789");
        assert!(check(b"secret", b"01234567890123456789", &given));
        assert!(!check(b"secret", b"01234567890123456788", &given));
        assert!(!check(b"Secret", b"01234567890123456789", &given));
        assert!(!check(b"secret", b"01234567890123456789", &given[1..]));
    }

    #[test]
    fn a_mask_is_taken_off_again() {
        let password = b"a longer password than the mask";
        let hidden = masked(password, b"0123456789");
        assert_eq!(unmasked(&hidden, b"0123456789").unwrap().expose(), password);
        assert!(unmasked(&hidden[1..], b"0123456789").is_none());
        assert!(unmasked(b"", b"0123456789").is_none());
    }
}
