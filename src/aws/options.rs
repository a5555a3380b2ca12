//! What configuration decides about AWS.

use std::sync::Arc;
use std::time::Duration;

/// How AWS is reached. Endpoints are those of the environment and of the profile
/// (`AWS_ENDPOINT_URL`, `endpoint_url`), as for every program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsOptions {
    /// Region where nothing else says one; `None`: that of environment, profile or instance.
    pub region: Option<Arc<str>>,
    /// Profile; `None`: `AWS_PROFILE`, else "default".
    pub profile: Option<Arc<str>>,
    /// After this long a secret is read again.
    pub secret_refresh: Duration,
}

/// True if this build knows AWS.
pub const IS_BUILT_IN: bool = cfg!(feature = "aws");
