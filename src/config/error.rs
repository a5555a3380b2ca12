//! What is wrong with a configuration file, and where.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{Document, Place, Position};
use super::wording;

/// A configuration that cannot be used: at least one problem. `Display` is for the person who
/// wrote the file, on one line.
#[derive(Clone, Debug)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One thing that is wrong. `Display` gives file, line, column, key and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Problem {
    file: Arc<Path>,
    /// `None` if it has no place in the file.
    at: Option<Position>,
    text: String,
}

impl ConfigError {
    /// What is wrong, in the order of the file. Of one table, not all may be told at once.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The file cannot be read.
    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        Self::one(
            file,
            None,
            format!("cannot read the configuration: {error}"),
        )
    }

    /// The text is not TOML, or not of the right shape.
    pub(super) fn shape(file: &Path, document: &Document<'_>, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or_default();
        let place = document.owner(span.start);
        let at = document.position(span.start);
        let message = error.message();
        if let Some(unknown) = wording::unknown_key(message) {
            return Self::one(file, Some(at), unknown);
        }
        let secret = place.as_ref().is_some_and(is_secret);
        let shown = document.text(span).filter(|_| !secret);
        let sentence = wording::sentence(message, shown);
        let text = match place {
            Some(place) => format!("{place}: {sentence}"),
            None => sentence,
        };
        Self::one(file, Some(at), text)
    }

    /// A value is wrong in itself or beside others.
    pub(super) fn value(
        file: &Path,
        document: &Document<'_>,
        place: &Place<'_>,
        what: &str,
    ) -> Self {
        Self::one(file, document.find(place), format!("{place}: {what}"))
    }

    fn one(file: &Path, at: Option<Position>, text: String) -> Self {
        let file = PathBuf::from(file).into();
        let problem = Problem { file, at, text };
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(f, "{between}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(at) = self.at {
            write!(f, ":{at}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// Gathers problems, so that all are told at once.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// The value, or `None` and its problems are kept.
    pub(super) fn take<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.extend(error.problems);
                None
            }
        }
    }

    /// How many there are so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// One more.
    pub(super) fn add(&mut self, error: ConfigError) {
        self.0.extend(error.problems);
    }

    /// What was built, unless there are problems, without which it is there.
    pub(super) fn finish<T>(mut self, built: impl FnOnce() -> Option<T>) -> Result<T, ConfigError> {
        self.0.sort_by_key(|problem| problem.at);
        match built() {
            Some(built) if self.0.is_empty() => Ok(built),
            _ => Err(ConfigError { problems: self.0 }),
        }
    }
}

/// True for keys whose value is never shown.
fn is_secret(place: &Place<'_>) -> bool {
    ["password", "server_password"].contains(&&*place.key)
}
