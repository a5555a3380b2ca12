//! What clients ask Sluice to do to other sessions.

use std::hash::Hash;

use super::Hall;
use super::handle::{Handle, Signal};
use super::registry::CancelKeys;
use crate::protocol::{Engine, Errand, ErrandOrder};

/// Runs the errands of one client.
pub(super) struct Errands<'a, E: Engine> {
    keys: &'a CancelKeys<E::CancelKey>,
    /// The client's own session.
    own: &'a Handle,
}

impl<'a, E: Engine> Errands<'a, E> {
    /// Those of the session `own`.
    pub(super) fn of(hall: &'a Hall<E>, own: &'a Handle) -> Self {
        let keys = &hall.keys;
        Self { keys, own }
    }

    /// Runs what the client's request asks for, if anything, and has the engine answer it; true if it did.
    pub(super) fn run(&self, front: &mut E::Front, replies: &mut Vec<u8>) -> bool {
        let Some(errand) = E::errand(front) else {
            return false;
        };
        let found = execute(self.keys, self.own, &errand);
        E::errand_done(front, found, replies);
        true
    }
}

/// Raises the signal; false if there is no such session, or it is another user's.
fn execute<K: Clone + Eq + Hash>(keys: &CancelKeys<K>, own: &Handle, errand: &Errand<K>) -> bool {
    let Some(other) = keys.session(&errand.key) else {
        return false;
    };
    let (Some(asking), Some(asked)) = (own.identity(), other.identity()) else {
        return false;
    };
    if asking.user != asked.user {
        return false;
    }
    other.raise(match errand.order {
        ErrandOrder::Cancel => Signal::Cancel,
        ErrandOrder::Terminate => Signal::Kill,
    });
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::handle::{Identity, Limits, Signal};
    use super::super::registry::{CancelKeys, Entry, Registry};
    use super::execute;
    use crate::model::PoolKey;
    use crate::protocol::{Errand, ErrandOrder};

    fn session(registry: &Arc<Registry>, user: &str) -> Entry {
        let entry = registry.enter("127.0.0.1:1".parse().unwrap());
        entry.handle.identify(Identity {
            user: user.into(),
            database: "app".into(),
            application: "".into(),
            pool: PoolKey {
                group: "main".into(),
                target: "db:1".into(),
                user: user.into(),
                database: "app".into(),
                variant: 0,
            },
            tls: false,
            limits: Limits::default(),
        });
        entry
    }

    #[test]
    fn only_sessions_of_the_same_user_are_reached() {
        let registry = Arc::new(Registry::default());
        let keys = Arc::new(CancelKeys::default());
        let (ann, own, bob) = (
            session(&registry, "ann"),
            session(&registry, "ann"),
            session(&registry, "bob"),
        );
        let _guards = [
            keys.register(1, Arc::clone(&ann.handle)),
            keys.register(2, Arc::clone(&bob.handle)),
        ];
        let errand = |key, order| Errand { key, order };
        assert!(execute(&keys, &own.handle, &errand(1, ErrandOrder::Cancel)));
        assert!(ann.handle.take(Signal::Cancel));
        assert!(!execute(
            &keys,
            &own.handle,
            &errand(2, ErrandOrder::Terminate)
        ));
        assert!(!bob.handle.has_signals());
        assert!(!execute(
            &keys,
            &own.handle,
            &errand(3, ErrandOrder::Cancel)
        ));
        assert!(execute(
            &keys,
            &bob.handle,
            &errand(2, ErrandOrder::Terminate)
        ));
        assert!(bob.handle.take(Signal::Kill));
    }
}
