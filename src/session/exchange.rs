//! The duplex loop: one client, one server connection, both directions at once, until the server
//! connection is settled.
//!
//! Each direction reads only when the other side has taken what was read before, so memory is
//! bounded by what one read yields; and each is read while the other is blocked, so neither
//! side can wait for the other through Sluice (TLS key updates, COPY errors).

use std::io;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};

use super::errand::Errands;
use super::handle::Handle;
use super::pipe::{Outbox, poll_read};
use super::portion::{Allowed, Portion};
use super::roster::Roster;
use super::split::Split;
use super::tally::Tally;
use crate::model::{Fault, FaultKind, Progress, TxStatus};
use crate::net::Stream;
use crate::net::scratch::{give_spare, take_spare, with_scratch};
use crate::pool::ServerConn;
use crate::protocol::{Attach, Back, Engine, Front, Refusal};
use crate::router::{Stay, strands};

/// The client's side of the relay, as the session keeps it.
// In this order: see `Relay`.
#[repr(C)]
pub(super) struct Client<E: Engine> {
    pub(super) stream: Stream,
    pub(super) outbox: Outbox,
    /// Bytes from the client that have not been dealt with.
    pub(super) inbox: BytesMut,
    pub(super) front: E::Front,
}

/// Why the loop ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Everything is answered, no transaction is open and nothing pins.
    Released,
    /// The client said goodbye, closed, or broke.
    ClientGone,
    /// The server closed, broke, or broke the protocol.
    ServerGone(String),
    /// The session must end with this error.
    Fault(Fault),
    /// A signal is raised.
    Signalled,
    /// The client gives its state up, to log in anew.
    StartsOver,
    /// This server connection cannot be brought to the client's state.
    Unfit,
    /// The server, a replica, has not answered a read; nothing of that has been told to the client.
    Refused(Refusal),
    /// The session keeps state on a replica, and its next request has to be looked at.
    Unseen,
}

/// The loop's state, over one borrow of a server connection.
pub(super) struct Exchange<'a, E: Engine> {
    pub(super) client: &'a mut Client<E>,
    pub(super) server: &'a mut ServerConn<E>,
    pub(super) handle: &'a Handle,
    pub(super) tally: &'a mut Tally,
    errands: Errands<'a, E>,
    roster: &'a Roster,
    /// Bytes for the server that its socket did not take yet.
    to_server: Outbox,
    /// The client's bytes wait until the connection has answered a question of Sluice's own.
    confirming: bool,
    /// A request is under way, as the tally was told.
    busy: bool,
    /// The session is to end when no transaction is open, pinned or not.
    pub(super) leaving: bool,
    /// The connection is a replica's, and gets what this allows.
    portion: Option<Portion>,
    /// What the client has sent since the connection was last settled, where it may be sent again
    /// elsewhere; `None` where it may not.
    kept: Option<BytesMut>,
    /// Keep it.
    keeps: bool,
}

impl<'a, E: Engine> Exchange<'a, E> {
    /// Joins the two.
    pub(super) fn new(
        client: &'a mut Client<E>,
        server: &'a mut ServerConn<E>,
        handle: &'a Handle,
        tally: &'a mut Tally,
        errands: Errands<'a, E>,
        roster: &'a Roster,
    ) -> Self {
        Self {
            client,
            server,
            handle,
            tally,
            errands,
            roster,
            to_server: Outbox::default(),
            confirming: false,
            busy: false,
            leaving: false,
            portion: None,
            kept: None,
            keeps: false,
        }
    }

    /// If given, the connection is a replica's, for a read of so many bytes.
    pub(super) fn limit_to(&mut self, portion: Option<usize>) {
        if let Some(len) = portion {
            // Of whoever had it before.
            let _ = self.server.back.refusal();
            self.portion = Some(Portion::of(len));
        }
    }

    /// What the client sends only reads: it may be sent to another server, if this one is lost
    /// before anything of the answer has been passed on.
    pub(super) fn keep_requests(&mut self) {
        self.keeps = true;
        self.kept = Some(BytesMut::new());
    }

    /// What is to be sent again, if it may be.
    pub(super) fn take_kept(&mut self) -> Option<BytesMut> {
        if let Some(portion) = &mut self.portion {
            return portion.take_sent();
        }
        self.kept.take().filter(|kept| !kept.is_empty())
    }

