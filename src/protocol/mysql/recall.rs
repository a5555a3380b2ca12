//! Texts that ask about the session or about the client's last command, whose server connection
//! may have served others since.

use super::answer::{self, Column};
use super::effects::TAKES_OVER;
use super::found::Found;
use super::frame::Header;
use super::front::MyFront;
use super::idle::{errand_of, interrupted, interrupts_itself};
use super::login::Flavor;
use super::status::Status;
use crate::sql::mysql::verdict::{Statement, Unreturned};
use crate::sql::mysql::{Touch, Touches, Verdict};

/// What becomes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recall {
    /// It is for the server.
    Server,
    /// It is for the server, once this has brought the server connection to what the client's
    /// last command left.
    After(String),
    /// The same, where it is the number of rows counted last that this brings back.
    Count(String),
    /// The same, but this ends with the error that Sluice has given the client.
    Raise(String),
    /// It has been answered.
    Answered,
}

/// Answers a text about what Sluice knows better than the server connection at hand, or says how
/// the server can.
pub fn recall(
    front: &mut MyFront,
    status: Status,
    header: Header,
    text: &[u8],
    verdict: &Verdict,
    replies: &mut Vec<u8>,
) -> Recall {
    // Later statements ask about those before them in the same text.
    let Some(first) = verdict.statements.first() else {
        return Recall::Server;
    };
    if verdict.kills() {
        return kill(front, header, verdict, replies);
    }
    if verdict.touches.intersects(TAKES_OVER) {
        front.last.found.taken_over(front.last.interrupted);
    }
    if let Some(sql) = raised(front, first.touches) {
        return Recall::Raise(sql);
    }
    if !first.touches.intersects(ASKED_OF_US.with(Touch::Unknown)) {
        return counted_before(front, status, header, verdict, replies);
    }
    let words = match *verdict.statements {
        [_] => plain_words(text),
        _ => "",
    };
    if let Some(name) = asked(words, "connection_id()") {
        let session = front.session.to_string();
        let column = connection_id(front.flavor, name);
        return answer(front, header, column, &session, replies);
    }
    let touches = asks_about(first, verdict);
    // A connection that has been the client's since its last command knows these itself.
    if is_kept(front, status, touches) {
        return Recall::Server;
    }
    if let Some(name) = asked(words, "row_count()") {
        let count = front.last.row_count.to_string();
        return answer(front, header, Column::signed(name), &count, replies);
    }
    // Where the server cannot be made to count as many.
    if let Some(name) = asked(words, "found_rows()")
        && let Some(rows) = front.last.found.certain()
        && primer(front, first.touches, false).is_none()
    {
        let count = rows.to_string();
        return answer(front, header, Column::signed(name), &count, replies);
    }
    let errors = words.eq_ignore_ascii_case("show errors");
    let asked = errors || words.eq_ignore_ascii_case("show warnings");
    // What has not been asked for yet the connection still knows.
    if asked && front.last.warnings.is_open() {
        return Recall::Server;
    }
    if asked && !front.last.warnings.are_none() {
        show_warnings(front, header.seq, errors, replies);
        return Recall::Answered;
    }
    if !first.touches.intersects(LOST_WITH_CONNECTION) {
        if verdict.touches.contains(Touch::FoundRows) {
            return counted_before(front, status, header, verdict, replies);
        }
        return Recall::Server;
    }
    let diagnosed = words
        .get(..3)
        .is_some_and(|get| get.eq_ignore_ascii_case("get"));
    if let Some(sql) = primer(front, touches, diagnosed) {
        return Recall::After(sql);
    }
    lost(front, header, replies);
    Recall::Answered
}

/// Most statements leave the number of rows of the last result as it is, so a later one of the text may ask for what was
/// counted before all of them.
fn counted_before(
    front: &mut MyFront,
    status: Status,
    header: Header,
    verdict: &Verdict,
    replies: &mut Vec<u8>,
) -> Recall {
    if !verdict.touches.contains(Touch::FoundRows) {
        return counted(front, verdict);
    }
    if is_kept(front, status, verdict.touches) {
        return Recall::Server;
    }
    match primer(front, Touches::of(Touch::FoundRows), false) {
        Some(sql) => Recall::Count(sql),
        None => {
            lost(front, header, replies);
            Recall::Answered
        }
    }
}

/// What a text asks about from before itself. `SHOW WARNINGS` counts none of its rows, so what follows it may ask about
/// those before.
fn asks_about(first: &Statement, verdict: &Verdict) -> Touches {
    if verdict.touches.contains(Touch::FoundRows) && !first.counts {
        first.touches.with(Touch::FoundRows)
    } else {
        first.touches
    }
}

