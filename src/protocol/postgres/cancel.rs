//! Keys that name a session whose work is to be cancelled, and the request that carries them
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS>).

use std::fmt;
use std::hash::{Hash, Hasher};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use smallvec::SmallVec;

use super::startup::CANCEL_REQUEST;
use crate::protocol::Entropy;
use crate::protocol::bytes::{Reader, Sink, put_counted};

/// Length in bytes of the secret in protocol 3.0, fixed by the message format.
const SECRET_LEN_3_0: usize = 4;
/// Length in bytes of the secret that PostgreSQL, and Sluice, make for protocol 3.2.
const SECRET_LEN_3_2: usize = 32;
/// Longest secret in bytes that protocol 3.2 allows.
pub const MAX_SECRET_LEN: usize = 256;

/// What a client was told at login, and shows to cancel its work.
#[derive(Clone, Eq)]
pub struct CancelKey {
    pid: u32,
    secret: SmallVec<[u8; SECRET_LEN_3_2]>,
}

impl CancelKey {
    /// A key for a session. `minor` is the minor protocol version that was agreed with the
    /// client, and decides how long the secret may be.
    pub fn new(session: u64, minor: u16, entropy: &Entropy) -> Self {
        let len = if minor >= 2 {
            SECRET_LEN_3_2
        } else {
            SECRET_LEN_3_0
        };
        Self {
            pid: pid(session),
            secret: entropy.iter().copied().take(len).collect(),
        }
    }

    /// Reads what follows the request code in a `CancelRequest`.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let pid = reader.u32()?;
        let secret = reader.rest();
        (!secret.is_empty() && secret.len() <= MAX_SECRET_LEN).then(|| Self {
            pid,
            secret: SmallVec::from_slice(secret),
        })
    }

    /// The process number that the client sees.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The secret, for `BackendKeyData`.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }
}

/// Process numbers stay positive where a client reads them as signed, and are never zero, which
/// some drivers take for none.
fn pid(session: u64) -> u32 {
    let number = session % u64::from(i32::MAX.unsigned_abs());
    u32::try_from(number).unwrap_or(0) + 1
}

impl PartialEq for CancelKey {
    fn eq(&self, other: &Self) -> bool {
        self.pid == other.pid && verify_slices_are_equal(&self.secret, &other.secret).is_ok()
    }
}

/// By process number alone: two sessions rarely share one, and the secret is then compared in
/// constant time only.
impl Hash for CancelKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pid.hash(state);
    }
}

impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelKey")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// The request that cancels the work of a server connection: `pid` and `secret` are the server's
/// own, as it sent them in `BackendKeyData`.
pub fn request(pid: u32, secret: &[u8]) -> Bytes {
    let mut out = Vec::new();
    put_counted(&mut out, |out| put_request(out, pid, secret));
    Bytes::from(out)
}

fn put_request<B: Sink>(out: &mut B, pid: u32, secret: &[u8]) {
    out.put_u32(CANCEL_REQUEST);
    out.put_u32(pid);
    out.put_slice(secret);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{CancelKey, MAX_SECRET_LEN, pid, request};

    #[test]
    fn the_version_decides_the_length_of_the_secret() {
        let entropy = [7; 48];
        assert_eq!(CancelKey::new(1, 0, &entropy).secret().len(), 4);
        assert_eq!(CancelKey::new(1, 2, &entropy).secret().len(), 32);
    }

    #[test]
    fn a_request_names_the_key_it_was_made_from() {
        for minor in [0, 2] {
            let key = CancelKey::new(41, minor, &[9; 48]);
            let wire = request(key.pid(), key.secret());
            assert_eq!(&wire[4..8], &[0x04, 0xd2, 0x16, 0x2e]);
            let keys = HashSet::from([key]);
            assert!(keys.contains(&CancelKey::parse(&wire[8..]).unwrap()));
            let mut wrong = wire.to_vec();
            *wrong.last_mut().unwrap() ^= 1;
            assert!(!keys.contains(&CancelKey::parse(&wrong[8..]).unwrap()));
            assert!(!keys.contains(&CancelKey::parse(&wire[8..wire.len() - 1]).unwrap()));
        }
    }

    #[test]
    fn keys_of_impossible_length_are_refused() {
        assert!(CancelKey::parse(&[0; 4]).is_none());
        assert!(CancelKey::parse(&[0; 5]).is_some());
        assert!(CancelKey::parse(&[0; 4 + MAX_SECRET_LEN]).is_some());
        assert!(CancelKey::parse(&[0; 5 + MAX_SECRET_LEN]).is_none());
    }

    #[test]
    fn process_numbers_are_positive() {
        for session in [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, u64::MAX] {
            assert!((1..=0x7fff_ffff).contains(&pid(session)), "{session}");
        }
        assert_ne!(pid(1), pid(2));
    }

    #[test]
    fn debug_redacts() {
        let shown = format!("{:?}", CancelKey::new(5, 0, &[0xab; 48]));
        assert_eq!(shown, "CancelKey { pid: 6, .. }");
    }
}
