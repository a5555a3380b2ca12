//! A primary that is changed on purpose: hold new requests, let running ones end, move, release.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;

use super::judge::Compare;
use super::keeper::{Keeper, Outside};
use crate::model::{Position, Snapshot, TargetName};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The next primary; `None`: the replica that has come furthest.
    pub to: Option<TargetName>,
    /// Give the orders that make it one. Otherwise somebody else does, while requests are held.
    pub promote: bool,
    /// For all of it. Beyond this, requests flow again, to whoever is primary then.
    pub deadline: Duration,
}

/// What has come of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The primary before.
    pub from: Option<TargetName>,
    /// The primary now.
    pub to: TargetName,
    /// How long requests were held.
    pub held: Duration,
}

/// Why nothing has come of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SwitchoverError {
    /// No server can take over.
    #[error("{0}")]
    Unfit(String),
    /// Requests under way did not end in time.
    #[error("{0} requests or transactions did not end in time; nothing was changed")]
    Busy(u32),
    /// The next primary lacks something that the present one has.
    #[error("{0} did not catch up in time; nothing was changed")]
    Behind(TargetName),
    /// An order was refused.
    #[error("{0}")]
    Refused(String),
    /// The server has not become primary.
    #[error("{0} has not become primary in time")]
    NotPromoted(TargetName),
}

/// Orders to servers, beyond what a keeper needs.
pub trait Orders: Outside {
    /// Lets a primary take no more writes, or take them again.
    fn fence<'a>(&'a self, target: &'a TargetName, on: bool) -> Ordered<'a>;
    /// Makes a replica the primary.
    fn promote<'a>(&'a self, target: &'a TargetName) -> Ordered<'a>;
    /// How far a server has come.
    fn position<'a>(
        &'a self,
        target: &'a TargetName,
    ) -> Pin<Box<dyn Future<Output = Option<Position>> + Send + 'a>>;
}

/// An order under way; an error is for the operator.
pub type Ordered<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Moves the primary. Requests flow again whatever comes of it. Not cancel-safe: dropped, it
/// leaves them held until the deadline.
///
/// # Errors
/// If the primary is the same as before.
pub async fn switchover(
    keeper: &Keeper,
    orders: &Arc<dyn Orders>,
    compare: Compare,
    plan: &Plan,
) -> Result<Report, SwitchoverError> {
    let deadline = Instant::now() + plan.deadline;
    let before = keeper.snapshot();
    let to = next_primary(&before, plan.to.as_ref(), compare)?;
    info!(from = before.primary.as_deref(), %to, "switchover begins");
    let began = Instant::now();
    // Should this task be lost, nothing stays held for long.
    keeper.hold(Some(plan.deadline + GRACE)).await;
    let moved = Mover {
        keeper,
        orders,
        compare,
        deadline,
        from: before.primary.as_ref(),
        to: &to,
        promote: plan.promote,
    };
    let result = moved.carry_out().await;
    keeper.release().await;
    let held = began.elapsed();
    match &result {
        Ok(()) => info!(%to, held_ms = held.as_millis(), "switchover done"),
        Err(error) => tracing::warn!(%to, %error, held_ms = held.as_millis(), "switchover failed"),
    }
    result.map(|()| Report {
        from: before.primary.clone(),
        to,
        held,
    })
}

/// Waits until nothing is under way any more; requests must be held.
///
/// # Errors
/// How much is, when the deadline comes.
pub async fn drained(outside: &dyn Outside, deadline: Instant) -> Result<(), SwitchoverError> {
    // Who had looked before the hold may only now be seen at work.
    let mut quiet = 0;
    loop {
        let at_work = outside.at_work();
        quiet = if at_work == 0 { quiet + 1 } else { 0 };
        if quiet >= QUIET_LOOKS {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(SwitchoverError::Busy(at_work));
        }
        sleep(LOOK_AGAIN).await;
    }
}

struct Mover<'a> {
    keeper: &'a Keeper,
    orders: &'a Arc<dyn Orders>,
    compare: Compare,
    deadline: Instant,
    from: Option<&'a TargetName>,
    to: &'a TargetName,
    promote: bool,
}

impl Mover<'_> {
    async fn carry_out(&self) -> Result<(), SwitchoverError> {
        let outside: &dyn Outside = &**self.orders;
        drained(outside, self.deadline).await?;
        if self.promote {
            self.order().await?;
        }
        self.keeper.hurry();
        let promoted = self
            .keeper
            .until(|snapshot| snapshot.primary.as_ref() == Some(self.to));
        tokio::time::timeout_at(self.deadline, promoted)
            .await
            .map_err(|_| SwitchoverError::NotPromoted(Arc::clone(self.to)))
    }

    /// Gives the orders.
    async fn order(&self) -> Result<(), SwitchoverError> {
        let Some(from) = self.from else {
            return self
                .orders
                .promote(self.to)
                .await
                .map_err(SwitchoverError::Refused);
        };
        self.orders
            .fence(from, true)
            .await
            .map_err(SwitchoverError::Refused)?;
        let moved = async {
            self.catch_up(from).await?;
            let promoted = self.orders.promote(self.to).await;
            promoted.map_err(SwitchoverError::Refused)
        };
        let moved = moved.await;
        if moved.is_err()
            && let Err(error) = self.orders.fence(from, false).await
        {
            tracing::error!(target_name = %from, error, "the primary stays read-only");
        }
        moved
    }

    /// Waits until the next primary has all that the present one has.
    async fn catch_up(&self, from: &TargetName) -> Result<(), SwitchoverError> {
        let behind = || SwitchoverError::Behind(Arc::clone(self.to));
        let wanted = self.orders.position(from).await.ok_or_else(behind)?;
        loop {
            let own = self.orders.position(self.to).await;
            let order = own.and_then(|own| (self.compare)(&own, &wanted));
            if order.is_some_and(std::cmp::Ordering::is_ge) {
                return Ok(());
            }
            if Instant::now() >= self.deadline {
                return Err(behind());
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

fn next_primary(
    snapshot: &Snapshot,
    to: Option<&TargetName>,
    compare: Compare,
) -> Result<TargetName, SwitchoverError> {
    let unfit = |what: String| Err(SwitchoverError::Unfit(what));
    if let Some(to) = to {
        let Some(member) = snapshot.member(to) else {
            return unfit(format!("{to} is not a target of the group"));
        };
        if snapshot.primary.as_ref() == Some(to) {
            return unfit(format!("{to} is the primary already"));
        }
        if !member.serves_reads() {
            let state = member.state.as_str();
            return unfit(format!("{to} is no replica that is well: {state}"));
        }
        return Ok(Arc::clone(&member.name));
    }
    let replicas = snapshot.members.iter();
    let replicas = replicas.filter(|member| member.serves_reads() && !member.other_region);
    let best = replicas.max_by(|a, b| match (&a.position, &b.position) {
        (Some(a), Some(b)) => compare(a, b).unwrap_or(std::cmp::Ordering::Equal),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    match best {
        Some(member) => Ok(Arc::clone(&member.name)),
        None => unfit("there is no replica that is well".into()),
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(5);
const QUIET_LOOKS: u32 = 3;
/// Longer than the deadline, so that the task itself comes first.
const GRACE: Duration = Duration::from_secs(5);
