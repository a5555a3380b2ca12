//! The model of a session's settings against real servers, without Sluice between: what a session has set is
//! observed from the replies, replayed on a fresh connection, and every session variable compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sluice::{
    protocol::mysql::{
        connect::TRACKERS,
        login::Flavor,
        observe::{Seen, observe},
        rules,
        settings::{Settings, difference},
    },
    sql::mysql::classify,
};

use crate::support::mysql::{
    Database, Kind, MySql,
    login::Login,
    message::{Reply, Success},
    wire::{Wire, put_string},
};

const fn flavor(kind: Kind) -> Flavor {
    match kind {
        Kind::MySql => Flavor::MySql,
        Kind::MariaDb => Flavor::MariaDb,
    }
}

/// A connection as Sluice makes them, with what is known of its settings.
struct Session {
    wire: Wire,
    kind: Kind,
    settings: Arc<Settings>,
    /// Why it could not be left.
    doubtful: bool,
}

impl Session {
    fn new(kind: Kind, database: &Database) -> Self {
        let mut wire = database.admin();
        wire.succeed(TRACKERS);
        let settings = Settings::fresh(flavor(kind)).with_schema(Some(database.name.as_bytes()));
        Self {
            wire,
            kind,
            settings,
            doubtful: false,
        }
    }

    /// Runs a text; false if it fails. Its replies are observed.
    fn run(&mut self, text: &str) -> bool {
        let verdict = classify(text.as_bytes(), self.settings.mode_of(flavor(self.kind)));
        let replies = self.wire.query(text).unwrap();
        self.doubtful |= !rules::pins(verdict.touches).is_empty();
        let mut index = 0;
        for reply in &replies {
            let success = match reply {
                Reply::Ok(success) | Reply::Rows { end: success, .. } => success,
                Reply::Err(_) | Reply::Cut { .. } => return false,
            };
            let statement = verdict.statements.get(index);
            let state = state(success);
            let seen = observe(&self.settings, statement, &state, flavor(self.kind));
            let Seen {
                settings, doubts, ..
            } = seen.expect("readable state");
            self.settings = settings;
            self.doubtful |= !doubts.is_empty();
            let more = success.status & crate::support::mysql::message::status::MORE_RESULTS != 0;
            if !statement.is_some_and(|statement| statement.many_replies && more) {
                index += 1;
            }
        }
        true
    }

    /// Brings it to these settings, as Sluice would.
    fn bring_to(&mut self, settings: &Arc<Settings>) {
        let difference = difference(&self.settings, settings);
        if let Some(schema) = &difference.schema {
            let command = [b"\x02", &**schema].concat();
            let reply = self.wire.simple(&command).unwrap();
            assert!(reply.failure().is_none(), "{reply:?}");
        }
        if !difference.sql.is_empty() {
            let sql = String::from_utf8(difference.sql).unwrap();
            let replies = self.wire.query(&sql).unwrap();
            let failure = replies.iter().find_map(Reply::failure);
            assert_eq!(failure, None, "{sql}");
        }
        self.settings = Arc::clone(settings);
    }

    /// Everything that a session can see of its settings.
    fn snapshot(&mut self) -> BTreeMap<String, String> {
        // Whatever the session does to what it is told, this is told alike.
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for reply in self.wire.succeed("show session variables") {
            for row in reply.text_rows() {
                let [name, value] = row.try_into().unwrap();
                values.insert(name.unwrap(), value.unwrap_or_default());
            }
        }
        values.retain(|name, _| !OWN.contains(&&**name));
        for name in ["a", "b", "c"] {
            // One by one: under some character sets their texts do not mix.
            for shown in ["", "charset", "collation"] {
                let sql = format!("select hex({shown}(@{name}))");
                values.insert(format!("@{name} {shown}"), self.wire.value(&sql));
            }
        }
        values.insert("database".into(), self.wire.value("select hex(database())"));
        values
    }
}

/// Variables that differ from connection to connection by themselves.
const OWN: [&str; 6] = [
    "pseudo_thread_id",
    "timestamp",
    "rand_seed1",
    "rand_seed2",
    "statement_id",
    "error_count",
];

