//! One `[[user]]`, and those of the userlist.

use std::path::PathBuf;
use std::sync::Arc;

use super::translate::{auth_method, pins, pool_mode, target_role};
use super::{Source, Table, tokens};
use crate::auth::options::{Place, ServerAuth, UserOptions};
use crate::auth::store::verifier;
use crate::auth::userlist;
use crate::config::error::ConfigError;
use crate::config::raw;
use crate::config::raw_aws::ServerAuthMethod;
use crate::config::secrets::{self, unreadable};
use crate::model::{Credential, Secret, Verifier};

pub(super) fn resolve(
    table: &Table<'_>,
    raw: &raw::User,
    listed: &[UserOptions],
    warnings: &mut Vec<String>,
) -> Result<UserOptions, ConfigError> {
    let name: Arc<str> = (&*raw.name).into();
    // Settings may stand here, and the password in the userlist.
    let listed = listed.iter().find(|user| user.name == name);
    let verifier = match stored(table, raw)? {
        Some(verifier) => Some(verifier),
        None => listed.and_then(|user| user.verifier.clone()),
    };
    let server_password = server_password(table, raw)?;
    let places = places(table, raw, verifier.as_ref())?;
    if let Some(size) = raw.pool_size {
        table.at_least_one("pool_size", size)?;
    }
    warn_about_inline(raw, verifier.as_ref(), warnings);
    Ok(UserOptions {
        server_user: raw
            .server_user
            .as_deref()
            .map_or_else(|| Arc::clone(&name), Into::into),
        name,
        server_credential: credential(server_password, verifier.as_ref()),
        verifier,
        auth_method: raw.auth_method.map(auth_method),
        password_place: places.password,
        server_place: places.server,
        server_auth: server_auth(raw),
        iam_verification: raw.iam_verification.map(tokens::verification),
        certificate_names: raw.certificate_names.clone(),
        pool_mode: raw.pool_mode.map(pool_mode),
        filtered_pins: raw.session_pinning_filters.as_deref().map(pins),
        target_role: raw.target_role.map(target_role),
        pool_size: raw.pool_size,
        max_client_connections: u32::try_from(raw.max_client_conn).unwrap_or(u32::MAX),
    })
}

/// Where passwords are kept that may change there.
struct Places {
    password: Option<Place>,
    server: Option<Place>,
}

/// What is given to no one but a server counts there; else the client's password does, if that is
/// in the clear.
fn places(
    table: &Table<'_>,
    raw: &raw::User,
    verifier: Option<&Verifier>,
) -> Result<Places, ConfigError> {
    let secret = |arn: &Option<String>| arn.as_deref().map(|arn| Place::Secret(arn.into()));
    let file = |file: &Option<PathBuf>| {
        let path = file.as_ref().map(|file| table.source.path(file));
        path.map(|path| Place::File(path.into()))
    };
    let several = "give it in one way only: inline, _file, _env or a secret";
    let stored = [
        raw.password.is_some(),
        raw.password_file.is_some(),
        raw.password_env.is_some(),
    ];
    if raw.secret_arn.is_some() && stored.contains(&true) {
        return Err(table.error("secret_arn", several));
    }
    let server = [
        raw.server_password.is_some(),
        raw.server_password_file.is_some(),
        raw.server_password_env.is_some(),
    ];
    if raw.server_secret_arn.is_some() && server.contains(&true) {
        return Err(table.error("server_secret_arn", several));
    }
    let names_user = raw.server_secret_arn.is_some() || raw.secret_arn.is_some();
    if names_user && !server.contains(&true) && raw.server_user.is_some() {
        let what = "cannot be given beside a secret, which has a name of its own";
        return Err(table.error("server_user", what));
    }
    let password = secret(&raw.secret_arn).or(file(&raw.password_file));
    let own = secret(&raw.server_secret_arn).or(file(&raw.server_password_file));
    let in_clear = raw.secret_arn.is_some() || matches!(verifier, Some(Verifier::Password(_)));
    let shared = password
        .clone()
        .filter(|_| in_clear && !server.contains(&true));
    Ok(Places {
        password,
        server: own.or(shared),
    })
}

/// What is said of the server alone counts before what is said of its group.
fn server_auth(raw: &raw::User) -> Option<ServerAuth> {
    let own = raw.server_password.is_some()
        || raw.server_password_file.is_some()
        || raw.server_password_env.is_some()
        || raw.server_secret_arn.is_some()
        || raw.secret_arn.is_some();
    match raw.server_auth_method {
        Some(ServerAuthMethod::Iam) => Some(ServerAuth::Iam),
        Some(ServerAuthMethod::Password) => Some(ServerAuth::Stored),
        None => own.then_some(ServerAuth::Stored),
    }
}

/// What the client's proof is checked against.
fn stored(table: &Table<'_>, raw: &raw::User) -> Result<Option<Verifier>, ConfigError> {
    let (inline, file, env) = (&raw.password, &raw.password_file, &raw.password_env);
    let key = first_given(
        "password",
        [inline.is_some(), file.is_some(), env.is_some()],
    );
    let source = secrets::Source {
        inline: inline.as_ref(),
        file: file.as_deref(),
        env: env.as_deref(),
    };
    let secret = source.read(table.source.folder());
    let secret = secret.map_err(|what| table.error(&key, &what))?;
    let verifier = secret.as_ref().map(verifier).transpose();
    verifier.map_err(|error| table.error(&key, &error.to_string()))
}

/// What Sluice shows to the server, which only a password in the clear can do.
fn server_password(table: &Table<'_>, raw: &raw::User) -> Result<Option<Secret>, ConfigError> {
    let (inline, file, env) = (
        &raw.server_password,
        &raw.server_password_file,
        &raw.server_password_env,
    );
    let key = first_given(
        "server_password",
        [inline.is_some(), file.is_some(), env.is_some()],
    );
    let source = secrets::Source {
        inline: inline.as_ref(),
        file: file.as_deref(),
        env: env.as_deref(),
    };
    let secret = source.read(table.source.folder());
    let secret = secret.map_err(|what| table.error(&key, &what))?;
    match secret.as_ref().map(verifier).transpose() {
        Ok(None | Some(Verifier::Password(_))) => Ok(secret),
        Ok(Some(_)) => Err(table.error(&key, NOT_A_HASH)),
        Err(error) => Err(table.error(&key, &error.to_string())),
    }
}

/// Which of the three keys an error is about.
fn first_given(key: &str, [_, file, env]: [bool; 3]) -> String {
    let ending = match (file, env) {
        (true, _) => "_file",
        (false, true) => "_env",
        (false, false) => "",
    };
    format!("{key}{ending}")
}

fn warn_about_inline(raw: &raw::User, verifier: Option<&Verifier>, warnings: &mut Vec<String>) {
    let name = &raw.name;
    if raw.password.is_some() && matches!(verifier, Some(Verifier::Password(_))) {
        warnings.push(format!(
            "user {name:?}: the password stands in the configuration file; \
             password_file, password_env or a SCRAM-SHA-256 verifier are safer"
        ));
    }
    if raw.server_password.is_some() {
        warnings.push(format!(
            "user {name:?}: the server_password stands in the configuration file; \
             server_password_file or server_password_env are safer"
        ));
    }
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
    let table = source.table("general", 0, "");
    let path = source.path(file);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| table.error("userlist_file", &unreadable(&path, &error)))?;
    userlist::parse(&text).map_err(|error| {
        let what = format!("{}, {error}", path.display());
        table.error("userlist_file", &what)
    })
}

const NOT_A_HASH: &str =
    "the server takes the password itself only: this is a hash that stands for one";
