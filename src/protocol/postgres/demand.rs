//! What a client's requests ask for: reads that a replica may answer, or the primary.
//!
//! In the extended protocol everything up to a Sync is one implicit transaction (PostgreSQL documentation,
//! section 55.2.3), so it goes to one server as a whole.

use super::catalogue::{Form, PgReadings};
use super::frame::{self, Header};
use super::front::PgFront;
use super::leaning::Leaning;
use super::rename::split_cstr;
use super::request_statement::text_of;
use crate::protocol::{Asked, Demand, Unit};
use crate::sql::reading::Why;

/// See [`Engine::demand`](crate::protocol::Engine::demand).
pub(super) fn demand(front: &mut PgFront, input: &[u8], readings: Option<&PgReadings>) -> Asked {
    front.foreseen = 0;
    let Some(first) = message(input) else {
        return Asked::More;
    };
    let whole = |why| Asked::Unit(input.len(), Demand::primary(why));
    match first.kind {
        b'Q' => {
            if first.total() > LONGEST_UNIT {
                return whole(Why::TooLong);
            }
            let Some(bytes) = input.get(frame::HEADER_LEN..first.total()) else {
                return Asked::More;
            };
            let text = bytes.strip_suffix(b"\0").unwrap_or(bytes);
            let (demand, plain) = Session::new(front, readings).read(text, Form::Text);
            if plain {
                front.foreseen = u32::try_from(first.total()).unwrap_or(0);
            }
            Asked::Unit(first.total(), demand)
        }
        b'P' | b'B' | b'D' | b'E' | b'C' | b'S' | b'H' => batch(front, input, readings),
        _ => whole(Why::Protocol),
    }
}

/// See [`Engine::sketch`](crate::protocol::Engine::sketch).
pub(super) fn sketch(text: &[u8], readings: Option<&PgReadings>) -> Result<Demand, Box<str>> {
    match readings {
        Some(readings) => Demand::of(&readings.get(text, Form::Text).0, None),
        None => Ok(Demand::primary(Why::NoCatalogue)),
    }
}

/// See [`Engine::unit`](crate::protocol::Engine::unit).
pub(super) fn unit(front: &PgFront, input: &[u8]) -> Option<Unit> {
    if front.passing > 0 {
        let len = front.passing.min(input.len());
        return Some(Unit { len, rests: false });
    }
    let mut at = 0;
    loop {
        let rest = input.get(at..)?;
        let header = message(rest);
        let Some(header) = header.filter(|header| header.total() <= rest.len()) else {
            if at > 0 {
                // What is complete can go ahead.
                return Some(Unit {
                    len: at,
                    rests: false,
                });
            }
            // One message alone: of a long one as much as is there.
            let long = header.is_some_and(|header| header.total() > LONGEST_UNIT);
            return long.then_some(Unit {
                len: input.len(),
                rests: false,
            });
        };
        at += header.total();
        if matches!(header.kind, b'Q' | b'S' | b'F') {
            return Some(Unit {
                len: at,
                rests: true,
            });
        }
    }
}

/// See [`Engine::unsend`](crate::protocol::Engine::unsend).
pub(super) fn unsend(front: &mut PgFront, unit: &[u8]) {
    let mut at = 0;
    while let Some(rest) = unit.get(at..)
        && let Some(header) = message(rest)
        && let Some(body) = rest.get(frame::HEADER_LEN..header.total())
    {
        if header.kind == b'P'
            && let Some((name, _)) = split_cstr(body)
            && !name.is_empty()
        {
            // Whoever has this name already would have been refused it, and the unit with it.
            front.named.remove(name);
        }
        at += header.total();
    }
    front.portals.clear();
    front.forget_batch();
}

/// Messages of the extended protocol up to a Sync.
fn batch(front: &PgFront, input: &[u8], readings: Option<&PgReadings>) -> Asked {
    let session = Session::new(front, readings);
    let mut parsed: Vec<&[u8]> = Vec::new();
    let mut asks: Option<Demand> = None;
    let mut at = 0;
    loop {
        let rest = input.get(at..).unwrap_or_default();
        let Some(header) = message(rest) else {
            break;
        };
        let Some(body) = rest.get(frame::HEADER_LEN..header.total()) else {
            if at + header.total() > LONGEST_UNIT {
                return Asked::Unit(input.len(), Demand::primary(Why::TooLong));
            }
            break;
        };
        at += header.total();
        let part = match header.kind {
            b'S' => {
                let empty = Demand::primary(Why::Empty);
                return Asked::Unit(at, asks.unwrap_or(empty));
            }
            b'P' => split_cstr(body).and_then(|(name, body)| {
                parsed.push(name);
                Some(session.text(split_cstr(body)?.0, Form::Text))
            }),
            b'B' => {
                let name = split_cstr(body).and_then(|(_, rest)| Some(split_cstr(rest)?.0));
                name.map(|name| session.statement(name, &parsed))
            }
            b'D' => match body.split_first() {
                Some((b'S', rest)) => {
                    let name = split_cstr(rest).map(|(name, _)| name);
                    name.map(|name| session.statement(name, &parsed))
                }
                _ => continue,
            },
            b'E' | b'C' => continue,
            b'H' => Some(Demand::primary(Why::Batch)),
            _ => None,
        };
        // What cannot be read is for the primary to refuse.
        let part = part.unwrap_or(Demand::primary(Why::Protocol));
        asks = Some(match asks {
            None => part,
            Some(before) => both(before, part),
        });
        if let Some(Demand::Primary(..)) = &asks {
            return Asked::Unit(input.len(), asks.unwrap_or(Demand::primary(Why::Batch)));
        }
    }
    if input.len() > LONGEST_UNIT {
        return Asked::Unit(input.len(), Demand::primary(Why::TooLong));
    }
    Asked::More
}

