//! The state of a session that can be carried to another server connection, and what has to be sent to
//! get there.
//!
//! Values are immutable and shared, so that the common question, whether a client and a server connection
//! agree, is one pointer or hash comparison. Everything is relative to a fresh connection: one that has logged
//! in and run [`FRESH_NAMES`].
//!
//! # How it is used
//!
//! To join a client to a server connection: send what [`difference`] says, in one write with the client's
//! command. At each OK: [`observe`](super::observe::observe). After an error nothing is known of what the failed
//! statement has set: the server is asked, or the connection is kept.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;

use super::capability::Capabilities;
use super::collations;
use super::login::{Announcement, Flavor};
use super::tracker::{self, Change};
use crate::sql::mysql::Mode;
use crate::sql::mysql::verdict::{Literal, LiteralKind};

mod users;

/// Settings of a session.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    content: Content,
    /// Hash of the content: equal settings have equal hashes.
    id: u64,
    /// Hash of what the meaning of a prepared statement depends on.
    meaning: u64,
    /// How texts are read, but for the server's family and version.
    reading: Mode,
    /// Whether `reading` says anything of quotes and backslashes.
    chose_sql_mode: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Content {
    schema: Option<Box<[u8]>>,
    charsets: Charsets,
    /// Session variables by lower-case name, as a server tells their values. The absence of a name means the
    /// connection's own default.
    variables: BTreeMap<Box<str>, Box<[u8]>>,
    /// User variables by lower-case name.
    users: BTreeMap<Box<str>, UserVariable>,
}

/// The value of a user variable. One that is set to `NULL` keeps type and collation of the value before, in
/// both families.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct UserVariable {
    /// SQL that gives the last value that was not `NULL`, whatever the settings in force.
    sql: Box<[u8]>,
    /// It is `NULL` now.
    null: bool,
}

/// What a user variable that was never set is like: a binary string, as far as SQL can tell.
const NEVER_SET: &[u8] = b"X''";

/// Character sets, by the names of `SET NAMES`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Charsets {
    /// `character_set_client`
    pub client: Box<str>,
    /// `character_set_results`; `None`: as stored.
    pub results: Option<Box<str>>,
    /// `character_set_connection`
    pub connection: Box<str>,
    /// `collation_connection`; `None`: what the server is configured to use with the character set.
    pub collation: Option<Box<str>>,
}

impl Charsets {
    /// As by `SET NAMES`.
    pub fn names(charset: &str, collation: Option<&str>) -> Self {
        Self {
            client: charset.into(),
            results: Some(charset.into()),
            connection: charset.into(),
            collation: collation.map(Into::into),
        }
    }

    /// With another connection collation, and the character set that it belongs to.
    #[must_use]
    pub fn with_collation(self, collation: &str) -> Self {
        Self {
            connection: collations::charset(collation).into(),
            collation: Some(collation.into()),
            ..self
        }
    }
}

/// What brings one state to another.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The schema to choose.
    pub schema: Option<Box<[u8]>>,
    /// SQL to run; empty if none.
    pub sql: Vec<u8>,
}

/// Returns the character sets to what they are on a fresh connection. MariaDB's tracker knows the two variables
/// of the connection's collation as one, by the name of that which was set first since it was switched on: the
/// one that says more has to come first.
pub const FRESH_NAMES: &[u8] = b"SET collation_connection = utf8mb4_general_ci, \
    character_set_client = utf8mb4, character_set_results = utf8mb4";

/// Most user variables that are carried along.
const MOST_USERS: usize = 256;
/// Longest value of a user variable that is carried along, in bytes of SQL.
const LONGEST_USER: usize = 4096;

