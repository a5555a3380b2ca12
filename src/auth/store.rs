//! All users known without asking a database.

use std::collections::HashMap;
use std::sync::Arc;

use super::options::UserOptions;
use crate::model::{ScramVerifier, Secret, Verifier};

/// Users by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct UserStore(Arc<HashMap<Arc<str>, Arc<UserOptions>>>);

impl UserStore {
    /// These users; of several with one name the first counts.
    pub fn new(users: impl IntoIterator<Item = UserOptions>) -> Self {
        let mut map = HashMap::new();
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

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a stored text is: a SCRAM verifier, an MD5 hash as PostgreSQL keeps it, or a password.
pub fn verifier(stored: &Secret) -> Verifier {
    let text = std::str::from_utf8(stored.expose()).unwrap_or_default();
    if let Some(scram) = ScramVerifier::parse(text) {
        return Verifier::Scram(scram);
    }
    let is_md5 = text
        .strip_prefix("md5")
        .is_some_and(|hex| hex.len() == MD5_HEX && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if is_md5 {
        return Verifier::Md5(stored.clone());
    }
    Verifier::Password(stored.clone())
}

/// Hex digits of an MD5 hash.
const MD5_HEX: usize = 32;
