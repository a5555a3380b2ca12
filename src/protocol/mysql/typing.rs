//! What MySQL makes of the types of parameters. A value that is a number, or a time, becomes the type of its parameter
//! wherever the statement leaves that open, and stays so: texts that come later are read as numbers, and a comparison with
//! a column of texts becomes one of numbers. So a statement on a server connection serves only those whose own executions
//! would have made the same of it.
//!
//! Where there has been an execution with a cursor, MySQL ends the result of one without in a way that clients do not
//! understand, so those are kept apart, too.

use smallvec::{SmallVec, smallvec};

use super::wire::Reader;

/// One for each parameter; those of most statements need no memory of their own.
type Kinds = SmallVec<[u8; 16]>;

/// What executions have made of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typing {
    /// Of which kinds its parameters have been so far; none stands for texts alone.
    kinds: Kinds,
    /// It has had a cursor.
    cursor: bool,
}

/// What one execution gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Of which kinds its values are.
    kinds: Kinds,
    cursor: bool,
}

impl Typing {
    fn of(&self, parameter: usize) -> u8 {
        self.kinds.get(parameter).copied().unwrap_or(TEXT)
    }

    /// After an execution.
    pub fn after(&self, given: &Given) -> Self {
        let cursor = self.cursor || given.cursor;
        if given.kinds.iter().all(|kind| matches!(*kind, TEXT | NULL)) {
            let kinds = self.kinds.clone();
            return Self { kinds, cursor };
        }
        let kinds = given.kinds.iter().enumerate().map(|(parameter, kind)| {
            let before = self.of(parameter);
            // The server keeps to what can hold the values of both.
            if *kind == NULL {
                before
            } else {
                before.max(*kind)
            }
        });
        let kinds = kinds.collect();
        Self { kinds, cursor }
    }

    /// True if an execution means the same as where it leads to what is `wanted`. To NULL the type is nothing.
    pub fn suits(&self, wanted: &Self, given: &Given) -> bool {
        let mut kinds = given.kinds.iter().enumerate();
        self.cursor == given.cursor
            && kinds.all(|(parameter, kind)| {
                *kind == NULL || self.of(parameter) == wanted.of(parameter)
            })
    }
}

impl Given {
    /// Nothing that changes a type, for so many parameters.
    pub fn texts(parameters: u16) -> Self {
        Self {
            kinds: smallvec![TEXT; usize::from(parameters)],
            cursor: false,
        }
    }

    /// The same with a cursor, or without.
    pub fn with_cursor(self, cursor: bool) -> Self {
        Self { cursor, ..self }
    }

    /// Reads types as they stand in an execution, and which values are NULL. `named`: with the names of parameters.
    pub fn read(types: &[u8], nulls: &[u8], parameters: u16, named: bool) -> Option<Self> {
        let mut reader = Reader::new(types);
        let mut kinds = Kinds::with_capacity(parameters.into());
        for parameter in 0..usize::from(parameters) {
            let [kind, flags] = reader.u16()?.to_le_bytes();
            if named {
                reader.lenenc_bytes()?;
            }
            let byte = nulls.get(parameter / 8).copied().unwrap_or_default();
            kinds.push(match byte & (1 << (parameter % 8)) {
                0 => class(kind, flags & UNSIGNED != 0),
                _ => NULL,
            });
        }
        Some(Self {
            kinds,
            cursor: false,
        })
    }
}

/// Types by what of them can hold the values of those before (MySQL source, `Prepared_statement::check_parameter_types`).
const fn class(kind: u8, unsigned: bool) -> u8 {
    match kind {
        // TINY, SHORT, LONG, LONGLONG, INT24, YEAR, BOOL
        1..=3 | 8 | 9 | 13 | 244 if unsigned => 2,
        1..=3 | 8 | 9 | 13 | 244 => 1,
        // DECIMAL, NEWDECIMAL
        0 | 246 => 3,
        // FLOAT, DOUBLE
        4 | 5 => 4,
        // DATE
        10 => 5,
        // TIME
        11 => 6,
        // TIMESTAMP, DATETIME
        7 | 12 => 7,
        6 => NULL,
        _ => TEXT,
    }
}

/// What can be read as any type.
const TEXT: u8 = 0;
/// A value that has none.
const NULL: u8 = u8::MAX;
/// `UNSIGNED_FLAG`, in the upper byte of a type.
const UNSIGNED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Given, Typing};

    fn given(kinds: &[u8]) -> Given {
        let types: Vec<u8> = kinds.iter().flat_map(|kind| [*kind, 0]).collect();
        Given::read(&types, &[], u16::try_from(kinds.len()).unwrap(), false).unwrap()
    }

    const INT: u8 = 8;
    const DOUBLE: u8 = 5;
    const TEXT: u8 = 0xFD;
    const NULL: u8 = 6;

    #[test]
    fn a_number_is_remembered_and_a_text_is_not() {
        let fresh = Typing::default();
        assert_eq!(fresh.after(&given(&[TEXT, NULL])), fresh);
        let number = fresh.after(&given(&[INT, TEXT]));
        assert_ne!(number, fresh);
        assert_eq!(number.after(&given(&[TEXT, TEXT])), number);
        assert_eq!(number.after(&given(&[NULL, NULL])), number);
        let double = number.after(&given(&[DOUBLE, TEXT]));
        assert_eq!(double.after(&given(&[INT, TEXT])), double);
    }

    #[test]
    fn what_was_a_number_to_others_does_not_suit_a_text() {
        let fresh = Typing::default();
        let number = fresh.after(&given(&[INT, TEXT]));
        let texts = given(&[TEXT, TEXT]);
        assert!(!number.suits(&fresh.after(&texts), &texts));
        assert!(number.suits(&number.after(&texts), &texts));
        let null = given(&[NULL, TEXT]);
        assert!(number.suits(&fresh.after(&null), &null));
        let numbers = given(&[INT, TEXT]);
        assert!(number.suits(&fresh.after(&numbers), &numbers));
        assert!(!fresh.suits(&fresh.after(&numbers), &numbers));
        assert!(!number.suits(&fresh, &Given::texts(2)));
    }

    #[test]
    fn what_has_had_a_cursor_is_for_cursors() {
        let (fresh, with) = (Typing::default(), Given::default().with_cursor(true));
        let had = fresh.after(&with);
        assert!(had.suits(&fresh.after(&with), &with));
        assert!(!fresh.suits(&had, &with));
        assert!(!had.suits(&fresh, &Given::default()));
        assert!(!had.suits(&had, &Given::default()));
    }

    #[test]
    fn names_and_nulls_are_seen() {
        let types = b"\x08\x80\x01a\x08\0\0";
        let read = Given::read(types, b"\x02", 2, true).unwrap();
        assert_eq!(*read.kinds, [2, super::NULL]);
        assert_eq!(Given::read(types, b"\x02", 3, true), None);
    }

    proptest! {
        #[test]
        fn any_types_are_survived(types: Vec<u8>, nulls: Vec<u8>, parameters: u16, named in any::<bool>()) {
            let _ = Given::read(&types, &nulls, parameters, named);
        }
    }
}
