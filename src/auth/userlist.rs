//! PgBouncer's `userlist.txt`: one `"user" "password"` a line, quotes doubled inside
//! (PgBouncer documentation, "Authentication file format").

use std::collections::HashMap;
use std::sync::Arc;

use super::options::UserOptions;
use super::store::{VerifierError, verifier};
use crate::model::Secret;

/// A line that cannot be read. Shows nothing of the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct UserlistError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// The users of a list. Empty lines and those that begin with `;` are skipped. A user with an
/// empty password is known, but has nothing that a proof could be checked against.
///
/// # Errors
/// The first line that is wrong: a list that is half read would lock people out.
pub fn parse(text: &str) -> Result<Vec<UserOptions>, UserlistError> {
    let mut users = Vec::new();
    let mut lines = HashMap::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content.is_empty() || content.starts_with(';') {
            continue;
        }
        let fail = |what: String| UserlistError { line, what };
        let user = entry(content).map_err(fail)?;
        if let Some(first) = lines.insert(Arc::clone(&user.name), line) {
            let what = format!("user {:?} stands in line {first} already", user.name);
            return Err(fail(what));
        }
        users.push(user);
    }
    Ok(users)
}

fn entry(line: &str) -> Result<UserOptions, String> {
    let (name, rest) = quoted(line).ok_or("expected a user name in double quotes")?;
    let (stored, rest) = quoted(rest.trim_start()).ok_or("expected a password in double quotes")?;
    // PgBouncer ignores further columns.
    if !rest.is_empty() && !rest.starts_with([' ', '\t', ';']) {
        return Err("unexpected characters after the password".into());
    }
    if name.is_empty() {
        return Err("the user name is empty".into());
    }
    let name = Arc::from(name);
    match verifier(&Secret::new(stored)) {
        Ok(verifier) => Ok(UserOptions::known_by(name, Some(verifier))),
        Err(VerifierError::Empty) => Ok(UserOptions::known_by(name, None)),
        Err(error) => Err(error.to_string()),
    }
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
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::parse;
    use crate::auth::options::UserOptions;
    use crate::model::{Credential, Verifier};

    fn password(user: &UserOptions) -> &[u8] {
        match &user.verifier {
            Some(Verifier::Password(password)) => password.expose(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn quotes_are_doubled_and_comments_skipped() {
        let text = concat!(
            "; users\r\n\"a\" \"x\"\r\n\n",
            "  \"o\"\"k\"   \"p\"\"w\" ignored\n",
            "\"c\"\"\"\"\" \"y\"\n",
        );
        let users = parse(text).unwrap();
        let names: Vec<_> = users.iter().map(|user| &*user.name).collect();
        assert_eq!(names, ["a", "o\"k", "c\"\""]);
        assert_eq!(password(&users[0]), b"x");
        assert_eq!(password(&users[1]), b"p\"w");
    }

    #[test]
    fn all_three_kinds_of_passwords_are_known() {
        let text = "\"p\" \"secret\"\n\
            \"m\" \"md53175bce1d3201d16594cebf9d7eb3f9d\"\n\
            \"s\" \"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\"\n\
            \"e\" \"\"\n";
        let [plain, md5, scram, empty] = &*parse(text).unwrap() else {
            panic!();
        };
        assert_eq!(password(plain), b"secret");
        assert!(matches!(
            plain.server_credential,
            Some(Credential::Password(_))
        ));
        assert!(matches!(md5.verifier, Some(Verifier::Md5(_))));
        assert!(matches!(scram.verifier, Some(Verifier::Scram(_))));
        assert!(empty.verifier.is_none());
        assert!(
            [md5, scram, empty]
                .iter()
                .all(|user| user.server_credential.is_none())
        );
    }

    #[test]
    fn a_bad_line_is_named_and_not_shown() {
        for (text, message) in [
            (
                "\"a\" \"b\"\nuser",
                "line 2: expected a user name in double quotes",
            ),
            ("\"a\"", "line 1: expected a password in double quotes"),
            (
                "\"a\" secret",
                "line 1: expected a password in double quotes",
            ),
            (
                "\"a\" \"secret",
                "line 1: expected a password in double quotes",
            ),
            ("\"\" \"secret\"", "line 1: the user name is empty"),
            (
                "\"a\" \"secret\"c",
                "line 1: unexpected characters after the password",
            ),
            (
                "\"a\" \"x\"\n\n\"a\" \"y\"",
                "line 3: user \"a\" stands in line 1 already",
            ),
            (
                "\"a\" \"SCRAM-SHA-256$4096:\"",
                "line 1: the SCRAM-SHA-256 verifier is damaged",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in any::<String>(), tail in "[\" ;a\\n]*") {
            let _ = parse(&text);
            let _ = parse(&tail);
        }

        #[test]
        fn what_is_quoted_is_read_back(name in "[^\\r\\n]+", word in "[a-z\"]+") {
            let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let users = parse(&format!("{} {}", quote(&name), quote(&word))).unwrap();
            prop_assert_eq!(&*users[0].name, &*name);
            prop_assert_eq!(password(&users[0]), word.as_bytes());
        }
    }
}
