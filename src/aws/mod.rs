//! Amazon Web Services: credentials of the standard chain, and Secrets Manager.
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
