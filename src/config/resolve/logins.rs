//! Whether users can log in, and only those who should: methods beside listeners, certificates
//! and what is stored.

use super::Source;
use super::host::host_and_port;
use super::tokens::groups;
use super::translate::{auth_method, engine};
use crate::auth::UserStore;
use crate::auth::iam::audience::region_of;
use crate::auth::options::ServerAuth;
use crate::config::error::Problems;
use crate::config::raw::{ClientCert, File, Listener, TargetGroup, TlsMode, User};
use crate::config::raw_aws::ServerAuthMethod;
use crate::config::raw_tokens::IamVerification;
use crate::model::{AuthMethod, EngineFamily, Verifier};

/// Adds methods that would let somebody in without proof, show passwords, or cannot work.
pub(super) fn check_methods(source: &Source<'_>, problems: &mut Problems) {
    let raw = source.raw;
    for (index, listener) in raw.listener.iter().enumerate() {
        let Some(method) = listener.auth_method.map(auth_method) else {
            continue;
        };
        let table = source.table("listener", index, &listener.name);
        let family = engine(listener.engine);
        if !method.is_of(family) {
            let what = format!("{:?} is no method of {family}", method.as_str());
            problems.add(table.error("auth_method", &what));
        } else if let Some(problem) = refused(listener, method)
            .or_else(|| token_trouble(raw, listener, method, listener.iam_verification))
        {
            problems.add(table.error("auth_method", &problem));
        }
    }
    let users = raw.user.iter().enumerate();
    let users = users.map(|(index, user)| {
        let method = (user.auth_method, user.iam_verification);
        ("user", index, &user.name, method)
    });
    let secrets = raw.secret.iter().enumerate();
    let secrets =
        secrets.map(|(index, secret)| ("secret", index, &secret.arn, (secret.auth_method, None)));
    for (kind, index, name, (method, verification)) in users.chain(secrets) {
        let Some(method) = method.map(auth_method) else {
            continue;
        };
        let what = refused_for_user(&raw.listener, method).or_else(|| {
            let mut able = raw.listener.iter().filter(|l| refused(l, method).is_none());
            able.find_map(|listener| {
                let verification = verification.unwrap_or(listener.iam_verification);
                let problem = token_trouble(raw, listener, method, verification)?;
                Some(format!("listener {:?}: {problem}", listener.name))
            })
        });
        if let Some(what) = what {
            let table = source.table(kind, index, name);
            problems.add(table.error("auth_method", &what));
        }
    }
    check_delegation(source, problems);
}

/// Adds users whose tokens would be shown to the server on behalf of another name.
fn check_delegation(source: &Source<'_>, problems: &mut Problems) {
    let raw = source.raw;
    for (index, user) in raw.user.iter().enumerate() {
        let another = user
            .server_user
            .as_ref()
            .is_some_and(|name| *name != user.name);
        let delegates = |listener: &Listener| {
            let verification = user.iam_verification.unwrap_or(listener.iam_verification);
            method_at(listener, user) == Some(AuthMethod::Iam)
                && verification == IamVerification::Delegate
        };
        let own = user.auth_method.map(auth_method) == Some(AuthMethod::Iam);
        let in_vain = if own {
            raw.listener.iter().any(delegates)
        } else {
            // By another listener it may prove itself otherwise.
            !raw.listener.is_empty() && raw.listener.iter().all(delegates)
        };
        if another && in_vain {
            let table = source.table("user", index, &user.name);
            problems.add(table.error("server_user", NOT_DELEGATED));
        }
    }
}

