//! Checking a password that a client sent as it is.
//!
//! Every check costs one password hash, whatever is stored and whether or not the user exists:
//! else the time to the refusal would tell.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::md5;
use super::scram::server::decoy_salt;
use super::scram::{ITERATIONS, keys, salted_password, sha256};
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
        let (salt, iterations) = match &stored {
            Some(Verifier::Scram(verifier)) => (verifier.salt.to_vec(), verifier.iterations),
            _ => (decoy_salt(user, decoy_key).to_vec(), ITERATIONS),
        };
        let password = given.clone();
        let work = Costly::new(move || salted_password(password.expose(), &salt, iterations));
        (Self { given, stored }, work)
    }

    /// The password, if it is right.
    pub fn verdict(self, user: &str, salted_password: &Secret) -> Option<Secret> {
        let given = self.given.expose();
        let right = match &self.stored {
            None => false,
            Some(Verifier::Scram(verifier)) => {
                let stored_key = sha256(keys(salted_password).client_key.expose());
                equal(&stored_key, verifier.stored_key.expose())
            }
            // Hashes are compared, so that not even the length of the stored password shows.
            Some(Verifier::Password(stored)) => equal(&sha256(given), &sha256(stored.expose())),
            Some(Verifier::Md5(stored)) => {
                md5::parse_stored(stored.expose()).is_some_and(|stored| {
                    equal(md5::stored(given, user).as_slice(), stored.as_slice())
                })
            }
            // What MySQL keeps is of no use here.
            Some(
                Verifier::Native(_)
                | Verifier::ShaCrypt(_)
                | Verifier::Ed25519(_)
                | Verifier::Parsec(_),
            ) => false,
        };
        // PostgreSQL lets nobody in with an empty password, whatever is stored.
        (right && !given.is_empty()).then_some(self.given)
    }
}

fn equal(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Check, md5};
    use crate::model::{Secret, Verifier};
    use crate::protocol::postgres::scram::derive_verifier;

    fn check(given: &str, stored: Option<Verifier>) -> bool {
        let (check, work) = Check::begin(Secret::new(given), stored, "ann", &[0; 32]);
        check.verdict("ann", &work.run()).is_some()
    }

    fn verifiers(password: &str) -> [Verifier; 3] {
        let hash = md5::stored(password.as_bytes(), "ann");
        [
            Verifier::Password(Secret::new(password)),
            Verifier::Scram(derive_verifier(password.as_bytes(), b"salt", 7)),
            Verifier::Md5(Secret::new([b"md5", hash.as_slice()].concat())),
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
    fn a_hash_is_not_the_password() {
        let hash = "md57a6e7e5ca6a5ca6a5ca6a5ca6a5ca6a5";
        assert!(!check(hash, Some(Verifier::Md5(Secret::new(hash)))));
    }
}
