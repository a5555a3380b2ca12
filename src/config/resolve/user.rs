//! One `[[user]]`, and those of the userlist.

use std::path::Path;
use std::sync::Arc;

use super::{Source, auth_method, place, pool_mode};
use crate::auth::options::UserOptions;
use crate::auth::store::verifier;
use crate::auth::userlist;
use crate::config::error::ConfigError;
use crate::config::raw;
use crate::config::secrets;
use crate::model::{Credential, Secret, Verifier};

pub(super) fn resolve(
    source: &Source<'_>,
    index: usize,
    raw: &raw::User,
    warnings: &mut Vec<String>,
) -> Result<UserOptions, ConfigError> {
    let at = |key| place("user", index, &raw.name, key);
    let read = |key, inline, file, env| {
        let place = at(key);
        secrets::Source { inline, file, env }
            .read(source.folder())
            .map_err(|what| source.error(&place, &what))
    };
    let stored = read(
        "password",
        raw.password.as_deref(),
        raw.password_file.as_deref(),
        raw.password_env.as_deref(),
    )?;
    let verifier = stored.as_ref().map(verifier);
    if raw.password.is_some() && matches!(verifier, Some(Verifier::Password(_))) {
        warnings.push(format!(
            "user \"{}\": the password stands in the configuration file; \
             password_file, password_env or a SCRAM-SHA-256 verifier are safer",
            raw.name
        ));
    }
    let server_password = read(
        "server_password",
        raw.server_password.as_deref(),
        raw.server_password_file.as_deref(),
        raw.server_password_env.as_deref(),
    )?;
    if raw.pool_size == Some(0) {
        return Err(source.error(&at("pool_size"), "must be at least 1"));
    }
    let name: Arc<str> = (&*raw.name).into();
    Ok(UserOptions {
        server_user: raw
            .server_user
            .as_deref()
            .map_or_else(|| Arc::clone(&name), Into::into),
        name,
        server_credential: credential(server_password, verifier.as_ref()),
        verifier,
        auth_method: raw.auth_method.map(auth_method),
        certificate_names: raw.certificate_names.clone(),
        pool_mode: raw.pool_mode.map(pool_mode),
        pool_size: raw.pool_size,
        max_client_connections: u32::try_from(raw.max_client_conn).unwrap_or(u32::MAX),
    })
}

/// What the server is shown: a password of its own, else the stored one if it is in the clear.
/// Otherwise what the client proves is passed through.
fn credential(server_password: Option<Secret>, verifier: Option<&Verifier>) -> Option<Credential> {
    match (server_password, verifier) {
        (Some(password), _) => Some(Credential::Password(password)),
        (None, Some(Verifier::Password(password))) => Some(Credential::Password(password.clone())),
        _ => None,
    }
}

/// The users of the userlist, if there is one.
pub(super) fn userlist(source: &Source<'_>) -> Result<Vec<UserOptions>, ConfigError> {
    let Some(file) = &source.raw.general.userlist_file else {
        return Ok(Vec::new());
    };
    let at = place("general", 0, "", "userlist_file");
    let path = source.folder().join(file);
    let problem = |what: String| source.error(&at, &format!("{}: {what}", path.display()));
    let text = read(&path).map_err(&problem)?;
    let users = userlist::parse(&text).map_err(|error| problem(error.to_string()))?;
    Ok(users.into_iter().map(listed).collect())
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// A user of whom only a name and a stored text are known.
fn listed((name, stored): (Arc<str>, Secret)) -> UserOptions {
    UserOptions::known_by(name, verifier(&stored))
}
