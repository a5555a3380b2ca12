//! Borrowing a server connection wherever the group has one: who waits for a server that is
//! gone moves to the one that takes its place.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::desk::Route;
use super::destination::{Access, Destinations, Way};
use super::roster::Occupied;
use crate::model::{Fault, FaultKind, Role, TargetRole};
use crate::pool::{BorrowError, Borrowed, Turn};
use crate::protocol::Engine;

/// A server connection in a session's hands, and where it leads.
pub(super) struct Lent<E: Engine> {
    pub(super) server: Borrowed<E>,
    pub(super) way: Arc<Way<E>>,
    /// What it was borrowed for.
    pub(super) aim: Role,
    /// Counts it among those at work there, where that decides who gets the next.
    pub(super) _place: Option<Occupied>,
}

impl<E: Engine> Lent<E> {
    pub(super) fn new(server: Borrowed<E>, way: Arc<Way<E>>, aim: Role) -> Self {
        let place = (aim == Role::Replica).then(|| way.site.occupy());
        Self {
            server,
            way,
            aim,
            _place: place,
        }
    }
}

/// Why no connection was borrowed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Missed<I> {
    /// None was to be had.
    #[error("{0}")]
    Borrow(BorrowError),
    /// The group has no replica at all.
    #[error("the target group has no replica")]
    NoReplica,
    /// Something else came first.
    #[error("interrupted")]
    Interrupted(I),
}

impl<I> Missed<I> {
    /// What the client is told, unless something else came first.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Borrow(error) => error.fault(),
            Self::NoReplica => Fault::new(
                FaultKind::TargetUnavailable,
                "The target group has no replica for read-only sessions.",
            ),
            Self::Interrupted(_) => Fault::new(FaultKind::Terminated, "interrupted"),
        }
    }
}

/// Where the requests of a session go that does not choose for each.
pub(super) const fn usual_aim(role: TargetRole) -> Role {
    match role {
        TargetRole::ReadOnly => Role::Replica,
        TargetRole::ReadWrite | TargetRole::Split => Role::Primary,
    }
}

/// Borrows what lies idle where the aim is; `None` if it has to be waited for.
///
/// The group is looked at again with the connection in hand: whoever holds requests back
/// ([`switchover`](crate::topology::switchover)) says so first and then counts connections lent.
/// Either it sees this one among them, or this session sees the word (both take the store's lock
/// in between), however long this thread was kept from running.
pub(super) fn borrow_at_once<E: Engine>(route: &mut Route<E>, aim: Role) -> Option<Lent<E>> {
    let lent = lend_at_once(route, aim)?;
    if route.destinations.is_current() {
        return Some(lent);
    }
    lent.server.give_back();
    None
}

fn lend_at_once<E: Engine>(route: &mut Route<E>, aim: Role) -> Option<Lent<E>> {
    match aim {
        Role::Primary => {
            let way = route.destinations.primary()?;
            let server = way.pool.borrow_at_once()?;
            Some(Lent::new(server, Arc::clone(way), aim))
        }
        Role::Replica => {
            let way = route.destinations.replica()?;
            let Some(server) = way.pool.borrow_at_once() else {
                // Else those with idle connections would have all the load.
                route.destinations.unchoose();
                return None;
            };
            Some(Lent::new(server, way, aim))
        }
    }
}