impl Settings {
    fn make(content: Content) -> Arc<Self> {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);
        let id = HASHER.hash_one(&content);
        let meaningful = content.variables.iter().filter(|(name, _)| matters(name));
        let mut meaning = HASHER.build_hasher();
        (&content.schema, &content.charsets).hash(&mut meaning);
        meaningful.for_each(|pair| pair.hash(&mut meaning));
        let reading = Mode::new(crate::sql::mysql::Flavor::MySql, 0)
            .with_charset(content.charsets.client.as_bytes());
        let chosen = content.variables.get("sql_mode");
        Arc::new(Self {
            reading: chosen.map_or(reading, |sql_mode| reading.with_sql_mode(sql_mode)),
            chose_sql_mode: chosen.is_some(),
            content,
            id,
            meaning: meaning.finish(),
        })
    }

    /// Of a fresh connection. Always the same allocation.
    pub fn fresh(_: Flavor) -> Arc<Self> {
        static FRESH: LazyLock<Arc<Settings>> = LazyLock::new(|| {
            Settings::make(Content {
                schema: None,
                charsets: fresh_charsets(),
                variables: BTreeMap::new(),
                users: BTreeMap::new(),
            })
        });
        Arc::clone(&FRESH)
    }

    /// A client's at its login: with its schema, and the character sets that the number of a collation stands
    /// for. A number that is not known, or whose character set no client can speak, is ignored, as by servers.
    pub fn login(flavor: Flavor, collation: u16, _: Capabilities, database: &str) -> Arc<Self> {
        let fresh = Self::fresh(flavor);
        let charsets = collations::name(flavor, collation)
            .filter(|name| !collations::is_wide(collations::charset(name)))
            .map(|name| {
                let given = (!collations::is_default(flavor, collation)).then_some(name);
                Charsets::names(collations::charset(name), given)
            });
        let content = Content {
            schema: (!database.is_empty()).then(|| database.as_bytes().into()),
            charsets: charsets.unwrap_or_else(|| Charsets::names("utf8mb4", None)),
            ..fresh.content.clone()
        };
        Self::make(content)
    }

    /// The schema.
    pub fn schema(&self) -> Option<&[u8]> {
        self.content.schema.as_deref()
    }

    /// The character sets.
    pub fn charsets(&self) -> &Charsets {
        &self.content.charsets
    }

    /// The value of a session variable, if it is known to differ from the default.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        self.content.variables.get(name).map(AsRef::as_ref)
    }

    /// A user variable as SQL would write it.
    pub fn user_variable(&self, name: &str) -> Option<&[u8]> {
        let variable = self.content.users.get(name)?;
        (!variable.null).then_some(&*variable.sql)
    }

    /// With another schema.
    #[must_use]
    pub fn with_schema(&self, schema: Option<&[u8]>) -> Arc<Self> {
        Self::make(Content {
            schema: schema.map(Into::into),
            ..self.content.clone()
        })
    }

    /// With the character sets of a fresh connection.
    #[must_use]
    pub fn with_fresh_names(&self) -> Arc<Self> {
        self.with_charsets(fresh_charsets())
    }

    /// With other character sets.
    #[must_use]
    pub fn with_charsets(&self, charsets: Charsets) -> Arc<Self> {
        Self::make(Content {
            charsets,
            ..self.content.clone()
        })
    }

    /// With another value of a session variable; `None`: its default.
    #[must_use]
    pub fn with_variable(&self, name: &str, value: Option<&[u8]>) -> Arc<Self> {
        let mut content = self.content.clone();
        match value {
            Some(value) => content.variables.insert(name.into(), value.into()),
            None => content.variables.remove(name),
        };
        Self::make(content)
    }

    /// With another value of a user variable; `charsets` are those under which its text was read. `None` if it
    /// cannot be carried along: it is too large, there are too many, or what it says depends on character sets
    /// in a way not known here.
    #[must_use]
    pub fn with_user_variable(
        &self,
        name: &str,
        value: &Literal,
        charsets: &Charsets,
    ) -> Option<Arc<Self>> {
        let sql = constant(value, charsets)?;
        let mut content = self.content.clone();
        let variable = if sql.eq_ignore_ascii_case(b"NULL") {
            let before = content.users.remove(name);
            UserVariable {
                sql: before.map_or_else(|| NEVER_SET.into(), |before| before.sql),
                null: true,
            }
        } else {
            UserVariable {
                sql: sql.into(),
                null: false,
            }
        };
        content.users.insert(name.into(), variable);
        let fits = content.users.len() <= MOST_USERS;
        fits.then(|| Self::make(content))
    }

    /// Identifies the content within this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Identifies, within this process, what the meaning of a statement that is prepared under these settings
    /// depends on: servers keep to what was in force then.
    pub fn meaning(&self) -> u64 {
        self.meaning
    }

    /// These settings with the meaning of `other`: a statement prepared under them is as if prepared under
    /// `other`. What a transaction may depend on stays.
    #[must_use]
    pub fn with_meaning_of(&self, other: &Self) -> Arc<Self> {
        let (own, other) = (&self.content, &other.content);
        let kept = own.variables.iter().filter(|(name, _)| !matters(name));
        let taken = other.variables.iter().filter(|(name, _)| matters(name));
        let pairs = kept.chain(taken);
        Self::make(Content {
            schema: other.schema.clone().or_else(|| own.schema.clone()),
            charsets: other.charsets.clone(),
            variables: pairs
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            users: own.users.clone(),
        })
    }

    /// True if both hold the same.
    pub fn same(a: &Arc<Self>, b: &Arc<Self>) -> bool {
        Arc::ptr_eq(a, b) || (a.id == b.id && a == b)
    }

    /// How a server reads texts of this session; `usual`: of one that has not chosen an `sql_mode`.
    pub fn mode(&self, usual: Mode) -> Mode {
        let quoting = if self.chose_sql_mode {
            self.reading
        } else {
            usual
        };
        Mode {
            flavor: usual.flavor,
            version: usual.version,
            charset: self.reading.charset,
            ..quoting
        }
    }

    /// The same for a server that is not at hand: as the oldest that is supported, with the `sql_mode` that
    /// servers come with, would read them.
    pub fn mode_of(&self, flavor: Flavor) -> Mode {
        self.mode(Mode::new(family(flavor), oldest(flavor)))
    }
}

