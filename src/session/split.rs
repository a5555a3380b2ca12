//! One session whose reads go to replicas: which server its next request goes to, and what that server must show
//! first.

use std::sync::Arc;

use super::borrow::{Lent, Missed, borrow_there};
use super::desk::Route;
use super::proof::{Shown, primarys_position, shows};
use super::routing::RouteMetrics;
use super::shelf::Shelf;
use crate::model::{Role, SessionId};
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
    pub(super) fn look(&mut self, front: &E::Front, inbox: &[u8]) -> bool {
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
    pub(super) fn stays(&mut self, front: &E::Front, inbox: &[u8]) -> Option<(Stay, usize)> {
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

    /// Chooses for the request that was looked at last, and borrows a replica's connection if it goes there.
    pub(super) async fn choose<I>(
        &mut self,
        route: &mut Route<E>,
        session: SessionId,
        mut interrupt: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<I>,
    ) -> Result<Choice<E>, I> {
        let (len, demand) = self
            .asked
            .take()
            .unwrap_or((0, Demand::Read { hinted: false }));
        let (wanted, subject) = match &demand {
            Demand::Read { .. } => (Ok(Reason::Read), None),
            Demand::ReadOnlyTransaction => (Ok(Reason::ReadOnlyTransaction), None),
            Demand::Primary(why, subject) => (Err(Reason::Text(*why)), Some(subject)),
        };
        let mut reason = match wanted {
            Ok(wanted) => match self.refused.take() {
                None => Ok(wanted),
                Some(Refusal::Keeps) => Err(Reason::LeavesState),
                Some(Refusal::ReadOnly | Refusal::Elsewhere) => Err(Reason::Refused),
            },
            wanted => wanted,
        };
        let mut lent = None;
        if reason.is_ok() {
            match self.replica(route, &mut interrupt).await? {
                Ok(found) => lent = Some(found),
                Err(why) => reason = Err(why),
            }
        }
        let (Ok(why) | Err(why)) = reason;
        let role = if lent.is_some() {
            Role::Replica
        } else {
            Role::Primary
        };
        self.metrics.routed(role, why);
        if tracing::enabled!(tracing::Level::DEBUG) {
            let target = lent.as_ref().map_or("", |lent| &*lent.way.site.name);
            let subject = subject.map_or("", |subject| &*subject.0);
            tracing::debug!(%session, role = role.as_str(), target, reason = why.name(), subject, "routed");
        }
        Ok(match lent {
            Some(lent) => Choice::Replica(lent, len),
            None => Choice::Primary,
        })
    }

    /// A connection of a replica that may answer, or why there is none.
    async fn replica<I>(
        &mut self,
        route: &mut Route<E>,
        interrupt: &mut impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<I>,
    ) -> Result<Result<Lent<E>, Reason>, I> {
        let options = Arc::clone(&route.options);
        let home = self.memory.home().cloned();
        let destinations = &mut route.destinations;
        let home = home.filter(|home| destinations.serves(home));
        let way = match home {
            Some(home) => destinations.access().member(&home),
            None => destinations.replica(),
        };
        let target = way.as_ref().map(|way| &way.site.name);
        let proof = match self.memory.plan(options.split.consistency, target) {
            Plan::Primary(reason) => return Ok(Err(reason)),
            Plan::Replica(proof) => proof,
        };
        let Some(way) = way else {
            return Ok(Err(Reason::NoReplica));
        };
        if proof == Proof::Fresh {
            match primarys_position(&mut route.destinations, interrupt).await? {
                Some(position) if !position.is_empty() => self.memory.learn(&position),
                _ => return Ok(Err(Reason::Behind)),
            }
        }
        let roster = Arc::clone(route.destinations.access().roster());
        let mut server = match borrow_there(&way, interrupt).await {
            Ok(server) => server,
            Err(Missed::Interrupted(what)) => return Err(what),
            Err(_) => {
                roster.suspect(&way.site.name);
                return Ok(Err(Reason::Unreachable));
            }
        };
        if let Some(floor) = self.memory.floor().filter(|_| proof != Proof::None) {
            match shows(&mut server, floor, options.split.wait).await {
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
        self.memory.read(&way.site.name);
        Ok(Ok(Lent::new(server, way, Role::Replica)))
    }
}
