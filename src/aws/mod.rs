//! Amazon Web Services: credentials of the standard chain, Secrets Manager, and what RDS lists.
//!
//! All that is of the SDK is in here, behind the cargo feature `aws`; without it [`Aws`] is there
//! all the same and says so to whoever asks it for something.
//!
//! # On a thread of its own
//! The SDK reads files where it finds them named, without asking a thread pool; it builds lists of
//! certificates, and parses and signs. On a thread that serves clients each of that would be a
//! pause for all of them, so it happens on one of its own ([`Thread`]), which exists only once
//! something has been asked for.
//!
//! # Region
//! An ARN or the name of an endpoint says its region. Otherwise it is the one that is configured,
//! or that of the environment, the profile or the instance. If none of them says any, that is an
//! error: a guess would sign for the wrong place.

pub mod options;
mod rds_secret;

#[cfg(not(feature = "aws"))]
mod absent;
#[cfg(feature = "aws")]
mod chain;
#[cfg(feature = "aws")]
mod instances;
#[cfg(feature = "aws")]
mod secrets;
#[cfg(feature = "aws")]
mod thread;

#[cfg(not(feature = "aws"))]
pub use absent::Aws;
#[cfg(feature = "aws")]
pub use chain::Aws;
pub use options::AwsOptions;
pub use rds_secret::{RdsSecret, RdsSecretError};
#[cfg(feature = "aws")]
pub use thread::Thread;

/// The region in `arn:partition:service:REGION:account:resource`; `None` for a mere name.
#[cfg(feature = "aws")]
fn region_of_arn(id: &str) -> Option<&str> {
    let region = id.strip_prefix("arn:")?.split(':').nth(2)?;
    (!region.is_empty()).then_some(region)
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use super::region_of_arn;

    #[test]
    fn an_arn_says_its_region() {
        for (id, region) in [
            (
                "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app-AbCdEf",
                Some("eu-central-1"),
            ),
            (
                "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:app-AbCdEf",
                Some("cn-north-1"),
            ),
            ("arn:aws:secretsmanager::123456789012:secret:app", None),
            ("arn:aws", None),
            ("prod/app", None),
        ] {
            assert_eq!(region_of_arn(id), region, "{id}");
        }
    }
}