/// Borrows where the aim is, waiting in turn until the borrow timeout after `start`; `interrupt`
/// is polled meanwhile, and has signals of the session wake the task, so that it hears when the group
/// has changed ([`super::handle::Signal::Moved`]). Cancel-safe.
pub(super) async fn borrow_in_turn<E: Engine, I>(
    destinations: &mut Destinations<E>,
    aim: Role,
    start: Instant,
    mut interrupt: impl FnMut(&mut Context<'_>) -> Poll<I>,
) -> Result<Lent<E>, Missed<I>> {
    let mut wait = Wait::new(aim, start);
    std::future::poll_fn(|cx| wait.poll(destinations, &mut interrupt, cx)).await
}

/// Borrows from one pool and no other, waiting in its line; `interrupt` is polled meanwhile. Cancel-safe.
pub(super) async fn borrow_there<E: Engine, I>(
    way: &Way<E>,
    interrupt: &mut impl FnMut(&mut Context<'_>) -> Poll<I>,
) -> Result<Borrowed<E>, Missed<I>> {
    if let Some(server) = way.pool.borrow_at_once() {
        return Ok(server);
    }
    let mut turn = way.pool.line_up(Instant::now());
    std::future::poll_fn(|cx| {
        if let Poll::Ready(result) = turn.poll(cx) {
            return Poll::Ready(result.map_err(Missed::Borrow));
        }
        interrupt(cx).map(|what| Err(Missed::Interrupted(what)))
    })
    .await
}

/// A session's wait for a server connection, wherever the group has one; what [`borrow_in_turn`] does, to be polled.
///
/// Written out for the reason that [`Turn`] is.
pub(super) struct Wait<E: Engine> {
    stage: Stage<E>,
    start: Instant,
    aim: Role,
}

enum Stage<E: Engine> {
    /// Where to wait is to be found out.
    Seeks,
    /// In the line of one pool.
    Lines {
        way: Arc<Way<E>>,
        turn: Turn<E>,
        /// The group's epoch in which that was the right one.
        seen: u64,
    },
    /// There is no server to wait at.
    Rests(Pin<Box<dyn Future<Output = Result<(), BorrowError>> + Send>>),
}

impl<E: Engine> Wait<E> {
    /// Nothing happens before it is polled.
    pub(super) const fn new(aim: Role, start: Instant) -> Self {
        Self {
            stage: Stage::Seeks,
            start,
            aim,
        }
    }

    /// See [`borrow_in_turn`]. Not to be polled again when it has been ready.
    pub(super) fn poll<I>(
        &mut self,
        destinations: &mut Destinations<E>,
        interrupt: &mut impl FnMut(&mut Context<'_>) -> Poll<I>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Lent<E>, Missed<I>>> {
        loop {
            match &mut self.stage {
                Stage::Seeks => self.stage = self.seek(destinations)?,
                Stage::Lines { way, turn, seen } => {
                    let line = Line {
                        way,
                        seen,
                        aim: self.aim,
                    };
                    let Poll::Ready(end) = line.poll(turn, destinations, interrupt, cx) else {
                        return Poll::Pending;
                    };
                    match end {
                        Left::Lent(server) => {
                            let left = std::mem::replace(&mut self.stage, Stage::Seeks);
                            if let Stage::Lines { way, .. } = left {
                                return Poll::Ready(Ok(Lent::new(server, way, self.aim)));
                            }
                        }
                        Left::Interrupted(what) => {
                            return Poll::Ready(Err(Missed::Interrupted(what)));
                        }
                        Left::Moved => self.stage = Stage::Seeks,
                        Left::Failed(error) if error.may_pass() => {
                            let (name, seen) = (Arc::clone(&way.site.name), *seen);
                            let access = destinations.access();
                            access.roster().suspect(&name);
                            if !access.terms().patient {
                                return Poll::Ready(Err(Missed::Borrow(error)));
                            }
                            self.stage = Stage::rests(access, seen, self.start, Some(error));
                        }
                        Left::Failed(error) => return Poll::Ready(Err(Missed::Borrow(error))),
                    }
                }
                Stage::Rests(rest) => match rest.as_mut().poll(cx) {
                    Poll::Ready(Ok(())) => self.stage = Stage::Seeks,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Missed::Borrow(error))),
                    Poll::Pending => {
                        return interrupt(cx).map(|what| Err(Missed::Interrupted(what)));
                    }
                },
            }
        }
    }

    fn seek<I>(&self, destinations: &mut Destinations<E>) -> Result<Stage<E>, Missed<I>> {
        let way = find(destinations, self.aim);
        let (access, seen) = (destinations.access(), destinations.epoch());
        match way {
            Some(way) => {
                let turn = way.pool.line_up(self.start);
                Ok(Stage::Lines { way, turn, seen })
            }
            None if self.aim == Role::Replica && !has_replicas(access) => Err(Missed::NoReplica),
            None => Ok(Stage::rests(access, seen, self.start, None)),
        }
    }
}

impl<E: Engine> Stage<E> {
    fn rests(
        access: &Arc<Access<E>>,
        epoch: u64,
        start: Instant,
        error: Option<BorrowError>,
    ) -> Self {
        Self::Rests(Box::pin(rest(Arc::clone(access), epoch, start, error)))
    }
}

/// How a session leaves the line of a pool.
enum Left<E: Engine, I> {
    Lent(Borrowed<E>),
    /// The aim is elsewhere now.
    Moved,
    Failed(BorrowError),
    Interrupted(I),
}

/// The line of one pool, as long as that is the right one.
struct Line<'a, E: Engine> {
    way: &'a Arc<Way<E>>,
    seen: &'a mut u64,
    aim: Role,
}

