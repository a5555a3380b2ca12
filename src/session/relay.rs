//! One client's life after its login: wait for a request, borrow a server connection, exchange,
//! give it back.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};

use super::Hall;
use super::borrow::Lent;
use super::desk::{Desk, Route};
use super::destination::Way;
use super::errand::Errands;
use super::exchange::{Client, Exchange, Outcome};
use super::farewell::{Canceller, part};
use super::handle::{Handle, Phase, Signal};
use super::pipe::poll_read;
use super::split::Split;
use super::tally::Tally;
use crate::model::{Fault, FaultKind, PinReason, Role, TxStatus};
use crate::net::scratch::{give_spare, take_spare, with_scratch};
use crate::pool::{Borrowed, CloseReason};
use crate::protocol::{Back, Engine, Front, Refusal, Wants};
use crate::router::Stay;

/// A logged-in client and all that serves it.
// In this order: what each request touches lies together on nine cache lines, two of them before PostgreSQL's `front`,
// which begins the third.
#[repr(C)]
pub(super) struct Relay<E: Engine> {
    pub(super) handle: Arc<Handle>,
    pub(super) hall: Arc<Hall<E>>,
    /// Of a session whose reads go to replicas.
    pub(super) split: Option<Box<Split<E>>>,
    pub(super) client: Client<E>,
    pub(super) desk: Arc<dyn Desk<E>>,
    pub(super) tally: Tally,
    /// The session is to end when no transaction is open.
    pub(super) leaving: bool,
    /// Where its requests go, if it does not choose for each.
    pub(super) aim: Role,
    pub(super) route: Route<E>,
}

/// How a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// The client left.
    ClientGone,
    /// The client has been told by the server, and only needs the connection closed.
    Told(&'static str),
    /// The client is to be told.
    Fault(Fault),
}

impl<E: Engine> Relay<E> {
    /// Serves the client until one side ends it. Not cancel-safe: dropping it closes a borrowed
    /// server connection.
    pub(super) async fn run(&mut self) -> End {
        self.tally.enter(Phase::Idle);
        loop {
            match self.idle().await {
                Ok(Need::Server) => {}
                // Boxed, as all that is rare: the future of an idle client stays small.
                Ok(Need::Login) => match Box::pin(self.log_in_anew()).await {
                    Ok(()) => continue,
                    Err(end) => return end,
                },
                Err(end) => return end,
            }
            let arrived = self.tally.arrived();
            // Boxed, and written there at once: what an exchange needs is taken while one lasts, and whose it was
            // last is in the caches.
            let exchange = match self.borrow(arrived.into()).await {
                Ok(Some((lent, portion))) => {
                    Box::into_pin(Box::write(Box::new_uninit(), self.converse(lent, portion)))
                }
                Ok(None) => {
                    self.tally.released(&mut self.client.front);
                    continue;
                }
                Err(end) => return end,
            };
            if let Err(end) = exchange.await {
                return end;
            }
            self.tally.released(&mut self.client.front);
        }
    }

