//! What `FOUND_ROWS()` of a client's own statements is, as far as replies tell.

/// How much is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    /// It is [`Found::rows`].
    #[default]
    Count,
    /// The server connection has to be asked: it has counted more rows than it has sent.
    Server,
    /// It is that, or something else: which, nobody has told.
    Doubtful,
}

/// The rows that a client's last query has found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    rows: u64,
    known: Known,
    /// MySQL may have counted rows of which `FOUND_ROWS()` does not tell, until a later statement takes the count over:
    /// those of a write that has failed, of a `CREATE TABLE … SELECT`, of a subquery of `SET`.
    pub(super) unfinished: bool,
    /// The server connection has counted the rows of others since.
    pub(super) elsewhere: bool,
}

impl Found {
    /// So many, for certain.
    pub const fn of(rows: u64) -> Self {
        Self {
            rows,
            known: Known::Count,
            unfinished: false,
            elsewhere: false,
        }
    }

    /// The number of rows, if it is certain.
    pub fn certain(self) -> Option<u64> {
        (self.known == Known::Count).then_some(self.rows)
    }

    /// The same for the client when it has logged in anew, on whatever server connection.
    pub fn carried(mut self) -> Self {
        if self.known == Known::Server {
            self.known = Known::Doubtful;
        }
        self.elsewhere = true;
        self
    }

    /// The server may have counted more rows than it has sent. What it has counted is the client's.
    pub(super) const fn open(&mut self) {
        *self = Self {
            known: Known::Server,
            ..Self::of(self.rows)
        };
    }

    /// A statement that writes to a table, or a `CALL`, begins: see [`Found::unfinished`]. `interrupted`: the server
    /// connection was asked something in between, and does not know any more what had been counted.
    pub(super) const fn taken_over(&mut self, interrupted: bool) {
        if !self.unfinished {
            return;
        }
        self.unfinished = false;
        self.elsewhere |= interrupted;
        self.known = if self.elsewhere {
            Known::Doubtful
        } else {
            Known::Server
        };
    }

    /// An `UPDATE` of MySQL has found so many rows, which it counts as a query does; but one that sees without looking
    /// that it can find none (`WHERE FALSE`, `LIMIT 0`) leaves the count as it was.
    pub(super) fn matched(&mut self, rows: u64) {
        if rows > 0 {
            *self = Self::of(rows);
        } else if self.known != Known::Server {
            self.doubt();
        }
    }

    /// It is what it was, or what nobody has told. (Behind no rows at all the server connection could go on from that.)
    pub(super) fn doubt(&mut self) {
        if self.known != Known::Count || self.rows > 0 {
            self.known = Known::Doubtful;
        }
    }

    /// True if the server connection has to be asked before it goes to others. It is, from here on.
    pub(super) fn ask(&mut self) -> bool {
        let asks = self.known == Known::Server;
        if asks {
            self.known = Known::Count;
        }
        asks
    }

    /// The same before it counts other rows for Sluice: then it can tell what was doubtful, too.
    pub(super) fn ask_before_others(&mut self) -> bool {
        let doubtful = self.known == Known::Doubtful && !self.elsewhere;
        self.ask() || doubtful
    }

    /// The server connection has said so.
    pub(super) const fn told(&mut self, rows: u64) {
        (self.rows, self.known) = (rows, Known::Count);
    }
}

#[cfg(test)]
mod tests {
    use super::Found;

    #[test]
    fn a_count_is_certain_or_asked_for() {
        let mut found = Found::of(3);
        assert_eq!((found.certain(), found.ask()), (Some(3), false));
        found.open();
        assert_eq!(found.certain(), None);
        assert!(found.ask() && !found.ask());
        found.told(7);
        assert_eq!(found.certain(), Some(7));
    }

    #[test]
    fn an_update_that_finds_nothing_leaves_a_doubt_but_behind_nothing() {
        let mut found = Found::of(0);
        found.matched(0);
        assert_eq!(found.certain(), Some(0));
        found.matched(2);
        assert_eq!(found.certain(), Some(2));
        found.matched(0);
        assert_eq!(found.certain(), None);
        // The connection may go: whoever asks is told that nobody knows it.
        assert!(!found.ask() && found.ask_before_others());
        found.elsewhere = true;
        assert!(!found.ask_before_others());
    }

    #[test]
    fn a_new_login_makes_nothing_certain() {
        assert_eq!(Found::of(3).carried().certain(), Some(3));
        let mut found = Found::of(3);
        found.open();
        let mut carried = found.carried();
        assert_eq!(carried.certain(), None);
        assert!(!carried.ask() && !carried.ask_before_others());
    }

    #[test]
    fn what_has_not_been_told_is_asked_for_once_it_is_taken_over() {
        let mut found = Found::of(3);
        found.taken_over(false);
        assert_eq!(found.certain(), Some(3));
        found.unfinished = true;
        assert_eq!(found.certain(), Some(3));
        found.taken_over(false);
        assert_eq!(found.certain(), None);
        assert!(found.ask());
        found.told(0);
        found.unfinished = true;
        found.taken_over(true);
        // Nobody knows it any more.
        assert_eq!(found.certain(), None);
        assert!(!found.ask_before_others());
    }
}
