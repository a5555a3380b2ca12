//! `[aws]`, each `[[secret]]`, and what asks for AWS elsewhere.

use std::time::Duration;

use super::host::host_and_port;
use super::translate::{auth_method, engine};
use super::{Source, Table};
use crate::auth::options::{BringerOptions, ServerAuth};
use crate::aws::options::{AwsOptions, IS_BUILT_IN};
use crate::config::error::{ConfigError, Problems};
use crate::config::plan::AwsPlan;
use crate::config::raw;
use crate::config::raw_aws::ServerAuthMethod;

pub(super) fn resolve(source: &Source<'_>) -> Result<AwsPlan, ConfigError> {
    let raw = source.raw;
    let table = source.table("aws", 0, "");
    let refresh = raw.aws.secret_refresh_interval.0;
    if refresh < SHORTEST_REFRESH {
        return Err(table.error("secret_refresh_interval", "must be at least \"1s\""));
    }
    let text = |text: &Option<String>| text.as_deref().map(Into::into);
    Ok(AwsPlan {
        options: AwsOptions {
            region: text(&raw.aws.region),
            profile: text(&raw.aws.profile),
            secret_refresh: refresh,
        },
        bringers: raw
            .secret
            .iter()
            .map(|secret| BringerOptions {
                secret: (&*secret.arn).into(),
                auth_method: secret.auth_method.map(auth_method),
            })
            .collect(),
    })
}

/// How Sluice logs in to the servers of a group.
pub(super) fn server_auth(
    table: &Table<'_>,
    raw: &raw::TargetGroup,
) -> Result<ServerAuth, ConfigError> {
    if raw.server_auth_method == ServerAuthMethod::Password {
        return Ok(ServerAuth::Stored);
    }
    built_in(table, "server_auth_method")?;
    if raw.server_tls_mode != raw::TlsMode::VerifyFull {
        return Err(table.error("server_auth_method", &needs_verification(&raw.name)));
    }
    Ok(ServerAuth::Iam)
}

/// Adds what asks for AWS where it is not to be had, and users whose tokens a server could catch.
pub(super) fn check(source: &Source<'_>, problems: &mut Problems) {
    let raw = source.raw;
    for (index, user) in raw.user.iter().enumerate() {
        let table = source.table("user", index, &user.name);
        let iam = user.server_auth_method == Some(ServerAuthMethod::Iam);
        for (key, given) in [
            ("secret_arn", user.secret_arn.is_some()),
            ("server_secret_arn", user.server_secret_arn.is_some()),
            ("server_auth_method", iam),
        ] {
            if given && let Err(error) = built_in(&table, key) {
                problems.add(error);
            }
        }
        let unverified =
            |group: &&raw::TargetGroup| group.server_tls_mode != raw::TlsMode::VerifyFull;
        if iam && let Some(group) = raw.target_group.iter().find(unverified) {
            let what = needs_verification(&group.name);
            problems.add(table.error("server_auth_method", &what));
        }
    }
    for (index, secret) in raw.secret.iter().enumerate() {
        let table = source.table("secret", index, &secret.arn);
        if let Err(error) = built_in(&table, "arn") {
            problems.add(error);
        }
    }
}

/// Name and port that IAM tokens for a target are signed for.
pub(super) fn iam_endpoint(
    table: &Table<'_>,
    index: usize,
    raw: &raw::TargetGroup,
    target: &raw::Target,
) -> Result<Option<(std::sync::Arc<str>, u16)>, ConfigError> {
    let Some(endpoint) = &target.iam_endpoint else {
        return Ok(None);
    };
    match host_and_port(endpoint, engine(raw.engine)) {
        Some((host, port)) => Ok(Some((host.into(), port))),
        None => {
            let what = format!("expected \"host:port\", not {endpoint:?}");
            Err(table.error(&format!("target.{index}.iam_endpoint"), &what))
        }
    }
}

fn built_in(table: &Table<'_>, key: &str) -> Result<(), ConfigError> {
    if IS_BUILT_IN {
        return Ok(());
    }
    let what = "this build of Sluice has no support for AWS (cargo feature \"aws\")";
    Err(table.error(key, what))
}

fn needs_verification(group: &str) -> String {
    format!(
        "whoever takes a token for the server's may log in with it: target_group {group:?} needs \
         server_tls_mode = \"verify-full\""
    )
}

const SHORTEST_REFRESH: Duration = Duration::from_secs(1);
