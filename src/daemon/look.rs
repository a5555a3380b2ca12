//! How servers are looked at: a connection of the monitor user's that stays open, or, without
//! such a user, a dial now and then.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{LookFailure, Observation, PoolKey};
use crate::pool::{ChoreError, Dialer, ServerLogin, Visit};
use crate::protocol::{Back, Chore, Engine, Table};
use crate::topology::{Look, Looking};

use super::world::Heard;

/// Looks at one server.
pub(super) struct Looker<E: Engine> {
    pub(super) dialer: Arc<Dialer>,
    pub(super) heard: Arc<Heard<E::Announcement>>,
    /// As whom; `None`: it is only tried for whether it takes connections.
    pub(super) monitor: Option<(PoolKey, ServerLogin)>,
    pub(super) limit: Duration,
    pub(super) visit: Option<Visit<E>>,
}

impl<E: Engine> Look for Looker<E> {
    fn look(&mut self) -> Looking<'_> {
        Box::pin(self.once())
    }
}

impl<E: Engine> Looker<E> {
    async fn once(&mut self) -> Result<Observation, LookFailure> {
        // Taken out: a look that is dropped half-way leaves nothing behind.
        let mut visit = match self.visit.take() {
            Some(visit) => visit,
            None => match enter(&self.dialer, &self.heard, self.monitor.as_ref()).await? {
                Some(visit) => visit,
                None => return Ok(Observation::default()),
            },
        };
        let mut answers = Vec::new();
        for question in E::survey(visit.back()) {
            match visit.run(Chore::Table(question), self.limit).await {
                Ok(()) => answers.push(visit.back().chore_table().clone()),
                Err(ChoreError::Refused(error)) => {
                    tracing::debug!(target_name = %self.name(), %error, "question refused");
                    answers.push(Table::default());
                }
                Err(error) => {
                    tracing::debug!(target_name = %self.name(), %error, "look failed");
                    return Err(LookFailure::Unusable);
                }
            }
        }
        let seen = E::observe(&answers).ok_or(LookFailure::Unusable);
        if seen.is_ok() {
            self.visit = Some(visit);
        }
        seen
    }

    fn name(&self) -> &str {
        self.monitor.as_ref().map_or("", |(key, _)| &key.target)
    }
}

/// Comes to the server anew; `None` if nobody is to log in there.
async fn enter<E: Engine>(
    dialer: &Dialer,
    heard: &Heard<E::Announcement>,
    monitor: Option<&(PoolKey, ServerLogin)>,
) -> Result<Option<Visit<E>>, LookFailure> {
    let said = dialer.reach::<E>().await.map_err(|error| {
        tracing::debug!(%error, "target is unreachable");
        LookFailure::Unreachable
    })?;
    heard.hear(said);
    let Some((key, login)) = monitor else {
        return Ok(None);
    };
    let visit = dialer.visit(key, login).await;
    visit.map(Some).map_err(|error| {
        tracing::debug!(target_name = %key.target, %error, "monitor cannot log in");
        error.seen()
    })
}
