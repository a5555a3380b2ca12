//! One session whose reads go to replicas: which server its next request goes to, and what that server must show
//! first.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::borrow::{Lent, Missed, borrow_there};
use super::desk::Route;
use super::routing::RouteMetrics;
use super::shelf::Shelf;
use crate::model::{Role, SessionId, TargetName};
use crate::pool::Borrowed;
use crate::protocol::{Asked, Back, Chore, Demand, Engine};
use crate::router::{Memory, Plan, Proof, Reason};

/// What a session keeps for choosing.
pub(super) struct Split<E: Engine> {
    shelf: Arc<Shelf<E>>,
    pub(super) metrics: Arc<RouteMetrics>,
    memory: Memory,
    /// What the request at hand asks for, and how many bytes it has.
    asked: Option<(usize, Demand)>,
    /// A replica has refused the request at hand.
    refused: bool,
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
            refused: false,
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

    /// A replica has refused the request at hand: the primary is to have it.
    pub(super) fn refused(&mut self) {
        self.refused = true;
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
            Ok(_) if std::mem::take(&mut self.refused) => Err(Reason::Refused),
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
        if proof == Proof::Fresh && !self.ask_primary(route, interrupt).await? {
            return Ok(Err(Reason::Behind));
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
        if proof != Proof::None {
            let name = Arc::clone(&way.site.name);
            match self.show(&mut server, &name, options.split.wait).await {
                Shown::Reached => {}
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

    /// Asks the primary how far it has come; false if it does not tell.
    async fn ask_primary<I>(
        &mut self,
        route: &mut Route<E>,
        interrupt: &mut impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<I>,
    ) -> Result<bool, I> {
        let Some(way) = route.destinations.primary().map(Arc::clone) else {
            return Ok(false);
        };
        let mut server = match borrow_there(&way, interrupt).await {
            Ok(server) => server,
            Err(Missed::Interrupted(what)) => return Err(what),
            Err(_) => return Ok(false),
        };
        let asked = server.conn().run(Chore::Position, LIMIT).await;
        let position = server.conn().back.chore_value();
        let position = position.and_then(|value| std::str::from_utf8(value).ok());
        let learned = match position.filter(|position| !position.is_empty()) {
            Some(position) if asked.is_ok() => {
                self.memory.learn(position);
                true
            }
            _ => false,
        };
        server.give_back();
        Ok(learned)
    }

    /// Waits a little for the replica to come to where the session has been.
    async fn show(&mut self, server: &mut Borrowed<E>, name: &TargetName, wait: Duration) -> Shown {
        let Some(position) = self.memory.floor().map(Box::<str>::from) else {
            return Shown::Reached;
        };
        let deadline = Instant::now() + wait;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
            let position = &*position;
            let conn = server.conn();
            match conn
                .run(Chore::Reached { position, wait_ms }, LIMIT + left)
                .await
            {
                Ok(()) if conn.back.chore_value() == Some(b"1") => {
                    self.memory.show(name);
                    return Shown::Reached;
                }
                Ok(()) => {}
                // It cannot tell, so nobody knows.
                Err(crate::pool::ChoreError::Refused(_)) => return Shown::Behind,
                Err(_) => return Shown::Lost,
            }
            if Instant::now() + pause >= deadline {
                return Shown::Behind;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// What a replica has shown.
enum Shown {
    Reached,
    Behind,
    Lost,
}

/// Longest that a server may take to say where it is.
const LIMIT: Duration = Duration::from_secs(5);

/// Between two questions to a replica that cannot wait by itself.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(8);
