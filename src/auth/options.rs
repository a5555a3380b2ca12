//! What configuration decides about users and their tokens.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::jwt::{Algorithm, KeySet};

use crate::model::{AuthMethod, Credential, Pins, PoolMode, TargetRole, Verifier};

/// A user from the configuration.
#[derive(Clone, Debug)]
pub struct UserOptions {
    /// The name clients give.
    pub name: Arc<str>,
    /// What their proof is checked against.
    pub verifier: Option<Verifier>,
    /// Method, where it differs from the listener's.
    pub auth_method: Option<AuthMethod>,
    /// Who judges the user's IAM tokens, where that differs from the listener.
    pub iam_verification: Option<IamVerification>,
    /// Common names of client certificates that may log in as this user; empty: the user's own
    /// name.
    pub certificate_names: Vec<String>,
    /// The user's name on the server.
    pub server_user: Arc<str>,
    /// What Sluice shows to the server. `None`: what the client proved (pass-through), or the
    /// stored password.
    pub server_credential: Option<Credential>,
    /// Where the password that clients prove is kept, if it may change there.
    pub password_place: Option<Place>,
    /// Where what Sluice shows to the server is kept, if it may change there; counts before
    /// `server_credential`.
    pub server_place: Option<Place>,
    /// How Sluice logs in to the server, where that differs from the group.
    pub server_auth: Option<ServerAuth>,
    /// Pool mode, where it differs from the database's or listener's.
    pub pool_mode: Option<PoolMode>,
    /// Reasons that do not pin, where they differ from the database's or group's.
    pub filtered_pins: Option<Pins>,
    /// Which servers its statements go to, where that differs from the listener's.
    pub target_role: Option<TargetRole>,
    /// Pool size, where it differs from the database's or group's.
    pub pool_size: Option<u32>,
    /// Most clients logged in as this user at once; 0: no limit.
    pub max_client_connections: u32,
}

impl UserOptions {
    /// A user of whom only the name and what is stored are known.
    pub fn known_by(name: Arc<str>, verifier: Option<Verifier>) -> Self {
        let server_credential = match &verifier {
            Some(Verifier::Password(password)) => Some(Credential::Password(password.clone())),
            Some(_) | None => None,
        };
        Self {
            server_user: Arc::clone(&name),
            name,
            verifier,
            auth_method: None,
            iam_verification: None,
            certificate_names: Vec::new(),
            server_credential,
            password_place: None,
            server_place: None,
            server_auth: None,
            pool_mode: None,
            filtered_pins: None,
            target_role: None,
            pool_size: None,
            max_client_connections: 0,
        }
    }
}

/// A place where a password is kept, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A file that holds it.
    File(Arc<Path>),
    /// A secret of AWS Secrets Manager, by ARN or name.
    Secret(Arc<str>),
}

/// How Sluice proves to a server who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerAuth {
    /// By what is stored for the user, or what the client has proven.
    #[default]
    Stored,
    /// By IAM tokens of its own.
    Iam,
}

/// A secret that brings the user that it names, as those of RDS Proxy's `Auth` do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BringerOptions {
    /// ARN or name.
    pub secret: Arc<str>,
    /// Method of its user, where it differs from the listener's.
    pub auth_method: Option<AuthMethod>,
}

/// Who judges IAM tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IamVerification {
    /// The database.
    Delegate,
    /// Sluice, with keys that it has been given.
    Signature,
}

/// Clocks, caches and limits of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenOptions {
    /// How far in the future the date of a token may lie.
    pub clock_skew: Duration,
    /// How long an accepted token is accepted again without asking the database.
    pub cache_ttl: Duration,
    /// How long a refused one is refused without asking it.
    pub negative_cache_ttl: Duration,
    /// Tokens remembered.
    pub cache_size: u64,
    /// Tokens refused in a minute from one address; 0: no limit.
    pub max_failures_per_source: u32,
    /// The same for one user.
    pub max_failures_per_user: u32,
}

/// Which tokens a listener takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTokenOptions {
    /// Who judges IAM tokens.
    pub verification: IamVerification,
    /// The region that they are signed for; `None`: as the target's name says.
    pub region: Option<Arc<str>>,
    /// Hosts and ports that they may be signed for; empty: the targets'.
    pub hosts: Arc<[(Arc<str>, u16)]>,
    /// What policies call the database.
    pub resource: Arc<str>,
    /// Names of the issuers of JSON Web Tokens; empty: all.
    pub issuers: Arc<[Arc<str>]>,
}

/// An issuer of JSON Web Tokens, and what its tokens are worth.
#[derive(Clone, Debug)]
pub struct IssuerOptions {
    /// Its name in the log.
    pub name: Arc<str>,
    /// What the claim `iss` must say.
    pub issuer: String,
    /// Of these, the claim `aud` must name one.
    pub audiences: Vec<String>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// How they may be used.
    pub algorithms: Vec<Algorithm>,
    /// The claim that says who it is.
    pub user_claim: String,
    /// Values of that claim, with wildcards, and the users that they may log in as; empty: the
    /// value is the user.
    pub users: Vec<(String, Vec<String>)>,
    /// Claims that must have a value.
    pub required_claims: Vec<(String, String)>,
    /// Longest time from `iat` to `exp`.
    pub max_token_life: Duration,
    /// How far clocks may differ.
    pub clock_skew: Duration,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// They were given.
    Given(Arc<KeySet>),
    /// They are published.
    Published {
        /// Where; `None`: where the issuer's discovery document says.
        url: Option<String>,
        /// Authorities of the publisher's certificate; `None`: the system's.
        ca_file: Option<PathBuf>,
        /// How long they are used before they are fetched again.
        refresh: Duration,
    },
}

/// PgBouncer's `auth_query`.
#[derive(Clone, Debug)]
pub struct AuthQuery {
    /// SQL with one parameter, the user name.
    pub query: Arc<str>,
    /// The user that runs it; must be in the configuration, with a password.
    pub user: Arc<str>,
    /// The database it runs in; `None`: the one the client asked for.
    pub database: Option<Arc<str>>,
}
