//! The shape of a statement's result: what a server compares before it uses a cached plan.
//!
//! A client that was told the columns of a statement may go on to read rows by them without asking
//! again. A server refuses to give it others ("cached plan must not change result type"), but one
//! on which Sluice has prepared the statement later, after a change of the tables, does not know.
//! So Sluice compares.

use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use super::rename;

/// Identifies names and types of the columns of a result; 0 if they are not known.
pub type Shape = u64;

/// The shape of what has no rows.
pub const NO_ROWS: Shape = 1;

/// The shape of a result whose description is too long to be compared, or cannot be read.
pub const NOT_COMPARED: Shape = 2;

/// The shape in the body of a RowDescription (PostgreSQL documentation, section 55.7). Which table a
/// column comes from does not count (`equalRowTypes` in the server's `tupdesc.c`).
pub fn of(body: &[u8]) -> Option<Shape> {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut hasher = HASHER.build_hasher();
    hasher.write(count);
    for _ in 0..u16::from_be_bytes(*count) {
        let (name, fields) = rename::split_cstr(rest)?;
        let (fields, behind) = fields.split_first_chunk::<18>()?;
        hasher.write(name);
        // Behind table and column number: type, its size and its modifier; then the format.
        hasher.write(fields.get(6..16)?);
        rest = behind;
    }
    Some(hasher.finish().max(NOT_COMPARED + 1))
}

/// An ErrorResponse that says what a server would say. Drivers look at the code and the name of the
/// routine before they prepare the statement anew.
pub fn refusal() -> Vec<u8> {
    let fields: [&[u8]; 5] = [
        b"SERROR",
        b"VERROR",
        b"C0A000",
        b"Mcached plan must not change result type",
        b"RRevalidateCachedQuery",
    ];
    let body = [fields.join(&0), vec![0, 0]].concat();
    let mut out = Vec::with_capacity(body.len() + 5);
    rename::message(b'E', &body, &mut out);
    out
}

/// True if an ErrorResponse says that a statement's result would have another shape.
pub fn is_refusal(whole: &[u8]) -> bool {
    memchr::memmem::find(whole, b"\0RRevalidateCachedQuery\0").is_some()
        && memchr::memmem::find(whole, b"\0C0A000\0").is_some()
}

#[cfg(test)]
mod tests {
    use super::{is_refusal, of, refusal};

    fn column(name: &str, table: u8, oid: u8, format: u8) -> Vec<u8> {
        let mut out = [name.as_bytes(), b"\0"].concat();
        out.extend_from_slice(&[0, 0, 0, table, 0, table]);
        out.extend_from_slice(&[0, 0, 0, oid, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, format]);
        out
    }

    #[test]
    fn names_and_types_make_a_shape() {
        let one = |column: Vec<u8>| of(&[vec![0, 1], column].concat()).unwrap();
        let a = one(column("a", 1, 23, 0));
        assert_eq!(a, one(column("a", 9, 23, 1)));
        assert_ne!(a, one(column("b", 1, 23, 0)));
        assert_ne!(a, one(column("a", 1, 25, 0)));
        let two = [vec![0, 2], column("a", 1, 23, 0), column("b", 1, 23, 0)].concat();
        assert_ne!(Some(a), of(&two));
        assert_eq!(of(&two[..two.len() - 1]), None);
    }

    #[test]
    fn our_refusal_is_one() {
        assert!(is_refusal(&refusal()));
        assert!(!is_refusal(b"E\0\0\0\x0dC0A000\0Mno\0\0"));
    }
}
