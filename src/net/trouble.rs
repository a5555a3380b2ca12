//! What to do when the same thing fails again and again: how long to wait, when to speak of it.
//! Pure; the clock is an argument.

use std::time::{Duration, Instant};

/// Shortest wait after a failure for want of resources.
const MIN_PAUSE: Duration = Duration::from_millis(10);
/// Longest wait.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Least time between two log lines.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// A row of failures.
#[derive(Debug, Default)]
pub struct Trouble {
    pause: Duration,
    last_logged: Option<Instant>,
    unlogged: u64,
}

impl Trouble {
    /// Notes a failure. Returns how many there have been since the last log line, this one
    /// included, if it is time for the next line.
    pub fn note(&mut self, now: Instant) -> Option<u64> {
        self.unlogged = self.unlogged.saturating_add(1);
        if let Some(last) = self.last_logged
            && now.saturating_duration_since(last) < LOG_EVERY
        {
            return None;
        }
        self.last_logged = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }

    /// How long to wait before the next attempt: doubles each time.
    pub fn next_pause(&mut self) -> Duration {
        self.pause = (self.pause * 2).clamp(MIN_PAUSE, MAX_PAUSE);
        self.pause
    }

    /// Notes a success: the next failure waits the shortest time again. Log lines stay rare.
    pub fn over(&mut self) {
        self.pause = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Trouble;

    #[test]
    fn the_first_failure_is_logged_and_then_one_line_every_ten_seconds() {
        let mut trouble = Trouble::default();
        let start = Instant::now();
        assert_eq!(trouble.note(start), Some(1));
        for second in 1..10 {
            assert_eq!(trouble.note(start + Duration::from_secs(second)), None);
        }
        assert_eq!(trouble.note(start + Duration::from_secs(10)), Some(10));
        assert_eq!(trouble.note(start + Duration::from_secs(11)), None);
        trouble.over();
        assert_eq!(trouble.note(start + Duration::from_secs(12)), None);
    }

    #[test]
    fn pauses_double_up_to_a_second_and_start_over_after_a_success() {
        let mut trouble = Trouble::default();
        let pauses: Vec<_> = (0..9).map(|_| trouble.next_pause().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        trouble.over();
        assert_eq!(trouble.next_pause(), Duration::from_millis(10));
    }
}
