//! What a client's command asks for: a read that a replica may answer, or the primary.

use super::attributes;
use super::capability::Capabilities;
use super::catalogue::MyReadings;
use super::command;
use super::execute::number;
use super::frame::{HEADER_LEN, Header};
use super::front::MyFront;
use super::login::Announcement;
use super::settings::{Settings, usual_mode};
use super::status::Status;
use crate::protocol::demand::Hint;
use crate::protocol::{Asked, Demand, Unit};
use crate::sql::mysql::is_system_schema;
use crate::sql::reading::{LONGEST, Why};

/// See [`Engine::demand`](crate::protocol::Engine::demand).
pub fn demand(front: &MyFront, input: &[u8], readings: Option<&MyReadings>) -> Asked {
    let Some(header) = Header::read(input) else {
        return Asked::More;
    };
    let primary = |why| Asked::Unit(input.len(), Demand::primary(why));
    if header.total() > LONGEST_COMMAND || header.continues() {
        return primary(Why::TooLong);
    }
    let Some(payload) = input.get(HEADER_LEN..header.total()) else {
        return Asked::More;
    };
    let demand = match payload.first().copied() {
        Some(command::QUERY) => {
            let named = front.capabilities.has(Capabilities::QUERY_ATTRIBUTES);
            match attributes::text(payload, named) {
                Some(text) => of_text(front, text, readings),
                None => Demand::primary(Why::Unparsed),
            }
        }
        Some(command::STMT_PREPARE) => {
            let text = payload.get(1..).unwrap_or_default();
            match of_text(front, text, readings) {
                Demand::ReadOnlyTransaction => Demand::primary(Why::Transaction),
                demand => demand,
            }
        }
        Some(command::STMT_EXECUTE) => executed(front, payload, readings),
        // Any server is as good as another.
        Some(command::PING) => Demand::Read { hinted: false },
        _ => Demand::primary(Why::Protocol),
    };
    Asked::Unit(header.total(), demand)
}

/// See [`Engine::sketch`](crate::protocol::Engine::sketch).
pub fn sketch(
    text: &[u8],
    announcement: Option<&Announcement>,
    readings: Option<&MyReadings>,
) -> Result<Demand, Box<str>> {
    let (Some(announcement), Some(readings)) = (announcement, readings) else {
        return Ok(Demand::primary(Why::NoCatalogue));
    };
    Demand::of(&readings.get(text, usual_mode(announcement, &[])), None)
}

/// See [`Engine::unit`](crate::protocol::Engine::unit). The next command is not read before the last is answered.
pub fn unit(input: &[u8]) -> Option<Unit> {
    let header = Header::read(input)?;
    let len = header.total().min(input.len());
    Some(Unit { len, rests: true })
}

/// See [`Engine::unsend`](crate::protocol::Engine::unsend).
pub fn unsend(front: &mut MyFront) {
    front.request.preparing = false;
    front.prepare_failed = None;
    front.running = None;
}

/// What `COM_STMT_EXECUTE` runs.
fn executed(front: &MyFront, payload: &[u8], readings: Option<&MyReadings>) -> Demand {
    let wanted = match number(payload) {
        Some(u32::MAX) => Some(front.last_prepared),
        wanted => wanted,
    };
    let held = wanted.and_then(|wanted| front.statements.get(&wanted));
    let Some(held) = held else {
        return Demand::primary(Why::Protocol);
    };
    // A cursor stays where it was opened, and so does part of a parameter.
    let cursor = payload.get(5).is_none_or(|flags| flags & CURSOR != 0);
    if cursor || held.root.is_some() {
        return Demand::primary(Why::SessionState);
    }
    under(&held.settings, front, &held.statement.text, readings)
}

fn of_text(front: &MyFront, text: &[u8], readings: Option<&MyReadings>) -> Demand {
    under(&front.settings, front, text, readings)
}

/// The same of a text that is read under these settings.
fn under(
    settings: &Settings,
    front: &MyFront,
    text: &[u8],
    readings: Option<&MyReadings>,
) -> Demand {
    let (Some(readings), Some(usual)) = (readings, front.usual) else {
        return Demand::primary(Why::NoCatalogue);
    };
    if text.len() > LONGEST {
        return Demand::primary(Why::TooLong);
    }
    let reading = readings.get(text, settings.mode(usual));
    // Prepared statements of SQL stay where they are, and pin.
    let demand = Demand::of(&reading, role(front)).unwrap_or(Demand::primary(Why::SessionState));
    let reads = matches!(demand, Demand::Read { .. });
    // Without autocommit a read begins a transaction, of which nobody knows what comes next.
    if reads && !front.status.has(Status::AUTOCOMMIT) {
        return Demand::primary(Why::Isolation);
    }
    if reads && settings.schema().is_some_and(is_system_schema) {
        return Demand::primary(Why::ServerState);
    }
    demand
}

