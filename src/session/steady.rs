//! Sessions that only read, and never go back in time: each stays with the replica that it has read from, and moves
//! to another only once that has come as far.
//!
//! # Why the primary is asked
//!
//! The replica that was read from may be gone, and then nobody knows how far it had come; but no replica is ahead of
//! the primary. Whoever has come to where the primary is now shows all that the session may have seen.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::borrow::{Lent, Missed, borrow_at_once, borrow_in_turn, borrow_there, rest, unless};
use super::desk::Route;
use super::proof::{Shown, primarys_position, shows};
use crate::model::{Consistency, Role};
use crate::pool::BorrowError;
use crate::protocol::Engine;

/// Borrows what lies idle where the session has read before, if nothing has to be shown there; `None` otherwise.
pub(super) fn read_at_once<E: Engine>(route: &mut Route<E>) -> Option<Lent<E>> {
    let consistency = route.options.split.consistency;
    if consistency == Consistency::Eventual {
        return borrow_at_once(route, Role::Replica);
    }
    let destinations = &mut route.destinations;
    if consistency == Consistency::Strong || !destinations.is_at_home() {
        return None;
    }
    let lent = borrow_at_once(route, Role::Replica)?;
    route.destinations.settle(&lent.way.site.name);
    Some(lent)
}

/// Borrows at a server that shows all that the session has seen, waiting for that until the borrow timeout after
/// `start`; `interrupt` is polled meanwhile. Not cancel-safe: dropped, it may close a connection.
pub(super) async fn read_in_turn<E: Engine, I>(
    route: &mut Route<E>,
    start: Instant,
    mut interrupt: impl FnMut(&mut Context<'_>) -> Poll<I>,
) -> Result<Lent<E>, Missed<I>> {
    let consistency = route.options.split.consistency;
    let access = Arc::clone(route.destinations.access());
    loop {
        let destinations = &mut route.destinations;
        let epoch = destinations.epoch();
        let lent = borrow_in_turn(destinations, Role::Replica, start, &mut interrupt).await?;
        let Lent { way, .. } = &lent;
        let known = match consistency {
            Consistency::Eventual => return Ok(lent),
            Consistency::Session => destinations
                .home()
                .is_none_or(|home| *home == way.site.name),
            Consistency::Strong => false,
        };
        if known || !way.leads_to_replica() {
            destinations.settle(&way.site.name);
            return Ok(lent);
        }
        if let Some(lent) = Box::pin(shown(route, lent, &mut interrupt)).await? {
            return Ok(lent);
        }
        let destinations = &mut route.destinations;
        if access.terms().reads_fall_back
            && let Some(way) = destinations.primary().cloned()
            && let Ok(server) = Box::pin(borrow_there(&way, &mut interrupt)).await
        {
            destinations.settle(&way.site.name);
            return Ok(Lent::new(server, way, Role::Replica));
        }
        let late = BorrowError::Timeout(access.terms().primary.borrow_timeout);
        let rest = rest(Arc::clone(&access), epoch, start, Some(late));
        let rested = Box::pin(unless(rest, &mut interrupt)).await?;
        rested.map_err(Missed::Borrow)?;
    }
}

/// The connection, if its server comes in time to where the primary is now.
async fn shown<E: Engine, I>(
    route: &mut Route<E>,
    mut lent: Lent<E>,
    interrupt: &mut impl FnMut(&mut Context<'_>) -> Poll<I>,
) -> Result<Option<Lent<E>>, Missed<I>> {
    let wait = route.options.split.wait;
    let destinations = &mut route.destinations;
    let position = primarys_position(destinations, interrupt).await;
    let position = position.map_err(Missed::Interrupted)?;
    let found = match &position {
        // Without GTIDs nobody can show anything.
        Some(position) if position.is_empty() => Shown::Reached,
        Some(position) => shows(&mut lent.server, position, wait).await,
        None => Shown::Behind,
    };
    match found {
        Shown::Reached => {
            destinations.settle(&lent.way.site.name);
            return Ok(Some(lent));
        }
        Shown::Behind => lent.server.give_back(),
        Shown::Lost => destinations.access().roster().suspect(&lent.way.site.name),
    }
    Ok(None)
}
