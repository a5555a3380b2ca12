//! The settings (GUCs) in which a session differs from a freshly logged-in connection. What turns
//! one such state into another is in [`super::replay`].
//!
//! Values are immutable and shared, so that the common question, whether a client and a server
//! connection agree, is one pointer or hash comparison.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::guc;
use super::leaning::Leaning;
use crate::protocol::interner::Interner;

/// Settings by lower-case name. The absence of a name means the connection's own default.
#[derive(Debug)]
pub struct Settings {
    pub(super) values: BTreeMap<Box<str>, Value>,
    /// As whom those were set that not everybody may set, unless it was the login's own user and
    /// role. Not part of what makes settings equal.
    pub(super) setters: BTreeMap<Box<str>, Identity>,
    /// Hash of all values: equal settings have equal hashes.
    hash: u64,
    /// Hash of the values that may change how a statement is parsed or planned.
    planner: u64,
    leaning: Leaning,
}

/// The value of a setting, in one of the two ways in which it can be given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// As the startup packet and `set_config` take it.
    Text(Box<[u8]>),
    /// As `SET name TO` takes it: constants in SQL, with commas between them. The server quotes
    /// the items of list settings itself.
    List(Box<[u8]>),
}

/// As whom statements run: the values of `session_authorization` and `role`, where they differ
/// from the login's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The session's user.
    pub user: Option<Value>,
    /// The role.
    pub role: Option<Value>,
}

impl Identity {
    /// True for the user and role of the login.
    pub fn is_own(&self) -> bool {
        self.user.is_none() && self.role.is_none()
    }
}

/// The setting that holds the session's user.
pub const USER: &str = "session_authorization";

/// The setting that holds the role.
pub const ROLE: &str = "role";

impl Settings {
    /// No differences. Always the same allocation.
    pub fn none() -> Arc<Self> {
        static NONE: LazyLock<Arc<Settings>> =
            LazyLock::new(|| Arc::new(Settings::new(BTreeMap::new(), BTreeMap::new())));
        Arc::clone(&NONE)
    }

    /// Settings with these values; a later one of the same name wins.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Arc<Self> {
        static KNOWN: LazyLock<Interner<Settings>> = LazyLock::new(Interner::default);
        let pairs: SmallVec<[(&str, &[u8]); 8]> = pairs.into_iter().collect();
        if pairs.is_empty() {
            return Self::none();
        }
        let mut bytes: SmallVec<[u8; 256]> = SmallVec::new();
        for (name, value) in &pairs {
            for part in [name.as_bytes(), value] {
                bytes.extend_from_slice(&part.len().to_ne_bytes());
                bytes.extend_from_slice(part);
            }
        }
        // One allocation for all clients that ask for the same: they are compared for each request.
        KNOWN.get(&bytes, |_| {
            let values = pairs.iter().map(|(name, value)| {
                let value = Value::Text((*value).into());
                (name.to_ascii_lowercase().into(), value)
            });
            Self::new(values.collect(), BTreeMap::new())
        })
    }

    fn new(values: BTreeMap<Box<str>, Value>, setters: BTreeMap<Box<str>, Identity>) -> Self {
        let planner: Vec<_> = values
            .iter()
            .filter(|(name, _)| !guc::is_planner_blind(name))
            .collect();
        Self {
            hash: HASHER.hash_one(&values),
            planner: if planner.is_empty() {
                0
            } else {
                HASHER.hash_one(planner)
            },
            leaning: Leaning::of(&values),
            values,
            setters,
        }
    }

    /// The same settings with one value changed; `None` returns it to the default.
    pub fn with(self: &Arc<Self>, name: &str, value: Option<Value>) -> Arc<Self> {
        self.with_by(name, value, Identity::default())
    }

    /// The same, set as `setter`.
    pub fn with_by(
        self: &Arc<Self>,
        name: &str,
        value: Option<Value>,
        setter: Identity,
    ) -> Arc<Self> {
        if self.value(name) == value.as_ref() {
            return Arc::clone(self);
        }
        let mut values = self.values.clone();
        let mut setters = self.setters.clone();
        setters.remove(name);
        match value {
            Some(value) => {
                values.insert(name.into(), value);
                if !setter.is_own() {
                    setters.insert(name.into(), setter);
                }
            }
            None => drop(values.remove(name)),
        }
        if values.is_empty() {
            return Self::none();
        }
        Arc::new(Self::new(values, setters))
    }

    /// As whom statements run.
    pub fn identity(&self) -> Identity {
        Identity {
            user: self.value(USER).cloned(),
            role: self.value(ROLE).cloned(),
        }
    }

    /// As whom the setting was given its value.
    pub fn setter(&self, name: &str) -> Identity {
        self.setters.get(name).cloned().unwrap_or_default()
    }

    /// Identifies the content within this process.
    pub fn id(&self) -> u64 {
        self.hash
    }

    /// What they say about where texts go.
    pub const fn leaning(&self) -> Leaning {
        self.leaning
    }

    /// Identifies the part of the content that parsing and planning depend on.
    pub fn planner_id(&self) -> u64 {
        self.planner
    }

    /// The value of a setting, if it differs from the default.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The names of all that differ from the default.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(|name| &**name)
    }

    /// True if both hold the same values.
    pub fn same(a: &Arc<Self>, b: &Arc<Self>) -> bool {
        Arc::ptr_eq(a, b) || (a.hash == b.hash && a.values == b.values)
    }
}

/// The seed is one for the process, so that equal content has equal hashes.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// Identifies what settings of a transaction, of which `before` identifies those so far, are after
/// one more change: by [`Settings::planner_id`]'s measure. Never 0.
pub fn mixed(before: u64, name: &str, value: Option<&Value>) -> u64 {
    HASHER.hash_one((before, name, value)).max(1)
}

/// Identifies settings that are not known, and differs every time. Never 0.
pub fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    mixed(NEXT.fetch_add(1, Ordering::Relaxed), "", None)
}

#[cfg(test)]
mod tests {
    use super::{Settings, Value, mixed, unique};

    #[test]
    fn equal_settings_are_the_same() {
        let a = Settings::from_pairs([("TimeZone", &b"UTC"[..])]);
        let b = Settings::none().with("timezone", Some(Value::Text(b"UTC"[..].into())));
        assert!(Settings::same(&a, &b));
        assert!(Settings::same(&a.with("timezone", None), &Settings::none()));
    }

    #[test]
    fn settings_that_planning_ignores_share_plans() {
        let a = Settings::from_pairs([("application_name", &b"x"[..])]);
        assert_eq!(a.planner_id(), Settings::none().planner_id());
        for name in ["search_path", "role", "client_encoding", "app.tenant"] {
            let b = Settings::from_pairs([(name, &b"x"[..])]);
            assert_ne!(b.planner_id(), Settings::none().planner_id(), "{name}");
        }
    }

    #[test]
    fn the_same_changes_of_a_transaction_are_known_again() {
        let value = Value::Text(b"x"[..].into());
        let one = mixed(0, "search_path", Some(&value));
        assert_eq!(one, mixed(0, "search_path", Some(&value)));
        assert_ne!(one, mixed(0, "search_path", None));
        assert_ne!(unique(), unique());
    }
}