/// The role that the session has asked for.
fn role(front: &MyFront) -> Option<Hint> {
    // A string constant in hexadecimal digits.
    let value = front.settings.user_variable(ROLE)?;
    let mut parts = value.split(|byte| *byte == b'\'');
    let digits = parts.nth(1)?;
    let pairs = digits.chunks_exact(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    Hint::named(&bytes.collect::<Option<Vec<u8>>>()?)
}

/// The user variable by which a session chooses a role.
const ROLE: &str = "sluice_role";

/// `CURSOR_TYPE_READ_ONLY`, `CURSOR_TYPE_FOR_UPDATE`, `CURSOR_TYPE_SCROLLABLE`.
const CURSOR: u8 = 0b0000_0111;

/// A longer command passes to the primary as it comes.
const LONGEST_COMMAND: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{demand, unit};
    use crate::model::{PinPolicy, PoolMode};
    use crate::protocol::mysql::capability::Capabilities;
    use crate::protocol::mysql::catalogue::MyReadings;
    use crate::protocol::mysql::chore::put_command;
    use crate::protocol::mysql::command;
    use crate::protocol::mysql::found::Found;
    use crate::protocol::mysql::front::MyFront;
    use crate::protocol::mysql::login::{self, Login};
    use crate::protocol::{Asked, Demand, FrontSettings};
    use crate::sql::mysql::{Flavor, Mode};
    use crate::sql::reading::{Catalogue, Why};

    fn client() -> MyFront {
        let policy = FrontSettings {
            pool_mode: PoolMode::Transaction,
            splits: true,
            ignore_options: [].into(),
            allow_options: None,
            max_client_statements: 10,
            max_server_statements: 10,
            max_statement_bytes: 1 << 20,
            pins: PinPolicy::default(),
        };
        let login = Login {
            user: "ann".into(),
            database: "app".into(),
            capabilities: Capabilities::PROTOCOL_41,
            collation: 45,
            flavor: login::Flavor::MySql,
            tls: false,
            plugin: "".into(),
            answer: None.into(),
            challenge: login::Challenge::new([0; login::SCRAMBLE_LEN]),
            again: false,
            found: Found::default(),
            peer: std::net::Ipv4Addr::LOCALHOST.into(),
            attributes: [].into(),
            application: "".into(),
            sequence: Arc::default(),
            assurance: Arc::default(),
        };
        let mut front = MyFront::new(&login, "app", policy.into());
        front.usual = Some(Mode::new(Flavor::MySql, 90_700));
        front
    }

    fn asked(front: &MyFront, command: u8, body: &[u8]) -> Option<Demand> {
        let mut input = Vec::new();
        put_command(&mut input, command, body);
        let len = input.len();
        input.extend_from_slice(b"\x01");
        let readings = MyReadings::new(Catalogue::new());
        for part in 0..len {
            assert_eq!(demand(front, &input[..part], Some(&readings)), Asked::More);
        }
        assert_eq!(unit(&input[..len]).map(|unit| unit.len), Some(len));
        match demand(front, &input, Some(&readings)) {
            Asked::More => None,
            Asked::Unit(asked, demand) => {
                assert!(asked == len || matches!(demand, Demand::Primary(..)));
                Some(demand)
            }
        }
    }

    const A_READ: Demand = Demand::Read { hinted: false };

    #[test]
    fn commands_go_where_they_belong() {
        let front = client();
        assert_eq!(asked(&front, command::QUERY, b"select 1"), Some(A_READ));
        assert_eq!(
            asked(&front, command::STMT_PREPARE, b"select ?"),
            Some(A_READ)
        );
        assert_eq!(asked(&front, command::PING, b""), Some(A_READ));
        let primary = |why| Some(Demand::primary(why));
        assert_eq!(
            asked(&front, command::QUERY, b"delete from t"),
            primary(Why::Write)
        );
        assert_eq!(
            asked(&front, command::STATISTICS, b""),
            primary(Why::Protocol)
        );
        assert_eq!(
            asked(&front, command::STMT_EXECUTE, &[1; 9]),
            primary(Why::Protocol)
        );
        let prepared = asked(
            &front,
            command::STMT_PREPARE,
            b"start transaction read only",
        );
        assert_eq!(prepared, primary(Why::Transaction));
    }

    #[test]
    fn sessions_decide_too() {
        let mut front = client();
        front.settings = front.settings.with_schema(Some(b"performance_schema"));
        let read = |front: &MyFront| asked(front, command::QUERY, b"select 1");
        assert_eq!(read(&front), Some(Demand::primary(Why::ServerState)));
        let mut front = client();
        front.status = crate::protocol::mysql::status::Status(0);
        assert_eq!(read(&front), Some(Demand::primary(Why::Isolation)));
        let mut front = client();
        front.usual = None;
        assert_eq!(read(&front), Some(Demand::primary(Why::NoCatalogue)));
    }
}
