//! A look at the commonest texts, without a look at each token, and what is alike in them.
//!
//! A single `SELECT`, `UPDATE` or `DELETE` of names, numbers, simple strings and operators is read alike by PostgreSQL and
//! MySQL, in every mode and character set. Whatever is not seen at once to be so is left to the scan of the dialect: a
//! parenthesis, a comment, a backslash, a quoted name, a word that could make it more.

use smallvec::SmallVec;

/// What a text is seen to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// A query that writes and locks nothing.
    Read,
    /// An `UPDATE` or `DELETE`.
    Change,
}

/// A query that is plainly a read, with its numbers and strings made equal: what is read from where by which functions and
/// operators is that of the text, in either dialect.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Skeleton(SmallVec<[u8; 256]>);

impl Skeleton {
    /// That of `text`, which is put where this one was; `None` if it is not seen to be such a query.
    pub fn of(&mut self, text: &[u8]) -> Option<&[u8]> {
        if !text.get(..6)?.eq_ignore_ascii_case(b"select") {
            return None;
        }
        self.0.clear();
        let mut bones = Bones {
            out: &mut self.0,
            left: text,
        };
        look(text, Some(&mut bones))?;
        let Bones { out, left } = bones;
        out.extend_from_slice(left);
        Some(&self.0)
    }
}

/// A skeleton that is being put together.
pub(super) struct Bones<'s, 't> {
    out: &'s mut SmallVec<[u8; 256]>,
    /// What has not been copied begins here: between constants all is copied at once.
    left: &'t [u8],
}

impl<'t> Bones<'_, 't> {
    /// Copies all but the last `len` bytes, of which a constant and `behind` are made; `instead` stands for it.
    fn join(&mut self, len: usize, instead: &'static [u8], behind: &'t [u8]) {
        let kept = self.left.len().saturating_sub(len);
        self.out
            .extend_from_slice(self.left.get(..kept).unwrap_or_default());
        self.out.extend_from_slice(instead);
        self.left = behind;
    }
}

/// What the text is, if that can be seen at once; and its bones, if they are wanted. One function for both, so that
/// whoever wants both has its code in the processor's cache the second time.
pub(super) fn look<'t>(text: &'t [u8], mut bones: Option<&mut Bones<'_, 't>>) -> Option<Plain> {
    let (word, mut rest) = text.split_at_checked(6)?;
    let plain = if word.eq_ignore_ascii_case(b"select") {
        Plain::Read
    } else if word.eq_ignore_ascii_case(b"update") || word.eq_ignore_ascii_case(b"delete") {
        Plain::Change
    } else {
        return None;
    };
    if rest.first() != Some(&b' ') {
        return None;
    }
    while let Some((&byte, behind)) = rest.split_first() {
        rest = match class(byte) {
            Class::Letter => behind_word(rest)?,
            Class::Mark => behind,
            Class::Digit => {
                let after = behind_number(behind)?;
                // A larger one is of another type, which other operators take.
                if let Some(bones) = &mut bones
                    && rest.len() - after.len() <= INT4_DIGITS
                {
                    bones.join(rest.len(), b"0", after);
                }
                after
            }
            Class::Quote => {
                let after = behind_string(behind)?;
                if let Some(bones) = &mut bones {
                    bones.join(rest.len(), b"''", after);
                }
                after
            }
            Class::Minus if behind.first() != Some(&b'-') => behind,
            Class::End if behind.iter().all(|byte| *byte == b' ') => break,
            _ => return None,
        };
    }
    Some(plain)
}

/// So many digits are an `integer`, whichever they are.
const INT4_DIGITS: usize = 9;

/// What a byte is outside strings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Of a name, and may begin one.
    Letter,
    /// Of a name or number.
    Digit,
    /// Between names, and of no other meaning here.
    Mark,
    Quote,
    /// Two begin a comment.
    Minus,
    End,
    /// What is left to the scan.
    Odd,
}

