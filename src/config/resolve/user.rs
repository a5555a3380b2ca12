//! One `[[user]]`, and those of the userlist.

use std::sync::Arc;

use super::{AT_LEAST_ONE, Source, auth_method, listener, place, pool_mode};
use crate::auth::options::UserOptions;
use crate::auth::store::verifier;
use crate::auth::userlist;
use crate::config::error::ConfigError;
use crate::config::plan::ListenerPlan;
use crate::config::raw;
use crate::config::secrets;
use crate::model::{AuthMethod, Credential, Secret, Verifier};

pub(super) fn resolve(
    source: &Source<'_>,
    index: usize,
    raw: &raw::User,
    listeners: &[ListenerPlan],
    warnings: &mut Vec<String>,
) -> Result<UserOptions, ConfigError> {
    let at = |key| place("user", index, &raw.name, key);
    let read = |key, inline, file, env| {
        secrets::Source {
            key,
            inline,
            file,
            env,
        }
        .read(source.folder())
        .map_err(|problem| {
            let at = place("user", index, &raw.name, &problem.key);
            source.error(&at, &problem.what)
        })
    };
    let stored = read(
        "password",
        raw.password.as_deref(),
        raw.password_file.as_deref(),
        raw.password_env.as_deref(),
    )?;
    let verifier = stored.as_ref().map(verifier);
    let server_password = read(
        "server_password",
        raw.server_password.as_deref(),
        raw.server_password_file.as_deref(),
        raw.server_password_env.as_deref(),
    )?;
    if raw.pool_size == Some(0) {
        return Err(source.error(&at("pool_size"), AT_LEAST_ONE));
    }
    check_method(source, index, raw, listeners)?;
    if verifier.is_none() && !provable_without_password(source, raw, listeners) {
        let what = "is needed, or password_file, or password_env";
        return Err(source.error(&at("password"), what));
    }
    for (key, given, plain) in [
        (
            "password",
            raw.password.is_some(),
            matches!(verifier, Some(Verifier::Password(_))),
        ),
        ("server_password", raw.server_password.is_some(), true),
    ] {
        if given && plain {
            warnings.push(format!(
                "user \"{}\": {key} stands in the configuration file; {key}_file and {key}_env \
                 are safer",
                raw.name
            ));
        }
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

/// A method of the user's own must be safe wherever the user may come in.
fn check_method(
    source: &Source<'_>,
    index: usize,
    raw: &raw::User,
    listeners: &[ListenerPlan],
) -> Result<(), ConfigError> {
    let Some(method) = raw.auth_method.map(auth_method) else {
        return Ok(());
    };
    for listener in listeners {
        let loopback = listener.listen.address.ip().is_loopback();
        if let Some(problem) = listener::problem(method, loopback, listener.tls.as_ref()) {
            let at = place("user", index, &raw.name, "auth_method");
            let what = format!("not on listener \"{}\": {problem}", listener.name);
            return Err(source.error(&at, &what));
        }
    }
    Ok(())
}

/// True if no password need be stored for this user to log in: it shows a certificate or nothing,
/// or an `auth_query` may tell its password.
fn provable_without_password(
    source: &Source<'_>,
    raw: &raw::User,
    listeners: &[ListenerPlan],
) -> bool {
    let own = raw.auth_method.map(auth_method);
    let mut methods = listeners.iter().map(|l| own.unwrap_or(l.auth_method));
    methods.any(|m| matches!(m, AuthMethod::Trust | AuthMethod::Certificate))
        || source
            .raw
            .target_group
            .iter()
            .any(|g| g.auth_query.is_some())
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
    let text = std::fs::read_to_string(&path)
        .map_err(|error| problem(format!("cannot read it: {error}")))?;
    let users = userlist::parse(&text).map_err(|error| problem(error.to_string()))?;
    Ok(users.into_iter().map(listed).collect())
}

/// A user of whom only a name and a stored text are known. An empty text stands for a user who
/// needs none; it is no password that anybody could log in with.
fn listed((name, stored): (Arc<str>, Secret)) -> UserOptions {
    let user = UserOptions::known_by(name, verifier(&stored));
    if stored.expose().is_empty() {
        return UserOptions {
            verifier: None,
            server_credential: None,
            ..user
        };
    }
    user
}