/// How a server reads the texts of a session that has not chosen an `sql_mode`, by the session state information
/// of a reply that tells it.
pub fn usual_mode(announcement: &Announcement, state: &[u8]) -> Mode {
    let flavor = announcement.flavor;
    let mode = Mode::new(
        family(flavor),
        version_number(flavor, &announcement.version),
    );
    tracker::read(state)
        .filter_map(|change| match change {
            Ok(Change::Variable(b"sql_mode", value)) => Some(mode.with_sql_mode(value)),
            _ => None,
        })
        .last()
        .unwrap_or(mode)
}

const fn family(flavor: Flavor) -> crate::sql::mysql::Flavor {
    match flavor {
        Flavor::MySql => crate::sql::mysql::Flavor::MySql,
        Flavor::MariaDb => crate::sql::mysql::Flavor::MariaDb,
    }
}

fn fresh_charsets() -> Charsets {
    Charsets::names("utf8mb4", Some("utf8mb4_general_ci"))
}

const fn oldest(flavor: Flavor) -> u32 {
    match flavor {
        Flavor::MySql => 80_400,
        Flavor::MariaDb => 101_100,
    }
}

/// `11.8.3-MariaDB` as 110803. MariaDB may put an older version in front, for replicas of old.
fn version_number(flavor: Flavor, version: &str) -> u32 {
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut parts = version
        .split(|letter: char| !letter.is_ascii_digit())
        .map(|part| part.parse::<u32>().ok());
    let mut part = || parts.next().flatten().filter(|part| *part < 100);
    match (part(), part(), part()) {
        (Some(major), Some(minor), Some(patch)) => major * 10_000 + minor * 100 + patch,
        _ => oldest(flavor),
    }
}

/// A constant as SQL that says the same under any settings. `None` if that is not known.
fn constant(value: &Literal, charsets: &Charsets) -> Option<Vec<u8>> {
    let sql = match value.kind {
        LiteralKind::Number | LiteralKind::Bits | LiteralKind::Word => value.text.to_vec(),
        LiteralKind::National if value.text.is_ascii() => {
            // The collation of such strings, in both families, whatever is configured.
            string("utf8mb3", Some("utf8mb3_general_ci"), &value.text)
        }
        LiteralKind::National => return None,
        LiteralKind::String => {
            // The value is converted from the client's set to the connection's.
            let same = charsets.client == charsets.connection;
            let ascii = value.text.is_ascii()
                && ![&charsets.client, &charsets.connection]
                    .iter()
                    .any(|set| collations::is_wide(set) || &***set == "swe7");
            if !same && !ascii {
                return None;
            }
            string(
                &charsets.connection,
                charsets.collation.as_deref(),
                &value.text,
            )
        }
    };
    (sql.len() <= LONGEST_USER).then_some(sql)
}

