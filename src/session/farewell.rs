//! Parting from a server connection whose client is gone: its request is cancelled, its
//! transaction rolled back, and only then may somebody else have it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::destination::Way;
use super::options::SessionOptions;
use crate::pool::{Borrowed, ServerConn};
use crate::protocol::{Back, Chore, Engine};

/// Sends cancel requests, one at a time, and makes sure that none is under way when the server
/// connection goes to somebody else.
pub(super) struct Canceller<E: Engine> {
    way: Arc<Way<E>>,
    under_way: Option<JoinHandle<()>>,
}

impl<E: Engine> Canceller<E> {
    /// For connections of that pool.
    pub(super) const fn new(way: Arc<Way<E>>) -> Self {
        Self {
            way,
            under_way: None,
        }
    }

    /// Sends a request to cancel what that connection does, unless one is on its way.
    pub(super) fn start(&mut self, conn: &ServerConn<E>) {
        let order = E::cancel_request(&conn.back);
        let busy = self
            .under_way
            .as_ref()
            .is_some_and(|job| !job.is_finished());
        let Some(order) = order.filter(|_| !busy) else {
            return;
        };
        let (way, user) = (Arc::clone(&self.way), Arc::clone(&conn.user));
        self.under_way = Some(tokio::spawn(async move {
            let (dialer, pool) = (&way.site.dialer, &way.pool);
            let login = pool.login();
            let cancelled = dialer.cancel::<E>(&order, pool.key(), &login, &user).await;
            if let Err(error) = cancelled {
                tracing::warn!(%error, "cancel request failed");
            }
        }));
    }

    /// Waits until no cancel request is under way: the server closes a cancel connection when it
    /// has delivered the request.
    pub(super) async fn finish(&mut self) {
        if let Some(job) = self.under_way.take() {
            // The dial inside has its own time limit. A panic in it leaves nothing under way.
            let _ = job.await;
        }
    }
}

/// Gives a server connection back after its client was lost: at once if it is settled, else
/// after its request has been cancelled. Beyond the time limit it is closed.
pub(super) async fn part<E: Engine>(
    mut lent: Borrowed<E>,
    mut canceller: Canceller<E>,
    options: &SessionOptions,
) {
    let conn = lent.conn();
    if conn.back.progress().closing {
        return;
    }
    if !conn.back.progress().settled {
        canceller.start(conn);
        let limit = options.cancel_wait_timeout.max(Duration::from_millis(1));
        let ended = conn.run(Chore::Rollback, limit).await;
        canceller.finish().await;
        if let Err(error) = ended {
            tracing::info!(
                server_pid = conn.back.server_pid(),
                %error,
                "server connection closed: the request of a lost client did not end"
            );
            return;
        }
    }
    lent.clean_up();
}
