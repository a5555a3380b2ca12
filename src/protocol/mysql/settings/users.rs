//! User variables of which a session's settings know, and do not know.

use super::{List, NEVER_SET, Settings};
use crate::sql::mysql::Verdict;

impl Settings {
    /// Whether a user variable that a server connection holds is one that the session has set, with its value;
    /// name and value in hexadecimal digits.
    pub(in crate::protocol::mysql) fn explains(&self, name: &[u8], value: &[u8]) -> bool {
        let name = unhexed(name).and_then(|name| String::from_utf8(name).ok());
        let Some(variable) = name.and_then(|name| self.content.users.get(&*name.to_lowercase()))
        else {
            return false;
        };
        let known = (!variable.null).then(|| digits(&variable.sql)).flatten();
        known.is_some_and(|known| known.eq_ignore_ascii_case(value))
    }

    /// SQL that sets the user variables that these statements mention to `NULL`, but for those that the session
    /// is known to have set: another client may have left values in them. Empty if there are none.
    /// `wanted` is asked about each name.
    pub(in crate::protocol::mysql) fn unset(
        &self,
        verdict: &Verdict,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Vec<u8> {
        let mut list = List::default();
        for statement in &verdict.statements {
            for name in &statement.variables {
                if !self.content.users.contains_key(name) && wanted(name) {
                    list.user(name, NEVER_SET);
                    list.user(name, b"NULL");
                }
            }
        }
        list.sql
    }
}

/// The bytes that a server holds for a constant in the words of [`constant`](super::constant), in hexadecimal
/// digits; `None` if they cannot be told.
fn digits(sql: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(sql).ok()?;
    if text.eq_ignore_ascii_case("true") {
        return Some(hexed(b"1"));
    }
    if text.eq_ignore_ascii_case("false") {
        return Some(hexed(b"0"));
    }
    let quoted = text
        .split_once(['X', 'x'])
        .and_then(|(before, rest)| Some((before, rest.strip_prefix('\'')?)));
    if let Some((before, rest)) = quoted
        && (before.is_empty() || before.starts_with('_'))
    {
        return Some(rest.split_once('\'')?.0.as_bytes().to_vec());
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return Some(digits.as_bytes().to_vec());
    }
    let plain = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    text.bytes()
        .all(|byte| plain(&byte))
        .then(|| hexed(text.as_bytes()))
}

fn hexed(bytes: &[u8]) -> Vec<u8> {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).map_or(b'0', |digit| digit as u8);
    let pairs = bytes
        .iter()
        .map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    pairs.flatten().collect()
}

fn unhexed(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    digits
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::protocol::mysql::login::Flavor;
    use crate::protocol::mysql::settings::Settings;
    use crate::sql::mysql::verdict::{Assignment, Literal};
    use crate::sql::mysql::{Mode, classify};

    fn literal(text: &str) -> Literal {
        let mode = Mode::new(crate::sql::mysql::Flavor::MariaDb, 101_100);
        let verdict = classify(format!("set @a = {text}").as_bytes(), mode);
        let [Assignment::User { value, .. }] = verdict.statements[0].assignments() else {
            panic!("{text}");
        };
        value.clone().unwrap()
    }

    #[test]
    fn values_that_the_session_has_set_are_explained() {
        let hex = |text: &str| super::hexed(text.as_bytes());
        let fresh = Settings::fresh(Flavor::MariaDb);
        for (text, held) in [
            ("5", "5"),
            ("-7", "-7"),
            ("1.50", "1.50"),
            ("'it''s'", "it's"),
            ("x'4142'", "AB"),
            ("true", "1"),
        ] {
            let set = fresh
                .with_user_variable("a", &literal(text), fresh.charsets())
                .unwrap();
            assert!(set.explains(b"41", &hex(held)), "{text}");
            assert!(
                set.explains(b"61", &hex(held).to_ascii_uppercase()),
                "{text}"
            );
            assert!(!set.explains(b"41", &hex("other")), "{text}");
            assert!(!set.explains(b"42", &hex(held)), "{text}");
            assert!(!set.explains(b"4", &hex(held)), "{text}");
            let null = set
                .with_user_variable("a", &literal("null"), fresh.charsets())
                .unwrap();
            assert!(!null.explains(b"41", &hex(held)), "{text}");
        }
    }

    #[test]
    fn only_what_is_not_known_is_unset() {
        let mode = Mode::new(crate::sql::mysql::Flavor::MySql, 80_400);
        let fresh = Settings::fresh(Flavor::MySql);
        let set = fresh
            .with_user_variable("a", &literal("5"), fresh.charsets())
            .unwrap();
        let verdict = classify(b"select @a, @b; select 1", mode);
        assert_eq!(set.unset(&classify(b"select @a", mode), |_| true), b"");
        assert_eq!(
            set.unset(&verdict, |_| true),
            fresh.unset(&classify(b"select @b", mode), |_| true)
        );
        assert_eq!(
            set.unset(&classify(b"select @A, @`b``c`, @c", mode), |name| name
                != "c"),
            b"SET @`b``c` := X'', @`b``c` := NULL"
        );
    }
}
