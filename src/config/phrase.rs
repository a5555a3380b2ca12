//! serde's sentences in the words of whoever writes the file: no names of Rust types, the nearest
//! key, the values there are. A sentence of unknown form is passed on as it is.

/// What is wrong with a key. `key` is the one on the line at fault, `header` the table that begins
/// there; `secret`: the value must not be repeated.
pub(super) fn explain(
    message: &str,
    key: Option<&str>,
    header: Option<&str>,
    secret: bool,
) -> String {
    if let Some(text) = unknown_key(message) {
        return text;
    }
    if let Some(missing) = between(message, "missing field `", '`') {
        return match header {
            Some("target_group") if missing == "target" => {
                "`target_group`: the table [[target_group.target]] is missing".into()
            }
            Some(table) => format!("`{table}`: the key `{missing}` is missing"),
            None => format!("the key `{missing}` is missing"),
        };
    }
    match (key.or(header), problem(message, header, secret)) {
        (Some(place), problem) => format!("`{place}`: {problem}"),
        (None, problem) => problem,
    }
}

/// An unknown key, with the nearest valid one.
fn unknown_key(message: &str) -> Option<String> {
    let (unknown, expected) = message.strip_prefix("unknown field `")?.split_once('`')?;
    let hint = match nearest(unknown, quoted(expected)) {
        Some(key) => format!("; did you mean `{key}`?"),
        None => String::new(),
    };
    Some(format!("unknown key `{unknown}`{hint}"))
}

/// The known word that an unknown one probably stands for.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known.map(|word| (strsim::damerau_levenshtein(unknown, word), word));
    let (edits, word) = distances.min()?;
    // Of a short word half may be wrong, no more: `x` does not mean `name`.
    (edits <= MOST_EDITS && edits * 2 <= word.len()).then_some(word)
}

/// Any other sentence.
fn problem(message: &str, header: Option<&str>, secret: bool) -> String {
    if let Some(rest) = message.strip_prefix("unknown variant `")
        && let Some((given, expected)) = rest.split_once('`')
    {
        let values: Vec<_> = quoted(expected).map(|v| format!("\"{v}\"")).collect();
        let choice = match &*values {
            [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
            _ => values.join(""),
        };
        return format!("expected {choice}, not \"{given}\"");
    }
    let wrong = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "));
    // The last "expected" is serde's: one before may be the value's.
    match (
        wrong.and_then(|rest| rest.rsplit_once(", expected ")),
        message,
    ) {
        (Some((_, expected)), _) if secret => format!("expected {}", form(expected)),
        (Some(("map", "a sequence")), _) => match header {
            Some(table) => format!("write [[{table}]], as there may be several"),
            None => format!("expected {}, not a table", form("a sequence")),
        },
        (Some((given, expected)), _) => {
            format!("expected {}, not {}", form(expected), shape(given))
        }
        (None, "invalid socket address syntax") => format!("expected {}", form("socket address")),
        (None, "wanted string or table") => format!("expected {}", form("a string")),
        (None, "duplicate key") => "is given twice".into(),
        (None, other) => other.into(),
    }
}

/// What serde expected.
fn form(expected: &str) -> &str {
    match expected {
        "usize" | "u64" => "a whole number, 0 or more",
        "u32" => "a whole number from 0 to 4294967295",
        "a boolean" => "true or false",
        "a string" => "text in quotes",
        "a sequence" => "a list, such as [\"a\", \"b\"]",
        "path string" => "a path in quotes",
        "socket address" => "an IP address and a port in quotes, such as \"127.0.0.1:6432\"",
        table if table.starts_with("struct ") => "a table",
        other => other,
    }
}

/// What serde found.
fn shape(given: &str) -> &str {
    match given {
        "map" => "a table",
        "sequence" => "a list",
        text if text.starts_with("string ") => text.strip_prefix("string ").unwrap_or(text),
        other => between(other, "`", '`').unwrap_or(other),
    }
}

/// The words between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn between<'a>(text: &'a str, before: &str, after: char) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inner, _)| inner)
}

/// A key further away than this is no likely misspelling.
const MOST_EDITS: usize = 4;
