//! Statements of Sluice's own within what a client sends at once.
//!
//! `RESET` returns a setting to what the client asked for at startup. The server connection knows
//! nothing of that, so what was asked for is set behind the `RESET`: before the client's next
//! request, or, where more may follow at once, right behind it, among messages of the extended
//! protocol or between the statements of one text. The text that the server reads is then longer
//! than the client's, and where an error says in which place of it something is wrong, Sluice says
//! the place in the client's.

use std::sync::Arc;

use super::frame::HEADER_LEN;
use super::line_up::run_extended;
use super::owed::{Owed, Undo};
use super::rename;
use super::replay::{write_difference_amidst, write_local};
use super::request::Reader;
use super::track::{ROLLED_BACK, Tracked};
use crate::sql::postgres::ends;
use crate::sql::statement::{Detail, Discard, Statement, TransactionControl, Verdict};
use crate::sql::touches::Touch;

/// A client's text with statements put in.
#[derive(Debug)]
pub struct Mended {
    /// The client's statements.
    verdict: Arc<Verdict>,
    /// How many of them have completed.
    done: usize,
    /// What is put in, in order.
    put_in: Vec<PutIn>,
    /// Statements under way that are not the client's.
    within: usize,
    /// How many of them, at first, set nothing.
    quiet: usize,
}

/// A statement put in.
#[derive(Clone, Copy, Debug)]
struct PutIn {
    /// Behind so many statements of the client's.
    behind: usize,
    /// How many statements it is.
    count: usize,
    /// How many of them, at first, set nothing.
    quiet: usize,
    /// Where it begins in the longer text, in characters.
    start: usize,
    /// Its length in characters.
    len: usize,
}

impl Mended {
    /// The text to send in place of the client's, and what becomes of its answers. `None` if nothing
    /// is to be put in. `open`: a transaction is. `behind_first`: what follows the first statement in any
    /// case, and sets nothing.
    pub fn of(
        text: &[u8],
        verdict: &Arc<Verdict>,
        settings: &Tracked,
        open: bool,
        behind_first: &[Vec<u8>],
    ) -> Option<(Vec<u8>, Self)> {
        // Alone and outside a transaction, SET LOCAL does nothing, and the server says so.
        let lasts = open || verdict.statements.len() > 1;
        let mut statements = verdict.statements.iter();
        if !verdict.complete
            || verdict.touches.contains(Touch::Unknown)
            || !lasts
            || behind_first.is_empty() && !statements.any(|one| returns(settings, one))
        {
            return None;
        }
        let mut foreseen = settings.clone();
        let (mut longer, mut read) = (Vec::with_capacity(text.len() + 256), 0);
        let mut put_in = Vec::new();
        for (place, (statement, end)) in verdict.statements.iter().zip(ends(text)).enumerate() {
            let last = place + 1 == verdict.statements.len();
            foreseen.complete(statement, usual_tag(statement));
            let mut sql = Vec::new();
            let quiet = if place == 0 { behind_first } else { &[] };
            for text in quiet {
                // The line's end, as it may end with a comment.
                sql.extend_from_slice(&[b";", &text[..], b"\n"].concat());
            }
            let quiet = quiet.len();
            let count = quiet + behind(statement, &mut foreseen, last, &mut sql);
            if count == 0 {
                continue;
            }
            longer.extend_from_slice(text.get(read..end)?);
            read = end;
            put_in.push(PutIn {
                behind: place + 1,
                count,
                quiet,
                start: characters(&longer),
                len: characters(&sql),
            });
            longer.extend_from_slice(&sql);
        }
        longer.extend_from_slice(text.get(read..)?);
        if put_in.is_empty() {
            return None;
        }
        let mended = Self {
            verdict: Arc::clone(verdict),
            done: 0,
            put_in,
            within: 0,
            quiet: 0,
        };
        Some((longer, mended))
    }

    /// True if what the server says belongs to a statement of Sluice's own.
    pub fn is_within(&self) -> bool {
        self.within > 0
    }

    /// A statement of Sluice's own is complete; true if it has set something.
    pub fn completed_within(&mut self) -> bool {
        self.within = self.within.saturating_sub(1);
        let quiet = self.quiet.checked_sub(1);
        self.quiet = quiet.unwrap_or_default();
        quiet.is_none()
    }

