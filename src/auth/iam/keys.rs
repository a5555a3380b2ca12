//! Pure: the access keys that the operator has given, and what their bearers may do.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::audience::{Audience, partition_of};
use super::policy::{Policy, allows};
use super::presign::is_signed_by;
use super::token::Token;
use crate::auth::Refusal;
use crate::model::Secret;

/// A key, and whose it is.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// The key itself.
    pub secret: Secret,
    /// Where the key is temporary, the session token that belongs to it.
    pub session_token: Option<Secret>,
    /// The account, twelve digits.
    pub account: Arc<str>,
    /// What its bearer may do; without any, nothing.
    pub policies: Vec<Arc<Policy>>,
}

/// Keys by their ids. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct KeyRing(Arc<HashMap<Box<str>, AccessKey>>);

impl KeyRing {
    /// These keys.
    pub fn new(keys: impl IntoIterator<Item = (Box<str>, AccessKey)>) -> Self {
        Self(Arc::new(keys.into_iter().collect()))
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies the signature of a token whose contents have been checked, and that its bearer may
    /// log in as its user. `resource` is what policies call the database: `db-…`, `cluster-…` or
    /// `prx-…`.
    ///
    /// # Errors
    /// Unknown keys, wrong signatures, and whatever no policy allows.
    pub fn verify(
        &self,
        token: &Token,
        audience: &Audience,
        resource: &str,
    ) -> Result<(), Refusal> {
        let key = self
            .0
            .get(&*token.access_key_id)
            .ok_or(Refusal::UnknownKey)?;
        let same_session = match (&key.session_token, &token.session_token) {
            (None, None) => true,
            (Some(known), Some(given)) => {
                verify_slices_are_equal(known.expose(), given.expose()).is_ok()
            }
            _ => false,
        };
        if !is_signed_by(token, &key.secret) || !same_session {
            return Err(Refusal::BadSignature);
        }
        let partition = partition_of(audience.region());
        let (region, account, user) = (audience.region(), &key.account, &token.user);
        let arn = format!("arn:{partition}:rds-db:{region}:{account}:dbuser:{resource}/{user}");
        if allows(key.policies.iter().map(AsRef::as_ref), &arn) {
            return Ok(());
        }
        Err(Refusal::RefusedByPolicy)
    }
}
