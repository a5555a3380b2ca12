//! Pure: for whom a token must be signed, and when.

use std::time::{Duration, SystemTime};

use super::token::Token;
use crate::auth::Refusal;

/// What a token must say to be of use here. A host that a token names is compared with these, and
/// never dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// Host in small letters, and port; at least one.
    places: Vec<(String, u16)>,
    region: String,
    skew: Duration,
}

impl Audience {
    /// Tokens for one of these hosts and ports, in that region, whose date may lie in the future by
    /// no more than `skew`.
    pub fn new(
        places: impl IntoIterator<Item = (impl AsRef<str>, u16)>,
        region: impl Into<String>,
        skew: Duration,
    ) -> Self {
        let lower = |(host, port): (_, u16)| (bare(AsRef::as_ref(&host)), port);
        Self {
            places: places.into_iter().map(lower).collect(),
            region: region.into(),
            skew,
        }
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Checks all but the signature.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, token: &Token, user: &str, now: SystemTime) -> Result<(), Refusal> {
        if token.region != self.region {
            return Err(Refusal::WrongRegion);
        }
        if token.user != user {
            return Err(Refusal::WrongUser);
        }
        let host = bare(&token.host);
        let mut ports = self.places.iter().filter(|(name, _)| *name == host);
        let Some((_, first)) = ports.next() else {
            return Err(Refusal::WrongHost);
        };
        if *first != token.port && !ports.any(|(_, port)| *port == token.port) {
            return Err(Refusal::WrongPort);
        }
        if token.expires() <= now {
            return Err(Refusal::Expired);
        }
        if now
            .checked_add(self.skew)
            .is_some_and(|latest| token.issued > latest)
        {
            return Err(Refusal::NotYetValid);
        }
        Ok(())
    }
}

/// In small letters, and an address of version 6 without its brackets.
fn bare(host: &str) -> String {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase()
}

/// The region that an endpoint of RDS or Aurora lies in, by its name:
/// `name.id.REGION.rds.amazonaws.com`; in China `name.id.rds.REGION.amazonaws.com.cn`.
pub fn region_of(host: &str) -> Option<&str> {
    let region = match host.strip_suffix(".amazonaws.com.cn") {
        Some(name) => name.rsplit_once(".rds.")?.1,
        None => host.strip_suffix(".rds.amazonaws.com")?.rsplit_once('.')?.1,
    };
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (region.contains('-') && region.bytes().all(fits)).then_some(region)
}

/// The partition of AWS that a region belongs to.
pub fn partition_of(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

#[cfg(test)]
mod tests {
    use super::{partition_of, region_of};

    #[test]
    fn an_endpoint_tells_its_region() {
        for (host, region) in [
            (
                "db.abc123.eu-central-1.rds.amazonaws.com",
                Some("eu-central-1"),
            ),
            (
                "db.cluster-ro-abc.us-gov-west-1.rds.amazonaws.com",
                Some("us-gov-west-1"),
            ),
            (
                "db.abc123.rds.cn-north-1.amazonaws.com.cn",
                Some("cn-north-1"),
            ),
            ("rds.amazonaws.com", None),
            ("db.example.com", None),
            ("localhost", None),
        ] {
            assert_eq!(region_of(host), region, "{host}");
        }
    }

    #[test]
    fn a_region_tells_its_partition() {
        for (region, partition) in [
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-east-1", "aws"),
        ] {
            assert_eq!(partition_of(region), partition);
        }
    }
}
