//! One session whose reads go to replicas: which server its next request goes to, and what that server must show
//! first.

use std::sync::Arc;

use super::borrow::{Lent, Missed, borrow_there};
use super::desk::Route;
use super::destination::Way;
use super::proof::{Shown, primarys_position, shows};
use super::routing::RouteMetrics;
use super::shelf::Shelf;
use crate::model::{Role, SessionId};
use crate::pool::Borrowed;
use crate::protocol::{Asked, Demand, Engine, Front, Refusal};
use crate::router::{Memory, Plan, Proof, Reason, Stay, stay};

/// What a session keeps for choosing.
pub(super) struct Split<E: Engine> {
    shelf: Arc<Shelf<E>>,
    pub(super) metrics: Arc<RouteMetrics>,
    memory: Memory,
    /// What the request at hand asks for, and how many bytes it has.
    asked: Option<(usize, Demand)>,
    /// Why a replica has not answered the request at hand.
    refused: Option<Refusal>,
}

/// Where the request at hand goes.
pub(super) enum Choice<E: Engine> {
    /// To the primary, whichever that is.
    Primary,
    /// To a replica that may answer it; the request has so many bytes.
    Replica(Lent<E>, usize),
}

/// The replica that a request should go to.
pub(super) struct Candidate<E: Engine> {
    way: Arc<Way<E>>,
    /// What it must show first.
    proof: Proof,
    why: Reason,
    /// So many bytes the request has.
    len: usize,
    /// The group's epoch in which it was chosen.
    epoch: u64,
}

impl<E: Engine> Split<E> {
    /// Of a session that is served so, if its reads go to replicas.
    pub(super) fn of(route: &Route<E>) -> Option<Self> {
        let (shelf, metrics) = route.split.as_ref()?;
        Some(Self {
            shelf: Arc::clone(shelf),
            metrics: Arc::clone(metrics),
            memory: Memory::default(),
            asked: None,
            refused: None,
        })
    }

    /// Looks at a request that has come; false if more of it must come first.
    pub(super) fn look(&mut self, front: &mut E::Front, inbox: &[u8]) -> bool {
        let readings = self.shelf.readings();
        match E::demand(front, inbox, readings.as_deref()) {
            Asked::More => false,
            Asked::Unit(len, demand) => {
                self.asked = Some((len, demand));
                true
            }
        }
    }

    /// A replica has not answered the request at hand: the primary is to have it.
    pub(super) fn refused(&mut self, why: Refusal) {
        self.refused = Some(why);
        self.metrics.refused(why == Refusal::ReadOnly);
    }

    /// What becomes of a request that has come while the session keeps state on a replica; `None`: more of it must
    /// come first.
    pub(super) fn stays(&mut self, front: &mut E::Front, inbox: &[u8]) -> Option<(Stay, usize)> {
        // Of what has changed since, the replica itself refuses what it must.
        let readings = self.shelf.last_readings();
        let Asked::Unit(len, demand) = E::demand(front, inbox, readings.as_deref()) else {
            return None;
        };
        let why = match &demand {
            Demand::Primary(why, _) => Some(*why),
            Demand::Read { .. } | Demand::ReadOnlyTransaction => None,
        };
        Some((stay(front.pins(), why), len))
    }

    /// The request at hand goes to the primary.
    pub(super) fn works(&mut self) {
        self.memory.work();
    }

    /// Chooses for the request that was looked at last. `Err`: the replica that it should go to, where something has to
    /// be waited for first ([`Split::choose`]).
    pub(super) fn choose_at_once(
        &mut self,
        route: &mut Route<E>,
        session: SessionId,
    ) -> Result<Choice<E>, Candidate<E>> {
        let (len, demand) = self
            .asked
            .take()
            .unwrap_or((0, Demand::Read { hinted: false }));
        let why = match demand {
            Demand::Read { .. } => Reason::Read,
            Demand::ReadOnlyTransaction => Reason::ReadOnlyTransaction,
            Demand::Primary(why, subject) => {
                return Ok(self.chose_primary(session, Reason::Text(why), &subject.0));
            }
        };
        let refused = self.refused.take().map(|refusal| match refusal {
            Refusal::Keeps => Reason::LeavesState,
            Refusal::ReadOnly | Refusal::Elsewhere => Reason::Refused,
        });
        if let Some(why) = refused {
            return Ok(self.chose_primary(session, why, ""));
        }
        let destinations = &mut route.destinations;
        let home = self.memory.home();
        let way = home
            .and_then(|home| destinations.reader(home))
            .or_else(|| destinations.replica());
        let target = way.as_ref().map(|way| &way.site.name);
        let plan = self.memory.plan(route.options.split.consistency, target);
        let (way, proof) = match (way, plan) {
            (Some(way), Plan::Replica(proof)) => (way, proof),
            (_, Plan::Primary(why)) => return Ok(self.chose_primary(session, why, "")),
            (None, _) => return Ok(self.chose_primary(session, Reason::NoReplica, "")),
        };
        let candidate = Candidate {
            way,
            proof,
            why,
            len,
            epoch: destinations.epoch(),
        };
        if proof == Proof::None
            && let Some(server) = candidate.way.pool.borrow_at_once()
        {
            return Ok(self.found(route, session, candidate, server));
        }
        Err(candidate)
    }