    /// A statement of the client's is complete: which one.
    pub fn completed(&mut self) -> (Arc<Verdict>, usize) {
        let done = self.done;
        self.done += 1;
        let next = self.put_in.iter().find(|one| one.behind == self.done);
        (self.within, self.quiet) = next.map_or((0, 0), |next| (next.count, next.quiet));
        (Arc::clone(&self.verdict), done)
    }

    /// An error message, with the place that it names in the client's own text; `None` if it may
    /// stay as it is.
    pub fn with_own_place(&self, whole: &[u8]) -> Option<Vec<u8>> {
        let field = position(whole)?;
        let named: usize = str::from_utf8(whole.get(field.clone())?)
            .ok()?
            .parse()
            .ok()?;
        let own = self.own_place(named);
        if own == named {
            return None;
        }
        let body = [
            whole.get(HEADER_LEN..field.start)?,
            own.to_string().as_bytes(),
            whole.get(field.end..)?,
        ]
        .concat();
        let mut out = Vec::with_capacity(whole.len());
        rename::head(*whole.first()?, body.len(), &mut out);
        out.extend_from_slice(&body);
        Some(out)
    }

    /// `place` counts characters from 1 (PostgreSQL documentation, section 55.8).
    fn own_place(&self, place: usize) -> usize {
        let mut own = place;
        for one in &self.put_in {
            if place > one.start {
                own -= one.len.min(place - 1 - one.start);
            }
        }
        own
    }
}

/// Puts what the client asked for at startup behind its Execute, which comes last, if that has
/// returned to it. Behind what is committed at once it is as well, in a transaction of its own: should
/// that fail, the client is told the error, and that a transaction has failed.
pub(super) fn behind_execute(reader: &mut Reader<'_>, script: &Verdict) {
    let settings = &reader.front.settings;
    let mut statements = script.statements.iter();
    if !statements.any(|one| returns(settings, one)) {
        return;
    }
    let mut foreseen = settings.clone();
    let mut sql = Vec::new();
    for script in reader.back.debts.scripts() {
        for statement in &script.statements {
            foreseen.complete(statement, usual_tag(statement));
            // What earlier ones need has been put in.
            sql.clear();
            behind(statement, &mut foreseen, false, &mut sql);
        }
    }
    let mut texts: Vec<&[u8]> = Vec::new();
    let mut start = 0;
    for end in ends(&sql) {
        let one = sql.get(start..end).unwrap_or_default();
        texts.push(one.strip_prefix(b";").unwrap_or(one));
        start = end;
    }
    let lasts = !texts.is_empty() && script.statements.iter().any(commits);
    if lasts {
        run_extended(reader, b"BEGIN", Undo::Nothing, Owed::Inner(b'C'));
    }
    for text in texts {
        run_extended(reader, text, Undo::Nothing, Owed::Restored { lasts: false });
    }
    if lasts {
        run_extended(
            reader,
            b"COMMIT",
            Undo::Nothing,
            Owed::Restored { lasts: true },
        );
    }
}

/// True for what is committed as soon as it is executed, whatever comes behind it in its batch
/// (`XACT_FLAGS_NEEDIMMEDIATECOMMIT` in the server's postgres.c): what follows for Sluice must be too.
fn commits(statement: &Statement) -> bool {
    matches!(statement.detail, Detail::Discard(Discard::All))
}

/// True if the statement returns something to what was asked for at startup.
fn returns(settings: &Tracked, statement: &Statement) -> bool {
    settings.returns_to_startup(statement) || settings.returned_locally(statement).next().is_some()
}

/// Writes what is to follow a statement that is foreseen to be complete, a semicolon before each
/// statement; returns how many these are. Should one fail, the client's next do not run. `last`: what
/// is of the session waits for the next request.
fn behind(statement: &Statement, foreseen: &mut Tracked, last: bool, out: &mut Vec<u8>) -> usize {
    let before = out.len();
    if !last && foreseen.returns_to_startup(statement) {
        let mut sql = Vec::new();
        write_difference_amidst(foreseen.actual(), foreseen.wanted(), &mut sql);
        foreseen.applied(false);
        if !sql.is_empty() {
            out.push(b';');
            out.extend_from_slice(&sql);
        }
    }
    for (name, value) in foreseen.returned_locally(statement) {
        out.push(b';');
        write_local(name, value, out);
    }
    ends(out.get(before..).unwrap_or_default()).len()
}

