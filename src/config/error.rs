//! What is wrong with a configuration file, and where.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

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
        let message = error.message();
        let key = line.and_then(|line| key_on(text, line));
        let text = match (unknown_key(message), key) {
            (Some(text), _) => text,
            (None, Some(key)) => format!("`{key}`: {message}"),
            (None, None) => message.to_owned(),
        };
        Self {
            file: file.into(),
            line,
            text,
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
            let line = line.trim();
            if line.starts_with('[') {
                if table.is_some() {
                    break;
                }
                let header = line.split('#').next().unwrap_or_default();
                let header = header.trim().trim_matches(['[', ']']).trim();
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

/// serde's sentence about an unknown key, with the nearest valid one.
fn unknown_key(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `")?;
    let (unknown, expected) = rest.split_once('`')?;
    // Every second piece between backticks is a valid key.
    let nearest = expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|key| (strsim::damerau_levenshtein(unknown, key), key))
        .min();
    let hint = match nearest {
        Some((distance, key)) if distance <= MOST_EDITS => format!("; did you mean `{key}`?"),
        _ => String::new(),
    };
    Some(format!("unknown key `{unknown}`{hint}"))
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}

fn key_on(text: &str, line: usize) -> Option<&str> {
    key_of(text.lines().nth(line.checked_sub(1)?)?)
}

fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (!key.is_empty() && key.chars().all(plain)).then_some(key)
}

/// A key further away than this is no likely misspelling.
const MOST_EDITS: usize = 4;
