//! Pure: the JSON of a secret as RDS writes it, and as RDS Proxy reads it.

use serde::Deserialize;

use crate::model::Secret;

/// User and password; what else a secret may say (engine, host, port, database) is not looked at,
/// as RDS Proxy does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdsSecret {
    /// The database user; `None`: it does not say.
    pub username: Option<String>,
    /// The password.
    pub password: Secret,
}

/// Why a secret is of no use. Shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RdsSecretError {
    /// Something else than JSON, or no object.
    #[error("the secret is no JSON object with \"username\" and \"password\"")]
    NotJson,
    /// There is no password, or it is no text.
    #[error("the secret has no \"password\"")]
    NoPassword,
    /// The password is empty.
    #[error("the password in the secret is empty")]
    Empty,
    /// No server takes a user or password with a zero byte.
    #[error("user or password in the secret contain a zero byte")]
    Zero,
    /// Longer than any secret.
    #[error("the secret is too large")]
    TooLarge,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
}

impl RdsSecret {
    /// Reads a secret's text.
    ///
    /// # Errors
    /// If it has no password that a server could be shown.
    pub fn parse(text: &[u8]) -> Result<Self, RdsSecretError> {
        if text.len() > LONGEST {
            return Err(RdsSecretError::TooLarge);
        }
        let fields: Fields =
            serde_json::from_slice(text).map_err(|error| match error.classify() {
                serde_json::error::Category::Data => RdsSecretError::NoPassword,
                _ => RdsSecretError::NotJson,
            })?;
        let password = fields.password.ok_or(RdsSecretError::NoPassword)?;
        if password.is_empty() {
            return Err(RdsSecretError::Empty);
        }
        let username = fields.username.filter(|name| !name.is_empty());
        if password.contains('\0') || username.as_ref().is_some_and(|name| name.contains('\0')) {
            return Err(RdsSecretError::Zero);
        }
        Ok(Self {
            username,
            password: Secret::new(password),
        })
    }
}

/// Secrets Manager keeps 65,536 bytes (AWS documentation, "AWS Secrets Manager quotas").
const LONGEST: usize = 65_536;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{RdsSecret, RdsSecretError};
    use crate::model::Secret;

    #[test]
    fn what_rds_writes_is_read() {
        let text = br#"{"username":"app","password":"a \"b\" \u00e9","engine":"postgres","host":"db.abc.eu-central-1.rds.amazonaws.com","port":5432,"dbname":"app","dbInstanceIdentifier":"db"}"#;
        let secret = RdsSecret::parse(text).unwrap();
        assert_eq!(secret.username.as_deref(), Some("app"));
        assert_eq!(secret.password, Secret::new("a \"b\" é"));
        // What RDS itself manages.
        let secret = RdsSecret::parse(br#"{"password":"x","username":"postgres"}"#).unwrap();
        assert_eq!(secret.username.as_deref(), Some("postgres"));
        assert!(
            RdsSecret::parse(br#"{"password":"x"}"#)
                .unwrap()
                .username
                .is_none()
        );
    }

    #[test]
    fn what_is_of_no_use_is_an_error_that_shows_nothing() {
        for (text, error) in [
            ("", RdsSecretError::NotJson),
            ("hunter2", RdsSecretError::NotJson),
            ("{\"password\":\"hunter2\"", RdsSecretError::NotJson),
            ("[]", RdsSecretError::NoPassword),
            ("{}", RdsSecretError::NoPassword),
            ("{\"username\":\"hunter2\"}", RdsSecretError::NoPassword),
            ("{\"password\":2}", RdsSecretError::NoPassword),
            (
                "{\"username\":1,\"password\":\"hunter2\"}",
                RdsSecretError::NoPassword,
            ),
            ("{\"password\":\"\"}", RdsSecretError::Empty),
            ("{\"password\":\"hunter2\\u0000\"}", RdsSecretError::Zero),
        ] {
            let found = RdsSecret::parse(text.as_bytes()).unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(!found.to_string().contains("hunter2"));
        }
        let long = format!("{{\"password\":\"{}\"}}", "x".repeat(70_000));
        let error = RdsSecret::parse(long.as_bytes()).unwrap_err();
        assert_eq!(error, RdsSecretError::TooLarge);
        let deep = "[".repeat(10_000);
        assert!(RdsSecret::parse(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in any::<Vec<u8>>()) {
            let _ = RdsSecret::parse(&bytes);
        }

        #[test]
        fn any_user_and_password_are_read(user in "[^\0]+", password in "[^\0]+") {
            let json = serde_json::json!({"username": user, "password": password, "port": 1});
            let secret = RdsSecret::parse(json.to_string().as_bytes()).unwrap();
            prop_assert_eq!(secret.username.unwrap(), user);
            prop_assert_eq!(secret.password.expose(), password.as_bytes());
        }
    }
}