/// The tag with which a statement completes, as far as settings depend on it.
fn usual_tag(statement: &Statement) -> &'static [u8] {
    match statement.control {
        TransactionControl::Rollback { .. } => ROLLED_BACK,
        _ => b"\0",
    }
}

/// Characters of UTF-8. In other encodings an error may name a place a little beside.
fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// Where an `ErrorResponse` has its field `P`.
fn position(whole: &[u8]) -> Option<std::ops::Range<usize>> {
    let mut at = HEADER_LEN;
    loop {
        let kind = *whole.get(at)?;
        if kind == 0 {
            return None;
        }
        let start = at + 1;
        let len = memchr::memchr(0, whole.get(start..)?)?;
        if kind == b'P' {
            return Some(start..start + len);
        }
        at = start + len + 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::settings::Settings;
    use super::{Mended, Tracked};
    use crate::sql::postgres::classify;

    fn mended(text: &str) -> Option<(String, Mended)> {
        let settings = Tracked::new(Settings::from_pairs([("search_path", &b"two"[..])]));
        let verdict = Arc::new(classify(text.as_bytes()));
        let (longer, mended) = Mended::of(text.as_bytes(), &verdict, &settings, false, &[])?;
        Some((String::from_utf8(longer).unwrap(), mended))
    }

    #[test]
    fn what_was_asked_for_at_startup_follows_its_reset() {
        let (text, mut mended) = mended("select 'é'; reset search_path ; select x").unwrap();
        assert!(text.starts_with("select 'é'; reset search_path "), "{text}");
        assert!(text.ends_with("; select x"), "{text}");
        assert!(
            text.contains("search_path") && text.contains("two"),
            "{text}"
        );
        let error = |place: usize| {
            let body = format!("SERROR\0P{place}\0Fx.c\0\0");
            let len = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
            [b"E", &len[..], body.as_bytes()].concat()
        };
        assert_eq!(mended.with_own_place(&error(3)), None);
        let added = text.len() - "select 'é'; reset search_path ; select x".len();
        let place = text.chars().count();
        assert_eq!(
            mended.with_own_place(&error(place)).unwrap(),
            error(place - added)
        );

        assert_eq!(mended.completed().1, 0);
        assert!(!mended.is_within());
        assert_eq!(mended.completed().1, 1);
        assert!(mended.is_within());
        assert!(mended.completed_within());
        assert!(!mended.is_within());
        assert_eq!(mended.completed().1, 2);
    }

    #[test]
    fn what_sets_nothing_follows_the_first_statement() {
        let settings = Tracked::new(Settings::from_pairs([("search_path", &b"two"[..])]));
        let text = b"rollback; reset search_path; select 1";
        let verdict = Arc::new(classify(text));
        let names = [b"prepare q as select 1 --".to_vec()];
        let (longer, mut mended) = Mended::of(text, &verdict, &settings, false, &names).unwrap();
        let longer = String::from_utf8(longer).unwrap();
        let start = "rollback;prepare q as select 1 --\n; reset search_path;";
        assert!(longer.starts_with(start), "{longer}");
        assert_eq!(mended.completed().1, 0);
        assert!(mended.is_within() && !mended.completed_within() && !mended.is_within());
        assert_eq!(mended.completed().1, 1);
        assert!(mended.is_within() && mended.completed_within() && !mended.is_within());
    }

    #[test]
    fn a_local_return_is_put_in_behind_the_last_statement_too() {
        let (text, _) = mended("select 1; set local search_path to default;").unwrap();
        assert_eq!(
            text,
            "select 1; set local search_path to default;\
             SET LOCAL \"search_path\" TO two;"
        );
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        for text in [
            "reset search_path",
            "select 1; reset search_path",
            "reset work_mem; select 1",
            "select 1; select 2",
            "reset search_path; select '",
            "set local search_path to default",
            "set local search_path to x; select 1",
        ] {
            assert!(mended(text).is_none(), "{text}");
        }
    }
}
