//! Opening connections, in tasks of their own: a client that leaves takes no login with it, and
//! what has been opened for it serves the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lending::Pool;
use super::open::{Blame, BorrowError, Open, OpenError, Opened, ServerLogin};
use super::server::{self, ChoreError, ServerConn, Terms};
use super::slot::Slot;
use super::target::Failure;
use super::{entropy, lock};
use crate::net::reactor;
use crate::protocol::{Back, Chore, Engine};

impl<E: Engine> Pool<E> {
    /// Opens a connection in the slot, and hands it to whoever waits.
    pub(super) fn open(self: Arc<Self>, slot: Slot<E>) {
        let tasks = Arc::clone(&self.target.tasks);
        let trial = self.trials.next();
        tasks.spawn(async move {
            // A closed target or a satisfied line needs nothing more.
            if self.is_closed() {
                return;
            }
            self.tally.meters.requests.inc();
            if let Some(trial) = trial {
                return self.run_trial(trial, slot).await;
            }
            let opener = self.target.opener();
            let epoch = self.target.epoch();
            let login = self.login();
            match self.establish(&*opener, &login).await {
                Ok(opened) => self.install(opened, epoch, slot),
                Err(error) => self.give_up(Arc::new(error), slot),
            }
        });
    }

    /// Dials, logs in, and says what must be said first.
    pub(super) async fn establish(
        &self,
        opener: &dyn Open<E>,
        login: &ServerLogin,
    ) -> Result<Opened<E>, OpenError> {
        let limit = opener.time_limit();
        let opening = tokio::time::timeout(limit, opener.open(&self.key, login));
        let mut opened = opening.await.map_err(|_| OpenError::TimedOut(limit))??;
        self.greetings.fresh(opened.back.greeting());
        if let Some(sql) = &self.options().init_query {
            let init = first(&mut opened, Chore::Init(sql), limit);
            init.await.map_err(|e| OpenError::Init(e.to_string()))?;
        }
        if self.target.should_learn() {
            self.learn(&mut opened, limit).await?;
        }
        Ok(opened)
    }

    /// Asks the server how many connections it takes.
    async fn learn(&self, opened: &mut Opened<E>, limit: Duration) -> Result<(), OpenError> {
        let answer = first(opened, Chore::Capacity, limit).await;
        let capacity = match &answer {
            Ok(()) => opened.back.chore_value().and_then(decimal),
            Err(_) => None,
        };
        if capacity.is_none() {
            tracing::warn!(
                target_name = %self.target.name,
                "server did not say how many connections it takes"
            );
        }
        self.target.learned(capacity);
        match answer {
            Ok(()) | Err(ChoreError::Refused(_)) => Ok(()),
            Err(error) => Err(OpenError::Broken(error.to_string())),
        }
    }

    pub(super) fn install(self: &Arc<Self>, opened: Opened<E>, epoch: u64, mut slot: Slot<E>) {
        self.target.succeeded();
        *lock(&self.failing_since) = None;
        if lock(&self.failure).is_some() {
            self.lift_failure();
        }
        slot.opened(opened.back.server_pid());
        let now = Instant::now();
        let options = self.options();
        let terms = Terms {
            expires: expiry(now, options.lifetime, options.lifetime_jitter),
            epoch,
            store: 0,
            reactor: reactor::here(),
            idle_since: now,
            idle_for: Duration::ZERO,
            verdict: Ok(()),
        };
        let mut conn = Box::new(ServerConn::new(opened, terms, slot));
        if let Err(reason) = conn.outdated(now) {
            // Retired while it was being opened: those who wait get another.
            return conn.slot.close_as(reason);
        }
        self.admit(conn);
        if self.is_closed() {
            self.sweep(now);
        }
    }

    fn give_up(self: &Arc<Self>, error: Arc<OpenError>, slot: Slot<E>) {
        self.tally.meters.failed.inc();
        if self.target.may_warn() {
            tracing::warn!(pool = %self.key, %error, "server connection could not be opened");
        }
        let now = Instant::now();
        let retry = self.target.options().login_retry;
        let blame = match error.blame() {
            Blame::Pool if self.passes(&error, now) => Blame::Local,
            blame => blame,
        };
        match blame {
            // Nobody's fault: those who wait go on waiting, and it is tried again.
            Blame::Full | Blame::Local => self.target.pause(self.id, Some(now + FULL_PACE)),
            Blame::Target => self.target.failed(Arc::clone(&error)),
            Blame::Pool => {
                let until = now + retry;
                let error = Arc::clone(&error);
                *lock(&self.failure) = Some(Failure { until, error });
                self.target.pause(self.id, Some(until));
            }
        }
        drop(slot);
        let error = BorrowError::Unavailable(error);
        match blame {
            Blame::Full => self.target.make_room(self.id),
            Blame::Local => {}
            Blame::Target => self.target.fail_pools(&error),
            Blame::Pool => self.fail_if_hopeless(&error),
        }
    }

    /// True of a login that the server has broken off, or refused because it comes up or goes down, for as long as that
    /// may be a restart: one that was under way when the server stopped says nothing of the server that is back.
    fn passes(&self, error: &OpenError, now: Instant) -> bool {
        error.may_pass() && {
            let since = *lock(&self.failing_since).get_or_insert(now);
            now.duration_since(since) < RESTART
        }
    }

    /// A failed login is told only to those whom no connection, there or on its way, can serve.
    pub(super) fn fail_if_hopeless(&self, error: &BorrowError) {
        if self.held().slots == 0 {
            self.fail_line(error);
        }
    }
}

/// One of the first statements on a new connection.
async fn first<E: Engine>(
    opened: &mut Opened<E>,
    chore: Chore<'_>,
    limit: Duration,
) -> Result<(), ChoreError> {
    let Opened {
        stream,
        back,
        carry,
        ..
    } = opened;
    server::within(limit, server::run::<E>(stream, back, carry, chore)).await
}

fn decimal(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// When a connection opened now ends. The jitter is taken off, so that the lifetime holds.
fn expiry(now: Instant, lifetime: Duration, jitter: Duration) -> Option<Instant> {
    if lifetime.is_zero() {
        return None;
    }
    let off = jitter.min(lifetime).mul_f64(entropy::fraction());
    now.checked_add(lifetime.saturating_sub(off))
}

/// A server without a free connection, and a process without file descriptors, are asked again
/// after this long: often enough beside a borrow timeout of seconds, and no storm.
const FULL_PACE: Duration = Duration::from_millis(200);

/// So long those who wait are not told of logins that fail in ways that pass.
const RESTART: Duration = Duration::from_secs(1);
