//! Pure: making a token, and making its signature again to compare it (AWS documentation,
//! "Signature Version 4").
//!
//! # Why aws-sigv4 itself
//! The SDK's generator puts user names in as they are, which panics at a space and signs a plus
//! sign as something else, and falls back to a region of its own choice. Here names are encoded
//! first, and the same function signs and verifies.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;

use super::percent;
use super::token::{ACTION, SERVICE, Token};
use crate::model::Secret;

/// What a token is to say.
#[derive(Clone, Copy, Debug)]
pub struct Presign<'a> {
    /// The host of the database's endpoint; an address of version 6 in brackets.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The database user.
    pub user: &'a str,
    /// The region.
    pub region: &'a str,
    /// Identifies the key.
    pub access_key_id: &'a str,
    /// The key.
    pub secret_access_key: &'a Secret,
    /// The session token of temporary credentials.
    pub session_token: Option<&'a Secret>,
    /// From when it is valid, in whole seconds.
    pub issued: SystemTime,
    /// For how long, in whole seconds; at most 15 minutes.
    pub life: Duration,
}

/// Why no token could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The host, the key or the session token has characters that cannot be signed.
    #[error("host or credentials contain characters that cannot be signed")]
    Unsignable,
}

impl Presign<'_> {
    /// The token, as `aws rds generate-db-auth-token` prints it.
    ///
    /// # Errors
    /// If something in it cannot be signed.
    pub fn token(&self) -> Result<Secret, SignError> {
        let mut token = format!("{}:{}/?{}", self.host, self.port, self.query());
        // As a browser would, it signs the name in small letters.
        let host = self.host.to_ascii_lowercase();
        let signed = Presign {
            host: &host,
            ..*self
        };
        let mut params = signed.signed()?;
        // In botocore's order: what is signed goes before the signature.
        params.sort_by_key(|(name, _)| name == "X-Amz-Signature");
        for (name, value) in params {
            token.push('&');
            token.push_str(&name);
            token.push('=');
            token.push_str(&percent::encode(&value));
        }
        Ok(Secret::new(token))
    }

    fn query(&self) -> String {
        format!("Action={ACTION}&DBUser={}", percent::encode(self.user))
    }

    /// The parameters that signing adds, in clear.
    fn signed(&self) -> Result<Vec<(String, String)>, SignError> {
        let text = |secret: &Secret| String::from_utf8(secret.expose().to_vec());
        let key = text(self.secret_access_key).map_err(|_| SignError::Unsignable)?;
        let session_token = self.session_token.map(text).transpose();
        let session_token = session_token.map_err(|_| SignError::Unsignable)?;
        let credentials = Credentials::new(self.access_key_id, key, session_token, None, "sluice");
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        settings.expires_in = Some(self.life);
        settings.signature_location = SignatureLocation::QueryParams;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(SERVICE)
            .time(self.issued)
            .settings(settings)
            .build()
            .map_err(|_| SignError::Unsignable)?;
        let params = SigningParams::V4(params);
        let url = format!("https://{}:{}/?{}", self.host, self.port, self.query());
        let request = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::empty());
        let request = request.map_err(|_| SignError::Unsignable)?;
        let signed = sign(request, &params).map_err(|_| SignError::Unsignable)?;
        let (instructions, _) = signed.into_parts();
        let (_, params) = instructions.into_parts();
        let owned =
            |(name, value): (&str, _)| (name.to_owned(), std::borrow::Cow::into_owned(value));
        Ok(params.into_iter().map(owned).collect())
    }
}

/// True if the signature of a token is that of this key. Compared in constant time.
pub fn is_signed_by(token: &Token, secret_access_key: &Secret) -> bool {
    let small = token.host.to_ascii_lowercase();
    // Some generators sign the name as it is written, others in small letters.
    let mut hosts = vec![&*token.host];
    if small != token.host {
        hosts.push(&small);
    }
    let matches = |host: &&str| {
        let again = Presign {
            host,
            port: token.port,
            user: &token.user,
            region: &token.region,
            access_key_id: &token.access_key_id,
            secret_access_key,
            session_token: token.session_token.as_ref(),
            issued: token.issued,
            life: token.life,
        };
        let signature = again.signed().ok().and_then(|params| {
            let mut params = params.into_iter();
            params
                .find(|(name, _)| name == "X-Amz-Signature")
                .map(|(_, value)| value)
        });
        signature.is_some_and(|signature| {
            verify_slices_are_equal(signature.as_bytes(), token.signature.expose()).is_ok()
        })
    };
    hosts.iter().any(matches)
}
