//! The challenge of `caching_sha2_password` (MySQL protocol, "Caching SHA-2 Pluggable
//! Authentication"), which needs the password or a hash of its hash on the other side, and the
//! mask that `sha256_password` shares with it.

use super::{SHA256_LEN, equal, sha256, xor};

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

#[cfg(test)]
mod tests {
    use super::{answer, check, masked};

    #[test]
    fn an_answer_is_good_for_its_challenge_and_password_only() {
        let given = answer(b"secret", b"01234567890123456789");
        assert!(check(b"secret", b"01234567890123456789", &given));
        assert!(!check(b"secret", b"01234567890123456788", &given));
        assert!(!check(b"Secret", b"01234567890123456789", &given));
        assert!(!check(b"secret", b"01234567890123456789", &given[1..]));
    }

    #[test]
    fn a_mask_is_its_own_inverse() {
        let masked_once = masked(b"a longer password than the mask", b"0123456789");
        let mask = b"0123456789".iter().cycle();
        let text: Vec<u8> = masked_once.iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(text, b"a longer password than the mask\0");
    }
}