/// Why tokens could not be judged at a listener, or not safely.
fn token_trouble(
    raw: &File,
    listener: &Listener,
    method: AuthMethod,
    verification: IamVerification,
) -> Option<String> {
    match (method, verification) {
        (AuthMethod::Jwt, _) => raw
            .jwt_issuer
            .is_empty()
            .then(|| "\"jwt\" needs a [[jwt_issuer]]".into()),
        (AuthMethod::Iam, IamVerification::Signature) if raw.iam_key.is_empty() => {
            Some("iam_verification = \"signature\" needs an [[iam_key]]".into())
        }
        (AuthMethod::Iam, _) => groups(raw, listener).find_map(|group| {
            let name = &group.name;
            let delegates = verification == IamVerification::Delegate;
            if delegates && group.server_tls_mode != TlsMode::VerifyFull {
                return Some(format!(
                    "\"iam\" with iam_verification = \"delegate\" shows the tokens of clients to \
                     the server: target_group {name:?} needs server_tls_mode = \"verify-full\""
                ));
            }
            let told = group.target.iter().all(|target| {
                let endpoint = target.iam_endpoint.as_ref().unwrap_or(&target.address);
                let place = host_and_port(endpoint, engine(group.engine));
                place.is_some_and(|(host, _)| region_of(host).is_some())
            });
            let configured = listener.iam_region.is_some() || group.server_iam_region.is_some();
            (!configured && !told).then(|| {
                format!(
                    "\"iam\" needs iam_region: the name of the server of target_group {name:?} \
                     does not tell the region"
                )
            })
        }),
        _ => None,
    }
}

/// Adds users that are named but not there, and those that are there in vain.
pub(super) fn check_users(
    source: &Source<'_>,
    users: &UserStore,
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) {
    let raw = source.raw;
    warnings.extend(
        raw.user
            .iter()
            .filter_map(|user| locked_out(raw, user, users)),
    );
    for (index, group) in raw.target_group.iter().enumerate() {
        for (key, name) in [
            ("auth_user", group.auth_user.as_deref()),
            ("monitor_user", group.monitor_user.as_deref()),
        ] {
            let Some(name) = name else { continue };
            let table = source.table("target_group", index, &group.name);
            let what = match users.user(name) {
                None => format!("there is no [[user]] {name:?}, nor is it in the userlist"),
                Some(user)
                    if user.server_credential.is_none()
                        && user.server_place.is_none()
                        && user.server_auth.unwrap_or(auth_of(group)) == ServerAuth::Stored =>
                {
                    format!("the password of {name:?} on the server is not known")
                }
                Some(_) => continue,
            };
            problems.add(table.error(key, &what));
        }
    }
}

const fn auth_of(group: &TargetGroup) -> ServerAuth {
    match group.server_auth_method {
        ServerAuthMethod::Password => ServerAuth::Stored,
        ServerAuthMethod::Iam => ServerAuth::Iam,
    }
}

/// Why a listener must not use a method.
fn refused(listener: &Listener, method: AuthMethod) -> Option<String> {
    let tls = listener.tls_cert_file.is_some();
    let name = method.as_str();
    match method {
        AuthMethod::Trust if !listener.is_loopback() => {
            Some("\"trust\" lets anybody in: it is only for listeners on a loopback address".into())
        }
        AuthMethod::Sha256 if listener.public_key_retrieval => None,
        AuthMethod::Iam | AuthMethod::Jwt if !tls => Some(format!(
            "{name:?} is asked for inside TLS only: it needs tls_cert_file and tls_key_file"
        )),
        AuthMethod::Password | AuthMethod::Sha256 if !tls => Some(format!(
            "{name:?} sends passwords in the clear: it needs tls_cert_file and tls_key_file"
        )),
        AuthMethod::Password | AuthMethod::Sha256
            if !listener.require_tls && !listener.is_loopback() =>
        {
            Some(format!(
                "{name:?} sends passwords in the clear: it needs require_tls = true"
            ))
        }
        AuthMethod::Certificate if !tls || listener.tls_client_cert == ClientCert::Off => {
            Some("\"cert\" needs TLS with tls_client_cert = \"optional\" or \"required\"".into())
        }
        _ => None,
    }
}

