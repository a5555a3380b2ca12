//! Randomness for logins, and for spreading connections' ends over time.

use super::open::OpenError;
use crate::protocol::Entropy;

/// Fresh random bytes. Without them no login may be tried.
pub(super) fn fresh() -> Result<Entropy, OpenError> {
    let mut bytes: Entropy = [0; 48];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(OpenError::Broken("no randomness is to be had".to_owned())),
    }
}

/// A number in `0.0..1.0`; zero where no randomness is to be had.
pub(super) fn fraction() -> f64 {
    let mut bytes = [0; 4];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return 0.0;
    }
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}
