//! Secrets: where the file says they are.

use std::env::VarError;
use std::path::Path;

use super::inline::Inline;
use crate::model::Secret;

/// The three places a secret can come from; at most one may be given.
pub(super) struct Source<'a> {
    pub(super) inline: Option<&'a Inline>,
    pub(super) file: Option<&'a Path>,
    pub(super) env: Option<&'a str>,
}

impl Source<'_> {
    /// The secret, if any place is given. The error is for the person who wrote the file, and
    /// never has any of the secret in it.
    pub(super) fn read(&self, folder: &Path) -> Result<Option<Secret>, String> {
        match (self.inline, self.file, self.env) {
            (None, None, None) => Ok(None),
            (Some(Inline(secret)), None, None) => Ok(Some(secret.clone())),
            (None, Some(file), None) => from_file(&folder.join(file)).map(Some),
            (None, None, Some(name)) => from_environment(name).map(Some),
            _ => Err("give the secret in one way only: inline, _file or _env".into()),
        }
    }
}

/// One line break at the end belongs to the file, not to the secret.
fn from_file(path: &Path) -> Result<Secret, String> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let whole = Secret::new(bytes);
    let content = whole.expose();
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    let content = content.strip_suffix(b"\r").unwrap_or(content);
    Ok(Secret::new(content))
}

fn from_environment(name: &str) -> Result<Secret, String> {
    match std::env::var(name) {
        Ok(value) => Ok(Secret::new(value)),
        Err(VarError::NotPresent) => Err(format!("environment variable {name} is not set")),
        // Its own message would show the value.
        Err(VarError::NotUnicode(_)) => Err(format!("environment variable {name} is not UTF-8")),
    }
}

/// The sentence about a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}