/// Where a statement may count rows that it does not return, but need not, the server connection goes on from what the
/// client's own last one has counted.
fn counted(front: &MyFront, verdict: &Verdict) -> Recall {
    let last = &front.last;
    let counts = |statement: &Statement| statement.unreturned != Unreturned::Uncounted;
    let may = verdict.statements.iter().any(counts);
    // MySQL tells with the OK of a `CALL` whose routine changes none how many rows the statement before has changed.
    let tells = front.flavor == Flavor::MySql && verdict.touches.contains(Touch::Call);
    let astray = tells && last.interrupted;
    // Nothing brings a number of changed rows back.
    let irretrievable = tells && !last.interrupted && last.row_count > 0;
    if !may || irretrievable || !(last.found.elsewhere || astray) {
        return Recall::Server;
    }
    match primer(front, Touches::of(Touch::FoundRows), false) {
        Some(sql) => Recall::Count(sql),
        None if astray => Recall::After(AFTER_NONE.to_owned()),
        None => Recall::Server,
    }
}

/// The same for a prepared statement that is executed.
pub fn before_execution(
    front: &mut MyFront,
    status: Status,
    header: Header,
    verdict: &Verdict,
    replies: &mut Vec<u8>,
) -> Recall {
    let touches = verdict.touches;
    if touches.intersects(TAKES_OVER) {
        front.last.found.taken_over(front.last.interrupted);
    }
    if let Some(sql) = raised(front, touches) {
        return Recall::Raise(sql);
    }
    if !touches.intersects(LOST_WITH_CONNECTION) {
        return counted(front, verdict);
    }
    if is_kept(front, status, touches) {
        return Recall::Server;
    }
    if let Some(sql) = primer(front, touches, touches.contains(Touch::Diagnostics)) {
        return Recall::After(sql);
    }
    lost(front, header, replies);
    Recall::Answered
}

fn kill(front: &mut MyFront, header: Header, verdict: &Verdict, replies: &mut Vec<u8>) -> Recall {
    match errand_of(verdict) {
        Some(errand) if interrupts_itself(front, errand) => {
            interrupted(front, header.seq, replies);
        }
        Some(errand) => {
            front.begin();
            front.errand = Some(errand);
            front.next_seq = header.seq.wrapping_add(1);
        }
        None => {
            let text = "KILL by number has to stand alone in its text";
            front.begin();
            front.forget_last();
            answer::error(front, header.seq, 1235, "42000", text, replies);
        }
    }
    Recall::Answered
}

/// SQL that raises the error that the client has got from Sluice itself, if that is asked about.
pub(super) fn raised(front: &MyFront, touches: Touches) -> Option<String> {
    let raised = front.last.raised.as_ref()?;
    if !touches.contains(Touch::Diagnostics) {
        return None;
    }
    let text = raised.text.replace('\'', "''").replace('\\', "/");
    Some(format!(
        "SIGNAL SQLSTATE '{}' SET MYSQL_ERRNO = {}, MESSAGE_TEXT = '{text}'",
        raised.state, raised.code
    ))
}

/// True if the server connection knows what these touches ask about: the client's last command is the last that it
/// has seen, and the client's last result, which may be older, the last that it has counted.
fn is_kept(front: &MyFront, status: Status, touches: Touches) -> bool {
    let about_last = touches.intersects(Touches::of(Touch::RowCount).with(Touch::Diagnostics));
    let about_rows = touches.contains(Touch::FoundRows);
    let held = front.is_pinned() || status.has(Status::IN_TRANS);
    // The number of rows stays known as long as the connection has not been given back.
    let holds = held || about_rows && !about_last;
    let counted = !about_rows || !front.last.found.elsewhere;
    let elsewhere = touches.contains(Touch::Diagnostics) && front.last.warnings.are_kept();
    holds && counted && !elsewhere && !(about_last && front.last.interrupted)
}

fn lost(front: &mut MyFront, header: Header, replies: &mut Vec<u8>) {
    front.begin();
    front.last.asks = true;
    answer::error(front, header.seq, 1235, "42000", LOST, replies);
}

fn answer(
    front: &mut MyFront,
    header: Header,
    column: Column<'_>,
    value: &str,
    replies: &mut Vec<u8>,
) -> Recall {
    front.begin();
    front.forget_last();
    let last = &mut front.last;
    last.row_count = -1;
    last.found = Found::of(1);
    // The server connection at hand does not know of it.
    (last.interrupted, last.found.elsewhere) = (true, true);
    let rows = [answer::row(value)];
    answer::result(front, header.seq, &[column], &rows, replies);
    Recall::Answered
}