impl<E: Engine> Line<'_, E> {
    fn poll<I>(
        self,
        turn: &mut Turn<E>,
        destinations: &mut Destinations<E>,
        interrupt: &mut impl FnMut(&mut Context<'_>) -> Poll<I>,
        cx: &mut Context<'_>,
    ) -> Poll<Left<E, I>> {
        let lent = match turn.poll(cx) {
            Poll::Ready(Ok(server)) => Some(server),
            Poll::Ready(Err(error)) => return Poll::Ready(Left::Failed(error)),
            Poll::Pending => None,
        };
        if lent.is_none()
            && let Poll::Ready(what) = interrupt(cx)
        {
            return Poll::Ready(Left::Interrupted(what));
        }
        // Lent, and looked at again: see `borrow_at_once`. Otherwise looked at last: who changes it later finds
        // somebody to wake.
        while destinations.access().roster().epoch() != *self.seen {
            // Whoever may stay keeps its turn.
            let stays = self.stays(destinations);
            *self.seen = destinations.epoch();
            if !stays {
                if let Some(server) = lent {
                    server.give_back();
                }
                return Poll::Ready(Left::Moved);
            }
        }
        lent.map_or(Poll::Pending, |server| Poll::Ready(Left::Lent(server)))
    }

    fn stays(&self, destinations: &mut Destinations<E>) -> bool {
        match self.aim {
            Role::Primary => destinations
                .primary()
                .is_some_and(|now| Arc::ptr_eq(&now.pool, &self.way.pool)),
            Role::Replica => destinations.serves(&self.way.site.name),
        }
    }
}

fn find<E: Engine>(destinations: &mut Destinations<E>, aim: Role) -> Option<Arc<Way<E>>> {
    match aim {
        Role::Primary => destinations.primary().map(Arc::clone),
        Role::Replica => {
            let falls_back = destinations.access().terms().reads_fall_back;
            let replica = destinations.replica();
            if replica.is_none() && falls_back {
                return destinations.primary().map(Arc::clone);
            }
            replica
        }
    }
}

fn has_replicas<E: Engine>(access: &Access<E>) -> bool {
    let snapshot = access.roster().snapshot();
    // One whose role is not known may be one.
    let mut members = snapshot.members.iter();
    snapshot.paused || members.any(|member| member.role != Some(Role::Primary))
}

/// Waits until the group has changed, or for a moment if `error` says that the server might be
/// back by then; not beyond the borrow timeout after `start`, which is an error. Cancel-safe.
pub(super) async fn rest<E: Engine>(
    access: Arc<Access<E>>,
    epoch: u64,
    start: Instant,
    error: Option<BorrowError>,
) -> Result<(), BorrowError> {
    let limit = access.terms().primary.borrow_timeout;
    let deadline = start.checked_add(limit).unwrap_or(start);
    let again = error.as_ref().map(|_| Instant::now() + TRY_AGAIN);
    let until = again.map_or(deadline, |again| again.min(deadline));
    let changed = timeout_at(until, access.roster().changed(epoch)).await;
    match error {
        _ if changed.is_ok() || until < deadline => Ok(()),
        Some(error) => Err(error),
        None => Err(BorrowError::Timeout(limit)),
    }
}

