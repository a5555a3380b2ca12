//! Where things stand in the text of the file: from a key to its place, and back.
//!
//! Says nothing about whether a value is right.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// The text of a configuration file with the spans of all its keys and values.
pub(super) struct Document<'a> {
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

/// A key of the file: which table, which of its repetitions, which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// Table name, without brackets.
    pub(super) table: &'a str,
    /// From 0, among the tables of this name.
    pub(super) index: usize,
    /// Name of this repetition, for the message; may be empty.
    pub(super) name: &'a str,
    /// The key, with dots into tables inside this one, and
    /// the number of a repetition, from 0, before a key of one that is repeated; empty for the table itself.
    pub(super) key: String,
}

/// Line and column, both from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl<'a> Document<'a> {
    /// Reads as much of the text as is TOML.
    pub(super) fn new(text: &'a str) -> Self {
        let (root, _) = DeTable::parse_recoverable(text);
        Self { text, root }
    }

    /// What stands at a span of bytes.
    pub(super) fn text(&self, span: Range<usize>) -> Option<&'a str> {
        self.text.get(span)
    }

    /// The position of a byte.
    pub(super) fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        Position {
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            column: 1 + in_line.chars().count(),
        }
    }

    /// Where the value of a key begins; if the key is not there, its table.
    pub(super) fn find(&self, place: &Place<'_>) -> Option<Position> {
        let table = self.root.get_ref().get(place.table)?;
        let mut found = match table.get_ref() {
            DeValue::Array(tables) => tables.get(place.index)?,
            _ => table,
        };
        for key in place.key.split('.') {
            if let DeValue::Array(tables) = found.get_ref()
                && let Some(table) = key.parse().ok().and_then(|index: usize| tables.get(index))
            {
                found = table;
                continue;
            }
            let inner = match found.get_ref() {
                DeValue::Array(tables) => tables.first(),
                _ => Some(found),
            };
            let value = inner
                .and_then(|inner| inner.get_ref().as_table())
                .and_then(|inner| inner.get(key));
            let Some(value) = value else {
                break;
            };
            found = value;
        }
        Some(self.position(found.span().start))
    }

    /// The key that a byte belongs to, by itself or by its value; or the table by its header.
    pub(super) fn owner(&self, offset: usize) -> Option<Place<'_>> {
        self.root.get_ref().iter().find_map(|(table, value)| {
            let table_name: &str = table.get_ref();
            let place = |index, name, key| Place {
                table: table_name,
                index,
                name,
                key,
            };
            if let DeValue::Array(tables) = value.get_ref() {
                let mut numbered = tables.iter().enumerate();
                let inside = numbered.find_map(|(index, each)| {
                    let key = key_at(each, offset)?;
                    Some(place(index, name_of(each), key))
                });
                if inside.is_some() {
                    return inside;
                }
            }
            let key = key_at(value, offset)
                .or_else(|| table.span().contains(&offset).then(String::new))?;
            Some(place(0, "", key))
        })
    }
}

fn name_of<'a>(table: &'a Spanned<DeValue<'_>>) -> &'a str {
    let table = table.get_ref().as_table();
    let name = table.and_then(|table| table.get("name"));
    name.and_then(|name| name.get_ref().as_str())
        .unwrap_or_default()
}

/// The key inside `value` that owns the byte; empty if the byte is in no key, but in the value.
fn key_at(value: &Spanned<DeValue<'_>>, offset: usize) -> Option<String> {
    let inside = match value.get_ref() {
        DeValue::Table(table) => table.iter().find_map(|(key, value)| {
            let own = key.span().contains(&offset);
            let inner = if own {
                String::new()
            } else {
                key_at(value, offset)?
            };
            let dot = if inner.is_empty() { "" } else { "." };
            Some(format!("{}{dot}{inner}", key.get_ref()))
        }),
        DeValue::Array(values) => in_array(values, offset),
        _ => None,
    };
    inside.or_else(|| contains(&value.span(), offset).then(String::new))
}

fn in_array(values: &DeArray<'_>, offset: usize) -> Option<String> {
    values.iter().find_map(|value| key_at(value, offset))
}

/// The end belongs to it, for a value that is missing.
fn contains(span: &Range<usize>, offset: usize) -> bool {
    span.start <= offset && offset <= span.end
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table, name, key, ..
        } = self;
        match (name.is_empty(), key.is_empty()) {
            (true, true) => write!(f, "`{table}`"),
            (true, false) => write!(f, "`{table}.{key}`"),
            (false, true) => write!(f, "{table} {name:?}"),
            (false, false) => write!(f, "{table} {name:?}, `{key}`"),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{Document, Place, Position};

    const TEXT: &str = "# é\n[general]\nlog_level = \"é\" # x\n\n[[listener]]\nname = \"a\"\n\n\
        [[ \"listener\" ]]\nlist = [\n  \"[[listener]]\",\n]\nname = \"b\"\n\
        [[group]]\nname = \"g\"\ntarget = [ { address = 1 } ]\n";

    fn place(table: &'static str, index: usize, key: &str) -> Place<'static> {
        Place {
            table,
            index,
            name: "",
            key: key.into(),
        }
    }

    #[test]
    fn keys_are_found_wherever_they_stand() {
        let document = Document::new(TEXT);
        for (table, index, key, line, column) in [
            ("general", 0, "log_level", 3, 13),
            ("general", 0, "absent", 2, 1),
            ("listener", 0, "name", 6, 8),
            ("listener", 1, "name", 12, 8),
            ("listener", 1, "", 8, 1),
            ("group", 0, "target.address", 15, 24),
        ] {
            let found = document.find(&place(table, index, key));
            assert_eq!(found, Some(Position { line, column }), "{table} {key}");
        }
        assert_eq!(document.find(&place("absent", 0, "x")), None);
        assert_eq!(document.find(&place("listener", 2, "x")), None);
    }

    #[test]
    fn bytes_have_owners() {
        let document = Document::new(TEXT);
        let owner = |text: &str| {
            let owner = document.owner(TEXT.rfind(text).unwrap());
            owner.map(|place| place.to_string())
        };
        for (text, expected) in [
            ("\"é\"", "`general.log_level`"),
            ("[general]", "`general`"),
            ("\"[[listener]]\"", "listener \"b\", `list`"),
            ("address", "group \"g\", `target.address`"),
            ("1 }", "group \"g\", `target.address`"),
        ] {
            assert_eq!(owner(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(owner("# é"), None);
    }

    proptest! {
        #[test]
        fn any_text_has_positions(text in any::<String>(), offset in any::<usize>()) {
            let document = Document::new(&text);
            let _ = document.owner(offset);
            let position = document.position(offset % (text.len() + 1));
            prop_assert!(position.line <= 1 + text.matches('\n').count());
        }
    }
}
