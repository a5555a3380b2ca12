//! The tables of the configuration file that are about tokens of clients; see [`super::raw`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::inline::Inline;
use super::units::Time;

/// Who judges IAM tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IamVerification {
    /// The database.
    Delegate,
    /// Sluice, with keys that it has been given.
    Signature,
}

/// `[tokens]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// How far in the future the date of a token may lie. Default "60s". Dynamic.
    pub clock_skew: Time,
    /// How long a token that the database has accepted is accepted again without asking, and so how
    /// long a revocation may take. At most until it expires. Default "60s"; "0s": the database is
    /// asked each time. Dynamic.
    pub cache_ttl: Time,
    /// How long a token that the database has refused is refused without asking. Default "2s".
    /// Dynamic.
    pub negative_cache_ttl: Time,
    /// Tokens remembered, accepted or refused. At least 1, default 10000. Dynamic.
    pub cache_size: usize,
    /// Tokens from one address (of IPv6: one /64 network) that may be refused in a minute before
    /// others are refused unseen. Default 60; 0: no limit. Dynamic.
    pub max_failures_per_source: u32,
    /// The same for one user, from wherever. Default 120; 0: no limit. Dynamic.
    pub max_failures_per_user: u32,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            clock_skew: Time::secs(60),
            cache_ttl: Time::secs(60),
            negative_cache_ttl: Time::secs(2),
            cache_size: 10_000,
            max_failures_per_source: 60,
            max_failures_per_user: 120,
        }
    }
}

/// `[[iam_key]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IamKey {
    /// The access key's id. Required, unique. Dynamic.
    pub access_key_id: String,
    /// The key itself. One of this and the next two is required. Dynamic.
    pub secret_access_key: Option<Inline>,
    /// File that holds it; one line break at its end does not count. Dynamic.
    pub secret_access_key_file: Option<PathBuf>,
    /// Environment variable that holds it. Dynamic.
    pub secret_access_key_env: Option<String>,
    /// The session token that belongs to a temporary key. Default: none. Dynamic.
    pub session_token: Option<Inline>,
    /// File that holds it. Dynamic.
    pub session_token_file: Option<PathBuf>,
    /// Environment variable that holds it. Dynamic.
    pub session_token_env: Option<String>,
    /// The account that the databases belong to, twelve digits. Required. Dynamic.
    pub account: String,
    /// Names of the `[[iam_policy]]`s that say what the key's bearer may do. Required. Dynamic.
    pub policies: Vec<String>,
}

/// `[[iam_policy]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IamPolicy {
    /// Name. Required, unique. Dynamic.
    pub name: String,
    /// The document, JSON as in IAM. One of this and the next is required. Dynamic.
    pub policy: Option<String>,
    /// File that holds it. Dynamic, the content too.
    pub policy_file: Option<PathBuf>,
}

/// `[[jwt_issuer]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JwtIssuer {
    /// Name for this file and the log. Required, unique. Dynamic.
    pub name: String,
    /// What the claim `iss` must say, exactly. Required. Dynamic.
    pub issuer: String,
    /// Of these, the claim `aud` must name one. Required. Dynamic.
    pub audiences: Vec<String>,
    /// Where the keys are published. "https" anywhere, "http" on loopback only. Default: where the
    /// issuer's `/.well-known/openid-configuration` says. Dynamic.
    pub jwks_url: Option<String>,
    /// File that holds the keys, for places without a network. Default: none. Dynamic, the content
    /// too.
    pub jwks_file: Option<PathBuf>,
    /// Authorities that the publisher's certificate is verified against, PEM. Default: the
    /// system's. Dynamic, the content too.
    pub ca_file: Option<PathBuf>,
    /// How long fetched keys are used before they are fetched again; a token with an unknown key
    /// has them fetched earlier. Above "0s", default "1h". Dynamic.
    #[serde(default = "an_hour")]
    pub jwks_refresh: Time,
    /// Of "RS256", "ES256" and "ES384", those that are taken. Default []: all. Dynamic.
    #[serde(default)]
    pub algorithms: Vec<Algorithm>,
    /// The claim that says who it is. Default "sub". Dynamic.
    #[serde(default = "sub")]
    pub user_claim: String,
    /// Which database users a value of that claim may log in as; `*` and `?` in a value stand for
    /// any characters and any one. Default {}: as the user of that very name. Dynamic.
    #[serde(default)]
    pub users: BTreeMap<String, Vec<String>>,
    /// Claims that must have just this value, or a list with it. Default {}. Dynamic.
    #[serde(default)]
    pub required_claims: BTreeMap<String, String>,
    /// Longest time from `iat` to `exp`. Above "0s", default "1h". Dynamic.
    #[serde(default = "an_hour")]
    pub max_token_life: Time,
}

/// How a JSON Web Token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Algorithm {
    /// RSA with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384.
    #[serde(rename = "ES384")]
    Es384,
}

const fn an_hour() -> Time {
    Time::secs(3600)
}

fn sub() -> String {
    "sub".into()
}
