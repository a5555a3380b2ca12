//! Whether users can log in, and only those who should: methods beside listeners, certificates
//! and what is stored.

use super::Source;
use super::translate::auth_method;
use crate::auth::UserStore;
use crate::config::error::Problems;
use crate::config::raw::{ClientCert, File, Listener, User};
use crate::model::{AuthMethod, Verifier};

/// Adds methods that would let somebody in without proof, show passwords, or cannot work.
pub(super) fn check_methods(source: &Source<'_>, problems: &mut Problems) {
    let raw = source.raw;
    for (index, listener) in raw.listener.iter().enumerate() {
        if let Some(problem) = refused(listener, auth_method(listener.auth_method)) {
            let table = source.table("listener", index, &listener.name);
            problems.add(table.error("auth_method", problem));
        }
    }
    for (index, user) in raw.user.iter().enumerate() {
        if let Some(method) = user.auth_method.map(auth_method)
            && let Some(what) = refused_for_user(&raw.listener, method)
        {
            let table = source.table("user", index, &user.name);
            problems.add(table.error("auth_method", &what));
        }
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
        let Some(name) = group.auth_user.as_deref() else {
            continue;
        };
        match users.user(name) {
            None => {
                let table = source.table("target_group", index, &group.name);
                let what = format!("there is no [[user]] {name:?}, nor is it in the userlist");
                problems.add(table.error("auth_user", &what));
            }
            Some(user) if user.server_credential.is_none() => {
                let table = source.table("target_group", index, &group.name);
                let what = format!("the password of {name:?} on the server is not known");
                problems.add(table.error("auth_user", &what));
            }
            Some(_) => {}
        }
    }
}

/// Why a listener must not use a method.
fn refused(listener: &Listener, method: AuthMethod) -> Option<&'static str> {
    let tls = listener.tls_cert_file.is_some();
    match method {
        AuthMethod::Trust if !listener.is_loopback() => {
            Some("\"trust\" lets anybody in: it is only for listeners on a loopback address")
        }
        AuthMethod::Password if !tls => Some(
            "\"password\" sends passwords in the clear: it needs tls_cert_file and tls_key_file",
        ),
        AuthMethod::Password if !listener.require_tls && !listener.is_loopback() => {
            Some("\"password\" sends passwords in the clear: it needs require_tls = true")
        }
        AuthMethod::Certificate if !tls || listener.tls_client_cert == ClientCert::Off => {
            Some("\"cert\" needs TLS with tls_client_cert = \"optional\" or \"required\"")
        }
        _ => None,
    }
}

/// A user may come by any listener. A method that a listener cannot perform is no danger, as long
/// as another can.
fn refused_for_user(listeners: &[Listener], method: AuthMethod) -> Option<String> {
    let bad = listeners
        .iter()
        .find_map(|listener| Some((&listener.name, refused(listener, method)?)));
    let (name, problem) = bad?;
    let harmless =
        method == AuthMethod::Certificate && listeners.iter().any(|l| refused(l, method).is_none());
    (!harmless).then(|| format!("listener {name:?}: {problem}"))
}

/// Says so if no listener can ever let a user in.
fn locked_out(raw: &File, user: &User, users: &UserStore) -> Option<String> {
    let askers = raw.target_group.iter().map(|group| &group.auth_user);
    if askers.flatten().any(|asker| *asker == user.name) {
        return None;
    }
    let known = users.user(&user.name)?;
    let verifier = known.verifier.as_ref();
    let mut methods = raw
        .listener
        .iter()
        .map(|listener| auth_method(user.auth_method.unwrap_or(listener.auth_method)));
    let usable = |method| match method {
        AuthMethod::Trust | AuthMethod::Certificate => true,
        // An MD5 hash is not enough to check SCRAM's proof.
        AuthMethod::Scram => matches!(verifier, Some(Verifier::Password(_) | Verifier::Scram(_))),
        AuthMethod::Password | AuthMethod::Md5 => verifier.is_some(),
        // What another plugin keeps is checked by that plugin.
        AuthMethod::CachingSha2 | AuthMethod::Native | AuthMethod::Sha256 | AuthMethod::Ed25519 => {
            verifier.is_some()
        }
    };
    if methods.any(usable) {
        return None;
    }
    Some(match verifier {
        None => format!("user {:?} has no password, so it cannot log in", user.name),
        Some(_) => format!(
            "user {:?} has an md5 hash, which scram-sha-256 cannot use, so it cannot log in",
            user.name
        ),
    })
}
