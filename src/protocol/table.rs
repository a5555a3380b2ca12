//! What a server answers to a question of Sluice's own: a few rows of text.

/// Rows with named columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Box<str>>,
    rows: Vec<Vec<Option<Box<str>>>>,
}

impl Table {
    /// Adds the name of the next column.
    pub fn name(&mut self, name: &[u8]) {
        if self.columns.len() < MOST_COLUMNS {
            self.columns.push(String::from_utf8_lossy(name).into());
        }
    }

    /// Adds a row; `None` is a null. Beyond a number that no answer has, rows are left out.
    pub fn row<'a>(&mut self, values: impl Iterator<Item = Option<&'a [u8]>>) {
        if self.rows.len() >= MOST_ROWS {
            return;
        }
        let text = |value: &[u8]| String::from_utf8_lossy(value).into();
        let values = values.take(MOST_COLUMNS);
        self.rows
            .push(values.map(|value| value.map(text)).collect());
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The value of a column, by any of the names that versions of servers have given it, case
    /// apart. `None` for a null, and where there is no such row or column.
    pub fn value(&self, row: usize, names: &[&str]) -> Option<&str> {
        let named = |column: &str| names.iter().any(|name| column.eq_ignore_ascii_case(name));
        let column = self.columns.iter().position(|column| named(column))?;
        self.rows.get(row)?.get(column)?.as_deref()
    }
}

/// As many as `SHOW REPLICA STATUS` has, twice.
const MOST_COLUMNS: usize = 128;
const MOST_ROWS: usize = 1024;
