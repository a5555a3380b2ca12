//! What servers said at login, remembered for clients that log in later.

use std::sync::Mutex;

use quick_cache::sync::Cache;

use super::lock;

/// Greetings of one pool, by client profile.
pub(super) struct Greetings<G> {
    by_profile: Cache<u64, G>,
    /// What a fresh connection says before any client's settings are applied.
    plain: Mutex<Option<G>>,
}

impl<G: Clone + PartialEq> Greetings<G> {
    pub(super) fn new() -> Self {
        Self {
            by_profile: Cache::new(PROFILES),
            plain: Mutex::new(None),
        }
    }

    pub(super) fn get(&self, profile: u64) -> Option<G> {
        self.by_profile.get(&profile)
    }

    pub(super) fn remember(&self, profile: u64, greeting: G) {
        self.by_profile.insert(profile, greeting);
    }

    /// Notes what a fresh connection says. If the server has changed its mind (a new version, a
    /// changed default), all that was remembered is forgotten.
    pub(super) fn fresh(&self, greeting: G) {
        let mut plain = lock(&self.plain);
        if plain.as_ref() == Some(&greeting) {
            return;
        }
        if plain.is_some() {
            self.by_profile.clear();
        }
        *plain = Some(greeting);
    }
}

/// Different startup options among the clients of one pool; more of them only cost a connection
/// at login.
const PROFILES: usize = 128;

#[cfg(test)]
mod tests {
    use super::{Greetings, PROFILES};

    #[test]
    fn a_changed_server_makes_all_forgotten() {
        let greetings = Greetings::new();
        greetings.remember(1, "17.1, for profile 1");
        greetings.fresh("17.1");
        greetings.fresh("17.1");
        assert_eq!(greetings.get(1), Some("17.1, for profile 1"));
        greetings.fresh("17.2");
        assert_eq!(greetings.get(1), None);
    }

    #[test]
    fn profiles_are_bounded() {
        let greetings = Greetings::new();
        for profile in 0..10_000 {
            greetings.remember(profile, "");
        }
        assert!(greetings.by_profile.len() <= PROFILES);
    }
}
