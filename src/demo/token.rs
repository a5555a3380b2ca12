//! Tokens in place of passwords, signed with a key that lives as long as the demo.

use std::time::{Duration, SystemTime};

use super::error::DemoError;
use super::scratch::random_hex;
use crate::auth::iam::Presign;
use crate::model::Secret;

/// An access key, and whom it may be.
pub struct Signer {
    id: String,
    key: Secret,
}

/// The name that tokens are signed for, at the port that clients connect to.
pub const HOST: &str = "localhost";
/// No region of AWS.
pub const REGION: &str = "demo-1";
/// Nor an account.
const ACCOUNT: &str = "000000000000";

impl Signer {
    /// A new key.
    pub fn new() -> Result<Self, DemoError> {
        Ok(Self {
            id: format!("AKIADEMO{}", random_hex::<4>()?.to_ascii_uppercase()),
            key: Secret::new(random_hex::<20>()?),
        })
    }

    /// A token for a listener, good for 15 minutes.
    pub fn token(&self, port: u16, user: &str) -> Result<String, DemoError> {
        let token = Presign {
            host: HOST,
            port,
            user,
            region: REGION,
            access_key_id: &self.id,
            secret_access_key: &self.key,
            session_token: None,
            issued: SystemTime::now(),
            life: Duration::from_secs(900),
        };
        let token = token.token().ok();
        let token = token.and_then(|token| String::from_utf8(token.expose().to_vec()).ok());
        token.ok_or_else(|| DemoError::Unexpected("no token can be signed".into()))
    }

    /// What lets a shell sign tokens too.
    pub fn exports(&self) -> String {
        let key = String::from_utf8_lossy(self.key.expose());
        format!(
            "export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={key}",
            self.id
        )
    }

    /// How a shell signs one.
    pub fn command(port: u16, user: &str) -> String {
        let program = std::env::current_exe().unwrap_or_else(|_| "sluice".into());
        format!(
            "{} token --hostname {HOST} --port {port} --username {user} --region {REGION}",
            program.display()
        )
    }

    /// The keys of a listener whose clients bring such tokens.
    pub fn listener(port: u16) -> String {
        format!(
            "auth_method = \"iam\"\n\
             iam_verification = \"signature\"\n\
             iam_region = \"{REGION}\"\n\
             iam_hosts = [\"{HOST}:{port}\"]\n\
             iam_resource_id = \"db-DEMO\"\n"
        )
    }

    /// The key and its policy. `file` has the key itself.
    pub fn tables(&self, file: &str, user: &str) -> String {
        format!(
            "\n\
             [[iam_policy]]\n\
             name = \"demo\"\n\
             policy = '''{{\"Version\": \"2012-10-17\", \"Statement\": {{\"Effect\": \"Allow\", \"Action\": \"rds-db:connect\",\n  \
             \"Resource\": \"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:db-DEMO/{user}\"}}}}'''\n\
             \n\
             [[iam_key]]\n\
             access_key_id = \"{}\"\n\
             secret_access_key_file = \"{file}\"\n\
             account = \"{ACCOUNT}\"\n\
             policies = [\"demo\"]\n",
            self.id
        )
    }

    /// The key itself.
    pub fn key(&self) -> &str {
        std::str::from_utf8(self.key.expose()).unwrap_or_default()
    }
}
