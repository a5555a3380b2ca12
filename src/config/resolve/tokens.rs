//! `[tokens]`, `[[iam_key]]`, `[[iam_policy]]`, `[[jwt_issuer]]`, and which tokens a listener takes.

use std::collections::HashMap;
use std::sync::Arc;

use super::host::host_and_port;
use super::translate::engine;
use super::{Source, Table, each};
use crate::auth::iam::{AccessKey, KeyRing, Policy};
use crate::auth::jwt::publisher::checked;
use crate::auth::jwt::{Algorithm, KeySet};
use crate::auth::options::{
    IamVerification, IssuerOptions, KeySource, ListenerTokenOptions, TokenOptions,
};
use crate::config::error::{ConfigError, Problems};
use crate::config::plan::TokenPlan;
use crate::config::raw::{self, Listener};
use crate::config::raw_tokens as tokens;
use crate::config::secrets::{self, unreadable};
use crate::model::Secret;

/// What the whole process shares.
pub(super) fn resolve(source: &Source<'_>, problems: &mut Problems) -> Option<TokenPlan> {
    let raw = source.raw;
    let before = problems.len();
    let options = problems.take(options(source));
    let policies = each(problems, &raw.iam_policy, |index, policy| {
        let table = source.table("iam_policy", index, &policy.name);
        let document = document(&table, policy)?;
        Ok((policy.name.clone(), Arc::new(document)))
    });
    let policies: HashMap<String, Arc<Policy>> = policies.into_iter().collect();
    // A policy that cannot be read is told once, not for each key as well.
    let keys = if problems.len() == before {
        each(problems, &raw.iam_key, |index, raw| {
            let table = source.table("iam_key", index, &raw.access_key_id);
            key(&table, raw, &policies).map(|key| ((&*raw.access_key_id).into(), key))
        })
    } else {
        Vec::new()
    };
    let issuers = each(problems, &raw.jwt_issuer, |index, raw| {
        let table = source.table("jwt_issuer", index, &raw.name);
        issuer(&table, raw).map(Arc::new)
    });
    Some(TokenPlan {
        options: options?,
        keys: KeyRing::new(keys),
        issuers,
    })
}

fn options(source: &Source<'_>) -> Result<TokenOptions, ConfigError> {
    let raw = &source.raw.tokens;
    let table = source.table("tokens", 0, "");
    let size = u64::try_from(raw.cache_size).unwrap_or(u64::MAX);
    table.at_least_one("cache_size", size)?;
    Ok(TokenOptions {
        clock_skew: raw.clock_skew.0,
        cache_ttl: raw.cache_ttl.0,
        negative_cache_ttl: raw.negative_cache_ttl.0,
        cache_size: size,
        max_failures_per_source: raw.max_failures_per_source,
        max_failures_per_user: raw.max_failures_per_user,
    })
}

fn document(table: &Table<'_>, raw: &tokens::IamPolicy) -> Result<Policy, ConfigError> {
    let (key, text) = match (&raw.policy, &raw.policy_file) {
        (Some(text), None) => ("policy", text.clone()),
        (None, Some(file)) => {
            let path = table.source.path(file);
            let text = std::fs::read_to_string(&path);
            let text = text.map_err(|error| table.error("policy_file", &unreadable(&path, &error)));
            ("policy_file", text?)
        }
        _ => return Err(table.error("policy", "give either policy or policy_file")),
    };
    Policy::parse(&text).map_err(|error| table.error(key, &error.to_string()))
}

fn key(
    table: &Table<'_>,
    raw: &tokens::IamKey,
    policies: &HashMap<String, Arc<Policy>>,
) -> Result<AccessKey, ConfigError> {
    let secret = secrets::Source {
        inline: raw.secret_access_key.as_ref(),
        file: raw.secret_access_key_file.as_deref(),
        env: raw.secret_access_key_env.as_deref(),
    };
    let session_token = secrets::Source {
        inline: raw.session_token.as_ref(),
        file: raw.session_token_file.as_deref(),
        env: raw.session_token_env.as_deref(),
    };
    let read = |key: &str, source: secrets::Source<'_>| {
        let secret = source.read(table.source.folder());
        let secret = secret.map_err(|what| table.error(key, &what))?;
        match secret {
            Some(secret) if secret.expose().is_empty() => Err(table.error(key, "is empty")),
            other => Ok::<Option<Secret>, ConfigError>(other),
        }
    };
    let secret = read("secret_access_key", secret)?;
    let secret = secret.ok_or_else(|| table.error("secret_access_key", "is required"))?;
    let account = &raw.account;
    if account.len() != ACCOUNT_LEN || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(table.error("account", "must be the twelve digits of an AWS account"));
    }
    if raw.policies.is_empty() {
        let what = "must name a policy: without any, nobody could log in with the key";
        return Err(table.error("policies", what));
    }
    let named = raw.policies.iter().map(|name| {
        let policy = policies.get(name).map(Arc::clone);
        policy.ok_or_else(|| table.error("policies", &format!("there is no iam_policy {name:?}")))
    });
    Ok(AccessKey {
        secret,
        session_token: read("session_token", session_token)?,
        account: (&**account).into(),
        policies: named.collect::<Result<_, _>>()?,
    })
}

