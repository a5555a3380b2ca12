//! serde's and TOML's messages about a value, in words for the person who wrote it.
//!
//! Their messages are no stable interface: what is not recognised is passed on as it is.

/// The sentence about an unknown key, with the nearest valid one; `None` if the message is about
/// something else.
pub(super) fn unknown_key(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `")?;
    let (unknown, expected) = rest.split_once('`')?;
    let hint = did_you_mean(unknown, &quoted(expected), '`');
    Some(format!("unknown key `{unknown}`{hint}"))
}

/// Any other message. `shown` is the text of the value, unless it is to be kept secret.
pub(super) fn sentence(message: &str, shown: Option<&str>) -> String {
    if let Some(key) = message.strip_prefix("missing field ") {
        return format!("the key {key} is missing");
    }
    if let Some((unknown, names)) = unknown_variant(message) {
        let hint = did_you_mean(unknown, &names, '"');
        return format!("expected {}, not \"{unknown}\"{hint}", any_of(&names));
    }
    let about_value = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "));
    let expected = match about_value.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some(("map", "a sequence")) => return DOUBLE_BRACKETS.into(),
        Some((_, expected)) => plain(expected),
        None if message == "invalid socket address syntax" => ADDRESS.into(),
        None if message == "wanted string or table" => "one of its words in quotes".into(),
        None if message.starts_with("string values must be quoted") => return IN_QUOTES.into(),
        // What looked like a number was none.
        None if message.ends_with(", expected nothing") => {
            let what = message.trim_end_matches(", expected nothing");
            return format!("{what}; {IN_QUOTES}");
        }
        // Here the span is that of the key.
        None if message == "duplicate key" => {
            let key = shown.unwrap_or_default();
            return format!("the key `{key}` stands here a second time");
        }
        None => return message.to_owned(),
    };
    match shown {
        Some(value) => format!("expected {expected}, not {}", first_line(value)),
        None => format!("expected {expected}"),
    }
}

/// What serde says is expected, without Rust's words.
fn plain(expected: &str) -> String {
    let up_to = |most: u64| format!("a whole number from 0 to {most}");
    match expected {
        "u8" => up_to(u8::MAX.into()),
        "u16" => up_to(u16::MAX.into()),
        "u32" => up_to(u32::MAX.into()),
        "u64" | "usize" => "a whole number, 0 or more".into(),
        "i64" => "a whole number".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "path string" => "a string".into(),
        "socket address" => ADDRESS.into(),
        other if other.starts_with("struct ") => "a table".into(),
        other => other.to_owned(),
    }
}

fn unknown_variant(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown variant `")?;
    let (unknown, expected) = rest.split_once("`, expected ")?;
    Some((unknown, quoted(expected)))
}

/// The pieces between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// `"a", "b" or "c"`.
fn any_of(names: &[&str]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let between = match index {
            0 => "",
            _ if index + 1 == names.len() => " or ",
            _ => ", ",
        };
        text.push_str(&format!("{between}\"{name}\""));
    }
    text
}

/// `; did you mean …?`, or nothing if no name is near.
pub(super) fn did_you_mean(unknown: &str, names: &[&str], quote: char) -> String {
    let distances = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name));
    match distances.min() {
        Some((distance, name)) if distance <= most_edits(unknown) => {
            format!("; did you mean {quote}{name}{quote}?")
        }
        _ => String::new(),
    }
}

/// A name further away than this is no likely misspelling: a third of its letters.
fn most_edits(name: &str) -> usize {
    name.chars().count().div_ceil(3)
}

fn first_line(value: &str) -> &str {
    value.lines().next().unwrap_or_default()
}

const ADDRESS: &str = "an IP address and port such as \"127.0.0.1:6432\"";
const IN_QUOTES: &str = "text must stand in double quotes";
const DOUBLE_BRACKETS: &str = "there may be several: write its name in double brackets, [[…]]";

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{sentence, unknown_key};

    #[test]
    fn a_key_far_from_all_is_not_guessed_at() {
        let message = "unknown field `colour`, expected one of `name`, `address`";
        assert_eq!(unknown_key(message).unwrap(), "unknown key `colour`");
        let message = "unknown field `adress`, expected one of `name`, `address`";
        let expected = "unknown key `adress`; did you mean `address`?";
        assert_eq!(unknown_key(message).unwrap(), expected);
    }

    #[test]
    fn what_is_not_recognised_is_passed_on() {
        assert_eq!(sentence("no such thing", Some("x")), "no such thing");
        let message = "invalid type: integer `3`, expected u32";
        assert_eq!(
            sentence(message, None),
            "expected a whole number from 0 to 4294967295"
        );
    }

    proptest! {
        #[test]
        fn any_message_is_survived(message in any::<String>(), shown in any::<Option<String>>()) {
            let _ = unknown_key(&message);
            let _ = sentence(&message, shown.as_deref());
        }
    }
}
