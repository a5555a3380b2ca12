//! The `options` startup parameter: settings written as switches of a server command line
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OPTIONS>).
//!
//! Words are split as `pg_split_opts` does, and read as `process_postgres_switches` does. Only
//! switches that name a setting are taken: others are short for settings that nobody has asked
//! a pooler for, and doubt means no.

use crate::model::{Fault, FaultKind};
use crate::protocol::postgres::fault::with_code;

/// The settings in `options`, in order: name in lower case, value.
pub fn settings(options: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let mut settings = Vec::new();
    let mut words = split(options).into_iter();
    while let Some(word) = words.next() {
        let setting = if let Some(long) = word.strip_prefix(b"--") {
            assignment(long)?
        } else if word == b"-c" {
            assignment(&words.next().ok_or_else(no_value)?)?
        } else if let Some(short) = word.strip_prefix(b"-c") {
            assignment(short)?
        } else {
            return Err(unknown(&word));
        };
        settings.push(setting);
    }
    Ok(settings)
}

/// Splits at white space; a backslash takes the next byte as it is, and is itself left out.
fn split(options: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = options.iter().copied();
    while let Some(byte) = bytes.next() {
        if is_space(byte) {
            words.extend(word.take());
            continue;
        }
        // A backslash at the very end stands for nothing, but begins a word.
        let word = word.get_or_insert_default();
        if byte == b'\\' {
            word.extend(bytes.next());
        } else {
            word.push(byte);
        }
    }
    words.extend(word);
    words
}

/// C's `isspace` in the default locale: unlike Rust's, it holds the vertical tab.
const fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Reads `name=value` as `ParseLongOption` does: dashes in the name stand for underscores.
fn assignment(word: &[u8]) -> Result<(String, Vec<u8>), Fault> {
    let at = memchr::memchr(b'=', word).ok_or_else(no_value)?;
    let (name, value) = word.split_at_checked(at).ok_or_else(no_value)?;
    let name = std::str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| unknown(word))?;
    let value = value.strip_prefix(b"=").unwrap_or_default();
    Ok((name.to_ascii_lowercase().replace('-', "_"), value.to_vec()))
}

fn no_value() -> Fault {
    // The code is PostgreSQL's: syntax_error.
    with_code(
        FaultKind::ProtocolViolation,
        "42601",
        "a switch in the startup parameter \"options\" requires a value: write -c name=value",
    )
}

fn unknown(word: &[u8]) -> Fault {
    // Names of switches are short; more of the word might be a value that logs should not have.
    let shown: String = String::from_utf8_lossy(word)
        .chars()
        .take_while(|c| *c != '=')
        .take(16)
        .collect();
    Fault::new(
        FaultKind::Unsupported,
        format!(
            "\"{shown}\" in the startup parameter \"options\" is not supported: only -c name=value and --name=value are"
        ),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::{settings, split};
    use crate::model::FaultKind;

    fn pairs(options: &str) -> Vec<(String, String)> {
        let settings = settings(options.as_bytes()).unwrap();
        let text = |(name, value)| (name, String::from_utf8(value).unwrap());
        settings.into_iter().map(text).collect()
    }

    #[test]
    fn switches_name_settings() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("  \t\x0b ", &[]),
            ("-c geqo=off", &[("geqo", "off")]),
            ("-cgeqo=off", &[("geqo", "off")]),
            ("--geqo=off", &[("geqo", "off")]),
            (
                "  -c\tgeqo=off\n--work-mem=4MB ",
                &[("geqo", "off"), ("work_mem", "4MB")],
            ),
            ("-c statement-timeout=5s", &[("statement_timeout", "5s")]),
            ("-c Search_Path=a,b", &[("search_path", "a,b")]),
            ("-c search_path=a,\\ b", &[("search_path", "a, b")]),
            ("-c x=\\\\", &[("x", "\\")]),
            ("-c x=a\\", &[("x", "a")]),
            ("-c x=", &[("x", "")]),
            ("-c x=a=b", &[("x", "a=b")]),
            ("-c my.x=1 -c my.x=2", &[("my.x", "1"), ("my.x", "2")]),
            ("-c x=-c", &[("x", "-c")]),
            ("--a-b.c-d=e-f", &[("a_b.c_d", "e-f")]),
        ];
        for (options, expected) in table {
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(pairs(options), expected, "{options:?}");
        }
    }

    #[test]
    fn switches_without_value_are_refused() {
        for options in ["-c", "-c geqo", "-cgeqo", "--geqo", "--", "-c  "] {
            let fault = settings(options.as_bytes()).unwrap_err();
            assert_eq!(fault.kind, FaultKind::ProtocolViolation, "{options}");
        }
    }

    #[test]
    fn other_switches_are_refused_without_showing_values() {
        for options in ["-B 100", "-e", "geqo=off", "\\", "-c =1", "-S4096"] {
            let fault = settings(options.as_bytes()).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Unsupported, "{options}");
        }
        let fault = settings(b"password=hunter2").unwrap_err();
        assert!(!fault.message.contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_options_are_survived(options: Vec<u8>) {
            let _ = settings(&options);
            let len: usize = split(&options).iter().map(Vec::len).sum();
            assert!(len <= options.len());
        }
    }
}
