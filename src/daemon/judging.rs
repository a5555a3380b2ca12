//! What a listener's desk makes of the token of a client: see [`super::tokens`].

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::auth::{Attempt, Refusal, Verdict};
use crate::model::{
    AcceptedToken, AuthMethod, Credential, Fault, FaultKind, Proof, Secret, TargetName,
};
use crate::net::options::TlsMode;
use crate::pool::{Pool, ServerLogin};
use crate::protocol::Engine;
use crate::session::desk::Visitor;

use super::desk::{ListenerDesk, Place, terms};
use super::tokens::{Recall, Trouble, Way};
use super::world::Group;

impl<E: Engine> ListenerDesk<E> {
    /// Judges a token, counts and logs what came of it. Cancel-safe.
    pub(super) async fn judged(
        &self,
        visitor: Visitor<'_>,
        login: &E::Login,
        method: AuthMethod,
        token: Secret,
    ) -> Result<Proof, Fault> {
        let begun = Instant::now();
        let way = self.way(visitor, method);
        let result = match way {
            Way::Jwt => self.issued(visitor, &token).await,
            Way::Delegate | Way::Signature => self.signed(visitor, login, way, &token).await,
        };
        let tokens = &self.world.tokens;
        tokens.metrics.judged(way, &result, begun.elapsed());
        let (user, peer, way) = (visitor.user, visitor.peer, way.as_str());
        match result {
            Ok(proof) => Ok(proof),
            Err(Trouble::Refused(refusal)) => {
                if refusal.counts() {
                    tokens.failed(peer.ip(), user);
                }
                let reason = refusal.code();
                if refusal == Refusal::Throttled {
                    // Told when it began.
                    tracing::debug!(%user, %peer, method = way, reason, "token refused");
                } else {
                    tracing::warn!(%user, %peer, method = way, reason, "token refused");
                }
                Err(refused(user, refusal))
            }
            Err(Trouble::Fault(fault)) => {
                tracing::warn!(%user, %peer, method = way, error = %fault, "token could not be judged");
                Err(fault)
            }
        }
    }

    /// The pool that a token is to be tried in; what it logs in with itself stays as it is.
    fn pool_for_trial(&self, place: &Place<'_, E>) -> Result<Arc<Pool<E>>, Fault> {
        let user = place.user.as_deref();
        let terms = terms(place.group, user, place.database);
        let snapshot = place.group.ward.roster().snapshot();
        let options = if snapshot.primary.as_ref() == Some(&place.key.target) {
            terms.primary
        } else {
            terms.replica
        };
        let login = self
            .world
            .server_login(place.group, user, &Proof::default());
        let pools = &self.world.pools;
        let pool = pools.pool_for_trial(&place.key, login, options);
        pool.map_err(|error| {
            tracing::error!(%error, "no pool");
            Fault::new(FaultKind::Internal, "the target is not configured")
        })
    }

    fn way(&self, visitor: Visitor<'_>, method: AuthMethod) -> Way {
        let user = self.world.user(visitor.user);
        let own = user.and_then(|user| user.iam_verification);
        Way::of(method, own.unwrap_or(self.plan.tokens.verification))
    }

    async fn issued(&self, visitor: Visitor<'_>, token: &Secret) -> Result<Proof, Trouble> {
        let tokens = &self.world.tokens;
        tokens.let_try(visitor.peer.ip(), visitor.user)?;
        tokens
            .jwt(&self.plan.tokens, attempt(visitor, token))
            .await?;
        Ok(Proof::default())
    }

