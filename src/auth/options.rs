//! What configuration decides about users.

use std::sync::Arc;

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
    /// Common names of client certificates that may log in as this user; empty: the user's own
    /// name.
    pub certificate_names: Vec<String>,
    /// The user's name on the server.
    pub server_user: Arc<str>,
    /// What Sluice shows to the server. `None`: what the client proved (pass-through), or the
    /// stored password.
    pub server_credential: Option<Credential>,
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
            certificate_names: Vec::new(),
            server_credential,
            pool_mode: None,
            filtered_pins: None,
            target_role: None,
            pool_size: None,
            max_client_connections: 0,
        }
    }
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
