//! Log lines: to standard error, as text or as one JSON object a line.
//!
//! Which lines are written is decided by `RUST_LOG` if it is set, else by configuration, and may
//! change while the process runs. No secret can get into a line: types that hold one redact
//! themselves.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, reload};

use super::{LogFormat, LogOptions};

/// The environment variable that overrides the configured filter.
pub const FILTER_VARIABLE: &str = "RUST_LOG";

/// Why logging could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The text is not made of filter directives.
    #[error("log filter {text:?}: {source}")]
    Filter {
        /// The text.
        text: String,
        /// What the parser said.
        source: ParseError,
    },
    /// A single word that names no level would silence everything else.
    #[error("log filter {0:?} is no level: use off, error, warn, info, debug or trace")]
    Level(String),
    /// The process logs already.
    #[error(transparent)]
    Installed(#[from] TryInitError),
    /// The subscriber that the handle belongs to is gone.
    #[error(transparent)]
    Gone(#[from] reload::Error),
}

/// Begins to log for the whole process.
///
/// # Errors
/// A bad filter, in `RUST_LOG` or in `options`, or a process that logs already.
pub fn init(options: &LogOptions) -> Result<LogHandle, LogError> {
    let over = std::env::var(FILTER_VARIABLE).ok();
    let over = over.filter(|text| !text.trim().is_empty());
    let colour = std::io::stderr().is_terminal();
    let (subscriber, handle) = build(options, over, std::io::stderr, colour)?;
    subscriber.try_init()?;
    Ok(handle)
}

/// Checks a configured filter without using it.
///
/// # Errors
/// [`LogError::Filter`] or [`LogError::Level`].
pub fn check_filter(text: &str) -> Result<(), LogError> {
    parse_configured(text).map(drop)
}

/// Changes what is logged.
#[derive(Clone, Debug)]
pub struct LogHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    overridden: bool,
}

impl LogHandle {
    /// Takes a newly configured filter into use; without effect if `RUST_LOG` is set. On error
    /// the old filter stays.
    ///
    /// # Errors
    /// A bad filter, or a subscriber that is gone.
    pub fn set_filter(&self, text: &str) -> Result<(), LogError> {
        let filter = parse_configured(text)?;
        if !self.overridden {
            self.filter.reload(filter)?;
        }
        Ok(())
    }
}

fn build<W>(
    options: &LogOptions,
    over: Option<String>,
    writer: W,
    colour: bool,
) -> Result<(impl Subscriber + Send + Sync, LogHandle), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = match &over {
        Some(text) => parse(text)?,
        None => parse_configured(&options.filter)?,
    };
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match options.format {
        LogFormat::Text => lines.with_ansi(colour).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let handle = LogHandle {
        filter: handle,
        overridden: over.is_some(),
    };
    Ok((Registry::default().with(filter).with(lines), handle))
}

fn parse(text: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(text).map_err(|source| LogError::Filter {
        text: text.to_owned(),
        source,
    })
}

/// As [`parse`], but refuses `inof`, which the parser takes for the name of a module.
fn parse_configured(text: &str) -> Result<EnvFilter, LogError> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let word = text.trim();
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let level = LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level));
    if plain && !level && word != env!("CARGO_CRATE_NAME") {
        return Err(LogError::Level(word.to_owned()));
    }
    parse(word)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::{LogError, build, check_filter};
    use crate::telemetry::{LogFormat, LogOptions};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Sink {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn options(filter: &str, format: LogFormat) -> LogOptions {
        LogOptions {
            filter: filter.to_owned(),
            format,
        }
    }

    #[test]
    fn the_filter_can_change_while_lines_are_written() {
        let sink = Sink::default();
        let options = options("warn", LogFormat::Text);
        let (subscriber, handle) = build(&options, None, sink.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("quiet");
            assert_eq!(sink.take(), "");
            handle.set_filter("info").unwrap();
            tracing::info!(client = 7, "heard");
            let line = sink.take();
            assert!(line.ends_with("heard client=7\n"), "{line}");
            assert!(matches!(handle.set_filter("inof"), Err(LogError::Level(_))));
            tracing::info!("still heard");
            assert_ne!(sink.take(), "");
        });
    }

    #[test]
    fn the_environment_overrides_configuration_for_good() {
        let sink = Sink::default();
        let options = options("trace", LogFormat::Text);
        let over = Some("error".to_owned());
        let (subscriber, handle) = build(&options, over, sink.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            handle.set_filter("trace").unwrap();
            tracing::warn!("quiet");
            assert_eq!(sink.take(), "");
            tracing::error!("heard");
            assert_ne!(sink.take(), "");
        });
    }

    #[test]
    fn json_lines_are_objects_with_fields_at_the_top() {
        let sink = Sink::default();
        let options = options("info", LogFormat::Json);
        let (subscriber, _handle) = build(&options, None, sink.clone(), true).unwrap();
        tracing::subscriber::with_default(subscriber, || tracing::info!(user = "a\"b", "hello"));
        let line = sink.take();
        let value: serde_json::Value = serde_json::from_str(line.trim_end()).unwrap();
        assert_eq!(value["message"], "hello");
        assert_eq!(value["user"], "a\"b");
        assert_eq!(value["level"], "INFO");
    }

    #[test]
    fn filters_are_levels_or_directives() {
        for good in ["info", "WARN", "sluice=debug,warn", "sluice", "off"] {
            check_filter(good).unwrap();
        }
        for bad in ["inof", "", "sluice=loud", "2 much=="] {
            check_filter(bad).unwrap_err();
        }
    }
}