    async fn signed(
        &self,
        visitor: Visitor<'_>,
        login: &E::Login,
        way: Way,
        token: &Secret,
    ) -> Result<Proof, Trouble> {
        let tokens = &self.world.tokens;
        if way == Way::Signature {
            tokens.let_try(visitor.peer.ip(), visitor.user)?;
        }
        // Which databases there are, only those learn who have proven who they are.
        let database = self.database(visitor.database);
        let group = database.and_then(|database| self.group(database, visitor.database));
        let group = group.map_err(|_| Refusal::UnknownDatabase)?;
        let listener = &self.plan.tokens;
        let verdict = tokens.iam(
            listener,
            &group.plan,
            way.verification(),
            attempt(visitor, token),
        );
        match verdict {
            Ok(Verdict::Accepted { .. }) => Ok(Proof::default()),
            Ok(Verdict::AskDatabase { signed_for, until }) => {
                let signed_for = self
                    .delegated(visitor, login, token, &signed_for, until)
                    .await?;
                // Without other credentials, what the client has shown opens the pool's connections.
                Ok(Proof {
                    accepted: Some(AcceptedToken {
                        token: token.clone(),
                        user: Arc::clone(visitor.user),
                        until,
                        signed_for,
                    }),
                    ..Proof::default()
                })
            }
            Ok(Verdict::AskIssuer) => Err(Refusal::UnknownKey.into()),
            // Whoever is blocked learns no more from this either.
            Err(trouble) => {
                tokens.let_try(visitor.peer.ip(), visitor.user)?;
                Err(trouble)
            }
        }
    }

    /// Has the database judge a token of which nothing else is wrong, unless it has done so a short
    /// while ago. The connection that is logged in with it serves the user's pool. Cancel-safe.
    async fn delegated(
        &self,
        visitor: Visitor<'_>,
        login: &E::Login,
        token: &Secret,
        signed_for: &(String, u16),
        until: SystemTime,
    ) -> Result<Option<(Box<str>, u16)>, Trouble> {
        let tokens = &self.world.tokens;
        let mut place = self.place(visitor, login)?;
        // The configuration has been checked for this; whoever poses as the server gets no token.
        if place.group.plan.dial.tls.mode != TlsMode::VerifyFull {
            let what = "the server is not verified";
            return Err(Fault::new(FaultKind::Internal, what).into());
        }
        let (target, only_there) = judge_of(place.group, signed_for)?;
        place.key.target = target;
        let signed_for = only_there.then(|| (signed_for.0.as_str().into(), signed_for.1));
        let shown = tokens.memory.shown(token, visitor.user, &place.key);
        let shown =
            shown.ok_or_else(|| Fault::new(FaultKind::Internal, "no randomness is to be had"))?;
        if tokens.memory.knows(&shown).await {
            tokens.metrics.recalled(Recall::Hit);
            return Ok(signed_for);
        }
        tokens.let_try(visitor.peer.ip(), visitor.user)?;
        let ask = async {
            let pool = self.pool_for_trial(&place)?;
            let shown = ServerLogin::Fixed(Credential::Token(token.clone()));
            let outcome = pool.try_login(shown).await;
            if outcome.is_err() {
                self.world.pools.discard(pool);
            }
            match outcome {
                Ok(()) => Ok(until),
                Err(error) if error.is_disbelief() => Err(Refusal::RefusedByDatabase.into()),
                Err(error) if error.is_unasked() => Err(Refusal::NotAskedFor.into()),
                Err(error) => Err(Trouble::Fault(error.fault())),
            }
        };
        let (recall, answer) = tokens.memory.ask(shown, ask).await;
        tokens.metrics.recalled(recall);
        answer.map(|_| signed_for)
    }
}

/// The server that a token is to be shown to, and whether it is of use there only: the configured
/// one that it is signed for; where tokens are signed for other names, the primary.
fn judge_of<E: Engine>(
    group: &Group<E>,
    (host, port): &(String, u16),
) -> Result<(TargetName, bool), Fault> {
    let mut seeds = group.plan.topology.seeds.iter();
    let signed = seeds.find(|seed| {
        let (signed_host, signed_port) = seed.signed_for();
        signed_host.eq_ignore_ascii_case(host) && signed_port == *port
    });
    let primary = || group.ward.roster().snapshot().primary.clone();
    let judge = signed.map(|seed| (Arc::clone(&seed.name), true));
    let judge = judge.or_else(|| primary().map(|name| (name, false)));
    judge.ok_or_else(|| {
        let what = "The database cannot be reached.";
        Fault::new(FaultKind::TargetUnavailable, what)
    })
}

fn attempt<'a>(visitor: Visitor<'a>, token: &'a Secret) -> Attempt<'a> {
    Attempt {
        user: visitor.user,
        token,
    }
}

/// All that a client is told.
fn refused(user: &str, refusal: Refusal) -> Fault {
    Fault::new(
        FaultKind::AuthenticationFailed,
        format!(
            "authentication failed for user \"{user}\": {}",
            refusal.hint()
        ),
    )
}
