//! The tables of the configuration file that are about AWS; see [`super::raw`].

use serde::{Deserialize, Serialize};

use super::raw::AuthMethod;
use super::units::Time;

/// `[aws]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aws {
    /// Region of secrets that are named without an ARN, and of IAM tokens for servers whose names
    /// do not tell it. Default: AWS_REGION, the profile's, or the instance's. Dynamic.
    pub region: Option<String>,
    /// Profile of `~/.aws/config`. Default: AWS_PROFILE, else "default". Dynamic.
    pub profile: Option<String>,
    /// After this long a secret is read again; also at once when a server refuses it. From "1s",
    /// default "5m". Dynamic.
    pub secret_refresh_interval: Time,
}

impl Default for Aws {
    fn default() -> Self {
        Self {
            region: None,
            profile: None,
            secret_refresh_interval: Time::secs(300),
        }
    }
}

/// `[[secret]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// ARN or name in AWS Secrets Manager. The user that it names may log in with the password in
    /// it, and Sluice logs in to the server with both. Required, unique. Dynamic.
    pub arn: String,
    /// As the listener's. Default: the listener's. Dynamic.
    pub auth_method: Option<AuthMethod>,
}

/// How Sluice proves to a server who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerAuthMethod {
    /// By the password that is stored, or by what the client has proven.
    Password,
    /// By IAM tokens of its own.
    Iam,
}
