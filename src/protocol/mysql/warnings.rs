//! The warnings of a client's last command, kept so that they can be shown after its server
//! connection has gone to others.

use super::wire::put_lenenc_bytes;

/// Rows of `SHOW WARNINGS`.
#[derive(Debug, Default)]
pub struct Warnings {
    definitions: Vec<Box<[u8]>>,
    rows: Vec<Box<[u8]>>,
    bytes: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum State {
    /// There are none, or all are kept.
    #[default]
    Known,
    /// They have to be asked for.
    Open,
    /// They are being read.
    Reading,
    /// There are too many to be kept.
    TooMany,
}

impl Warnings {
    /// The last command has left warnings (or an error), which the server connection knows.
    pub fn open(&mut self) {
        *self = Self {
            state: State::Open,
            ..Self::default()
        };
    }

    /// A command that is no statement has left warnings (or an error) behind those that are there.
    pub fn open_more(&mut self) {
        self.state = State::Open;
    }

    /// Sluice itself has answered such a command with this error. Left out where there is no more room, as a server
    /// leaves out what is beyond `max_error_count`.
    pub fn add_error(&mut self, code: u16, text: &str) {
        let mut row = Vec::new();
        for value in ["Error", &code.to_string(), text] {
            put_lenenc_bytes(&mut row, value.as_bytes());
        }
        if self.bytes + row.len() <= MOST_BYTES {
            self.bytes += row.len();
            self.rows.push(row.into());
        }
    }

    /// True if the last command has left some, which are kept here.
    pub fn are_kept(&self) -> bool {
        self.state == State::Known && !self.rows.is_empty()
    }

    /// True if they have to be asked for before the server connection goes to others.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// True if some are kept here, and others behind them still have to be asked for.
    pub fn are_parted(&self) -> bool {
        self.state == State::Open && !self.rows.is_empty()
    }

    /// They are being asked for.
    pub fn asked(&mut self) {
        self.state = State::Reading;
        self.definitions.clear();
    }

    /// The definition of a column of theirs.
    pub fn define(&mut self, definition: &[u8]) {
        if self.state == State::Reading {
            self.bytes += definition.len();
            self.definitions.push(definition.into());
        }
    }

    /// A row of them.
    pub fn keep(&mut self, row: &[u8]) {
        self.bytes += row.len();
        if self.bytes > MOST_BYTES {
            self.state = State::TooMany;
            self.rows = Vec::new();
        }
        if self.state == State::Reading {
            self.rows.push(row.into());
        }
    }

    /// All have been read.
    pub fn complete(&mut self) {
        if self.state == State::Reading {
            self.state = State::Known;
        }
    }

    /// There are more than are kept: the server connection must be.
    pub fn are_too_many(&self) -> bool {
        self.state == State::TooMany
    }

    /// The next command has none yet.
    pub fn clear(&mut self) {
        if self.state != State::Known || !self.rows.is_empty() {
            *self = Self::default();
        }
    }

    /// True if the last command has left none.
    pub fn are_none(&self) -> bool {
        self.state == State::Known && self.rows.is_empty()
    }

    /// The definitions of the columns of the rows kept.
    pub fn definitions(&self) -> &[Box<[u8]>] {
        &self.definitions
    }

    /// The rows kept.
    pub fn rows(&self) -> &[Box<[u8]>] {
        &self.rows
    }
}

/// What is kept for one client, in bytes.
const MOST_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::{MOST_BYTES, Warnings};

    #[test]
    fn they_are_kept_within_bounds() {
        let mut warnings = Warnings::default();
        warnings.open();
        assert!(warnings.is_open());
        assert!(!warnings.are_none());
        warnings.asked();
        warnings.define(b"a column");
        warnings.keep(b"a row");
        warnings.complete();
        assert_eq!(warnings.definitions().len(), 1);
        assert!(!warnings.are_none());
        assert_eq!(warnings.rows().len(), 1);
        warnings.open();
        warnings.asked();
        warnings.keep(&vec![0; MOST_BYTES + 1]);
        assert!(warnings.are_too_many());
        warnings.clear();
        assert!(warnings.rows().is_empty() && !warnings.are_too_many());
    }

    #[test]
    fn errors_of_our_own_are_kept_within_bounds() {
        let mut warnings = Warnings::default();
        for _ in 0..MOST_BYTES {
            warnings.add_error(1243, "Unknown prepared statement handler");
        }
        assert!(warnings.are_kept() && !warnings.are_too_many());
        assert!(warnings.rows().len() < MOST_BYTES / 32);
    }
}
