//! What is wrong with a configuration file, and where.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::phrase;

/// A configuration that cannot be used. `Display` is for the person who wrote the file.
#[derive(Debug)]
pub struct ConfigError {
    file: PathBuf,
    /// From 1; `None` if the error has no place in the file.
    line: Option<usize>,
    text: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.text)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// The file cannot be read.
    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        Self {
            file: file.into(),
            line: None,
            text: format!("cannot read the configuration: {error}"),
        }
    }

    /// The text is not TOML, or not of the right shape.
    pub(super) fn syntax(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map(|span| span.start);
        let line = at.map(|at| line_of(text, at));
        let words = line.and_then(|line| text.lines().nth(line.checked_sub(1)?));
        let secret = words.is_some_and(|words| words.contains("password"));
        let text = phrase::explain(
            error.message(),
            words.and_then(key_of),
            words.and_then(header_of),
            secret,
        );
        Self {
            file: file.into(),
            line,
            text,
        }
    }

    /// The file lacks something as a whole.
    pub(super) fn lacking(file: &Path, what: &str) -> Self {
        Self {
            file: file.into(),
            line: None,
            text: what.into(),
        }
    }

    /// A value is wrong in itself or beside others.
    pub(super) fn value(file: &Path, text: &str, place: &Place<'_>, what: &str) -> Self {
        Self {
            file: file.into(),
            line: place.line(text),
            text: format!("{place}: {what}"),
        }
    }
}

/// A key of the file: which table, which of its repetitions, which key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Table name, without brackets.
    pub(super) table: &'a str,
    /// From 0, among the tables of this name.
    pub(super) index: usize,
    /// Name of this repetition, for the message; may be empty.
    pub(super) name: &'a str,
    /// The key.
    pub(super) key: &'a str,
}

impl Place<'_> {
    /// The line of the key, else of its table, from 1.
    fn line(&self, text: &str) -> Option<usize> {
        let mut seen = 0;
        let mut table = None;
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(header) = header_of(line) {
                if table.is_some() {
                    break;
                }
                if header == self.table {
                    if seen == self.index {
                        table = Some(number);
                    }
                    seen += 1;
                }
            } else if table.is_some() && key_of(line) == Some(self.key) {
                return Some(number);
            }
        }
        table
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            write!(f, "`{}.{}`", self.table, self.key)
        } else {
            write!(f, "{} \"{}\", `{}`", self.table, self.name, self.key)
        }
    }
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}

fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!key.is_empty() && key.chars().all(plain)).then_some(key)
}

/// The name of the table that begins on this line.
fn header_of(line: &str) -> Option<&str> {
    let line = line.trim();
    if !line.starts_with('[') {
        return None;
    }
    let header = line.split('#').next().unwrap_or_default();
    Some(header.trim().trim_matches(['[', ']']).trim())
}
