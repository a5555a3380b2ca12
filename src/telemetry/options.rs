//! What configuration decides about logs.

/// Log settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// `tracing` filter directives, for example `info` or `sluice=debug,warn`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
