//! Checking a password that a client sent as it is.
//!
//! Every check costs one hash of many rounds, whatever is stored and whether or not the user
//! exists: else the time to the refusal would tell.

use super::super::plugin::{self, ed25519, native, parsec, sha_crypt};
use crate::model::{Secret, Verifier};
use crate::protocol::Costly;

/// One check of one password.
#[derive(Debug)]
pub struct Check {
    given: Secret,
    stored: Option<Verifier>,
}

impl Check {
    /// Begins to check what the client gave; `stored` is `None` for unknown users. The result of
    /// the computation is to be given to [`Self::verdict`].
    pub fn begin(
        given: Secret,
        stored: Option<Verifier>,
        user: &str,
        decoy_key: &[u8; 32],
    ) -> (Self, Costly) {
        let (salt, rounds) = match &stored {
            Some(Verifier::ShaCrypt(kept)) => (kept.salt.to_vec(), kept.rounds),
            Some(Verifier::Parsec(kept)) => {
                let (password, kept) = (given.clone(), kept.clone());
                let work = move || parsec::derive(password.expose(), &kept.salt, kept.factor);
                return (Self { given, stored }, Costly::new(work));
            }
            _ => (decoy_salt(user, decoy_key), sha_crypt::ROUNDS),
        };
        let hashed = given.expose();
        let hashed = Secret::new(hashed.get(..sha_crypt::MAX_PASSWORD_LEN).unwrap_or(hashed));
        let work = Costly::new(move || sha_crypt::crypt(hashed.expose(), &salt, rounds));
        (Self { given, stored }, work)
    }

    /// The password, if it is right.
    pub fn verdict(self, crypted: &Secret) -> Option<Secret> {
        let given = self.given.expose();
        let right = match &self.stored {
            Some(Verifier::ShaCrypt(kept)) => {
                given.len() <= sha_crypt::MAX_PASSWORD_LEN && sha_crypt::check(kept, crypted)
            }
            // Hashes are compared, so that not even the length of the stored password shows.
            Some(Verifier::Password(stored)) => plugin::equal(
                native::key(given).expose(),
                native::key(stored.expose()).expose(),
            ),
            Some(Verifier::Native(stored)) => {
                let key = native::key(given);
                plugin::equal(&native::stored(key.expose()), stored.expose())
            }
            Some(Verifier::Parsec(kept)) => parsec::is_of(kept, crypted),
            Some(Verifier::Ed25519(key)) => ed25519::public_key(given) == *key,
            // Not of MySQL.
            Some(Verifier::Scram(_) | Verifier::Md5(_)) | None => false,
        };
        // Nobody has an empty password.
        (right && !given.is_empty()).then_some(self.given)
    }
}

/// The same for each try, as a real one would be.
fn decoy_salt(user: &str, decoy_key: &[u8; 32]) -> Vec<u8> {
    native::key(&[&decoy_key[..], user.as_bytes()].concat())
        .expose()
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::Check;
    use crate::model::{Secret, ShaCrypt, Verifier};
    use crate::protocol::mysql::plugin::{ed25519, native, sha_crypt};

    fn check(given: &str, stored: Option<Verifier>) -> bool {
        let (check, work) = Check::begin(Secret::new(given), stored, "ann", &[0; 32]);
        check.verdict(&work.run()).is_some()
    }

    fn verifiers(password: &str) -> [Verifier; 4] {
        let key = native::key(password.as_bytes());
        [
            Verifier::Ed25519(ed25519::public_key(password.as_bytes())),
            Verifier::Password(Secret::new(password)),
            Verifier::Native(Secret::new(native::stored(key.expose()))),
            Verifier::ShaCrypt(ShaCrypt {
                rounds: 7,
                salt: b"01234567890123456789"[..].into(),
                hash: sha_crypt::crypt(password.as_bytes(), b"01234567890123456789", 7),
            }),
        ]
    }

    #[test]
    fn only_the_right_password_is_taken() {
        for stored in verifiers("pencil") {
            assert!(check("pencil", Some(stored.clone())));
            assert!(!check("pencil ", Some(stored.clone())));
            assert!(!check("", Some(stored)));
        }
        assert!(!check("pencil", None));
    }

    #[test]
    fn an_empty_password_is_never_right() {
        for stored in verifiers("") {
            assert!(!check("", Some(stored)));
        }
    }

    #[test]
    fn a_password_is_not_right_up_to_where_it_is_hashed() {
        let long = "x".repeat(sha_crypt::MAX_PASSWORD_LEN);
        for stored in verifiers(&long) {
            assert!(check(&long, Some(stored.clone())));
            assert!(!check(&format!("{long}x"), Some(stored)));
        }
    }
}
