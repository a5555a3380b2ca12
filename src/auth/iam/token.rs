//! Pure: what a token says. Nothing of it has been verified yet.

use std::time::{Duration, SystemTime};

use super::percent;
use crate::auth::Refusal;
use crate::model::Secret;

/// Longest token in bytes. Real ones have hundreds to two thousand.
pub const MAX_TOKEN_LEN: usize = crate::model::MAX_TOKEN_LEN;

/// The only algorithm (AWS documentation, "Signature Version 4").
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The service that database tokens are signed for.
pub const SERVICE: &str = "rds-db";
/// What a token allows.
pub const ACTION: &str = "connect";
/// What ends the scope of a signature.
const TERMINATOR: &str = "aws4_request";
/// The only header that is signed.
const SIGNED_HEADERS: &str = "host";
/// Longest life of a token in seconds (AWS documentation, "IAM database authentication").
const LONGEST_LIFE: u64 = 900;
/// Hexadecimal digits of a signature.
const SIGNATURE_LEN: usize = 64;

/// A token, taken apart.
#[derive(Clone, Debug)]
pub struct Token {
    /// The host that it is signed for, as written.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database user.
    pub user: String,
    /// Identifies the key that it is signed with.
    pub access_key_id: String,
    /// The region.
    pub region: String,
    /// When it was signed.
    pub issued: SystemTime,
    /// For how long it is valid from then on.
    pub life: Duration,
    /// The session token of temporary credentials.
    pub session_token: Option<Secret>,
    /// The signature, 64 hexadecimal digits.
    pub signature: Secret,
}

/// The parameters of a token; each at most once, and no others.
#[derive(Debug, Default)]
struct Parameters {
    action: Option<String>,
    user: Option<String>,
    algorithm: Option<String>,
    credential: Option<String>,
    date: Option<String>,
    expires: Option<String>,
    session_token: Option<String>,
    signed_headers: Option<String>,
    signature: Option<String>,
}

impl Token {
    /// Takes a token apart.
    ///
    /// # Errors
    /// What is wrong with its form; [`Refusal::LivesTooLong`] if it asks for more than 15 minutes.
    pub fn parse(token: &Secret) -> Result<Self, Refusal> {
        let bytes = token.expose();
        if bytes.len() > MAX_TOKEN_LEN {
            return Err(Refusal::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Refusal::Malformed)?;
        let (place, query) = text.split_once("/?").ok_or(Refusal::Malformed)?;
        let (host, port) = place.rsplit_once(':').ok_or(Refusal::Malformed)?;
        if !is_host(host) {
            return Err(Refusal::Malformed);
        }
        let port = number(port).ok_or(Refusal::Malformed)?;
        let parameters = Parameters::read(query)?;
        parameters.interpret(host, u16::try_from(port).map_err(|_| Refusal::Malformed)?)
    }

    /// The moment from which it is not valid any more.
    pub fn expires(&self) -> SystemTime {
        self.issued
            .checked_add(self.life)
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

impl Parameters {
    fn read(query: &str) -> Result<Self, Refusal> {
        let mut parameters = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').ok_or(Refusal::Malformed)?;
            let place = match name {
                "Action" => &mut parameters.action,
                "DBUser" => &mut parameters.user,
                "X-Amz-Algorithm" => &mut parameters.algorithm,
                "X-Amz-Credential" => &mut parameters.credential,
                "X-Amz-Date" => &mut parameters.date,
                "X-Amz-Expires" => &mut parameters.expires,
                "X-Amz-Security-Token" => &mut parameters.session_token,
                "X-Amz-SignedHeaders" => &mut parameters.signed_headers,
                "X-Amz-Signature" => &mut parameters.signature,
                _ => return Err(Refusal::Malformed),
            };
            let value = percent::decode(value).filter(|value| !value.is_empty());
            let value = value.ok_or(Refusal::Malformed)?;
            if place.replace(value).is_some() {
                return Err(Refusal::Malformed);
            }
        }
        Ok(parameters)
    }

    fn interpret(self, host: &str, port: u16) -> Result<Token, Refusal> {
        let given = |value: Option<String>| value.ok_or(Refusal::Malformed);
        if given(self.action)? != ACTION {
            return Err(Refusal::WrongAction);
        }
        if given(self.algorithm)? != ALGORITHM || given(self.signed_headers)? != SIGNED_HEADERS {
            return Err(Refusal::WrongAlgorithm);
        }
        let credential = given(self.credential)?;
        let scope: Vec<&str> = credential.split('/').collect();
        let [access_key_id, day, region, service, terminator] = *scope else {
            return Err(Refusal::Malformed);
        };
        let named = !access_key_id.is_empty() && !region.is_empty();
        if terminator != TERMINATOR || !named {
            return Err(Refusal::Malformed);
        }
        if service != SERVICE {
            return Err(Refusal::WrongService);
        }
        let date = given(self.date)?;
        let issued = moment(&date).ok_or(Refusal::Malformed)?;
        if date.get(..8) != Some(day) {
            return Err(Refusal::Malformed);
        }
        let life = number(&given(self.expires)?).ok_or(Refusal::Malformed)?;
        if life > LONGEST_LIFE {
            return Err(Refusal::LivesTooLong);
        }
        let signature = given(self.signature)?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if signature.len() != SIGNATURE_LEN || !signature.bytes().all(is_hex) {
            return Err(Refusal::BadSignature);
        }
        Ok(Token {
            host: host.into(),
            port,
            user: given(self.user)?,
            access_key_id: access_key_id.into(),
            region: region.into(),
            issued,
            life: Duration::from_secs(life),
            session_token: self.session_token.map(Secret::new),
            signature: Secret::new(signature),
        })
    }
}

/// A host name, or an address; that of version 6 in brackets.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').unwrap_or_default();
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !host.is_empty() && host.len() <= LONGEST_HOST && host.bytes().all(allowed)
}

/// A decimal number above zero, without sign or leading zeros.
fn number(text: &str) -> Option<u64> {
    let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// `20260131T235959Z`.
fn moment(text: &str) -> Option<SystemTime> {
    let (day, rest) = text.split_at_checked(8)?;
    let time = rest.strip_prefix('T')?.strip_suffix('Z')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if time.len() != 6 || !digits(day) || !digits(time) {
        return None;
    }
    let part = |text: &str, at: usize, len: usize| text.get(at..at + len).map(str::to_owned);
    let (year, month, date) = (part(day, 0, 4)?, part(day, 4, 2)?, part(day, 6, 2)?);
    let (hour, minute, second) = (part(time, 0, 2)?, part(time, 2, 2)?, part(time, 4, 2)?);
    let text = format!("{year}-{month}-{date}T{hour}:{minute}:{second}Z");
    humantime::parse_rfc3339(&text).ok()
}

/// Longest name of a host (RFC 1035, section 2.3.4).
const LONGEST_HOST: usize = 255;