/// A string constant in hexadecimal digits, which no `sql_mode` reads otherwise.
fn string(charset: &str, collation: Option<&str>, text: &[u8]) -> Vec<u8> {
    let mut sql = format!("_{charset} X'").into_bytes();
    for byte in text {
        sql.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    sql.push(b'\'');
    if let Some(collation) = collation {
        sql.extend_from_slice(b" COLLATE ");
        sql.extend_from_slice(collation.as_bytes());
    }
    sql
}

/// What brings `from` to `to`. No schema cannot be brought about where there is one; the caller looks at that.
pub fn difference(from: &Settings, to: &Settings) -> Difference {
    let (from, to) = (&from.content, &to.content);
    let schema = if from.schema == to.schema {
        None
    } else {
        to.schema.clone()
    };
    let mut list = List {
        wide: collations::is_wide(&from.charsets.connection),
        ..List::default()
    };
    for name in from.variables.keys() {
        if !to.variables.contains_key(name) {
            list.next();
            list.name(name);
            list.sql.extend_from_slice(b" = ");
            list.usual(name);
        }
    }
    for (name, value) in &to.variables {
        if from.variables.get(name) != Some(value) {
            list.next();
            list.name(name);
            list.sql.extend_from_slice(b" = ");
            list.value(name, value);
        }
    }
    // Behind the variables that say which collation is a character set's default.
    if from.charsets != to.charsets {
        list.charsets(&to.charsets);
    }
    for name in from.users.keys() {
        if !to.users.contains_key(name) {
            list.user(name, NEVER_SET);
            list.user(name, b"NULL");
        }
    }
    for (name, value) in &to.users {
        if from.users.get(name) != Some(value) {
            list.user(name, &value.sql);
            if value.null {
                list.user(name, b"NULL");
            }
        }
    }
    Difference {
        schema,
        sql: list.sql,
    }
}

/// A list of assignments being written, in words that no `sql_mode` and no character set reads otherwise.
#[derive(Default)]
struct List {
    sql: Vec<u8>,
    /// Constants are read in a character set in which servers do not find names.
    wide: bool,
}

impl List {
    fn next(&mut self) {
        let separator: &[u8] = if self.sql.is_empty() { b"SET " } else { b", " };
        self.sql.extend_from_slice(separator);
    }

    /// `@@session.name`; the scope keeps the modes of transactions from being those of the next one alone.
    fn name(&mut self, name: &str) {
        self.sql.extend_from_slice(b"@@session.");
        self.sql.extend_from_slice(name.as_bytes());
    }

    /// The value of a variable on a fresh connection.
    fn usual(&mut self, name: &str) {
        if INVERTED_DEFAULT.contains(&name) {
            self.sql.extend_from_slice(b"@@global.");
            self.sql.extend_from_slice(name.as_bytes());
        } else {
            self.sql.extend_from_slice(b"DEFAULT");
        }
    }

    /// The value of a variable, as the server has told it. Numbers are refused in quotes, words without.
    fn value(&mut self, name: &str, value: &[u8]) {
        if value.is_empty() && NULL_IF_EMPTY.contains(&name) {
            self.sql.extend_from_slice(b"NULL");
        } else if is_number(value) {
            self.sql.extend_from_slice(value);
        } else if value
            .iter()
            .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\'))
        {
            if self.wide {
                self.sql.extend_from_slice(b"_utf8mb4");
            }
            self.sql.push(b'\'');
            self.sql.extend_from_slice(value);
            self.sql.push(b'\'');
        } else {
            self.sql.extend_from_slice(&string("utf8mb4", None, value));
        }
    }

    fn charsets(&mut self, charsets: &Charsets) {
        let mut set = |name: &str, value: &str| {
            self.next();
            self.sql.extend_from_slice(name.as_bytes());
            self.sql.extend_from_slice(value.as_bytes());
        };
        let connection = &*charsets.connection;
        // `NAMES` alone chooses the collation by the server's configuration in both families.
        let names = !collations::is_wide(connection);
        if names {
            set("NAMES ", connection);
        } else {
            set("character_set_connection = ", connection);
        }
        if let Some(collation) = &charsets.collation {
            set("collation_connection = ", collation);
        }
        if !names || charsets.client != charsets.connection {
            set("character_set_client = ", &charsets.client);
        }
        let results = charsets.results.as_deref();
        if !names || results != Some(connection) {
            set("character_set_results = ", results.unwrap_or("NULL"));
        }
    }

    fn user(&mut self, name: &str, value: &[u8]) {
        self.next();
        self.sql.extend_from_slice(b"@`");
        self.sql
            .extend_from_slice(name.replace('`', "``").as_bytes());
        self.sql.extend_from_slice(b"` := ");
        self.sql.extend_from_slice(value);
    }
}

/// True unless a variable is of no meaning to a statement that is prepared. Transactions depend on these.
fn matters(name: &str) -> bool {
    !WITHOUT_MEANING.contains(&name)
}

const WITHOUT_MEANING: [&str; 6] = [
    "autocommit",
    "completion_type",
    "transaction_isolation",
    "transaction_read_only",
    "tx_isolation",
    "tx_read_only",
];

/// Variables of which MySQL sets the opposite of the global value when asked for the default: it keeps them as
/// bits that mean the reverse (seen with 9.7).
const INVERTED_DEFAULT: [&str; 2] = ["foreign_key_checks", "unique_checks"];

/// Variables that tell `NULL` as the empty text, which they refuse.
const NULL_IF_EMPTY: [&str; 6] = [
    "character_set_results",
    "default_tmp_storage_engine",
    "enforce_storage_engine",
    "external_table_storage_engine",
    "innodb_ft_user_stopword_table",
    "innodb_tmpdir",
];

/// True for digits with at most one sign before them and one point within.
fn is_number(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let points = digits.iter().filter(|byte| **byte == b'.').count();
    digits.first().is_some_and(u8::is_ascii_digit)
        && digits.last().is_some_and(u8::is_ascii_digit)
        && points <= 1
        && digits
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

#[cfg(test)]
mod tests;
