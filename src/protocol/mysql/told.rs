//! What a client is told of the changes of its session. Sluice has the server report all of them;
//! a client gets those it would have got from the server itself.

use super::capability::Capabilities;
use super::login::Flavor;
use super::wire::{Reader, put_lenenc, put_lenenc_bytes};
use crate::sql::mysql::verdict::{Assignment, Value};

/// A client's own settings of `session_track_*`, as it knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    schema: bool,
    variables: Variables,
    state_change: bool,
    gtids: bool,
    /// 0: off, 1: state, 2: characteristics too.
    transaction: u8,
    /// What is to be told with the next OK.
    put_off: Vec<u8>,
    /// The schema, which is to be told with the next OK that tells anything else.
    left: Option<Box<[u8]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Variables {
    /// As servers have it after a login.
    Usual,
    All,
    These(Box<[Box<str>]>),
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            schema: true,
            variables: Variables::Usual,
            state_change: false,
            gtids: false,
            transaction: 0,
            put_off: Vec::new(),
            left: None,
        }
    }
}

impl Tracking {
    /// The client has set these variables.
    pub fn assigned(&mut self, assignments: &[Assignment]) {
        for assignment in assignments {
            let Assignment::Session { name, value } = assignment else {
                continue;
            };
            let text = match value {
                Value::Literal(literal) => Some(&*literal.text),
                Value::Default => None,
                Value::Expression => continue,
            };
            let text = text.map(String::from_utf8_lossy);
            self.assign(name, text.as_deref());
        }
    }

    fn assign(&mut self, name: &str, text: Option<&str>) {
        let usual = Self::default();
        let on = text.map(|text| {
            ["1", "on", "true"]
                .iter()
                .any(|on| text.eq_ignore_ascii_case(on))
        });
        match name {
            "session_track_schema" => self.schema = on.unwrap_or(usual.schema),
            "session_track_state_change" => self.state_change = on.unwrap_or(usual.state_change),
            "session_track_gtids" => {
                self.gtids = text.is_some_and(|text| !text.eq_ignore_ascii_case("off"));
            }
            "session_track_transaction_info" => {
                self.transaction = match text.map(str::to_ascii_lowercase).as_deref() {
                    Some("state" | "1") => 1,
                    Some("characteristics" | "2") => 2,
                    _ => 0,
                }
            }
            "session_track_system_variables" => {
                self.variables = match text {
                    None => Variables::Usual,
                    Some(text) if text.trim() == "*" => Variables::All,
                    Some(text) => Variables::These(
                        text.split(',')
                            .map(|name| name.trim().to_ascii_lowercase().into())
                            .collect(),
                    ),
                }
            }
            _ => {}
        }
    }

    /// Keeps what of `state` the client is to be told for the next OK: this reply has no place for it.
    /// `chosen`: see [`Self::told`].
    pub fn put_off(&mut self, state: &[u8], flavor: Flavor, client: Capabilities, chosen: bool) {
        if let Some(told) = self.filtered(state, flavor, client, chosen)
            && self.put_off.len() + told.len() <= MOST_PUT_OFF
        {
            self.put_off.extend_from_slice(&told);
        }
    }

    /// The same of the schema that the session is in, which a statement has left and come back to.
    fn schema_again(&mut self, schema: &[u8], flavor: Flavor, client: Capabilities) {
        let (mut data, mut state) = (Vec::new(), Vec::new());
        put_lenenc_bytes(&mut data, schema);
        put_entry(&mut state, SCHEMA, &data);
        self.put_off(&state, flavor, client, true);
    }

    /// A statement of another schema has ended with an error, or with an EOF, which have no place for the way back. MySQL
    /// tells of that with the next OK, MariaDB with the next that tells a change, see [`Self::told_behind`].
    pub fn schema_left(&mut self, schema: &[u8], flavor: Flavor, client: Capabilities) {
        match flavor {
            Flavor::MySql => self.schema_again(schema, flavor, client),
            Flavor::MariaDb if client.has(Capabilities::SESSION_TRACK) => {
                self.left = Some(schema.into());
            }
            Flavor::MariaDb => {}
        }
    }

