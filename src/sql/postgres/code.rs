//! `DO` blocks: what the words of their body say that no look at the server would show later.
//!
//! The body is a string in a language of its own, and may hold further strings that it runs. So
//! words are looked at wherever they stand. Much of what a block can leave behind can be asked for
//! afterwards (temporary tables, locks, settings of the server's own); this is about the rest.

use super::words::function;
use crate::sql::touches::{Touch, Touches};

/// What `DO …`, all of it, may leave behind unseen.
pub(super) fn hidden(text: &[u8]) -> Touches {
    let mut touches = Touches::NONE;
    // The `SET` of an `UPDATE` is another.
    let mut updates = false;
    let mut words = Words { text, at: 0 };
    while let Some((word, next)) = words.next() {
        match word.len() {
            6 if is(word, b"update") => updates = true,
            10 if is(word, b"set_config") => touches.insert(Touch::SetUnknown),
            3 if is(word, b"set") => {
                let local = words.clone().next().is_some_and(|(word, _)| {
                    is(word, b"local") || is(word, b"constraints") || is(word, b"transaction")
                });
                if !updates && !local {
                    touches.insert(Touch::SetUnknown);
                }
                updates = false;
            }
            5 if is(word, b"reset") => touches.insert(Touch::SetUnknown),
            4 if is(word, b"load") && matches!(next, Some(b'\'' | b'E' | b'e' | b'$')) => {
                touches.insert(Touch::Load);
            }
            _ => touches.extend(function(word).without(Touch::CodeBlock)),
        }
    }
    touches
}

fn is(word: &[u8], lower: &[u8]) -> bool {
    word.eq_ignore_ascii_case(lower)
}

#[derive(Clone)]
struct Words<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    /// The next word, and the first byte behind it that is no space.
    fn next(&mut self) -> Option<(&'a [u8], Option<u8>)> {
        let rest = self.text.get(self.at..)?;
        let start = rest.iter().position(|byte| is_word(*byte))?;
        let rest = rest.get(start..)?;
        let length = rest.iter().position(|byte| !is_word(*byte));
        let length = length.unwrap_or(rest.len());
        self.at += start + length;
        let behind = self.text.get(self.at..).unwrap_or_default();
        let next = behind.iter().find(|byte| !byte.is_ascii_whitespace());
        Some((rest.get(..length)?, next.copied()))
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::hidden;
    use crate::sql::touches::{Touch, Touches};

    #[test]
    fn what_can_be_asked_for_later_is_not_hidden() {
        for text in [
            "do $$ begin create temp table a(); end $$",
            "do $$ begin update t set a = 1; perform f(); set local x.y = 1; end $$",
            "do $$ begin execute format('alter table %I add b int', 'a'); end $$",
        ] {
            assert_eq!(hidden(text.as_bytes()), Touches::NONE, "{text}");
        }
    }

    #[test]
    fn what_cannot_is() {
        for (text, touch) in [
            ("do $$ begin set a.b = 1; end $$", Touch::SetUnknown),
            (
                "do $$begin update t set a=1; set b.c=1; end$$",
                Touch::SetUnknown,
            ),
            ("do $$ begin execute 'RESET a.b'; end $$", Touch::SetUnknown),
            (
                "do 'perform Set_Config(''a.b'', ''1'', false)'",
                Touch::SetUnknown,
            ),
            ("do $$ begin load 'auto_explain'; end $$", Touch::Load),
            (
                "do $$ begin perform setseed(0.5); end $$",
                Touch::RandomSeed,
            ),
            (
                "do $$ begin perform nextval('s'); end $$",
                Touch::SequenceState,
            ),
        ] {
            assert_eq!(hidden(text.as_bytes()), Touches::of(touch), "{text}");
        }
    }
}
