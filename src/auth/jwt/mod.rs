//! JSON Web Tokens of OIDC issuers in place of passwords: AWS web identity tokens, Cognito, Entra
//! ID, Keycloak. Cryptography and base 64 are the `jsonwebtoken` library's; what a token must say
//! is decided here.

mod claims;
mod keys;
pub mod publisher;
#[cfg(test)]
mod tests;
mod verify;

pub use keys::{Algorithm, KeySet, KeySetError};
pub use verify::{Issued, Issuer};