    /// The session is being reset. MySQL does not tell then what an EOF had no place for.
    pub fn withhold(&mut self, flavor: Flavor) {
        if flavor == Flavor::MySql {
            self.put_off.clear();
        }
    }

    /// What the client is told with an OK of this `state`; `None`: all of it. `chosen`: its statement may have left the
    /// schema.
    pub fn told(
        &mut self,
        state: &[u8],
        flavor: Flavor,
        client: Capabilities,
        chosen: bool,
    ) -> Option<Vec<u8>> {
        let mut now = self.filtered(state, flavor, client, chosen);
        if !self.put_off.is_empty() {
            let before = std::mem::take(&mut self.put_off);
            let other = now.as_deref().unwrap_or(state);
            now = Some(together(&before, other).unwrap_or_else(|| [&before, other].concat()));
        }
        if self.left.is_some() {
            now = self.told_behind(now, state);
        }
        now
    }

    /// With the schema that has been left, if there is anything else: to MariaDB that is also a variable that lies in the same
    /// place as one that the client is told of.
    fn told_behind(&mut self, now: Option<Vec<u8>>, state: &[u8]) -> Option<Vec<u8>> {
        let now = now?;
        if now.is_empty() && self.marked(state).is_none() {
            return Some(now);
        }
        let (mut data, mut schema) = (Vec::new(), Vec::new());
        put_lenenc_bytes(&mut data, &self.left.take()?);
        if self.schema {
            put_entry(&mut schema, SCHEMA, &data);
        }
        Some(together(&schema, &now).unwrap_or(now))
    }

    /// What of `state` the client is told; `None`: all of it. MariaDB tells a schema that has been left and come back to
    /// with a later change, which may be one that only Sluice wants to know, or another client's.
    pub fn filtered(
        &self,
        state: &[u8],
        flavor: Flavor,
        client: Capabilities,
        chosen: bool,
    ) -> Option<Vec<u8>> {
        if state.is_empty() {
            return None;
        }
        let mut told = Vec::new();
        if client.has(Capabilities::SESSION_TRACK) {
            let schema = self.schema && (chosen || flavor == Flavor::MySql);
            // What cannot be read is not told.
            let _ = self.filter(state, flavor, schema, &mut told);
        }
        Some(told)
    }

    fn filter(&self, state: &[u8], flavor: Flavor, schema: bool, told: &mut Vec<u8>) -> Option<()> {
        let mut reader = Reader::new(state);
        while !reader.is_empty() {
            let kind = reader.u8()?;
            let data = reader.lenenc_bytes()?;
            let wanted = match kind {
                VARIABLES => {
                    let kept = self.kept_variables(data, flavor)?;
                    if !kept.is_empty() {
                        put_entry(told, kind, &kept);
                    }
                    false
                }
                SCHEMA => schema,
                STATE_CHANGE => self.state_change,
                GTIDS => self.gtids,
                CHARACTERISTICS => self.transaction == 2,
                TRANSACTION_STATE => self.transaction > 0,
                _ => false,
            };
            if wanted {
                put_entry(told, kind, data);
            }
        }
        Some(())
    }

    /// The pairs of name and value that the client wants; MariaDB may put several into one entry.
    fn kept_variables(&self, data: &[u8], flavor: Flavor) -> Option<Vec<u8>> {
        let mut reader = Reader::new(data);
        let mut kept = Vec::new();
        while !reader.is_empty() {
            let (name, value) = (reader.lenenc_bytes()?, reader.lenenc_bytes()?);
            if self.wants_variable(name, flavor) {
                put_lenenc_bytes(&mut kept, name);
                put_lenenc_bytes(&mut kept, value);
            }
        }
        Some(kept)
    }

    /// Something if a variable is among what has been set that lies where one does that the client is told of.
    fn marked(&self, state: &[u8]) -> Option<()> {
        let mut reader = Reader::new(state);
        loop {
            let (kind, data) = (reader.u8()?, reader.lenenc_bytes()?);
            let mut pairs = Reader::new(data);
            while kind == VARIABLES && !pairs.is_empty() {
                let (name, _value) = (pairs.lenenc_bytes()?, pairs.lenenc_bytes()?);
                let marks = match &self.variables {
                    Variables::Usual => USUAL.iter().any(|known| share_place(known, name)),
                    Variables::All => true,
                    Variables::These(names) => names
                        .iter()
                        .any(|known| share_place(known.as_bytes(), name)),
                };
                if marks {
                    return Some(());
                }
            }
        }
    }

