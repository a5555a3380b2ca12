//! The configuration file: from text to what each component needs.
//!
//! [`raw`] mirrors the file, [`plan`] is what has been checked; nothing below the daemon knows
//! that a file exists. Paths in the file are relative to its folder.

use std::path::Path;

pub mod difference;
pub mod error;
mod phrase;
pub mod plan;
pub mod raw;
mod resolve;
mod secrets;
pub mod units;

pub use error::ConfigError;
pub use plan::Plan;

/// Reads, checks and completes a configuration file.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn load(file: &Path) -> Result<Plan, ConfigError> {
    let text =
        std::fs::read_to_string(file).map_err(|error| ConfigError::unreadable(file, &error))?;
    resolve::resolve(file, &text, &parse(file, &text)?)
}

/// The configuration as `sluice check` prints it: every key with its value, secrets redacted.
///
/// # Errors
/// As [`load`].
pub fn show(file: &Path) -> Result<(String, Plan), ConfigError> {
    let text =
        std::fs::read_to_string(file).map_err(|error| ConfigError::unreadable(file, &error))?;
    let mut raw = parse(file, &text)?;
    let plan = resolve::resolve(file, &text, &raw)?;
    secrets::redact(&mut raw);
    // Everything in it came from TOML.
    let shown = toml::to_string(&raw).unwrap_or_else(|error| format!("# {error}\n"));
    Ok((shown, plan))
}

fn parse(file: &Path, text: &str) -> Result<raw::File, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::syntax(file, text, &error))
}

#[cfg(test)]
mod tests;