    /// Looks at the next request of a session that keeps state on a replica, and lets it pass if it may.
    pub(super) fn look(&mut self, split: Option<&mut Split<E>>) -> Stay {
        let (Some(split), Some(portion)) = (split, &mut self.portion) else {
            return Stay::Ends;
        };
        let Client { front, inbox, .. } = &mut *self.client;
        let Some((stay, len)) = split.stays(front, inbox) else {
            portion.wait(inbox.len());
            return Stay::Here;
        };
        if stay == Stay::Here {
            portion.admit(len);
        }
        stay
    }

    fn keep(&mut self, dealt: &[u8]) {
        if let Some(kept) = &mut self.kept {
            if kept.len() + dealt.len() > MOST_KEPT {
                self.kept = None;
            } else {
                if kept.capacity() == 0 {
                    *kept = take_spare(dealt.len());
                }
                kept.extend_from_slice(dealt);
            }
        }
    }

    /// Runs the loop. Cancel-safe: what has been read and not written stays in the buffers, but
    /// bytes for the server that it has not taken are lost with the exchange, which must
    /// therefore be followed to its end or the connection closed.
    pub(super) async fn run(&mut self) -> Outcome {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.handle.listen(cx.waker());
        for _ in 0..TURNS {
            match self.turn(cx) {
                Ok(true) => {}
                Ok(false) if self.handle.has_signals() => return Poll::Ready(Outcome::Signalled),
                Ok(false) => return Poll::Pending,
                Err(outcome) => return Poll::Ready(outcome),
            }
        }
        // Others on this thread have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Moves what can be moved; true if something was.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Outcome> {
        let mut digested = self.digest(cx)?;
        let read = self.read_server(cx)?;
        // What the server has said may be what a request waited for.
        digested |= read && self.digest(cx)?;
        if !digested && self.rests() {
            if !self.leaving && self.inspect(cx)? {
                return Ok(true);
            }
            self.conclude(cx)?;
            if self.leaving || self.client.front.pins().is_empty() {
                return Err(Outcome::Released);
            }
            self.tally.keeps(&mut self.client.front);
            self.news(cx)?;
        }
        let heard = self.read_client(cx)?;
        // What has been sent on may leave nothing to wait for, or have room for more now; else
        // both sides have been asked since, and wake this task.
        Ok(heard || read || digested && (self.rests() || !self.client.inbox.is_empty()))
    }

    /// Tells the client what it has not asked for, once it has taken what it was told before.
    fn news(&mut self, cx: &mut Context<'_>) -> Result<(), Outcome> {
        if !self.client.outbox.is_empty() {
            return Ok(());
        }
        let mut news = Vec::new();
        let told = self.client.front.news(&mut news);
        told.map_err(Outcome::Fault)?;
        self.reply(cx, &news)
    }

    /// Asks the server what the connection holds of the client, if that is in doubt; true if so.
    fn inspect(&mut self, cx: &mut Context<'_>) -> Result<bool, Outcome> {
        let mut request = Vec::new();
        let front = &mut self.client.front;
        if !E::inspect(front, &mut self.server.back, &mut request) {
            return Ok(false);
        }
        self.to_server.push(&request);
        self.confirming = true;
        match self.to_server.poll(&mut self.server.stream, cx) {
            Poll::Ready(Err(error)) => Err(server_gone(error)),
            _ => Ok(true),
        }
    }

    /// Sends on what the client has sent before; true if any of it was dealt with.
    fn digest(&mut self, cx: &mut Context<'_>) -> Result<bool, Outcome> {
        if self.client.inbox.is_empty() {
            return Ok(false);
        }
        let mut inbox = std::mem::take(&mut self.client.inbox);
        let dealt = self.ask(cx, &inbox);
        if let Ok(dealt) = dealt {
            inbox.advance(dealt);
        }
        if inbox.is_empty() {
            give_spare(inbox);
        } else {
            self.client.inbox = inbox;
        }
        dealt.map(|dealt| dealt > 0)
    }

