//! Logging in with what a source offers, and again with what it offers next where the server does
//! not believe the first: while a password rotates, that tells nobody's fault.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::open::OpenError;
use crate::auth::source::{Ask, CredentialSource, Offer, SourceError};

/// One login that asks a source.
pub(super) struct Asker<'a> {
    pub(super) source: &'a dyn CredentialSource,
    /// Name and port that tokens are signed for.
    pub(super) endpoint: (&'a str, u16),
    /// The pool's user.
    pub(super) user: &'a Arc<str>,
    /// It must be this user: that of the connection to be cancelled.
    pub(super) only: Option<&'a str>,
    /// The server's certificate is verified in full.
    pub(super) verified: bool,
    /// For the source's answers, all together.
    pub(super) patience: Duration,
    pub(super) refusals: Refusals,
}

/// What a server has not believed in one login, and what it said to the last.
#[derive(Default)]
pub(super) struct Refusals {
    offers: Vec<Offer>,
    last: Option<OpenError>,
}

impl Asker<'_> {
    /// What to log in with next. Not cancel-safe.
    ///
    /// # Errors
    /// The last refusal, if there is nothing left to try; else why there is nothing to offer.
    pub(super) async fn next(&mut self) -> Result<Offer, OpenError> {
        let began = Instant::now();
        // The source hears of the last refusal, too.
        let asked = self.ask(self.patience).await;
        self.patience = self.patience.saturating_sub(began.elapsed());
        let enough = self.refusals.offers.len() >= MOST_LOGINS;
        let offer = match (asked, self.refusals.last.take()) {
            (Ok(Some(offer)), _) if !enough => offer,
            // What the server said is nearer to the cause.
            (_, Some(refusal)) => return Err(refusal),
            (Err(error), None) => return Err(error.into()),
            (Ok(_), None) => return Err(SourceError::new("there are none").into()),
        };
        if offer.verified_only && !self.verified {
            let what = "tokens are sent over server_tls_mode = \"verify-full\" only";
            return Err(SourceError::new(what).into());
        }
        Ok(offer)
    }

    /// The login with it failed.
    ///
    /// # Errors
    /// That failure, if another offer would not mend it.
    pub(super) fn failed(&mut self, offer: Offer, error: OpenError) -> Result<(), OpenError> {
        if !error.is_disbelief() {
            return Err(error);
        }
        self.refusals.offers.push(offer);
        self.refusals.last = Some(error);
        Ok(())
    }

    async fn ask(&self, limit: Duration) -> Result<Option<Offer>, SourceError> {
        let ask = Ask {
            endpoint: self.endpoint,
            user: self.user,
            only: self.only,
            refused: &self.refusals.offers,
        };
        let asked = tokio::time::timeout(limit, self.source.offer(ask)).await;
        asked.unwrap_or_else(|_| Err(SourceError::new(format_args!("no answer within {limit:?}"))))
    }
}

/// In force, coming, former.
const MOST_LOGINS: usize = 3;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::{Asker, Refusals};
    use crate::auth::source::{Ask, Asked, CredentialSource, Offer, SourceError};
    use crate::model::Credential;
    use crate::pool::OpenError;
    use crate::pool::tests::fake::{refused, unreachable_target};

    #[derive(Debug, Default)]
    struct Numbers {
        asked: Mutex<Vec<usize>>,
        accepted: Mutex<Vec<String>>,
        last: usize,
        silent: bool,
        verified_only: bool,
    }

    impl CredentialSource for Numbers {
        fn offer<'a>(&'a self, ask: Ask<'a>) -> Asked<'a, Option<Offer>> {
            Box::pin(async move {
                if self.silent {
                    std::future::pending::<()>().await;
                }
                self.asked.lock().unwrap().push(ask.refused.len());
                if self.last == 0 {
                    return Err(SourceError::new("the store burns"));
                }
                Ok((ask.refused.len() < self.last).then(|| Offer {
                    user: None,
                    credential: Credential::None,
                    version: ask.refused.len().to_string().into(),
                    verified_only: self.verified_only,
                }))
            })
        }

        fn accepted(&self, offer: &Offer) {
            self.accepted
                .lock()
                .unwrap()
                .push(offer.version.to_string());
        }
    }

    async fn log_in(source: &Numbers, taken: &str, code: &str) -> Result<String, OpenError> {
        let user = Arc::from("app");
        let mut asker = Asker {
            source,
            endpoint: ("db", 5432),
            user: &user,
            only: None,
            verified: false,
            patience: Duration::from_secs(5),
            refusals: Refusals::default(),
        };
        loop {
            let offer = asker.next().await?;
            if *offer.version == *taken {
                source.accepted(&offer);
                return Ok(offer.version.to_string());
            }
            let error = match code {
                "" => unreachable_target(),
                code => refused(code, &offer.version),
            };
            asker.failed(offer, error)?;
        }
    }

    #[tokio::test]
    async fn what_is_not_believed_is_followed_by_the_next() {
        for code in ["28P01", "28000", "1045"] {
            let source = Numbers {
                last: 3,
                ..Numbers::default()
            };
            assert_eq!(log_in(&source, "2", code).await.unwrap(), "2");
            assert_eq!(*source.accepted.lock().unwrap(), ["2"]);
        }
    }

    #[tokio::test]
    async fn the_last_refusal_is_told_after_three_logins_at_most() {
        for (last, told) in [(1, "0"), (2, "1"), (9, "2")] {
            let source = Numbers {
                last,
                ..Numbers::default()
            };
            let error = log_in(&source, "none", "28P01").await.err().unwrap();
            assert!(error.to_string().contains(told), "{error}");
            // It hears of each refusal.
            let asked = source.asked.lock().unwrap();
            assert_eq!(*asked, (0..=last.min(3)).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn other_failures_are_not_tried_again() {
        for code in ["3D000", "53300", "1049", ""] {
            let source = Numbers {
                last: 3,
                ..Numbers::default()
            };
            assert!(log_in(&source, "2", code).await.is_err());
            assert_eq!(*source.asked.lock().unwrap(), [0]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_or_is_silent_is_an_error_of_its_own() {
        let error = log_in(&Numbers::default(), "0", "28P01")
            .await
            .err()
            .unwrap();
        assert!(error.to_string().contains("the store burns"), "{error}");
        let source = Numbers {
            silent: true,
            ..Numbers::default()
        };
        let error = log_in(&source, "0", "28P01").await.err().unwrap();
        assert!(matches!(error, OpenError::Source(_)), "{error}");
        assert!(error.to_string().contains("no answer within 5s"), "{error}");
    }

    #[tokio::test]
    async fn tokens_are_for_verified_servers_only() {
        let source = Numbers {
            last: 1,
            verified_only: true,
            ..Numbers::default()
        };
        let error = log_in(&source, "0", "28P01").await.err().unwrap();
        assert!(error.to_string().contains("verify-full"), "{error}");
    }
}
