//! Pure: what a token whose signature is right must claim (RFC 7519, section 4.1).

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use crate::auth::Refusal;
use crate::auth::iam::policy::glob;
use crate::auth::options::IssuerOptions;

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

/// Checks everything that a token claims; yields when it expires.
pub(super) fn check(
    claims: &Claims,
    issuer: &IssuerOptions,
    user: &str,
    now: SystemTime,
) -> Result<SystemTime, Refusal> {
    if claims.get("iss").and_then(Value::as_str) != Some(&issuer.issuer) {
        return Err(Refusal::WrongIssuer);
    }
    if !issuer
        .audiences
        .iter()
        .any(|audience| says(claims.get("aud"), audience))
    {
        return Err(Refusal::WrongAudience);
    }
    let expires = times(claims, issuer, now)?;
    for (name, value) in &issuer.required_claims {
        if !says(claims.get(name), value) {
            return Err(Refusal::WrongSubject);
        }
    }
    let subject = claims.get(&issuer.user_claim);
    if may_be(subject, issuer, user) {
        return Ok(expires);
    }
    Err(Refusal::WrongSubject)
}

fn times(claims: &Claims, issuer: &IssuerOptions, now: SystemTime) -> Result<SystemTime, Refusal> {
    let expires = moment(claims.get("exp"))?.ok_or(Refusal::Malformed)?;
    let issued = moment(claims.get("iat"))?;
    let not_before = moment(claims.get("nbf"))?;
    if expires <= now {
        return Err(Refusal::Expired);
    }
    let latest = now.checked_add(issuer.clock_skew).unwrap_or(now);
    if [issued, not_before]
        .into_iter()
        .flatten()
        .any(|from| from > latest)
    {
        return Err(Refusal::NotYetValid);
    }
    // Of a token that does not say since when it is valid, what is left of it counts.
    let life = expires
        .duration_since(issued.unwrap_or(now))
        .unwrap_or_default();
    if life > issuer.max_token_life {
        return Err(Refusal::LivesTooLong);
    }
    Ok(expires)
}

/// A `NumericDate`: seconds, perhaps with a fraction.
fn moment(claim: Option<&Value>) -> Result<Option<SystemTime>, Refusal> {
    let Some(claim) = claim else {
        return Ok(None);
    };
    let seconds = claim.as_f64().ok_or(Refusal::Malformed)?;
    let since = Duration::try_from_secs_f64(seconds).map_err(|_| Refusal::Malformed)?;
    let moment = SystemTime::UNIX_EPOCH.checked_add(since);
    moment.map(Some).ok_or(Refusal::Malformed)
}

/// True if a claim has that value, or is a list with it.
fn says(claim: Option<&Value>, wanted: &str) -> bool {
    texts(claim).any(|text| text == wanted)
}

fn texts(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let (one, many) = match claim {
        Some(Value::Array(many)) => (None, &**many),
        other => (other, [].as_slice()),
    };
    one.into_iter().chain(many).filter_map(Value::as_str)
}

fn may_be(subject: Option<&Value>, issuer: &IssuerOptions, user: &str) -> bool {
    if issuer.users.is_empty() {
        return subject.and_then(Value::as_str) == Some(user);
    }
    texts(subject).any(|subject| {
        let mut users = issuer.users.iter();
        users.any(|(pattern, users)| {
            users.iter().any(|known| known == user) && glob(pattern, subject)
        })
    })
}
