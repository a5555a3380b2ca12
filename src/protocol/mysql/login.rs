//! What a client says at login (MySQL protocol, `HandshakeResponse41`), and what the servers of
//! its listener say to anybody (`HandshakeV10`).

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::capability::Capabilities;
use super::found::Found;
use crate::model::Secret;
use crate::protocol;

/// Which of the two kinds of server it is: they share the protocol, and differ in details of it
/// and of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// MySQL, Percona Server, Aurora.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// What a server says to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its version, as it writes it.
    pub version: Arc<str>,
    /// Whose server it is.
    pub flavor: Flavor,
    /// What it can do.
    pub capabilities: Capabilities,
    /// The collation that its sessions begin with, by number.
    pub collation: u8,
}

/// A client that has said who it is.
#[derive(Debug)]
pub struct Login {
    /// The user's name.
    pub user: Arc<str>,
    /// The schema that it wants to begin in; empty if none.
    pub database: Arc<str>,
    /// What Sluice offers and the client uses.
    pub capabilities: Capabilities,
    /// The collation that its session begins with, by number.
    pub collation: u16,
    /// Whose server Sluice poses as.
    pub flavor: Flavor,
    /// Its address.
    pub peer: IpAddr,
    /// The connection uses TLS.
    pub tls: bool,
    /// The plugin that its answer is made with.
    pub plugin: Box<str>,
    /// Its answer to the challenge, which may be its password; taken by the proof.
    pub answer: Mutex<Option<Secret>>,
    /// What that answer is made from.
    pub challenge: Arc<Challenge>,
    /// The client logs in anew on the same connection (`COM_CHANGE_USER`).
    pub again: bool,
    /// `FOUND_ROWS()` before it.
    pub found: Found,
    /// Attributes of the connection, as they came.
    pub attributes: Arc<[u8]>,
    /// The attribute `program_name`, or `_client_name`; empty if neither is given.
    pub application: Box<str>,
    /// The sequence number of the next packet of the login.
    pub sequence: Arc<Sequence>,
    /// See [`Assurance`].
    pub assurance: Assurance,
}

/// What proves to a client of MariaDB that our certificate is that of one who knows its password,
/// so that it need not know who has issued it; known after the client's own proof, and sent in
/// the last packet of the login (MariaDB 11.4, "zero-configuration TLS").
pub type Assurance = Arc<OnceLock<Box<[u8]>>>;

/// Length of a challenge without the zero byte behind it.
pub const SCRAMBLE_LEN: usize = 20;

/// The sequence number of the next packet. The dialogues of one login share it: each goes on
/// where the one before it ended.
#[derive(Debug, Default)]
pub struct Sequence(AtomicU8);

impl Sequence {
    /// The number of the next packet, which is then taken.
    pub fn take(&self) -> u8 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// The number that comes next.
    pub fn peek(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// A packet of this number has been read or written.
    pub fn follow(&self, seen: u8) {
        self.0.store(seen.wrapping_add(1), Ordering::Relaxed);
    }
}

/// The last challenge that a client has got: at first that of the greeting, then that of the last request to switch
/// plugins. Clients answer it in `COM_CHANGE_USER`, where they are not challenged first, and some do not read a new
/// one there (libmariadb's and libmysqlclient's plugins for `mysql_native_password`).
#[derive(Debug)]
pub struct Challenge(Mutex<[u8; SCRAMBLE_LEN]>);

impl Challenge {
    /// This one.
    pub fn new(scramble: [u8; SCRAMBLE_LEN]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(scramble)))
    }

    /// The last one.
    pub fn last(&self) -> [u8; SCRAMBLE_LEN] {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client has got another.
    pub fn renew(&self, scramble: [u8; SCRAMBLE_LEN]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = scramble;
    }
}

impl Login {
    /// Its answer to the challenge; nothing if it has been taken.
    pub fn take_answer(&self) -> Option<Secret> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.take()
    }
}

impl protocol::Login for Login {
    fn user(&self) -> &Arc<str> {
        &self.user
    }

    fn database(&self) -> &Arc<str> {
        &self.database
    }

    fn application(&self) -> &str {
        &self.application
    }
}

#[cfg(test)]
mod tests {
    use super::Sequence;

    #[test]
    fn sequence_numbers_wrap_around() {
        let sequence = Sequence::default();
        assert_eq!((sequence.take(), sequence.peek()), (0, 1));
        sequence.follow(255);
        assert_eq!(sequence.take(), 0);
    }
}