    fn wants_variable(&self, name: &[u8], _: Flavor) -> bool {
        // It would lead the client around Sluice.
        if name.eq_ignore_ascii_case(b"redirect_url") {
            return false;
        }
        match &self.variables {
            Variables::Usual => USUAL.contains(&name),
            Variables::All => true,
            Variables::These(names) => names.iter().any(|known| known.as_bytes() == name),
        }
    }
}

/// The entries of both in the order of servers, without those of `before` that are told anew.
fn together(before: &[u8], now: &[u8]) -> Option<Vec<u8>> {
    let mut all: Vec<(u8, &[u8])> = Vec::new();
    for state in [before, now] {
        let mut reader = Reader::new(state);
        while !reader.is_empty() {
            let (kind, data) = (reader.u8()?, reader.lenenc_bytes()?);
            let name = |data| Reader::new(data).lenenc_bytes();
            all.retain(|(k, d)| *k != kind || kind == VARIABLES && name(*d) != name(data));
            all.push((kind, data));
        }
    }
    all.sort_by_key(|(kind, _)| *kind);
    let mut told = Vec::new();
    for (kind, data) in all {
        put_entry(&mut told, kind, data);
    }
    Some(told)
}

fn put_entry(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
    put_lenenc(out, kind.into());
    put_lenenc_bytes(out, data);
}

/// Types of entries (MySQL protocol, `enum_session_state_type`).
const VARIABLES: u8 = 0;
const SCHEMA: u8 = 1;
const STATE_CHANGE: u8 = 2;
const GTIDS: u8 = 3;
const CHARACTERISTICS: u8 = 4;
const TRANSACTION_STATE: u8 = 5;

/// Most that is kept for one client, in bytes.
const MOST_PUT_OFF: usize = 4096;

/// The default of `session_track_system_variables`, in both families.
const USUAL: [&[u8]; 5] = [
    b"autocommit",
    b"character_set_client",
    b"character_set_connection",
    b"character_set_results",
    b"time_zone",
];

/// True if MariaDB's tracker takes one for the other: it goes by where they lie.
fn share_place(one: &[u8], other: &[u8]) -> bool {
    let within = |place: &[&[u8]]| place.contains(&one) && place.contains(&other);
    one == other || within(&OPTION_BITS) || within(&CONNECTION)
}

/// The variables that are bits of one number in MariaDB, as version 11.8 treats them.
const OPTION_BITS: [&[u8]; 18] = [
    b"autocommit",
    b"check_constraint_checks",
    b"explicit_defaults_for_timestamp",
    b"foreign_key_checks",
    b"profiling",
    b"skip_parallel_replication",
    b"skip_replication",
    b"sql_auto_is_null",
    b"sql_big_selects",
    b"sql_buffer_result",
    b"sql_if_exists",
    b"sql_log_off",
    b"sql_notes",
    b"sql_quote_show_create",
    b"sql_safe_updates",
    b"sql_warnings",
    b"system_versioning_insert_history",
    b"unique_checks",
];

/// Two that are one collation in MariaDB.
const CONNECTION: [&[u8]; 2] = [b"character_set_connection", b"collation_connection"];

#[cfg(test)]
mod tests {
    use super::Tracking;
    use crate::protocol::mysql::capability::Capabilities;
    use crate::protocol::mysql::login::Flavor;

    const TRACK: Capabilities = Capabilities::SESSION_TRACK;
    /// A schema, two variables in one entry, a change of state.
    const STATE: &[u8] = b"\x01\x03\x02db\x00\x17\x09time_zone\x01x\x08sql_mode\x01y\x02\x02\x011";

    fn told(tracking: &Tracking) -> Vec<u8> {
        tracking
            .filtered(STATE, Flavor::MariaDb, TRACK, true)
            .unwrap()
    }