/// The session state information of a reply, as it came.
fn state(success: &Success) -> Vec<u8> {
    let mut state = Vec::new();
    for (kind, data) in &success.changes {
        state.push(*kind);
        put_string(&mut state, data);
    }
    state
}

#[track_caller]
fn assert_same(left: &BTreeMap<String, String>, right: &BTreeMap<String, String>, what: &str) {
    let differ: Vec<_> = left
        .iter()
        .filter(|(name, value)| right.get(*name) != Some(value))
        .map(|(name, value)| (name, value, right.get(name)))
        .collect();
    assert!(differ.is_empty(), "{what}: {differ:?}");
}

/// A value that the variable does not have, if it looks like one that has others.
fn other_value(value: &str) -> Option<String> {
    match value {
        "ON" => Some("OFF".into()),
        "OFF" => Some("ON".into()),
        _ => {
            let number: u64 = value.parse().ok()?;
            let other = match number {
                // Not one that cuts statements short at once.
                0 => 100_000,
                1..=0xff_ffff_ffff => number * 2 + 1,
                _ => number / 1024 * 512,
            };
            Some(other.to_string())
        }
    }
}

/// Each variable by itself: what it was set to is observed, carried to another connection, and taken back
/// there.
fn every_variable_is_carried_or_in_doubt(kind: Kind) {
    let server = MySql::shared(kind);
    let database = server.database();
    let mut one = Session::new(kind, &database);
    let mut other = Session::new(kind, &database);
    let fresh = other.snapshot();
    let (mut carried, mut doubtful) = (BTreeSet::new(), BTreeSet::new());
    for (name, value) in fresh.clone() {
        if name.starts_with('@') || name == "database" || name.starts_with("session_track_") {
            continue;
        }
        let changed = other_value(&value)
            .is_some_and(|value| one.run(&format!("set session {name} = {value}")));
        // What has few values is at least set to its own.
        if !changed && !one.run(&format!("set session {name} = @@session.{name}")) {
            continue;
        }
        if one.doubtful {
            doubtful.insert(name);
            one = Session::new(kind, &database);
            continue;
        }
        other.bring_to(&one.settings);
        assert_same(&one.snapshot(), &other.snapshot(), &name);
        let clean = Settings::fresh(flavor(kind)).with_schema(Some(database.name.as_bytes()));
        other.bring_to(&clean);
        assert_same(&fresh, &other.snapshot(), &name);
        one.bring_to(&clean);
        carried.insert(name);
    }
    println!("{} carried, in doubt: {doubtful:?}", carried.len());
    assert!(carried.len() > 100, "{carried:?}");
    for name in [
        "sql_mode",
        "time_zone",
        "autocommit",
        "foreign_key_checks",
        "lc_messages",
    ] {
        assert!(carried.contains(name), "{name}");
    }
    for name in ["timestamp", "insert_id"] {
        assert!(!carried.contains(name), "{name}");
    }
}

/// What sessions do to their settings.
const STATEMENTS: &[&str] = &[
    "set names latin1",
    "set names utf8mb4",
    "set names utf8mb4 collate utf8mb4_bin",
    "set names utf8mb4 collate utf8mb4_unicode_ci, @a = 'x'",
    "set names gbk",
    "set names binary",
    "set character set latin1",
    "set character_set_results = null",
    "set character_set_results = latin1",
    "set character_set_client = latin1",
    "set character_set_connection = utf8mb4",
    "set character_set_connection = utf16",
    "set collation_connection = utf8mb4_unicode_ci",
    "set collation_connection = latin1_bin",
    "set sql_mode = 'ansi_quotes,no_backslash_escapes'",
    "set sql_mode = ''",
    "set sql_mode = default",
    "set sql_mode = concat(@@sql_mode, ',ansi_quotes')",
    "set time_zone = '+03:00', sql_safe_updates = 1",
    "set time_zone = system",
    "set time_zone = default",
    "set foreign_key_checks = 0",
    "set foreign_key_checks = 1, unique_checks = off",
    "set unique_checks = default",
    "set @@session.sql_notes = 0",
    "set autocommit = 0",
    "set autocommit = on",
    "set max_join_size = 5000000",
    "set sql_big_selects = 1",
    "set sql_big_selects = 0",
    "set max_join_size = default",
    "set session transaction isolation level read committed",
    "set session transaction read only",
    "set session transaction read write, isolation level serializable",
    "set group_concat_max_len = 100000",
    "set sort_buffer_size = 100000, join_buffer_size = default",
    "set sql_select_limit = 5",
    "set sql_select_limit = default",
    "set lc_time_names = 'de_DE'",
    "set wait_timeout = 1000, net_write_timeout = 77",
    "set optimizer_switch = 'mrr=off'",
    "set default_storage_engine = myisam",
    "set default_week_format = 3, div_precision_increment = 7",
    "set global sql_safe_updates = 0",
    "set @a = 1",
    "set @a = -1.50, @b = 1e5",
    "set @b = 'it''s'",
    "set @B = \"d\u{e9}j\u{e0} vu\"",
    "set @c = null, @a = true",
    "set @c = 0x4142",
    "set @c = x'00ff', @b = b'101'",
    "set @a = n'abc'",
    "use mysql",
    "call carry()",
    "call carry_switch()",
    "select 1",
    "do 1",
    "prepare s from 'set names latin1 collate latin1_bin'",
    "execute s",
];

