//! The configuration file: from text to what each component needs.
//!
//! [`raw`] mirrors the file, [`plan`] is what has been checked; nothing below the daemon knows
//! that a file exists. Paths in the file are relative to its folder.

use std::path::Path;

pub mod difference;
mod document;
pub mod error;
mod inline;
pub mod plan;
pub mod raw;
pub mod raw_aws;
pub mod raw_choices;
pub mod raw_tokens;
mod resolve;
mod secrets;
mod shown;
pub mod units;
mod wording;

pub use error::{ConfigError, Problem};
pub use inline::Inline;
pub use plan::Plan;

use document::Document;

/// Reads, checks and completes a configuration file. Reads the files that it names, too: blocks.
///
/// # Errors
/// All that is wrong, with lines.
pub fn load(file: &Path) -> Result<Plan, ConfigError> {
    read(file).map(|(_, plan)| plan)
}

/// The configuration as `sluice check` prints it: all keys that have a value, with defaults
/// filled in and secrets redacted.
///
/// # Errors
/// As [`load`].
pub fn show(file: &Path) -> Result<(String, Plan), ConfigError> {
    let (raw, plan) = read(file)?;
    Ok((shown::shown(raw, &plan), plan))
}

fn read(file: &Path) -> Result<(raw::File, Plan), ConfigError> {
    let text =
        std::fs::read_to_string(file).map_err(|error| ConfigError::unreadable(file, &error))?;
    let document = Document::new(&text);
    let raw = toml::from_str(&text).map_err(|error| ConfigError::shape(file, &document, &error))?;
    let source = resolve::Source {
        file,
        document: &document,
        raw: &raw,
    };
    let plan = resolve::resolve(&source)?;
    Ok((raw, plan))
}

#[cfg(test)]
mod tests;