    /// Waits for a request. Cancel-safe.
    async fn idle(&mut self) -> Result<Need, End> {
        std::future::poll_fn(|cx| self.poll_idle(cx)).await
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<Need, End>> {
        self.handle.listen(cx.waker());
        loop {
            if self.leaving || self.handle.has_signals() {
                self.idle_signals()?;
            }
            self.news()?;
            match self.wants()? {
                Wants::Server if self.sees() => return Poll::Ready(Ok(Need::Server)),
                Wants::Server => {}
                Wants::Login => return Poll::Ready(Ok(Need::Login)),
                Wants::Quit => return Poll::Ready(Err(End::ClientGone)),
                Wants::More => {}
            }
            let client = &mut self.client;
            if let Poll::Ready(Err(_)) = client.outbox.poll(&mut client.stream, cx) {
                return Poll::Ready(Err(End::ClientGone));
            }
            match read_client(client, cx) {
                Poll::Ready(0) => return Poll::Ready(Err(End::ClientGone)),
                Poll::Ready(_) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// True if enough of a request has come to choose a server for it.
    fn sees(&mut self) -> bool {
        let Some(split) = &mut self.split else {
            return true;
        };
        split.look(&mut self.client.front, &self.client.inbox)
    }

    /// Tells the client what it has not asked for, once it has taken what it was told before.
    fn news(&mut self) -> Result<(), End> {
        let client = &mut self.client;
        if !client.outbox.is_empty() {
            return Ok(());
        }
        let mut news = Vec::new();
        client.front.news(&mut news).map_err(End::Fault)?;
        client.outbox.push(&news);
        Ok(())
    }

    fn wants(&mut self) -> Result<Wants, End> {
        loop {
            let client = &mut self.client;
            if client.inbox.is_empty() {
                return Ok(Wants::More);
            }
            let mut replies = Vec::new();
            let (dealt, wants) =
                E::wants(&mut client.front, &client.inbox, &mut replies).map_err(End::Fault)?;
            client.inbox.advance(dealt);
            if client.inbox.is_empty() {
                give_spare(std::mem::take(&mut client.inbox));
            }
            let errands = Errands::of(&self.hall, &self.handle);
            let ran = errands.run(&mut client.front, &mut replies);
            client.outbox.push(&replies);
            // What was sent behind an errand has waited for its answer.
            if !ran {
                return Ok(wants);
            }
        }
    }

    /// Acts on signals while no server connection is held.
    fn idle_signals(&mut self) -> Result<(), End> {
        // There is nothing to cancel; limits of other phases are out of date.
        for signal in [
            Signal::Cancel,
            Signal::Query,
            Signal::IdleTransaction,
            Signal::News,
            Signal::Moved,
        ] {
            self.handle.take(signal);
        }
        if self.handle.take(Signal::Kill) {
            return Err(End::Fault(terminated()));
        }
        self.leaving |= self.handle.take(Signal::Drain);
        if self.leaving {
            return Err(End::Fault(shutting_down()));
        }
        if self.handle.take(Signal::Idle) && self.client.inbox.is_empty() {
            return Err(End::Fault(Fault::new(
                FaultKind::IdleTimeout,
                "terminating connection due to idle_client_timeout",
            )));
        }
        Ok(())
    }

    /// Answers the request at hand with an error; the session goes on.
    pub(super) fn decline(&mut self, fault: &Fault) {
        self.tally.meter.fault(fault.kind);
        let mut replies = Vec::new();
        E::decline(
            &mut self.client.front,
            fault,
            &self.client.inbox,
            &mut replies,
        );
        self.client.outbox.push(&replies);
    }

    /// Exchanges with a server connection until it may go back. `portion`: it is a replica's, for a request of so many
    /// bytes. Not cancel-safe.
    async fn converse(&mut self, lent: Lent<E>, portion: Option<usize>) -> Result<(), End> {
        let Lent {
            server: mut lent,
            way,
            aim,
            _place,
        } = lent;
        self.tally.meter.bound(&way.site.metrics);
        let mut canceller = Canceller::new(Arc::clone(&way));
        let mut exchange = Exchange::new(
            &mut self.client,
            lent.conn(),
            &self.handle,
            &mut self.tally,
            Errands::of(&self.hall, &self.handle),
            self.route.destinations.access().roster(),
        );
        exchange.leaving = self.leaving;
        exchange.limit_to(portion);
        // A reader may have been sent to the primary, and there it may write.
        if aim == Role::Replica && way.leads_to_replica() && portion.is_none() {
            exchange.keep_requests();
        }
        let over = follow(&mut exchange, &mut canceller, self.split.as_deref_mut()).await;
        self.leaving = exchange.leaving;
        if exchange.server.back.has_refused_write() && aim == Role::Primary {
            // It may be no primary any more.
            let access = self.route.destinations.access();
            access.roster().suspect(&way.site.name);
        }
        let half_sent = exchange.is_half_sent();
        let end = match over {
            Ending::Released => Ok(()),
            Ending::StartsOver => Err(None),
            Ending::Ended(end) => Err(Some(end)),
            Ending::Unfit => {
                // The request waits in the client's inbox, and another is borrowed for it.
                lent.close(CloseReason::Unfit);
                return Ok(());
            }
            Ending::Refused(why) => {
                let sent = exchange.take_kept().unwrap_or_default();
                canceller.finish().await;
                self.ask_again(why, &sent, lent);
                return Ok(());
            }
            Ending::Freed => {
                canceller.finish().await;
                leave_clean(&mut self.client.front, lent);
                return Ok(());
            }
            Ending::Lost(why) => {
                let kept = exchange.take_kept();
                canceller.finish().await;
                return self.outlive(lent, &way, kept, &why);
            }
        };
        canceller.finish().await;
        let front = &self.client.front;
        if !front.pins().is_empty() {
            lent.conn().back.soil();
        }
        match end {
            Ok(()) if front.outlives_reset() => {}
            Ok(()) => lent.give_back_at(self.tally.answered().into()),
            Err(Some(_)) if half_sent || front.outlives_reset() => {}
            Err(_) => Box::pin(part(lent, canceller, &self.route.options)).await,
        }
        match end {
            Err(Some(end)) => Err(end),
            Ok(()) | Err(None) => Ok(()),
        }
    }
}

/// How an exchange came to its end.
enum Ending {
    /// The server connection may go back.
    Released,
    /// The client gives its state up.
    StartsOver,
    /// Another server connection is needed.
    Unfit,
    /// The server, a replica, has not answered a read.
    Refused(Refusal),
    /// What the session keeps on a replica is over with its next request.
    Freed,
    /// The server connection is lost.
    Lost(String),
    /// The session is over.
    Ended(End),
}

/// Follows an exchange to its end, and does what it is told by signals. Not cancel-safe.
async fn follow<E: Engine>(
    exchange: &mut Exchange<'_, E>,
    canceller: &mut Canceller<E>,
    mut split: Option<&mut Split<E>>,
) -> Ending {
    loop {
        match exchange.run().await {
            Outcome::Released => return Ending::Released,
            Outcome::StartsOver => return Ending::StartsOver,
            Outcome::Unfit => return Ending::Unfit,
            Outcome::Refused(why) => return Ending::Refused(why),
            Outcome::Unseen => match exchange.look(split.as_deref_mut()) {
                Stay::Here => {}
                Stay::Anew => return Ending::Freed,
                Stay::Ends => return Ending::Ended(End::Fault(stranded())),
            },
            Outcome::ClientGone => return Ending::Ended(End::ClientGone),
            Outcome::Fault(fault) => return Ending::Ended(End::Fault(fault)),
            Outcome::ServerGone(why) => return Ending::Lost(why),
            Outcome::Signalled => {
                let moved = exchange.handle.take(Signal::Moved);
                if moved && exchange.server.is_expelled() {
                    return Ending::Lost("it is not the primary any more".into());
                }
                if let Err(fault) = signalled(exchange, canceller) {
                    return Ending::Ended(End::Fault(fault));
                }
            }
        }
    }
}

impl<E: Engine> Relay<E> {
    /// Goes on after the loss of a server connection, if nothing was lost with it but the answers
    /// that were due: these are errors now, or what was `kept` is sent again.
    fn outlive(
        &mut self,
        mut lent: Borrowed<E>,
        way: &Way<E>,
        kept: Option<BytesMut>,
        why: &str,
    ) -> Result<(), End> {
        tracing::warn!(
            session = %self.handle.id,
            target_name = %way.site.name,
            server_pid = lent.conn().back.server_pid(),
            why,
            again = kept.is_some(),
            "server connection lost"
        );
        let roster = self.route.destinations.access().roster();
        roster.suspect(&way.site.name);
        let fault = Fault::new(
            FaultKind::ServerLost,
            "server closed the connection unexpectedly",
        );
        let (back, front) = (&mut lent.conn().back, &mut self.client.front);
        let told = back.progress().closing;
        let answer = kept.is_none().then_some(&fault);
        let mut replies = Vec::new();
        if !E::orphan(front, back, answer, &mut replies) {
            if told {
                // The server's own last words have been passed on.
                return Err(End::Told("server ended the connection"));
            }
            return Err(End::Fault(fault));
        }
        if answer.is_some() {
            self.tally.meter.fault(fault.kind);
        }
        self.client.outbox.push(&replies);
        if let Some(kept) = kept {
            self.send_again(Refusal::Elsewhere, &kept);
        }
        lent.close(CloseReason::ServerClosed);
        Ok(())
    }
}

impl<E: Engine> Relay<E> {
    /// A replica has not answered a read: the primary is to have it, and the connection goes back.
    fn ask_again(&mut self, why: Refusal, sent: &[u8], lent: Borrowed<E>) {
        if why == Refusal::Keeps {
            let front = &self.client.front;
            tracing::info!(
                session = %self.handle.id,
                pins = ?front.pins().iter().map(PinReason::as_str).collect::<Vec<_>>(),
                statement = front.pin_cause().unwrap_or_default(),
                "a read has left state of the session behind on a replica: the primary runs it"
            );
        }
        leave_clean(&mut self.client.front, lent);
        self.send_again(why, sent);
    }

    /// A read is to be sent again, before all that has come behind it. Of a session that may choose, to the
    /// primary.
    fn send_again(&mut self, why: Refusal, sent: &[u8]) {
        let client = &mut self.client;
        let mut again = BytesMut::from(sent);
        again.extend_from_slice(&client.inbox);
        client.inbox = again;
        let Some(split) = &mut self.split else {
            return;
        };
        split.refused(why);
        if why == Refusal::ReadOnly {
            tracing::warn!(session = %self.handle.id, "a replica has refused what was taken for a read");
        }
        E::unsend(&mut client.front, sent);
    }
}

/// Gives a server connection back on which nothing of the client's is to stay.
fn leave_clean<E: Engine>(front: &mut E::Front, mut lent: Borrowed<E>) {
    let outlives_reset = front.outlives_reset();
    if !front.pins().is_empty() {
        lent.conn().back.soil();
        E::renounce(front);
    }
    if !outlives_reset {
        lent.give_back();
    }
}

/// What a client without server connection needs.
#[derive(Clone, Copy, Debug)]
enum Need {
    /// A server connection.
    Server,
    /// To log in anew.
    Login,
}

/// Acts on signals while a server connection is held.
fn signalled<E: Engine>(
    exchange: &mut Exchange<'_, E>,
    canceller: &mut Canceller<E>,
) -> Result<(), Fault> {
    let handle = exchange.handle;
    handle.take(Signal::Idle);
    // Told when nothing is under way.
    handle.take(Signal::News);
    if handle.take(Signal::Cancel) && exchange.is_busy() {
        canceller.start(exchange.server);
    }
    if handle.take(Signal::Kill) {
        return Err(terminated());
    }
    exchange.leaving |= handle.take(Signal::Drain);
    if handle.take(Signal::Query) && exchange.is_busy() {
        return Err(Fault::new(
            FaultKind::QueryTimeout,
            "terminating connection due to query_timeout",
        ));
    }
    let idle = !exchange.is_busy() && exchange.server.back.progress().tx != TxStatus::Idle;
    if handle.take(Signal::IdleTransaction) && idle {
        return Err(Fault::new(
            FaultKind::IdleTransactionTimeout,
            "terminating connection due to idle_transaction_timeout",
        ));
    }
    Ok(())
}

/// Reads what the client has sent into its inbox. `Ready(0)`: it is gone.
pub(super) fn read_client<E: Engine>(client: &mut Client<E>, cx: &mut Context<'_>) -> Poll<usize> {
    with_scratch(|scratch| match poll_read(&mut client.stream, cx, scratch) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Err(_)) => Poll::Ready(0),
        Poll::Ready(Ok(n)) => {
            let read = scratch.get(..n).unwrap_or_default();
            if client.inbox.capacity() == 0 {
                client.inbox = take_spare(n);
            }
            client.inbox.extend_from_slice(read);
            Poll::Ready(n)
        }
    })
}

pub(super) fn terminated() -> Fault {
    Fault::new(
        FaultKind::Terminated,
        "terminating connection due to administrator command",
    )
}

/// For a session that keeps state on a replica and needs the primary.
fn stranded() -> Fault {
    Fault::new(
        FaultKind::Stranded,
        "terminating connection because state of the session is kept on a replica, and this statement needs the \
         primary",
    )
}

pub(super) fn shutting_down() -> Fault {
    Fault::new(
        FaultKind::ShuttingDown,
        "terminating connection because the proxy is shutting down",
    )
}
