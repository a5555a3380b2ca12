//! Secrets: where the file says they are, and how they are kept out of what is printed.

use std::path::Path;

use super::raw::{File, User};
use crate::model::Secret;

/// The three places a secret can come from; at most one may be given.
pub(super) struct Source<'a> {
    /// Key of the inline form; the others end in `_file` and `_env`.
    pub(super) key: &'static str,
    pub(super) inline: Option<&'a str>,
    pub(super) file: Option<&'a Path>,
    pub(super) env: Option<&'a str>,
}

/// A secret that cannot be had: the key to blame, and why, for the person who wrote the file.
pub(super) struct Unreadable {
    pub(super) key: String,
    pub(super) what: String,
}

impl Source<'_> {
    /// The secret, if any place is given.
    pub(super) fn read(&self, folder: &Path) -> Result<Option<Secret>, Unreadable> {
        let key = self.key;
        let fail = |suffix, what: String| Unreadable {
            key: format!("{key}{suffix}"),
            what,
        };
        let (suffix, bytes) = match (self.inline, self.file, self.env) {
            (None, None, None) => return Ok(None),
            (Some(text), None, None) => ("", text.as_bytes().to_vec()),
            (None, Some(file), None) => {
                let path = folder.join(file);
                let bytes = std::fs::read(&path)
                    .map_err(|e| fail("_file", format!("cannot read {}: {e}", path.display())))?;
                ("_file", without_line_end(bytes))
            }
            (None, None, Some(name)) => {
                let value = std::env::var_os(name)
                    .ok_or_else(|| fail("_env", format!("variable {name} is not set")))?;
                ("_env", value.into_encoded_bytes())
            }
            (inline, _, env) => {
                let suffix = if env.is_some() { "_env" } else { "_file" };
                let other = if inline.is_some() { "" } else { "_file" };
                let what = format!("{key}{other} is given too; one of them is enough");
                return Err(fail(suffix, what));
            }
        };
        // PostgreSQL has no empty passwords, and whoever gives none would match one.
        if bytes.is_empty() {
            return Err(fail(suffix, "is empty".into()));
        }
        Ok(Some(Secret::new(bytes)))
    }
}

/// Editors end the last line too.
fn without_line_end(mut bytes: Vec<u8>) -> Vec<u8> {
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    bytes
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