/// What two parts of a batch ask for together.
fn both(before: Demand, next: Demand) -> Demand {
    match (before, next) {
        (primary @ Demand::Primary(..), _) | (_, primary @ Demand::Primary(..)) => primary,
        (Demand::ReadOnlyTransaction, _) => Demand::ReadOnlyTransaction,
        // A transaction that begins behind something else would take it in.
        (_, Demand::ReadOnlyTransaction) => Demand::primary(Why::Transaction),
        (Demand::Read { hinted }, Demand::Read { hinted: other }) => Demand::Read {
            hinted: hinted && other,
        },
    }
}

/// What of a session decides about its texts.
struct Session<'a> {
    front: &'a PgFront,
    readings: Option<&'a PgReadings>,
    leaning: Leaning,
}

impl<'a> Session<'a> {
    fn new(front: &'a PgFront, readings: Option<&'a PgReadings>) -> Self {
        Self {
            front,
            readings,
            leaning: front.settings.wanted().leaning(),
        }
    }

    fn text(&self, text: &[u8], form: Form) -> Demand {
        self.read(text, form).0
    }

    /// What a text asks for; and whether it is seen to be a query that leaves nothing behind.
    fn read(&self, text: &[u8], form: Form) -> (Demand, bool) {
        let Some(readings) = self.readings else {
            return (Demand::primary(Why::NoCatalogue), false);
        };
        let (reading, plain) = readings.get(text, form);
        let demand = match Demand::of(&reading, self.leaning.role) {
            Ok(demand) => demand,
            Err(name) => self.executed(&name),
        };
        let demand = match demand {
            // A standby has none of these.
            Demand::Read { .. } | Demand::ReadOnlyTransaction if self.leaning.serializable => {
                Demand::primary(Why::Isolation)
            }
            demand => demand,
        };
        (demand, plain)
    }

    /// What the client has prepared, in this batch or before.
    fn statement(&self, name: &[u8], parsed: &[&[u8]]) -> Demand {
        if parsed.contains(&name) {
            return Demand::Read { hinted: true };
        }
        if name.is_empty() {
            let body = &self.front.unnamed.body;
            return if body.is_empty() {
                Demand::primary(Why::Protocol)
            } else {
                self.text(text_of(body), Form::Text)
            };
        }
        if let Some(statement) = self.front.statement(name) {
            return self.text(text_of(&statement.body), Form::Text);
        }
        let name = std::str::from_utf8(name).ok();
        let own = name.and_then(|name| self.front.sql.get(name));
        own.map_or(Demand::primary(Why::Protocol), |own| {
            self.text(&own.text, Form::Prepared)
        })
    }

    /// What `EXECUTE` runs.
    fn executed(&self, name: &str) -> Demand {
        if let Some(own) = self.front.sql.get(name) {
            return self.text(&own.text, Form::Prepared);
        }
        match self.front.statement(name.as_bytes()) {
            Some(statement) => match self.text(text_of(&statement.body), Form::Text) {
                read @ Demand::Read { .. } => read,
                Demand::Primary(why, subject) => Demand::Primary(why, subject),
                Demand::ReadOnlyTransaction => Demand::primary(Why::Transaction),
            },
            None => Demand::primary(Why::SessionState),
        }
    }
}

fn message(input: &[u8]) -> Option<Header> {
    // What is longer is refused when it is passed on.
    frame::header(input, i32::MAX.unsigned_abs() as usize).ok()?
}

