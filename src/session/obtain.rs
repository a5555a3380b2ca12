//! How a client comes by a server connection for the request at hand: at once where one lies idle, else by waiting,
//! meanwhile watched.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::borrow::{Lent, Missed, Wait, borrow_at_once};
use super::desk::Route;
use super::exchange::Client;
use super::handle::{Handle, Signal};
use super::relay::{End, Relay, read_client, shutting_down, terminated};
use super::split::{Candidate, Choice};
use super::steady::{read_at_once, read_in_turn};
use crate::model::{Fault, FaultKind, Role};
use crate::pool::BorrowError;
use crate::protocol::Engine;

/// A server connection; a replica's that may answer one request and no other with its size.
pub(super) type Found<E> = (Lent<E>, Option<usize>);

impl<E: Engine> Relay<E> {
    /// Borrows a server connection for a request that has come at `start`; `None` if it has been
    /// answered with an error and the session goes on. Cancel-safe.
    pub(super) async fn borrow(&mut self, start: Instant) -> Result<Option<Found<E>>, End> {
        // What is lent must be out of the way, and what may wait boxed: an idle client is to be small.
        let awaited = match self.lend() {
            Ok(found) => {
                self.tally.lent_at_once();
                return Ok(Some(found));
            }
            Err(awaited) => awaited,
        };
        if let Some(candidate) = awaited {
            return Box::pin(self.borrow_chosen(candidate, start)).await;
        }
        match self.aim {
            Role::Primary => Served::boxed(self, start).await,
            Role::Replica => Box::pin(self.borrow_to_read(start)).await,
        }
    }

    /// What lies idle where the request at hand goes, or the replica that is to be asked for it, if any is.
    fn lend(&mut self) -> Result<Found<E>, Option<Box<Candidate<E>>>> {
        if let Some(split) = &mut self.split {
            match split.choose_at_once(&mut self.route, self.handle.id) {
                Ok(Choice::Replica(lent, len)) => return Ok((lent, Some(len))),
                Ok(Choice::Primary) => split.works(),
                Err(candidate) => return Err(Some(Box::new(candidate))),
            }
        }
        let lent = self.borrow_at_once().ok_or(None)?;
        Ok((lent, None))
    }

    fn borrow_at_once(&mut self) -> Option<Lent<E>> {
        match self.aim {
            Role::Primary => borrow_at_once(&mut self.route, Role::Primary),
            Role::Replica => read_at_once(&mut self.route),
        }
    }

    /// The same for a request that should go to this replica; with its size if it does.
    async fn borrow_chosen(
        &mut self,
        candidate: Box<Candidate<E>>,
        start: Instant,
    ) -> Result<Option<Found<E>>, End> {
        let Self {
            client,
            handle,
            route,
            split: Some(split),
            ..
        } = &mut *self
        else {
            return Ok(None);
        };
        let interrupt = |cx: &mut Context<'_>| poll_waiting(client, handle, cx);
        match split.choose(route, handle.id, *candidate, interrupt).await {
            Ok(Choice::Replica(lent, len)) => return Ok(Some((lent, Some(len)))),
            Ok(Choice::Primary) => split.works(),
            Err(interrupt) => return self.missed(Missed::Interrupted(interrupt)).map(|()| None),
        }
        if let Some(lent) = borrow_at_once(&mut self.route, Role::Primary) {
            return Ok(Some((lent, None)));
        }
        Served::boxed(self, start).await
    }

    async fn borrow_to_read(&mut self, start: Instant) -> Result<Option<Found<E>>, End> {
        let (route, interrupt) = self.interruptible();
        let lent = read_in_turn(route, start, interrupt).await;
        self.lent(lent)
    }

    /// Where to borrow, and what may come first.
    fn interruptible(
        &mut self,
    ) -> (
        &mut Route<E>,
        impl FnMut(&mut Context<'_>) -> Poll<Interrupt>,
    ) {
        let Self {
            client,
            handle,
            route,
            ..
        } = self;
        (route, move |cx: &mut Context<'_>| {
            poll_waiting(client, handle, cx)
        })
    }