/// A user may come by any listener whose engine has the method. A method that a listener cannot
/// perform is no danger, as long as another can.
fn refused_for_user(listeners: &[Listener], method: AuthMethod) -> Option<String> {
    let able = || listeners.iter().filter(|l| method.is_of(engine(l.engine)));
    if able().next().is_none() && !listeners.is_empty() {
        let name = method.as_str();
        return Some(format!("no listener speaks a protocol that has {name:?}"));
    }
    let (name, problem) = able().find_map(|l| Some((&l.name, refused(l, method)?)))?;
    let harmless =
        method == AuthMethod::Certificate && able().any(|l| refused(l, method).is_none());
    (!harmless).then(|| format!("listener {name:?}: {problem}"))
}

/// Says so if no listener can ever let a user in.
fn locked_out(raw: &File, user: &User, users: &UserStore) -> Option<String> {
    let askers = raw.target_group.iter().map(|group| &group.auth_user);
    if askers.flatten().any(|asker| *asker == user.name) {
        return None;
    }
    let known = users.user(&user.name)?;
    // What is in a secret is known later.
    if user.secret_arn.is_some() {
        return None;
    }
    let Some(verifier) = &known.verifier else {
        let needs_none =
            |listener: &Listener| method_at(listener, user).is_some_and(needs_nothing_stored);
        let in_vain = !raw.listener.iter().any(needs_none);
        return in_vain
            .then(|| format!("user {:?} has no password, so it cannot log in", user.name));
    };
    if raw.listener.iter().any(|l| usable(l, user, verifier)) {
        return None;
    }
    Some(match verifier {
        Verifier::Md5(_)
            if raw
                .listener
                .iter()
                .all(|l| engine(l.engine) == EngineFamily::Postgres) =>
        {
            format!(
                "user {:?} has an md5 hash, which scram-sha-256 cannot use, so it cannot log in",
                user.name
            )
        }
        Verifier::ShaCrypt(_) => format!(
            "user {:?} has a hash that can be checked inside TLS by MySQL's methods only, so it cannot log in",
            user.name
        ),
        _ => format!(
            "user {:?} has a hash that no listener can use, so it cannot log in",
            user.name
        ),
    })
}

/// How a user proves who it is at a listener; `None`: as is usual with the engine.
fn method_at(listener: &Listener, user: &User) -> Option<AuthMethod> {
    let own = user.auth_method.map(auth_method);
    own.filter(|method| method.is_of(engine(listener.engine)))
        .or(listener.auth_method.map(auth_method))
}

const fn needs_nothing_stored(method: AuthMethod) -> bool {
    matches!(method, AuthMethod::Trust | AuthMethod::Certificate) || method.is_token()
}

/// True if what is stored about a user is enough to check its proof at a listener.
fn usable(listener: &Listener, user: &User, verifier: &Verifier) -> bool {
    let method = method_at(listener, user);
    if method.is_some_and(needs_nothing_stored) {
        return true;
    }
    match (engine(listener.engine), verifier) {
        (_, Verifier::Password(_)) => true,
        (EngineFamily::Postgres, Verifier::Scram(_)) => true,
        // An MD5 hash is not enough to check SCRAM's proof.
        (EngineFamily::Postgres, Verifier::Md5(_)) => {
            matches!(method, Some(AuthMethod::Password | AuthMethod::Md5))
        }
        // Whatever the method, a hash is checked by the plugin that keeps it.
        (EngineFamily::Mysql, Verifier::Native(_) | Verifier::Ed25519(_) | Verifier::Parsec(_)) => {
            true
        }
        (EngineFamily::Mysql, Verifier::ShaCrypt(_)) => {
            listener.tls_cert_file.is_some() || listener.public_key_retrieval
        }
        _ => false,
    }
}

const NOT_DELEGATED: &str = "cannot be given with iam_verification = \"delegate\": the token of a client is good for its own name on the \
     server only; leave it out, or use iam_verification = \"signature\"";
