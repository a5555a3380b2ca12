//! Showing that a replica has come as far as a session has seen.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::borrow::{Missed, borrow_there};
use super::destination::Destinations;
use crate::pool::{Borrowed, ChoreError};
use crate::protocol::{Back, Chore, Engine};

/// Asks the primary how far it has come; `None` if it does not answer, empty if it answers that it cannot tell.
/// `interrupt` is polled while a connection is waited for. Not cancel-safe: dropped, it closes the connection.
pub(super) async fn primarys_position<E: Engine, I>(
    destinations: &mut Destinations<E>,
    interrupt: &mut impl FnMut(&mut Context<'_>) -> Poll<I>,
) -> Result<Option<Box<str>>, I> {
    let Some(way) = destinations.primary().cloned() else {
        return Ok(None);
    };
    let mut server = match borrow_there(&way, interrupt).await {
        Ok(server) => server,
        Err(Missed::Interrupted(what)) => return Err(what),
        Err(_) => return Ok(None),
    };
    let asked = server.conn().run(Chore::Position, LIMIT).await;
    let position = server.conn().back.chore_value();
    let position = position.and_then(|value| std::str::from_utf8(value).ok());
    let position = position.filter(|_| asked.is_ok());
    let position = position.map(Into::into);
    server.give_back();
    Ok(position)
}

/// Waits so long for the replica to come to `position`. Not cancel-safe, as above.
pub(super) async fn shows<E: Engine>(
    server: &mut Borrowed<E>,
    position: &str,
    wait: Duration,
) -> Shown {
    let deadline = Instant::now() + wait;
    let mut pause = FIRST_PAUSE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
        let conn = server.conn();
        let question = Chore::Reached { position, wait_ms };
        match conn.run(question, LIMIT + left).await {
            Ok(()) if conn.back.chore_value() == Some(b"1") => return Shown::Reached,
            Ok(()) => {}
            // It cannot tell, so nobody knows.
            Err(ChoreError::Refused(_)) => return Shown::Behind,
            Err(_) => return Shown::Lost,
        }
        if Instant::now() + pause >= deadline {
            return Shown::Behind;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What a replica has shown.
pub(super) enum Shown {
    Reached,
    Behind,
    Lost,
}

/// Longest that a server may take to say where it is.
const LIMIT: Duration = Duration::from_secs(5);

/// Between two questions to a replica that cannot wait by itself.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(8);