#[inline]
fn class(byte: u8) -> Class {
    // Has an entry for each byte: nothing is compared.
    CLASSES
        .get(usize::from(byte))
        .map_or(Class::Odd, |class| *class)
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Odd; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[expect(
            clippy::indexing_slicing,
            reason = "in a constant, and below the length"
        )]
        {
            classes[byte as usize] = match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => Class::Letter,
                b'0'..=b'9' => Class::Digit,
                b' ' | b',' | b'.' | b'=' | b'<' | b'>' | b'*' | b'+' | b':' | b'%' | b'\n'
                | b'\t' | b'\r' => Class::Mark,
                b'\'' => Class::Quote,
                b'-' => Class::Minus,
                b';' => Class::End,
                _ => Class::Odd,
            };
        }
        byte += 1;
    }
    classes
};

/// What follows the word at the start; `None` if it could mean more than a name.
#[inline]
fn behind_word(text: &[u8]) -> Option<&[u8]> {
    let goes_on = |byte: u8| matches!(class(byte), Class::Letter | Class::Digit);
    let len = text.iter().position(|byte| !goes_on(*byte));
    let (word, behind) = text.split_at(len.unwrap_or(text.len()));
    // Other letters and `$` go on with the name; a quote makes it the prefix of a string.
    if matches!(behind.first(), Some(b'\'' | b'"' | b'$' | b'\\' | 0x80..)) {
        return None;
    }
    // To MySQL, digits behind a name and a dot are a name, too.
    if let [b'.', b'0'..=b'9', ..] = behind {
        return None;
    }
    let first = word.first().map_or(0, |first| first | 0x20);
    let candidate: &[u8] = match (word.len(), first) {
        (2, b'n') => b"no",
        (3, b'k') => b"key",
        (4, b'i') => b"into",
        (5, b's') => b"share",
        (5, b'm') => b"merge",
        (6, b'i') => b"insert",
        (6, b'u') => b"update",
        (6, b'd') => b"delete",
        // PostgreSQL's temporary schemas begin so.
        (7.., b'p') if word.get(..7)?.eq_ignore_ascii_case(b"pg_temp") => return None,
        _ => return Some(behind),
    };
    (!word.eq_ignore_ascii_case(candidate)).then_some(behind)
}

/// What follows a number's further digits; `None` if it is no such simple one.
#[inline]
fn behind_number(text: &[u8]) -> Option<&[u8]> {
    let len = text.iter().position(|byte| !byte.is_ascii_digit());
    let behind = text.get(len.unwrap_or(text.len())..)?;
    let odd =
        |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'\'' | b'$' | 0x80..);
    (!behind.first().is_some_and(odd)).then_some(behind)
}

/// What follows a string whose quote has been read; `None` if what a backslash means could matter.
#[inline]
fn behind_string(text: &[u8]) -> Option<&[u8]> {
    let len = memchr::memchr2(b'\'', b'\\', text)?;
    text.get(len..)?.strip_prefix(b"'")
}

#[cfg(test)]
mod tests {
    use super::Skeleton;

    #[test]
    fn numbers_and_strings_do_not_tell_skeletons_apart() {
        let of = |text: &str| {
            let mut skeleton = Skeleton::default();
            let skeleton = skeleton.of(text.as_bytes())?;
            Some(String::from_utf8(skeleton.to_vec()).unwrap())
        };
        assert_eq!(
            of("SELECT a1 FROM t2 WHERE b = 'it''s' AND c > -12.5 AND d = 12345678901").as_deref(),
            Some("SELECT a1 FROM t2 WHERE b = '''' AND c > -0.0 AND d = 12345678901")
        );
        assert_eq!(of("select 7 limit 123456789"), of("select 9 limit 1"));
        assert_eq!(of("select 1 -- 2"), None);
        assert_eq!(of("update t set a = 1"), None);
    }

    #[test]
    fn digits_that_are_a_name_stay() {
        // To MySQL.
        let mut skeleton = Skeleton::default();
        assert_eq!(skeleton.of(b"select a from t.5"), None);
        let plain = b"select a from t where b > .5 and c < 1.5";
        assert!(skeleton.of(plain).is_some());
    }
}
