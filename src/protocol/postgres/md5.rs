//! PostgreSQL's MD5 password hashes
//! (<https://www.postgresql.org/docs/current/protocol-flow.html>, `AuthenticationMD5Password`).
//!
//! Broken by today's standards; here for old clients and servers, where configured.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

/// What every stored hash and every answer begins with.
const PREFIX: &[u8] = b"md5";

/// Hex digits of an MD5 hash.
pub type Hex = Zeroizing<[u8; 32]>;

/// The hash that is stored about a user, without its prefix.
pub fn stored(password: &[u8], user: &str) -> Hex {
    digest(&[password, user.as_bytes()])
}

/// The hash in a stored verifier (`md5` and 32 hex digits); `None` if it is anything else.
pub fn parse_stored(verifier: &[u8]) -> Option<Hex> {
    let digits = verifier.strip_prefix(PREFIX)?;
    let mut hex = Hex::new(digits.try_into().ok()?);
    hex.make_ascii_lowercase();
    hex.iter().all(u8::is_ascii_hexdigit).then_some(hex)
}

/// The answer to a challenge.
pub fn answer(stored: &Hex, salt: [u8; 4]) -> Zeroizing<Vec<u8>> {
    let hex = digest(&[stored.as_slice(), &salt]);
    Zeroizing::new([PREFIX, hex.as_slice()].concat())
}

/// Whether `given` answers the challenge, in constant time.
pub fn verify(stored: &Hex, salt: [u8; 4], given: &[u8]) -> bool {
    verify_slices_are_equal(&answer(stored, salt), given).is_ok()
}

fn digest(parts: &[&[u8]]) -> Hex {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    let hash: [u8; 16] = md5.finalize().into();
    let mut hex = Hex::new([0; 32]);
    for (digits, byte) in hex.chunks_exact_mut(2).zip(hash) {
        for (digit, nibble) in digits.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + nibble - 10
            };
        }
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::{answer, parse_stored, stored, verify};

    // Computed with md5sum.
    const STORED: &[u8] = b"md59d792a3a8853c2411afb9163d088c036";
    const ANSWER: &[u8] = b"md59009ce60b9ca97f1e752376843d1309e";

    #[test]
    fn hashes_agree_with_md5sum() {
        let hash = stored(b"secret", "ann");
        assert_eq!(parse_stored(STORED), Some(hash.clone()));
        assert_eq!(&answer(&hash, [1, 2, 3, 4])[..], ANSWER);
    }

    #[test]
    fn only_the_right_answer_is_accepted() {
        let hash = stored(b"secret", "ann");
        assert!(verify(&hash, [1, 2, 3, 4], ANSWER));
        assert!(!verify(&hash, [1, 2, 3, 5], ANSWER));
        assert!(!verify(&hash, [1, 2, 3, 4], &ANSWER[..34]));
        assert!(!verify(&hash, [1, 2, 3, 4], b""));
        assert!(!verify(&stored(b"secret", "bob"), [1, 2, 3, 4], ANSWER));
    }

    #[test]
    fn other_verifiers_are_not_read() {
        for text in [
            &b""[..],
            b"md5",
            b"md5abc",
            &STORED[3..],
            b"md5zz000000000000000000000000000000",
        ] {
            assert!(parse_stored(text).is_none());
        }
        assert!(parse_stored(&STORED.to_ascii_uppercase()).is_none());
    }
}