    fn lent(&mut self, lent: Result<Lent<E>, Missed<Interrupt>>) -> Result<Option<Found<E>>, End> {
        match lent {
            Ok(lent) => Ok(Some((lent, None))),
            Err(missed) => self.missed(missed).map(|()| None),
        }
    }

    /// There is no server connection for the request at hand; the session goes on, or ends.
    fn missed(&mut self, missed: Missed<Interrupt>) -> Result<(), End> {
        match missed {
            Missed::Interrupted(Interrupt::ClientGone) => Err(End::ClientGone),
            Missed::Interrupted(Interrupt::End(fault)) => Err(End::Fault(fault)),
            Missed::Interrupted(Interrupt::Cancelled) => {
                self.decline(&Fault::new(
                    FaultKind::Cancelled,
                    "canceling statement due to user request",
                ));
                Ok(())
            }
            Missed::Borrow(BorrowError::Closed) => Err(End::Fault(shutting_down())),
            missed => {
                let fault = missed.fault();
                tracing::warn!(session = %self.handle.id, reason = %missed, "no server connection");
                self.decline(&fault);
                Ok(())
            }
        }
    }
}

/// Waits for one of the primary's. Cancel-safe. Not an `async fn`, which would take twice the room.
struct Served<'a, E: Engine> {
    relay: &'a mut Relay<E>,
    wait: Wait<E>,
}

impl<'a, E: Engine> Served<'a, E> {
    /// Apart: it is touched with each look, and what is around it, of an idle client, is not.
    fn boxed(relay: &'a mut Relay<E>, start: Instant) -> Pin<Box<Self>> {
        let wait = Wait::new(Role::Primary, start);
        Box::pin(Self { relay, wait })
    }
}

impl<E: Engine> Future for Served<'_, E> {
    type Output = Result<Option<Found<E>>, End>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { relay, wait } = &mut *self;
        let lent = {
            let (route, mut interrupt) = relay.interruptible();
            ready!(wait.poll(&mut route.destinations, &mut interrupt, cx))
        };
        Poll::Ready(relay.lent(lent))
    }
}

/// Watches the client while it waits for a server connection.
fn poll_waiting<E: Engine>(
    client: &mut Client<E>,
    handle: &Handle,
    cx: &mut Context<'_>,
) -> Poll<Interrupt> {
    handle.listen(cx.waker());
    if handle.take(Signal::Cancel) {
        return Poll::Ready(Interrupt::Cancelled);
    }
    if handle.take(Signal::Kill) {
        return Poll::Ready(Interrupt::End(terminated()));
    }
    // A client that waits may send more; enough of it is kept to see whether it leaves.
    while client.inbox.len() < WAITING_INBOX {
        match read_client(client, cx) {
            Poll::Ready(0) => return Poll::Ready(Interrupt::ClientGone),
            Poll::Ready(_) => {}
            Poll::Pending => break,
        }
    }
    Poll::Pending
}

/// Why a borrow was given up.
#[derive(Debug)]
enum Interrupt {
    Cancelled,
    ClientGone,
    End(Fault),
}

/// How much of a waiting client's further requests is kept.
const WAITING_INBOX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::{Lent, Served};
    use crate::protocol::mysql::Mysql;
    use crate::protocol::postgres::Postgres;

    /// Each of thousands has one, and all of it has been pushed out of the processor's caches when its turn comes.
    #[test]
    fn a_client_that_waits_for_a_connection_is_small() {
        let sizes = [
            size_of::<Lent<Postgres>>(),
            size_of::<Served<'_, Postgres>>(),
            size_of::<Served<'_, Mysql>>(),
        ];
        assert!(sizes.iter().all(|size| *size <= 128), "{sizes:?}");
    }
}
