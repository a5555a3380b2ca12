//! What becomes of a request of a session that keeps state on a replica.
//!
//! A read that would leave state behind is run on the primary instead, before its answer has been told. State stays on
//! a replica only where that cannot be: the answer was too long to be held back, or a transaction that only reads has
//! left it. Whoever reads on goes on there, with that state. What needs the primary cannot be had with it: a
//! direct connection has both in one place. To give the state up unasked would make later answers wrong, and
//! what a replica says to a write would be wrong, too.

use crate::model::{PinReason, Pins};
use crate::sql::reading::Why;

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// The replica gets it, where the session's state is.
    Here,
    /// It is chosen for anew: what the session has kept is over with any further request.
    Anew,
    /// The session cannot go on.
    Ends,
}

/// What becomes of a request that needs the primary for this reason, or only reads.
pub fn stay(pins: Pins, why: Option<Why>) -> Stay {
    if pins.contains(PinReason::NextTransaction) {
        // Of that kind only one that reads is ever set on a replica, and what comes next is it.
        return Stay::Here;
    }
    let about_state = match why {
        None | Some(Why::SessionState | Why::Protocol | Why::Empty) => true,
        Some(_) => false,
    };
    if about_state {
        Stay::Here
    } else if pins.since(Pins::of(&[PinReason::Diagnostics])).is_empty() {
        Stay::Anew
    } else {
        Stay::Ends
    }
}

/// True if what a session has kept on a replica, outside a transaction, is there to stay.
pub fn strands(pins: Pins) -> bool {
    let passing = Pins::of(&[PinReason::Diagnostics, PinReason::NextTransaction]);
    !pins.since(passing).is_empty()
}

#[cfg(test)]
mod tests {
    use super::{Stay, stay, strands};
    use crate::model::{PinReason, Pins};
    use crate::sql::reading::Why;

    #[test]
    fn a_write_is_never_for_the_replica_that_keeps_state() {
        let lock = Pins::of(&[PinReason::AdvisoryLock]);
        for why in Why::ALL {
            let here = matches!(why, Why::SessionState | Why::Protocol | Why::Empty);
            let expected = if here { Stay::Here } else { Stay::Ends };
            assert_eq!(stay(lock, Some(why)), expected, "{why:?}");
        }
        assert_eq!(stay(lock, None), Stay::Here);
        assert!(strands(lock));
    }

    #[test]
    fn what_only_the_next_statement_can_ask_for_strands_nobody() {
        let warnings = Pins::of(&[PinReason::Diagnostics]);
        assert_eq!(stay(warnings, Some(Why::Write)), Stay::Anew);
        assert_eq!(stay(warnings, Some(Why::SessionState)), Stay::Here);
        let modes = Pins::of(&[PinReason::NextTransaction]);
        assert_eq!(stay(modes, Some(Why::Transaction)), Stay::Here);
        assert!(!strands(warnings) && !strands(modes));
    }
}
