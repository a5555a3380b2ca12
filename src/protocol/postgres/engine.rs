//! Where a client and a server connection of this protocol are joined.

use super::back::PgBack;
use super::front::PgFront;
use super::owed::{Fate, Owed};
use super::rename;
use super::settings::{Caution, Settings, write_difference};
use crate::protocol::Attach;

/// See [`crate::protocol::Engine::attach`].
pub fn attach(
    front: &mut PgFront,
    back: &mut PgBack,
    request: &mut Vec<u8>,
    replies: &mut Vec<u8>,
) -> Attach {
    if Settings::same(&front.settings, &back.settings) {
        front.learn(&back.reported, replies);
        return Attach::Ready;
    }
    let mut sql = Vec::new();
    let caution = write_difference(&back.settings, &front.settings, &mut sql);
    rename::query(&sql, request);
    back.debts.push(Owed::Query(Fate::Replay));
    // A simple query replaces the unnamed statement.
    back.unnamed = None;
    back.settings = front.settings.clone();
    match caution {
        Caution::None => Attach::Ready,
        Caution::Wait => Attach::Wait,
    }
}