fn issuer(table: &Table<'_>, raw: &tokens::JwtIssuer) -> Result<IssuerOptions, ConfigError> {
    table.not_zero("jwks_refresh", raw.jwks_refresh)?;
    table.not_zero("max_token_life", raw.max_token_life)?;
    for (key, empty) in [
        ("audiences", raw.audiences.is_empty()),
        ("issuer", raw.issuer.is_empty()),
        ("user_claim", raw.user_claim.is_empty()),
    ] {
        if empty {
            return Err(table.error(key, "must not be empty"));
        }
    }
    Ok(IssuerOptions {
        name: (&*raw.name).into(),
        issuer: raw.issuer.clone(),
        audiences: raw.audiences.clone(),
        keys: key_source(table, raw)?,
        algorithms: algorithms(&raw.algorithms),
        user_claim: raw.user_claim.clone(),
        users: raw.users.clone().into_iter().collect(),
        required_claims: raw.required_claims.clone().into_iter().collect(),
        max_token_life: raw.max_token_life.0,
        clock_skew: table.source.raw.tokens.clock_skew.0,
    })
}

fn key_source(table: &Table<'_>, raw: &tokens::JwtIssuer) -> Result<KeySource, ConfigError> {
    if let Some(file) = &raw.jwks_file {
        if raw.jwks_url.is_some() {
            return Err(table.error("jwks_file", "give either jwks_file or jwks_url"));
        }
        let path = table.source.path(file);
        let json = std::fs::read(&path);
        let json = json.map_err(|error| table.error("jwks_file", &unreadable(&path, &error)))?;
        let keys = KeySet::parse(&json);
        let keys = keys.map_err(|error| table.error("jwks_file", &error.to_string()))?;
        return Ok(KeySource::Given(Arc::new(keys)));
    }
    // Discovery begins at the issuer.
    let (key, url) = match &raw.jwks_url {
        Some(url) => ("jwks_url", url),
        None => ("issuer", &raw.issuer),
    };
    checked(url).map_err(|error| table.error(key, &error.to_string()))?;
    Ok(KeySource::Published {
        url: raw.jwks_url.clone(),
        ca_file: table.file("ca_file", raw.ca_file.as_ref())?,
        refresh: raw.jwks_refresh.0,
    })
}

fn algorithms(raw: &[tokens::Algorithm]) -> Vec<Algorithm> {
    if raw.is_empty() {
        return vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384];
    }
    let named = raw.iter().map(|raw| match raw {
        tokens::Algorithm::Rs256 => Algorithm::Rs256,
        tokens::Algorithm::Es256 => Algorithm::Es256,
        tokens::Algorithm::Es384 => Algorithm::Es384,
    });
    named.collect()
}

pub(super) const fn verification(raw: tokens::IamVerification) -> IamVerification {
    match raw {
        tokens::IamVerification::Delegate => IamVerification::Delegate,
        tokens::IamVerification::Signature => IamVerification::Signature,
    }
}

/// Which tokens a listener takes.
pub(super) fn listener(
    table: &Table<'_>,
    raw: &Listener,
) -> Result<ListenerTokenOptions, ConfigError> {
    let hosts = raw.iam_hosts.iter().map(|address| {
        let place = host_and_port(address, engine(raw.engine));
        let place = place.map(|(host, port)| (Arc::from(host), port));
        place.ok_or_else(|| {
            let what = format!("expected \"host:port\", not {address:?}");
            table.error("iam_hosts", &what)
        })
    });
    let issuers = &table.source.raw.jwt_issuer;
    for name in &raw.jwt_issuers {
        if !issuers.iter().any(|issuer| issuer.name == *name) {
            let what = format!("there is no jwt_issuer {name:?}");
            return Err(table.error("jwt_issuers", &what));
        }
    }
    let resource = match &raw.iam_resource_id {
        Some(resource) => resource.clone(),
        None => format!("prx-{}", raw.name),
    };
    Ok(ListenerTokenOptions {
        verification: verification(raw.iam_verification),
        region: raw.iam_region.as_deref().map(Into::into),
        hosts: hosts.collect::<Result<_, _>>()?,
        resource: resource.into(),
        issuers: raw
            .jwt_issuers
            .iter()
            .map(|name| (&**name).into())
            .collect(),
    })
}

/// Target groups that clients of a listener may be served by.
pub(super) fn groups<'a>(
    file: &'a raw::File,
    listener: &'a Listener,
) -> impl Iterator<Item = &'a raw::TargetGroup> {
    let of_databases = file
        .database
        .iter()
        .map(|database| database.target_group.as_ref());
    let named: Vec<Option<&String>> = of_databases
        .chain([listener.target_group.as_ref()])
        .collect();
    let fallback = listener.target_group.is_none();
    file.target_group.iter().filter(move |group| {
        let named = named.iter().flatten().any(|name| **name == group.name);
        group.engine == listener.engine && (named || fallback)
    })
}

/// Digits of an account.
const ACCOUNT_LEN: usize = 12;
