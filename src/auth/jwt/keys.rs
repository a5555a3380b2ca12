//! Pure: an issuer's public keys (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{self as jwt, DecodingKey};
use serde::Deserialize;

/// How a token may be signed. Symmetric algorithms and none at all are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with SHA-256.
    Rs256,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
}

impl Algorithm {
    /// The library's name for it.
    pub(super) const fn named(self) -> jwt::Algorithm {
        match self {
            Self::Rs256 => jwt::Algorithm::RS256,
            Self::Es256 => jwt::Algorithm::ES256,
            Self::Es384 => jwt::Algorithm::ES384,
        }
    }
}

/// A key, and the one algorithm that it is good for.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The keys of an issuer that can be used here.
#[derive(Clone, Default)]
pub struct KeySet(Vec<Key>);

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|key| &key.id))
            .finish()
    }
}

/// Why a document yields no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is no set of keys.
    #[error("not a JSON Web Key Set: {0}")]
    Shape(String),
    /// None of its keys can be used.
    #[error("the key set has no key for RS256, ES256 or ES384")]
    Empty,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys for other purposes or algorithms are left out, as RFC 7517,
    /// section 5, asks; of more than a hundred keys the rest is left out too.
    ///
    /// # Errors
    /// If it is none, or no key is left.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let document: Document =
            serde_json::from_slice(json).map_err(|error| KeySetError::Shape(error.to_string()))?;
        let keys = document.keys.into_iter().take(MOST_KEYS).filter_map(usable);
        let keys: Vec<Key> = keys.collect();
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        Ok(Self(keys))
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that a token names; the only one, if it names none.
    pub(super) fn find(&self, id: Option<&str>) -> Option<&Key> {
        match (id, &*self.0) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

fn usable(key: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let by_kind = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::Rs256,
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => Algorithm::Es256,
            EllipticCurve::P384 => Algorithm::Es384,
            _ => return None,
        },
        _ => return None,
    };
    let named = match common.key_algorithm {
        None => by_kind,
        Some(KeyAlgorithm::RS256) => Algorithm::Rs256,
        Some(KeyAlgorithm::ES256) => Algorithm::Es256,
        Some(KeyAlgorithm::ES384) => Algorithm::Es384,
        Some(_) => return None,
    };
    (named == by_kind).then_some(())?;
    Some(Key {
        key: DecodingKey::from_jwk(&jwk).ok()?,
        id: common.key_id.clone(),
        algorithm: named,
    })
}

/// Real issuers publish a handful.
const MOST_KEYS: usize = 100;