/// A small generator of numbers: the same ones each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's multiplicative generator.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Any sequence of statements: if it is not in doubt, the settings that were observed bring another connection,
/// which itself comes from anywhere, to the same state.
fn any_settings_are_carried(kind: Kind) {
    let rounds = 150;
    let server = MySql::shared(kind);
    let database = server.database();
    let mut admin = database.admin();
    admin.succeed("create procedure carry() begin set sort_buffer_size = 123456; set names latin1; set time_zone = '+05:00'; end");
    admin.succeed("create procedure carry_switch() begin set sql_warnings = 1; end");
    let mut other = Session::new(kind, &database);
    let mut dice = Dice(1);
    let mut carried = 0;
    for round in 0..rounds {
        let mut one = Session::new(kind, &database);
        let mut texts = Vec::new();
        for _ in 0..=dice.below(5) {
            let text = STATEMENTS[dice.below(STATEMENTS.len())];
            texts.push((text, one.run(text)));
        }
        if one.doubtful {
            continue;
        }
        let what = format!("{round}: {texts:?}");
        other.bring_to(&one.settings);
        assert_same(&one.snapshot(), &other.snapshot(), &what);
        carried += 1;
    }
    println!("{carried} carried");
    assert!(carried > rounds / 3);
}

/// What a login with a collation's number means.
fn logins_are_carried(kind: Kind) {
    let server = MySql::shared(kind);
    let database = server.database();
    for number in [8_u8, 28, 33, 45, 46, 48, 63, 83, 192, 224, 255, 0, 253] {
        let login = Login {
            collation: number,
            ..Login::new(server.port, &database.name, crate::support::mysql::ADMIN).with_tls()
        };
        let mut direct = Wire::connect(&login).unwrap();
        let mut carried = Session::new(kind, &database);
        let settings = Settings::login(
            flavor(kind),
            number.into(),
            sluice::protocol::mysql::capability::Capabilities::default(),
            &database.name,
        );
        carried.bring_to(&settings);
        let sql = "select concat_ws(' ', @@character_set_client, @@character_set_connection, \
                   @@character_set_results, @@collation_connection)";
        assert_eq!(direct.value(sql), carried.wire.value(sql), "{number}");
    }
}

mod on_mysql {
    use super::Kind::MySql;

    #[test]
    fn every_variable_is_carried_or_in_doubt() {
        super::every_variable_is_carried_or_in_doubt(MySql);
    }

    #[test]
    fn any_settings_are_carried() {
        super::any_settings_are_carried(MySql);
    }

    #[test]
    fn logins_are_carried() {
        super::logins_are_carried(MySql);
    }
}

mod on_mariadb {
    use super::Kind::MariaDb;

    #[test]
    fn every_variable_is_carried_or_in_doubt() {
        super::every_variable_is_carried_or_in_doubt(MariaDb);
    }

    #[test]
    fn any_settings_are_carried() {
        super::any_settings_are_carried(MariaDb);
    }

    #[test]
    fn logins_are_carried() {
        super::logins_are_carried(MariaDb);
    }
}
