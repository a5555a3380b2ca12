//! SHA-256 crypt (<https://www.akkadia.org/drepper/SHA-crypt.txt>), by which
//! `caching_sha2_password` and `sha256_password` keep passwords. MySQL's salts have 20 bytes, and
//! any bytes but zero and `$` (MySQL source, `crypt_genhash_impl.cc`).

use std::iter::repeat_n;

use super::{SHA256_LEN, equal, sha256};
use crate::model::{Secret, ShaCrypt};

/// Length of MySQL's salts in bytes.
pub const SALT_LEN: usize = 20;
/// Longest password that MySQL hashes, in bytes (`CRYPT_MAX_PASSWORD_SIZE`).
pub const MAX_PASSWORD_LEN: usize = 256;
/// Rounds of passwords kept by MySQL as long as nobody configures more.
pub const ROUNDS: u32 = 5000;

/// Hashes a password: milliseconds of work, so it belongs off the I/O threads. The result is in
/// crypt's own base 64. The work grows with the square of the password's length: see
/// [`MAX_PASSWORD_LEN`].
pub fn crypt(password: &[u8], salt: &[u8], rounds: u32) -> Secret {
    let len = password.len();
    let inner = sha256(&[password, salt, password]);
    // Steps 4 to 12: the first digest.
    let mut text = [password, salt].concat();
    text.extend(inner.iter().cycle().take(len));
    let mut bits = len;
    while bits > 0 {
        if bits & 1 == 1 {
            text.extend_from_slice(&inner);
        } else {
            text.extend_from_slice(password);
        }
        bits >>= 1;
    }
    let mut digest = sha256(&[&text]);
    // Steps 13 to 20: what stands for password and salt in the rounds.
    let long_password: Vec<u8> = repeat_n(password, len).flatten().copied().collect();
    let for_password = spread(&sha256(&[&long_password]), len);
    let times = 16 + usize::from(digest.first().copied().unwrap_or_default());
    let long_salt: Vec<u8> = repeat_n(salt, times).flatten().copied().collect();
    let for_salt = spread(&sha256(&[&long_salt]), salt.len());
    // Step 21.
    for round in 0..rounds {
        let odd = round % 2 == 1;
        let (first, last): (&[u8], &[u8]) = if odd {
            (&for_password, &digest)
        } else {
            (&digest, &for_password)
        };
        let salt: &[u8] = if round % 3 == 0 { &[] } else { &for_salt };
        let password: &[u8] = if round % 7 == 0 { &[] } else { &for_password };
        digest = sha256(&[first, salt, password, last]);
    }
    Secret::new(encode(&digest))
}

/// True if `crypted`, which [`crypt`] has made of a password with this salt and as many rounds, is
/// what is kept.
pub fn check(kept: &ShaCrypt, crypted: &Secret) -> bool {
    equal(kept.hash.expose(), crypted.expose())
}

fn spread(digest: &[u8; SHA256_LEN], len: usize) -> Vec<u8> {
    digest.iter().cycle().take(len).copied().collect()
}

/// Step 22: crypt's base 64, over the bytes in an order of its own.
fn encode(digest: &[u8; SHA256_LEN]) -> Vec<u8> {
    const ORDER: [[usize; 3]; 10] = [
        [0, 10, 20],
        [21, 1, 11],
        [12, 22, 2],
        [3, 13, 23],
        [24, 4, 14],
        [15, 25, 5],
        [6, 16, 26],
        [27, 7, 17],
        [18, 28, 8],
        [9, 19, 29],
    ];
    let at = |index: usize| u32::from(digest.get(index).copied().unwrap_or_default());
    let mut out = Vec::with_capacity(43);
    for [a, b, c] in ORDER {
        put(&mut out, at(a) << 16 | at(b) << 8 | at(c), 4);
    }
    put(&mut out, at(31) << 8 | at(30), 3);
    out
}

fn put(out: &mut Vec<u8>, mut bits: u32, count: usize) {
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for _ in 0..count {
        let index = usize::try_from(bits & 63).unwrap_or_default();
        out.extend(ALPHABET.get(index));
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::crypt;

    /// The specification's cases, as `openssl passwd -5` answers them.
    #[test]
    fn hashes_are_those_of_the_specification() {
        let cases: [(&[u8], &[u8], u32, &str); 4] = [
            (
                b"Hello world!",
                b"saltstring",
                5000,
                "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            ),
            (
                b"Hello world!",
                b"saltstringsaltst",
                10000,
                "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
            ),
            (
                b"a very much longer text to encrypt.  This one even stretches over morethan one line.",
                b"anotherlongsalts",
                1400,
                "Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1",
            ),
            (
                b"we have a short salt string but not a short password",
                b"short",
                77777,
                "JiO1O3ZpDAxGJeaDIuqCoEFysAe1mZNJRs3pw0KQRd/",
            ),
        ];
        for (password, salt, rounds, hash) in cases {
            let crypted = crypt(password, salt, rounds);
            assert_eq!(std::str::from_utf8(crypted.expose()), Ok(hash));
        }
    }
}