    /// Deals with client bytes; returns how many.
    fn ask(&mut self, cx: &mut Context<'_>, input: &[u8]) -> Result<usize, Outcome> {
        let flushed = match self.to_server.poll(&mut self.server.stream, cx) {
            Poll::Ready(result) => result.map_err(server_gone).map(|()| true)?,
            Poll::Pending => false,
        };
        let progress = self.server.back.progress();
        if !flushed || (self.confirming && !progress.settled) {
            return Ok(0);
        }
        let mut input = input;
        if let Some(portion) = &mut self.portion {
            match portion.allowed::<E>(&self.client.front, input, progress) {
                Allowed::Bytes(0) => return Ok(0),
                Allowed::Bytes(allowed) => input = input.get(..allowed).unwrap_or(input),
                Allowed::Unseen => return Err(Outcome::Unseen),
            }
        }
        self.confirming = false;
        let mut replies = Vec::new();
        if progress.settled && progress.tx == TxStatus::Idle && !self.client.front.mid_request() {
            if self.server.is_expelled() && !self.client.front.pins().is_empty() {
                return Err(Outcome::Fault(Fault::new(
                    FaultKind::ServerLost,
                    "terminating connection because the server that kept its state is no longer \
                     the primary",
                )));
            }
            let mut request = Vec::new();
            let front = &mut self.client.front;
            let attach = E::attach(front, &mut self.server.back, &mut request, &mut replies);
            if attach == Attach::Unfit {
                return Err(Outcome::Unfit);
            }
            self.to_server.push(&request);
            if attach == Attach::Wait {
                self.confirming = true;
                return match self.to_server.poll(&mut self.server.stream, cx) {
                    Poll::Ready(Err(error)) => Err(server_gone(error)),
                    _ => Ok(0),
                };
            }
        }
        self.forward(cx, input, replies)
    }

    fn forward(
        &mut self,
        cx: &mut Context<'_>,
        input: &[u8],
        mut replies: Vec<u8>,
    ) -> Result<usize, Outcome> {
        let (front, ServerConn { back, script, .. }) = (&mut self.client.front, &mut *self.server);
        script.clear();
        let dealt =
            E::from_client(front, back, input, script, &mut replies).map_err(Outcome::Fault)?;
        if let Some(portion) = &mut self.portion {
            portion.passed(input.get(..dealt).unwrap_or_default());
        }
        if self.keeps {
            self.keep(input.get(..dealt).unwrap_or_default());
        }
        let front = &mut self.client.front;
        self.errands.run(front, &mut replies);
        if !self.busy && !self.server.back.progress().settled {
            self.busy = true;
            self.tally.begun();
        }
        let ServerConn { stream, script, .. } = &mut *self.server;
        let sent = self.to_server.send(stream, cx, script, input);
        // Of what may be sent again, each byte must be in one place: here it counts as sent, and the
        // error shows when the server is read.
        if self.portion.is_none() && !self.keeps {
            sent.map_err(server_gone)?;
        }
        self.reply(cx, &replies)?;
        if self.client.front.has_quit() {
            return Err(Outcome::ClientGone);
        }
        if self.client.front.starts_over() {
            return Err(Outcome::StartsOver);
        }
        Ok(dealt)
    }

    /// Sends the client bytes of Sluice's own.
    fn reply(&mut self, cx: &mut Context<'_>, replies: &[u8]) -> Result<(), Outcome> {
        if replies.is_empty() {
            return Ok(());
        }
        if let Some(portion) = self.portion.as_mut().filter(|portion| portion.holds()) {
            portion.hold(replies);
            return Ok(());
        }
        let Client { outbox, stream, .. } = &mut *self.client;
        outbox.send_bytes(stream, cx, replies).map_err(client_gone)
    }

    fn read_server(&mut self, cx: &mut Context<'_>) -> Result<bool, Outcome> {
        // An error here shows when the server is read: what it said before it closed comes first.
        let _ = self.to_server.poll(&mut self.server.stream, cx);
        match self.client.outbox.poll(&mut self.client.stream, cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Err(Outcome::ClientGone),
            Poll::Pending => return Ok(false),
        }
        let read = with_scratch(
            |scratch| match poll_read(&mut self.server.stream, cx, scratch) {
                Poll::Pending => Ok(None),
                Poll::Ready(Ok(0)) => Err(Outcome::ServerGone("closed".into())),
                Poll::Ready(Err(error)) => Err(server_gone(error)),
                Poll::Ready(Ok(n)) => {
                    let input = scratch.get(..n).unwrap_or_default();
                    self.answer(cx, input).map(Some)
                }
            },
        )?;
        let Some(()) = read else { return Ok(false) };
        self.inquire(cx)?;
        if let Some(fault) = self.client.front.failure() {
            return Err(self.failed(fault));
        }
        self.note_settled();
        self.judge(cx)?;
        Ok(true)
    }

