//! Roles asked for in comments: `/* sluice: primary */`, `/*+ sluice: replica */`, `-- sluice: primary`.

use memchr::memmem;

/// The role that a comment asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hint {
    /// `sluice: primary`
    Primary,
    /// `sluice: replica`
    Replica,
}

impl Hint {
    /// The role of this name.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"primary") {
            Some(Self::Primary)
        } else if name.eq_ignore_ascii_case(b"replica") {
            Some(Self::Replica)
        } else {
            None
        }
    }
}

/// Looks for hints between the tokens of a text.
#[derive(Clone, Copy, Debug)]
pub struct Hints<'a> {
    text: &'a [u8],
    /// The word stands somewhere in the text.
    mentioned: bool,
    /// Where the last token ended.
    end: usize,
    found: Option<Hint>,
}

impl<'a> Hints<'a> {
    /// None found yet.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            mentioned: memmem::find(text, b"luice:").is_some()
                || memmem::find(text, b"LUICE:").is_some(),
            end: 0,
            found: None,
        }
    }

    /// A token starts and ends there: what stands before it is blank or comment.
    pub fn token(&mut self, start: usize, end: usize) {
        if self.mentioned {
            self.blank(start);
            self.end = end;
        }
    }

    /// The hint, now that the last token is passed. Of two that contradict each other, the primary counts.
    #[must_use]
    pub fn finish(mut self) -> Option<Hint> {
        if self.mentioned {
            self.blank(self.text.len());
        }
        self.found
    }

    fn blank(&mut self, end: usize) {
        let blank = self.text.get(self.end..end).unwrap_or_default();
        let lowered = blank.to_ascii_lowercase();
        for at in memmem::find_iter(&lowered, MARK) {
            let before = lowered.get(..at).unwrap_or_default().trim_ascii_end();
            let opens = [&b"/*"[..], b"/*+", b"--", b"#"]
                .iter()
                .any(|opening| before.ends_with(opening));
            let behind = lowered.get(at + MARK.len()..).unwrap_or_default();
            let word = behind.trim_ascii_start();
            let letters = word.iter().take_while(|byte| byte.is_ascii_alphabetic());
            let role = Hint::named(word.get(..letters.count()).unwrap_or_default());
            // A role that is not known is as good as the safe one.
            let role = role.unwrap_or(Hint::Primary);
            if opens && self.found != Some(Hint::Primary) {
                self.found = Some(role);
            }
        }
    }
}

const MARK: &[u8] = b"sluice:";

#[cfg(test)]
mod tests {
    use super::{Hint, Hints};

    fn hint(text: &str, tokens: &[(usize, usize)]) -> Option<Hint> {
        let mut hints = Hints::new(text.as_bytes());
        for (start, end) in tokens {
            hints.token(*start, *end);
        }
        hints.finish()
    }

    #[test]
    fn comments_of_every_form_are_heard() {
        assert_eq!(
            hint("/* sluice: primary */ x", &[(22, 23)]),
            Some(Hint::Primary)
        );
        assert_eq!(
            hint("x /*+ SLUICE:Replica */", &[(0, 1)]),
            Some(Hint::Replica)
        );
        assert_eq!(
            hint("x -- sluice: replica\n", &[(0, 1)]),
            Some(Hint::Replica)
        );
        assert_eq!(hint("x # sluice: replica", &[(0, 1)]), Some(Hint::Replica));
        assert_eq!(
            hint("x /* sluice: standby */", &[(0, 1)]),
            Some(Hint::Primary)
        );
        assert_eq!(hint("x /* not sluice: replica */", &[(0, 1)]), None);
    }

    #[test]
    fn what_stands_in_a_token_is_no_hint() {
        assert_eq!(hint("'/* sluice: replica */'", &[(0, 23)]), None);
    }

    #[test]
    fn the_primary_wins() {
        let text = "/* sluice: replica */ x /* sluice: primary */ y /* sluice: replica */";
        assert_eq!(hint(text, &[(22, 23), (46, 47)]), Some(Hint::Primary));
    }
}
