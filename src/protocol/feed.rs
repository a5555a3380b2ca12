//! News: what a server sends to those who follow it, without being asked each time. All clients of
//! a database follow it over one connection of Sluice's own, and none needs one to itself for that.

use std::sync::Arc;
use std::task::Waker;

use super::Breach;

/// What the clients of one database follow, and what is on its way to them. Shared by their
/// sessions and by the task that runs the connection.
pub trait Feed: Send + Sync + 'static {
    /// Makes whatever concerns the connection wake the task behind `waker`; to be called before
    /// the rest is looked at.
    fn listen(&self, waker: &Waker);
    /// A user who follows something, so that a connection is needed; `None` if nobody does. A
    /// higher `turn` yields another user, if there are several.
    fn follower(&self, turn: usize) -> Option<Arc<str>>;
    /// A connection has been opened, on which nothing is followed yet.
    fn opened(&self);
    /// Writes the request that is due, if one is.
    fn speak(&self, out: &mut Vec<u8>);
    /// Reads what the server sent, and returns how many bytes were dealt with.
    fn hear(&self, input: &[u8]) -> Result<usize, Breach>;
    /// The connection is closed. Clients are told that they may have missed something, if they
    /// may.
    fn lost(&self);
    /// How many messages have been handed to clients since this was last called.
    fn delivered(&self) -> u64;
}

/// The feed of engines whose servers never speak unasked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence;

impl Feed for Silence {
    fn listen(&self, _: &Waker) {}

    fn follower(&self, _: usize) -> Option<Arc<str>> {
        None
    }

    fn opened(&self) {}

    fn speak(&self, _: &mut Vec<u8>) {}

    fn hear(&self, _: &[u8]) -> Result<usize, Breach> {
        Err(Breach("a feed that nobody follows"))
    }

    fn lost(&self) {}

    fn delivered(&self) -> u64 {
        0
    }
}