    /// Borrows a connection of the replica that the request should go to, once that has shown what it must; or the
    /// primary is to have the request. Cancel-safe, but for the choice.
    pub(super) async fn choose<I>(
        &mut self,
        route: &mut Route<E>,
        session: SessionId,
        candidate: Candidate<E>,
        mut interrupt: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<I>,
    ) -> Result<Choice<E>, I> {
        let shown = self.shown(route, &candidate, &mut interrupt).await?;
        Ok(match shown {
            Ok(server) => self.found(route, session, candidate, server),
            Err(why) => self.chose_primary(session, why, ""),
        })
    }

    fn chose_primary(&self, session: SessionId, why: Reason, subject: &str) -> Choice<E> {
        self.metrics.routed(Role::Primary, why);
        if tracing::enabled!(tracing::Level::DEBUG) {
            routed(session, Role::Primary, "", why, subject);
        }
        Choice::Primary
    }

    /// A connection of the candidate is in hand. The group is looked at again, see [`borrow_at_once`].
    ///
    /// [`borrow_at_once`]: super::borrow::borrow_at_once
    fn found(
        &mut self,
        route: &Route<E>,
        session: SessionId,
        candidate: Candidate<E>,
        server: Borrowed<E>,
    ) -> Choice<E> {
        if route.destinations.access().roster().epoch() == candidate.epoch {
            return self.chose_replica(session, candidate, server);
        }
        server.give_back();
        self.chose_primary(session, Reason::Moved, "")
    }

    fn chose_replica(
        &mut self,
        session: SessionId,
        candidate: Candidate<E>,
        server: Borrowed<E>,
    ) -> Choice<E> {
        let Candidate { way, why, len, .. } = candidate;
        self.memory.read(&way.site.name);
        self.metrics.routed(Role::Replica, why);
        if tracing::enabled!(tracing::Level::DEBUG) {
            routed(session, Role::Replica, &way.site.name, why, "");
        }
        Choice::Replica(Lent::new(server, way, Role::Replica), len)
    }

    /// A connection of the candidate that may answer, or why there is none.
    async fn shown<I>(
        &mut self,
        route: &mut Route<E>,
        candidate: &Candidate<E>,
        interrupt: &mut impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<I>,
    ) -> Result<Result<Borrowed<E>, Reason>, I> {
        let Candidate { way, proof, .. } = candidate;
        let wait = route.options.split.wait;
        if *proof == Proof::Fresh {
            let asked = Box::pin(primarys_position(&mut route.destinations, interrupt)).await?;
            match asked {
                Some(position) if !position.is_empty() => self.memory.learn(&position),
                _ => return Ok(Err(Reason::Behind)),
            }
        }
        let roster = Arc::clone(route.destinations.access().roster());
        let mut server = match borrow_there(way, interrupt).await {
            Ok(server) => server,
            Err(Missed::Interrupted(what)) => return Err(what),
            Err(_) => {
                roster.suspect(&way.site.name);
                return Ok(Err(Reason::Unreachable));
            }
        };
        if let Some(floor) = self.memory.floor().filter(|_| *proof != Proof::None) {
            match Box::pin(shows(&mut server, floor, wait)).await {
                Shown::Reached => self.memory.show(&way.site.name),
                Shown::Behind => {
                    server.give_back();
                    return Ok(Err(Reason::Behind));
                }
                Shown::Lost => {
                    roster.suspect(&way.site.name);
                    return Ok(Err(Reason::Unreachable));
                }
            }
        }
        Ok(Ok(server))
    }
}

/// Out of the way of requests that are not logged.
#[cold]
fn routed(session: SessionId, role: Role, target: &str, why: Reason, subject: &str) {
    tracing::debug!(%session, role = role.as_str(), target, reason = why.name(), subject, "routed");
}