    /// Decides whether a replica answers the read that it has got.
    fn judge(&mut self, cx: &mut Context<'_>) -> Result<(), Outcome> {
        let Some(portion) = &mut self.portion else {
            return Ok(());
        };
        if !portion.holds() {
            return Ok(());
        }
        let Progress {
            settled,
            tx,
            closing,
        } = self.server.back.progress();
        portion.note(self.server.back.refusal());
        if let Some(refusal) = portion.refusal() {
            return match tx {
                TxStatus::Idle if settled || closing => Err(Outcome::Refused(refusal)),
                _ if settled => self.release(cx, true),
                _ => Ok(()),
            };
        }
        if tx == TxStatus::Idle && self.rests() {
            // First it must be known what the request has left behind.
            return Ok(());
        }
        self.release(cx, settled)
    }

    /// A replica has answered, and the connection is at rest: tells the client, unless the session would have to
    /// stay there.
    fn conclude(&mut self, cx: &mut Context<'_>) -> Result<(), Outcome> {
        if !self.portion.as_ref().is_some_and(|portion| portion.holds()) {
            return Ok(());
        }
        if !self.leaving && strands(self.client.front.pins()) {
            return Err(Outcome::Refused(Refusal::Keeps));
        }
        self.release(cx, true)
    }

    /// Tells the client what was held back, if that is clear.
    fn release(&mut self, cx: &mut Context<'_>, settled: bool) -> Result<(), Outcome> {
        let told = self
            .portion
            .as_mut()
            .and_then(|portion| portion.release(settled));
        let Some(told) = told else {
            return Ok(());
        };
        let replied = self.reply(cx, &told);
        give_spare(told);
        replied
    }

    /// The session would have to end with this error, unless the primary can do better.
    fn failed(&self, fault: Fault) -> Outcome {
        match &self.portion {
            Some(portion) if portion.holds() => Outcome::Refused(Refusal::Elsewhere),
            _ => Outcome::Fault(fault),
        }
    }

    fn answer(&mut self, cx: &mut Context<'_>, input: &[u8]) -> Result<(), Outcome> {
        if self.portion.as_ref().is_some_and(|portion| portion.holds()) {
            return self.answer_held(input);
        }
        let Client {
            front,
            stream,
            outbox,
            ..
        } = &mut *self.client;
        let ServerConn {
            back,
            carry,
            script,
            ..
        } = &mut *self.server;
        script.clear();
        if carry.is_empty() {
            let dealt = E::from_server(front, back, input, script).map_err(breach)?;
            if self.keeps && !script.is_empty() {
                forget(&mut self.kept);
            }
            outbox
                .send(stream, cx, script, input)
                .map_err(client_gone)?;
            carry.extend_from_slice(input.get(dealt..).unwrap_or_default());
            return Ok(());
        }
        carry.extend_from_slice(input);
        let dealt = E::from_server(front, back, carry, script).map_err(breach)?;
        if self.keeps && !script.is_empty() {
            forget(&mut self.kept);
        }
        outbox
            .send(stream, cx, script, carry)
            .map_err(client_gone)?;
        carry.advance(dealt);
        if carry.is_empty() {
            *carry = BytesMut::new();
        }
        Ok(())
    }

    /// The same, while what the client is told is held back.
    fn answer_held(&mut self, input: &[u8]) -> Result<(), Outcome> {
        let front = &mut self.client.front;
        let ServerConn {
            back,
            carry,
            script,
            ..
        } = &mut *self.server;
        script.clear();
        let Some(portion) = &mut self.portion else {
            return Ok(());
        };
        if carry.is_empty() {
            let dealt = E::from_server(front, back, input, script).map_err(breach)?;
            portion.hold_pieces(script, input);
            carry.extend_from_slice(input.get(dealt..).unwrap_or_default());
            return Ok(());
        }
        carry.extend_from_slice(input);
        let dealt = E::from_server(front, back, carry, script).map_err(breach)?;
        portion.hold_pieces(script, carry);
        carry.advance(dealt);
        if carry.is_empty() {
            *carry = BytesMut::new();
        }
        Ok(())
    }

