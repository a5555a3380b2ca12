//! `mysql_native_password` (MySQL protocol, "Native Authentication"): the client masks SHA-1 of
//! its password with what only one who knows SHA-1 of that can compute.

use super::{SHA1_LEN, equal, sha1, xor};
use crate::model::Secret;

/// SHA-1 of the password: what a client has to know.
pub fn key(password: &[u8]) -> Secret {
    Secret::new(sha1(&[password]))
}

/// SHA-1 of the key: what a server keeps.
pub fn stored(key: &[u8]) -> [u8; SHA1_LEN] {
    sha1(&[key])
}

/// The answer to a challenge. `None` if the key has a wrong length.
pub fn answer(key: &[u8], scramble: &[u8]) -> Option<[u8; SHA1_LEN]> {
    let key = key.try_into().ok()?;
    Some(xor(key, &sha1(&[scramble, &stored(key)])))
}

/// The client's key, if the answer to the challenge is right.
pub fn check(stored_key: &[u8], scramble: &[u8], answer: &[u8]) -> Option<Secret> {
    let answer = answer.try_into().ok()?;
    let key = xor(answer, &sha1(&[scramble, stored_key]));
    equal(&stored(&key), stored_key).then(|| Secret::new(key))
}

#[cfg(test)]
mod tests {
    use super::{answer, check, key, stored};

    #[test]
    fn the_stored_form_is_mysqls() {
        // SELECT PASSWORD('secret') of MariaDB.
        let stored = stored(key(b"secret").expose());
        let hex: String = stored.iter().map(|b| format!("{b:02X}")).collect();
        assert_eq!(hex, "14E65567ABDB5135D0CFD9A70B3032C179A49EE7");
    }

    #[test]
    fn an_answer_is_good_for_its_challenge_only() {
        let (key, scramble) = (key(b"secret"), b"01234567890123456789");
        let stored = stored(key.expose());
        let good = answer(key.expose(), scramble).unwrap();
        assert_eq!(check(&stored, scramble, &good), Some(key));
        assert_eq!(check(&stored, b"01234567890123456788", &good), None);
        assert_eq!(check(&stored, scramble, &good[1..]), None);
        assert_eq!(check(&[0; 20], scramble, &good), None);
        assert_eq!(answer(b"short", scramble), None);
    }
}