/// The name of the column, if the text is `SELECT` and this, perhaps under a name of its own.
fn asked<'a>(words: &'a str, function: &str) -> Option<&'a str> {
    let (select, rest) = words.split_at_checked("select ".len())?;
    let rest = rest.trim_ascii_start();
    let (name, behind) = rest.split_at_checked(function.len())?;
    if !select.eq_ignore_ascii_case("select ") || !name.eq_ignore_ascii_case(function) {
        return None;
    }
    if behind.is_empty() {
        return Some(name);
    }
    let alias = behind.strip_prefix(' ')?.trim_ascii_start();
    let alias = match alias.split_at_checked(3) {
        Some((word, alias)) if word.eq_ignore_ascii_case("as ") => alias.trim_ascii_start(),
        _ => return None,
    };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let starts = alias
        .as_bytes()
        .first()
        .is_some_and(u8::is_ascii_alphabetic);
    (starts && alias.as_bytes().iter().all(plain)).then_some(alias)
}

/// SQL after which a server connection says what that of the client's last command would have
/// said; `None` if there is none.
fn primer(front: &MyFront, touches: Touches, diagnosed: bool) -> Option<String> {
    let last = &front.last;
    if touches.contains(Touch::Diagnostics) && !last.warnings.are_none() {
        return None;
    }
    let counted = touches.contains(Touch::RowCount) || diagnosed;
    if touches.contains(Touch::FoundRows) {
        // It counts rows that are read in vain.
        let rows = usize::try_from(last.found.certain()?)
            .ok()
            .filter(|rows| *rows <= MOST_ROWS)?;
        if counted && last.row_count != -1 {
            return None;
        }
        return Some(match rows {
            0 => "SELECT 1 FROM (SELECT 1) t LIMIT 0".to_owned(),
            // What the client has set as `sql_select_limit` is not to cut it short.
            more => {
                let rest = " UNION ALL SELECT 1".repeat(more - 1);
                format!("SELECT 1 FROM (SELECT 1) t{rest} LIMIT {more}")
            }
        });
    }
    match last.row_count {
        -1 => Some(AFTER_ROWS.to_owned()),
        0 => Some(AFTER_NONE.to_owned()),
        _ if counted => None,
        _ => Some(AFTER_NONE.to_owned()),
    }
}

fn show_warnings(front: &mut MyFront, seq: u8, only_errors: bool, replies: &mut Vec<u8>) {
    front.begin();
    front.last.row_count = -1;
    let warnings = std::mem::take(&mut front.last.warnings);
    let mut rows = warnings.rows().to_vec();
    if only_errors {
        // The level stands first, behind its length.
        rows.retain(|row| row.starts_with(b"\x05Error"));
    }
    answer::described(front, seq, warnings.definitions(), &rows, replies);
    front.last.warnings = warnings;
}

/// As both families describe it.
const fn connection_id(flavor: Flavor, name: &str) -> Column<'_> {
    let column = Column::number(name);
    match flavor {
        Flavor::MySql => column,
        // LONG
        Flavor::MariaDb => Column {
            length: 10,
            kind: 3,
            ..column
        },
    }
}

fn plain_words(text: &[u8]) -> &str {
    let text = std::str::from_utf8(text).unwrap_or_default().trim_ascii();
    text.strip_suffix(';').unwrap_or(text).trim_ascii_end()
}

/// Leaves no warnings (MariaDB keeps them over statements without tables), and -1 as `ROW_COUNT()`.
const AFTER_ROWS: &str = "SELECT 1 FROM (SELECT 1) t";
/// The same, and 0 as `ROW_COUNT()`.
pub(super) const AFTER_NONE: &str = "DO (SELECT 1 FROM (SELECT 1) t)";

/// Rows that are read in vain at most.
const MOST_ROWS: usize = 100;

/// Touches of which Sluice may know more than a server connection.
const ASKED_OF_US: Touches = Touches::of(Touch::ConnectionId)
    .with(Touch::RowCount)
    .with(Touch::FoundRows)
    .with(Touch::Diagnostics)
    .with(Touch::Kill);

/// What only the connection of the client's last command could tell.
const LOST_WITH_CONNECTION: Touches = Touches::of(Touch::RowCount)
    .with(Touch::FoundRows)
    .with(Touch::Diagnostics);

const LOST: &str = "The server connection of the last statement has gone to others; from now on \
     this session keeps it from one statement to the next: ask again";

#[cfg(test)]
mod tests {
    use super::asked;

    #[test]
    fn a_question_is_found_under_any_name() {
        let name = |words| asked(words, "row_count()");
        assert_eq!(name("select row_count()"), Some("row_count()"));
        assert_eq!(name("SELECT  ROW_COUNT()"), Some("ROW_COUNT()"));
        assert_eq!(name("select row_count() as n"), Some("n"));
        for other in [
            "select row_count() + 1",
            "select row_count() as n, 1",
            "select row_count() n m",
            "select found_rows()",
            "selectrow_count()",
            "select",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
