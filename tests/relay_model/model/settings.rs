//! A server's settings, and what becomes of them as transactions end (PostgreSQL documentation,
//! SET).

use std::collections::BTreeMap;

type Values = BTreeMap<String, String>;

/// Settings of one session.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What RESET returns to.
    startup: Values,
    now: Level,
    /// In force if the transaction is rolled back.
    before: Values,
    savepoints: Vec<(String, Level)>,
}

#[derive(Clone, Debug, Default)]
struct Level {
    session: Values,
    local: Values,
}

impl Settings {
    pub fn new(startup: &[(String, String)]) -> Self {
        let startup: Values = startup.iter().cloned().collect();
        let now = Level {
            session: startup.clone(),
            local: Values::new(),
        };
        Self {
            before: startup.clone(),
            startup,
            now,
            savepoints: Vec::new(),
        }
    }

    pub fn value(&self, name: &str) -> &str {
        let Level { session, local } = &self.now;
        let value = local.get(name).or_else(|| session.get(name));
        value.map_or("", |value| value)
    }

    /// SET, SET LOCAL; RESET where there is no value.
    pub fn set(&mut self, name: &str, value: Option<&str>, local: bool) {
        let value = value.map_or_else(|| self.startup.get(name).cloned(), |v| Some(v.to_owned()));
        let value = value.unwrap_or_default();
        if local {
            self.now.local.insert(name.to_owned(), value);
        } else {
            self.now.local.remove(name);
            self.now.session.insert(name.to_owned(), value);
        }
    }

    pub fn commit(&mut self) {
        self.now.local.clear();
        self.before = self.now.session.clone();
        self.savepoints.clear();
    }

    pub fn roll_back(&mut self) {
        self.now.session = self.before.clone();
        self.now.local.clear();
        self.savepoints.clear();
    }

    pub fn savepoint(&mut self, name: &str) {
        self.savepoints.push((name.to_owned(), self.now.clone()));
    }

    /// False if there is no such savepoint.
    pub fn roll_back_to(&mut self, name: &str) -> bool {
        let Some(place) = self.savepoints.iter().rposition(|(known, _)| known == name) else {
            return false;
        };
        self.now = self.savepoints[place].1.clone();
        self.savepoints.truncate(place + 1);
        true
    }

    /// DISCARD ALL.
    pub fn discard(&mut self) {
        self.now.session = self.startup.clone();
        self.commit();
    }
}
