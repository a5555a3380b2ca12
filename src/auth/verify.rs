//! Pure: the one interface of all ways to verify a token. The clock is passed in, and whatever
//! takes waiting is a verdict that says what to wait for.

use std::sync::Arc;
use std::time::SystemTime;

use super::Refusal;
use super::iam::{Audience, KeyRing, Token};
use crate::model::Secret;

/// A client wants to log in as a user, and has shown a token.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The user that it has named.
    pub user: &'a str,
    /// What it has shown.
    pub token: &'a Secret,
}

/// What a token is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It proves that its bearer may log in as the user, until then.
    Accepted {
        /// From then on it is not valid any more.
        until: SystemTime,
    },
    /// Nothing speaks against it, but only the database can say.
    AskDatabase {
        /// The host and port that it is signed for, in small letters.
        signed_for: (String, u16),
        /// From then on it is not valid any more.
        until: SystemTime,
    },
    /// It names a key of its issuer's that is not known: to be asked again when newer ones have
    /// been fetched.
    AskIssuer,
}

/// A way to verify tokens.
pub trait TokenVerifier: Send + Sync {
    /// Says what a token is worth at `now`.
    ///
    /// # Errors
    /// Why it is refused.
    fn verify(&self, attempt: Attempt<'_>, now: SystemTime) -> Result<Verdict, Refusal>;
}

/// IAM tokens that the database itself is to judge; everything else is checked first.
#[derive(Clone, Debug)]
pub struct Delegated {
    /// What a token must say.
    pub audience: Audience,
}

impl TokenVerifier for Delegated {
    fn verify(&self, attempt: Attempt<'_>, now: SystemTime) -> Result<Verdict, Refusal> {
        let token = Token::parse(attempt.token)?;
        self.audience.check(&token, attempt.user, now)?;
        Ok(Verdict::AskDatabase {
            signed_for: (token.host.to_ascii_lowercase(), token.port),
            until: token.expires(),
        })
    }
}

/// IAM tokens signed with keys that the operator has given.
#[derive(Clone, Debug)]
pub struct Signed {
    /// What a token must say.
    pub audience: Audience,
    /// The keys, and what their bearers may do.
    pub keys: KeyRing,
    /// What policies call the database.
    pub resource: Arc<str>,
}

impl TokenVerifier for Signed {
    fn verify(&self, attempt: Attempt<'_>, now: SystemTime) -> Result<Verdict, Refusal> {
        let token = Token::parse(attempt.token)?;
        self.audience.check(&token, attempt.user, now)?;
        self.keys.verify(&token, &self.audience, &self.resource)?;
        Ok(Verdict::Accepted {
            until: token.expires(),
        })
    }
}