    #[test]
    fn by_default_a_client_is_told_what_servers_tell() {
        let usual = Tracking::default();
        assert_eq!(told(&usual), b"\x01\x03\x02db\x00\x0c\x09time_zone\x01x");
        let none = usual.filtered(STATE, Flavor::MySql, Capabilities::default(), true);
        assert_eq!(none, Some(Vec::new()));
        assert_eq!(usual.filtered(b"", Flavor::MySql, TRACK, true), None);
    }

    #[test]
    fn a_client_chooses() {
        let mut tracking = Tracking::default();
        tracking.assign("session_track_schema", Some("0"));
        tracking.assign("session_track_state_change", Some("ON"));
        tracking.assign("session_track_system_variables", Some("SQL_MODE, x"));
        assert_eq!(told(&tracking), b"\x00\x0b\x08sql_mode\x01y\x02\x02\x011");
        tracking.assign("session_track_system_variables", None);
        tracking.assign("session_track_state_change", None);
        tracking.assign("session_track_schema", None);
        assert_eq!(tracking, Tracking::default());
    }

    #[test]
    fn what_has_no_place_is_told_with_the_next_ok() {
        let mut tracking = Tracking::default();
        assert_eq!(tracking.told(b"", Flavor::MySql, TRACK, false), None);
        tracking.put_off(STATE, Flavor::MySql, TRACK, false);
        let first = told(&Tracking::default());
        // Told once, the last of each kind, in the order of servers.
        let all = tracking.told(
            b"\x00\x0c\x09time_zone\x01y\x01\x03\x02b2",
            Flavor::MySql,
            TRACK,
            false,
        );
        let expected = b"\x00\x0c\x09time_zone\x01y\x01\x03\x02b2";
        assert_eq!(all.as_deref(), Some(&expected[..]));
        tracking.put_off(STATE, Flavor::MySql, TRACK, false);
        let expected = b"\x00\x0c\x09time_zone\x01x\x01\x03\x02db";
        assert_eq!(
            tracking.told(STATE, Flavor::MySql, TRACK, false).as_deref(),
            Some(&expected[..])
        );
        assert_eq!(first.len(), expected.len());
        assert_eq!(tracking.told(b"", Flavor::MySql, TRACK, false), None);
    }

    #[test]
    fn a_schema_that_was_left_and_come_back_to_is_told_once() {
        let mut tracking = Tracking::default();
        tracking.schema_again(b"db", Flavor::MySql, TRACK);
        tracking.schema_again(b"db", Flavor::MySql, TRACK);
        let told = tracking.told(b"", Flavor::MySql, TRACK, false);
        assert_eq!(told.as_deref(), Some(&b"\x01\x03\x02db"[..]));
    }

    #[test]
    fn a_schema_that_a_failure_has_left_is_told_with_another_change() {
        let mut tracking = Tracking::default();
        tracking.schema_left(b"db", Flavor::MariaDb, TRACK);
        let mut told = |state| tracking.told(state, Flavor::MariaDb, TRACK, false);
        let (schema, zone) = (&b"\x01\x03\x02db"[..], b"\x00\x0c\x09time_zone\x01x");
        // Nothing else, and what only Sluice is told.
        assert_eq!(told(b""), None);
        assert_eq!(told(schema), Some(Vec::new()));
        assert_eq!(told(b"\x02\x02\x011"), Some(Vec::new()));
        let both = [&zone[..], schema].concat();
        assert_eq!(told(zone).as_deref(), Some(&both[..]));
        assert_eq!(told(zone).as_deref(), Some(&zone[..]));
        // Variables of which only Sluice is told; one of them lies where `autocommit` does.
        tracking.schema_left(b"db", Flavor::MariaDb, TRACK);
        let mut told = |state| tracking.told(state, Flavor::MariaDb, TRACK, false);
        assert_eq!(told(b"\x00\x0b\x08sql_mode\x01y"), Some(Vec::new()));
        let told = told(b"\x00\x0c\x09sql_notes\x01y");
        assert_eq!(told.as_deref(), Some(schema));
    }

    #[test]
    fn nobody_is_led_around_the_proxy() {
        let mut tracking = Tracking::default();
        tracking.assign("session_track_system_variables", Some("*"));
        let state = b"\x00\x0f\x0credirect_url\x01x";
        let told = tracking.filtered(state, Flavor::MariaDb, TRACK, true);
        assert_eq!(told, Some(Vec::new()));
    }
}
