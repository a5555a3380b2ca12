//! Pure: whose token it is, whether the signature is right, and what it claims.

use std::sync::Arc;
use std::time::SystemTime;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};

use super::claims::{Claims, check};
use super::keys::KeySet;
use crate::auth::Refusal;
use crate::auth::options::IssuerOptions;
use crate::auth::verify::{Attempt, TokenVerifier, Verdict};
use crate::model::MAX_TOKEN_LEN;

/// An issuer and its keys, as they are known now.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What its tokens are worth.
    pub options: Arc<IssuerOptions>,
    /// Its keys; none before they have been fetched.
    pub keys: Arc<KeySet>,
}

/// JSON Web Tokens of these issuers.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The issuers.
    pub issuers: Vec<Issuer>,
}

impl Issued {
    /// Which of the issuers a token says that it comes from. Nothing has been verified.
    ///
    /// # Errors
    /// If it is no token, or of none of them.
    pub fn issuer_of(&self, attempt: Attempt<'_>) -> Result<&Issuer, Refusal> {
        let bytes = attempt.token.expose();
        if bytes.len() > MAX_TOKEN_LEN {
            return Err(Refusal::TooLong);
        }
        let claims: Claims = jsonwebtoken::dangerous::insecure_decode_claims(bytes)
            .map_err(|_| Refusal::Malformed)?;
        let said = claims.get("iss").and_then(serde_json::Value::as_str);
        let mut issuers = self.issuers.iter();
        let found = issuers.find(|issuer| Some(&*issuer.options.issuer) == said);
        found.ok_or(Refusal::WrongIssuer)
    }
}

impl TokenVerifier for Issued {
    fn verify(&self, attempt: Attempt<'_>, now: SystemTime) -> Result<Verdict, Refusal> {
        let issuer = self.issuer_of(attempt)?;
        let bytes = attempt.token.expose();
        let header = decode_header(bytes).map_err(|_| Refusal::Malformed)?;
        let allowed = &issuer.options.algorithms;
        if !allowed
            .iter()
            .any(|algorithm| algorithm.named() == header.alg)
        {
            return Err(Refusal::WrongAlgorithm);
        }
        let Some(key) = issuer.keys.find(header.kid.as_deref()) else {
            return Ok(Verdict::AskIssuer);
        };
        // A key is good for one algorithm: else a public key could pass for a shared secret.
        if key.algorithm.named() != header.alg || header.crit.is_some() {
            return Err(Refusal::WrongAlgorithm);
        }
        let mut validation = Validation::new(key.algorithm.named());
        // All of that is checked below, with the time passed in.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let token = decode::<Claims>(bytes, &key.key, &validation);
        let token = token.map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => Refusal::BadSignature,
            _ => Refusal::Malformed,
        });
        let claims = token?.claims;
        let until = check(&claims, &issuer.options, attempt.user, now)?;
        Ok(Verdict::Accepted { until })
    }
}
