//! Waiting for events of other processes, which tell nobody when they happen.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// How long the tests wait for what should happen at once, on a machine that may be very busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `probe` until it answers; `what` names the event in the failure.
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, probe)
}

/// Asks `probe` until it answers yes.
pub fn until_true(what: &str, mut probe: impl FnMut() -> bool) {
    until(what, || probe().then_some(()));
}

/// As [`until`], with a deadline of its own.
pub fn until_within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} in vain: {what}");
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