/// More than this is not held back to see where it ends.
const LONGEST_UNIT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::{demand, unit, unsend};
    use crate::model::PoolMode;
    use crate::protocol::postgres::catalogue::PgReadings;
    use crate::protocol::postgres::front::PgFront;
    use crate::protocol::postgres::rename;
    use crate::protocol::postgres::settings::Settings;
    use crate::protocol::postgres::tests::policy;
    use crate::protocol::{Asked, Demand};
    use crate::sql::reading::{Catalogue, Why};

    const READ: &[u8] = b"select 1\0\0\0";
    const WRITE: &[u8] = b"insert into t values (1)\0\0\0";
    const BEGIN: &[u8] = b"begin read only\0\0\0";

    fn client() -> PgFront {
        PgFront::new(Settings::none(), policy(PoolMode::Transaction))
    }

    fn readings() -> PgReadings {
        PgReadings::new(Catalogue::new())
    }

    /// What the messages ask for; `None`: more must come.
    fn asked(front: &mut PgFront, input: &[u8]) -> Option<(usize, Demand)> {
        match demand(front, input, Some(&readings())) {
            Asked::More => None,
            Asked::Unit(len, demand) => Some((len, demand)),
        }
    }

    /// Parse, Bind and Execute of each body.
    fn batch(bodies: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for body in bodies {
            rename::parse(b"", body, &mut out);
            rename::bind_plain(b"", b"", &mut out);
            rename::execute(b"", &mut out);
        }
        out
    }

    fn synced(bodies: &[&[u8]]) -> Vec<u8> {
        let mut out = batch(bodies);
        rename::sync(&mut out);
        out
    }

    const A_READ: Demand = Demand::Read { hinted: false };

    #[test]
    fn a_batch_asks_for_what_its_worst_part_does() {
        let mut front = client();
        let mut whole =
            |bodies: &[&[u8]]| asked(&mut front, &synced(bodies)).map(|(_, demand)| demand);
        assert_eq!(whole(&[READ, READ]), Some(A_READ));
        assert_eq!(
            whole(&[READ, WRITE, READ]),
            Some(Demand::primary(Why::Write))
        );
        assert_eq!(whole(&[BEGIN, READ]), Some(Demand::ReadOnlyTransaction));
        assert_eq!(
            whole(&[READ, BEGIN]),
            Some(Demand::primary(Why::Transaction))
        );
        let mut flushed = batch(&[READ]);
        rename::flush(&mut flushed);
        assert_eq!(
            asked(&mut front, &flushed).unwrap().1,
            Demand::primary(Why::Batch)
        );
        assert_eq!(demand(&mut front, &synced(&[READ]), None), {
            let len = synced(&[READ]).len();
            Asked::Unit(len, Demand::primary(Why::NoCatalogue))
        });
    }

    #[test]
    fn a_unit_ends_where_its_answer_does() {
        let mut front = client();
        let mut input = synced(&[READ]);
        let len = input.len();
        input.extend(synced(&[WRITE]));
        assert_eq!(asked(&mut front, &input), Some((len, A_READ)));
        let whole = unit(&front, &input).unwrap();
        assert_eq!((whole.len, whole.rests), (len, true));
        let mut query = Vec::new();
        rename::query(b"select 1", &mut query);
        let len = query.len();
        query.extend(input);
        assert_eq!(asked(&mut front, &query), Some((len, A_READ)));
    }

    #[test]
    fn what_is_plain_is_foreseen_and_nothing_else() {
        let mut front = client();
        for (text, plain) in [
            ("select 1", true),
            ("select now()", false),
            ("delete from t", false),
        ] {
            let mut query = Vec::new();
            rename::query(text.as_bytes(), &mut query);
            let len = query.len();
            query.extend(synced(&[READ]));
            asked(&mut front, &query);
            assert_eq!(
                front.foreseen as usize,
                if plain { len } else { 0 },
                "{text}"
            );
        }
        let mut query = Vec::new();
        rename::query(b"select 1", &mut query);
        for (input, readings) in [(&synced(&[READ])[..], true), (b"Q", true), (&query, false)] {
            asked(&mut front, &query);
            assert_eq!(front.foreseen as usize, query.len());
            demand(&mut front, input, readings.then(self::readings).as_ref());
            assert_eq!(front.foreseen, 0);
        }
    }

    /// However the input is cut, a beginning never asks for a replica where the whole does not, nor for more
    /// than is there.
    #[test]
    fn beginnings_promise_nothing() {
        let mut front = client();
        for bodies in [&[READ, WRITE][..], &[READ, READ], &[BEGIN, WRITE], &[WRITE]] {
            let input = synced(bodies);
            let whole = asked(&mut front, &input).unwrap().1;
            for len in 0..input.len() {
                match asked(&mut front, &input[..len]) {
                    None | Some((_, Demand::Primary(..))) => {}
                    Some((asked, demand)) => {
                        assert!(asked <= len && demand == whole, "{len}");
                    }
                }
                if let Some(part) = unit(&front, &input[..len]) {
                    assert!(part.len <= len && !part.rests);
                }
            }
        }
    }

    #[test]
    fn a_batch_that_is_sent_again_is_not_known_from_the_first_time() {
        let mut front = client();
        let mut input = Vec::new();
        rename::parse(b"s", READ, &mut input);
        rename::sync(&mut input);
        let statement =
            crate::protocol::postgres::statements::Statement::intern(READ, Default::default);
        let named = crate::protocol::postgres::statements::Named::new(statement, 0);
        front.named.insert((*b"s").into(), named);
        unsend(&mut front, &input);
        assert!(front.named.is_empty());
    }
}
