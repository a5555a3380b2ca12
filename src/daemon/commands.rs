//! Orders of operators to target groups: pause, resume, switchover.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::protocol::Engine;
use crate::topology::switchover::{self, Orders, Plan};

use super::ward::{Ward, Wards};

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Hold new requests, and wait until none is under way.
    Pause,
    /// Let them go.
    Resume,
    /// Change the primary, or let another group's servers take over.
    Switchover,
}

/// The words that go with it, as JSON. Unknown ones are errors.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Words {
    /// The target group; may be left out where there is one.
    pub target_group: Option<String>,
    /// Switchover: the next primary; without it, the replica that has come furthest.
    pub to: Option<String>,
    /// Switchover: the group whose servers are to serve this one's clients; its own name takes its
    /// own servers back.
    pub to_group: Option<String>,
    /// Switchover: do not promote; somebody else does while requests are held.
    pub no_promote: bool,
    /// For all of it, in milliseconds; default 10,000.
    pub deadline_ms: Option<u64>,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// It makes no sense: the operator's mistake.
    Mistaken(String),
    /// It could not be done.
    Failed(String),
}

impl Words {
    fn deadline(&self) -> Duration {
        self.deadline_ms
            .map_or(USUAL_DEADLINE, Duration::from_millis)
    }
}

impl<E: Engine> Wards<E> {
    /// The group that an operator means, if it is of this engine.
    pub(super) fn named(&self, name: Option<&str>) -> Vec<(Arc<str>, Arc<Ward<E>>)> {
        let mut all = self.all();
        if let Some(wanted) = name {
            all.retain(|(name, _)| **name == *wanted);
        }
        all
    }

    /// Carries an order out. Not cancel-safe: dropped, it may leave requests held for a while.
    pub(super) async fn carry_out(
        &self,
        ward: &Ward<E>,
        verb: Verb,
        words: &Words,
    ) -> Result<Value, CommandError> {
        let failed = |error: switchover::SwitchoverError| match error {
            switchover::SwitchoverError::Unfit(what) => CommandError::Mistaken(what),
            other => CommandError::Failed(other.to_string()),
        };
        let Some(keeper) = ward.keeper() else {
            return Err(CommandError::Failed("the group is not watched yet".into()));
        };
        let orders: Arc<dyn Orders> = ward.orders();
        match verb {
            Verb::Pause => {
                keeper.hold(None).await;
                let deadline = tokio::time::Instant::now() + words.deadline();
                let drained = switchover::drained(&*orders, deadline).await;
                let at_work = match drained {
                    Ok(()) => 0,
                    Err(switchover::SwitchoverError::Busy(at_work)) => at_work,
                    Err(error) => return Err(failed(error)),
                };
                Ok(json!({ "paused": true, "still_at_work": at_work }))
            }
            Verb::Resume => {
                keeper.release().await;
                Ok(json!({ "paused": false }))
            }
            Verb::Switchover => {
                if let Some(group) = &words.to_group {
                    return self.take_over(ward, group, words.deadline()).await;
                }
                let plan = Plan {
                    to: words.to.as_deref().map(Into::into),
                    promote: !words.no_promote,
                    deadline: words.deadline(),
                };
                let report = switchover::switchover(keeper, &orders, E::compare, &plan).await;
                let report = report.map_err(failed)?;
                Ok(json!({
                    "from": report.from.as_deref(),
                    "to": &*report.to,
                    "held_ms": report.held.as_millis(),
                }))
            }
        }
    }

    /// Lets the servers of another group serve the clients of this one.
    async fn take_over(
        &self,
        ward: &Ward<E>,
        group: &str,
        deadline: Duration,
    ) -> Result<Value, CommandError> {
        let Some(keeper) = ward.keeper() else {
            return Err(CommandError::Failed("the group is not watched yet".into()));
        };
        let others = self.named(Some(group));
        let [(name, other)] = &*others else {
            let what = format!("there is no target group {group:?} of this engine");
            return Err(CommandError::Mistaken(what));
        };
        let prepared = other.roster().snapshot();
        if prepared.primary.is_none() && !Arc::ptr_eq(other.roster(), ward.roster()) {
            let what = format!("target group {group:?} has no primary");
            return Err(CommandError::Mistaken(what));
        }
        let orders = ward.orders();
        let began = tokio::time::Instant::now();
        let until = began + deadline;
        keeper.hold(Some(deadline + GRACE)).await;
        let moved = async {
            let drained = switchover::drained(&*orders, until).await;
            drained.map_err(|error| CommandError::Failed(error.to_string()))?;
            let from = keeper.snapshot().primary.clone();
            self.move_to(ward, name, keeper).await;
            let led = keeper.until(|snapshot| snapshot.primary.is_some());
            let led = tokio::time::timeout_at(until, led).await;
            led.map_err(|_| CommandError::Failed("the group has no primary yet".into()))?;
            Ok(from)
        };
        let moved = moved.await;
        keeper.release().await;
        let from = moved?;
        Ok(json!({
            "from": from.as_deref(),
            "to": keeper.snapshot().primary.as_deref(),
            "servers_of": group,
            "held_ms": began.elapsed().as_millis(),
        }))
    }
}

const USUAL_DEADLINE: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(5);
