//! Tokens that clients have shown and a server has accepted: for users for whom Sluice has nothing
//! of its own, they open the pool's connections while they are valid.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Ask, Asked, CredentialSource, Offer, SourceError};
use crate::model::{AcceptedToken, Credential};

/// The tokens of one user.
#[derive(Debug, Default)]
pub struct ShownTokens(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Those that are valid for longest come first.
    tokens: Vec<(u64, AcceptedToken)>,
    shown: u64,
}

impl ShownTokens {
    /// A client has shown this one, and the server has accepted it.
    pub fn add(&self, token: &AcceptedToken) {
        let mut kept = self.lock();
        if kept
            .tokens
            .iter()
            .any(|(_, known)| known.token == token.token)
        {
            return;
        }
        kept.shown += 1;
        let number = kept.shown;
        kept.tokens.push((number, token.clone()));
        kept.tokens
            .sort_by_key(|(_, token)| std::cmp::Reverse(token.until));
        kept.tokens.truncate(MOST);
    }

    /// What to show next to the server that `ask` is about.
    fn next(&self, ask: Ask<'_>, now: SystemTime) -> Result<Option<Offer>, SourceError> {
        let mut kept = self.lock();
        kept.tokens.retain(|(_, token)| token.until > now + MARGIN);
        let fits = |token: &AcceptedToken| {
            let place = token.signed_for.as_ref();
            place.is_none_or(|(host, port)| {
                host.eq_ignore_ascii_case(ask.endpoint.0) && *port == ask.endpoint.1
            })
        };
        let fitting = kept.tokens.iter().filter(|(_, token)| fits(token));
        let mut offers = fitting.map(|(number, token)| Offer {
            user: None,
            credential: Credential::Token(token.token.clone()),
            version: format!("shown {number}").into(),
            verified_only: true,
        });
        let is_new = |offer: &Offer| !ask.refused.iter().any(|old| old.version == offer.version);
        match offers.find(is_new) {
            None if ask.refused.is_empty() => Err(SourceError::new(
                "no client has shown a token for it that is still valid; the next login brings one",
            )),
            next => Ok(next),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CredentialSource for ShownTokens {
    fn offer<'a>(&'a self, ask: Ask<'a>) -> Asked<'a, Option<Offer>> {
        let next = self.next(ask, SystemTime::now());
        Box::pin(std::future::ready(next))
    }

    fn accepted(&self, _: &Offer) {}
}

/// Tokens kept of one user: where the newest is refused, an older one may do.
const MOST: usize = 4;
/// A login takes a moment.
const MARGIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use super::ShownTokens;
    use crate::auth::source::{Ask, Offer};
    use crate::model::{AcceptedToken, Credential, Secret};

    fn token(text: &str, seconds: u64, signed_for: Option<(&str, u16)>) -> AcceptedToken {
        AcceptedToken {
            token: Secret::new(text),
            user: "app".into(),
            until: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            signed_for: signed_for.map(|(host, port)| (host.into(), port)),
        }
    }

    fn next(
        tokens: &ShownTokens,
        host: &str,
        refused: &[Offer],
        now: u64,
    ) -> Result<Option<String>, String> {
        let user = Arc::from("app");
        let ask = Ask {
            endpoint: (host, 5432),
            user: &user,
            only: None,
            refused,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
        let offer = tokens.next(ask, now).map_err(|error| error.to_string())?;
        Ok(offer.map(|offer| match offer.credential {
            Credential::Token(token) => String::from_utf8(token.expose().to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }))
    }

    #[test]
    fn the_one_that_is_valid_for_longest_comes_first() {
        let tokens = ShownTokens::default();
        assert!(next(&tokens, "db", &[], 0).is_err());
        tokens.add(&token("b", 200, None));
        tokens.add(&token("a", 100, None));
        tokens.add(&token("b", 200, None));
        assert_eq!(next(&tokens, "db", &[], 0).unwrap().as_deref(), Some("b"));
        let refused = |version: &str| Offer {
            user: None,
            credential: Credential::None,
            version: version.into(),
            verified_only: true,
        };
        let (one, two) = (refused("shown 1"), refused("shown 2"));
        assert_eq!(
            next(&tokens, "db", std::slice::from_ref(&one), 0)
                .unwrap()
                .as_deref(),
            Some("a")
        );
        assert_eq!(next(&tokens, "db", &[one, two], 0).unwrap(), None);
        assert!(next(&tokens, "db", &[], 199).is_err());
    }

    #[test]
    fn a_server_is_shown_what_is_signed_for_it() {
        let tokens = ShownTokens::default();
        tokens.add(&token("reader", 100, Some(("Reader", 5432))));
        tokens.add(&token("other port", 100, Some(("writer", 5433))));
        assert_eq!(
            next(&tokens, "reader", &[], 0).unwrap().as_deref(),
            Some("reader")
        );
        assert!(next(&tokens, "writer", &[], 0).is_err());
    }

    #[test]
    fn few_are_kept() {
        let tokens = ShownTokens::default();
        for n in 0..100 {
            tokens.add(&token(&n.to_string(), 1000 + n, None));
        }
        assert_eq!(tokens.lock().tokens.len(), super::MOST);
        assert_eq!(next(&tokens, "db", &[], 0).unwrap().as_deref(), Some("99"));
    }
}
