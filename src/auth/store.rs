//! All users known without asking a database.

use std::sync::Arc;

use foldhash::HashMap;

use super::mysql_hash;
use super::options::UserOptions;
use crate::model::{ScramVerifier, Secret, Verifier};

/// Users by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct UserStore(Arc<HashMap<Arc<str>, Arc<UserOptions>>>);

impl UserStore {
    /// These users; of several with one name the first counts.
    pub fn new(users: impl IntoIterator<Item = UserOptions>) -> Self {
        let mut map = HashMap::default();
        for user in users {
            map.entry(Arc::clone(&user.name))
                .or_insert_with(|| Arc::new(user));
        }
        Self(Arc::new(map))
    }

    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<Arc<UserOptions>> {
        self.0.get(name).map(Arc::clone)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &UserOptions> {
        self.0.values().map(|user| &**user)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a stored text says nothing about a user's password. Shows none of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// Anybody could guess it; PostgreSQL and PgBouncer refuse it too.
    #[error("the password is empty")]
    Empty,
    /// It begins like a verifier. As a password it would be one that may have been seen by many.
    #[error("the SCRAM-SHA-256 verifier is damaged")]
    BrokenScram,
    /// Likewise.
    #[error("the caching_sha2_password or sha256_password hash is damaged")]
    BrokenShaCrypt,
    /// Likewise.
    #[error("the ed25519 key is damaged")]
    BrokenEd25519,
}

/// What a stored text is: a SCRAM verifier or an MD5 hash as PostgreSQL keeps it, what MySQL or
/// MariaDB keep, or a password.
///
/// # Errors
/// If it is empty, or almost a verifier.
pub fn verifier(stored: &Secret) -> Result<Verifier, VerifierError> {
    if stored.expose().is_empty() {
        return Err(VerifierError::Empty);
    }
    let text = std::str::from_utf8(stored.expose()).unwrap_or_default();
    if text.starts_with(SCRAM_PREFIX) {
        let scram = ScramVerifier::parse(text).ok_or(VerifierError::BrokenScram)?;
        return Ok(Verifier::Scram(scram));
    }
    let is_md5 = text
        .strip_prefix("md5")
        .is_some_and(|hex| hex.len() == MD5_HEX && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if is_md5 {
        return Ok(Verifier::Md5(stored.clone()));
    }
    if let Some(kept) = mysql_hash::parse(stored.expose()) {
        return kept;
    }
    Ok(Verifier::Password(stored.clone()))
}

/// How PostgreSQL's verifiers begin (its documentation, `pg_authid`).
const SCRAM_PREFIX: &str = "SCRAM-SHA-256$";
/// Hex digits of an MD5 hash.
const MD5_HEX: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{UserStore, VerifierError, verifier};
    use crate::auth::options::UserOptions;
    use crate::model::{Secret, Verifier};

    const SCRAM: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    const MD5: &str = "md53175bce1d3201d16594cebf9d7eb3f9d";

    fn read(text: &str) -> Result<Verifier, VerifierError> {
        verifier(&Secret::new(text))
    }

    #[test]
    fn the_kind_is_known_by_the_text() {
        assert!(matches!(read(SCRAM), Ok(Verifier::Scram(s)) if s.iterations == 4096));
        assert!(matches!(read(MD5), Ok(Verifier::Md5(s)) if s == Secret::new(MD5)));
        for password in [
            "secret",
            "md5",
            "md5 is no hash",
            "SCRAM-SHA-256",
            MD5.trim_start_matches('m'),
        ] {
            assert!(
                matches!(read(password), Ok(Verifier::Password(s)) if s == Secret::new(password)),
                "{password}"
            );
        }
        let latin1 = Secret::new([0xe9]);
        assert!(matches!(verifier(&latin1), Ok(Verifier::Password(s)) if s == latin1));
    }

    #[test]
    fn nothing_and_damaged_verifiers_are_no_passwords() {
        assert_eq!(read("").unwrap_err(), VerifierError::Empty);
        for length in "SCRAM-SHA-256$".len()..SCRAM.len() {
            let error = read(SCRAM.get(..length).unwrap()).unwrap_err();
            assert_eq!(error, VerifierError::BrokenScram, "{length}");
        }
    }

    #[test]
    fn of_two_users_with_one_name_the_first_counts() {
        let user = |password| UserOptions::known_by("a".into(), read(password).ok());
        let store = UserStore::new([user("first"), user("second")]);
        assert_eq!(store.len(), 1);
        let found = store.user("a").unwrap();
        let Some(Verifier::Password(password)) = &found.verifier else {
            panic!("{found:?}");
        };
        assert_eq!(password.expose(), b"first");
        assert!(store.user("b").is_none());
    }

    proptest! {
        #[test]
        fn any_stored_bytes_are_survived(bytes in any::<Vec<u8>>(), tail in any::<String>()) {
            let _ = verifier(&Secret::new(bytes));
            let _ = read(&format!("SCRAM-SHA-256${tail}"));
        }
    }
}
