//! The settings in which a session differs from a freshly logged-in connection.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;

use super::capability::Capabilities;
use super::login::{Announcement, Flavor};
use super::tracker::Change;
use crate::sql::mysql::Mode;
use crate::sql::mysql::verdict::Literal;

/// Settings of a session.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    schema: Option<Box<[u8]>>,
    variables: BTreeMap<Box<[u8]>, Box<[u8]>>,
    users: BTreeMap<Box<str>, Box<[u8]>>,
    id: u64,
}

/// What brings one state to another.
#[derive(Debug, Default)]
pub struct Difference {
    /// The schema to choose.
    pub schema: Option<Box<[u8]>>,
    /// SQL to run; empty if none.
    pub sql: Vec<u8>,
}

/// Returns the character sets to what they are after a login.
pub const FRESH_NAMES: &[u8] = b"SET NAMES utf8mb4 COLLATE utf8mb4_general_ci";

impl Settings {
    fn make(
        schema: Option<Box<[u8]>>,
        variables: BTreeMap<Box<[u8]>, Box<[u8]>>,
        users: BTreeMap<Box<str>, Box<[u8]>>,
    ) -> Arc<Self> {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);
        let id = HASHER.hash_one((&schema, &variables, &users));
        Arc::new(Self {
            schema,
            variables,
            users,
            id,
        })
    }

    /// After a login.
    pub fn fresh(_: Flavor) -> Arc<Self> {
        static FRESH: LazyLock<Arc<Settings>> =
            LazyLock::new(|| Settings::make(None, BTreeMap::new(), BTreeMap::new()));
        Arc::clone(&FRESH)
    }

    /// A client's at its login.
    pub fn login(flavor: Flavor, _: u16, _: Capabilities, database: &str) -> Arc<Self> {
        let schema = (!database.is_empty()).then_some(database.as_bytes());
        Self::fresh(flavor).with_schema(schema)
    }

    /// The schema.
    pub fn schema(&self) -> Option<&[u8]> {
        self.schema.as_deref()
    }

    /// With another schema.
    #[must_use]
    pub fn with_schema(&self, schema: Option<&[u8]>) -> Arc<Self> {
        Self::make(
            schema.map(Into::into),
            self.variables.clone(),
            self.users.clone(),
        )
    }

    /// With the character sets of a fresh connection.
    #[must_use]
    pub fn with_fresh_names(&self) -> Arc<Self> {
        let mut variables = self.variables.clone();
        variables.retain(|name, _| {
            !name.starts_with(b"character_set_") && !name.starts_with(b"collation_")
        });
        Self::make(self.schema.clone(), variables, self.users.clone())
    }

    /// With a user variable.
    #[must_use]
    pub fn with_user_variable(&self, name: &str, value: &Literal) -> Arc<Self> {
        let mut users = self.users.clone();
        users.insert(name.into(), value.text.clone());
        Self::make(self.schema.clone(), self.variables.clone(), users)
    }

    /// With what the server tells.
    pub fn learned(settings: &Arc<Self>, change: &Change<'_>) -> Arc<Self> {
        match change {
            Change::Schema(name) => settings.with_schema((!name.is_empty()).then_some(name)),
            Change::Variable(name, _) if !KNOWN.contains(name) => Arc::clone(settings),
            Change::Variable(name, value) => {
                let mut variables = settings.variables.clone();
                variables.insert((*name).into(), (*value).into());
                Self::make(settings.schema.clone(), variables, settings.users.clone())
            }
            Change::StateChanged(_) | Change::Other => Arc::clone(settings),
        }
    }

    /// Identifies the content.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// True if both hold the same.
    pub fn same(a: &Arc<Self>, b: &Arc<Self>) -> bool {
        Arc::ptr_eq(a, b) || (a.id == b.id && a == b)
    }

    /// How texts are read.
    pub fn mode(&self, announcement: &Announcement) -> Mode {
        self.mode_of(announcement.flavor)
    }

    /// The same for a server that is not at hand.
    pub fn mode_of(&self, flavor: Flavor) -> Mode {
        let flavor = match flavor {
            Flavor::MySql => crate::sql::mysql::Flavor::MySql,
            Flavor::MariaDb => crate::sql::mysql::Flavor::MariaDb,
        };
        Mode::new(flavor, 80_400)
    }
}

const KNOWN: [&[u8]; 14] = [
    b"autocommit",
    b"sql_mode",
    b"time_zone",
    b"character_set_client",
    b"character_set_results",
    b"character_set_connection",
    b"collation_connection",
    b"transaction_isolation",
    b"transaction_read_only",
    b"foreign_key_checks",
    b"unique_checks",
    b"sql_safe_updates",
    b"group_concat_max_len",
    b"max_execution_time",
];

/// What brings `from` to `to`.
pub fn difference(from: &Settings, to: &Settings) -> Difference {
    let mut difference = Difference::default();
    if from.schema != to.schema {
        difference.schema.clone_from(&to.schema);
    }
    let mut items: Vec<Vec<u8>> = Vec::new();
    for name in from.variables.keys() {
        if !to.variables.contains_key(name) {
            items.push([b"@@session.", &**name, b" = DEFAULT"].concat());
        }
    }
    for (name, value) in &to.variables {
        if from.variables.get(name) == Some(value) {
            continue;
        }
        let number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let quoted = if number {
            value.to_vec()
        } else {
            [b"'", &**value, b"'"].concat()
        };
        items.push([b"@@session.", &**name, b" = ", &quoted].concat());
    }
    for (name, value) in &to.users {
        if from.users.get(name) != Some(value) {
            items.push([b"@`", name.as_bytes(), b"` := '", &**value, b"'"].concat());
        }
    }
    for name in from.users.keys() {
        if !to.users.contains_key(name) {
            items.push([b"@`", name.as_bytes(), b"` := NULL"].concat());
        }
    }
    if !items.is_empty() {
        difference.sql = [b"SET ", &*items.join(&b", "[..])].concat();
    }
    difference
}