    /// Sends the server what Sluice itself must know.
    fn inquire(&mut self, cx: &mut Context<'_>) -> Result<(), Outcome> {
        let mut request = Vec::new();
        E::inquire(&mut self.client.front, &mut self.server.back, &mut request);
        if !request.is_empty() {
            self.to_server.push(&request);
            if let Poll::Ready(sent) = self.to_server.poll(&mut self.server.stream, cx) {
                sent.map_err(server_gone)?;
            }
        }
        Ok(())
    }

    fn note_settled(&mut self) {
        let progress = self.server.back.progress();
        if !progress.settled {
            return;
        }
        self.confirming = false;
        if progress.tx == TxStatus::Idle && self.client.front.altered() {
            self.roster.note_alteration();
        }
        if self.keeps {
            let idle = progress.tx == TxStatus::Idle;
            self.kept = idle.then(|| {
                let mut kept = self.kept.take().unwrap_or_default();
                kept.clear();
                kept
            });
        }
        if self.busy {
            self.busy = false;
            self.tally.settled(progress.tx, &self.client.front);
        }
    }

    fn read_client(&mut self, cx: &mut Context<'_>) -> Result<bool, Outcome> {
        if !self.to_server.is_empty() || self.client.inbox.len() >= INBOX_LIMIT || self.confirming {
            return Ok(false);
        }
        with_scratch(
            |scratch| match poll_read(&mut self.client.stream, cx, scratch) {
                Poll::Pending => Ok(false),
                Poll::Ready(Ok(0) | Err(_)) => Err(Outcome::ClientGone),
                Poll::Ready(Ok(n)) => {
                    let input = scratch.get(..n).unwrap_or_default();
                    self.take_in(cx, input)?;
                    Ok(true)
                }
            },
        )
    }

    /// Deals with bytes just read from the client, and keeps the rest.
    fn take_in(&mut self, cx: &mut Context<'_>, input: &[u8]) -> Result<(), Outcome> {
        if !self.client.inbox.is_empty() {
            self.client.inbox.extend_from_slice(input);
            return Ok(());
        }
        let dealt = self.ask(cx, input);
        // Another server connection may be found for what this one is not fit for.
        let kept = dealt.as_ref().map_or(0, |dealt| *dealt);
        let rest = input.get(kept..).unwrap_or_default();
        self.client.inbox.extend_from_slice(rest);
        dealt.map(drop)
    }

    /// True if nothing is under way, and the server connection may go back to its pool if nothing
    /// pins. Bytes of a client that did not suffice for a request can wait without one.
    fn rests(&self) -> bool {
        self.server.back.progress().is_idle()
            && !self.confirming
            && !self.is_half_sent()
            && self.server.carry.is_empty()
    }

    /// True if a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// True if the server has got only part of what was read for it.
    pub(super) fn is_half_sent(&self) -> bool {
        !self.to_server.is_empty() || self.client.front.mid_request()
    }
}

/// The client is told of an answer: what it has sent may not be sent again.
fn forget(kept: &mut Option<BytesMut>) {
    if let Some(kept) = kept.take() {
        give_spare(kept);
    }
}

fn server_gone(error: io::Error) -> Outcome {
    Outcome::ServerGone(error.to_string())
}

fn client_gone(_: io::Error) -> Outcome {
    Outcome::ClientGone
}

fn breach(breach: crate::protocol::Breach) -> Outcome {
    Outcome::ServerGone(breach.to_string())
}

/// Turns before other tasks on the thread are let in (PgBouncer's `sbuf_loopcnt` is 5; one turn
/// here reads up to 64 KB each way).
const TURNS: usize = 16;

/// A longer request is not kept to be sent again.
const MOST_KEPT: usize = 64 * 1024;

/// Client bytes that may wait to be dealt with. A message that must be read whole may be longer:
/// see `wanted`.
const INBOX_LIMIT: usize = 2 * 1024 * 1024;
