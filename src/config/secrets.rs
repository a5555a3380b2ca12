//! Secrets: where the file says they are, and how they are kept out of what is printed.

use std::path::Path;

use super::raw::{File, User};
use crate::model::Secret;

/// The three places a secret can come from; at most one may be given.
pub(super) struct Source<'a> {
    pub(super) inline: Option<&'a str>,
    pub(super) file: Option<&'a Path>,
    pub(super) env: Option<&'a str>,
}

impl Source<'_> {
    /// The secret, if any place is given. The error is for the person who wrote the file.
    pub(super) fn read(&self, folder: &Path) -> Result<Option<Secret>, String> {
        match (self.inline, self.file, self.env) {
            (None, None, None) => Ok(None),
            (Some(text), None, None) => Ok(Some(Secret::new(text))),
            (None, Some(file), None) => {
                let path = folder.join(file);
                let mut bytes = std::fs::read(&path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                Ok(Some(Secret::new(bytes)))
            }
            (None, None, Some(name)) => match std::env::var(name) {
                Ok(value) => Ok(Some(Secret::new(value))),
                Err(error) => Err(format!("environment variable {name}: {error}")),
            },
            _ => Err("give the secret in one way only: inline, _file or _env".into()),
        }
    }
}

/// Replaces secrets by a word.
pub(super) fn redact(file: &mut File) {
    for user in &mut file.user {
        let User {
            password,
            server_password,
            ..
        } = user;
        for secret in [password, server_password].into_iter().flatten() {
            *secret = "redacted".into();
        }
    }
}
