//! PgBouncer's `userlist.txt`: one `"user" "password"` a line, quotes doubled inside
//! (PgBouncer documentation, "Authentication file format").

use std::sync::Arc;

use crate::model::Secret;

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct UserlistError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// Users and what is stored about each. Empty lines and those that begin with `;` are skipped.
///
/// # Errors
/// The first line that is wrong: a list that is half read would lock people out.
pub fn parse(text: &str) -> Result<Vec<(Arc<str>, Secret)>, UserlistError> {
    let mut users = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content.is_empty() || content.starts_with(';') {
            continue;
        }
        let fail = |what| UserlistError { line, what };
        let (user, rest) = quoted(content).ok_or_else(|| fail("expected a user name in quotes"))?;
        let (secret, rest) =
            quoted(rest.trim_start()).ok_or_else(|| fail("expected a password in quotes"))?;
        // PgBouncer ignores further columns.
        if !rest.is_empty() && !rest.starts_with([' ', '\t', ';']) {
            return Err(fail("unexpected characters after the password"));
        }
        if user.is_empty() {
            return Err(fail("empty user name"));
        }
        users.push((user.into(), Secret::new(secret)));
    }
    Ok(users)
}

/// A string in double quotes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut out = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        out.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                out.push('"');
                rest = more;
            }
            None => return Some((out, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::parse;

    #[test]
    fn quotes_are_doubled_and_comments_skipped() {
        let text = "; users\n\"a\" \"x\"\n\n  \"o\"\"k\"   \"p\"\"w\" ignored\n";
        let users = parse(text).unwrap();
        assert_eq!(&*users[0].0, "a");
        assert_eq!(&*users[1].0, "o\"k");
        assert_eq!(users[1].1.expose(), b"p\"w");
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line) in [
            ("\"a\" \"b\"\nuser", 2),
            ("\"a\"", 1),
            ("\"\" \"x\"", 1),
            ("\"a\" \"b\"c", 1),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            let _ = parse(&text);
        }
    }
}