/// Waits for this, unless `interrupt` comes first.
pub(super) async fn unless<T, I>(
    future: impl Future<Output = T>,
    interrupt: &mut impl FnMut(&mut Context<'_>) -> Poll<I>,
) -> Result<T, Missed<I>> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(result) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(result));
        }
        interrupt(cx).map(|what| Err(Missed::Interrupted(what)))
    })
    .await
}

/// A server that could not be reached is tried again after this long by those who wait.
const TRY_AGAIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::{Lent, borrow_in_turn};
    use crate::model::{Credential, PoolKey, Role, Snapshot};
    use crate::net::testing::dial_options;
    use crate::pool::tests::fake::{Fake, FakeOpener, FakeServer};
    use crate::pool::tests::{options, target_options};
    use crate::pool::{Dialer, PoolMetrics, Pools, ServerLogin};
    use crate::session::destination::{Access, Destinations, Terms};
    use crate::session::metrics::SessionMetrics;
    use crate::session::roster::{Roster, Site, View};
    use crate::telemetry::MetricRegistry;

    /// A group of one server, with one connection.
    fn access() -> Arc<Access<Fake>> {
        let registry = MetricRegistry::new().unwrap();
        let metrics = SessionMetrics::new(&registry).unwrap();
        let pools = Pools::new(PoolMetrics::register(registry.prometheus()).unwrap());
        let opener = Arc::new(FakeOpener(FakeServer::start(100)));
        pools.set_target(&"main".into(), &"db:1".into(), target_options(), opener);
        let dialer = Arc::new(Dialer::new(dial_options("db", 1)).unwrap());
        let site = Site::new("db:1".into(), dialer, metrics.target("main", "db:1"));
        let roster = Arc::new(Roster::new("main".into()));
        publish(&roster, Some(Arc::new(site)), 1, false);
        let key = PoolKey {
            group: "main".into(),
            target: "db:1".into(),
            user: "app".into(),
            database: "app".into(),
            variant: 0,
        };
        let terms = Terms {
            primary: options(1),
            replica: options(1),
            patient: true,
            reads_fall_back: true,
        };
        let login = ServerLogin::Fixed(Credential::None);
        Arc::new(Access::new(pools, roster, key, login, terms))
    }

    fn publish(roster: &Roster, site: Option<Arc<Site>>, epoch: u64, paused: bool) {
        let site = site.or_else(|| roster.site("db:1")).unwrap();
        let snapshot = Snapshot {
            epoch,
            primary: Some("db:1".into()),
            paused,
            members: Vec::new(),
        };
        roster.publish(View {
            snapshot: Arc::new(snapshot),
            sites: [("db:1".into(), site)].into_iter().collect(),
        });
    }

    async fn borrow(access: &Arc<Access<Fake>>) -> Lent<Fake> {
        let mut destinations = Destinations::new(Arc::clone(access), 1);
        let never = |_: &mut std::task::Context<'_>| Poll::<()>::Pending;
        let lent = borrow_in_turn(&mut destinations, Role::Primary, Instant::now(), never);
        lent.await.ok().unwrap()
    }

    /// Who is served in the very moment in which requests are held back does not begin.
    #[tokio::test]
    async fn a_connection_that_comes_with_a_hold_goes_back() {
        let access = access();
        let first = borrow(&access).await;
        let pool = Arc::clone(first.server.pool());
        let waiter = Arc::clone(&access);
        let waiting = tokio::spawn(async move { borrow(&waiter).await });
        while pool.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        // Both before the waiter runs again: this runtime has one thread.
        publish(access.roster(), None, 2, true);
        first.server.give_back();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!((pool.snapshot().borrowed, pool.snapshot().idle), (0, 1));
        assert!(!waiting.is_finished());
        publish(access.roster(), None, 3, false);
        let lent = timeout(Duration::from_secs(10), waiting).await;
        drop(lent.unwrap().unwrap());
    }
}
